import {existsSync} from 'node:fs';
import {FaenaError, type JobId} from '../index.ts';
import {type Batch, type JobQueue, openQueue, type QueueOptions} from '../queue.ts';

/** Opens an existing queue to change it, and never creates one. */
export async function withExistingQueue<Result>(file: string, change: (queue: JobQueue) => Promise<Result>): Promise<Result> {
	return useQueue(file, {}, async queue => {
		// Jobs of killed processes no longer run.
		await queue.reclaim();
		return change(queue);
	});
}

/** Opens an existing queue read-only. It writes nothing, so jobs of killed processes are still shown as running. */
export async function lookAtQueue<Result>(file: string, look: (queue: JobQueue) => Promise<Result>): Promise<Result> {
	return useQueue(file, {readOnly: true}, look);
}

async function useQueue<Result>(file: string, options: QueueOptions, use: (queue: JobQueue) => Promise<Result>): Promise<Result> {
	if (!existsSync(file)) throw new FaenaError('BadDatabase', `There is no queue ${file} here; name its file with --queue.`);
	const queue = await openQueue(file, options);
	try {
		return await use(queue);
	} finally {
		await queue.close();
	}
}

/** @throws FaenaError `NoSuchBatch` */
export async function batchOf(queue: JobQueue, name: string): Promise<Batch> {
	const batch = await queue.batch(name);
	if (!batch) throw new FaenaError('NoSuchBatch', `There is no batch ${JSON.stringify(name)} in ${queue.location}; faena batches lists them.`);
	return batch;
}

/** @throws FaenaError `BadOption` */
export function toId(text: string): JobId {
	const id = Number(text);
	if (/^\d+$/.test(text) && Number.isSafeInteger(id) && id > 0) return id;
	throw new FaenaError('BadOption', `A job's id is a positive whole number, such as the "jobId" in the output of faena map; this is ${JSON.stringify(text)}.`);
}
