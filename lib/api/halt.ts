import {bad, type Checks, checked, choice} from '../job/checks.ts';

/** When a map gives up, or has enough; GNU parallel's `--halt`. */
export interface HaltOption {
	/** `soon` starts no more jobs and lets those finish that run; `now` also stops them. */
	readonly when: 'now' | 'soon';
	/** What is counted: `fail` jobs that died, `success` jobs that completed. */
	readonly on: 'fail' | 'success';
	/** So many of them, or so many percent of the jobs that have ended, once there are 3. Only jobs that end during this map count. */
	readonly at: number | `${number}%`;
}

/** Percentages mean little of few jobs. */
const LEAST_FOR_PERCENT = 3;

/** Counts how jobs end, and says when it is enough. */
export class Halt {
	readonly option: HaltOption;
	readonly #counted: 'dead' | 'completed';
	#ended = 0;
	#count = 0;

	constructor(option: HaltOption) {
		this.option = option;
		this.#counted = option.on === 'fail' ? 'dead' : 'completed';
	}

	/** Jobs of the kind that is counted. */
	get count(): number {
		return this.#count;
	}

	/** Takes note of a job's end. True once the map is to be halted. */
	observe(status: 'completed' | 'dead' | 'cancelled'): boolean {
		const {at} = this.option;
		this.#ended++;
		if (status === this.#counted) this.#count++;
		if (typeof at === 'number') return this.#count >= at;
		return this.#count >= LEAST_FOR_PERCENT && 100 * this.#count >= Number.parseFloat(at) * this.#ended;
	}
}

/** @throws FaenaError `BadOption` */
export function checkHalt(value: unknown): HaltOption {
	const given = checked('map({halt})', value, HALT_CHECKS);
	for (const name of Object.keys(HALT_CHECKS)) {
		if (given[name] === undefined) throw bad(`map({halt}) expects ${name}, as in {when: 'soon', on: 'fail', at: 3}`);
	}
	return given as unknown as HaltOption;
}

export const HALT_CHECKS: Checks = {
	when: choice('now', 'soon'),
	on: choice('fail', 'success'),
	at(value) {
		if (Number.isSafeInteger(value) && (value as number) > 0) return value;
		const percent = typeof value === 'string' && /^\d+(\.\d+)?%$/.test(value) ? Number.parseFloat(value) : 0;
		if (percent > 0 && percent <= 100) return value;
		throw bad(
			`map({halt}) expects as at a whole number from 1, or a percentage such as '5%'; it got ${typeof value === 'string' ? JSON.stringify(value) : String(value)}`,
		);
	},
};
