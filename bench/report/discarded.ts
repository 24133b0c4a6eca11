import {keyOf} from '../analyse/group.ts';
import {labelOf, laneName} from '../analyse/labels.ts';
import {show, showMicros} from '../analyse/numbers.ts';
import type {Run} from '../analyse/run.ts';
import type {Entry} from '../plan/suite.ts';
import {type Column, markdownTable} from './table.ts';

/** Lists what the other tables leave out, and the reasons. */
export function discardedSections(run: Run): string[] {
	return [...discarded(run), ...notRun(run)];
}

interface Row {
	readonly entries: readonly [Entry, ...Entry[]];
	/** Number of blocks in which a repetition of the same case counts. */
	readonly measured: number;
}

function discarded({discarded, measured}: Run): string[] {
	const total = discarded.length + measured.length;
	const heading = [
		'### Discarded',
		`${show(discarded.length)} of ${show(total)} measurements don’t count. The discard rule was written before the first measurement.`,
	];
	if (discarded.length === 0) return heading;
	const byCase = Map.groupBy(discarded, keyOf);
	const rows = [...byCase].map(([key, entries]) => ({entries: entries as [Entry, ...Entry[]], measured: measured.filter(each => keyOf(each) === key).length}));
	return [...heading, markdownTable(COLUMNS, rows)];
}

const COLUMNS: readonly Column<Row>[] = [
	{title: 'trial', isText: true, cell: ({entries: [{trial}]}) => trial},
	{title: 'subject', isText: true, cell: ({entries: [{subject}]}) => labelOf(subject)},
	{title: 'lane', isText: true, cell: ({entries: [first]}) => laneName(first)},
	{title: 'a job’s work', cell: ({entries: [{workMicros}]}) => (workMicros === 0 ? '' : showMicros(workMicros))},
	{
		title: 'varied',
		isText: true,
		cell: ({entries: [{vary = {}}]}) =>
			Object.entries(vary)
				.map(pair => pair.join(' '))
				.join(', '),
	},
	{title: 'reasons', isText: true, cell: ({entries}) => entries.map(({block, discarded}) => `block ${block}: ${discarded}`).join('; ')},
	{title: 'blocks that count', cell: ({measured}) => show(measured)},
];

function notRun({notRun}: Run): string[] {
	if (notRun.length === 0) return [];
	const columns: readonly Column<Run['notRun'][number]>[] = [
		{title: 'subject', isText: true, cell: ({subject}) => labelOf(subject)},
		{title: 'reason', isText: true, cell: ({reason}) => reason},
	];
	return ['### Not run', markdownTable(columns, notRun)];
}
