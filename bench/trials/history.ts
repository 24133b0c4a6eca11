import {existsSync, readFileSync} from 'node:fs';
import {setTimeout as sleep} from 'node:timers/promises';
import type {Engine} from '../../lib/index.ts';
import {type Tasks, withEngine} from '../measure/engine.ts';
import {observe} from '../measure/observe.ts';
import type {Place} from '../measure/place.ts';
import {refuseUnlessEqual, sumBelow} from '../measure/sums.ts';
import type {Case, Measurement, Surroundings} from '../plan/suite.ts';

const WARM_UP_JOBS = 10_000;

/** Jobs of one call of `enqueueMany`, which keeps the ids of all its jobs. */
const PIECE = 20_000;
/** The most jobs that wait, so that each tenth has as many enqueues as executions. */
const MAX_BACKLOG = 2 * PIECE;

/** Interval between two looks at the number of completed jobs. */
const LOOK_MS = 20;

const MIB = 1024 ** 2;
const PAGE_BYTES = 4096;

/** Measures whether no-op jobs get slower while the file fills with jobs that have ended. Figures are by tenths of the jobs. */
export async function history(given: Case, surroundings: Surroundings): Promise<Measurement> {
	return withEngine(given, surroundings, async (faena, place) => {
		await faena.enqueueMany('identity', numbers(0, WARM_UP_JOBS));
		await faena.idle();
		const writtenBefore = writtenBytes();
		const commitsBefore = (await faena.stats()).commits.count;
		let tenths: readonly Look[] = [];
		const observed = await observe(surroundings, async () => {
			tenths = await passThrough(faena, given.jobs, place);
		});
		const written = writtenBytes();
		const bytesPerJob = writtenBefore === undefined || written === undefined ? undefined : (written - writtenBefore) / given.jobs;
		refuseUnlessEqual(await place.sums(), {completed: WARM_UP_JOBS + given.jobs, results: sumBelow(WARM_UP_JOBS) + sumBelow(given.jobs)});
		const {chunks, commits} = await faena.stats();
		const perSecond = tenths.slice(1).map((look, index) => (given.jobs / 10 / (look.atMs - (tenths[index] as Look).atMs)) * 1000);
		const at = (name: Exclude<keyof Look, 'atMs'>) => tenths.slice(1).map(look => look[name]);
		const last = tenths.at(-1) as Look;
		return {
			...observed,
			transactions: commits.count - commitsBefore,
			meanChunk: chunks.meanJobs,
			tenths: {perSecond, backlog: at('backlog'), databaseMib: at('databaseMib'), walMib: at('walMib'), rssMib: at('rssMib')},
			figures: {
				firstTenthPerSecond: perSecond[0] as number,
				lastTenthPerSecond: perSecond[9] as number,
				lastAgainstFirst: (perSecond[9] as number) / (perSecond[0] as number),
				slowestAgainstFirst: Math.min(...perSecond) / (perSecond[0] as number),
				databaseBytesPerJob: (last.databaseMib * MIB) / (WARM_UP_JOBS + given.jobs),
				...{databaseMib: last.databaseMib, largestWalMib: Math.max(...at('walMib')), largestRssMib: Math.max(...at('rssMib'))},
				...(bytesPerJob !== undefined && {writtenBytesPerJob: bytesPerJob, writtenPagesPerJob: bytesPerJob / PAGE_BYTES}),
			},
		};
	});
}

/** What the trial sees when another tenth has completed. The first look is at the start. */
interface Look {
	readonly atMs: number;
	readonly backlog: number;
	readonly databaseMib: number;
	readonly walMib: number;
	readonly rssMib: number;
}

async function passThrough(faena: Engine<Tasks>, jobs: number, place: Place): Promise<readonly Look[]> {
	const passed = {enqueued: 0, completed: 0};
	// If `feed` fails, closing the engine ends `watch`.
	const [, looks] = await Promise.all([feed(faena, jobs, passed), watch(faena, jobs, passed, place)]);
	await faena.idle();
	return looks;
}

interface Passed {
	enqueued: number;
	completed: number;
}

async function feed(faena: Engine<Tasks>, jobs: number, passed: Passed): Promise<void> {
	while (passed.enqueued < jobs) {
		while (passed.enqueued - passed.completed > MAX_BACKLOG - PIECE) await sleep(LOOK_MS / 4);
		const end = Math.min(passed.enqueued + PIECE, jobs);
		await faena.enqueueMany('identity', numbers(passed.enqueued, end));
		passed.enqueued = end;
	}
}

async function watch(faena: Engine<Tasks>, jobs: number, passed: Passed, place: Place): Promise<readonly Look[]> {
	const lookAt = async (atMs: number): Promise<Look> => {
		const {database, log} = await place.bytes();
		return {
			...{atMs, backlog: Math.max(0, passed.enqueued - passed.completed)},
			...{databaseMib: database / MIB, walMib: log / MIB, rssMib: process.memoryUsage.rss() / MIB},
		};
	};
	let beforeMs = performance.now();
	const looks = [await lookAt(beforeMs)];
	const mark = () => (looks.length * jobs) / 10;
	while (looks.length <= 10) {
		await sleep(LOOK_MS);
		const before = passed.completed;
		passed.completed = (await faena.counts({task: 'identity'})).completed - WARM_UP_JOBS;
		const nowMs = performance.now();
		const msPerJob = (nowMs - beforeMs) / (passed.completed - before);
		// Assumes an even rate between two looks.
		while (looks.length <= 10 && passed.completed >= mark()) looks.push(await lookAt(beforeMs + (mark() - before) * msPerJob));
		beforeMs = nowMs;
	}
	return looks;
}

function* numbers(first: number, end: number): Generator<number> {
	for (let number = first; number < end; number++) yield number;
}

/** Bytes that this process has sent to storage, in whole pages. Only Linux counts them. */
function writtenBytes(): number | undefined {
	if (!existsSync('/proc/self/io')) return undefined;
	return Number(/^write_bytes: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1]);
}
