import {mkdtempSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import {type Command, Option} from 'commander';
import {nanoid} from 'nanoid';
import {keyOf} from '../../../bench/analyse/group.ts';
import {type Run, runOf} from '../../../bench/analyse/run.ts';
import {type Order, takeBlocks} from '../../../bench/plan/blocks.ts';
import {describeMachine} from '../../../bench/plan/machine.ts';
import type {Case, Entry} from '../../../bench/plan/suite.ts';
import {CONTENTION_PLAN, claimFigures, DEQUEUE_PLAN} from '../../../bench/short/claims.ts';
import {describe} from '../../../bench/short/describe.ts';
import {describeContention, describeDequeue} from '../../../bench/short/describe-claims.ts';
import {describeOwnTask} from '../../../bench/short/describe-own-task.ts';
import {shortFigures} from '../../../bench/short/figures.ts';
import {measureOwnTask} from '../../../bench/short/own-task.ts';
import {SHORT_PLAN, SHORT_TRIALS} from '../../../bench/short/plan.ts';
import {closeOnSignals} from '../../internal/api.ts';
import {bad, FaenaError} from '../../internal/words.ts';
import {ExitCode} from '../exit-codes.ts';
import {toCount, toTask} from '../flags/flag-values.ts';
import {openInput} from '../map/inputs/open-input.ts';
import {print, printError, showBar, toJson} from '../terminal/print.ts';

interface Options {
	readonly folder: string;
	readonly blocks: number;
	readonly trial?: readonly string[];
	readonly json?: true;
	readonly jobs?: number;
	readonly task?: string;
	readonly stdin?: true;
	readonly ndjson?: true;
}

/** A suite for users: its cases, and how their measurements are shown. */
interface Suite<Figures> {
	readonly cases: readonly Case[];
	readonly figuresOf: (run: Run) => Figures;
	readonly describe: (run: Run, figures: Figures) => string;
}

const CLAIM_SUITES = {
	dequeue: {cases: DEQUEUE_PLAN, figuresOf: claimFigures, describe: describeDequeue},
	contention: {cases: CONTENTION_PLAN, figuresOf: claimFigures, describe: describeContention},
} as const;

export function addBench(program: Command): void {
	program
		.command('bench')
		.summary('measure how fast Faena is on this machine and this disk')
		.description(
			'Measures how many jobs a second Faena runs on this machine and this disk, the cost of a job, and how large jobs should be. ' +
				'"dequeue" measures how fast one process claims jobs, by the number of jobs in a claim. "contention" measures how fast and how ' +
				'evenly several processes claim from one file. Each block takes about a minute. Run nothing else meanwhile: a measurement ' +
				'that another program disturbs is repeated.\n' +
				'With --task it measures a task of yours on your inputs: the cost of a job, whether jobs should be larger, and how many workers pay. ' +
				'The task runs several times for each input.',
		)
		.argument('[suite|globs...]', '"dequeue" or "contention", to measure this instead; with --task, globs of the input files')
		.option('--task <module#task>', "measure this task, for instance './tasks.ts#thumbnail'")
		.option('--stdin', 'with --task: run it for every line of stdin instead of files')
		.option('--ndjson', 'with --task: run it for every line of stdin, parsed as JSON')
		.option('--folder <folder>', 'folder on the disk to measure; files written there are removed', '.')
		.option('--blocks <n>', 'how often to measure everything; from 3 on there are intervals', toCount, 3)
		.addOption(new Option('--trial <names...>', 'measure only these').choices(SHORT_TRIALS))
		.option('--json', 'print one line of JSON')
		// For tests, which check the words and not the figures.
		.addOption(new Option('--jobs <n>', 'the most jobs in a measurement').argParser(toCount).hideHelp())
		.action(async (words: readonly string[], options: Options) => {
			process.exitCode = await (options.task === undefined ? measureSuite(words, options) : measureTask(options.task, words, options));
		});
}

function measureSuite([suite, ...more]: readonly string[], options: Options): Promise<number> {
	const {trial, stdin, ndjson} = options;
	if (suite !== undefined && (!isClaimSuite(suite) || more.length > 0))
		throw bad(`faena bench measures dequeue or contention, or with --task a task of yours; it got ${[suite, ...more].join(' ')}.`);
	if (stdin || ndjson) throw bad('--stdin and --ndjson are the input of a task; name it with --task.');
	if (suite && trial) throw bad(`faena bench ${suite} has no trials to choose from; leave out --trial.`);
	if (suite) return measure(options, CLAIM_SUITES[suite]);
	return measure(options, {cases: SHORT_PLAN.filter(each => trial?.includes(each.trial) ?? true), figuresOf: shortFigures, describe});
}

function isClaimSuite(name: string): name is keyof typeof CLAIM_SUITES {
	return name in CLAIM_SUITES;
}

async function measureTask(target: string, globs: readonly string[], options: Options): Promise<number> {
	const {folder, blocks, json, trial} = options;
	if (trial) throw bad('A task has no trials to choose from; leave out --trial.');
	const own = toTask(target);
	const inputs = await Array.fromAsync((await openInput(globs, options)).items, ({payload}) => payload);
	if (inputs.length === 0) throw bad('There are no inputs; give at least one.');
	const figures = await inTemporaryFolder(folder, async (temporary, signal) => {
		let [done, total] = [0, 0];
		let endBar = () => {};
		const onMeasured = (measured: number, all: number) => {
			[done, total] = [measured, all];
			if (measured === 0) endBar = showBar(() => ({done, executed: done, dead: 0, total, isStopping: signal.aborted}));
		};
		return measureOwnTask({...own, inputs, folder: temporary, blocks, signal, onMeasured}).finally(() => endBar());
	});
	await print(json ? `${toJson({task: target, ...figures})}\n` : describeOwnTask(target, figures));
	return ExitCode.done;
}

const BRIEF_WARM_UP_MS = 100;

/** Measures, and prints the figures. If a measurement is void, Faena or the suite has a bug, and the command fails. */
async function measure<Figures>(options: Options, {cases: all, figuresOf, describe}: Suite<Figures>): Promise<number> {
	const {folder, blocks, json, jobs = Infinity} = options;
	const cases = all.map(each => ({...each, jobs: Math.min(each.jobs, jobs)}));
	// In a test, which does not check the figures, a whole warm-up would take most of the time.
	const order = {blocks, cases, ...(jobs < Infinity && {warmUpMs: BRIEF_WARM_UP_MS})};
	const run = await inTemporaryFolder(folder, (temporary, signal) => takeMeasurements(temporary, order, signal));
	const figures = figuresOf(run);
	const {machine, seed, discarded} = run;
	await print(json ? `${toJson({...(Array.isArray(figures) ? {claims: figures} : figures), machine, seed, discarded})}\n` : describe(run, figures));
	return discarded.some(each => each.discarded?.startsWith('void')) ? ExitCode.someFailed : ExitCode.done;
}

/** Calls `use` with a new folder, and removes the folder afterwards: also after a signal, once all processes that write there have ended. */
async function inTemporaryFolder<Result>(parent: string, use: (folder: string, signal: AbortSignal) => Promise<Result>): Promise<Result> {
	const folder = makeFolder(parent);
	const controller = new AbortController();
	const using = use(folder, controller.signal).finally(() => rmSync(folder, {recursive: true, force: true}));
	const stop = closeOnSignals({
		close: async () => {
			controller.abort();
			await using.catch(() => undefined);
		},
	});
	try {
		return await using;
	} catch (error) {
		// The signal ends this process as soon as `close` has resolved.
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
		throw new FaenaError('BadOption', `The folder ${parent} can't be written to: ${(cause as Error).message}.`, {cause});
	}
}

async function takeMeasurements(folder: string, {blocks, cases, ...warmUp}: Pick<Order, 'blocks' | 'cases' | 'warmUpMs'>, signal: AbortSignal): Promise<Run> {
	const header = {run: nanoid(8), plan: 'short', seed: Date.now() % 2 ** 31, at: new Date().toISOString(), machine: describeMachine(folder)};
	const entries: Entry[] = [];
	const isDone = new Set<string>();
	const status = () => ({done: isDone.size, executed: isDone.size, dead: 0, total: blocks * cases.length, isStopping: signal.aborted});
	const endBar = showBar(status);
	try {
		for await (const entry of takeBlocks({...header, folder, blocks, cases, signal, ...warmUp})) {
			entries.push(entry);
			if (entry.discarded !== undefined) printError(`A measurement of ${entry.trial} does not count, and is repeated up to twice: ${entry.discarded}.`);
			isDone.add(`${entry.block} ${keyOf(entry)}`);
		}
	} finally {
		endBar();
	}
	return runOf(header, entries);
}
