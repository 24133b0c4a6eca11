import {monitorEventLoopDelay} from 'node:perf_hooks';
import {CostMeter} from '../cost.ts';
import {quantilesOf} from '../quantiles.ts';
import {load} from '../subjects/index.ts';
import type {Case, Measurement, Surroundings} from '../suite.ts';
import {makeWorkload} from '../workload.ts';

/** Jobs of the warm-up: a tenth of the measured ones, between these. */
const WARM_UP = {least: 64, most: 20_000, ms: 200} as const;

/** From the first job's enqueue to the last one's durable result, after a warm-up of the same jobs. */
export async function drain(given: Case, surroundings: Surroundings): Promise<Measurement> {
	const subject = await load(given.subject);
	const running = await subject.open(given, surroundings);
	try {
		const warmUp = makeWorkload({...given, jobs: warmUpJobs(given)}, surroundings);
		await running.drain(given.task, warmUp.payloads, given.intake);
		const {payloads, sum} = makeWorkload(given, surroundings);
		const delay = monitorEventLoopDelay({resolution: 1});
		delay.enable();
		const cost = new CostMeter(surroundings);
		const start = performance.now();
		await running.drain(given.task, payloads, given.intake);
		const wallMs = performance.now() - start;
		const spent = cost.read();
		delay.disable();
		const {completed, results} = await running.sums();
		const jobs = given.jobs + warmUp.payloads.length;
		if (completed !== jobs || results !== sum + warmUp.sum)
			throw new Error(`${completed} jobs completed and their results add up to ${results}; expected were ${jobs} and ${sum + warmUp.sum}`);
		return {wallMs, ...spent, ...(await running.counters?.()), loopMs: quantilesOf(delay, 1)};
	} finally {
		await running.close();
	}
}

function warmUpJobs({jobs, workMicros, workers}: Case): number {
	const most = workMicros === 0 ? WARM_UP.most : (WARM_UP.ms * 1000 * workers) / workMicros;
	return Math.ceil(Math.max(Math.min(WARM_UP.least, most), Math.min(WARM_UP.most, most, jobs / 10)));
}
