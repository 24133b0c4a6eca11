import type {Command} from 'commander';
import {nanoid} from 'nanoid';
import {deleteWholly} from '../../internal/api.ts';
import {defined, FaenaError} from '../../internal/words.ts';
import type {Batch, JobQueue} from '../../queue.ts';
import {batchOf, queueCommand, useQueue} from '../flags/queue-flag.ts';
import {counted, print} from '../terminal/print.ts';

export function addDelete(program: Command): void {
	queueCommand(program, 'delete')
		.summary('delete a batch with all its jobs')
		.description('Deletes a batch, that is, a run of faena map, a map, a flow or a pipe, with all its jobs and their results. Its name is free again.')
		.argument('<batch>', 'name of the batch')
		.action((name: string, {queue: file}: {readonly queue: string}) =>
			useQueue(file, async queue => {
				await own(queue, await batchOf(queue, name));
				await print(`${counted(await deleteWholly(() => queue.deleteBatch(name)), 'job')} deleted\n`);
			}),
		);
}

/** Takes the batch, so that no map has it. A flow is not taken: its jobs are all there, or its program makes them again. */
async function own(queue: JobQueue, {name, task, stages, flow, counts}: Batch): Promise<void> {
	// A batch with running jobs can't be deleted anyway, and stays as it is.
	if (flow || counts.running > 0) return;
	try {
		await queue.store.openBatch(name, task, nanoid(), defined({stages}));
	} catch (error) {
		if (!(error instanceof FaenaError) || error.code !== 'BatchInUse') throw error;
		throw new FaenaError('BatchInUse', `A program is running the batch ${JSON.stringify(name)}. End it first, for instance with Ctrl-C in its terminal.`, {
			cause: error,
		});
	}
}
