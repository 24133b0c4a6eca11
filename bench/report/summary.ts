import type {Run} from '../analyse/run.ts';
import {type Line, linesOf} from '../short/describe.ts';
import {shortFigures} from '../short/figures.ts';
import {machineOf} from './markdown.ts';
import {type Column, inLines, markdownTable} from './table.ts';

const COLUMNS: readonly Column<Line>[] = [
	{title: '', isText: true, cell: ({what}) => what},
	{title: '', cell: ({value}) => value},
];

/** The figures of a run that README.md shows, in Markdown. */
export function summary(run: Run): string {
	const blocks = new Set(run.measured.map(({block}) => block)).size;
	const {cpuMicros: _cpu, shareOfSqlite: _share, callP99Ms: _p99, ...figures} = shortFigures(run);
	const measured = `${machineOf(run)} Medians of ${blocks} blocks, commit \`${run.machine.commit}\`.`;
	return `${inLines(measured)}\n\n${markdownTable(COLUMNS, linesOf(figures))}`;
}
