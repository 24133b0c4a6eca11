import type {Command} from 'commander';
import {type BatchInfo, toBatchInfo} from '../api/handles.ts';
import {statusSummary} from '../index.ts';
import {useQueue} from './options.ts';
import {clock, count, formatRate, formatTime, inLine, print, toJson} from './print.ts';

export function addBatches(program: Command): void {
	program
		.command('batches')
		.summary('list the batches of a queue, and how far each is')
		.description('Lists the batches of a queue: the jobs of each by status, how fast they end, and the time that is left.')
		.option('--queue <file>', 'SQLite file of the jobs', 'faena.db')
		.option('--json', 'print a line of JSON for each')
		.action(async ({queue: file, json}: {readonly queue: string; readonly json?: true}) => {
			const now = Date.now();
			const batches = await useQueue(file, async queue => (await queue.batches()).map(batch => toBatchInfo(batch, now)), {readOnly: true});
			await print(json ? batches.map(batch => `${toJson(batch)}\n`).join('') : describe(file, batches));
		});
}

function describe(file: string, batches: readonly BatchInfo[]): string {
	if (batches.length === 0) return `${file}: no batches\n`;
	const rows = batches.map(batch => [inLine(batch.name), inLine(batch.task), describeOne(batch)] as const);
	const widthOf = (column: 0 | 1) => rows.reduce((most, row) => Math.max(most, row[column].length), 0);
	const [names, tasks] = [widthOf(0), widthOf(1)];
	return rows.map(([name, task, end]) => `${name.padEnd(names)}  ${task.padEnd(tasks)}  ${end}\n`).join('');
}

/** For instance `1,204 completed, 370 pending  of 1,574  112/s  ETA 0:04`. */
function describeOne({counts, total, completedAt, jobsPerSecond = 0, remainingMs}: BatchInfo): string {
	// The batch has more jobs than the last input had items if an earlier input was longer.
	const jobs = Object.values(counts).reduce((sum, each) => sum + each, 0);
	const parts = [
		statusSummary(counts),
		total !== undefined && `of ${count(Math.max(total, jobs))}`,
		completedAt !== undefined && `done ${formatTime(completedAt)}`,
		jobsPerSecond > 0 && formatRate(jobsPerSecond),
		remainingMs !== undefined && `ETA ${clock(remainingMs / 1000)}`,
	];
	return parts.filter(Boolean).join('  ');
}
