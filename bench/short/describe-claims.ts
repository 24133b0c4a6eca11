import {show} from '../analyse/numbers.ts';
import type {Run} from '../analyse/run.ts';
import {showInterval, showMedian} from '../report/columns.ts';
import type {ClaimFigures} from './claims.ts';
import {machineLine, remarks} from './describe.ts';

/** One figure of a case, as a column. */
type Column = readonly [title: string, cell: (figures: ClaimFigures) => string];

const COLUMNS = {
	batch: ['jobs a claim', ({batch}) => show(batch)],
	processes: ['processes', ({processes}) => show(processes)],
	measured: ['', ({completes}) => (completes ? 'claim and complete' : 'claim')],
	rate: ['jobs/s', ({jobsPerSecond}) => showInterval(jobsPerSecond)],
	timesOne: ['× one process', ({timesOne}) => (timesOne ? show(timesOne.median) : '')],
	p50: ['claim, p50 ms', ({claimP50Ms}) => showMedian(claimP50Ms)],
	p99: ['p99 ms', ({claimP99Ms}) => showMedian(claimP99Ms)],
	cpu: ['CPU µs a job', ({cpuMicros}) => showMedian(cpuMicros)],
	fairness: ['fairness', ({fairness}) => showMedian(fairness)],
} as const satisfies Record<string, Column>;

/** For a terminal: how fast one process claims, by how many jobs at a time. */
export function describeDequeue(run: Run, figures: readonly ClaimFigures[]): string {
	const {measured, batch, rate, p50, p99, cpu} = COLUMNS;
	return textOf(
		run,
		figures,
		[measured, batch, rate, p50, p99, cpu],
		['A claim is one call of dequeue() and one transaction, with one fsync for all its jobs.', 'Completing these jobs is another transaction.'],
	);
}

/** For a terminal: how fast several processes claim and complete from one file. */
export function describeContention(run: Run, figures: readonly ClaimFigures[]): string {
	const {batch, processes, rate, timesOne, p50, p99, cpu, fairness} = COLUMNS;
	return textOf(
		run,
		figures,
		[batch, processes, rate, timesOne, p50, p99, cpu, fairness],
		[
			'SQLite lets one process write at a time. Several processes share its rate, and each waits longer.',
			'Fairness is Jain’s index of what they got: 1 if all got the same, 1/n if one of n got everything.',
		],
	);
}

function textOf(run: Run, figures: readonly ClaimFigures[], columns: readonly Column[], sentences: readonly string[]): string {
	return `${[machineLine(run), '', ...inColumns(columns, figures), '', ...sentences, ...remarks(run)].join('\n')}\n`;
}

function inColumns(columns: readonly Column[], figures: readonly ClaimFigures[]): string[] {
	const rows = [columns.map(([title]) => title), ...figures.map(each => columns.map(([, cell]) => cell(each)))];
	const widths = columns.map((_, index) => Math.max(...rows.map(row => (row[index] as string).length)));
	return rows.map(row => `  ${row.map((cell, index) => cell.padStart(widths[index] as number)).join('  ')}`.trimEnd());
}
