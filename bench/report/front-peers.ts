import {rate} from '../analyse/figures.ts';
import {type Figure, type Group, groupsOf, over} from '../analyse/group.ts';
import {labelOf} from '../analyse/labels.ts';
import {show} from '../analyse/numbers.ts';
import type {Run} from '../analyse/run.ts';
import type {Intake} from '../plan/suite.ts';
import {machineOf} from './markdown.ts';
import {type Column, inLines, markdownTable} from './table.ts';

const SUBJECTS = ['faena', 'bullmq', 'pg-boss', 'graphile-worker', 'plainjob', 'liteque', 'sidequest'] as const;

/** A row: where its figures are, and how they are shown. */
interface Row {
	readonly what: string;
	readonly trial: 'drain' | 'latency';
	readonly intake: Intake;
	readonly perSecond?: number;
	readonly figure: Figure;
	/** Which of two figures is better. */
	readonly best: (...values: number[]) => number;
}

const rates = {trial: 'drain', figure: rate, best: Math.max} as const;
const ROWS: readonly Row[] = [
	{...rates, what: 'results awaited, 64 under way', intake: 'call'},
	{...rates, what: 'enqueues awaited, 64 under way', intake: 'default'},
	{...rates, what: 'enqueues awaited one by one', intake: 'strict'},
	{...rates, what: 'all in one call', intake: 'bulk'},
	...[50, 1000].map(perSecond => ({
		what: `ms until a result is there, ${perSecond.toLocaleString('en')} jobs a second`,
		trial: 'latency' as const,
		intake: 'default' as const,
		perSecond,
		figure: (({measurement}) => measurement.latencyMs?.durableResult?.p50) satisfies Figure,
		best: Math.min,
	})),
];

/** Figures of other queues beside Faena's, for docs/speed.md, in Markdown. The best of a row is bold. */
export function peersSummary(run: Run): string {
	const groups = groupsOf(run).filter(({durability}) => durability === 'full');
	const cellOf = (row: Row, subject: string) => {
		const medians = new Map(SUBJECTS.map(each => [each, medianOf(groups, row, each)] as const));
		const [own, best] = [medians.get(subject as (typeof SUBJECTS)[number]), row.best(...[...medians.values()].filter(value => value !== undefined))];
		return own === undefined ? '' : own === best ? `**${show(own)}**` : show(own);
	};
	const columns: readonly Column<Row>[] = [
		{title: 'jobs/s', isText: true, cell: ({what}) => what},
		...SUBJECTS.map(subject => ({title: labelOf(subject), cell: (row: Row) => cellOf(row, subject)})),
	];
	const blocks = new Set(run.measured.map(({block}) => block)).size;
	return `${inLines(`${machineOf(run)} Medians of ${blocks} blocks, commit \`${run.machine.commit}\`.`)}\n\n${markdownTable(columns, ROWS)}`;
}

function medianOf(groups: readonly Group[], {trial, intake, perSecond, figure}: Row, subject: string): number | undefined {
	const group = groups.find(each => each.trial === trial && each.intake === intake && each.subject === subject && each.vary?.['perSecond'] === perSecond);
	return group && over(group, figure)?.median;
}
