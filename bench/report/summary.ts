import type {Run} from '../analyse/run.ts';
import {type Line, linesOf} from '../short/describe.ts';
import {shortFigures} from '../short/figures.ts';
import {machineOf} from './markdown.ts';
import {type Column, markdownTable} from './table.ts';

const COLUMNS: readonly Column<Line>[] = [
	{title: '', isText: true, cell: ({what}) => what},
	{title: '', cell: ({value}) => value},
];

/** What says most of a run, in Markdown, for who reads no more than that. */
export function summary(run: Run): string {
	const blocks = new Set(run.measured.map(({block}) => block)).size;
	return `${machineOf(run)} Medians of ${blocks} blocks, commit \`${run.machine.commit}\`.\n\n${markdownTable(COLUMNS, linesOf(shortFigures(run)))}`;
}
