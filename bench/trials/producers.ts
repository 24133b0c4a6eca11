import {createHistogram} from 'node:perf_hooks';
import {Worker} from 'node:worker_threads';
import Database from 'better-sqlite3';
import {withFile} from '../measure/file.ts';
import {moduleUrl} from '../measure/module-url.ts';
import {shareOf} from '../measure/new-jobs.ts';
import {observe} from '../measure/observe.ts';
import {curveOf, quantilesOf} from '../measure/quantiles.ts';
import {PAYLOADS} from '../measure/recorded.ts';
import {sumBelow} from '../measure/sums.ts';
import type {Case, Measurement, Surroundings} from '../plan/suite.ts';
import type {Produced, Production} from './producer-thread.ts';

/**
 * Measures how `vary.producers` threads, each with its own connection, enqueue jobs into one file, `vary.batch` in a transaction. No
 * job is executed. SQLite lets one connection write at a time; the others poll for its lock every millisecond or two.
 */
export async function producers({jobs, durability, vary}: Case, surroundings: Surroundings): Promise<Measurement> {
	const {producers: count = 1, batch = 1} = vary ?? {};
	return withFile(surroundings, async file => {
		const threads = await Promise.all(
			Array.from({length: count}, (_, index) => start({file, durability: durability as 'full' | 'normal', batch, ...shareOf(jobs, index, count)})),
		);
		try {
			let produced: readonly Produced[] = [];
			const observed = await observe(surroundings, async () => {
				produced = await Promise.all(threads.map(thread => ask(thread)));
			});
			refuseUnlessWhole(file, jobs);
			const spans = createHistogram();
			for (const {transactionsNs} of produced) spans.add(transactionsNs);
			const rates = produced.map(({perSecond}) => perSecond);
			return {
				...observed,
				transactions: spans.count,
				latencyMs: {durableEnqueue: quantilesOf(spans)},
				curvesMs: {durableEnqueue: curveOf(spans)},
				figures: {
					enqueuesPerSecond: (jobs / observed.wallMs) * 1000,
					...(observed.sleeps !== undefined && {busyWaits: observed.sleeps}),
					slowestPerSecond: Math.min(...rates),
					fastestPerSecond: Math.max(...rates),
				},
			};
		} finally {
			await Promise.all(threads.map(thread => thread.terminate()));
		}
	});
}

async function start(production: Production): Promise<Worker> {
	const thread = new Worker(moduleUrl('trials/producer-thread'), {workerData: production});
	await answer(thread);
	return thread;
}

function ask(thread: Worker): Promise<Produced> {
	thread.postMessage('go');
	return answer(thread) as Promise<Produced>;
}

function answer(thread: Worker): Promise<unknown> {
	return new Promise((resolve, reject) => {
		thread.once('message', resolve);
		thread.once('error', reject);
	});
}

/** Throws, and so voids the run, unless each number is there once, ready to run. */
function refuseUnlessWhole(file: string, jobs: number): void {
	const database = new Database(file, {readonly: true});
	const ready = '(select count(*) from ready) + (select total(last - first + 1) from ready_run)';
	const sql = `select count(*), count(distinct payload), total(payload), ${ready} from ${PAYLOADS}`;
	const [count, different, sum, readyJobs] = database.prepare(sql).raw().get() as [number, number, number, number];
	database.close();
	if (count !== jobs || different !== jobs || sum !== sumBelow(jobs) || readyJobs !== jobs)
		throw new Error(
			`${count} jobs are there, ${different} of them different, ${readyJobs} ready, and they add up to ${sum}; expected were ${jobs} and ${sumBelow(jobs)}`,
		);
}
