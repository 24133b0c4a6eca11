/** Every option that is a number or a time, with values that have broken such options, in each function that takes it: it works, or is refused. */
import {join} from 'node:path';
import {mock} from 'node:test';
import type {ExecutionContext} from 'ava';
import anyTest from 'ava';
import Database from 'better-sqlite3';
import {HALT_CHECKS, MAP_CHECKS} from '../../lib/api/maps/map-options.ts';
import {OPEN_CHECKS, RECYCLE_CHECKS, RESOURCE_LIMITS_CHECKS} from '../../lib/api/open-options.ts';
import {WORK_CHECKS} from '../../lib/api/work.ts';
import {run as runCommand} from '../../lib/cli/program.ts';
import {enqueueIn, FaenaError, type JobOptions, open, type TaskContext, task} from '../../lib/index.ts';
import {type Check, type Checks, show} from '../../lib/job/checks.ts';
import {BACKOFF_CHECKS, EXECUTION_CHECKS, JOB_CHECKS, RETENTION_CHECKS, TASK_CHECKS} from '../../lib/job/options.ts';
import {openQueue, work} from '../../lib/queue.ts';
import {QUEUE_CHECKS} from '../../lib/store/open-store.ts';
import {systemClock} from '../../lib/support/clock.ts';
import {openForTest, TestClock, type TestEngine} from '../../lib/testing.ts';
import {Folder, tasks} from '../cli/command.ts';
import {makeFolder} from '../fixtures/folder.ts';

const test = anyTest.serial;

const VALUES: readonly unknown[] = [1, 0, -0, 0.5, 20.25, '1.5ms', 2 ** 31 - 0.5, 2 ** 31, 2 ** 53, NaN, Infinity, 1e300, -1];

/** Options that are objects, with the checks of their fields. Some may also be a number. */
const NESTED: Readonly<Record<string, Checks>> = {
	backoff: BACKOFF_CHECKS,
	recycle: RECYCLE_CHECKS,
	resourceLimits: RESOURCE_LIMITS_CHECKS,
	halt: HALT_CHECKS,
	retention: RETENTION_CHECKS,
	blobs: {threshold: (value: unknown) => (OPEN_CHECKS['blobs'] as Check)({threshold: value})},
	defaults: {},
};

/** Options that are neither a number nor a time, and have none in them. */
const OTHERS = [
	'onDead',
	'input',
	'output',
	...[
		'queue',
		'pool',
		'tasks',
		'scope',
		'isolation',
		'durability',
		'closeOnSignals',
		'logger',
		'taskOutput',
		'only',
		'env',
		'execArgv',
		'retry',
		'key',
		'weight',
		'unique',
		'setup',
		'teardown',
		'retryIf',
		'dependsOn',
		'onParentDead',
	],
	...[
		'batch',
		'payload',
		'order',
		'signal',
		'onComplete',
		'fresh',
		'version',
		'files',
		'outputs',
		'missing',
		'retryFailed',
		'when',
		'on',
		'now',
		'random',
		'readOnly',
		'postMortem',
	],
];

function isNumber(check: Check): boolean {
	return [1, 20, 1000].some(value => accepts(check, value));
}

function accepts(check: Check, value: unknown): boolean {
	try {
		check(value);
		return true;
	} catch {
		return false;
	}
}

interface Case {
	/** The option's name, without that of the object it is in. */
	readonly name: string;
	readonly value: unknown;
	readonly options: Readonly<Record<string, unknown>>;
}

/** All options of the table that are a number or a time, also those inside objects, with all values. */
function casesOf(checks: Checks): Case[] {
	const flat = Object.entries(checks).flatMap(([name, check]) => (isNumber(check) ? VALUES.map(value => ({name, value, options: {[name]: value}})) : []));
	const rest: Readonly<Record<string, object>> = {halt: {when: 'soon', on: 'fail'}};
	const nested = Object.keys(checks).flatMap(outer =>
		Object.entries(NESTED[outer] ?? {}).flatMap(([name, check]) =>
			isNumber(check) ? VALUES.map(value => ({name, value, options: {[outer]: {...rest[outer], [name]: value}}})) : [],
		),
	);
	return [...flat, ...nested];
}

/** Returns false if the value was refused, and asserts that the sentence names the option and the value. */
async function works(t: ExecutionContext, {name, value}: Pick<Case, 'name' | 'value'>, attempt: () => unknown): Promise<boolean> {
	try {
		await attempt();
		return true;
	} catch (error) {
		assertRefused(t, name, value, error);
		return false;
	}
}

function assertRefused(t: ExecutionContext, name: string, value: unknown, error: unknown): void {
	const {code, message} = error as FaenaError;
	t.is(code, 'BadOption', String(error));
	t.true(
		message.includes(name) && (message.includes(show(value)) || /at most 10 years/.test(message)) && message.endsWith('.'),
		`${name}: ${show(value)} → ${message}`,
	);
}

test('every option is a number or a time, has such fields, or is known to be neither', t => {
	const tables: readonly Checks[] = [OPEN_CHECKS, TASK_CHECKS, JOB_CHECKS, MAP_CHECKS, QUEUE_CHECKS, WORK_CHECKS, ...Object.values(NESTED)];
	const unknown = tables.flatMap(table => Object.keys(table).filter(name => !isNumber(table[name] as Check) && !NESTED[name] && !OTHERS.includes(name)));
	t.deepEqual(unknown, []);
	for (const name of Object.keys(NESTED))
		t.true(
			tables.some(table => name in table),
			name,
		);
});

// ——— options of jobs ———

const TASKS = {
	// The first attempt fails, so that the backoff is used.
	failOnce(_: unknown, {job}: TaskContext) {
		if (job.attempts === 0) throw new Error('again');
	},
	feed(options: JobOptions, context: TaskContext): string {
		try {
			context.enqueue('failOnce', options, options);
			return 'enqueued';
		} catch (error) {
			return (error as FaenaError).message;
		}
	},
};

async function openTest<Tasks extends object>(t: ExecutionContext, given: Tasks, options = {}): Promise<{faena: TestEngine<Tasks>; path: string}> {
	t.timeout(120_000);
	const path = join(makeFolder(t), 'jobs.db');
	const faena = await openForTest(given, {queue: path, ...options});
	t.teardown(() => faena.close({drain: 0}));
	return {faena, path};
}

/** Moves the clock until all jobs have ended, and checks the values in the rows. */
async function assertAllEnd(t: ExecutionContext, {faena, path}: {faena: TestEngine<object>; path: string}, jobs: number): Promise<void> {
	for (let times = 0; times < 40 && (await faena.counts()).pending + (await faena.counts()).failed > 0; times++) {
		faena.clock.advance('10y');
		await faena.drain();
	}
	const {pending, running, failed, completed, dead, cancelled} = await faena.counts();
	t.deepEqual([pending, running, failed], [0, 0, 0]);
	t.true(completed + dead + cancelled >= jobs && jobs > 0, `${completed} + ${dead} + ${cancelled} of ${jobs}`);
	t.true((await faena.jobs({status: 'cancelled'}).page()).every(({error}) => error?.reason === 'expired'));
	const db = new Database(path, {readonly: true});
	const specs = db.prepare('select spec from policy').pluck().all() as string[];
	db.close();
	for (const spec of specs) {
		const {timeoutMs, backoff} = JSON.parse(spec) as {timeoutMs: number | null; backoff: {baseMs: number; maxMs: number}};
		for (const ms of [timeoutMs ?? 0, backoff.baseMs, backoff.maxMs]) t.true(Number.isSafeInteger(ms) && !Object.is(ms, -0), spec);
	}
}

for (const way of ['enqueue', 'call', 'enqueueMany', 'ctx.enqueue', 'enqueueIn'] as const) {
	test(`${way}(): each number and time among its options works, or is refused in a sentence`, async t => {
		const engine = await openTest(t, TASKS);
		const {faena, path} = engine;
		const db = new Database(path);
		let jobs = 0;
		const ways: Record<typeof way, (options: Omit<JobOptions, 'key'>) => unknown> = {
			enqueue: options => faena.enqueue('failOnce', null, options),
			// A refusal comes at once, an answer once the clock has moved.
			call: options => Promise.race([faena.call('failOnce', null, options).catch(ignoreFailure), faena.counts().then(() => faena.counts())]),
			enqueueMany: options => faena.enqueueMany('failOnce', [1, 2], options),
			enqueueIn: options => enqueueIn<typeof TASKS>(db, 'failOnce', null, options),
			async 'ctx.enqueue'(options) {
				const said = await faena.call('feed', options);
				if (said !== 'enqueued') throw new FaenaError('BadOption', said);
			},
		};
		for (const each of casesOf(JOB_CHECKS)) if (await works(t, each, () => ways[way](each.options))) jobs++;
		await assertAllEnd(t, engine, jobs);
		db.close();
	});
}

function ignoreFailure(error: unknown): void {
	if ((error as FaenaError).code !== 'JobFailed') throw error;
}

test('map(): each number and time among its options works, or is refused in a sentence', async t => {
	const engine = await openTest(t, TASKS);
	const {faena} = engine;
	let [maps, ended] = [0, 0];
	const drain = async (options: object) => {
		for await (const _ of faena.map('failOnce', [1, 2, 3], options));
	};
	const under: Promise<void>[] = [];
	const {key: _key, ...ofJobs} = JOB_CHECKS;
	for (const each of [...casesOf(MAP_CHECKS), ...casesOf(ofJobs)]) {
		await works(t, each, () => {
			// The call itself refuses it.
			const map = faena.map('failOnce', [1, 2, 3], each.options);
			void map;
			maps++;
			const halts = (error: unknown) => {
				if ((error as FaenaError).code !== 'Halted') throw error;
			};
			under.push(
				drain(each.options)
					.catch(halts)
					.finally(() => ended++),
			);
		});
	}
	while (ended < maps) {
		faena.clock.advance('1y');
		await faena.drain();
	}
	await Promise.all(under);
	await assertAllEnd(t, engine, maps);
});

test('task(): each number and time among its options works, or is refused in a sentence', async t => {
	const made: Record<string, (_: unknown, context: TaskContext) => void> = {};
	// Jobs with a retention may be deleted before they are counted.
	let kept = 0;
	for (const {name, value, options} of casesOf(TASK_CHECKS)) {
		const alone = {failOnce: task(TASKS.failOnce, options)};
		const isGood = await works(t, {name, value}, async () => (await openTest(t, alone)).faena.close());
		const each = name === 'batchSize' ? task((payloads: readonly unknown[]) => payloads as never, options as never) : alone.failOnce;
		if (!isGood) continue;
		made[`task${Object.keys(made).length}`] = each as (typeof made)[string];
		if (!('retention' in options)) kept += 2;
	}
	const engine = await openTest(t, made);
	for (const name of Object.keys(made)) await engine.faena.enqueueMany(name, [1, 2]);
	await assertAllEnd(t, engine, kept);
});

test('open({defaults}): each number and time works, or is refused in a sentence', async t => {
	for (const {name, value, options} of casesOf(EXECUTION_CHECKS)) {
		await works(t, {name, value}, async () => {
			const engine = await openTest(t, TASKS, {defaults: options});
			await engine.faena.enqueue('failOnce', null);
			await assertAllEnd(t, engine, 1);
			await engine.faena.close();
		});
	}
});

// ——— options of open(), openQueue() and work() ———

const MODULE = new URL('../fixtures/tasks.ts', import.meta.url);

test('open(): each number and time among its options works, or is refused in a sentence', async t => {
	t.timeout(120_000);
	const folder = makeFolder(t);
	let opened = 0;
	for (const {name, value, options} of casesOf(OPEN_CHECKS)) {
		await works(t, {name, value}, async () => {
			const faena = await open<typeof import('../fixtures/tasks.ts')>({
				queue: join(folder, `${opened++}.db`),
				tasks: MODULE,
				isolation: 'inline',
				workers: 1,
				...options,
			});
			try {
				t.is(await faena.call('echo', 7).catch(refusedAsTooLarge), 7);
			} finally {
				await faena.close();
			}
		});
	}
});

/** A limit below the given one. */
function refusedAsTooLarge(error: unknown): number {
	if ((error as FaenaError).code === 'TooLarge') return 7;
	throw error;
}

for (const isolation of ['thread', 'process'] as const) {
	test(`the limits of a ${isolation} may have fractions`, async t => {
		t.timeout(60_000);
		const resourceLimits = {maxOldGenerationSizeMb: 64.25, maxYoungGenerationSizeMb: 16.5, codeRangeSizeMb: 64.5, stackSizeMb: 3.75};
		const options = {
			queue: join(makeFolder(t), 'jobs.db'),
			tasks: MODULE,
			isolation,
			workers: 1,
			grace: 20.25,
			drain: 20.25,
			lease: 1000.5,
			recycle: {age: 20.25},
		};
		const faena = await open<typeof import('../fixtures/tasks.ts')>({...options, resourceLimits});
		t.is(await faena.call('echo', 7), 7);
		await faena.close();
	});
}

test('openQueue() and work(): each number and time among their options works, or is refused in a sentence', async t => {
	const folder = makeFolder(t);
	let opened = 0;
	for (const {name, value, options} of casesOf(QUEUE_CHECKS)) {
		await works(t, {name, value}, async () => {
			for (const location of [':memory:', join(folder, `${opened++}.db`)]) await (await openQueue(location, options)).close();
		});
	}
	for (const {name, value, options} of casesOf(WORK_CHECKS)) {
		await works(t, {name, value}, async () => {
			const queue = await openQueue(':memory:');
			const controller = new AbortController();
			await queue.enqueue([NEW_JOB]);
			await work(queue, {run: () => controller.abort()}, {signal: controller.signal, ...options});
			t.is((await queue.counts()).completed, 1);
		});
	}
});

const NEW_JOB = {task: 'run', maxAttempts: 2, backoff: {base: 1, factor: 1, max: 1, jitter: 1}};

for (const location of [':memory:', 'a file']) {
	test(`openQueue() on ${location}: the time may have fractions; a wrong value of now() or random() is refused in a sentence`, async t => {
		let [time, die]: unknown[] = [1000.75, 0.5];
		const queue = await openQueue(location === 'a file' ? join(makeFolder(t), 'jobs.db') : location, {now: () => time as number, random: () => die as number});
		t.teardown(() => queue.close());
		await queue.enqueue([NEW_JOB]);
		time = 2000.25;
		const {lease, jobs} = await queue.dequeue({owner: 'me', tasks: ['run']});
		const settle = () => queue.settle(lease, [{id: 1, execution: jobs[0]?.execution ?? 0, outcome: {type: 'threw', error: new Error('no')}}]);
		for (die of [NaN, 2, '0'])
			await t.throwsAsync(settle, {code: 'BadOption', message: /^openQueue\(\) expects as the value of random\(\) a number from 0 to 1; it got/});
		die = 0;
		await settle();
		t.like(await queue.job(1), {createdAt: 1001, status: 'failed'});
		for (time of [NaN, 'noon', 1e300, undefined]) {
			await t.throwsAsync(() => queue.enqueue([NEW_JOB]), {
				code: 'BadOption',
				message: /^openQueue\(\) expects as the value of now\(\) a Date or milliseconds since 1970; it got/,
			});
		}
		time = 3000;
	});
}

// ——— options of other calls ———

test('each time of a call works, or is refused in a sentence', async t => {
	const {faena} = await openTest(t, TASKS);
	const job = await faena.enqueue('failOnce', null, {delay: '1y'});
	const waits: Promise<unknown>[] = [];
	for (const value of VALUES as readonly number[]) {
		await works(t, {name: 'olderThan', value}, () => faena.cleanup({olderThan: value}));
		await works(t, {name: 'drain', value}, async () => (await openTest(t, TASKS)).faena.close({drain: value}));
		for (const name of ['limit', 'after']) await works(t, {name, value}, () => faena.jobs().page({[name]: value}));
		await works(t, {name: 'time', value}, () => new TestClock(5).advance(value));
		await works(t, {name: 'now', value}, () => t.true(Number.isSafeInteger(new TestClock(value).now)));
		await works(t, {name: 'now', value}, async () => (await openForTest(TASKS, {now: value})).close());
		// Waits of more than a second don't end in this test.
		const isLong = typeof value === 'number' && value > 1000;
		await works(t, {name: 'timeout', value}, async () => {
			const wait = job.result({timeout: value}).catch(error => {
				if (error.code !== 'WaitTimeout') throw error;
				t.false(isLong, `${value} ends`);
			});
			if (isLong) await Promise.race([wait, faena.counts()]);
			else await wait;
			waits.push(wait);
		});
	}
	t.true(waits.length > 4);
	// By then a wait that ends too early by mistake has ended.
	await t.throwsAsync(job.result({timeout: 50}), {code: 'WaitTimeout'});
	await faena.cancel(job.id);
	t.is((await job.outcome()).status, 'cancelled');
});

test("a test's clock is always at whole milliseconds", async t => {
	const {faena} = await openTest(t, TASKS, {now: 1000.5});
	t.is(faena.clock.now, 1001);
	for (const by of [0.5, 20.25, '1.5ms'] as const) faena.clock.advance(by);
	t.is(faena.clock.now, 1024);
	await faena.enqueue('feed', {delay: 0.5});
	await faena.drain();
	faena.clock.advance(0.5);
	t.like(await faena.drain(), {completed: 1, failed: 1});
	faena.clock.advance('1h');
	t.is((await faena.drain()).completed, 2);
});

test('a timer of more days than setTimeout counts lasts for all of them', t => {
	mock.timers.enable({apis: ['setTimeout']});
	t.teardown(() => mock.timers.reset());
	const rung: string[] = [];
	systemClock.after(2 ** 31 + 1000, () => rung.push('long'));
	systemClock.after(2 ** 31 + 1000, () => rung.push('taken back'))();
	systemClock.after(5, () => rung.push('short'));
	mock.timers.tick(5);
	t.deepEqual(rung, ['short']);
	mock.timers.tick(2 ** 31 - 1);
	t.deepEqual(rung, ['short']);
	mock.timers.tick(1010);
	t.deepEqual(rung, ['short', 'long']);
});

test('with a grace of a month, a teardown is not cut off', async t => {
	t.timeout(60_000);
	const torn = join(makeFolder(t), 'torn');
	const faena = await open({
		queue: join(makeFolder(t), 'jobs.db'),
		tasks: new URL('../fixtures/tears-down-slowly.ts', import.meta.url),
		workers: 1,
		grace: '30d',
		env: {TORN: torn},
	});
	await faena.call('echo', 1);
	await faena.close();
	t.true((await import('node:fs')).existsSync(torn));
});

// ——— flags of commands ———

interface Command {
	/** The values that work, for each flag that is a number or a time, and for the arguments `ids`. */
	readonly good: Readonly<Record<string, readonly string[]>>;
	/** The command's other words. */
	readonly words: (flag: string, value: string) => readonly string[];
	/** The exit code if the value works. */
	readonly codes: readonly number[];
}

/** An id that needs more than 32 bits is valid, though no job has it. */
const BY_ID: Command = {good: {ids: ['1', '2147483648']}, words: (_, id) => [id], codes: [3]};
const WITHOUT: Command = {...BY_ID, good: {}};
const COMMANDS: Readonly<Record<string, Command>> = {
	map: {
		good: {
			'--max-args': ['1'],
			'--max-replace-args': ['1'],
			// With a sign it counts from the number of processors.
			'--workers': ['1', '-0', '-1'],
			'--drain': ['1.5ms', '20.25s', '600000.5ms'],
			'--grace': ['1.5ms', '20.25s', '600000.5ms'],
			'--lease': ['20.25s', '600000.5ms'],
			'--nice': ['1', '0', '-0', '-1'],
			'--timeout': ['1.5ms', '20.25s', '600000.5ms'],
			'--max-attempts': ['1'],
			'--max-delays': ['1', '0'],
			'--halt': ['soon,fail=1'],
			'--delay': ['1.5ms', '20.25s', '600000.5ms'],
			'--jobs': ['1', '-0', '-1'],
			'--max-procs': ['1', '-0', '-1'],
			'--retries': ['1'],
		},
		words: (flag, value) => [tasks('traces-executions', 'echo'), '--stdin', '--quiet', '--batch', `${flag} ${value}`, flag, value],
		codes: [0, 1],
	},
	bench: {
		good: {'--blocks': ['1']},
		words: (flag, value) => ['--trial', 'call', '--jobs', '20', flag, value],
		codes: [0, 1],
	},
	enqueue: {
		good: {
			'--delay': ['1.5ms'],
			'--expires': ['1.5ms', '20.25s', '600000.5ms'],
			'--priority': ['1', '0', '-0', '-1'],
			'--max-attempts': ['1'],
			'--max-delays': ['1', '0'],
			'--timeout': ['1.5ms', '20.25s', '600000.5ms'],
		},
		words: (flag, value) => ['echo', '1', flag, value],
		codes: [0],
	},
	cleanup: {
		good: {'--older-than': ['1.5ms', '20.25s', '600000.5ms']},
		words: (flag, value) => (flag === '--older-than' ? [flag, value] : ['--older-than', '1d', flag, value]),
		codes: [0],
	},
	...{logs: BY_ID, show: BY_ID, cancel: BY_ID, retry: BY_ID, status: WITHOUT, batches: WITHOUT},
};

for (const [command, {good, words, codes}] of Object.entries(COMMANDS)) {
	test(`faena ${command}: each number and time among its flags and arguments works, or is refused in a sentence`, async t => {
		t.timeout(300_000);
		const folder = new Folder(t);
		await (await openQueue(join(folder.path, 'faena.db'))).close();
		// `map` opens stdin before it has looked at all of its flags, so it runs in a program of its own.
		const refused = async (name: string, args: readonly string[]) => {
			if (name !== 'map') return parsed('stderr', name, ...args);
			const {code, stderr: said} = await folder.faena(name, ...args).end('a\n');
			return {code, said};
		};
		t.deepEqual(await numbersOf(command), Object.keys(good));
		for (const [flag, values] of Object.entries(good)) {
			const bad = VALUES.map(toText(flag)).filter(value => !values.includes(value));
			for (const value of bad) {
				const {code, said} = await refused(command, words(flag, value));
				t.is(code, 2, `${flag} ${value}`);
				t.regex(said, /^faena: .*(invalid|argument|positive whole number|unknown option|expects as lease).*\n$/);
			}
			for (const value of values) {
				const {code, stderr} = await folder.faena(command, ...words(flag, value)).end('a\n');
				t.true(codes.includes(code), `${flag} ${value}: ${stderr}`);
			}
		}
	});
}

/** The flags that a command's help lists. */
async function numbersOf(command: string): Promise<string[]> {
	const {said} = await parsed('stdout', command, '--help');
	return [...said.matchAll(/(--[\w-]+) <(?:n|time|when)>|[<[](?:ids\.\.\.|id)[\]>]/g)].map(([, flag = 'ids']) => flag);
}

function toText(flag: string): (value: unknown) => string {
	return value => (flag === '--halt' ? `soon,fail=${value}` : Object.is(value, -0) ? '-0' : `${value}`);
}

/** The output of a command that prints its help, or is refused before it does anything. */
async function parsed(on: 'stdout' | 'stderr', ...words: readonly string[]): Promise<{code: unknown; said: string}> {
	const write = mock.method(process[on], 'write', () => true);
	const before = process.exitCode;
	try {
		await runCommand(words);
		return {code: process.exitCode, said: write.mock.calls.map(({arguments: [text]}) => text).join('')};
	} finally {
		write.mock.restore();
		process.exitCode = before;
	}
}
