import {bad, type Checks, checked, choice} from '../job/checks.ts';
import {FaenaError} from '../support/errors.ts';

/** When a map ends early, as with GNU parallel's `--halt`. */
export interface HaltOption {
	/** `soon` starts no more jobs and lets running ones finish; `now` also stops running jobs. */
	readonly when: 'now' | 'soon';
	/** `fail` counts jobs that died, `success` jobs that completed. */
	readonly on: 'fail' | 'success';
	/** A number of these jobs, or a percentage of the jobs that have ended, from the third one on. Only jobs that end during this map count. */
	readonly at: number | `${number}%`;
}

/** A percentage of fewer jobs means little. */
const MIN_COUNT_FOR_PERCENT = 3;

/** Counts how the jobs of a map end, and decides when to halt it. */
export class Halt {
	readonly option: HaltOption;
	readonly #counted: 'dead' | 'completed';
	#ended = 0;
	#count = 0;
	/** Of the job that died last. */
	#lastError: Error | undefined;

	constructor(option: HaltOption) {
		this.option = option;
		this.#counted = option.on === 'fail' ? 'dead' : 'completed';
	}

	/** Counts a job's end. Returns true once the map must be halted. */
	observe(status: 'completed' | 'dead' | 'cancelled', error?: Error): boolean {
		const {at} = this.option;
		this.#ended++;
		if (status === 'dead') this.#lastError = error;
		if (status === this.#counted) this.#count++;
		if (typeof at === 'number') return this.#count >= at;
		return this.#count >= MIN_COUNT_FOR_PERCENT && 100 * this.#count >= Number.parseFloat(at) * this.#ended;
	}

	/** @throws FaenaError `Halted` if failures are counted */
	throwIfFailed(): void {
		if (this.option.on !== 'fail') return;
		const items = this.#count === 1 ? 'one of its items' : `${this.#count} of its items`;
		throw new FaenaError('Halted', `The map was halted, since ${items} failed; the jobs that had not ended were discarded.`, {cause: this.#lastError});
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
