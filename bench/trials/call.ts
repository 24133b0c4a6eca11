import {createHistogram} from 'node:perf_hooks';
import {withEngine} from '../measure/engine.ts';
import {observe} from '../measure/observe.ts';
import {curveOf, quantilesOf, recordMs} from '../measure/quantiles.ts';
import {refuseUnlessEqual, sumBelow} from '../measure/sums.ts';
import {fsyncMs} from '../plan/machine.ts';
import type {Case, Measurement, Surroundings} from '../plan/suite.ts';

/** Calls of the warm-up between two looks at the clock. */
const ROUND_CALLS = 20;

/**
 * Measures the time from enqueue to durable result on an idle engine, one job at a time. Most of this time is the disk's. So the trial
 * counts the fsyncs, and times an fsync in the same folder just before and just after. That fsync is of a growing file. If a library
 * counts fsyncs, the trial therefore also reports the mean time beyond the engine's own fsyncs. These never overlap, so it is exact.
 */
export async function call(given: Case, surroundings: Surroundings): Promise<Measurement> {
	return withEngine(given, surroundings, async (faena, place) => {
		const taken = createHistogram();
		const callOneByOne = async (jobs: number) => {
			for (let number = 0; number < jobs; number++) {
				const start = performance.now();
				const result = await faena.call('identity', number);
				recordMs(taken, performance.now() - start);
				if (result !== number) throw new Error(`The call with ${number} gave ${result}`);
			}
		};
		const until = performance.now() + surroundings.warmUpMs;
		let rounds = 0;
		for (; performance.now() < until; rounds++) await callOneByOne(ROUND_CALLS);
		taken.reset();
		const {commits: before} = await faena.stats();
		const fsyncBeforeMs = fsyncMs(surroundings.folder);
		const observed = await observe(surroundings, () => callOneByOne(given.jobs));
		const fsyncAfterMs = fsyncMs(surroundings.folder);
		const {commits: after} = await faena.stats();
		refuseUnlessEqual(await place.sums(), {completed: rounds * ROUND_CALLS + given.jobs, results: rounds * sumBelow(ROUND_CALLS) + sumBelow(given.jobs)});
		const transactions = after.count - before.count;
		const p50Ms = quantilesOf(taken).p50;
		const fsyncsPerCall = (observed.fsyncs ?? (given.durability === 'full' ? transactions : 0)) / given.jobs;
		const idleFsyncMs = (fsyncBeforeMs + fsyncAfterMs) / 2;
		return {
			...observed,
			transactions,
			latencyMs: {durableResult: quantilesOf(taken)},
			curvesMs: {durableResult: curveOf(taken)},
			figures: {
				...{fsyncBeforeMs, fsyncAfterMs, fsyncsPerCall, p50Ms},
				beyondFsyncsMs: p50Ms - fsyncsPerCall * idleFsyncMs,
				...(observed.fsyncMs !== undefined && {meanBeyondOwnFsyncsMs: (observed.wallMs - observed.fsyncMs) / given.jobs}),
			},
		};
	});
}
