import type {TaskDemand} from '../store/store.ts';
import type {Clock} from '../support/clock.ts';
import {RetryState} from './retry-state.ts';

/**
 * The lanes of a dequeue that was refused, because of a row in the way of one of them. Each lane is asked alone until it succeeds.
 * A lane that is refused alone rests for a while, and the others go on.
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

	/** How long until one of them may be asked; `Infinity` if there are none. */
	get restMs(): number {
		return Math.min(...[...this.#lanes.values()].map(({restMs}) => restMs));
	}

	/** Which of the lanes to ask in the next dequeue: all of them, as long as none was refused. */
	askable(lanes: readonly TaskDemand[]): readonly TaskDemand[] {
		if (this.isEmpty) return lanes;
		const awake = lanes.filter(lane => lane.limit > 0 && (this.#lanes.get(nameOf(lane))?.restMs ?? 0) === 0);
		const alone = awake.find(lane => this.#lanes.has(nameOf(lane)));
		return alone ? [alone] : awake;
	}

	/** Call this when a dequeue of these lanes was refused. Returns the lane that begins to rest: not if it has rested since it last succeeded. */
	add(lanes: readonly TaskDemand[], refusal: unknown): TaskDemand | undefined {
		const asked = lanes.filter(({limit}) => limit > 0);
		for (const lane of asked) if (!this.#lanes.has(nameOf(lane))) this.#lanes.set(nameOf(lane), new RetryState(this.#clock));
		const [lane, ...others] = asked;
		const setbacks = lane && this.#lanes.get(nameOf(lane));
		if (!setbacks || others.length > 0) return undefined;
		setbacks.add(refusal, Infinity);
		return setbacks.count === 1 ? lane : undefined;
	}

	/** Call this when a dequeue of these lanes succeeded. */
	clear(lanes: readonly TaskDemand[]): void {
		if (!this.isEmpty) for (const lane of lanes) this.#lanes.delete(nameOf(lane));
	}
}

function nameOf({task, suspects = false}: TaskDemand): string {
	return JSON.stringify([task, suspects]);
}
