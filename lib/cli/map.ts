import {createHash} from 'node:crypto';
import {existsSync} from 'node:fs';
import {dirname, relative, resolve} from 'node:path';
import {type Command, InvalidArgumentError, Option} from 'commander';
import ms, {type StringValue} from 'ms';
import {closeOnSignals, type Engine, FaenaError, type JobId, type JobMap, open, openQueue} from '../index.ts';
import {count, showBar} from './bar.ts';
import {say} from './explain.ts';
import {filesOf, type Item, linesOf} from './items.ts';
import {toLine} from './ndjson.ts';

interface Options {
	readonly queue: string;
	readonly workers?: number;
	readonly timeout?: string;
	readonly attempts?: number;
	readonly batch?: string;
	readonly order: 'input' | 'finished';
	readonly lines?: true;
	readonly json?: true;
	readonly retryFailed?: true;
	readonly quiet?: true;
}

export function addMap(program: Command): void {
	program
		.command('map')
		.summary('run a task for every file that the globs match, or for every line of stdin')
		.description(
			'Runs a task for every file that the globs match, or for every line of stdin, and prints a line of JSON for each result.\n' +
				'The same command again goes on where it was: what is completed is not executed again, its stored result is printed.',
		)
		.argument('<module#task>', "a module and one of its exported functions, for instance './tasks.ts#thumbnail'")
		.argument('[globs...]', 'files; quote the globs, so that the command stays the same when files are added')
		.option('--queue <file>', 'SQLite file in which the jobs live; created if it is not there', 'faena.db')
		.option('--workers <n>', 'worker threads (default: one for each processor)', toCount)
		.option('--timeout <time>', 'longest run of a job, for instance 30s or 5m (default: none)', toTime)
		.option('--attempts <n>', 'failures after which a job is dead (default: 3)', toCount)
		.option('--batch <name>', 'name under which the run is resumed (default: made of the task and the globs)')
		.addOption(new Option('--order <order>', 'print results as they finish, or in the order of the input').choices(['finished', 'input']).default('finished'))
		.option('--lines', 'run the task for every line of stdin instead of files')
		.option('--json', 'with --lines: parse every line as JSON')
		.option('--retry-failed', 'give the items that died in an earlier run another round')
		.option('--quiet', 'no progress, only the last line')
		.addHelpText('after', EXAMPLES)
		.action(async (target: string, globs: readonly string[], options: Options) => {
			process.exitCode = await map(await plan(target, globs, options), options);
		});
}

const EXAMPLES = `
Exit code: 0 all completed, 1 some died or were cancelled, 2 nothing could be done, 130 or 143 stopped by a signal.

Examples:
  faena map './tasks.ts#thumbnail' 'photos/**/*.jpg' > results.ndjson
  jq -c '.urls[]' sites.json | faena map './tasks.ts#parse' --lines --json --queue sites.db`;

/** Exit code when the reader of stdout has gone: as if by SIGPIPE. */
const NO_READER = 141;

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
	if (lines && globs.length > 0) throw wrong('give either globs or --lines, not both.');
	if (!lines && globs.length === 0) throw wrong("give globs that name the files, for instance 'photos/*.jpg', or --lines to read items from stdin.");
	const what = lines ? ['--lines', ...(json ? ['--json'] : [])] : globs;
	return {
		module,
		task,
		batch: batch ?? batchName(target, what, queue),
		items: lines ? linesOf(process.stdin, {json: json === true}) : await filesOf(globs),
	};
}

async function map({module, task, batch, items}: Plan, options: Options): Promise<number> {
	await refuseStrangers(options.queue, module, task);
	const engine = await open({queue: options.queue, tasks: module, taskOutput: 'stderr', ...(options.workers && {workers: options.workers})});
	try {
		if (options.retryFailed) await engine.retry({batch, status: 'dead'});
		const results = engine.map(task, items as Iterable<Item>, {
			batch,
			key: item => item.key,
			payload: item => item.payload,
			order: options.order,
			...(options.timeout && {timeout: options.timeout}),
			...(options.attempts && {maxAttempts: options.attempts}),
		});
		return await new Run(engine, results, 'length' in items ? items.length : undefined).finish(options.quiet !== true);
	} catch (error) {
		throw explainConflict(error);
	} finally {
		await engine.close();
		// A producer that goes on would keep the process alive.
		process.stdin.destroy();
	}
}

/**
 * A map being printed. It ends by itself, or early by a signal or because stdout has no reader any more: then the engine is
 * closed, which ends the map with `Closed`, and what was done is said.
 */
class Run {
	readonly #engine: Engine;
	readonly #results: JobMap<Item, unknown>;
	readonly #total: number | undefined;
	readonly #start = performance.now();
	/** Jobs that this run executed and has not printed yet. */
	readonly #fresh = new Set<JobId>();
	#executed = 0;
	#printed = 0;
	#firstDead: JobId | undefined;
	#end: 'running' | 'signalled' | 'noReader' | 'outputFailed' = 'running';
	#outputError: Error | undefined;

	constructor(engine: Engine, results: JobMap<Item, unknown>, total: number | undefined) {
		this.#engine = engine;
		this.#results = results;
		this.#total = total;
	}

	/** Prints all results. Returns the exit code; a signal ends the process after the last word. */
	async finish(withBar: boolean): Promise<number> {
		for (const event of ['completed', 'dead', 'cancelled'] as const) this.#engine.on(event, ({id}) => this.#took(id));
		const said = Promise.withResolvers<void>();
		const stopListening = closeOnSignals({
			close: async options => {
				await this.#stop('signalled', options);
				await said.promise;
			},
		});
		process.stdout.on('error', (error: NodeJS.ErrnoException) => this.#failOutput(error));
		const endBar = withBar ? showBar(() => this.#standing()) : () => undefined;
		try {
			await this.#print();
		} finally {
			if (this.#end !== 'running') await this.#engine.close();
			endBar();
		}
		const code = this.#sayEnd();
		said.resolve();
		// The process ends by the signal.
		if (this.#end === 'signalled') await new Promise(() => undefined);
		stopListening();
		return code;
	}

	async #print(): Promise<void> {
		try {
			for await (const result of this.#results) {
				const earlier = !this.#fresh.delete(result.job);
				this.#printed++;
				if (result.status === 'dead') this.#firstDead ??= result.job;
				if (!process.stdout.write(toLine(result, {earlier}))) await drained(process.stdout);
			}
		} catch (error) {
			if (this.#end === 'running') throw error;
		}
	}
