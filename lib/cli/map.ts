import {createHash} from 'node:crypto';
import {statSync} from 'node:fs';
import {dirname, relative, resolve} from 'node:path';
import {type Command, Option} from 'commander';
import {isPostgres, queueExists} from '../api/queue-location.ts';
import {type MapOptions, open} from '../index.ts';
import {bad} from '../job/checks.ts';
import {toUrl} from '../job/task-module.ts';
import {defined} from '../support/defined.ts';
import {printCommands} from './dry-run.ts';
import {FRESH_HELP, type FreshFlag, freshnessOf, printPreview, toFresh} from './fresh.ts';
import {toCount, toHalt, toTask, toTime, useQueue} from './input.ts';
import type {SourceGroups} from './inputs/arguments.ts';
import {addInputOptions, INPUT_HELP} from './inputs/input-options.ts';
import type {Item} from './inputs/items.ts';
import {type Input, type InputOptions, openInput} from './inputs/open-input.ts';
import {MapRun} from './map-run.ts';
import {ExitCode, explain} from './print.ts';
import {parseShellCommand, SHELL_COMMAND_VARIABLE, SHELL_TASK, type ShellCommand, shellPayload} from './shell-command.ts';
import {refuseUnfinished} from './unfinished-runs.ts';

/** Options of `map()` that have flags of the same names. */
type MapFlags = Omit<MapOptions<Item, unknown>, 'key' | 'order' | 'missing' | 'fresh' | 'files'> &
	Required<Pick<MapOptions<Item, unknown>, 'order' | 'missing'>>;

interface Options extends MapFlags, InputOptions {
	readonly sh?: string;
	readonly queue: string;
	readonly workers?: number;
	readonly isolation: 'thread' | 'process';
	readonly quiet?: true;
	readonly dryRun?: true;
	readonly fresh?: readonly FreshFlag[];
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
		.option('--sh <command>', "run a command instead of a task: {} is the item, as in GNU parallel, for instance 'gzip -k {}'");
	addInputOptions(command)
		.option('--queue <file>', 'SQLite file or PostgreSQL URL of the jobs; created if it does not exist', 'faena.db')
		.option('-j, --workers <n>', 'jobs at the same time (default: one for each processor)', toCount)
		.addOption(new Option('--isolation <how>', 'run tasks in threads or in child processes').choices(['thread', 'process']).default('thread'))
		.option('--timeout <time>', 'longest run of a job, for instance 30s, 5m, or 300% of the median (default: none)', toTime)
		.option('--max-attempts <n>', 'failures after which a job is dead (default: 3)', toCount)
		.option('--batch <name>', 'name under which the run is resumed (default: made of the task or command, and the globs or kind of input)')
		.addOption(new Option('--order <order>', 'print results as they finish, or in the order of the input').choices(['finished', 'input']).default('finished'))
		.option('--fresh <what>', FRESH_HELP, toFresh)
		.option('--retry-failed', 'run items again that died or were cancelled in an earlier run')
		.addOption(
			new Option('--missing <how>', 'what to do with unfinished jobs of an earlier run that are missing from the input')
				.choices(['keep', 'cancel', 'delete'])
				.default('keep'),
		)
		.option('--halt <when>', 'give up after failures, or end after successes: now,fail=1 or soon,fail=5% or now,success=1', toHalt)
		.option('--dry-run', 'run nothing and change nothing; print which items would run, and why; with --sh, the commands')
		.option('--quiet', 'print no progress, only the summary')
		.addHelpText('after', `${INPUT_HELP}\n${EXAMPLES}`)
		.action(async (target: string | undefined, globs: readonly string[], options: Options) => {
			const words = target === undefined ? globs : [target, ...globs];
			process.exitCode = await mapWords(words, options, groups);
		});
}

const EXAMPLES = `
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
		return await (options.dryRun ? preview(plan, options) : map(plan, options));
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

/** The options of the map that the flags name. */
function mapOptionsOf({target, command, input}: Plan, options: Options): MapOptions<Item, unknown> & {readonly batch: string} {
	const {queue, batch = batchName(target, input.name, queue), order, missing, retryFailed, halt, timeout, maxAttempts, fresh} = options;
	return {
		...defined({order, missing, retryFailed, halt, timeout, maxAttempts}),
		...{batch, key: (item: Item) => item.key, payload: (item: Item) => (command ? shellPayload(command, item) : item.payload)},
		...freshnessOf(fresh, input.areFiles),
	};
}

async function preview(plan: Plan, options: Options): Promise<number> {
	const {module, task, command, input} = plan;
	if (command) return printCommands(input.items, command.template);
	await printPreview(options.queue, {tasks: toUrl(String(module)), task, options: mapOptionsOf(plan, options)}, input.items);
	return ExitCode.done;
}

async function map(plan: Plan, options: Options): Promise<number> {
	const {module, task, command, input} = plan;
	const {queue, workers, isolation} = options;
	const mapOptions = mapOptionsOf(plan, options);
	const {batch} = mapOptions;
	if (await queueExists(queue)) await useQueue(queue, opened => refuseUnfinished(opened, queue, {module: String(module), task, batch}));
	const env = command && {[SHELL_COMMAND_VARIABLE]: JSON.stringify(command)};
	const engine = await open({queue, tasks: module, only: [task], taskOutput: 'stderr', isolation, closeOnSignals: true, ...defined({workers, env})});
	try {
		const {items} = input;
		const sizes = input.areFiles ? new Map((items as readonly Item[]).map(({key}) => [key, statSync(key, {throwIfNoEntry: false})?.size ?? 0])) : undefined;
		// Of files the largest first, so that the last one does not run alone.
		const weight = sizes && !options.shuf && {weight: ({key}: Item) => sizes.get(key) as number};
		const results = engine.map(task, items as Iterable<Item>, {...mapOptions, ...weight});
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
