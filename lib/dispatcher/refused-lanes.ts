import type {LaneRequest} from '../store/store.ts';
import type {Clock} from '../support/clock.ts';
import {RetryState} from './retry-state.ts';

/**
 * The lanes of a claim that the store refused because of a damaged row in one of them. From each lane is claimed alone until that succeeds.
 * A lane that is refused alone is left out for a while, and the others go on.
 */
export class RefusedLanes {
	readonly #clock: Pick<Clock, 'steadyMs'>;
	readonly #lanes = new Map<string, RetryState>();

	constructor(clock: Pick<Clock, 'steadyMs'>) {
		this.#clock = clock;
	}

	get isEmpty(): boolean {
		return this.#lanes.size === 0;
	}

	/** How long until one of them may be tried; `Infinity` if there are none. */
	get waitMs(): number {
		return Math.min(...[...this.#lanes.values()].map(({waitMs}) => waitMs));
	}

	/** The lanes for the next claim: all of them, as long as none was refused. */
	claimable(lanes: readonly LaneRequest[]): readonly LaneRequest[] {
		if (this.isEmpty) return lanes;
		const waiting = lanes.filter(lane => lane.limit > 0 && (this.#lanes.get(nameOf(lane))?.waitMs ?? 0) === 0);
		const alone = waiting.find(lane => this.#lanes.has(nameOf(lane)));
		return alone ? [alone] : waiting;
	}

	/** To be called when a claim from these lanes was refused. Returns the lane that is left out from now on; `undefined` if it has been left out before. */
	add(lanes: readonly LaneRequest[], refusal: unknown): LaneRequest | undefined {
		const asked = lanes.filter(({limit}) => limit > 0);
		for (const lane of asked) if (!this.#lanes.has(nameOf(lane))) this.#lanes.set(nameOf(lane), new RetryState(this.#clock));
		const [lane, ...others] = asked;
		const state = lane && this.#lanes.get(nameOf(lane));
		if (!state || others.length > 0) return undefined;
		state.add(refusal, Infinity);
		return state.count === 1 ? lane : undefined;
	}

	/** To be called when a claim from these lanes succeeded. */
	clear(lanes: readonly LaneRequest[]): void {
		if (!this.isEmpty) for (const lane of lanes) this.#lanes.delete(nameOf(lane));
	}
}

function nameOf({task, isQuarantined = false}: LaneRequest): string {
	return JSON.stringify([task, isQuarantined]);
}
