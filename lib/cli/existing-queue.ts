import {existsSync} from 'node:fs';
import {type Batch, FaenaError, type JobId, type JobQueue, openQueue, type QueueOptions} from '../index.ts';

/** Changes a queue that is there; never creates one. */
export async function withExistingQueue<Result>(file: string, change: (queue: JobQueue) => Promise<Result>): Promise<Result> {
	return useQueue(file, {}, async queue => {
		// What a killed process ran is not running any more.
		await queue.recover();
		return change(queue);
	});
}

/** Looks into a queue that is there, and writes nothing: what a killed process ran is running until somebody works on the queue. */
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
	throw new FaenaError('BadOption', `A job's id is a positive whole number, such as the "job" in the output of faena map; this is ${JSON.stringify(text)}.`);
}
