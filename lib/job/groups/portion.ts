import {type Encoded, sizeBytes} from '../encoding.ts';
import {MAX_GROUP_JOBS} from './group.ts';
import {countOf, isList, type Values} from './packed.ts';

/** A portion is full with the job that reaches one of these. */
interface PortionLimit {
	readonly jobs: number;
	/** Of payloads, or of other values. */
	readonly bytes: number;
}

/** Jobs that were given one by one, or that are one of many groups. */
export const SMALL_GROUP: PortionLimit = {jobs: MAX_GROUP_JOBS, bytes: 1024 ** 2};
/** A group of `enqueueMany`, and the groups of one transaction, are full at about this size. */
export const MANY_BYTES = 8 * 1024 ** 2;
/** A transaction takes in no more once it writes as many bytes of values, or claims as many. */
export const MAX_COMMIT_BYTES = 64 * 1024 ** 2;
/** Payloads of the items of a map without the option `window` that were read and not yielded, beyond which it reads no further. */
export const MAX_WINDOW_BYTES = 16 * 1024 ** 2;
/** Groups of one map or `enqueueMany` that may be under way. With a fourth, the p99 of the caller's loop delay rises from 3 to 5 ms. */
export const MAX_GROUPS_UNDER_WAY = 3;

/** Counts the jobs, and the bytes of their payloads, that are gathered to go together. */
export class Portion {
	readonly #limit: PortionLimit;
	#jobs = 0;
	#bytes = 0;

	constructor(limit: PortionLimit) {
		this.#limit = limit;
	}

	get isFull(): boolean {
		return this.#jobs >= this.#limit.jobs || this.#bytes >= this.#limit.bytes;
	}

	/** Returns true if the portion is full with this one. */
	add(payload: Encoded): boolean {
		this.#jobs++;
		this.#bytes += sizeBytes(payload, this.#limit.bytes);
		return this.isFull;
	}

	/** Adds jobs that stay together. */
	addAll(values: Values): void {
		if (isList(values)) for (const value of values) this.add(value);
		else {
			this.#jobs += countOf(values);
			this.#bytes += sizeBytes(values.text, this.#limit.bytes);
		}
	}

	/** The next portion begins. */
	clear(): void {
		this.#jobs = 0;
		this.#bytes = 0;
	}
}
