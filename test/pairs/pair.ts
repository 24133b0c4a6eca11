/**
 * Pairs of features: each case does with real engines, on a queue of its own, what two or more features promise together. When its engines are closed, the
 * laws of the store are checked. By default the queue is an SQLite file; with `FAENA_PAIRS=postgres` it is a schema of a PostgreSQL server.
 */
import {appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import test, {type ExecutionContext} from 'ava';
import Database from 'better-sqlite3';
import pg from 'pg';
import {type Engine, type OpenOptions, open} from '../../lib/index.ts';
import type {AnyTasks, TaskContext} from '../../lib/job/task/task.ts';
import {openForTest, type TestEngine, type TestOptions} from '../../lib/testing.ts';
import {type Ended, FAENA, Program} from '../cli/command.ts';
import {brokenLaws} from '../fault/laws.ts';
import {brokenLaws as brokenPostgresLaws} from '../fault/postgres-laws.ts';
import {PostgresServer} from '../fixtures/postgres-server.ts';

export const isOnPostgres = process.env['FAENA_PAIRS'] === 'postgres';

/** Cases of a file that run at the same time: they wait more than they compute, but each may have threads. */
const MAX_TOGETHER = 3;
const MAX_MS = 120_000;

/** The tasks for threads and processes, as the cases with a clock have them as functions. */
export const TASKS = new URL('./tasks.ts', import.meta.url);

let server: PostgresServer | undefined;

if (isOnPostgres) {
	test.before('starts a server', async t => {
		t.timeout(120_000);
		server = await PostgresServer.start();
	});
	test.after.always(() => server?.stop());
}

/** What a case works with. */
export class Case {
	readonly t: ExecutionContext;
	readonly folder = mkdtempSync(join(tmpdir(), 'faena-test-'));
	readonly queue: string;
	readonly #engines: Engine<AnyTasks>[] = [];

	constructor(t: ExecutionContext, schema: string) {
		this.t = t;
		this.queue = server ? `${server.url}?schema=${schema}` : join(this.folder, 'jobs.db');
		for (const name of ['ran', 'trace']) writeFileSync(this.path(name), '');
	}

	/** An engine with a clock that the case moves, and tasks that are functions in this thread: those of {@link Case.tasks}, and its own. */
	async test({tasks = {}, ...options}: TestOptions & {readonly tasks?: AnyTasks} = {}): Promise<TestEngine<AnyTasks>> {
		return this.#keep(await openForTest<AnyTasks>({...this.tasks, ...tasks}, {queue: this.queue, grace: 50, defaults: {maxAttempts: 1}, ...options}));
	}

	/** An engine as programs have it, with threads or processes, and the tasks of `tasks.ts`. */
	async open(options: Partial<OpenOptions> = {}): Promise<Engine<AnyTasks>> {
		const env = {PAIR: this.folder, ...options.env};
		return this.#keep(await open<AnyTasks>({queue: this.queue, tasks: TASKS, workers: 2, grace: 50, defaults: {maxAttempts: 1}, ...options, env}));
	}

	#keep<Any extends Engine<AnyTasks>>(engine: Any): Any {
		this.#engines.push(engine);
		return engine;
	}

	path(name: string): string {
		return join(this.folder, name);
	}

	/** Makes a file, for which tasks wait. */
	make(name: string, content = ''): void {
		writeFileSync(this.path(name), content);
	}

	/** What tasks have noted, in order. */
	get ran(): string[] {
		return readFileSync(this.path('ran'), 'utf8').split('\n').filter(Boolean);
	}

	/** How often tasks have noted this. */
	times(line: string): number {
		return this.ran.filter(each => each === line).length;
	}

	readonly note = (line: string): void => appendFileSync(this.path('ran'), `${line}\n`);

	/** The functions of `tasks.ts` that need no thread, for {@link Case.test}. */
	readonly tasks: AnyTasks = {
		echo: (value: unknown) => {
			this.note(`echo ${JSON.stringify(value)}`);
			return value;
		},
		got: (_: unknown, {results}: TaskContext) => results,
		gate: (value: unknown) => {
			this.note(`gate ${JSON.stringify(value)}`);
			if (!existsSync(this.path('open'))) throw new Error('the gate is closed');
			return value;
		},
		hold: async (name: string, {signal}: TaskContext) => {
			this.note(`hold ${name}`);
			while (!existsSync(this.path(name))) {
				if (signal.aborted) throw signal.reason;
				await sleep(2);
			}
			return name;
		},
		big: ({of, bytes}: {readonly of: string; readonly bytes: number}) => of.repeat(bytes),
		sum: (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0),
		make: (makes: readonly (readonly [string, unknown?, object?])[], context: TaskContext) => {
			for (const each of makes) context.enqueue(...each);
		},
		tell: ({batch, counts}: {readonly batch: string; readonly counts: object}) => {
			this.note(`tell ${batch}`);
			return counts;
		},
	};

	/** Resolves once the store, or a file, is in the state for which the case waits. */
	async until(look: () => unknown): Promise<void> {
		for (const start = performance.now(); !(await look()); await sleep(5)) {
			if (performance.now() - start > MAX_MS / 4) throw new Error(`This has not become true: ${look}`);
		}
	}

	/** The command line, on this queue and in this folder. */
	faena(...args: readonly string[]): Program {
		return new Program(this.t, this.folder, process.execPath, [FAENA, ...args, '--queue', this.queue]);
	}

	/** The same with values after all options. */
	sh(args: readonly string[], values: readonly string[]): Promise<Ended> {
		return new Program(this.t, this.folder, process.execPath, [FAENA, ...args, '--queue', this.queue, ...values]).end();
	}

	/** Closes all engines, and returns which laws of the store are broken. */
	async end(): Promise<readonly string[]> {
		await Promise.all(this.#engines.map(engine => engine.close({drain: 0})));
		if (!server) return brokenIn(this.queue);
		const client = new pg.Client(server.url);
		await client.connect();
		try {
			return await brokenPostgresLaws(client, new URL(this.queue).searchParams.get('schema') as string);
		} finally {
			await client.end();
		}
	}
}

/** The laws that the database of a queue breaks. */
export function brokenIn(path: string): readonly string[] {
	const db = new Database(path);
	try {
		return brokenLaws(db);
	} finally {
		db.close();
	}
}

let schemas = 0;
let together = 0;
const waiting: (() => void)[] = [];

async function run(t: ExecutionContext, body: (pair: Case) => Promise<void>): Promise<void> {
	t.timeout(600_000);
	if (together >= MAX_TOGETHER) await new Promise<void>(resolve => waiting.push(resolve));
	else together++;
	t.timeout(MAX_MS);
	const pair = new Case(t, `pair_${++schemas}`);
	try {
		await body(pair);
	} finally {
		const broken = await pair.end().finally(() => rmSync(pair.folder, {recursive: true, force: true}));
		const next = waiting.shift();
		if (next) next();
		else together--;
		t.deepEqual(broken, []);
	}
}

type Body = (pair: Case) => Promise<void>;

/** A case: `features` names the pair, `expectation` is a sentence. */
export function pair(features: string, expectation: string, body: Body): void {
	test(`${features}: ${expectation}`, t => run(t, body));
}

/** A case with files beside the database, or with its file: SQLite alone. */
pair.sqlite = (features: string, expectation: string, body: Body): void => {
	if (!isOnPostgres) pair(features, expectation, body);
};

/** A case that the code does not meet yet, on SQLite; `issue` will. */
pair.failing = (features: string, expectation: string, issue: string, body: Body): void => {
	if (!isOnPostgres) test.failing(`${features}: ${expectation} (issue ${issue})`, t => run(t, body));
};
