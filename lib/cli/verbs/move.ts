import {dirname, resolve} from 'node:path';
import type {Command} from 'commander';
import {bad, canRedraw, kindOf, showLine, shownLocation} from '../../internal/words.ts';
import {moveQueue, reopenQueue} from '../../queue.ts';
import {assertExists} from '../flags/queue-flag.ts';
import {inLine} from '../terminal/controls.ts';
import {count, counted, print} from '../terminal/print.ts';

const NAMES =
	'faena: faena map names a run by its command and the folder, seen from the queue: to go on with one, give --batch with its name, which faena batches lists.\n';

/** True for files of one folder. */
function areNeighbours(from: string, to: string): boolean {
	return kindOf(from).hasFiles && kindOf(to).hasFiles && dirname(resolve(from)) === dirname(resolve(to));
}

export function addMove(program: Command): void {
	program
		.command('move')
		.summary('move a queue to another file, or to or from PostgreSQL')
		.description(
			'Moves a queue with all that is in it: jobs in every state with their ids, attempts, results and logs, batches, schedules, and who waits for whom. ' +
				'Close all programs on it first. From the beginning on nothing can be written to the old queue, which stays, and can be read. ' +
				'If the command is interrupted, call it again: it goes on where it was.',
		)
		.requiredOption('--from <queue>', 'SQLite file or PostgreSQL URL of the queue')
		.option('--to <queue>', 'file or URL of the new queue, which must not exist, or be unused')
		.option('--reopen', 'instead of a move: let programs write to a queue again that has moved, or that a move has left half-way')
		.addHelpText('after', '\nExample:\n  faena move --from jobs.db --to postgres://faena@db.example/jobs\n  faena move --from jobs.db --reopen')
		.action(async ({from, to, reopen}: {readonly from: string; readonly to?: string; readonly reopen?: true}) => {
			if ((to === undefined) === (reopen === undefined)) throw bad('faena move expects either --to or --reopen');
			await assertExists(from, '--from');
			if (to === undefined) {
				await reopenQueue(from);
				await print(`Programs can write to ${inLine(shownLocation(from))} again. Don't use the other queue, too: both have its jobs.\n`);
				return;
			}
			let rows = 0;
			const endLine = canRedraw(process.stderr) ? showLine(() => `${count(rows)} rows have arrived`) : () => {};
			const onProgress = (arrived: number) => {
				rows = arrived;
			};
			const {jobs} = await moveQueue(from, to, {onProgress}).finally(endLine);
			const [old, anew] = [from, to].map(queue => inLine(shownLocation(queue)));
			await print(`${anew}: ${counted(jobs, 'job')}. ${old} can only be read from now on.\n`);
			if (!areNeighbours(from, to)) process.stderr.write(NAMES);
		});
}
