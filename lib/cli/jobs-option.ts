import type {Command} from 'commander';
import {FaenaError, type JobFilter, type JobId} from '../index.ts';
import type {JobQueue} from '../queue.ts';
import {defined} from '../support/defined.ts';
import {toId} from './existing-queue.ts';

/** The arguments and options that select jobs: ids, a batch or a task. */
export interface JobsOptions {
	readonly queue: string;
	readonly batch?: string;
	readonly task?: string;
}

export function addJobsOptions(command: Command): Command {
	return command
		.argument('[ids...]', 'ids of jobs')
		.option('--queue <file>', 'SQLite file of the jobs', 'faena.db')
		.option('--batch <name>', 'jobs of this batch, that is, of this run')
		.option('--task <name>', 'jobs of this task');
}

/** @throws FaenaError `BadOption` if no jobs are selected */
export function toFilter(verb: string, texts: readonly string[], {batch, task}: JobsOptions): JobFilter {
	if (texts.length === 0 && batch === undefined && task === undefined) throw new FaenaError('BadOption', `Name what to ${verb}: ids, a --batch or a --task.`);
	return defined({ids: texts.length > 0 ? texts.map(toId) : undefined, batch, task});
}

/**
 * To be called when the command is done for the other jobs.
 * @throws FaenaError `NoSuchJob` if a job that was named does not exist
 */
export async function refuseMissing(queue: JobQueue, {ids = []}: JobFilter): Promise<void> {
	const missing: JobId[] = [];
	for (const id of ids) if ((await queue.job(id)) === undefined) missing.push(id);
	if (missing.length === 0) return;
	const named = `${missing.slice(0, MAX_NAMED_IDS).join(', ')}${missing.length > MAX_NAMED_IDS ? ' …' : ''}`;
	throw new FaenaError('NoSuchJob', `There is no job ${named} in ${queue.location}; it may have been cleaned up.`);
}

const MAX_NAMED_IDS = 10;
