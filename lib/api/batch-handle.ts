import type {Batch, DeleteResult} from '../job/batch.ts';
import {type Counts, type JobId, UNENDED_STATUSES} from '../job/job.ts';
import {pages} from '../job/search.ts';
import {noSuchBatch} from '../store/conflict-errors.ts';
import type {DispatcherClient} from '../transport/client.ts';
import {checkWait, MAX_AWAITED, pause, timeLeft, type WaitOptions, waitForEnds} from './wait.ts';

/** The state of a batch. Times are milliseconds since 1970. A field is absent if its event has not happened, or it is not known.
 * @example const info: BatchInfo | undefined = await faena.batch('nightly').info(); */
export interface BatchInfo extends Omit<Batch, 'id' | 'marks' | 'flow'> {
	/** What made its jobs: a named map, a flow, or a named pipe. */
	readonly kind: 'map' | 'flow' | 'pipe';
	/** Jobs that ended per second, over the last 10 seconds or more, or since its map last began. Known while jobs of it run. */
	readonly jobsPerSecond?: number;
	/** Milliseconds until it completes at this rate. Known once its input has ended. */
	readonly remainingMs?: number;
}

/** How often a wait looks at a batch none of whose jobs is under way: its program still reads the input, or has ended. */
const LOOK_EVERY_MS = 500;

/** A batch of the queue: a named map or pipe, or a flow, of this program or another. Its verbs but `info()` reject with `NoSuchBatch` if there is none.
 * @example await faena.batch('nightly').cancel(); */
export class BatchHandle {
	/** The name of the batch. */
	readonly name: string;
	/** @internal */
	protected readonly client: DispatcherClient;

	/** @internal Use `engine.batch`. */
	constructor(client: DispatcherClient, name: string) {
		this.client = client;
		this.name = name;
	}

	/** Its state now; `undefined` if no batch has this name. */
	async info(): Promise<BatchInfo | undefined> {
		const batch = await this.client.verb('batch', this.name);
		return batch && toBatchInfo(batch, await this.client.verb('now'));
	}

	/**
	 * Resolves once its input and all its jobs have ended, with the numbers of jobs by status. Of a map or pipe whose program was stopped, the input
	 * ends when it is started again. Rejects only if the wait itself ends, or the batch was deleted.
	 * @throws FaenaError `NoSuchBatch`, `WaitTimeout`, `Closed`
	 * @example const {dead} = await faena.batch('thumbnails').ended({timeout: '1h'});
	 */
	async ended(options?: WaitOptions): Promise<Counts> {
		const wait = checkWait('ended()', options);
		const left = timeLeft(wait);
		for (;;) {
			const batch = await this.client.verb('batch', this.name);
			if (!batch) throw noSuchBatch(this.name);
			if (batch.completedAt !== undefined) return batch.counts;
			const ids = await this.#unended();
			if (ids.length > 0) await waitForEnds(this.client, ids, left());
			else await pause(LOOK_EVERY_MS, left(), seconds => `The batch ${this.name} had not ended after ${seconds} s.`);
		}
	}

	/** Some of its jobs that have not ended. */
	async #unended(): Promise<readonly JobId[]> {
		const search = {batch: this.name, status: UNENDED_STATUSES};
		for await (const {jobs} of pages(after => this.client.verb('jobs', search, {after, limit: MAX_AWAITED})))
			if (jobs.length > 0) return jobs.map(({id}) => id);
		return [];
	}

	/**
	 * Cancels its jobs that have not ended. A map of it that is under way, or a flow that is being enqueued, goes on enqueuing. Returns the number of
	 * jobs, running ones included.
	 */
	async cancel(): Promise<number> {
		const {cancelled, asked} = await this.client.verb('cancel', {batch: this.name});
		return this.#changed(cancelled.length + asked.length);
	}

	/** Opens a new round for its failed, dead and cancelled jobs. Returns their number. */
	async retry(): Promise<number> {
		return this.#changed(await this.client.verb('retry', {batch: this.name}));
	}

	/**
	 * Deletes the batch with all its jobs, ended or not, in bounded steps. Returns the number of jobs. A map of it that is under
	 * way ends with `NoSuchJob` or `NoSuchBatch`; if it waits for its input, within about a second.
	 * @throws FaenaError `BatchRunning` if one of its jobs is running. Jobs that were deleted before stay deleted
	 */
	async delete(): Promise<number> {
		if ((await this.client.verb('batch', this.name)) === undefined) throw noSuchBatch(this.name);
		return deleteWholly(() => this.client.verb('deleteBatch', this.name));
	}

	async #changed(jobs: number): Promise<number> {
		if (jobs === 0 && (await this.client.verb('batch', this.name)) === undefined) throw noSuchBatch(this.name);
		return jobs;
	}
}

/** Deletes a batch step by step. Returns the number of its jobs. */
export async function deleteWholly(deleteSome: () => Promise<DeleteResult>): Promise<number> {
	for (let jobs = 0; ; ) {
		const {deleted, isGone} = await deleteSome();
		jobs += deleted;
		if (isGone) return jobs;
	}
}

export function toBatchInfo({id: _, marks, flow, run: __, ...own}: Batch, now: number): BatchInfo {
	const batch: BatchInfo = {...own, kind: own.stages ? 'pipe' : flow ? 'flow' : 'map'};
	const {blocked, pending, running, failed, completed, dead, cancelled} = batch.counts;
	const [oldest] = marks;
	if (!oldest || batch.completedAt !== undefined || running === 0 || now <= oldest.at) return batch;
	// The number of ended jobs falls when jobs are retried or cleaned up.
	const jobsPerSecond = (1000 * Math.max(0, completed + dead + cancelled - oldest.ended)) / (now - oldest.at);
	const hasEstimate = batch.total !== undefined && jobsPerSecond > 0;
	return {...batch, jobsPerSecond, ...(hasEstimate && {remainingMs: (1000 * (blocked + pending + running + failed)) / jobsPerSecond})};
}
