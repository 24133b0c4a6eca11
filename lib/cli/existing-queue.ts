import {existsSync} from 'node:fs';
import {FaenaError, type JobQueue, openQueue} from '../index.ts';

/** Looks into a queue that is there; never creates one. */
export async function withExistingQueue<Result>(file: string, look: (queue: JobQueue) => Promise<Result>): Promise<Result> {
	if (!existsSync(file)) throw new FaenaError('BadDatabase', `There is no queue ${file} here; name its file with --queue.`);
	const queue = await openQueue(file);
	try {
		return await look(queue);
	} finally {
		await queue.close();
	}
}
