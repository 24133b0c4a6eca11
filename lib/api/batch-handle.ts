import type {Batch} from '../job/batch.ts';
import type {Counts} from '../job/job.ts';
import type {DispatcherClient} from '../transport/client.ts';

/** The state of a batch. Times are milliseconds since 1970. A field is absent if its event has not happened, or it is not known. */
export interface BatchInfo {
	/** Unique among batches. */
	readonly name: string;
	/** The task of all its jobs. */
	readonly task: string;
	/** Its jobs by status. */
	readonly counts: Counts;
	/** Number of items in its input, once that has ended. */
	readonly total?: number;
	/** When a map first opened it. */
	readonly createdAt: number;
	/** When the first of its jobs was claimed. */
	readonly startedAt?: number;
	/** When its input and all its jobs had ended. */
	readonly completedAt?: number;
	/** When a map of it last ended with every result yielded. */
	readonly closedAt?: number;
	/** Jobs that ended per second, over the last 10 seconds or more, or since its map last began. */
	readonly jobsPerSecond?: number;
	/** Milliseconds until it completes at this rate. Known once its input has ended. */
	readonly remainingMs?: number;
}

/** A batch of the queue: a named map, of this program or another. */
export class BatchHandle {
	/** The name of the batch. */
	readonly name: string;
	readonly #client: DispatcherClient;
	readonly #now: () => number;

	/** @internal Use `engine.batch`. */
	constructor(client: DispatcherClient, name: string, now: () => number) {
		this.#client = client;
		this.name = name;
		this.#now = now;
	}

	/** Its state now; `undefined` if no batch has this name. */
	async info(): Promise<BatchInfo | undefined> {
		const batch = await this.#client.verb('batch', this.name);
		return batch && toBatchInfo(batch, this.#now());
	}

	/** Cancels its jobs that have not ended. A map of it that is under way goes on enqueuing. Returns the number of jobs, running ones included. */
	async cancel(): Promise<number> {
		const {cancelled, asked} = await this.#client.verb('cancel', {batch: this.name});
		return cancelled.length + asked.length;
	}

	/** Opens a new round for its failed, dead and cancelled jobs. Returns their number. */
	async retryFailed(): Promise<number> {
		return this.#client.verb('retry', {batch: this.name});
	}

	/**
	 * Deletes the batch with all its jobs, ended or not, in bounded steps. Returns the number of jobs. A map of it that is under
	 * way ends with `NoSuchJob` or `NoSuchBatch`; if it waits for its input, within about a second.
	 * @throws FaenaError `BatchRunning` if one of its jobs is running. Jobs that were deleted before stay deleted
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
	// The number of ended jobs falls when jobs are retried or cleaned up.
	const jobsPerSecond = (1000 * Math.max(0, completed + dead + cancelled - oldest.ended)) / (now - oldest.at);
	const hasEstimate = batch.total !== undefined && jobsPerSecond > 0;
	return {...batch, jobsPerSecond, ...(hasEstimate && {remainingMs: (1000 * (pending + running + failed)) / jobsPerSecond})};
}
