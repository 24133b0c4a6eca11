import type {Clock} from './clock.ts';
import type {TaskDemand} from './queue.ts';
import {Setbacks} from './setbacks.ts';

/** Which jobs a dequeue asks for. */
type Lane = Pick<TaskDemand, 'task' | 'suspects'>;

/** Lanes from which the store can give nothing, because of a row in the way. Each is left out for a while, so that the others go on. */
export class RestingLanes {
	readonly #clock: Pick<Clock, 'steadyMs'>;
	readonly #lanes = new Map<string, Setbacks>();

	constructor(clock: Pick<Clock, 'steadyMs'>) {
		this.#clock = clock;
	}

	rests(lane: Lane): boolean {
		return this.#lanes.size > 0 && (this.#lanes.get(nameOf(lane))?.restMs ?? 0) > 0;
	}

	/** Until one of them may be tried again; 0 if none rests. */
	get restMs(): number {
		return this.#lanes.size === 0 ? 0 : Math.min(...[...this.#lanes.values()].map(({restMs}) => restMs));
	}

	/** Leaves the lane out for a while. True if it gave something, or had not been tried, before. */
	add(lane: Lane, refusal: unknown): boolean {
		const setbacks = this.#lanes.get(nameOf(lane)) ?? new Setbacks(this.#clock);
		this.#lanes.set(nameOf(lane), setbacks);
		setbacks.add(refusal, Infinity);
		return setbacks.count === 1;
	}

	/** These can give again. */
	clear(lanes: readonly Lane[]): void {
		if (this.#lanes.size > 0) for (const lane of lanes) this.#lanes.delete(nameOf(lane));
	}
}

function nameOf({task, suspects = false}: Lane): string {
	return JSON.stringify([task, suspects]);
}
