import {cpuMicrosPerJob, rate} from '../analyse/figures.ts';
import {type Group, groupsOf, haveSameVaried, over, sameLane} from '../analyse/group.ts';
import {durabilityLabel, labelOf, laneLabel, laneName} from '../analyse/labels.ts';
import {show} from '../analyse/numbers.ts';
import type {Run} from '../analyse/run.ts';
import type {Quantiles, Span} from '../plan/suite.ts';
import {
	type BaseOf,
	BESIDE_RATES,
	COUNT,
	CPU,
	CPU_SPLIT,
	figuresIn,
	JOBS,
	LOOP_DELAY,
	ofBase,
	RATE,
	SUBJECT,
	showMedian,
	toBase,
	variedIn,
	WORK,
	wordsOf,
} from './columns.ts';
import {scalabilitySection} from './scalability.ts';
import {type Column, markdownTable} from './table.ts';

/** How a trial is shown: a table for each of its lanes, and one of what it measured of latencies. */
interface Shown {
	readonly trial: string;
	readonly title: string;
	readonly explanation: string;
	readonly columns: (groups: readonly Group[]) => readonly Column<Group>[];
	/** Whether jobs come in as the lane says: other trials have a way of their own. */
	readonly hasIntake?: true;
	/** The subject to which the others of the block are compared; what of them, and how it is called. */
	/** What comes after the tables. */
	readonly more?: (run: Run) => string[];
	readonly base?: {readonly subject: string; readonly columns: (baseOf: BaseOf) => readonly Column<Group>[]};
}

const SHOWN: readonly Shown[] = [
	{
		trial: 'drain',
		title: 'Drain',
		explanation:
			'Jobs that do nothing, from the first one’s enqueue to the last one’s result, as durable as the lane says. *Jobs at risk* may run again if the program is killed.',
		hasIntake: true,
		columns: () => [RATE, CPU, ...CPU_SPLIT, ...BESIDE_RATES, LOOP_DELAY],
		base: {
			subject: 'faena',
			columns: baseOf => [ofBase('Faena’s rate ÷ its', baseOf, rate), toBase('its CPU ÷ Faena’s', baseOf, cpuMicrosPerJob)],
		},
	},
	{
		trial: 'call',
		title: 'A call on an idle engine',
		explanation: 'From enqueue to durable result, one call at a time.',
		columns: groups => [RATE, CPU, ...figuresIn(groups)],
	},
	{
		trial: 'latency',
		title: 'Latency at a steady load',
		explanation: 'Arrivals by chance (Poisson), at a share of what the engine could take; latencies count from the moment at which a job was meant to arrive.',
		columns: groups => [CPU, ...BESIDE_RATES, LOOP_DELAY, ...figuresIn(groups)],
	},
	{
		trial: 'contention',
		title: 'Contention',
		explanation: 'Producers, processes and workers that share one file.',
		columns: groups => [RATE, CPU, ...figuresIn(groups)],
		more: scalabilitySection,
	},
	{
		trial: 'dequeue',
		title: 'Dequeue',
		explanation:
			'Jobs are claimed from a backlog, and nothing is executed: by processes that have a connection each, or by threads of one process. A store in a server is claimed from over a socket. *Fairness* is Jain’s index: 1 where all got the same, 1/n where one got everything.',
		columns: groups => [RATE, CPU, ...figuresIn(groups)],
		base: {subject: 'bare-sqlite', columns: baseOf => [toBase('its rate ÷ the bare statement’s', baseOf, rate)]},
	},
	{
		trial: 'history',
		title: 'History',
		explanation: 'Whether it gets slower while the file fills with jobs that have ended.',
		columns: groups => [JOBS, RATE, CPU, ...figuresIn(groups)],
	},
	{
		trial: 'payloads',
		title: 'Payloads',
		explanation: 'Values that go in and come out again, of different sizes.',
		columns: groups => [RATE, CPU, ...figuresIn(groups)],
	},
	{
		trial: 'mixed',
		title: 'Mixed durations',
		explanation: 'Each hundredth job is a hundred times longer than the others.',
		hasIntake: true,
		columns: () => [RATE, CPU, ...BESIDE_RATES],
		base: {
			subject: 'ideal',
			columns: baseOf => [toBase('its rate ÷ the ideal’s', baseOf, rate), toBase('its CPU ÷ the ideal’s', baseOf, cpuMicrosPerJob)],
		},
	},
	{
		trial: 'recovery',
		title: 'Recovery',
		explanation: 'What a process does that starts after another was killed (`kill -9`) at work on the same file.',
		columns: groups => [JOBS, ...figuresIn(groups)],
	},
	{
		trial: 'backlog',
		title: 'Backlog',
		explanation: 'What it costs to cancel, list and clean up jobs, by how many there are: half of them completed, half pending.',
		columns: groups => [CPU, ...figuresIn(groups)],
	},
];

/** The sections of all trials of the run that have a measurement that counts; `granularity` has its own. */
export function trialSections(run: Run): string[] {
	const groups = groupsOf(run);
	return SHOWN.flatMap(shown => {
		const own = groups.filter(({trial}) => trial === shown.trial);
		if (own.length === 0) return [];
		const tables = lanesOf(own).flatMap(lane => laneTables(shown, lane, own));
		return [`### ${shown.title}`, shown.explanation, ...tables, ...(shown.more?.(run) ?? [])];
	});
}

/** What varies is not mixed either: more producers are another matter than more workers. */
function lanesOf(groups: readonly Group[]): Group[][] {
	return [...Map.groupBy(groups, group => `${laneLabel(group)} ${Object.keys(group.vary ?? {})}`).values()];
}

function laneTables({columns, base, hasIntake}: Shown, lane: readonly Group[], all: readonly Group[]): string[] {
	const first = lane[0] as Group;
	const of: readonly Column<Group>[] = [SUBJECT, WORK, ...variedIn(lane), ...workersColumn(lane)];
	const heading = hasIntake ? `${laneLabel(first)} (\`${laneName(first)}\`)` : `${durabilityLabel(first.durability)} (\`${first.durability}\`)`;
	const compared = base && comparison(base, lane, all);
	return [
		`**${heading[0]?.toUpperCase()}${heading.slice(1)}**${compared?.remark ?? ''}`,
		markdownTable([...of, ...columns(lane), ...(compared?.columns ?? []), COUNT], lane),
		...latencies(of, lane),
		...tenths(of, lane),
	];
}

function workersColumn(groups: readonly Group[]): Column<Group>[] {
	const counts = new Set(groups.map(({workers}) => workers));
	return counts.size > 1 && !groups.some(({vary}) => vary?.['workers']) ? [{title: 'workers', cell: ({workers}) => show(workers)}] : [];
}

/**
 * Ratios to the base in the same lane. Where it has none there, as nothing durable has in memory, they are to its most durable
 * one with the same intake, and the table says so: it is the price of durability.
 */
function comparison({subject, columns}: NonNullable<Shown['base']>, lane: readonly Group[], all: readonly Group[]) {
	const bases = all.filter(group => group.subject === subject);
	const baseOf = (own: Group) => {
		const same = bases.filter(base => base.task === own.task && base.workMicros === own.workMicros && base.intake === own.intake && haveSameVaried(base, own));
		return same.find(base => sameLane(base, own)) ?? same[0];
	};
	const other = lane.map(baseOf).find((base, index) => base && !sameLane(base, lane[index] as Group));
	return {columns: columns(baseOf), remark: other ? `, compared with *${labelOf(subject)}* in the lane \`${laneName(other)}\`` : ''};
}

/** What of a group a row shows: one of its distributions, or one of what was looked at by tenths. */
interface Named {
	readonly group: Group;
	readonly name: string;
}

function latencies(of: readonly Column<Group>[], groups: readonly Group[]): string[] {
	const quantiles = (Object.keys(QUANTILES) as (keyof Quantiles)[]).map(quantile => ({
		title: `${QUANTILES[quantile]}, ms`,
		cell: ({group, name}: Named) => showMedian(over(group, ({measurement}) => measurement.latencyMs?.[name as Span]?.[quantile])),
	}));
	const title = groups.every(({trial}) => trial === 'dequeue') ? 'one' : 'from enqueue to';
	return tableOfNamed(of, title, quantiles, namedIn(groups, 'latencyMs'));
}

function tenths(of: readonly Column<Group>[], groups: readonly Group[]): string[] {
	const columns = Array.from({length: 10}, (_, index) => ({
		title: `tenth ${index + 1}`,
		cell: ({group, name}: Named) => showMedian(over(group, ({measurement}) => measurement.tenths?.[name]?.[index])),
	}));
	return tableOfNamed(of, 'by tenths', columns, namedIn(groups, 'tenths'));
}

function namedIn(groups: readonly Group[], field: 'latencyMs' | 'tenths'): Named[] {
	return groups.flatMap(group => {
		const names = new Set(group.entries.flatMap(({measurement}) => Object.keys(measurement[field] ?? {})));
		return [...names].map(name => ({group, name}));
	});
}

function tableOfNamed(of: readonly Column<Group>[], title: string, columns: readonly Column<Named>[], rows: readonly Named[]): string[] {
	if (rows.length === 0) return [];
	const whose = of.map(({cell, ...column}) => ({...column, cell: ({group}: Named) => cell(group)}));
	return [markdownTable([...whose, {title, isText: true, cell: ({name}) => SPANS[name as Span] ?? wordsOf(name)}, ...columns], rows)];
}

const SPANS: Readonly<Record<Span, string>> = {
	durableEnqueue: 'durable enqueue',
	start: 'start of the task',
	durableResult: 'durable result',
	claim: 'claim',
	complete: 'completion',
};

const QUANTILES: Readonly<Record<keyof Quantiles, string>> = {p50: 'p50', p90: 'p90', p99: 'p99', p999: 'p99.9', max: 'max'};
