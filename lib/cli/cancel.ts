import type {Command} from 'commander';
import {count} from './format.ts';
import {addJobsOptions, batchOf, type JobsOptions, refuseMissing, toFilter, withExistingQueue} from './options.ts';
import {print} from './print.ts';

export function addCancel(program: Command): void {
	addJobsOptions(program.command('cancel'))
		.summary('cancel jobs that have not ended')
		.description('Cancels jobs that have not ended: jobs by id, of a batch, or of a task. Running jobs are stopped.')
		.action(async (texts: readonly string[], options: JobsOptions) => {
			const filter = toFilter('cancel', texts, options);
			await withExistingQueue(options.queue, async queue => {
				if (options.batch !== undefined) await batchOf(queue, options.batch);
				const {cancelled, asked} = await queue.cancel(filter);
				await print(`${count(cancelled.length)} cancelled, ${count(asked.length)} running and told to stop\n`);
				await refuseMissing(queue, filter);
			});
		});
}
