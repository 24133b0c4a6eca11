import {existsSync, mkdirSync, rmSync, statSync} from 'node:fs';
import {dirname, isAbsolute, relative, resolve} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import type {Command} from 'commander';
import {nanoid} from 'nanoid';
import type {AnyTasks, MapOptions, OpenOptions} from '../../index.ts';
import {openEngine} from '../../internal/api.ts';
import type {Fresh} from '../../internal/words.ts';
import {bad, defined, hashOf, kindOf, outputsAt, toUrl} from '../../internal/words.ts';
import {toOpenOptions} from '../flags/engine-flags.ts';
import {onlyOnce, toTask} from '../flags/flag-values.ts';
import {scopesIn, variablesIn} from '../scopes.ts';
import {explain} from '../terminal/print.ts';
import {shellQuote} from '../terminal/shell-quote.ts';
import {printPreview} from './dry-run.ts';
import {freshnessOf} from './fresh.ts';
import type {SourceGroups} from './inputs/arguments.ts';
import {statOf} from './inputs/files.ts';
import {addInputOptions, INPUT_HELP} from './inputs/input-options.ts';
import type {Item} from './inputs/items.ts';
import {type Input, type InputOptions, openInput} from './inputs/open-input.ts';
import {JobLog} from './joblog.ts';
import {addMapFlags, type MapFlags} from './map-flags.ts';
import {commandOutputs, jsonLines, withReusedFiles} from './map-output.ts';
import {MapRun} from './map-run.ts';
import {addParallelFlags, PARALLEL_HELP} from './parallel-flags.ts';
import {parseShellCommand, SHELL_COMMAND_VARIABLE, SHELL_TASK, type ShellCommand, shellPayload} from './shell/shell-command.ts';
import {describeCommand} from './template/template.ts';

type Options = MapFlags & InputOptions;

/** @param groups the inputs at the end of the command line, after `:::` and its like */
export function addMap(program: Command, groups: SourceGroups): void {
	const command = program
		.command('map')
		.usage('[options] <module#task> [globs...]\n       faena map [options] --sh <command> [globs...]')
		.summary('run a task or a command for every file, every line of stdin, or another input')
		.description(
			'Runs a task for every item of an input, and prints a line of JSON for each result; or with --sh a command, and prints its output.\n' +
				'The same command again continues where it left off: for completed items it prints the stored results, without running them again.\n' +
				'An item is identified by what it is, or by --key, so that lines can be inserted and removed.',
		)
		.argument('[module#task]', "a module and one of the functions it exports, for instance './tasks.ts#thumbnail'")
		.argument('[globs...]', 'files; quote the globs, so that the command stays the same when files are added; - is stdin')
		.option('--sh <command>', "run a command instead of a task: {} is the item, as in GNU parallel, for instance 'gzip -k {}'", onlyOnce);
	addMapFlags(addInputOptions(command))
		.addHelpText('after', `${INPUT_HELP}\n${PARALLEL_HELP}\n${EXAMPLES}`)
		.action(async (target: string | undefined, globs: readonly string[], options: Options) => {
			const words = target === undefined ? globs : [target, ...globs];
			process.exitCode = await mapWords(words, options, groups);
		});
	addParallelFlags(command);
}

const EXAMPLES = `
Examples:
  faena map './tasks.ts#thumbnail' 'photos/**/*.jpg' > results.ndjson
  jq -c '.urls[]' sites.json | faena map './tasks.ts#parse' --ndjson --queue sites.db
  faena map --sh 'cwebp -q 80 {} -o {.}.webp' 'photos/*.png'
  faena map --sh 'convert {1} -resize {2} {1.}-{2}.png' ::: a.png b.png ::: 100x100 200x200`;

/** A command line, read: what to run, and for what. */
interface Plan {
	/** What the words say that is run. */
	readonly target: string;
	/** Of a task; of a command that which runs commands. */
	readonly module: string | URL;
	readonly task: string;
	readonly batch: string;
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
	if (options.fresh?.includes('never') && options.key !== undefined)
		throw bad("'--fresh never' can't be combined with --key: a record that has changed always runs again. Leave out one of the two.");
	if (options.sh !== undefined) return planCommand(options.sh, words, options, groups);
	const {workdir, results, lineBuffer, tag, memory} = options;
	const flags = {'--workdir': workdir, '--results': results, '--line-buffer': lineBuffer, '--tag': tag, '--memory': memory};
	const [flag] = Object.entries(flags).find(([, value]) => value) ?? [];
	if (flag !== undefined) throw bad(`${flag} is for the commands of --sh; a task is a function.`);
	const [target, ...globs] = words;
	if (target === undefined) throw bad("Name a module and one of its functions, for instance './tasks.ts#thumbnail', or a command with --sh.");
	const named = toTask(target);
	const input = await openInput(globs, options, groups);
	return {target, ...named, batch: batchOf([target], input, options), command: undefined, input};
}

async function planCommand(sh: string, words: readonly string[], options: Options, groups: SourceGroups): Promise<Plan> {
	assertFitsCommands(sh, options);
	const {workdir, tag, memory} = options;
	const input = await openInput(words, options, groups);
	assertSeesFiles(input, words, options);
	// In order, each output has to wait for those before.
	const lineBuffer = options.order === 'input' ? undefined : options.lineBuffer;
	const results = options.results && resolve(options.results);
	const flags = {workdir, lineBuffer, tag, results, memory};
	const batch = batchOf(['sh', sh, ...(workdir === undefined ? [] : ['--workdir', workdir])], input, options);
	const command = parseShellCommand(sh, input.shape, flags, [batch, workdir ?? '', placeOf(options.queue)]);
	return {target: sh, module: SHELL_TASK, task: command.task, batch, command, input};
}

/** @throws FaenaError `BadOption` */
function assertFitsCommands(sh: string, {ndjson, csv, maxArgs, maxReplaceArgs, workdir, results}: Options): void {
	if (process.platform === 'win32') throw bad('--sh needs a POSIX shell, so it does not run on Windows. Write a task that calls the program.');
	if (/^--?\w/.test(sh)) throw bad(`--sh expects a command, for instance --sh 'gzip -k {}'; it got ${sh}.`);
	if ((ndjson || csv) && (maxArgs ?? maxReplaceArgs) !== undefined) throw bad('--sh takes one record at a time; leave out -n.');
	if (workdir !== undefined && !isFolder(workdir)) throw bad(`There is no folder ${workdir}, which --workdir names.`);
	if (results !== undefined && existsSync(results) && !isFolder(results))
		throw bad(`--results expects a folder, which is made if need be; ${results} is none.`);
}

function isFolder(path: string): boolean {
	return statSync(path, {throwIfNoEntry: false})?.isDirectory() ?? false;
}

/** Refuses files of which the command would see others, and an input that names none where they are to count. @throws FaenaError `BadOption` */
function assertSeesFiles({filesOf, filesAmong}: Input, words: readonly string[], {workdir = '.', fresh}: Options): void {
	const misplaced = filesOf && resolve(workdir) !== process.cwd() ? words.find(word => !isAbsolute(word)) : undefined;
	if (misplaced !== undefined)
		throw bad(
			`With --workdir, name files by absolute paths, for instance "$PWD"/${shellQuote(misplaced)}: the command would look for ${misplaced} in ${workdir}.`,
		);
	if (fresh?.includes('content') && !filesOf && !filesAmong)
		throw bad(
			'--fresh content looks at the files that globs, lines or values name; a record or a number names none. Leave it out: a record that changes is run again.',
		);
}

/** The options of the map that the flags name. */
function mapOptionsOf({batch, command, input}: Plan, options: Options, ofTask: readonly Fresh[]): MapOptions<Item, unknown> {
	const {order, retryFailed, halt, timeout, maxDelays, fresh} = options;
	const missing = missingOf(input, options);
	// As with GNU parallel, a command that fails is not tried again unless that is asked for.
	const {maxAttempts = command ? 1 : undefined} = options;
	return {
		...defined({order, missing, retryFailed, halt, timeout, maxAttempts, maxDelays}),
		...{batch, key: (item: Item) => item.key, payload: (item: Item) => (command ? shellPayload(command, item) : item.payload)},
		...freshnessOf(fresh, ofTask, input, options.workdir ?? '.'),
	};
}

async function preview(plan: Plan, options: Options): Promise<number> {
	const {module, task, batch, command, input} = plan;
	return printPreview({
		...{queue: options.queue, batch, task, missing: missingOf(input, options), tasks: toUrl(String(module)), env: envOf(plan, options)},
		options: ofTask => mapOptionsOf(plan, options, ofTask),
		...{template: command?.template, items: input.items},
	});
}

async function map(planned: Plan, options: Options): Promise<number> {
	const owner = nanoid();
	const command = planned.command && {...planned.command, unprinted: makeUnprinted(planned.command, options, owner)};
	const plan = {...planned, command};
	const {module, task} = plan;
	const openOptions: OpenOptions = {
		...toOpenOptions(options),
		...{tasks: module, scope: scopesIn(module, options.env), only: [task], closeOnSignals: true},
		// The workers of --sh print lines of commands.
		taskOutput: command ? 'inherit' : 'stderr',
		env: envOf(plan, options),
	};
	// Otherwise it would begin with what an earlier run has left, whatever the input has now.
	const cleanUp = () => {
		if (command?.unprinted) rmSync(command.unprinted, {recursive: true, force: true});
	};
	const engine = await openEngine<AnyTasks>(openOptions, {waitsForBatch: true, owner}).catch(error => {
		cleanUp();
		throw error;
	});
	try {
		const log = options.joblog === undefined ? undefined : new JobLog(options.joblog, commandOf(plan));
		const {items, sizes, weight} = toMapInput(plan, options);
		const mapOptions = mapOptionsOf(plan, options, engine.freshOf(task));
		const results = engine.map(task, items as Iterable<Item>, {...mapOptions, ...(weight && {weight})});
		// Of a command, others read the result, too.
		const isEncoded = command === undefined;
		const hasTimes = options.times === true;
		const print = command && !options.json ? commandOutputs(command) : jsonLines({hasItems: sizes === undefined, hasTimes, isEncoded});
		const printer = command?.results === undefined ? print : withReusedFiles(command, print);
		const isInOrder = options.order === 'input';
		const code = await new MapRun(engine, results, {
			...{...options, batch: plan.batch, missing: missingOf(plan.input, options)},
			...{sizes, printer, isEncoded, log, cleanUp, isInOrder},
		}).print();
		await engine.close();
		return code;
	} catch (error) {
		// Printed first, since closing waits for running jobs.
		const code = explain(error);
		// If closing fails, it fails for the reason that was printed.
		await engine.close().catch(() => undefined);
		return code;
	} finally {
		cleanUp();
	}
}

/** Makes the folder for outputs that are more than jobs keep, until they are printed. It lies with the engine's own files: if this run is killed, another one removes it. */
function makeUnprinted({lineBuffer, results}: ShellCommand, {json, queue}: Options, owner: string): string | undefined {
	if (json || lineBuffer || results !== undefined) return undefined;
	const kind = kindOf(queue);
	const folder = outputsAt(kind.hasFiles ? kind.locate('open()', queue) : undefined, owner);
	try {
		// Made before the owner's name can be seen, and never one that is there: in a folder such as /tmp another user could have made it.
		if (folder !== undefined) mkdirSync(folder, {mode: 0o700});
		return folder;
	} catch {
		return undefined;
	}
}

/** Of values that the command itself has, none is missing by mistake. */
function missingOf({isWritten}: Input, {missing}: Options): NonNullable<MapOptions<unknown, unknown>['missing']> {
	return missing ?? (isWritten ? 'cancel' : 'hold');
}

function envOf({command}: Plan, {env}: Options): Readonly<Record<string, string>> {
	return {...env, ...(command && {[SHELL_COMMAND_VARIABLE]: JSON.stringify(command)})};
}

/** What ran for an item, for people. */
function commandOf({target, command}: Plan): (item: Item) => string {
	if (!command) return ({key}) => `${target} ${key}`;
	return ({payload, sequence}) => {
		try {
			return describeCommand(command.template, payload, {sequence, slot: 1});
		} catch {
			return target;
		}
	};
}

/** The items, as the map reads them. Of files the largest run first, so that the last one does not run alone. */
function toMapInput({input: {items, areFiles}}: Plan, {delay, weight: field, shuf}: Options) {
	// Of a file that can't be looked at, its job says why.
	const sizes = areFiles ? new Map((items as readonly Item[]).map(({key}) => [key, statOf(key)?.size ?? 0])) : undefined;
	const bySize = sizes && !shuf ? ({key}: Item) => sizes.get(key) as number : undefined;
	const weight = field === undefined ? bySize : ({payload, sequence}: Item) => weightIn(payload, field, sequence);
	return {items: delay === undefined ? items : spaced(items, delay), sizes, weight};
}

function weightIn(payload: unknown, field: string, sequence: number): number {
	const value = Number(Object(payload)[field]);
	if (Number.isFinite(value)) return value;
	throw bad(`--weight expects a number in the field ${field} of each item; item ${sequence} has ${JSON.stringify(Object(payload)[field])}`);
}

/** The items with a time between them. A job starts when its item comes, unless all workers are busy then. */
async function* spaced(items: Iterable<Item> | AsyncIterable<Item>, ms: number): AsyncGenerator<Item> {
	let isFirst = true;
	for await (const item of items) {
		if (!isFirst) await sleep(ms);
		isFirst = false;
		yield item;
	}
}

/** Where a run is, for the end of its batch's name; empty in the queue's own folder. */
function placeOf(queue: string): string {
	const kind = kindOf(queue);
	const path = kind.hasFiles ? relative(dirname(kind.locate('open()', queue)), process.cwd()) : process.cwd();
	return path && ` in ${asWord(path)}`;
}

const MAX_NAME_LENGTH = 200;

/**
 * The name of a run's batch, by default the same whenever the command is typed again. Its paths are relative to the working
 * directory, so the name also has the path from the queue's folder to that directory; on PostgreSQL, the whole path. Variables
 * may be secrets, so it has a hash of them.
 */
function batchOf(target: readonly string[], input: Input, {batch, queue, env}: Options): string {
	if (batch !== undefined) return batch;
	const name = [...[...target, ...input.name].map(asWord), ...variablesIn(env)].join(' ');
	const place = placeOf(queue);
	const room = MAX_NAME_LENGTH - place.length;
	return name.length <= room ? name + place : `${name.slice(0, Math.max(0, room - 23))}…${hashOf(name)}${place}`;
}

/** Quoted if it could be taken for several words, or for the one before the place: two commands never have one name. */
function asWord(text: string): string {
	return /^(in)?$|[\s'"]/.test(text) ? `'${text.replaceAll("'", "'\\''")}'` : text;
}
