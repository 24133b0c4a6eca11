import {efficiencyCurves, metgOf} from '../analyse/efficiency.ts';
import {cpuMicrosPerJob, rate} from '../analyse/figures.ts';
import {type Figure, type Group, groupsOf, over, ratio} from '../analyse/group.ts';
import type {Metg} from '../analyse/metg.ts';
import type {Run} from '../analyse/run.ts';
import type {Interval} from '../analyse/statistics.ts';
import type {Case, Intake} from '../plan/suite.ts';

/** Figures of the short suite. A figure is missing if no measurement of it counts. */
export interface ShortFigures {
	/** Rates of no-op jobs, each divided by that of Piscina's `run()` too, which keeps nothing: by a durable `map()`; 64 calls under way; 64 enqueues. */
	readonly mapRate?: Interval;
	readonly mapTimesPiscina?: Interval;
	readonly calledRate?: Interval;
	readonly calledTimesPiscina?: Interval;
	readonly awaitedRate?: Interval;
	readonly awaitedTimesPiscina?: Interval;
	/** Rate of no-op jobs, each enqueue awaited before the next. */
	readonly strictRate?: Interval;
	/** Rate of no-op jobs that are enqueued in one call, and CPU microseconds of each. */
	readonly bulkRate?: Interval;
	readonly cpuMicros?: Interval;
	/** That rate divided by that of the same statements in SQLite alone, and by Piscina's, which keeps nothing. */
	readonly shareOfSqlite?: Interval;
	readonly timesPiscina?: Interval;
	/** Milliseconds from enqueue to durable result on an idle engine: the median and the 99th percentile. */
	readonly callMs?: Interval;
	readonly callP99Ms?: Interval;
	/** The smallest job at which 95 % of the time is the job's own work. */
	readonly metg95?: Metg;
	/** Median milliseconds to write 4 KiB and have them on disk. */
	readonly fsyncMs: number;
	/** Whether a disk can be as fast as `fsyncMs`. */
	readonly fsyncLooksReal: boolean;
}

/** No drive is faster: writing a flash page takes longer, and a cache with a capacitor is hardly faster. */
const LEAST_FSYNC_MS = 0.02;

export function shortFigures(run: Run): ShortFigures {
	const groups = groupsOf(run);
	const find = (wanted: Partial<Case>) => groups.find(group => Object.entries(wanted).every(([name, value]) => group[name as keyof Case] === value));
	const drained = (intake: Intake, subject = 'faena') => find({trial: 'drain', subject, intake, durability: subject === 'piscina' ? 'memory' : 'full'});
	const timesPiscina = (intake: Intake) => ratioIf(drained(intake), drained(intake, 'piscina'));
	const bulk = drained('bulk');
	const call = find({trial: 'call'});
	const curve = efficiencyCurves(run).find(({subject}) => subject === 'faena');
	const {fsyncMs} = run.machine;
	return withoutMissing({
		...{mapRate: overIf(drained('map'), rate), mapTimesPiscina: timesPiscina('map')},
		...{calledRate: overIf(drained('call'), rate), calledTimesPiscina: timesPiscina('call')},
		...{awaitedRate: overIf(drained('default'), rate), awaitedTimesPiscina: timesPiscina('default')},
		strictRate: overIf(drained('strict'), rate),
		bulkRate: overIf(bulk, rate),
		cpuMicros: overIf(bulk, cpuMicrosPerJob),
		shareOfSqlite: ratioIf(bulk, drained('bulk', 'statements')),
		timesPiscina: timesPiscina('bulk'),
		callMs: overIf(call, ({measurement}) => measurement.latencyMs?.durableResult?.p50),
		callP99Ms: overIf(call, ({measurement}) => measurement.latencyMs?.durableResult?.p99),
		metg95: curve && metgOf(curve, 0.95, 'byTime')?.metg,
		fsyncMs,
		fsyncLooksReal: fsyncMs >= LEAST_FSYNC_MS,
	});
}

function overIf(group: Group | undefined, figure: Figure): Interval | undefined {
	return group && over(group, figure);
}

function ratioIf(group: Group | undefined, base: Group | undefined): Interval | undefined {
	return group && ratio(group, base, rate);
}

type MaybeMissing = {readonly [Name in keyof ShortFigures]: ShortFigures[Name] | undefined} & Pick<ShortFigures, 'fsyncMs' | 'fsyncLooksReal'>;

function withoutMissing(figures: MaybeMissing): ShortFigures {
	return Object.fromEntries(Object.entries(figures).filter(([, value]) => value !== undefined)) as unknown as ShortFigures;
}
