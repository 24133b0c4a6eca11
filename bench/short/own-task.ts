import {mkdtempSync, rmSync} from 'node:fs';
import {availableParallelism, cpus} from 'node:os';
import {join} from 'node:path';
import {type Engine, FaenaError, open} from '../../lib/index.ts';
import type {Durability} from '../../lib/job/job.ts';
import {median} from '../analyse/statistics.ts';

/** A task of the user's with inputs of the user's. */
export interface OwnTask {
	/** The module that exports the task, and the task's name. */
	readonly module: string;
	readonly task: string;
	/** Used again from the first one on if a measurement needs more. */
	readonly inputs: readonly unknown[];
	/** The folder for databases, on the disk to measure. */
	readonly folder: string;
	/** How often each number of workers is measured. */
	readonly blocks: number;
	/** Ends the current measurement, and with it all others. */
	readonly signal: AbortSignal;
	/** Called once the number of measurements is known, and after each of them. */
	readonly onMeasured: (done: number, total: number) => void;
}

/** What jobs of one input each cost. Times are in milliseconds. */
export interface OwnTaskFigures {
	readonly inputs: number;
	/** How long a job runs: the median, and what 95 of 100 jobs don't exceed. */
	readonly jobMs: {readonly p50: number; readonly p95: number; readonly mean: number};
	/** The share of this time that it is on a processor. The rest it waits. Missing for jobs that are too short to tell. */
	readonly cpuShare?: number;
	/** CPU time that Faena takes for a job beside the task; missing if child processes run it. */
	readonly costMs?: number;
	/** By number of workers. */
	readonly byWorkers: readonly WorkersFigures[];
	/** The smallest number of workers with at least 95 % of the highest rate. */
	readonly enoughWorkers: number;
	/** The number of inputs in a job from which the workers spend 95 % of their time in the task; 1 if they do so now. Derived from their time beside it. */
	readonly inputsInJob: number;
	/** The share of the processors that other programs took meanwhile. From 0.1 on the other figures say little. 0 where it is not known. */
	readonly othersShare: number;
	/** The rate with durability `full` divided by that with `normal`, with as many workers as processors. */
	readonly fullBesideNormal: number;
}

export interface WorkersFigures {
	readonly workers: number;
	readonly jobsPerSecond: number;
	/** The share of the workers' time that they are in the task. */
	readonly inTask: number;
}

/** One measurement takes about this long, unless the jobs themselves are longer. */
const MEASUREMENT_MS = 1500;
/** So long a sample says how many jobs that is. */
const SAMPLE_MS = 300;
/** A sample has so many times the jobs of the one before at most. */
const MAX_GROWTH = 64;
/** The processor time of a shorter job is not known exactly. */
const LEAST_KNOWN_MS = 0.1;
const ENOUGH = 0.95;
/** A task that is on a processor for less of its time may gain from more workers than processors. */
const WAITING_SHARE = 0.8;
/** Of a task that waits, at most so many workers are measured. */
const MAX_WORKERS = 64;
/** A longer job is no job too small. */
const MAX_SMALL_MS = 100;
/** Figures say little if other programs take a larger share of the processors. Such a measurement is repeated. */
export const MAX_OTHERS_SHARE = 0.1;
const MAX_TRIES = 3;

/**
 * Runs the task on a few files of jobs, with 1, 2, 4 and so on workers up to the number of processors; of a task that waits, up to as many as would
 * keep the processors busy.
 * @throws FaenaError `BadOption` if a job fails; the signal's reason once it is aborted
 */
export async function measureOwnTask(own: OwnTask): Promise<OwnTaskFigures> {
	const processors = availableParallelism();
	const sample = await sampleOf(own, processors);
	const cpuShare = cpuShareOf(sample) ?? 1;
	const highest = cpuShare < WAITING_SHARE ? Math.min(MAX_WORKERS, Math.ceil(processors / cpuShare)) : processors;
	const numbers = numbersOfWorkers(processors, highest);
	const cases = [...numbers.map(workers => ({workers, durability: 'full'}) as const), {workers: processors, durability: 'normal'} as const];
	const taken: Measured[] = [];
	own.onMeasured(0, own.blocks * cases.length);
	for (let block = 0; block < own.blocks; block++)
		for (const {workers, durability} of cases) {
			// As many as take about the same time with any number of workers.
			const jobs = Math.max(workers, Math.round((((sample.jobs * MEASUREMENT_MS) / sample.wallMs) * workers) / processors));
			taken.push(await measureUndisturbed(own, {workers, durability, jobs}));
			own.onMeasured(taken.length, own.blocks * cases.length);
		}
	return figuresOf(own, taken, processors);
}

/** Tries again while other programs disturb. Returns the try that they disturbed least. */
async function measureUndisturbed(own: OwnTask, how: Pick<Measured, 'workers' | 'durability' | 'jobs'>): Promise<Measured> {
	let best = await measure(own, how);
	for (let tries = 1; tries < MAX_TRIES && best.othersShare > MAX_OTHERS_SHARE; tries++) {
		const next = await measure(own, how);
		if (next.othersShare < best.othersShare) best = next;
	}
	return best;
}

/** Runs more and more jobs until they take long enough to tell. */
async function sampleOf(own: OwnTask, workers: number): Promise<Measured> {
	for (let jobs = workers; ; ) {
		const sample = await measure(own, {workers, durability: 'normal', jobs});
		if (sample.wallMs >= SAMPLE_MS) return sample;
		jobs *= Math.min(MAX_GROWTH, Math.ceil((2 * SAMPLE_MS) / sample.wallMs));
	}
}

function figuresOf({inputs}: OwnTask, taken: readonly Measured[], processors: number): OwnTaskFigures {
	const of = (workers: number, durability: Durability, figure: (measured: Measured) => number) =>
		median(taken.filter(each => each.workers === workers && each.durability === durability).map(figure));
	const workers = [...new Set(taken.map(each => each.workers))].sort((one, other) => one - other);
	const byWorkers = workers.map(number => ({workers: number, jobsPerSecond: of(number, 'full', rateOf), inTask: of(number, 'full', inTaskShare)}));
	const highest = Math.max(...byWorkers.map(({jobsPerSecond}) => jobsPerSecond));
	const atProcessors = (figure: (measured: Measured) => number) => of(processors, 'full', figure);
	const meanOf = ({inTaskMs, jobs}: Measured) => inTaskMs / jobs;
	// Of several workers, one that has no more jobs at the end would count as busy beside the task.
	const [aloneMs, besideMs] = [of(1, 'full', meanOf), of(1, 'full', beside)];
	const costMs = atProcessors(({ownCpuMs, cpuMs, jobs}) => (ownCpuMs - cpuMs) / jobs);
	return {
		inputs: inputs.length,
		jobMs: {p50: atProcessors(({p50}) => p50), p95: atProcessors(({p95}) => p95), mean: atProcessors(meanOf)},
		...(atProcessors(({p50}) => p50) >= LEAST_KNOWN_MS && {cpuShare: atProcessors(measured => cpuShareOf(measured) ?? 1)}),
		// The CPU time of child processes is not this process's.
		...(taken.every(({inThreads}) => inThreads) && costMs > 0 && {costMs}),
		byWorkers,
		enoughWorkers: byWorkers.find(({jobsPerSecond}) => jobsPerSecond >= ENOUGH * highest)?.workers ?? processors,
		inputsInJob: aloneMs > MAX_SMALL_MS ? 1 : Math.max(1, Math.ceil((besideMs * ENOUGH) / (aloneMs * (1 - ENOUGH)))),
		othersShare: median(taken.map(({othersShare}) => othersShare)),
		fullBesideNormal: atProcessors(rateOf) / of(processors, 'normal', rateOf),
	};
}

interface Measured {
	readonly workers: number;
	readonly durability: Durability;
	readonly jobs: number;
	readonly wallMs: number;
	/** The run times of all jobs together, and their CPU time. */
	readonly inTaskMs: number;
	readonly cpuMs: number;
	/** CPU time of this process, with all its threads. */
	readonly ownCpuMs: number;
	readonly inThreads: boolean;
	readonly othersShare: number;
	readonly p50: number;
	readonly p95: number;
}

function cpuShareOf({cpuMs, inTaskMs, p50}: Measured): number | undefined {
	return p50 < LEAST_KNOWN_MS ? undefined : Math.min(1, cpuMs / inTaskMs);
}

function rateOf({jobs, wallMs}: Measured): number {
	return (jobs / wallMs) * 1000;
}

function inTaskShare({inTaskMs, wallMs, workers}: Measured): number {
	return Math.min(1, inTaskMs / (wallMs * workers));
}

/** A worker's time beside the task, for each job. */
function beside({wallMs, workers, inTaskMs, jobs}: Measured): number {
	return Math.max(0, wallMs * workers - inTaskMs) / jobs;
}

/** Runs so many jobs on a new file. A tenth of them run before, to warm up. */
async function measure(own: OwnTask, {workers, durability, jobs}: Pick<Measured, 'workers' | 'durability' | 'jobs'>): Promise<Measured> {
	const place = mkdtempSync(join(own.folder, 'own-task-'));
	const engine = await open({queue: join(place, 'jobs.db'), tasks: own.module, workers, durability, taskOutput: 'stderr'});
	try {
		await runMap(engine, own, Math.ceil(jobs / 10));
		const [before, busy, cpu, start] = [await totals(engine, own.task), busyMs(), process.cpuUsage(), performance.now()];
		await runMap(engine, own, jobs);
		const wallMs = performance.now() - start;
		const {user, system} = process.cpuUsage(cpu);
		const allMs = busyMs() - busy;
		const after = await totals(engine, own.task);
		const [first] = await engine.jobs().page({limit: 1});
		const [execution] = (await engine.job(first?.id ?? 0).info())?.history ?? [];
		const inThreads = execution?.worker?.startsWith('thread') ?? false;
		const [ownCpuMs, cpuMs] = [(user + system) / 1000, after.cpuMs - before.cpuMs];
		const othersShare = Math.max(0, (allMs - ownCpuMs - (inThreads ? 0 : cpuMs)) / wallMs / availableParallelism() || 0);
		return {
			...{workers, durability, jobs, wallMs, ownCpuMs, inThreads, othersShare},
			...{inTaskMs: after.inTaskMs - before.inTaskMs, cpuMs, p50: after.p50, p95: after.p95},
		};
	} finally {
		await engine.close({drain: 0});
		rmSync(place, {recursive: true, force: true});
	}
}

async function runMap(engine: Engine, {task, inputs, signal}: OwnTask, jobs: number): Promise<void> {
	for await (const result of engine.map(task, repeated(inputs, jobs), {maxAttempts: 1, signal})) {
		if (result.status === 'completed') continue;
		throw new FaenaError(
			'BadOption',
			`The job of input ${(result.index % inputs.length) + 1} is ${result.status}: ${result.error.message}. faena bench measures a task that succeeds; see what fails with faena map.`,
		);
	}
}

function* repeated(inputs: readonly unknown[], count: number): Generator<unknown> {
	for (let index = 0; index < count; index++) yield inputs[index % inputs.length];
}

/** How long the processors of the machine have been busy, all together. NaN if this program may use only some of them: others are busy for others. */
function busyMs(): number {
	if (cpus().length !== availableParallelism()) return NaN;
	return cpus().reduce((sum, {times: {user, nice, sys, irq}}) => sum + user + nice + sys + irq, 0);
}

async function totals(engine: Engine, task: string) {
	const {tasks} = await engine.stats();
	const {completed = 0, cpuMs = 0, duration} = tasks[task] ?? {};
	return {inTaskMs: completed * (duration?.mean ?? 0), cpuMs, p50: duration?.p50 ?? 0, p95: duration?.p95 ?? 0};
}

/** 1, 2, 4 and so on, the number of processors, and the highest. */
export function numbersOfWorkers(processors: number, highest: number): number[] {
	const powers = Array.from({length: Math.ceil(Math.log2(highest))}, (_, power) => 2 ** power);
	return [...new Set([...powers, processors, highest])].sort((one, other) => one - other);
}
