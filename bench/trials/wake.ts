import {createHistogram} from 'node:perf_hooks';
import {setTimeout as sleep} from 'node:timers/promises';
import {openQueue} from '../../lib/queue.ts';
import {sharedMs} from '../measure/clock.ts';
import {withEngine} from '../measure/engine.ts';
import {newJobs} from '../measure/new-jobs.ts';
import {observe} from '../measure/observe.ts';
import {curveOf, quantilesOf, recordMs} from '../measure/quantiles.ts';
import {refuseUnlessEqual, sumBelow} from '../measure/sums.ts';
import type {Case, Measurement, Surroundings} from '../plan/suite.ts';

/** Longer than an engine takes to settle a job and to come to rest. */
const REST_MS = 60;

/** Measures how soon an idle engine starts a job that another connection has enqueued: from the durable enqueue to the task's first line. */
export async function wake(given: Case, surroundings: Surroundings): Promise<Measurement> {
	return withEngine(given, surroundings, async (faena, place) => {
		const queue = await openQueue(place.queue, {durability: given.durability as 'full' | 'normal'});
		const taken = createHistogram();
		const enqueueOne = async (number: number) => {
			await sleep(REST_MS);
			const [job] = await queue.enqueue(newJobs('started', number, number + 1));
			const durableMs = sharedMs();
			const [, startedMs] = (await faena.job<'started'>(job?.id as number).result()) as [number, number];
			recordMs(taken, Math.max(0, startedMs - durableMs));
		};
		await enqueueOne(0);
		taken.reset();
		const observed = await observe(surroundings, async () => {
			for (let number = 1; number <= given.jobs; number++) await enqueueOne(number);
		});
		refuseUnlessEqual(await place.sums('list'), {completed: given.jobs + 1, results: sumBelow(given.jobs + 1)});
		await queue.close();
		return {...observed, latencyMs: {start: quantilesOf(taken)}, curvesMs: {start: curveOf(taken)}};
	});
}
