import type {OwnerId} from '../job/claim.ts';

/**
 * Sees which owners have fallen silent. When a heartbeat was written says nothing: the wall clock jumps, and a machine
 * sleeps. So an owner is silent once its heartbeat was seen to stand still for the whole lease, on the steady clock of
 * whoever looks; and who has not looked for half a lease may have slept, with all the others, and begins anew.
 */
export class HeartbeatMonitor {
	readonly #leaseMs: number;
	readonly #steadyMs: () => number;
	#seen = new Map<OwnerId, {readonly heartbeat: number; readonly since: number}>();
	#lookedAt = -Infinity;

	constructor(leaseMs: number, steadyMs: () => number) {
		this.#leaseMs = leaseMs;
		this.#steadyMs = steadyMs;
	}

	/** Looks at the heartbeats of all owners, and tells which of these are silent. */
	findSilent(heartbeats: Iterable<readonly [owner: OwnerId, heartbeat: number]>): ReadonlySet<OwnerId> {
		const now = this.#steadyMs();
		const before = now - this.#lookedAt > this.#leaseMs / 2 ? new Map<OwnerId, never>() : this.#seen;
		this.#lookedAt = now;
		this.#seen = new Map();
		const silent = new Set<OwnerId>();
		for (const [owner, heartbeat] of heartbeats) {
			const known = before.get(owner);
			const since = known?.heartbeat === heartbeat ? known.since : now;
			this.#seen.set(owner, {heartbeat, since});
			if (now - since > this.#leaseMs) silent.add(owner);
		}
		return silent;
	}

	/** Of an owner that has left. Who comes by the same name is another. */
	drop(owner: OwnerId): void {
		this.#seen.delete(owner);
	}
}
