import {existsSync, readFileSync, rmSync, statSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import Database from 'better-sqlite3';
import {type Engine, FaenaError, open} from '../../../lib/index.ts';
import {between, seeded} from '../../fixtures/random.ts';
import {brokenLaws} from '../laws.ts';
import {makeSample, OWNERS} from './sample.ts';

type Tasks = typeof import('../../fixtures/disk-tasks.ts');
const TASKS = new URL('../../fixtures/disk-tasks.ts', import.meta.url);

/**
 * What came of a database with flipped bytes: `refused` by open(), untouched; `stopped`: told in an error while it was worked with, or
 * by the failure of the engine; `unnoticed`: all seemed well and a law is broken; `changed`: all is well, and jobs or their ends are
 * others than without the flips; `same`: they are not.
 */
export type End = 'refused' | 'stopped' | 'unnoticed' | 'changed' | 'same';

export interface FlipResult {
	readonly seed: number;
	readonly end: End;
	/** The error's, if one was told. */
	readonly code?: string;
	readonly message?: string;
	/** Sentences: what must not happen, whatever bytes were flipped. */
	readonly broken: readonly string[];
}

export interface Flips {
	readonly seed: number;
	readonly runs: number;
	readonly seconds: number;
	readonly ends: Readonly<Partial<Record<End, number>>>;
	readonly broken: readonly FlipResult[];
}

/** Flips bytes of one sample by so many seeds, the given one and those after it. */
export async function flipMany(
	folder: string,
	{seed, runs, onResult}: {readonly seed: number; readonly runs: number; readonly onResult?: (result: FlipResult) => void},
): Promise<Flips> {
	const begunAt = performance.now();
	const path = join(folder, 'flipped.db');
	await makeSample(join(folder, 'sample.db'));
	const sample = readFileSync(join(folder, 'sample.db'));
	const expected = new Told();
	lay(path, sample);
	await useAll(path, expected);
	if (expected.step !== 'close') throw new Error(`The sample itself does not work: ${expected.first?.message} ${expected.untyped}`);
	const ends: Partial<Record<End, number>> = {};
	const broken: FlipResult[] = [];
	for (let run = 0; run < runs; run++) {
		const result = await tryFlipped(path, sample, seed + run, expected.jobs);
		onResult?.(result);
		ends[result.end] = (ends[result.end] ?? 0) + 1;
		if (result.broken.length > 0) broken.push(result);
	}
	return {seed, runs, seconds: Math.round((performance.now() - begunAt) / 1000), ends, broken};
}

const PAGE_BYTES = 4096;
/** Of the file, with what SQLite and Faena say of it. */
const HEADER_BYTES = 100;

/** 1 to 16 bytes in the header, at the beginnings of pages, which say what is in them, or anywhere. */
function flip(file: Buffer, seed: number): Buffer {
	const random = seeded(seed);
	const flipped = Buffer.from(file);
	const pages = file.length / PAGE_BYTES;
	const where = random();
	for (let bytes = between(random, 1, 16); bytes > 0; bytes--) {
		const page = PAGE_BYTES * between(random, 0, pages - 1);
		const at = where < 0.15 ? between(random, 0, HEADER_BYTES - 1) : page + between(random, 0, where < 0.6 ? 63 : PAGE_BYTES - 1);
		flipped[at] = (flipped[at] as number) ^ between(random, 1, 255);
	}
	return flipped;
}

/** After so long without a message a program counts as hung. */
const PATIENCE_MS = 60_000;

/** One of so many is flipped only once it has been opened: as a database would be that is too large to be checked. */
const IN_USE = 4;

/** Opens the database, works with it in every way, and looks at what came of that. */
async function tryFlipped(path: string, sample: Buffer, seed: number, expected: string): Promise<FlipResult> {
	const flipped = flip(sample, seed);
	const isInUse = seed % IN_USE === 0;
	lay(path, isInUse ? sample : flipped);
	const told = new Told();
	const used = useAll(path, told, () => isInUse && writeFileSync(path, flipped, {flag: 'r+'}));
	const isDone = await Promise.race([used.then(() => true), sleep(PATIENCE_MS, false, {ref: false})]);
	const broken = [...told.untyped, ...(isDone ? [] : [`It hangs after ${told.step}.`])];
	if (told.step === 'nothing') return {seed, end: 'refused', ...told.first, broken: [...broken, ...changes(path, flipped)]};
	if (told.first) return {seed, end: 'stopped', ...told.first, broken};
	const laws = lawsOf(path);
	const end = laws.length > 0 ? 'unnoticed' : told.jobs === expected ? 'same' : 'changed';
	return {seed, end, ...(laws[0] && {message: laws[0]}), broken};
}

function lay(path: string, content: Buffer): void {
	for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, {force: true});
	writeFileSync(path, content);
	// A program that was killed leaves the locks of its owners, and holds them no longer.
	for (const owner of OWNERS) writeFileSync(`${path}-owner-${owner}`, '', {mode: 0o600});
}

/** What a program was told. */
class Told {
	/** The last step that came to its end. */
	step = 'nothing';
	first: {readonly code: string; readonly message: string} | undefined;
	jobs = '';
	readonly untyped: string[] = [];

	error(error: unknown): void {
		if (!(error instanceof FaenaError) || error.code === 'DispatcherFailed')
			this.untyped.push(`After ${this.step}: ${error instanceof Error ? (error.stack ?? error.message) : error}`);
		else if (error.code !== 'JobFailed' && error.code !== 'JobCancelled') this.first ??= {code: error.code, message: error.message};
	}
}

async function useAll(path: string, told: Told, onOpen: () => void = () => undefined): Promise<void> {
	try {
		const faena = await open<Tasks>({queue: path, tasks: TASKS, isolation: 'inline', durability: 'normal'});
		told.step = 'open';
		onOpen();
		try {
			await use(faena, path, told);
		} finally {
			await faena.close({drain: 0});
		}
		told.step = 'close';
	} catch (error) {
		told.error(error);
	}
}

async function use(faena: Engine<Tasks>, path: string, told: Told): Promise<void> {
	const ids = (await faena.jobs().page({limit: 1000})).map(({id}) => id);
	told.step = 'jobs';
	for (const id of ids) await endOf(faena, id);
	await faena.batches();
	told.step = 'job';
	await faena.enqueue('echo', 'again', {key: 'ready-1'});
	await faena.retry({status: ['dead', 'failed']});
	told.step = 'retry';
	await ended(faena, path);
	told.step = 'idle';
	told.jobs = JSON.stringify([await faena.counts(), await Promise.all(ids.map(async id => endOf(faena, id)))]);
	await faena.cleanup({olderThan: 0});
	told.step = 'cleanup';
}

async function endOf(faena: Engine<Tasks>, id: number): Promise<unknown> {
	try {
		const job = await faena.job(id).info();
		return job && [job.id, job.task, job.status, job.key, job.payload, job.result];
	} catch (error) {
		// The value of one job: the others are as good as before.
		if (error instanceof FaenaError && error.code === 'NotEncodable') return error.message;
		throw error;
	}
}

/** Idle, without the jobs that wait for a later time; or never, since a job lies in no place, or the tally counts one that is not there. */
async function ended(faena: Engine<Tasks>, path: string): Promise<void> {
	const idle = faena.idle().then(() => true);
	// It is the close that rejects it then.
	idle.catch(() => undefined);
	do {
		const waiting = (await faena.jobs({status: ['pending', 'failed']}).page({limit: 1000})).filter(({runAt}) => runAt !== undefined);
		if (waiting.length > 0) await faena.cancel({ids: waiting.map(({id}) => id)});
	} while (!(await Promise.race([idle, sleep(500, false)])) && lawsOf(path).length === 0);
}

function lawsOf(path: string): string[] {
	const db = new Database(path, {readonly: true});
	try {
		return brokenLaws(db);
	} catch (error) {
		return [String(error)];
	} finally {
		db.close();
	}
}

function changes(path: string, before: Buffer): string[] {
	const changed = existsSync(path) && readFileSync(path).equals(before) ? [] : ['It was refused, and changed.'];
	const {size: logBytes} = statSync(`${path}-wal`, {throwIfNoEntry: false}) ?? {size: 0};
	return logBytes === 0 ? changed : [...changed, 'It was refused, and left a log.'];
}
