import type {Batch} from '../job/batch.ts';
import type {Counts} from '../job/job.ts';
import type {DispatcherClient} from '../transport/client.ts';

/** What is known of a batch. Times are milliseconds since 1970; absent values have not happened, or can't be told. */
export interface BatchInfo {
	readonly name: string;
	readonly task: string;
	/** Its jobs by status. */
	readonly counts: Counts;
	/** Items of its input, once that has ended. */
	readonly total?: number;
	readonly createdAt: number;
	/** When the first of its jobs was dequeued. */
	readonly startedAt?: number;
	/** When its input had ended and none of its jobs was left unended. */
	readonly completedAt?: number;
	/** When its map last came to its end: every result was yielded. */
	readonly closedAt?: number;
	/** Jobs that ended per second, over the last 10 seconds or more, or since its map was last begun. */
	readonly jobsPerSecond?: number;
	/** Milliseconds until it completes at this rate, if its input has ended. */
	readonly remainingMs?: number;
}

/** A batch of the queue, by its name, whichever program made it. */
export class BatchHandle {
	readonly name: string;
	readonly #client: DispatcherClient;
	readonly #now: () => number;

	/** @internal Use `engine.batch`. */
	constructor(client: DispatcherClient, name: string, now: () => number) {
		this.#client = client;
		this.name = name;
		this.#now = now;
	}

	/** What is known of it now; `undefined` if there is no such batch. */
	async info(): Promise<BatchInfo | undefined> {
		const batch = await this.#client.verb('batch', this.name);
		return batch && toBatchInfo(batch, this.#now());
	}

	/** Cancels its jobs that have not ended; a map of it that is under way goes on enqueuing. Returns how many are meant. */
	async cancel(): Promise<number> {
		const {cancelled, asked} = await this.#client.verb('cancel', {batch: this.name});
		return cancelled.length + asked.length;
	}

	/** Opens a new round for its failed, dead and cancelled jobs. Returns how many. */
	async retryFailed(): Promise<number> {
		return this.#client.verb('retry', {batch: this.name});
	}

	/**
	 * Deletes the batch with all its jobs, ended or not, in bounded steps. Returns how many jobs. A map of it that
	 * is under way ends with `NoSuchJob` or `NoSuchBatch`; where it only waits for its input, within about a second.
	 * @throws FaenaError `BatchRunning` if one of its jobs is running; should it have been started since the deletion began, what was deleted stays so
	 */
	async delete(): Promise<number> {
		for (let jobs = 0; ; ) {
			const {deleted, isGone} = await this.#client.verb('deleteBatch', this.name);
			jobs += deleted;
			if (isGone) return jobs;
		}
	}
}

export function toBatchInfo({id: _, marks, ...batch}: Batch, now: number): BatchInfo {
	const {pending, running, failed, completed, dead, cancelled} = batch.counts;
	const [oldest] = marks;
	if (!oldest || batch.completedAt !== undefined || now <= oldest.at) return batch;
	// Fewer than before have ended where jobs were retried or cleaned up.
	const jobsPerSecond = (1000 * Math.max(0, completed + dead + cancelled - oldest.ended)) / (now - oldest.at);
	const hasEstimate = batch.total !== undefined && jobsPerSecond > 0;
	return {...batch, jobsPerSecond, ...(hasEstimate && {remainingMs: (1000 * (pending + running + failed)) / jobsPerSecond})};
}
