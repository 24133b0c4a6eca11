import {groupsOf, over} from '../analyse/group.ts';
import {show} from '../analyse/numbers.ts';
import type {Run} from '../analyse/run.ts';
import type {Intake} from '../plan/suite.ts';
import {type Line, linesOf} from '../short/describe.ts';
import {shortFigures} from '../short/figures.ts';
import {machineOf} from './markdown.ts';
import {type Column, inLines, markdownTable} from './table.ts';

const COLUMNS: readonly Column<Line>[] = [
	{title: '', isText: true, cell: ({what}) => what},
	{title: '', cell: ({value}) => value},
];

/** The rates of a run that README.md names, in three lines. */
export function frontLines(run: Run): string {
	const {mapRate, awaitedRate, callMs} = shortFigures(run);
	const {processors, model, commit} = run.machine;
	const parts = [
		mapRate && `${show(mapRate.median)} items of a map that need no work`,
		awaitedRate && `${show(awaitedRate.median)} enqueues with 64 under way`,
	].filter(Boolean);
	const call = callMs ? ` A call on an idle engine takes ${show(callMs.median)} ms.` : '';
	const measured = `On ${processors} processors (${model}, commit \`${commit}\`), a second has room for ${parts.join(', or ')}, each on disk before it is reported.`;
	return inLines(`${measured}${call} [More figures, other queues, and how to measure your machine](docs/speed.md).`);
}

/** The figures of a run that docs/speed.md shows, in Markdown. */
export function summary(run: Run): string {
	const blocks = new Set(run.measured.map(({block}) => block)).size;
	const {cpuMicros: _cpu, shareOfSqlite: _share, callP99Ms: _p99, ...figures} = shortFigures(run);
	const measured = `${machineOf(run)} Medians of ${blocks} blocks, commit \`${run.machine.commit}\`.`;
	return `${inLines(measured)}\n\n${markdownTable(COLUMNS, linesOf(figures))}\n\n${inLines(repeated(run))}`;
}

/** The rates of the table, in its order, for the sentence about them. */
const RATES: readonly (readonly [intake: Intake, name: string])[] = [
	['map', 'the map'],
	['call', 'the calls'],
	['default', 'the 64 enqueues'],
	['strict', 'the enqueues one by one'],
	['bulk', 'enqueueMany()'],
];

/** How many finished jobs a kill repeats at each of the rates. */
function repeated(run: Run): string {
	const drains = groupsOf(run).filter(({trial, subject, durability}) => trial === 'drain' && subject === 'faena' && durability === 'full');
	const parts = RATES.flatMap(([intake, name]) => {
		const group = drains.find(each => each.intake === intake);
		const jobs = group && over(group, ({measurement}) => measurement.atRisk);
		return jobs ? [`${show(jobs.median)} of ${name}`] : [];
	});
	return `At these rates a \`kill -9\` repeats at most so many finished jobs: ${parts.join(', ')}.`;
}
