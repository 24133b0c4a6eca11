import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {type Engine, type Job, open} from '../../../lib/index.ts';
import {MAX_CRASHES} from '../../../lib/job/job.ts';
import {pick, seeded, shuffled} from '../../fixtures/random.ts';
import {type Assignment, POISONS, type Poison} from './poisons.ts';

/** Bad jobs among good ones, in one engine; all of it follows from the seed. */
export interface Round {
	readonly seed: number;
	readonly isolation: 'thread' | 'process';
	/** Of bad jobs: about so many, each job as often as it is due; by default as many as it takes that each poison has its turn. */
	readonly executions?: number;
}

/** What came of a round. */
export interface Result {
	readonly good: number;
	/** Executions of bad jobs that were charged to them, or completed in spite of all, by poison. */
	readonly bad: Readonly<Record<string, number>>;
	/** Sentences on jobs that ended otherwise than they should have. */
	readonly broken: readonly string[];
}

const GOOD_PER_BAD = 3;
/** Few of most: a job is worth more executions only where they add up to something else. */
const MAX_ATTEMPTS = [1, 1, 1, 2, 3, 4];
const HANG_MS = 200;
/** Without a job that ends for so long, it is stuck. */
const PATIENCE_MS = 60_000;

type Tasks = typeof import('./poisons.ts');

export async function run(round: Round, folder: string): Promise<Result> {
	const faena = await open<Tasks>({
		queue: join(folder, 'jobs.db'),
		tasks: new URL('./poisons.ts', import.meta.url),
		isolation: round.isolation,
		workers: 2,
		grace: 50,
		maxValue: 64 * 1024,
		taskOutput: 'stderr',
		resourceLimits: {maxOldGenerationSizeMb: 64},
		defaults: {backoff: 0},
	});
	const expected = await enqueue(faena, round);
	const broken = (await ends(faena)) ? [] : ['No job ends any more.'];
	const bad: Record<string, number> = {};
	let good = 0;
	for await (const job of eachJob(faena)) {
		const {poison, maxAttempts, number} = expected.get(job.id) as Expected;
		const complaint = poison === undefined ? await complaintOfGood(faena, job, number) : complaintOfBad(job, POISONS[poison] as Poison, maxAttempts);
		if (complaint) broken.push(`Job ${job.id}, ${poison ?? 'good'}: ${complaint}. ${JSON.stringify(job.error ?? null).slice(0, 500)}`);
		if (poison === undefined) good++;
		else bad[poison] = (bad[poison] ?? 0) + Math.max(1, job.attempts);
	}
	await faena.close({drain: 0});
	return {good, bad, broken};
}

/** The names of those that a program with this isolation survives. */
export function survivable(isolation: Round['isolation']): string[] {
	return Object.entries(POISONS)
		.filter(([, {only = isolation, endsProgram}]) => only === isolation && !(endsProgram && isolation === 'thread'))
		.map(([name]) => name);
}

interface Expected extends Assignment {
	readonly maxAttempts: number;
}

async function enqueue(faena: Engine<Tasks>, {seed, isolation, executions}: Round): Promise<Map<number, Expected>> {
	const random = seeded(seed);
	const poisons = survivable(isolation);
	const bad = drawn(random, poisons);
	const expected = new Map<number, Expected>();
	let [badJobs, due] = [0, 0];
	for (let number = 0; executions === undefined ? badJobs < poisons.length : due < executions; number++) {
		const isGood = random() < GOOD_PER_BAD / (GOOD_PER_BAD + 1);
		const poison = isGood ? undefined : (bad.next().value as string);
		const maxAttempts = isGood ? 1 : pick(random, MAX_ATTEMPTS);
		expected.set(await enqueueOne(faena, number, poison, maxAttempts), {number, maxAttempts, ...(poison !== undefined && {poison})});
		if (poison === undefined) continue;
		badJobs++;
		due += dueAttempts(POISONS[poison]?.reason, maxAttempts) || 1;
	}
	return expected;
}

/** Each comes once before one comes again. */
function* drawn(random: () => number, poisons: readonly string[]): Generator<string> {
	for (;;) yield* shuffled(random, poisons);
}

async function enqueueOne(faena: Engine<Tasks>, number: number, poison: string | undefined, maxAttempts: number): Promise<number> {
	const {hangs} = POISONS[poison ?? ''] ?? {};
	const {id} = await faena.enqueue('work', {number, ...(poison !== undefined && {poison})}, {maxAttempts, ...(hangs && {timeout: HANG_MS})});
	return id;
}

function dueAttempts(reason: Poison['reason'], maxAttempts: number): number {
	if (reason === undefined) return 0;
	return reason === 'lostWorker' ? Math.min(maxAttempts, MAX_CRASHES) : maxAttempts;
}

/** True if all jobs end; false if none has for long. */
async function ends(faena: Engine<Tasks>): Promise<boolean> {
	const idle = faena.idle().then(() => true);
	for (let last = ''; ; ) {
		if (await Promise.race([idle, sleep(PATIENCE_MS, false, {ref: false})])) return true;
		const counts = JSON.stringify(await faena.counts());
		if (counts === last) return false;
		last = counts;
	}
}

async function* eachJob(faena: Engine<Tasks>): AsyncGenerator<Job> {
	for (let after = 0; ; ) {
		const page = await faena.jobs().page({after, limit: 1000});
		if (page.length === 0) return;
		yield* page;
		after = page.at(-1)?.id as number;
	}
}

async function complaintOfGood(faena: Engine<Tasks>, {id, status, attempts}: Job, number: number): Promise<string | undefined> {
	if (status !== 'completed' || attempts > 0) return `it is ${status} with ${attempts} attempts charged`;
	const {square} = ((await faena.job(id).info())?.result ?? {}) as {square?: number};
	return square === number * number ? undefined : `its result is ${square}`;
}

function complaintOfBad({status, attempts, error}: Job, {reason, surfacesLate}: Poison, maxAttempts: number): string | undefined {
	const due = dueAttempts(reason, maxAttempts);
	if (surfacesLate && status === 'completed' && attempts < due) return undefined;
	const wanted = reason === undefined ? 'completed' : 'dead';
	if (status !== wanted || attempts !== due) return `it is ${status} after ${attempts} attempts, and should be ${wanted} after ${due}`;
	const called = reason === 'lostWorker' && due === MAX_CRASHES ? 'poison' : reason;
	return error?.reason === called ? undefined : `the reason is ${error?.reason}, and should be ${called}`;
}
