import {type Command, InvalidArgumentError, Option} from 'commander';
import ms, {type StringValue} from 'ms';
import {FaenaError, type HaltOption, open} from '../index.ts';
import {batchName, refuseUnfinished} from './batch.ts';
import {ExitCode} from './exit-codes.ts';
import {filesOf, InputError, type Item, linesOf, refuseFolderAsInput} from './items.ts';
import {MapRun} from './map-run.ts';
import {explain} from './print-error.ts';

interface Options {
	readonly queue: string;
	readonly workers?: number;
	readonly isolation: 'thread' | 'process';
	readonly halt?: HaltOption;
	readonly timeout?: string;
	readonly attempts?: number;
	readonly batch?: string;
	readonly order: 'input' | 'finished';
	readonly lines?: true;
	readonly json?: true;
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
				'The same command again goes on where it was: what is completed is not executed again; its stored result is printed.\n' +
				'Lines are found again by their numbers; a line that is not what it was is run anew.',
		)
		.argument('<module#task>', "a module and one of the functions it exports, for instance './tasks.ts#thumbnail'")
		.argument('[globs...]', 'files; quote the globs, so that the command stays the same when files are added')
		.option('--queue <file>', 'SQLite file in which the jobs live; created if it is not there', 'faena.db')
		.option('--workers <n>', 'jobs at the same time (default: one for each processor)', toCount)
		.addOption(new Option('--isolation <how>', 'run tasks in threads or in child processes').choices(['thread', 'process']).default('thread'))
		.option('--timeout <time>', 'longest run of a job, for instance 30s, 5m, or 300% of the median (default: none)', toTime)
		.option('--attempts <n>', 'failures after which a job is dead (default: 3)', toCount)
		.option('--batch <name>', 'name under which the run is resumed (default: made of the task and the globs)')
		.addOption(new Option('--order <order>', 'print results as they finish, or in the order of the input').choices(['finished', 'input']).default('finished'))
		.option('--lines', 'run the task for every line of stdin instead of files')
		.option('--json', 'with --lines: parse every line as JSON')
		.option('--retry-failed', 'run items again that died or were cancelled in an earlier run')
		.addOption(
			new Option('--missing <how>', 'what to do with unfinished jobs of an earlier run that are missing from the input')
				.choices(['keep', 'cancel', 'delete'])
				.default('keep'),
		)
		.option('--halt <when>', 'give up after failures, or end after successes: now,fail=1 or soon,fail=5% or now,success=1', toHalt)
		.option('--quiet', 'no progress, only the last line')
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
  jq -c '.urls[]' sites.json | faena map './tasks.ts#parse' --lines --json --queue sites.db`;

interface Plan {
	readonly module: string;
	readonly task: string;
	readonly batch: string;
	readonly items: readonly Item[] | AsyncIterable<Item>;
}

/** Looks at everything that can be wrong before the queue is touched. */
async function plan(target: string, globs: readonly string[], {lines, json, batch, queue}: Options): Promise<Plan> {
	const [module, task] = splitTarget(target);
	if (json && !lines) throw wrong('--json goes with --lines: it says that each line is JSON.');
	if (lines && globs.length > 0) throw wrong('Give either globs or --lines, not both.');
	if (!lines && globs.length === 0) throw wrong("Give globs that name the files, for instance 'photos/*.jpg', or --lines to read items from stdin.");
	if (lines) refuseFolderAsInput();
	const what = lines ? ['--lines', ...(json ? ['--json'] : [])] : globs;
	const items = lines ? linesOf(process.stdin, {json: json === true}) : await filesOf(globs);
	return {module, task, batch: batch ?? batchName(target, what, queue), items};
}

async function map({module, task, batch, items}: Plan, options: Options): Promise<number> {
	const {queue, workers, isolation, timeout, attempts, order, missing, retryFailed = false, halt, lines, quiet} = options;
	await refuseUnfinished(queue, {module, task, batch});
	const engine = await open({queue, tasks: module, taskOutput: 'stderr', isolation, closeOnSignals: true, ...(workers && {workers})});
	const run = new MapRun(engine, {queue, missing, total: 'length' in items ? items.length : undefined, printsItems: lines === true});
	try {
		const results = engine.map(task, items as Iterable<Item>, {
			batch,
			key: (item: Item) => item.key,
			payload: (item: Item) => item.payload,
			order,
			// A line's number says nothing of what it holds.
			changed: 'rerun',
			missing,
			retryFailed,
			...(timeout && {timeout}),
			...(attempts && {maxAttempts: attempts}),
			...(halt && {halt}),
		});
		const code = await run.print(results, {bar: !quiet});
		await engine.close();
		return code;
	} catch (error) {
		// Said before running jobs are waited for.
		const code = refuse(error);
		// What keeps it from closing in good order is what was said.
		await engine.close().catch(() => undefined);
		return code;
	} finally {
		// A producer that goes on would keep the process alive.
		if (lines) process.stdin.destroy();
	}
}

function splitTarget(target: string): [module: string, task: string] {
	const [, module, task] = /^(.+)#([^#]+)$/.exec(target) ?? [];
	if (module === undefined || task === undefined) {
		throw wrong(`Name a module and one of its functions, for instance './tasks.ts#thumbnail'; this is ${JSON.stringify(target)}.`);
	}
	return [module, task];
}

function toCount(text: string): number {
	if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
	throw new InvalidArgumentError('It is a whole number from 1.');
}

/** A bare number is refused: to the engine it means milliseconds, to most people at a shell seconds. */
function toTime(text: string): string {
	if (/^\d+(\.\d+)?%$/.test(text) && Number.parseFloat(text) > 100) return text;
	const isTime = /[a-z]\s*$/i.test(text) && text.length < 100 && (ms(text as StringValue) ?? 0) > 0;
	if (isTime) return text;
	throw new InvalidArgumentError('It is a time with its unit, such as 500ms, 30s, 10m or 2h, or more than 100% of the median.');
}

function toHalt(text: string): HaltOption {
	const [, when, on, at] = /^(now|soon),(fail|success)=([1-9]\d{0,8}|\d+(?:\.\d+)?%)$/.exec(text) ?? [];
	if (when === undefined || at === undefined)
		throw new InvalidArgumentError('It is now or soon, then fail or success and how many, for instance soon,fail=3 or now,fail=5%.');
	return {when, on, at: at.endsWith('%') ? at : Number(at)} as HaltOption;
}

function wrong(sentence: string): FaenaError {
	return new FaenaError('BadOption', sentence);
}

function refuse(error: unknown): number {
	const code = explain(error);
	return error instanceof InputError ? ExitCode.inputIncomplete : code;
}
