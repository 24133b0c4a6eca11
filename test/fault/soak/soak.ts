import {existsSync, readdirSync, statSync} from 'node:fs';
import {basename, dirname, join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {setFlagsFromString} from 'node:v8';
import {runInNewContext} from 'node:vm';
import {type Engine, open} from '../../../lib/index.ts';

type Tasks = typeof import('../../fixtures/tasks.ts');

/** What a process holds at a moment, all of it between two rounds of work. */
export interface Sample {
	readonly minutes: number;
	readonly jobs: number;
	/** After a collection. */
	readonly heapMb: number;
	readonly rssMb: number;
	/** What keeps the event loop busy. */
	readonly resources: number;
	/** Open files of the process; 0 where the system doesn't tell. */
	readonly descriptors: number;
	/** In the folder of the database, and what is in them. */
	readonly files: number;
	readonly filesMb: number;
}

/**
 * Uses one engine in rounds, each with everything that leaves something behind if anything does: results in files, failures,
 * workers that end and are recycled, cancels, batches, waits that are given up, engines opened and closed; cleans up after
 * each, and takes a sample.
 */
export async function soak(queue: string, minutes: number, take: (sample: Sample) => void): Promise<void> {
	const begunAt = performance.now();
	const passed = () => (performance.now() - begunAt) / 60_000;
	const faena = await openEngine(queue);
	let jobs = 0;
	for (let round = 1; passed() < minutes || round <= LEAST_ROUNDS; round++) {
		jobs += await workOnce(faena, round, queue);
		await faena.cleanup({olderThan: 0});
		take({minutes: passed(), jobs, ...(await look(queue))});
	}
	await faena.close();
}

/**
 * What an engine holds more of in each of the last three rounds than early, if it is more than chance makes of it. At times a sample is taken while
 * a worker is replaced.
 */
export function leaksOf(samples: readonly Sample[]): string[] {
	// What comes before the first quarter is warming up.
	const early = samples[Math.floor(samples.length / 4)] as Sample;
	const rises: Readonly<Partial<Record<keyof Sample, number>>> = {descriptors: 0, resources: 0, files: 0, heapMb: 10};
	return (Object.entries(rises) as [keyof Sample, number][]).flatMap(([what, allowed]) => {
		const late = Math.min(...samples.slice(-3).map(sample => sample[what]));
		return late > early[what] + allowed ? `${what} rose from ${early[what]} to ${late}` : [];
	});
}

/** Enough to tell what grows from what only warms up. */
export const LEAST_ROUNDS = 8;

function openEngine(queue: string): Promise<Engine<Tasks>> {
	const tasks = new URL('../../fixtures/tasks.ts', import.meta.url);
	return open<Tasks>({queue, tasks, workers: 2, blobs: {threshold: 4096}, grace: 50, recycle: {jobs: 2000}, defaults: {backoff: 1}});
}

async function workOnce(faena: Engine<Tasks>, round: number, queue: string): Promise<number> {
	await faena.enqueueMany(
		'echo',
		Array.from({length: 1000}, (_, index) => ({round, index})),
	);
	for (let index = 0; index < 10; index++) await faena.call('large', 5000 + index);
	await Promise.allSettled([faena.call('boom', 'soak', {maxAttempts: 2}), faena.call('disaster', 'exit', {maxAttempts: 1})]);
	const stuck = await faena.enqueue('loop', undefined, {timeout: '1h'});
	await stuck.result({timeout: 20}).catch(() => undefined);
	await faena.cancel(stuck.id);
	const items = Array.from({length: 200}, (_, index) => ({a: round, b: index}));
	for await (const _ of faena.map('add', items, {batch: `round ${round}`}));
	for await (const _ of faena.map('add', items, {batch: `left ${round}`})) break;
	await faena.idle();
	await faena.batch(`left ${round}`).delete();
	const other = await openEngine(queue);
	await other.call('echo', round);
	await other.close();
	return 1000 + 10 + 2 + 1 + 200 + 200 + 1;
}

async function look(queue: string): Promise<Omit<Sample, 'minutes' | 'jobs'>> {
	const descriptors = await settledDescriptors();
	collect({type: 'major', flavor: 'last-resort'});
	const folder = dirname(queue);
	const files = readdirSync(folder, {recursive: true, encoding: 'utf8'}).filter(name => basename(name).startsWith('jobs.db') || name.includes('-blobs'));
	const {heapUsed, rss} = process.memoryUsage();
	return {
		heapMb: heapUsed / 1e6,
		rssMb: rss / 1e6,
		resources: process.getActiveResourcesInfo().length,
		descriptors,
		files: files.length,
		filesMb: files.reduce((sum, name) => sum + (statSync(join(folder, name), {throwIfNoEntry: false})?.size ?? 0), 0) / 1e6,
	};
}

/** The number of open descriptors, once it has stopped falling: what was let go of is closed in later turns, and on a loaded machine much later. */
async function settledDescriptors(): Promise<number> {
	if (!existsSync('/proc/self/fd')) return 0;
	const count = () => readdirSync('/proc/self/fd').length;
	let before = Infinity;
	for (let now = count(); now < before; now = count()) {
		before = now;
		await sleep(300);
	}
	return before;
}

setFlagsFromString('--expose-gc');
/** As V8 does before it gives up: an ordinary collection leaves some megabytes for those to come, more each round, which look like a leak. */
const collect = runInNewContext('gc') as (options: {readonly type: 'major'; readonly flavor: 'last-resort'}) => void;
