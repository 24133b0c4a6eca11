import type {Command} from 'commander';
import {FaenaError, type JobFilter, type JobId, type JobQueue} from '../index.ts';
import {toId} from './existing-queue.ts';

/** How jobs are named at the shell: by ids, or as those of a batch or a task. */
export interface JobsOptions {
	readonly queue: string;
	readonly batch?: string;
	readonly task?: string;
}

export function addJobsOptions(command: Command): Command {
	return command
		.argument('[ids...]', "the jobs' numbers")
		.option('--queue <file>', 'SQLite file in which the jobs live', 'faena.db')
		.option('--batch <name>', 'the jobs of this batch, that is, of this run')
		.option('--task <name>', 'the jobs of this task');
}

/** @throws FaenaError `BadOption` if nothing is named */
export function toFilter(verb: string, texts: readonly string[], {batch, task}: JobsOptions): JobFilter {
	if (texts.length === 0 && batch === undefined && task === undefined) throw new FaenaError('BadOption', `Name what to ${verb}: ids, a --batch or a --task.`);
	return {...(texts.length > 0 && {ids: texts.map(toId)}), ...(batch !== undefined && {batch}), ...(task !== undefined && {task})};
}

/**
 * Jobs that were named but aren't there, told after what was done for the others.
 * @throws FaenaError `NoSuchJob`
 */
export async function refuseMissing(queue: JobQueue, {ids = []}: JobFilter): Promise<void> {
	const missing: JobId[] = [];
	for (const id of ids) if ((await queue.job(id)) === undefined) missing.push(id);
	if (missing.length === 0) return;
	const named = `${missing.slice(0, MAX_NAMED).join(', ')}${missing.length > MAX_NAMED ? ' …' : ''}`;
	throw new FaenaError('NoSuchJob', `There is no job ${named} in ${queue.location}; it may have been cleaned up.`);
}

const MAX_NAMED = 10;
