import {mkdtempSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import {Argument, type Command, InvalidArgumentError, Option} from 'commander';
import {nanoid} from 'nanoid';
import {keyOf} from '../../bench/analyse/group.ts';
import {type Run, runOf} from '../../bench/analyse/run.ts';
import {type Order, takeBlocks} from '../../bench/plan/blocks.ts';
import {describeMachine} from '../../bench/plan/machine.ts';
import type {Case, Entry} from '../../bench/plan/suite.ts';
import {CONTENTION_PLAN, claimFigures, DEQUEUE_PLAN} from '../../bench/short/claims.ts';
import {describe} from '../../bench/short/describe.ts';
import {describeContention, describeDequeue} from '../../bench/short/describe-claims.ts';
import {shortFigures} from '../../bench/short/figures.ts';
import {SHORT_PLAN, SHORT_TRIALS} from '../../bench/short/plan.ts';
import {closeOnSignals} from '../api/signals.ts';
import {FaenaError} from '../index.ts';
import {showBar} from './bar.ts';
import {ExitCode} from './exit-codes.ts';
import {toJson} from './ndjson.ts';
import {print} from './print.ts';

interface Options {
	readonly folder: string;
	readonly blocks: number;
	readonly trial?: readonly string[];
	readonly json?: true;
	readonly jobs?: number;
}

/** One of the suites for users: its cases, and what is made of their measurements. */
interface Suite<Figures> {
	readonly cases: readonly Case[];
	readonly figuresOf: (run: Run) => Figures;
	readonly describe: (run: Run, figures: Figures) => string;
}

const SUITES = {
	dequeue: {cases: DEQUEUE_PLAN, figuresOf: claimFigures, describe: describeDequeue},
	contention: {cases: CONTENTION_PLAN, figuresOf: claimFigures, describe: describeContention},
} as const;

export function addBench(program: Command): void {
	program
		.command('bench')
		.summary('how fast Faena is on this machine and this disk')
		.description(
			'Measures how many jobs a second Faena moves on this machine and this disk, what a job costs, and how large jobs should be. With\n' +
				'"dequeue", how fast one process claims jobs, by how many at a time; with "contention", how fast and how evenly several processes\n' +
				'claim from one file. It takes about half a minute for each block. Nothing else should run meanwhile: what other programs disturb\n' +
				'is measured again.',
		)
		.addArgument(new Argument('[suite]', 'what to measure instead').choices(Object.keys(SUITES)))
		.option('--folder <folder>', 'a folder on the disk to measure; what is written there is removed', '.')
		.option('--blocks <n>', 'how often everything is measured; from 3 on there are intervals', toCount, 3)
		.addOption(new Option('--trial <names...>', 'only these').choices(SHORT_TRIALS))
		.option('--json', 'as one line of JSON')
		// For tests, which care about the words, not about the figures.
		.addOption(new Option('--jobs <n>', 'at most so many jobs in a measurement').argParser(toCount).hideHelp())
		.action(async (suite: keyof typeof SUITES | undefined, options: Options) => {
			process.exitCode = await (suite === undefined ? bench(options) : benchClaims(suite, options));
		});
}

const BRIEF_WARM_UP_MS = 100;

async function bench(options: Options): Promise<number> {
	const cases = SHORT_PLAN.filter(({trial}) => options.trial?.includes(trial) ?? true);
	return measure(options, {cases, figuresOf: shortFigures, describe});
}

async function benchClaims(suite: keyof typeof SUITES, options: Options): Promise<number> {
	if (options.trial) throw new FaenaError('BadOption', `faena bench ${suite} has no trials to choose from; leave out --trial.`);
	return measure(options, SUITES[suite]);
}

/** Where a measurement is void, Faena or the suite has a bug: that is no success. */
async function measure<Figures>(options: Options, {cases: all, figuresOf, describe}: Suite<Figures>): Promise<number> {
	const {folder, blocks, json, jobs = Number.POSITIVE_INFINITY} = options;
	const cases = all.map(each => ({...each, jobs: Math.min(each.jobs, jobs)}));
	// For a test, which doesn't look at the figures, a whole warm-up would be most of the time.
	const order = {blocks, cases, ...(jobs < Number.POSITIVE_INFINITY && {warmUpMs: BRIEF_WARM_UP_MS})};
	const run = await inFolderOfItsOwn(folder, (place, signal) => takeMeasurements(place, order, signal));
	const figures = figuresOf(run);
	const {machine, seed, discarded} = run;
	await print(json ? `${toJson({...(Array.isArray(figures) ? {claims: figures} : figures), machine, seed, discarded})}\n` : describe(run, figures));
	return discarded.some(each => each.discarded?.startsWith('void')) ? ExitCode.someFailed : ExitCode.done;
}

/** Whatever ends it, a signal included, the folder is removed after all who write there have gone. */
async function inFolderOfItsOwn<Result>(parent: string, use: (place: string, signal: AbortSignal) => Promise<Result>): Promise<Result> {
	const place = makeFolder(parent);
	const controller = new AbortController();
	const using = use(place, controller.signal).finally(() => rmSync(place, {recursive: true, force: true}));
	const stop = closeOnSignals({
		close: async () => {
			controller.abort();
			await using.catch(() => undefined);
		},
	});
	try {
		return await using;
	} catch (error) {
		// The signal ends this process, as soon as it has been told that all is done.
		if (controller.signal.aborted) await new Promise(() => undefined);
		throw error;
	} finally {
		stop();
	}
}

function makeFolder(parent: string): string {
	try {
		return mkdtempSync(join(parent, '.faena-bench-'));
	} catch (cause) {
		throw new FaenaError('BadOption', `Nothing can be written in ${parent}: ${(cause as Error).message}.`, {cause});
	}
}

async function takeMeasurements(folder: string, {blocks, cases, ...warmUp}: Pick<Order, 'blocks' | 'cases' | 'warmUpMs'>, signal: AbortSignal): Promise<Run> {
	const header = {run: nanoid(8), plan: 'short', seed: Date.now() % 2 ** 31, at: new Date().toISOString(), machine: describeMachine(folder)};
	const entries: Entry[] = [];
	const isDone = new Set<string>();
	const standing = () => ({done: isDone.size, executed: isDone.size, dead: 0, total: blocks * cases.length, isStopping: signal.aborted});
	const endBar = showBar(standing);
	try {
		for await (const entry of takeBlocks({...header, folder, blocks, cases, signal, ...warmUp})) {
			entries.push(entry);
			isDone.add(`${entry.block} ${keyOf(entry)}`);
		}
	} finally {
		endBar();
	}
	return runOf(header, entries);
}

function toCount(text: string): number {
	if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
	throw new InvalidArgumentError('It is a whole number from 1.');
}
