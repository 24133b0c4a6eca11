import type {Command} from 'commander';
import {count} from './format.ts';
import {addJobsOptions, batchOf, type JobsOptions, refuseMissing, toFilter, withExistingQueue} from './options.ts';
import {print} from './print.ts';

export function addRetry(program: Command): void {
	addJobsOptions(program.command('retry'))
		.summary('run failed, dead and cancelled jobs again')
		.description(
			'Opens a new round for failed, dead and cancelled jobs: jobs by id, of a batch, or of a task.\n' +
				'A completed job is run again only if its id is given; its result is lost.\n' +
				'The jobs run when a program with their task works on the queue, or when their faena map is started again.',
		)
		.action(async (texts: readonly string[], options: JobsOptions) => {
			const filter = toFilter('retry', texts, options);
			await withExistingQueue(options.queue, async queue => {
				if (options.batch !== undefined) await batchOf(queue, options.batch);
				await print(`${count(await queue.retry(filter))} to be run again\n`);
				await refuseMissing(queue, filter);
			});
		});
}
