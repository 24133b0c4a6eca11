import type {Command} from 'commander';
import {FaenaError} from '../index.ts';
import {count} from './bar.ts';
import {toId, withExistingQueue} from './existing-queue.ts';

interface Options {
	readonly queue: string;
	readonly batch?: string;
	readonly task?: string;
}

export function addCancel(program: Command): void {
	program
		.command('cancel')
		.summary('cancel jobs that have not ended')
		.description('Cancels jobs that have not ended: those of the ids, of a batch, or of a task. Running ones are stopped.')
		.argument('[ids...]', "the jobs' numbers")
		.option('--queue <file>', 'SQLite file in which the jobs live', 'faena.db')
		.option('--batch <name>', 'the jobs of this batch, that is, of this run')
		.option('--task <name>', 'the jobs of this task')
		.action(async (texts: readonly string[], {queue: file, batch, task}: Options) => {
			if (texts.length === 0 && batch === undefined && task === undefined)
				throw new FaenaError('BadOption', 'Name what to cancel: ids, a --batch or a --task.');
			const filter = {...(texts.length > 0 && {ids: texts.map(toId)}), ...(batch !== undefined && {batch}), ...(task !== undefined && {task})};
			const {cancelled, asked} = await withExistingQueue(file, async queue => queue.cancel(filter));
			process.stdout.write(`${count(cancelled.length)} cancelled, ${count(asked.length)} running and told to stop\n`);
		});
}
