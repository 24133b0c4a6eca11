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

/** How the report shows a trial: a table for each lane, and tables of its latencies and tenths. */
interface Shown {
	readonly trial: string;
	readonly title: string;
	readonly explanation: string;
	readonly columns: (groups: readonly Group[]) => readonly Column<Group>[];
	/** Set if jobs are enqueued as the lane says. The other trials have a way of their own. */
	readonly hasIntake?: true;
	/** Makes the text and tables that follow. */
	readonly more?: (run: Run) => string[];
	/** The subject with which the others are compared, and the columns of this comparison. */
	readonly base?: {readonly subject: string; readonly columns: (baseOf: BaseOf) => readonly Column<Group>[]};
}

const SHOWN: readonly Shown[] = [
	{
		trial: 'drain',
		title: 'Drain',
		explanation:
			'Jobs do nothing. The clock runs from the first one’s enqueue to the last one’s result, as durable as the lane says. *Jobs at risk* may run again if the program is killed.',
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
		trial: 'wake',
		title: 'Wake-up',
		explanation: 'From a durable enqueue on another connection to the start of the job in an idle engine.',
		columns: () => [RATE],
	},
	{
		trial: 'latency',
		title: 'Latency at a steady load',
		explanation: 'Jobs arrive at random times (Poisson), at a share of the subject’s own capacity. Latencies count from a job’s intended arrival.',
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
			'Processes, or threads of one process, claim jobs from a backlog, each over its own connection. Nothing is executed. Stores in a server are reached over a socket. *Fairness* is Jain’s index: 1 if all got the same, 1/n if one got everything.',
		columns: groups => [RATE, CPU, ...figuresIn(groups)],
		base: {subject: 'bare-sqlite', columns: baseOf => [toBase('its rate ÷ the bare statement’s', baseOf, rate)]},
	},
	{
		trial: 'history',
		title: 'History',
		explanation: 'Jobs do nothing, while the file fills with jobs that have ended.',
		columns: groups => [JOBS, RATE, CPU, ...figuresIn(groups)],
	},
	{
		trial: 'payloads',
		title: 'Payloads',
		explanation: 'Values of different sizes go to a task that returns them.',
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
		trial: 'waiting',
		title: 'Waiting workers',
		explanation: 'Jobs wait and compute nothing, so that a worker stands for a processor. Then the CPU time is all that the engine adds.',
		hasIntake: true,
		columns: () => [RATE, CPU, ...CPU_SPLIT, ...BESIDE_RATES],
		base: {
			subject: 'ideal',
			columns: baseOf => [toBase('its rate ÷ the ideal’s', baseOf, rate), toBase('its CPU ÷ the ideal’s', baseOf, cpuMicrosPerJob)],
		},
	},
	{
		trial: 'idle',
		title: 'An idle engine',
		explanation: 'There is no job. The wake-ups are those of all threads but the caller’s.',
		columns: figuresIn,
	},
	{
		trial: 'start',
		title: 'Start',
		explanation: 'A new process imports Faena, opens an engine and calls once. *Status* is `faena status`, without the time of a Node that does nothing.',
		columns: figuresIn,
	},
	{
		trial: 'recovery',
		title: 'Recovery',
		explanation: 'A process starts after another one was killed (`kill -9`) while it worked on the same file.',
		columns: groups => [JOBS, ...figuresIn(groups)],
	},
	{
		trial: 'backlog',
		title: 'Backlog',
		explanation: 'Jobs are cancelled, listed and cleaned up, by the number of jobs. Half of them have completed, half are pending.',
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

/** Groups by lane. Groups that vary different parameters, such as producers and workers, are apart, too. */
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
 * Ratios to the base in the same lane. If the base is not measured there (nothing durable is in the lanes in memory), they are to its
 * most durable lane with the same intake. Then they show the price of durability, and the table names that lane.
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

/** What a row shows of a group: one of its latencies, or one of its values by tenths. */
interface Named {
	readonly group: Group;
	readonly name: string;
}

function latencies(of: readonly Column<Group>[], groups: readonly Group[]): string[] {
	const quantiles = (Object.keys(QUANTILES) as (keyof Quantiles)[]).map(quantile => ({
		title: `${QUANTILES[quantile]}, ms`,
		cell: ({group, name}: Named) => showMedian(over(group, ({measurement}) => measurement.latencyMs?.[name as Span]?.[quantile])),
	}));
	const title = groups.every(({trial}) => trial === 'dequeue') ? 'time of one' : 'from enqueue to';
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
