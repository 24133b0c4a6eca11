import {observe} from '../observe.ts';
import {load} from '../subjects/index.ts';
import type {Running, Sums} from '../subjects/subject.ts';
import type {Case, Measurement, Surroundings} from '../suite.ts';
import {refuseUnlessEqual} from '../sums.ts';
import {makeWorkload} from '../workload.ts';

/**
 * V8 needs many jobs to compile what moves them, the more of them the more move together: so many at a time, until this time is over. And so
 * much work to compile a kernel.
 */
const WARM_UP = {jobs: 30_000, ms: 700, workMs: 300} as const;

/** From the first job's enqueue to the last one's durable result, after a warm-up of the same jobs. */
export async function drain(given: Case, surroundings: Surroundings): Promise<Measurement> {
	const subject = await load(given.subject);
	const running = await subject.open(given, surroundings);
	try {
		const warmedUp = await warmUp(running, given, surroundings);
		const {payloads, sum} = makeWorkload(given, surroundings);
		await running.prepare?.(given.task, payloads);
		const {transactions = 0} = (await running.counters?.()) ?? {};
		const observed = await observe(surroundings, () => running.drain(given.task, payloads, given.intake));
		refuseUnlessEqual(await running.sums(), {completed: given.jobs + warmedUp.completed, results: sum + warmedUp.results});
		const counters = await running.counters?.();
		return {...observed, ...counters, ...(counters?.transactions !== undefined && {transactions: counters.transactions - transactions})};
	} finally {
		await running.close();
	}
}

async function warmUp(running: Running, given: Case, surroundings: Surroundings): Promise<Sums> {
	const jobs = running.warmUpJobs ?? (given.intake === 'strict' ? WARM_UP.jobs / 100 : WARM_UP.jobs);
	const light = makeWorkload({...given, trial: 'drain', task: 'identity', jobs}, surroundings);
	const until = performance.now() + WARM_UP.ms;
	let rounds = 0;
	do {
		await running.prepare?.('identity', light.payloads);
		await running.drain('identity', light.payloads, given.intake);
		rounds++;
	} while (performance.now() < until);
	const lightly = {completed: rounds * jobs, results: rounds * light.sum};
	if (given.workMicros === 0) return lightly;
	const heavyJobs = Math.ceil(Math.min(running.warmUpJobs ?? WARM_UP.jobs, (WARM_UP.workMs * 1000 * given.workers) / given.workMicros));
	const heavy = makeWorkload({...given, trial: 'drain', jobs: heavyJobs}, surroundings);
	await running.prepare?.(given.task, heavy.payloads);
	await running.drain(given.task, heavy.payloads, given.intake);
	return {completed: lightly.completed + heavyJobs, results: lightly.results + heavy.sum};
}
