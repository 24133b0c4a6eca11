import type {OwnerId} from '../../job/claim.ts';

/** A row of the table `owner`. */
export interface OwnerRow {
	readonly id: number;
	readonly heartbeat_at: number;
}

/** The owners of this store, and which of all owners are silent. */
export class Owners {
	readonly #leaseMs: number;
	readonly #steadyMs: () => number;
	/** By name, the number of the owner's row. */
	readonly #own = new Map<OwnerId, number>();
	/** Owners that lost their claims and got a new row by a later claim, before they have heard of it. */
	readonly #fenced = new Set<OwnerId>();
	/** The heartbeats that were last seen, by the number of the owner's row, which no later owner of the same name has. */
	#seen = new Map<number, {readonly heartbeatAt: number; readonly since: number}>();
	#lookedAt = -Infinity;

	constructor(leaseMs: number, steadyMs: () => number) {
		this.#leaseMs = leaseMs;
		this.#steadyMs = steadyMs;
	}

	get names(): OwnerId[] {
		return [...this.#own.keys()];
	}

	idOf(owner: OwnerId): number | undefined {
		return this.#own.get(owner);
	}

	/** A call has found or made the owner's row. */
	registered(owner: OwnerId, id: number): void {
		const known = this.#own.get(owner);
		if (known !== undefined && known !== id) this.#fenced.add(owner);
		this.#own.set(owner, id);
	}

	/** The owner has no row any more. */
	forget(owner: OwnerId): void {
		this.#own.delete(owner);
	}

	/** True, once, if the owner was taken for dead since its last heartbeat, and was registered again. */
	takeFence(owner: OwnerId): boolean {
		return this.#fenced.delete(owner);
	}

	/** The owners whose heartbeat has not changed for a lease. After half a lease without a look, as after a sleep, all begin anew. */
	silent(owners: readonly OwnerRow[]): OwnerRow[] {
		const now = this.#steadyMs();
		const before = now - this.#lookedAt > this.#leaseMs / 2 ? undefined : this.#seen;
		this.#lookedAt = now;
		this.#seen = new Map();
		return owners.filter(({id, heartbeat_at}) => {
			const known = before?.get(id);
			const since = known?.heartbeatAt === heartbeat_at ? known.since : now;
			this.#seen.set(id, {heartbeatAt: heartbeat_at, since});
			return now - since > this.#leaseMs;
		});
	}
}
