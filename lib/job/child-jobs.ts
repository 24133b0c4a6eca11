import {FaenaError} from '../support/errors.ts';
import {type Encoded, sameValue, sizeBytes} from './encoding.ts';
import type {ChildJob, JobMaker} from './new-job.ts';
import type {JobOptions} from './task.ts';

/** The most that one execution may enqueue. Its worker keeps it in memory until the task ends, and the store writes it in one transaction. */
export const MAX_CHILD_JOBS = 10_000;
const MAX_CHILD_JOBS_BYTES = 64 * 1024 * 1024;

/**
 * The jobs that a task enqueues with `ctx.enqueue`. They are collected while the task runs, for the transaction that completes
 * its job. A wrong call throws at once, except for a key that another job holds: only the store knows that.
 */
export class ChildJobs {
	readonly #maker: JobMaker;
	readonly #jobs: ChildJob[] = [];
	/** Payloads by task and key. */
	readonly #keyed = new Map<string, Encoded>();
	#bytes = 0;

	constructor(maker: JobMaker) {
		this.#maker = maker;
	}

	get all(): readonly ChildJob[] {
		return this.#jobs;
	}

	/** @throws FaenaError `UnknownTask`, `BadOption`, `NotEncodable`, `TooLarge`, `KeyConflict` */
	add(task: string, payload: unknown, options: JobOptions): void {
		const {key, ...resolved} = this.#maker.resolve('ctx.enqueue()', task, options);
		const encoded = this.#maker.encode(payload);
		if (key !== undefined && this.#isKnown(task, key, encoded)) return;
		this.#bytes += sizeBytes(encoded);
		if (this.#jobs.length >= MAX_CHILD_JOBS) throw tooMany(`${MAX_CHILD_JOBS.toLocaleString('en')} jobs`);
		if (this.#bytes > MAX_CHILD_JOBS_BYTES) throw tooMany(`${MAX_CHILD_JOBS_BYTES / 1024 ** 2} MiB of payloads`);
		const count = this.#jobs.length;
		this.#jobs[count] = {task, payload: encoded, ...resolved, ...(key !== undefined && {key})};
		// An earlier task may have replaced functions of arrays.
		if (this.#jobs.length === count) throw new Error('A job could not be kept until this one completes.');
	}

	/** True if this execution has enqueued that job already. */
	#isKnown(task: string, key: string, payload: Encoded): boolean {
		const name = JSON.stringify([task, key]);
		const known = this.#keyed.get(name);
		if (known === undefined) {
			this.#keyed.set(name, payload);
			return false;
		}
		if (sameValue(known, payload)) return true;
		throw new FaenaError('KeyConflict', `This job has already enqueued one with the key ${JSON.stringify(key)} of task ${task}, and another payload.`);
	}
}

function tooMany(what: string): FaenaError {
	return new FaenaError('TooLarge', `One job may enqueue at most ${what} with ctx.enqueue(). Let it enqueue several jobs that enqueue the rest.`);
}
