import type {Command} from 'commander';
import type {JobFilter, JobId} from '../../index.ts';
import {bad, defined, moveAll} from '../../internal/words.ts';
import type {JobQueue} from '../../queue.ts';
import {toId, toStatuses} from '../flags/flag-values.ts';
import {batchOf, noSuchJob, queueCommand, useQueue} from '../flags/queue-flag.ts';
import {count, print} from '../terminal/print.ts';

export function addCancel(program: Command): void {
	const command = queueCommand(program, 'cancel')
		.summary('cancel jobs that have not ended')
		.description('Cancels jobs that have not ended: jobs by id, of a batch, or of a task. Running jobs are stopped.');
	addChange(command, async (queue, filter) => {
		const {ids, asked} = await moveAll(queue.store, filter, 'cancelled');
		const more = asked.length === 1 ? '; 1 more is running and was told to stop' : `; ${count(asked.length)} more are running and were told to stop`;
		return `${count(ids.length)} cancelled${asked.length > 0 ? more : ''}\n`;
	});
}

export function addRetry(program: Command): void {
	const command = queueCommand(program, 'retry')
		.summary('run failed, dead and cancelled jobs again')
		.description(
			'Runs failed, dead and cancelled jobs again, with all their attempts: jobs by id, of a batch, or of a task.\n' +
				'Completed jobs are run again only by id, by --status completed or by --stale; their results are deleted.\n' +
				'This command itself runs no job. A program with their task does, or their faena map when it is started again.',
		);
	command.option('--stale', 'jobs that were made from results which are no longer the last ones, and what follows; without ids, --batch and --task: all');
	addChange(command, async (queue, filter) => `${count(await queue.retry(filter))} to be run again\n${await whyNot(queue, filter)}`);
}

/** Says of jobs that were named, and stay as they are, what to do. */
async function whyNot(queue: JobQueue, {ids = [], stale, ...others}: JobFilter): Promise<string> {
	const lines: string[] = [];
	const left = stale ? await queue.jobs({...others, stale, ...(ids.length > 0 && {ids})}).page({limit: 1}) : [];
	if (left.length > 0) lines.push(`Stale jobs stay as they are, such as ${left[0]?.id}: a job for which they have waited was deleted.\n`);
	for (const id of ids.slice(0, MAX_NAMED_IDS)) {
		const job = await queue.job(id);
		if (job?.held) lines.push(`Job ${id} is held. It runs once its run names it: its command with all of its input, or with --missing run.\n`);
		if (job?.status !== 'cancelled' || job.error?.reason !== 'parent') continue;
		lines.push(`Job ${id} stays cancelled. ${job.error.message} Retry that one: this one comes back with it.\n`);
	}
	return lines.join('');
}

const MAX_NAMED_IDS = 10;

/** Makes a command change the jobs that its arguments select, and print the text that `change` returns. */
function addChange(command: Command, change: (queue: JobQueue, filter: JobFilter) => Promise<string>): void {
	command
		.argument('[ids...]', 'ids of jobs', (text, before: readonly JobId[] = []) => [...before, toId(text)])
		.option('--batch <name>', 'jobs of this batch, that is, of this run')
		.option('--task <name>', 'jobs of this task')
		.option('--status <names>', 'of these only those in this status, or in several, with commas between', toStatuses)
		.action(async (given: readonly JobId[] | undefined, {queue: file, batch, task, status, stale}: JobFilter & {readonly queue: string}) => {
			const ids = given?.length ? given : undefined;
			if (!ids && batch === undefined && task === undefined && !stale) throw bad(`Name what to ${command.name()}: ids, a --batch or a --task.`);
			await useQueue(file, async queue => {
				if (batch !== undefined) await batchOf(queue, batch);
				const missing = await missingOf(queue, ids ?? []);
				if (!ids || missing.length < ids.length) await print(await change(queue, defined({ids, batch, task, status, stale})));
				// The other jobs were changed.
				if (missing.length > 0) throw noSuchJob(file, ...missing);
			});
		});
}

async function missingOf(queue: JobQueue, ids: readonly JobId[]): Promise<JobId[]> {
	const known = new Set((await queue.jobs({ids}).toArray()).map(({id}) => id));
	return ids.filter(id => !known.has(id));
}
