import type {OwnerId} from '../job/claim.ts';

/**
 * Finds owners without a heartbeat. The time that a heartbeat states is no evidence: the wall clock jumps, and machines sleep. An owner counts as
 * silent once this process has seen the same heartbeat for a whole lease, by its own steady clock. If this process has not looked for half a
 * lease, the whole machine may have slept, so it starts to watch again.
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

	/** Takes the last heartbeat of every owner, and returns the silent owners. */
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

	/** Forgets an owner that has left. A later owner of the same name is another one. */
	drop(owner: OwnerId): void {
		this.#seen.delete(owner);
	}
}
