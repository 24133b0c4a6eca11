import {type ChildProcess, fork} from 'node:child_process';
import {fileURLToPath} from 'node:url';
import {type JobQueue, openQueue} from '../../lib/queue.ts';
import {moduleUrl} from '../measure/module-url.ts';
import {newJobs} from '../measure/new-jobs.ts';
import {observe} from '../measure/observe.ts';
import {withPlace} from '../measure/place.ts';
import {refuseUnlessEqual, sumBelow} from '../measure/sums.ts';
import type {Case, Measurement, Surroundings} from '../plan/suite.ts';
import type {Drained} from './drainer-process.ts';

const BATCH = 1000;
/** Jobs of the warm-up, for each process. After a tenth of them V8 still compiles most of the time. */
const WARM_UP_JOBS = 100_000;

/** Measures how `vary.processes` processes, each an engine with `workers` workers, drain a filled queue together. */
export async function processes(given: Case, surroundings: Surroundings): Promise<Measurement> {
	const {jobs, durability, workers, vary} = given;
	const {processes: count = 1} = vary ?? {};
	if (durability === 'memory') throw new Error('An engine keeps its jobs in a file: it has no lane in memory.');
	return withPlace(given, surroundings, async place => {
		const queue = await openQueue(place.queue, {durability});
		const drainers = await Promise.all(Array.from({length: count}, () => start(place.queue, durability, workers)));
		try {
			const warmUpJobs = Math.min(jobs, WARM_UP_JOBS) * count;
			await fill(queue, warmUpJobs);
			const before = await drainTogether(drainers);
			await fill(queue, jobs);
			let after: readonly Drained[] = [];
			const observed = await observe(surroundings, async () => {
				after = await drainTogether(drainers);
			});
			refuseUnlessEqual(await place.sums(), {completed: warmUpJobs + jobs, results: sumBelow(warmUpJobs) + sumBelow(jobs)});
			const ended = after.map(({completed}, index) => completed - (before[index] as Drained).completed);
			refuseUnlessEqual({completed: ended.reduce((sum, each) => sum + each), results: 0}, {completed: jobs, results: 0});
			return {
				...observed,
				transactions: after.reduce((sum, {commits}, index) => sum + commits - (before[index] as Drained).commits, 0),
				figures: {
					...(observed.sleeps !== undefined && {busyWaits: observed.sleeps}),
					smallestShare: Math.min(...ended) / jobs,
					largestShare: Math.max(...ended) / jobs,
				},
			};
		} finally {
			await Promise.all(drainers.map(end));
			await queue.close();
		}
	});
}

/** Pauses the task first, so that no process begins before the others. */
async function fill(queue: JobQueue, jobs: number): Promise<void> {
	await queue.pause(['identity']);
	for (let first = 0; first < jobs; first += BATCH) await queue.enqueue(newJobs('identity', first, Math.min(first + BATCH, jobs)));
	const {pending} = await queue.counts({task: 'identity'});
	if (pending !== jobs) throw new Error(`Of ${jobs} jobs ${pending} were pending when the clock was to start`);
}

/** Resolves when each process has answered that the queue is empty. */
async function drainTogether(drainers: readonly ChildProcess[]): Promise<readonly Drained[]> {
	const answers = drainers.map(answer);
	for (const drainer of drainers) drainer.send('go');
	return (await Promise.all(answers)) as Drained[];
}

async function start(file: string, durability: string, workers: number): Promise<ChildProcess> {
	const drainer = fork(fileURLToPath(moduleUrl('trials/drainer-process')), [file, durability, String(workers)]);
	await answer(drainer);
	return drainer;
}

function answer(drainer: ChildProcess): Promise<unknown> {
	return new Promise((resolve, reject) => {
		const onExit = (code: number | null) => reject(new Error(`A process that drains ended with ${code}`));
		drainer.once('exit', onExit);
		drainer.once('message', message => {
			drainer.off('exit', onExit);
			resolve(message);
		});
	});
}

async function end(drainer: ChildProcess): Promise<void> {
	if (drainer.exitCode !== null || drainer.signalCode !== null) return;
	const ended = new Promise(resolve => drainer.once('exit', resolve));
	drainer.disconnect();
	await ended;
}
