import {createHistogram, type RecordableHistogram} from 'node:perf_hooks';
import {generate, poissonMs} from '../measure/arrivals.ts';
import {sharedMs} from '../measure/clock.ts';
import {withEngine} from '../measure/engine.ts';
import {observe} from '../measure/observe.ts';
import {curveOf, quantilesOf, recordMs} from '../measure/quantiles.ts';
import {refuseUnlessEqual, sumBelow} from '../measure/sums.ts';
import {chanceOf} from '../plan/chance.ts';
import {type Case, IN_FLIGHT, type Measurement, type Surroundings} from '../plan/suite.ts';
import {isPeer} from '../subjects/index.ts';
import {inLanes} from '../subjects/lanes.ts';
import {makePiscina, PER_WORKER} from '../subjects/piscina.ts';
import {loadServed, type Served, type Use} from './served.ts';

/** The most jobs of the two drains before the arrivals: the first warms up, the second measures the capacity. */
const DRAINS = [5000, 20_000] as const;

/**
 * Measures latencies while jobs arrive at random times, at the share `vary.share` of the subject's capacity or at the rate
 * `vary.perSecond`, whether or not it keeps up. A latency counts from the intended arrival. So a stall of the subject, or of this
 * thread, shows in all jobs that it delayed.
 */
export async function latency(given: Case, surroundings: Surroundings): Promise<Measurement> {
	const {share, perSecond} = given.vary ?? {};
	if (!((perSecond ?? share ?? 0) > 0)) throw new Error('The trial latency expects vary.share, a share of the capacity, or vary.perSecond, a rate');
	return withSubject(given, surroundings, async served => {
		const drains = DRAINS.map(jobs => Math.min(jobs, given.jobs)) as [number, number];
		await drainRate(served, drains[0]);
		const capacityPerSecond = await drainRate(served, drains[1]);
		const offeredPerSecond = perSecond ?? (share ?? 0) * capacityPerSecond;
		const chance = chanceOf(surroundings.seed);
		const warmUpJobs = Math.ceil((offeredPerSecond * surroundings.warmUpMs) / 1000);
		await openLoop(served, poissonMs(warmUpJobs, offeredPerSecond, chance), newSpans(), createHistogram());
		const timesMs = poissonMs(given.jobs, offeredPerSecond, chance);
		const [spans, late] = [newSpans(), createHistogram()];
		const before = await served.transactions();
		const observed = await observe(surroundings, () => openLoop(served, timesMs, spans, late));
		const after = await served.transactions();
		const jobs = [...drains, warmUpJobs, given.jobs];
		const expected = {completed: jobs.reduce((sum, each) => sum + each), results: jobs.reduce((sum, each) => sum + sumBelow(each), 0)};
		await served.check(expected);
		// A pool keeps no job: nothing is durable before the result.
		const names = Object.entries(spans).filter(([name]) => given.durability !== 'memory' || name !== 'durableEnqueue');
		return {
			...observed,
			...(before !== undefined && after !== undefined && {transactions: after - before}),
			latencyMs: Object.fromEntries(names.map(([name, histogram]) => [name, quantilesOf(histogram)])),
			curvesMs: Object.fromEntries(names.map(([name, histogram]) => [name, curveOf(histogram)])),
			figures: {
				...{capacityPerSecond, offeredPerSecond, achievedPerSecond: (given.jobs / observed.wallMs) * 1000},
				...{arrivalLateP50Ms: quantilesOf(late).p50, arrivalLateP99Ms: quantilesOf(late).p99},
			},
		};
	});
}

async function withSubject(given: Case, surroundings: Surroundings, use: Use): Promise<Measurement> {
	if (given.subject === 'piscina') return withPiscina(given.workers, use);
	if (isPeer(given.subject) && given.subject !== 'faena-postgres') return (await loadServed(given.subject)).serve(given, surroundings, use);
	return withEngine(given, surroundings, (faena, place) =>
		use({
			enqueue: number => faena.enqueue('started', number),
			give: number => faena.enqueue('started', number),
			idle: () => faena.idle(),
			transactions: async () => (await faena.stats()).commits.count,
			check: async expected => refuseUnlessEqual(await place.sums('list'), expected),
		}),
	);
}

/** Each result is awaited, and compared with its job's number. */
async function withPiscina(workers: number, use: Use): Promise<Measurement> {
	const pool = makePiscina(workers, PER_WORKER);
	const run = (number: number) => pool.run({task: 'started', payload: number}) as Promise<readonly [number, number]>;
	try {
		return await use({
			enqueue: async number => {
				const result = run(number);
				return {result: () => result};
			},
			give: run,
			idle: async () => undefined,
			transactions: async () => undefined,
			check: async () => undefined,
		});
	} finally {
		await pool.destroy();
	}
}

/** Drains jobs, 64 of which are given at a time. Returns the rate. */
async function drainRate(served: Served, jobs: number): Promise<number> {
	const numbers = Array.from({length: jobs}, (_, number) => number);
	const start = performance.now();
	await inLanes(numbers, IN_FLIGHT, number => served.give(number));
	await served.idle();
	return (jobs / (performance.now() - start)) * 1000;
}

/** Times from the intended arrival to the resolved enqueue, the task's first line, and the result at the caller. */
type Spans = Readonly<Record<'durableEnqueue' | 'start' | 'durableResult', RecordableHistogram>>;

function newSpans(): Spans {
	return {durableEnqueue: createHistogram(), start: createHistogram(), durableResult: createHistogram()};
}

/** @param late times from the intended arrival to the call of the subject; all spans contain them */
async function openLoop(served: Served, timesMs: Float64Array, spans: Spans, late: RecordableHistogram): Promise<void> {
	const jobs: Promise<void>[] = [];
	await generate(timesMs, (number, intendedMs) => {
		recordMs(late, sharedMs() - intendedMs);
		const job = oneJob(served, number, intendedMs, spans);
		// All are awaited below. Until then a failed one must not end the process.
		job.catch(() => undefined);
		jobs.push(job);
	});
	await Promise.all(jobs);
}

async function oneJob(served: Served, number: number, intendedMs: number, spans: Spans): Promise<void> {
	const calledMs = sharedMs();
	const job = await served.enqueue(number);
	recordMs(spans.durableEnqueue, sharedMs() - intendedMs);
	const [result, startedMs] = await job.result();
	const resultMs = sharedMs();
	recordMs(spans.start, startedMs - intendedMs);
	recordMs(spans.durableResult, resultMs - intendedMs);
	if (result !== number) throw new Error(`Job ${number} gave ${result}`);
	if (startedMs < calledMs || startedMs > resultMs) throw new Error(`Job ${number} started outside the time from its enqueue to its result: clocks differ`);
}
