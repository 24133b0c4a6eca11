import {createHash} from 'node:crypto';
import {once} from 'node:events';
import {statSync} from 'node:fs';
import {dirname, relative, resolve} from 'node:path';
import {type Command, Option} from 'commander';
import {isPostgres, queueExists, shownLocation} from '../api/queue-location.ts';
import {closeOnSignals, type Engine, FaenaError, type Job, type JobId, type JobMap, type MapOptions, type MapResult, open} from '../index.ts';
import {bad} from '../job/checks.ts';
import {UNENDED_STATUSES} from '../job/job.ts';
import type {JobQueue} from '../queue.ts';
import {defined} from '../support/defined.ts';
import {printCommands} from './dry-run.ts';
import {toCount, toHalt, toTask, toTime, useQueue} from './input.ts';
import type {SourceGroups} from './inputs/arguments.ts';
import {addInputOptions, INPUT_HELP} from './inputs/input-options.ts';
import type {Item} from './inputs/items.ts';
import {type Input, type InputOptions, openInput} from './inputs/open-input.ts';
import {count, ExitCode, escapeControls, explain, formatRate, type MapStatus, printError, showBar, toJson} from './print.ts';
import {parseShellCommand, SHELL_COMMAND_VARIABLE, SHELL_TASK, type ShellCommand, shellPayload} from './shell-command.ts';
import {shellQuote} from './shell-quote.ts';

/** Options of `map()` that have flags of the same names. */
type MapFlags = Omit<MapOptions<Item, unknown>, 'key' | 'order' | 'missing'> & Required<Pick<MapOptions<Item, unknown>, 'order' | 'missing'>>;

interface Options extends MapFlags, InputOptions {
	readonly sh?: string;
	readonly dryRun?: true;
	readonly queue: string;
	readonly workers?: number;
	readonly isolation: 'thread' | 'process';
	readonly quiet?: true;
}

/** @param groups the inputs at the end of the command line, after `:::` and its like */
export function addMap(program: Command, groups: SourceGroups): void {
	const command = program
		.command('map')
		.usage('[options] <module#task> [globs...]\n       faena map [options] --sh <command> [globs...]')
		.summary('run a task or a command for every file, every line of stdin, or another input')
		.description(
			'Runs a task or a command for every item of an input, and prints a line of JSON for each result.\n' +
				'The same command again continues where it left off: for completed items it prints the stored results, without running them again.\n' +
				'An item is identified by what it is, or by --key, so that lines can be inserted and removed.',
		)
		.argument('[module#task]', "a module and one of the functions it exports, for instance './tasks.ts#thumbnail'")
		.argument('[globs...]', 'files; quote the globs, so that the command stays the same when files are added; - is stdin')
		.option('--sh <command>', "run a command instead of a task: {} is the item, as in GNU parallel, for instance 'gzip -k {}'")
		.option('--dry-run', 'with --sh: print the commands, and run none');
	addInputOptions(command)
		.option('--queue <file>', 'SQLite file or PostgreSQL URL of the jobs; created if it does not exist', 'faena.db')
		.option('-j, --workers <n>', 'jobs at the same time (default: one for each processor)', toCount)
		.addOption(new Option('--isolation <how>', 'run tasks in threads or in child processes').choices(['thread', 'process']).default('thread'))
		.option('--timeout <time>', 'longest run of a job, for instance 30s, 5m, or 300% of the median (default: none)', toTime)
		.option('--max-attempts <n>', 'failures after which a job is dead (default: 3)', toCount)
		.option('--batch <name>', 'name under which the run is resumed (default: made of the task or command, and the globs or kind of input)')
		.addOption(new Option('--order <order>', 'print results as they finish, or in the order of the input').choices(['finished', 'input']).default('finished'))
		.option('--retry-failed', 'run items again that died or were cancelled in an earlier run')
		.addOption(
			new Option('--missing <how>', 'what to do with unfinished jobs of an earlier run that are missing from the input')
				.choices(['keep', 'cancel', 'delete'])
				.default('keep'),
		)
		.option('--halt <when>', 'give up after failures, or end after successes: now,fail=1 or soon,fail=5% or now,success=1', toHalt)
		.option('--quiet', 'print no progress, only the summary')
		.addHelpText('after', `${INPUT_HELP}\n${EXAMPLES}`)
		.action(async (target: string | undefined, globs: readonly string[], options: Options) => {
			const words = target === undefined ? globs : [target, ...globs];
			process.exitCode = await mapWords(words, options, groups);
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
  jq -c '.urls[]' sites.json | faena map './tasks.ts#parse' --ndjson --queue sites.db
  faena map --sh 'cwebp -q 80 {} -o {.}.webp' 'photos/*.png'
  faena map --sh 'convert {1} -resize {2} {1.}-{2}.png' ::: a.png b.png ::: 100x100 200x200`;

/** A command line, read: what to run, and for what. */
interface Plan {
	/** What the words say that is run, for the name of the batch. */
	readonly target: string;
	/** Of a task; of a command that which runs commands. */
	readonly module: string | URL;
	readonly task: string;
	readonly command: ShellCommand | undefined;
	readonly input: Input;
}

async function mapWords(words: readonly string[], options: Options, groups: SourceGroups): Promise<number> {
	try {
		const plan = await planOf(words, options, groups);
		if (!options.dryRun) return await map(plan, options);
		if (!plan.command) throw bad('--dry-run prints the commands of --sh; give --sh.');
		return await printCommands(plan.input.items, plan.command.template);
	} finally {
		// An open stdin would keep the process alive.
		process.stdin.destroy();
	}
}

async function planOf(words: readonly string[], options: Options, groups: SourceGroups): Promise<Plan> {
	const {sh} = options;
	if (sh !== undefined) {
		if (process.platform === 'win32') throw bad('--sh needs a POSIX shell, so it does not run on Windows. Write a task that calls the program.');
		if ((options.ndjson || options.csv) && (options.maxArgs ?? options.maxReplaceArgs) !== undefined)
			throw bad('--sh takes one record at a time; leave out -n.');
		const input = await openInput(words, options, groups);
		const command = parseShellCommand(sh, input.shape);
		return {target: `sh ${sh}`, module: SHELL_TASK, task: command.task, command, input};
	}
	const [target, ...globs] = words;
	if (target === undefined) throw bad("Name a module and one of its functions, for instance './tasks.ts#thumbnail', or a command with --sh.");
	return {target, ...toTask(target), command: undefined, input: await openInput(globs, options, groups)};
}

async function map({target, module, task, command, input}: Plan, options: Options): Promise<number> {
	const {queue, workers, isolation, quiet: _, batch = batchName(target, input.name, queue), ...flags} = options;
	const {order, missing, retryFailed, halt, timeout, maxAttempts} = flags;
	const {items} = input;
	if (await queueExists(queue)) await useQueue(queue, opened => refuseUnfinished(opened, queue, {module: String(module), task, batch}));
	const env = command && {[SHELL_COMMAND_VARIABLE]: JSON.stringify(command)};
	const engine = await open({queue, tasks: module, taskOutput: 'stderr', isolation, closeOnSignals: true, ...defined({workers, env})});
	try {
		const payload = command ? (item: Item) => shellPayload(command, item) : (item: Item) => item.payload;
		// An item that --key names may have changed.
		const keyed = {batch, key: (item: Item) => item.key, payload, changed: 'rerun'} as const;
		// Of files the largest first, so that the last one does not run alone.
		const sizes = input.areFiles ? new Map((items as readonly Item[]).map(({key}) => [key, statSync(key, {throwIfNoEntry: false})?.size ?? 0])) : undefined;
		const weight = sizes && {weight: ({key}: Item) => sizes.get(key) as number};
		const results = engine.map(task, items as Iterable<Item>, {...defined({order, missing, retryFailed, halt, timeout, maxAttempts}), ...keyed, ...weight});
		const code = await new MapRun(engine, results, options, sizes).print();
		await engine.close();
		return code;
	} catch (error) {
		// Printed first, since closing waits for running jobs.
		const code = explain(error);
		// If closing fails, it fails for the reason that was printed.
		await engine.close().catch(() => undefined);
		return code;
	}
}

const MAX_NAME_LENGTH = 200;

/**
 * The default name of a run's batch: the same whenever the command is typed again. Its paths are relative to the working
 * directory, so the name also has the path from the queue's folder to that directory; on PostgreSQL, the whole path.
 */
function batchName(target: string, input: readonly string[], queue: string): string {
	const path = isPostgres(queue) ? process.cwd() : relative(dirname(resolve(queue)), process.cwd());
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
async function refuseUnfinished(queue: JobQueue, file: string, {module, task, batch}: Readonly<Record<'module' | 'task' | 'batch', string>>): Promise<void> {
	const unfinished = await queue.jobs({status: UNENDED_STATUSES, limit: MAX_LISTED_JOBS});
	const other = unfinished.find(job => job.batch !== batch && (job.task === task || isOf(module, job)));
	if (!other) return;
	const loose = unfinished.filter(job => job.batch === undefined && job.task === other.task).length;
	const target = (job: Job) => (job.batch !== undefined ? `--batch ${shellQuote(job.batch)}` : loose > 1 ? `--task ${shellQuote(job.task)}` : job.id);
	const shown = shownLocation(file);
	const cancel = (job: Job) => `faena cancel --queue ${shellQuote(shown)} ${target(job)}`;
	const what = other.batch !== undefined ? `the run ${JSON.stringify(other.batch)}` : `job ${other.id}${loose > 1 ? `, one of ${loose} of task ${task},` : ''}`;
	// If this run is unfinished, too, neither can be finished first.
	const own = unfinished.find(job => job.batch === batch);
	const ways = own
		? `End one of them, for now, with: ${cancel(other)} or: ${cancel(own)}`
		: `Finish it with the command that began it, or end it, for now, with: ${cancel(other)}`;
	throw bad(
		`In ${shown} ${what} is unfinished${own ? ', as this run is' : ''}, and this command would execute it, too. ${ways} (its command with --retry-failed goes on with it later). Or name another --queue.`,
	);
}

/** True if the job's batch has a {@link batchName} of this module. */
function isOf(module: string, {batch, task}: Job): boolean {
	const end = batch?.indexOf(`#${task} `) ?? -1;
	return end > 0 && resolve(batch?.slice(0, end) ?? '') === resolve(module);
}

/**
 * Prints the results of a map. Phases: `running`; `halted` after too many failures; `signalled` after a signal, or `unwritable`
 * after an error of stdout: in both the engine is closed, which ends the map with the error `Closed`.
 */
class MapRun {
	readonly #engine: Engine;
	readonly #results: JobMap<Item, unknown>;
	readonly #options: Options;
	/** Number of items, if it is known from the start: that of the files. */
	readonly #total: number | undefined;
	/** By path. */
	readonly #sizes: ReadonlyMap<string, number> | undefined;
	readonly #bytes: {done: number; executed: number; readonly total: number};
	readonly #start = performance.now();
	#phase: 'running' | 'halted' | 'signalled' | 'unwritable' = 'running';
	/** Aborted by the second signal: from then on the run waits neither for jobs nor for the reader of the results. */
	readonly #hurry = new AbortController();
	#outputError: NodeJS.ErrnoException | undefined;
	#firstDead: JobId | undefined;

	constructor(engine: Engine, results: JobMap<Item, unknown>, options: Options, sizes: ReadonlyMap<string, number> | undefined) {
		this.#engine = engine;
		this.#results = results;
		this.#options = options;
		this.#total = sizes?.size;
		this.#sizes = sizes;
		this.#bytes = {done: 0, executed: 0, total: [...(sizes?.values() ?? [])].reduce((sum, size) => sum + size, 0)};
	}

	/** Prints all results, and a summary. Returns the exit code. After a signal, the process ends by the signal instead. */
	async print(): Promise<number> {
		const printed = Promise.withResolvers<void>();
		// The engine closes by itself. The process ends once this has printed how far the run is, too.
		const stopListening = closeOnSignals({
			close: options => {
				this.#stop('signalled', options);
				return printed.promise;
			},
		});
		process.stdout.on('error', error => {
			this.#outputError ??= error;
			this.#stop('unwritable', {drain: 0});
			// If closing fails, the map fails with the same error.
			this.#engine.close({drain: 0}).catch(() => undefined);
		});
		const endBar = this.#options.quiet ? () => undefined : showBar(() => this.#status());
		try {
			await this.#printAll().finally(endBar);
			await this.#flush();
			return this.#printEnd();
		} finally {
			printed.resolve();
			if (this.#phase !== 'signalled') stopListening();
		}
	}

	async #printAll(): Promise<void> {
		try {
			for await (const result of this.#results) {
				this.#note(result);
				// A file's key is its path, which says what the item is.
				const hasRoom = process.stdout.write(toLine(result, this.#total === undefined ? result.item.payload : undefined));
				if (!hasRoom) await once(process.stdout, 'drain', {signal: this.#hurry.signal});
			}
		} catch (error) {
			const isHalted = error instanceof FaenaError && error.code === 'Halted';
			if (this.#phase === 'running' && !isHalted) throw error;
			if (this.#phase === 'running') this.#phase = 'halted';
			// The summary counts jobs that end until then.
			else await this.#engine.close();
		}
	}

	#note({status, key, jobId, reused}: MapResult<Item, unknown>): void {
		if (status === 'dead') this.#firstDead ??= jobId;
		const size = this.#sizes?.get(key) ?? 0;
		this.#bytes.done += size;
		if (!reused) this.#bytes.executed += size;
	}

	/** Waits until stdout is written. A signal ends the process as soon as this run has ended, and would cut off output for a slow reader. */
	async #flush(): Promise<void> {
		const {signal} = this.#hurry;
		if (!signal.aborted) await Promise.race([once(signal, 'abort'), new Promise(resolve => process.stdout.write('', resolve))]);
	}

	#stop(phase: 'signalled' | 'unwritable', {drain}: {drain?: number} = {}): void {
		if (this.#phase === 'running') this.#phase = phase;
		if (drain === 0) this.#hurry.abort();
	}

	#status(): MapStatus {
		const {completed, dead, cancelled, reused, total} = this.#results.progress();
		const done = completed + dead + cancelled;
		return {done, executed: done - reused, dead, total: this.#total ?? total, isStopping: this.#phase !== 'running', bytes: this.#sizes && this.#bytes};
	}

	#printEnd(): number {
		const {done, total} = this.#status();
		const where = `${count(done)}${total === undefined ? '' : ` of ${count(total)}`} done; the same command goes on from there.`;
		switch (this.#phase) {
			case 'running':
				return this.#printSummary();
			case 'halted':
				printError(`Halted, since too many failed: ${where}${this.#why()}`);
				return ExitCode.someFailed;
			case 'signalled':
				printError(`Stopped: ${where}`);
				return ExitCode.interrupted;
			case 'unwritable':
				if (this.#outputError?.code !== 'EPIPE') throw bad(`Results can't be written: ${this.#outputError?.message}. ${where}`);
				printError(`Stopped, since the reader of the results has gone: ${where}`);
				return ExitCode.noReader;
		}
	}

	/** How to find out why jobs died, if some did. */
	#why(more = ''): string {
		return this.#firstDead === undefined ? '' : ` Why: faena show ${this.#firstDead} --queue ${shellQuote(shownLocation(this.#options.queue))}.${more}`;
	}

	#printSummary(): number {
		const {completed, dead, cancelled, reused, missing} = this.#results.progress();
		const {executed} = this.#status();
		const seconds = (performance.now() - this.#start) / 1000;
		const parts = [
			`${count(completed)} completed`,
			dead > 0 && `${count(dead)} dead`,
			cancelled > 0 && `${count(cancelled)} cancelled`,
			reused > 0 && `${count(reused)} of them reused`,
		];
		const rate = executed > 0 ? ` (${formatRate(executed / seconds)})` : '';
		const what = `${parts.filter(Boolean).join(', ')}, in ${seconds.toFixed(1)} s${rate}.`;
		printError(`${what}${this.#why(' Again: --retry-failed.')}${missing === 0 ? '' : describeMissing(missing, this.#options)}`);
		// With another --missing the user has asked to end them.
		if (missing > 0 && this.#options.missing === 'keep') return ExitCode.inputIncomplete;
		return dead + cancelled === 0 ? ExitCode.done : ExitCode.someFailed;
	}
}

function describeMissing(missing: number, {missing: how}: Options): string {
	const [jobs, were, stay] = missing === 1 ? ['job', 'was', 'stays'] : ['jobs', 'were', 'stay'];
	const what = {
		keep: `, and ${stay} in the queue. Was the input cut short? The same command with all of it goes on; with --missing cancel it ends them.`,
		cancel: `, and ${were} cancelled.`,
		delete: `, and ${were} deleted.`,
	};
	return ` ${count(missing)} unfinished ${jobs} of an earlier run ${were} missing from the input${what[how]}`;
}

/** A map's result as one line of NDJSON, with the item unless it is `undefined`. `reused` marks a job that had ended before this run. */
function toLine(result: MapResult<unknown, unknown>, item: unknown): string {
	const {key, jobId, status, reused} = result;
	const end = status === 'completed' ? {result: result.result ?? null} : {error: {name: result.error.name, message: result.error.message}};
	return escapeControls(`${toJson({key, item, jobId, status, reused: reused || undefined, ...end})}\n`);
}
