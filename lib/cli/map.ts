import {createHash} from 'node:crypto';
import {existsSync} from 'node:fs';
import {dirname, relative, resolve} from 'node:path';
import {type Command, Option} from 'commander';
import {FaenaError, type HaltOption, type Job, open} from '../index.ts';
import {openQueue} from '../queue.ts';
import {defined} from '../support/defined.ts';
import {filesOf, InputError, type Item, linesOf, refuseFolderAsInput} from './items.ts';
import {MapRun} from './map-run.ts';
import {toCount, toHalt, toTime} from './options.ts';
import {ExitCode, explain} from './print.ts';

interface Options {
	readonly queue: string;
	readonly workers?: number;
	readonly isolation: 'thread' | 'process';
	readonly halt?: HaltOption;
	readonly timeout?: string;
	readonly maxAttempts?: number;
	readonly batch?: string;
	readonly order: 'input' | 'finished';
	readonly lines?: true;
	readonly ndjson?: true;
	readonly missing: 'keep' | 'cancel' | 'delete';
	readonly retryFailed?: true;
	readonly quiet?: true;
}

export function addMap(program: Command): void {
	program
		.command('map')
		.summary('run a task for every file that the globs match, or for every line of stdin')
		.description(
			'Runs a task for every file that the globs match, or for every line of stdin, and prints a line of JSON for each result.\n' +
				'The same command again goes on where it stopped: for completed items it prints the stored results, without running them again.\n' +
				'A line of stdin is identified by its number; a line that has changed is run again.',
		)
		.argument('<module#task>', "a module and one of the functions it exports, for instance './tasks.ts#thumbnail'")
		.argument('[globs...]', 'files; quote the globs, so that the command stays the same when files are added')
		.option('--queue <file>', 'SQLite file of the jobs; created if it does not exist', 'faena.db')
		.option('-j, --workers <n>', 'jobs at the same time (default: one for each processor)', toCount)
		.addOption(new Option('--isolation <how>', 'run tasks in threads or in child processes').choices(['thread', 'process']).default('thread'))
		.option('--timeout <time>', 'longest run of a job, for instance 30s, 5m, or 300% of the median (default: none)', toTime)
		.option('--max-attempts <n>', 'failures after which a job is dead (default: 3)', toCount)
		.option('--batch <name>', 'name under which the run is resumed (default: made of the task and the globs)')
		.addOption(new Option('--order <order>', 'print results as they finish, or in the order of the input').choices(['finished', 'input']).default('finished'))
		.option('--lines', 'run the task for every line of stdin instead of files')
		.option('--ndjson', 'run the task for every line of stdin, parsed as JSON')
		.option('--retry-failed', 'run items again that died or were cancelled in an earlier run')
		.addOption(
			new Option('--missing <how>', 'what to do with unfinished jobs of an earlier run that are missing from the input')
				.choices(['keep', 'cancel', 'delete'])
				.default('keep'),
		)
		.option('--halt <when>', 'give up after failures, or end after successes: now,fail=1 or soon,fail=5% or now,success=1', toHalt)
		.option('--quiet', 'print no progress, only the summary')
		.addHelpText('after', EXAMPLES)
		.action(async (target: string, globs: readonly string[], options: Options) => {
			process.exitCode = await plan(target, globs, options).then(each => map(each, options), refuse);
		});
}

const EXAMPLES = `
Exit code:
    0  all items completed
    1  some died or were cancelled, or too many failed (--halt)
    2  wrong usage, or the queue or the tasks can't be used
    4  the input could not be read to its end, or unfinished jobs of an earlier run were missing from it
   70  the work failed midway; the same command goes on
  130  stopped by SIGINT; 143 by SIGTERM
  141  the reader of the results has gone

Examples:
  faena map './tasks.ts#thumbnail' 'photos/**/*.jpg' > results.ndjson
  jq -c '.urls[]' sites.json | faena map './tasks.ts#parse' --ndjson --queue sites.db`;

interface Plan {
	readonly module: string;
	readonly task: string;
	readonly batch: string;
	readonly items: readonly Item[] | AsyncIterable<Item>;
}

/** Checks all that can be checked before the queue is opened. */
async function plan(target: string, globs: readonly string[], {lines, ndjson, batch, queue}: Options): Promise<Plan> {
	const [module, task] = splitTarget(target);
	const sources = [globs.length > 0, lines, ndjson].filter(Boolean).length;
	if (sources > 1) throw wrong('Give globs, --lines or --ndjson: one of them.');
	if (sources === 0) throw wrong("Give globs that name the files, for instance 'photos/*.jpg', or --lines or --ndjson to read items from stdin.");
	const readsStdin = globs.length === 0;
	if (readsStdin) refuseFolderAsInput();
	const what = readsStdin ? [ndjson ? '--ndjson' : '--lines'] : globs;
	const items = readsStdin ? linesOf(process.stdin, {json: ndjson === true}) : await filesOf(globs);
	return {module, task, batch: batch ?? batchName(target, what, queue), items};
}

async function map({module, task, batch, items}: Plan, options: Options): Promise<number> {
	const {queue, workers, isolation, timeout, maxAttempts, order, missing, retryFailed = false, halt, quiet} = options;
	const readsStdin = Symbol.asyncIterator in items;
	await refuseUnfinished(queue, {module, task, batch});
	const engine = await open({queue, tasks: module, taskOutput: 'stderr', isolation, closeOnSignals: true, ...defined({workers})});
	const run = new MapRun(engine, {queue, missing, total: 'length' in items ? items.length : undefined, printsItems: readsStdin});
	try {
		const results = engine.map(task, items as Iterable<Item>, {
			batch,
			key: (item: Item) => item.key,
			payload: (item: Item) => item.payload,
			order,
			// A line's key is its number, so the line may have changed.
			changed: 'rerun',
			missing,
			retryFailed,
			...defined({timeout, maxAttempts, halt}),
		});
		const code = await run.print(results, {bar: !quiet});
		await engine.close();
		return code;
	} catch (error) {
		// Printed first, since closing waits for running jobs.
		const code = refuse(error);
		// If closing fails, it fails for the reason that was printed.
		await engine.close().catch(() => undefined);
		return code;
	} finally {
		// An open stdin would keep the process alive.
		if (readsStdin) process.stdin.destroy();
	}
}

function splitTarget(target: string): [module: string, task: string] {
	const [, module, task] = /^(.+)#([^#]+)$/.exec(target) ?? [];
	if (module === undefined || task === undefined) {
		throw wrong(`Name a module and one of its functions, for instance './tasks.ts#thumbnail'; this is ${JSON.stringify(target)}.`);
	}
	return [module, task];
}

function wrong(sentence: string): FaenaError {
	return new FaenaError('BadOption', sentence);
}

function refuse(error: unknown): number {
	const code = explain(error);
	return error instanceof InputError ? ExitCode.inputIncomplete : code;
}

const MAX_NAME_LENGTH = 200;

/**
 * The default name of a run's batch: the same whenever the command is typed again. Its paths are relative to the working
 * directory, so the name also has the path from the queue's folder to that directory.
 */
export function batchName(target: string, input: readonly string[], queue: string): string {
	const path = relative(dirname(resolve(queue)), process.cwd());
	const name = [target, ...input, ...(path ? ['in', path] : [])].join(' ');
	if (name.length <= MAX_NAME_LENGTH) return name;
	return `${name.slice(0, MAX_NAME_LENGTH - 17)}…${createHash('sha256').update(name).digest('hex').slice(0, 16)}`;
}

/** A run leaves fewer jobs unfinished: its window is 4,096 items. */
const MAX_LISTED_JOBS = 5000;

/**
 * Refuses a queue with an unfinished other run. Its jobs would run before this run's. Worse, a job names its task but not its
 * module: a task of the same name in another module would run with the wrong function.
 * @throws FaenaError `BadOption`
 */
export async function refuseUnfinished(
	file: string,
	{module, task, batch}: {readonly module: string; readonly task: string; readonly batch: string},
): Promise<void> {
	if (!existsSync(file)) return;
	const queue = await openQueue(file);
	try {
		await queue.reclaim();
		const unfinished = await queue.jobs({status: ['pending', 'running', 'failed']}, {limit: MAX_LISTED_JOBS});
		const other = unfinished.find(job => job.batch !== batch && (job.task === task || isOf(module, job)));
		if (other)
			throw unfinishedRun(
				file,
				other,
				unfinished.find(job => job.batch === batch),
			);
	} finally {
		await queue.close();
	}
}

/** @param own a job of this run, if it is unfinished, too: then neither run can be finished first */
function unfinishedRun(file: string, other: Job, own: Job | undefined): FaenaError {
	const cancel = ({batch, id}: Job) => `faena cancel --queue ${quoted(file)} ${batch === undefined ? id : `--batch ${quoted(batch)}`}`;
	const what = other.batch === undefined ? `job ${other.id}` : `the run ${JSON.stringify(other.batch)}`;
	const ways = own
		? `End one of them, for now, with: ${cancel(other)} or: ${cancel(own)}`
		: `Finish it with the command that began it, or end it, for now, with: ${cancel(other)}`;
	return new FaenaError(
		'BadOption',
		`In ${file} ${what} is unfinished${own ? ', as this run is' : ''}, and this command would execute it, too. ${ways} (its command with --retry-failed goes on with it later). Or name another --queue.`,
	);
}

/** The text as one word of a shell command. */
function quoted(text: string): string {
	return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** True if the job's batch has a {@link batchName} of this module. */
function isOf(module: string, {batch, task}: Job): boolean {
	const end = batch?.indexOf(`#${task} `) ?? -1;
	return end > 0 && resolve(batch?.slice(0, end) ?? '') === resolve(module);
}
