import {observe} from '../measure/observe.ts';
import {refuseUnlessEqual} from '../measure/sums.ts';
import {makeWorkload} from '../measure/workload.ts';
import type {Case, Measurement, Surroundings} from '../plan/suite.ts';
import {load} from '../subjects/index.ts';
import type {Running, Sums} from '../subjects/subject.ts';
import {replay} from './replay.ts';

/**
 * Jobs with work are warmed up by no-ops for this share of the time. No-ops bring more commits and messages a second, so V8 sooner
 * compiles the code that moves jobs.
 */
const LIGHT_SHARE = 2 / 3;

/** A round of the warm-up has this many jobs, or this much work for each worker. */
const ROUND = {jobs: 30_000, strictJobs: 300, workMs: 100} as const;

/** Measures the time from the first job's enqueue to the last one's durable result, after a warm-up. */
export async function drain(given: Case, surroundings: Surroundings): Promise<Measurement> {
	if (given.subject === 'statements') return replay(given, surroundings);
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
	const {warmUpMs} = surroundings;
	const jobs = running.warmUpJobs ?? (given.intake === 'strict' ? ROUND.strictJobs : ROUND.jobs);
	const light: Case = {...given, trial: 'drain', task: 'identity', workMicros: 0, jobs};
	if (given.workMicros === 0) return rounds(running, light, surroundings, warmUpMs);
	const heavy: Case = {...given, trial: 'drain', jobs: Math.ceil(Math.min(jobs, (ROUND.workMs * 1000 * given.workers) / given.workMicros))};
	const before = await rounds(running, light, surroundings, LIGHT_SHARE * warmUpMs);
	const after = await rounds(running, heavy, surroundings, (1 - LIGHT_SHARE) * warmUpMs);
	return {completed: before.completed + after.completed, results: before.results + after.results};
}

/** Drains the same jobs again and again until the time is over, at least once. */
async function rounds(running: Running, given: Case, surroundings: Surroundings, ms: number): Promise<Sums> {
	const {payloads, sum} = makeWorkload(given, surroundings);
	const until = performance.now() + ms;
	let drained = 0;
	do {
		await running.prepare?.(given.task, payloads);
		await running.drain(given.task, payloads, given.intake);
		drained++;
	} while (performance.now() < until);
	return {completed: drained * given.jobs, results: drained * sum};
}
