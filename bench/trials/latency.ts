import {createHistogram, type RecordableHistogram} from 'node:perf_hooks';
import type {Engine} from '../../lib/index.ts';
import {generate, poissonMs} from '../measure/arrivals.ts';
import {sharedMs} from '../measure/clock.ts';
import {type Tasks, withEngine} from '../measure/engine.ts';
import {observe} from '../measure/observe.ts';
import {curveOf, quantilesOf, recordMs} from '../measure/quantiles.ts';
import {recordedSums, refuseUnlessEqual, sumBelow} from '../measure/sums.ts';
import {chanceOf} from '../plan/chance.ts';
import {type Case, IN_FLIGHT, type Measurement, type Surroundings} from '../plan/suite.ts';
import {inLanes} from '../subjects/lanes.ts';

/** The most jobs of the two drains before the arrivals: the first warms up, the second measures the capacity. */
const DRAINS = [5000, 20_000] as const;

/**
 * Measures latencies while jobs arrive at random times, at the share `vary.share` of the engine's capacity or at the rate
 * `vary.perSecond`, whether or not the engine keeps up. A latency counts from the intended arrival. So a stall of the engine, or of this
 * thread, shows in all jobs that it delayed.
 */
export async function latency(given: Case, surroundings: Surroundings): Promise<Measurement> {
	const {share, perSecond} = given.vary ?? {};
	if (!((perSecond ?? share ?? 0) > 0)) throw new Error('The trial latency expects vary.share, a share of the capacity, or vary.perSecond, a rate');
	return withEngine(given, surroundings, async (faena, file) => {
		const drains = DRAINS.map(jobs => Math.min(jobs, given.jobs)) as [number, number];
		await drainRate(faena, drains[0]);
		const capacityPerSecond = await drainRate(faena, drains[1]);
		const offeredPerSecond = perSecond ?? (share ?? 0) * capacityPerSecond;
		const chance = chanceOf(surroundings.seed);
		const warmUpJobs = Math.ceil((offeredPerSecond * surroundings.warmUpMs) / 1000);
		await openLoop(faena, poissonMs(warmUpJobs, offeredPerSecond, chance), newSpans(), createHistogram());
		const timesMs = poissonMs(given.jobs, offeredPerSecond, chance);
		const [spans, late] = [newSpans(), createHistogram()];
		const {commits: before} = await faena.stats();
		const observed = await observe(surroundings, () => openLoop(faena, timesMs, spans, late));
		const {commits: after} = await faena.stats();
		const jobs = [...drains, warmUpJobs, given.jobs];
		const expected = {completed: jobs.reduce((sum, each) => sum + each), results: jobs.reduce((sum, each) => sum + sumBelow(each), 0)};
		refuseUnlessEqual(recordedSums(file, "json_extract(value, '$[0]')"), expected);
		const names = Object.entries(spans);
		return {
			...observed,
			transactions: after.count - before.count,
			latencyMs: Object.fromEntries(names.map(([name, histogram]) => [name, quantilesOf(histogram)])),
			curvesMs: Object.fromEntries(names.map(([name, histogram]) => [name, curveOf(histogram)])),
			figures: {
				...{capacityPerSecond, offeredPerSecond, achievedPerSecond: (given.jobs / observed.wallMs) * 1000},
				...{arrivalLateP50Ms: quantilesOf(late).p50, arrivalLateP99Ms: quantilesOf(late).p99},
			},
		};
	});
}

/** Drains jobs in the default lane (enqueues awaited, 64 under way). Returns the rate. */
async function drainRate(faena: Engine<Tasks>, jobs: number): Promise<number> {
	const numbers = Array.from({length: jobs}, (_, number) => number);
	const start = performance.now();
	await inLanes(numbers, IN_FLIGHT, number => faena.enqueue('started', number));
	await faena.idle();
	return (jobs / (performance.now() - start)) * 1000;
}

/** Times from the intended arrival to the resolved enqueue, the task's first line, and the result at the caller. */
type Spans = Readonly<Record<'durableEnqueue' | 'start' | 'durableResult', RecordableHistogram>>;

function newSpans(): Spans {
	return {durableEnqueue: createHistogram(), start: createHistogram(), durableResult: createHistogram()};
}

/** @param late times from the intended arrival to the call of the engine; all spans contain them */
async function openLoop(faena: Engine<Tasks>, timesMs: Float64Array, spans: Spans, late: RecordableHistogram): Promise<void> {
	const jobs: Promise<void>[] = [];
	await generate(timesMs, (number, intendedMs) => {
		recordMs(late, sharedMs() - intendedMs);
		const job = oneJob(faena, number, intendedMs, spans);
		// All are awaited below. Until then a failed one must not end the process.
		job.catch(() => undefined);
		jobs.push(job);
	});
	await Promise.all(jobs);
}

async function oneJob(faena: Engine<Tasks>, number: number, intendedMs: number, spans: Spans): Promise<void> {
	const calledMs = sharedMs();
	const job = await faena.enqueue('started', number);
	recordMs(spans.durableEnqueue, sharedMs() - intendedMs);
	const [result, startedMs] = await job.result();
	const resultMs = sharedMs();
	recordMs(spans.start, startedMs - intendedMs);
	recordMs(spans.durableResult, resultMs - intendedMs);
	if (result !== number) throw new Error(`Job ${number} gave ${result}`);
	if (startedMs < calledMs || startedMs > resultMs) throw new Error(`Job ${number} started outside the time from its enqueue to its result: clocks differ`);
}
