import {once} from 'node:events';
import {createHistogram} from 'node:perf_hooks';
import {Worker} from 'node:worker_threads';
import {moduleUrl} from '../measure/module-url.ts';
import {shareOf} from '../measure/new-jobs.ts';
import {observe} from '../measure/observe.ts';
import {curveOf, quantilesOf} from '../measure/quantiles.ts';
import type {Case, Measurement, Surroundings} from '../plan/suite.ts';
import {loadStore} from '../stores/index.ts';
import type {StoreSubject} from '../stores/store.ts';
import type {Produced, Request} from './producer-thread.ts';

/** Calls of each producer in the warm-up. */
const WARM_UP_CALLS = 100;
/** The most jobs of a claim with which the trial looks whether all are there. */
const CLAIM = 100;

type Ask = (requestOf: (index: number) => Request) => Promise<readonly unknown[]>;

/**
 * Measures how `vary.producers` threads, each with its own connection, add jobs to one store, `vary.batch` in a call. No job is
 * executed. They warm up with a store of their own.
 */
export async function producers(given: Case, surroundings: Surroundings): Promise<Measurement> {
	const {producers: count = 1, batch = 1} = given.vary ?? {};
	const subject = await loadStore(given.subject);
	const threads = Array.from({length: count}, () => new Worker(moduleUrl('trials/producer-thread'), {workerData: given}));
	const ask: Ask = requestOf => Promise.all(threads.map((thread, index) => answerOf(thread, requestOf(index))));
	const add = (jobs: number) => ask(index => shareOf(jobs, index, count)) as Promise<readonly Produced[]>;
	try {
		await withStore(subject, given, surroundings, ask, async () => void (await add(WARM_UP_CALLS * batch * count)));
		return await withStore(subject, given, surroundings, ask, async address => {
			let produced: readonly Produced[] = [];
			const observed = await observe(surroundings, async () => {
				produced = await add(given.jobs);
			});
			await refuseUnlessWhole(subject, address, given);
			return {...observed, ...figuresOf(produced, observed, given.jobs)};
		});
	} finally {
		await Promise.all(threads.map(thread => thread.terminate()));
	}
}

async function withStore<Result>(
	subject: StoreSubject,
	given: Case,
	surroundings: Surroundings,
	ask: Ask,
	use: (address: string) => Promise<Result>,
): Promise<Result> {
	const {address, close} = await subject.create(given, surroundings);
	try {
		await ask(() => ({address}));
		const result = await use(address);
		await ask(() => 'disconnect');
		return result;
	} finally {
		await close();
	}
}

function figuresOf(produced: readonly Produced[], {wallMs, sleeps}: Pick<Measurement, 'wallMs' | 'sleeps'>, jobs: number): Partial<Measurement> {
	const spans = createHistogram();
	for (const {callsNs} of produced) spans.add(callsNs);
	const rates = produced.map(({perSecond}) => perSecond);
	return {
		transactions: spans.count,
		latencyMs: {durableEnqueue: quantilesOf(spans)},
		curvesMs: {durableEnqueue: curveOf(spans)},
		figures: {
			enqueuesPerSecond: (jobs / wallMs) * 1000,
			...(sleeps !== undefined && {busyWaits: sleeps}),
			slowestPerSecond: Math.min(...rates),
			fastestPerSecond: Math.max(...rates),
		},
	};
}

async function answerOf(thread: Worker, request: Request): Promise<unknown> {
	thread.postMessage(request);
	const [answer] = await once(thread, 'message');
	return answer;
}

/** Claims everything. Throws, and so voids the run, unless each number is there once, ready to run. */
async function refuseUnlessWhole(subject: StoreSubject, address: string, given: Case): Promise<void> {
	const contender = await subject.connect(address, given);
	const seen = new Set<number>();
	let claims = 0;
	for (;;) {
		const {numbers} = await contender.claim(CLAIM);
		if (numbers.length === 0) break;
		claims += numbers.length;
		for (const number of numbers) seen.add(number);
	}
	await contender.close();
	if (claims !== given.jobs || seen.size !== given.jobs || !seen.has(0) || !seen.has(given.jobs - 1))
		throw new Error(`${claims} jobs were ready, ${seen.size} of them different; expected were ${given.jobs}`);
}
