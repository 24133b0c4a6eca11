import {type By, type Curve, type CurvePoint, efficiencyAt, efficiencyCurves, metgOf, workAt} from '../analyse/efficiency.ts';
import {labelOf, laneName} from '../analyse/labels.ts';
import type {Metg} from '../analyse/metg.ts';
import {showMicros, showPercent} from '../analyse/numbers.ts';
import type {Run} from '../analyse/run.ts';
import type {TaskName} from '../plan/suite.ts';
import {showInterval} from './columns.ts';
import {type Column, markdownTable} from './table.ts';

const WORK: Readonly<Record<TaskName, string>> = {
	identity: 'nothing',
	spin: 'an integer kernel (xorshift)',
	sha256: 'SHA-256 of one message, in pieces of 4 KiB',
	json: 'parsing and printing JSON',
	wait: 'waiting',
};

/** Efficiency over the size of jobs, and the smallest jobs that are worth it. */
export function granularitySection(run: Run): string[] {
	const curves = efficiencyCurves(run);
	if (curves.length === 0) return [];
	const tasks = [...Map.groupBy(curves, ({task}) => task)];
	return ['### Granularity', EXPLANATION, ...tasks.flatMap(([task, own]) => [`#### Work: ${WORK[task]}`, ...tablesOf(own)])];
}

const EXPLANATION =
	'The ideal is a bare loop in each thread. Efficiency by time is the ideal’s time for the same jobs in the same block, divided by the subject’s time. Efficiency by CPU is the ' +
	'same ratio of CPU times, each of the whole process tree and its servers. METG(95 %) is the smallest job with an efficiency of 95 %. A job’s work is the CPU time that the ' +
	'ideal used for it.';

function tablesOf(curves: readonly Curve[]): string[] {
	return [
		'Efficiency by time:',
		efficiencyTable(curves, 'byTime'),
		'Efficiency by CPU:',
		efficiencyTable(curves, 'byCpu'),
		'The smallest efficient job:',
		markdownTable(METG_COLUMNS, curves),
	];
}

function efficiencyTable(curves: readonly Curve[], by: By): string {
	const sizes = [...new Set(curves.flatMap(({points}) => points.map(({workMicros}) => workMicros)))].sort((one, other) => one - other);
	const columns = curves.map((curve): Column<number> => {
		const cell = (size: number) => {
			const point = pointAt(curve, size);
			return point ? showInterval(efficiencyAt(point, by, curve.seed), showPercent) : '';
		};
		return {title: nameOf(curve), cell};
	});
	const measured = (size: number) => workAt(curves.map(curve => pointAt(curve, size)).find(point => point) as CurvePoint);
	return markdownTable([{title: 'intended work', cell: showMicros}, {title: 'a job’s work', cell: size => showMicros(measured(size))}, ...columns], sizes);
}

function pointAt({points}: Curve, size: number): CurvePoint | undefined {
	return points.find(({workMicros}) => workMicros === size);
}

const METG_COLUMNS: readonly Column<Curve>[] = [
	{title: '', isText: true, cell: nameOf},
	...([0.5, 0.9, 0.95] as const).map(share => metgColumn(share, 'byTime')),
	...([0.5, 0.9, 0.95] as const).map(share => metgColumn(share, 'byCpu')),
];

function metgColumn(share: number, by: By): Column<Curve> {
	return {
		title: `METG(${showPercent(share)})${by === 'byCpu' ? ' by CPU' : ''}`,
		cell: curve => {
			const found = metgOf(curve, share, by);
			if (!found) return '';
			const {metg, interval} = found;
			const isBound = metg.kind === 'below' || metg.kind === 'above';
			return isBound || interval.count < 3 ? showMetg(metg) : `${showMetg(metg)} (${showMicros(interval.low)}–${showMicros(interval.high)})`;
		},
	};
}

function showMetg({kind, workMicros}: Metg): string {
	return PHRASES[kind](showMicros(workMicros));
}

const PHRASES: Readonly<Record<Metg['kind'], (work: string) => string>> = {
	measured: work => work,
	derived: work => `${work}, derived`,
	below: work => `≤ ${work}`,
	above: work => `> ${work}`,
};

function nameOf(curve: Curve): string {
	return `${labelOf(curve.subject)} (${laneName(curve)})`;
}
