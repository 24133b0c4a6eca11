import type {Command} from 'commander';
import type {JobId} from '../../index.ts';
import {closeOnSignals, isSignalled} from '../../internal/api.ts';
import {FaenaError, kindOf, shownLocation} from '../../internal/words.ts';
import {type Batch, type JobQueue, openQueue} from '../../queue.ts';

/** A command for a queue that exists. */
export function queueCommand(program: Command, name: string, what = 'SQLite file or PostgreSQL URL of the jobs'): Command {
	return program.command(name).option('--queue <file>', what, 'faena.db');
}

/** Opens an existing queue for a moment, to change it or, with `readOnly`, to look at it. Never creates one. */
export async function useQueue<Result>(file: string, use: (queue: JobQueue) => Promise<Result>, {readOnly = false} = {}): Promise<Result> {
	await assertExists(file);
	const queue = await openQueue(file, {readOnly});
	// A signal closes the queue, and then ends the process: so a queue that is only looked at has the same files afterwards.
	const stopListening = closeOnSignals(queue);
	try {
		// Jobs of killed processes no longer run. A queue that is only looked at still shows them as running.
		if (!readOnly) await queue.reclaim();
		return await use(queue);
	} catch (error) {
		// It was closed under the command.
		if (isSignalled()) await new Promise(() => {});
		throw error;
	} finally {
		await queue.close();
		stopListening();
	}
}

/** @param option what names it. @throws FaenaError `BadDatabase` if `open()` would create the queue */
export async function assertExists(queue: string, option = '--queue'): Promise<void> {
	if (!(await kindOf(queue).exists(queue)))
		throw new FaenaError('BadDatabase', `There is no queue ${shownLocation(queue)} here; name its ${kindOf(queue).noun} with ${option}.`);
}

const MAX_NAMED_IDS = 10;

/** The error of every command that gets the id of a job that does not exist, or the ids of several. */
export function noSuchJob(file: string, ...ids: readonly JobId[]): FaenaError {
	const named = `${ids.slice(0, MAX_NAMED_IDS).join(', ')}${ids.length > MAX_NAMED_IDS ? ' …' : ''}`;
	return new FaenaError('NoSuchJob', `There is no job ${named} in ${shownLocation(file)}; it may have been cleaned up.`);
}

/** @throws FaenaError `NoSuchBatch` */
export async function batchOf(queue: JobQueue, name: string): Promise<Batch> {
	const batch = await queue.batch(name);
	if (!batch) throw new FaenaError('NoSuchBatch', `There is no batch ${JSON.stringify(name)} in ${queue.location}; faena batches lists them.`);
	return batch;
}
