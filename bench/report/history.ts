import {show} from '../analyse/numbers.ts';
import type {Run} from '../analyse/run.ts';
import type {Interval} from '../analyse/statistics.ts';
import {smallest} from '../short/describe.ts';
import {type ShortFigures, shortFigures} from '../short/figures.ts';
import {type Column, markdownTable} from './table.ts';

interface Row {
	readonly run: Run;
	readonly figures: ShortFigures;
}

const COLUMNS: readonly Column<Row>[] = [
	{title: 'commit', isText: true, cell: ({run}) => `\`${run.machine.commit}\``},
	{title: 'day', isText: true, cell: ({run}) => run.at.slice(0, 10)},
	{title: 'processors', isText: true, cell: ({run: {machine}}) => `${machine.processors} × ${machine.model}`},
	{title: 'jobs/s in bulk', cell: ({figures}) => value(figures.bulkRate)},
	{title: 'CPU µs per job', cell: ({figures}) => value(figures.cpuMicros)},
	{title: '× Piscina', cell: ({figures}) => value(figures.timesPiscina)},
	{title: 'jobs/s awaited, 64 under way', cell: ({figures}) => value(figures.awaitedRate)},
	{title: 'a call, ms', cell: ({figures}) => value(figures.callMs)},
	{title: 'METG(95 %)', cell: ({figures}) => (figures.metg95 ? smallest(figures.metg95) : '')},
];

/** A line for each run of a plan, the oldest first. Only figures of the same machine can be compared. */
export function historyTable(runs: readonly Run[]): string {
	return markdownTable(
		COLUMNS,
		runs.map(run => ({run, figures: shortFigures(run)})),
	);
}

function value(interval: Interval | undefined): string {
	return interval ? show(interval.median) : '';
}
