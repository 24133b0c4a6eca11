/** Wrong input of users: each is refused in a clear sentence, or becomes a failure that is recorded with the job. No call hangs. */
import {chmodSync, copyFileSync, mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import Database from 'better-sqlite3';
import {type Engine, type FaenaError, open, statusSummary} from '../../lib/index.ts';
import {RENAMED_OPTIONS} from '../../lib/job/checks.ts';
import {openQueue} from '../../lib/queue.ts';
import {test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {Program} from '../fixtures/program.ts';

type Tasks = typeof import('../fixtures/bad-tasks.ts');
const TASKS = new URL('../fixtures/bad-tasks.ts', import.meta.url);

async function openOn(t: ExecutionContext, options: object = {}): Promise<Engine<Tasks>> {
	t.timeout(60_000);
	const engine = await open<Tasks>({queue: join(makeFolder(t), 'jobs.db'), tasks: TASKS, workers: 1, ...options});
	t.teardown(() => engine.close({drain: 0}));
	return engine;
}

/** Asserts that the promise rejects with this code, and a sentence with these words. */
async function refused(t: ExecutionContext, what: string, promise: Promise<unknown>, code: FaenaError['code'], words: RegExp): Promise<void> {
	const error = (await t.throwsAsync(promise, {message: words, code}, what)) as FaenaError | undefined;
	if (error) t.log(`${what} → ${error.code}: ${error.message}`);
}

/** The type of wrong arguments. */
// biome-ignore lint/suspicious/noExplicitAny: the point is to give what the types refuse
type Wrong = any;

test('an unknown task is refused with the nearest name', async t => {
	const faena = await openOn(t);
	await refused(t, 'unknown task', faena.enqueue('ecko' as 'echo', 1), 'UnknownTask', /no task "ecko"; did you mean "echo"\?/);
	await refused(t, 'no task', faena.enqueue(undefined as Wrong), 'BadOption', /enqueue\(\) expects as task a task's name, .*it got undefined/);
	await refused(t, 'a function as task', faena.enqueue((() => 1) as Wrong), 'BadOption', /as task a task's name, .*it got a function/);
	await refused(t, 'unknown task in pause()', faena.pause('ecko' as 'echo'), 'UnknownTask', /did you mean "echo"/);
	await refused(t, 'unknown task in resume()', faena.resume('ecko' as 'echo'), 'UnknownTask', /did you mean "echo"/);
	await refused(t, 'a number in pause()', faena.pause(5 as Wrong), 'BadOption', /pause\(\) expects as task a task's name, .*it got 5/);
	await refused(t, 'a method of objects as task', faena.enqueue('toString' as 'echo', 1), 'UnknownTask', /no task "toString"/);
	await refused(
		t,
		'unknown task in map()',
		drain(() => faena.map('ecko' as 'echo', [1])),
		'UnknownTask',
		/did you mean "echo"/,
	);
	await refused(
		t,
		'unknown task for onComplete',
		drain(() => faena.map('echo', [1], {batch: 'b', onComplete: 'ecko' as 'echo'})),
		'UnknownTask',
		/did you mean "echo"/,
	);
	t.is((await faena.counts()).pending, 0);
});

async function drain(make: () => AsyncIterable<unknown>): Promise<void> {
	for await (const _ of make());
}

for (const [what, module, words] of [
	['a missing module', 'modules/nowhere.ts', /does not exist/],
	['a module that throws', 'modules/throws.ts', /RangeError: no model here/],
	['a module without functions', 'modules/exports-nothing.ts', /exports no function/],
	['a module that ends its thread', 'modules/exits.ts', /its worker thread ended with exit code 3/],
	['a module that is none', 'modules/no-module.json', /can't be loaded/],
] as const) {
	test(`${what} is refused by open() in a sentence`, async t => {
		await refused(t, what, openOn(t, {tasks: new URL(`../fixtures/${module}`, import.meta.url)}), 'BadTasksModule', words);
	});
}

test('misspelt and absurd options of task() are refused by open(), naming task and option', async t => {
	const tasks = new URL('../fixtures/modules/bad-options.ts', import.meta.url);
	const cases = {
		misspelt: /task thumbnail has no option "timeuot"; did you mean "timeout"/,
		uncloneable: /task thumbnail expects as timeout a time such as .*it got a function/,
		absurd: /task thumbnail expects as maxAttempts a whole number from 1/,
	};
	for (const [which, words] of Object.entries(cases)) {
		process.env['BAD_OPTIONS'] = which;
		await refused(t, `task() with a ${which} option`, openOn(t, {tasks}), 'BadOption', words);
	}
});

test('payloads that would not come back the same are refused by name, and nothing is enqueued', async t => {
	const faena = await openOn(t, {maxValue: 1000});
	const cycle: {list: unknown[]} = {list: []};
	cycle.list.push(cycle);
	const cases: readonly [string, unknown, FaenaError['code'], RegExp][] = [
		['cyclic payload', cycle, 'NotEncodable', /payload\.list\[0\] refers back/],
		['function in the payload', {a: {f() {}}}, 'NotEncodable', /payload\.a\.f is a function/],
		['symbol in the payload', [Symbol('s')], 'NotEncodable', /payload\[0\] is a symbol/],
		['class instance', {when: new URL('http://localhost/')}, 'NotEncodable', /payload\.when is an instance of URL/],
		['a detached array', detached(new Uint8Array(8)), 'NotEncodable', /^payload is detached: its memory was transferred elsewhere/],
		['a detached buffer', {a: detached(new Uint8Array(8)).buffer}, 'NotEncodable', /^payload\.a is detached/],
		['a detached view', [detached(new Float64Array(1))], 'NotEncodable', /^payload\[0\] is detached/],
		['a revoked proxy', revoked(), 'NotEncodable', /^payload throws when it is read/],
		['payload too large', 'x'.repeat(2000), 'TooLarge', /2002 bytes.*limit is 1000.*maxValue/],
	];
	for (const [what, payload, code, words] of cases) {
		await refused(t, what, faena.enqueue('echo', payload), code, words);
		await refused(t, `${what}, among others`, faena.enqueueMany('echo', [1, payload]), code, words);
	}
	t.is((await faena.counts()).completed + (await faena.counts()).pending, 0);
});

function detached<View extends ArrayBufferView>(view: View): View {
	structuredClone(view, {transfer: [view.buffer as ArrayBuffer]});
	return view;
}

function revoked(): object {
	const {proxy, revoke} = Proxy.revocable({}, {});
	revoke();
	return proxy;
}

test('payloads with BigInt, Map, Set, Date, typed arrays, undefined, NaN and __proto__ come back the same', async t => {
	const faena = await openOn(t);
	const payload = {
		big: 2n ** 70n,
		map: new Map<unknown, unknown>([[{k: 1}, new Set([1, 'a'])]]),
		date: new Date(0),
		floats: new Float64Array([0.5, -0]),
		bytes: new Uint8Array([1, 2, 3]),
		none: undefined,
		nan: [NaN, -0, Infinity],
		polluting: JSON.parse('{"__proto__": {"polluted": true}, "constructor": 1}'),
	};
	t.deepEqual(await faena.call('echo', payload), payload);
	t.deepEqual(await faena.call('echo', JSON.parse('{"__proto__": {"polluted": true}}')), JSON.parse('{"__proto__": {"polluted": true}}'));
	t.is(({} as {polluted?: unknown}).polluted, undefined);
});

for (const [task, what, words] of [
	['throwNull', 'a task that throws null', /null/],
	['throwText', 'a task that throws a text', /^just a text$/],
	['throwBadGetter', 'an error whose getter throws', /without a readable message/],
	['throwCycle', 'an error with a cyclic cause', /goes round/],
	['returnFunction', 'a result that is a function', /result is a function/],
	['returnCycle', 'a cyclic result', /result\.self refers back/],
	['returnTooMuch', 'a result that is too large', /result is 2002 bytes/],
] as const) {
	test(`${what} is a failure recorded with its job`, async t => {
		const faena = await openOn(t, {maxValue: 1000, defaults: {maxAttempts: 1}});
		const job = await faena.enqueue(task);
		const outcome = await job.outcome();
		t.is(outcome.status, 'dead');
		const details = await faena.job(job.id).info();
		t.regex(details?.error?.message ?? '', words);
		t.log(`${what} → dead: ${details?.error?.name}: ${details?.error?.message}`);
		t.is(await faena.call('echo', 'the engine goes on'), 'the engine goes on');
	});
}

test('a checkpoint that can not be kept is refused at the call, in a sentence', async t => {
	const faena = await openOn(t, {maxCheckpoint: 1000});
	const cases = {
		function: /^NotEncodable: checkpoint\.at is a function/,
		cycle: /^NotEncodable: checkpoint\.self refers back/,
		'too much': /^TooLarge: The checkpoint is 2002 bytes .*limit is 1000 \(option maxCheckpoint\)/,
	};
	for (const [what, words] of Object.entries(cases)) {
		const sentence = await faena.call('keepBadCheckpoint', what as keyof typeof cases);
		t.regex(sentence, words);
		t.log(`${what} as checkpoint → ${sentence}`);
	}
});

test('a job that can not be enqueued is refused at ctx.enqueue(), in a sentence, and the task may go on', async t => {
	const faena = await openOn(t, {maxValue: 1100});
	const cases = {
		'unknown task': /^UnknownTask: The tasks module has no task "ecko"; did you mean "echo"\?/,
		'no task': /^BadOption: ctx\.enqueue\(\) expects as task a task's name, .*it got undefined/,
		'bad option': /^BadOption: ctx\.enqueue\(\) has no option "prority"; did you mean "priority"\?/,
		'two times': /^BadOption: ctx\.enqueue\(\) got both delay and runAt/,
		function: /^NotEncodable: payload\.f is a function/,
		'too large': /^TooLarge: The payload is 2002 bytes long/,
		'key with two payloads': /^KeyConflict: This job has already enqueued one with the key "k" of task echo, and another payload/,
		'too many': /^TooLarge: One job may enqueue at most 10,000 jobs with ctx\.enqueue\(\)/,
	};
	for (const [what, words] of Object.entries(cases)) {
		const sentence = await faena.call('enqueueBadly', what);
		t.regex(sentence, words);
		t.log(`${what} → ${sentence}`);
	}
	await faena.idle();
	// Jobs that were accepted before the error are enqueued: one of two payloads, and ten thousand.
	t.is((await faena.counts({task: 'echo'})).completed, 10_001);
	const large = await openOn(t, {maxValue: 1024 ** 2 * 32});
	t.regex(await large.call('enqueueBadly', 'too much'), /^TooLarge: One job may enqueue at most 64 MiB of payloads/);
});

test('ctx.enqueue() after its job has ended is refused in a sentence', async t => {
	const faena = await openOn(t);
	await faena.call('enqueueLate');
	t.is(await faena.call('tellLateComplaint'), "Closed: Job 1 has ended, so it can't enqueue jobs any more. Call ctx.enqueue() before the task returns.");
});

test('a database that can not be opened is refused in a sentence', async t => {
	const folder = makeFolder(t);
	const path = (name: string) => join(folder, name);
	const openAt = (queue: string) => openOn(t, {queue});
	writeFileSync(path('text.db'), 'This is not a database, however long it may be.\n'.repeat(100));
	mkdirSync(path('folder'));
	await refused(t, 'a folder that is missing', openAt(path('missing/jobs.db')), 'BadDatabase', /folder .*missing.* does not exist/);
	await refused(t, 'a folder', openAt(path('folder')), 'BadDatabase', /is not a file/);
	await refused(t, 'a text file', openAt(path('text.db')), 'BadDatabase', /is not an SQLite database/);
	await refused(t, 'a file that can not be written', openAt('/proc/version'), 'BadDatabase', /\/proc\/version/);
	await refused(t, 'a place that can not be written', openAt('/proc/jobs.db'), 'BadDatabase', /can't be created/);
});

test('a database or folder that may only be read is refused in a sentence', async t => {
	const folder = makeFolder(t);
	const readOnly = join(folder, 'read-only.db');
	await (await openQueue(readOnly)).close();
	chmodSync(readOnly, 0o444);
	chmodSync(folder, 0o555);
	// Root ignores permissions. So the program changes to another user if it is root.
	const program = new Program(t, 'opens-unprivileged', readOnly, join(folder, 'new.db'));
	const sentences = [await program.line(), await program.line()];
	for (const sentence of sentences) t.log(sentence);
	t.regex(sentences[0] as string, /^BadDatabase: .*read-only\.db can't be written\. Check the permissions of the file and its folder/);
	t.regex(sentences[1] as string, /^BadDatabase: .*new\.db can't be created: EACCES/);
	chmodSync(folder, 0o755);
});

test('a truncated, newer or foreign database is refused and left as it is, byte for byte', async t => {
	const folder = makeFolder(t);
	const good = join(folder, 'good.db');
	const queue = await openQueue(good);
	await queue.enqueue(Array.from({length: 500}, (_, index) => ({task: 'echo', payload: index})));
	await queue.close();
	const spoiled = (name: string, spoil: (path: string) => void) => {
		const path = join(folder, name);
		copyFileSync(good, path);
		spoil(path);
		return path;
	};
	const pragma = (statement: string) => (path: string) => {
		const db = new Database(path);
		db.pragma('journal_mode = delete');
		db.exec(statement);
		db.close();
	};
	const foreign = join(folder, 'foreign.db');
	new Database(foreign).exec('create table notes (text)').close();
	const cases: readonly [string, string, FaenaError['code'], RegExp][] = [
		['a truncated database', spoiled('truncated.db', path => truncateSync(path, 8192)), 'BadDatabase', /truncated|damaged/],
		['a database cut in a page', spoiled('cut.db', path => truncateSync(path, 10_001)), 'BadDatabase', /truncated|damaged/],
		['a newer database', spoiled('newer.db', pragma('pragma user_version = 999')), 'NewerDatabase', /newer Faena.*999.*Update Faena/],
		["another program's database", foreign, 'BadDatabase', /another program.*untouched/],
	];
	for (const [what, path, code, words] of cases) {
		const before = readFileSync(path);
		await refused(t, what, openOn(t, {queue: path}), code, words);
		t.true(before.equals(readFileSync(path)), what);
	}
});

test('paths may have all characters that a file name can have', async t => {
	const folder = join(makeFolder(t), "it's a #1 ?50% %20 ü 😀");
	mkdirSync(folder);
	writeFileSync(join(folder, 'tasks.mjs'), 'export const echo = value => value;\n');
	const faena = await openOn(t, {queue: join(folder, 'jobs.db'), tasks: join(folder, 'tasks.mjs')});
	t.is(await faena.call('echo', 1), 1);
	await faena.close();
	t.deepEqual(readdirSync(folder).sort(), ['jobs.db', 'tasks.mjs']);
});

test('an empty file becomes a queue', async t => {
	const path = join(makeFolder(t), 'empty.db');
	writeFileSync(path, '');
	const faena = await openOn(t, {queue: path});
	t.is(await faena.call('echo', 1), 1);
});

test('negative, absurd and misspelt options of open() are refused, naming what was expected or the nearest', async t => {
	const cases: readonly [Wrong, RegExp][] = [
		[{workers: 0}, /as workers a whole number from 1 to 1024; it got 0/],
		[{workers: -2}, /it got -2/],
		[{workers: 1e9}, /it got 1000000000/],
		[{workers: 'two'}, /it got "two"/],
		[{wokers: 2}, /no option "wokers"; did you mean "workers"\?/],
		[{lease: '1ms'}, /as lease at least 1000 ms/],
		[{drain: 'soon'}, /as drain a time such as '30s'.*it got "soon"/],
		[{grace: -1}, /not negative; it got -1/],
		[{durability: 'fulll'}, /as durability "full" or "normal"; it got "fulll"/],
		[{defaults: {maxAttempt: 1}}, /no option "maxAttempt"; did you mean "maxAttempts"/],
		[{queue: ''}, /as queue a text that is not empty/],
		[{queue: undefined}, /expects the option queue/],
		[{tasks: 42}, /as tasks a path or a file: URL; it got 42/],
		[{tasks: new URL('https://example.org/tasks.js')}, /a file: URL; it got "https:/],
		[{queue: ':memory:'}, /as queue a file.*openQueue\(\)/],
		[{blobs: {threshold: '1mb'}}, /open\(\{blobs\}\) expects as threshold a size such as '64kib', '1mib' or a number of bytes.*it got "1mb"/],
		[{blobs: {threshold: 0}}, /greater than 0; it got 0/],
		[{blobs: {}}, /expects the option threshold/],
		[{blobs: {treshold: 1}}, /no option "treshold"; did you mean "threshold"/],
		[{maxCheckpoint: '1mb'}, /as maxCheckpoint a size such as .* greater than 0; it got "1mb"/],
		[{maxValue: 0}, /as maxValue a size such as .* greater than 0; it got 0/],
		[{maxValue: '2gib'}, /as maxValue a size of at most 1073741824 bytes; it got "2gib"/],
		[{taskOutput: 'stdout'}, /as taskOutput "inherit" or "stderr"/],
		[{logger: {info() {}}}, /as logger a pino logger, or an object with the functions debug, info, warn, error \(it has no debug\); it got an object/],
		[{closeOnSignals: 'yes'}, /as closeOnSignals true or false; it got "yes"/],
		[{resourceLimits: {maxOldGenerationSizeMB: 64}}, /no option "maxOldGenerationSizeMB"; did you mean "maxOldGenerationSizeMb"/],
		[{resourceLimits: {maxOldGenerationSizeMb: -1}}, /as maxOldGenerationSizeMb a number from 1/],
		[{defaults: {backoff: {bsae: 1}}}, /no option "bsae"; did you mean "base"/],
		[{defaults: {timeout: '1 parsec'}}, /as timeout a time such as/],
		[{drain: '200y'}, /as drain a time of at most 10 years/],
	];
	for (const [options, words] of cases) await refused(t, `open(${JSON.stringify(options)})`, openOn(t, options), 'BadOption', words);
});

test('negative, absurd and misspelt options of enqueue(), map(), result() and the rest are refused before anything happens', async t => {
	const faena = await openOn(t);
	const enqueue = (options: Wrong) => faena.enqueue('echo', 1, options);
	const map = (options: Wrong) => drain(() => faena.map('echo', [1], options));
	const done = await faena.enqueue('echo', 1);
	await done.result();
	const cases: readonly [string, () => Promise<unknown>, RegExp][] = [
		['enqueue {priority: 1.5}', () => enqueue({priority: 1.5}), /as priority a whole number/],
		['enqueue {maxAttempts: 0}', () => enqueue({maxAttempts: 0}), /from 1 to 1000000; it got 0/],
		['enqueue {timeout: "never"}', () => enqueue({timeout: 'never'}), /as timeout a time such as/],
		['enqueue {timeout: 0}', () => enqueue({timeout: 0}), /as timeout at least 1 ms/],
		['enqueue {delay: "10"}', () => enqueue({delay: '10'}), /as delay a time such as '30s', .*; it got "10"/],
		['enqueue {delay: -5}', () => enqueue({delay: -5}), /not negative; it got -5/],
		['enqueue {delay, runAt}', () => enqueue({delay: 5, runAt: 5}), /both delay and runAt/],
		['enqueue {runAt: Invalid Date}', () => enqueue({runAt: new Date(NaN)}), /as runAt a Date/],
		['enqueue {backoff: {base: "x"}}', () => enqueue({backoff: {base: 'x'}}), /backoff expects as base a time/],
		['enqueue {retries: 3}', () => enqueue({retries: 3}), /no option "retries"/],
		['enqueue {key: ""}', () => enqueue({key: ''}), /as key a text that is not empty/],
		['enqueue {key: 7}', () => enqueue({key: 7}), /as key a text/],
		['map {ordre: "input"}', () => map({ordre: 'input'}), /did you mean "order"/],
		['map {window: 0}', () => map({window: 0}), /as window a whole number/],
		['map {key: "id"}', () => map({key: 'id'}), /as key a function/],
		['map {onComplete} without a batch', () => map({onComplete: 'echo'}), /onComplete expects the option batch, too/],
		['map {onComplete: 5}', () => map({batch: 'b', onComplete: 5}), /as onComplete a text/],
		['batch("")', async () => faena.batch(''), /as name a text that is not empty/],
		['map {changed: "rerun"}', () => map({batch: 'b', changed: 'rerun'}), /no option "changed" any more; write fresh: 'payload' instead of changed/],
		['map {fresh: true}', () => map({batch: 'b', fresh: true}), /as fresh "payload" or "content" or "code" or "all", or an array of them; it got true/],
		['map {fresh: []}', () => map({batch: 'b', fresh: []}), /as fresh "payload" .*; it got an array/],
		['map {fresh} without a batch', () => map({fresh: 'code'}), /fresh or retryFailed expects the option batch or key, too/],
		['map {files: []}', () => map({batch: 'b', fresh: 'content', files: []}), /as files a function; it got an array/],
		['map {files} alone', () => map({batch: 'b', files: () => []}), /files expects the option fresh, too/],
		['map {files} of a text', () => map({batch: 'b', fresh: 'content', files: () => 'a.png'}), /the value of files\(\) an array; it got "a.png"/],
		['map {fresh: "content"} without files', () => map({batch: 'b', fresh: 'content'}), /expects the option files of the task echo or of the map/],
		['map {retryFailed: 1}', () => map({batch: 'b', retryFailed: 1}), /as retryFailed true or false/],
		['map {retryFailed} without a batch', () => map({retryFailed: true}), /fresh or retryFailed expects the option batch or key, too/],
		['map {halt: 3}', () => map({halt: 3}), /map\(\{halt\}\) expects an object of options; it got 3/],
		['map {halt: {when, on}}', () => map({halt: {when: 'soon', on: 'fail'}}), /map\(\{halt\}\) expects at, as in/],
		['map {halt: {when: "later"}}', () => map({halt: {when: 'later', on: 'fail', at: 1}}), /as when "now" or "soon"; it got "later"/],
		['map {halt: {on: "ended"}}', () => map({halt: {when: 'now', on: 'ended', at: 1}}), /as on "fail" or "success" or "done"; it got "ended"/],
		['map {halt: {at: 0}}', () => map({halt: {when: 'now', on: 'fail', at: 0}}), /as at a whole number from 1, or a percentage.*it got 0/],
		['map {halt: {at: "120%"}}', () => map({halt: {when: 'now', on: 'fail', at: '120%'}}), /it got "120%"/],
		['map {halt: {att: 1}}', () => map({halt: {when: 'now', on: 'fail', att: 1}}), /no option "att"; did you mean "at"/],
		['map of a number', () => drain(() => faena.map('echo', 42 as Wrong)), /iterable/],
		['enqueueMany of a number', () => faena.enqueueMany('echo', 42 as Wrong), /iterable/],
		['result {timeout: "x"}', () => done.result({timeout: 'x' as Wrong}), /as timeout a time/],
		['result {signal: 1}', () => done.result({signal: 1 as Wrong}), /as signal an AbortSignal/],
		['job("one")', () => faena.job('one' as Wrong).info(), /id is a positive whole number/],
		['cancel(-1)', () => faena.cancel(-1), /id is a positive whole number/],
		['cancel()', () => (faena.cancel as Wrong)(), /^cancel\(\) expects a job's id or handle, or a filter such as \{task: 'hash'\}; it got undefined\.$/],
		['retry("5")', () => faena.retry('5' as Wrong), /^retry\(\) expects a job's id or handle, or a filter .*; it got "5"\.$/],
		['cancel(null)', () => faena.cancel(null as Wrong), /^cancel\(\) expects a job's id or handle, or a filter .*; it got null\.$/],
		['cancel {batch: undefined}', () => faena.cancel({batch: undefined} as Wrong), /batch: undefined, which would mean every job/],
		['retry {ids: undefined}', () => faena.retry({ids: undefined} as Wrong), /ids: undefined, which would mean every job/],
		['cancel {stauts: "dead"}', () => faena.cancel({stauts: 'dead'} as Wrong), /did you mean "status"/],
		['retry {status: "gone"}', () => faena.retry({status: 'gone'} as Wrong), /as status "blocked" or/],
		['jobs {limit: 0}', () => faena.jobs().page({limit: 0}), /as limit a whole number/],
		['cleanup {}', () => faena.cleanup({} as Wrong), /expects a job's id or handle, \{ids: \[…\]\}, or a time/],
		['cleanup with ids and a time', () => faena.cleanup({ids: [1], olderThan: '7d'}), /expects a job's id/],
		['cleanup of half a job', () => faena.cleanup(1.5), /positive whole number/],
		['close {drain: "x"}', () => faena.close({drain: 'x' as Wrong}), /as drain a time/],
		['openQueue(42)', () => openQueue(42 as Wrong), /expects the path/],
		['openQueue("")', () => openQueue(''), /expects the path/],
		['openQueue {now: 5}', () => openQueue('x.db', {now: 5 as Wrong}), /as now a function/],
		['openQueue {lease: 5}', () => openQueue('x.db', {lease: 5}), /as lease at least 1000 ms/],
		['enqueueMany with a key that is no text', () => faena.enqueueMany('echo', [1], {key: () => 5 as Wrong}), /as key a text/],
		['enqueueMany with a key that is undefined', () => faena.enqueueMany('echo', [1], {key: () => undefined as Wrong}), /as key a text/],
		['map with a key that is undefined', () => map({key: () => undefined}), /as key a text.*it got undefined/],
		['batch(undefined)', () => faena.batch(undefined as Wrong).cancel(), /batch\(\) expects as name a text/],
		['map with a key that is no text', () => map({key: () => ''}), /as key a text that is not empty/],
		['call {signal: 1}', () => faena.call('echo', 1, {signal: 1 as Wrong}), /as signal an AbortSignal/],
		['enqueueMany with options that are none', () => faena.enqueueMany('echo', [1], 5 as Wrong), /enqueueMany\(\) expects an object of options; it got 5/],
		['enqueueMany with null as options', () => faena.enqueueMany('echo', [1], null as Wrong), /expects an object of options; it got null/],
		['result(signal)', () => done.result(AbortSignal.abort() as Wrong), /result\(\) expects an object of options; it got an AbortSignal/],
		['job({})', async () => faena.job({} as Wrong).info(), /id is a positive whole number; it got an object/],
		['on("complete")', async () => faena.on('complete' as Wrong, () => undefined), /on\(\) has no event "complete"; did you mean "completed"\?/],
		['once("finished")', async () => faena.once('finished' as Wrong, () => undefined), /once\(\) has no event "finished"; there is completed, failed, dead, /],
		['on("dead") without a function', async () => faena.on('dead', undefined as Wrong), /on\(\) expects as listener a function; it got undefined/],
		['statusSummary(promise)', async () => statusSummary(faena.counts() as Wrong), /statusSummary\(\) expects the counts that .*counts\(\) resolves with/],
		['cancel {ids: 5}', () => faena.cancel({ids: 5 as Wrong}), /as ids an array/],
		['enqueue {timeout: ""}', () => enqueue({timeout: ''}), /as timeout a time/],
		['enqueue {timeout: "300 percent"}', () => enqueue({timeout: '300 percent'}), /such as '300%', or 'none'/],
		['cleanup {olderThan: ""}', () => faena.cleanup({olderThan: '' as Wrong}), /as olderThan a time/],
		['enqueue {timeout: Infinity}', () => enqueue({timeout: Infinity}), /as timeout a time/],
		['openQueue {durabilty}', () => openQueue('x.db', {durabilty: 'full'} as Wrong), /did you mean "durability"/],
	];
	for (const [what, act, words] of cases) {
		await refused(t, what, (async () => act())(), 'BadOption', words);
	}
	t.deepEqual(await faena.counts(), {blocked: 0, pending: 0, running: 0, failed: 0, completed: 1, dead: 0, cancelled: 0});
});

test('a former option is refused in a sentence that names the new one', async t => {
	const faena = await openOn(t);
	const calls: Readonly<Record<string, (options: Wrong) => unknown>> = {'map()': options => faena.map('echo', [1], options)};
	t.deepEqual(Object.keys(calls), Object.keys(RENAMED_OPTIONS));
	for (const [where, renamed] of Object.entries(RENAMED_OPTIONS)) {
		for (const [former, now] of Object.entries(renamed)) {
			const act = async () => calls[where]?.({[former]: 1});
			await refused(t, `${where} with ${former}`, act(), 'BadOption', new RegExp(`has no option "${former}" any more; write ${now.slice(0, 5)}`));
		}
	}
});

test('a job that does not exist is refused in a sentence', async t => {
	const faena = await openOn(t);
	t.is(await faena.job(99).info(), undefined);
	await refused(t, 'result of job 99', faena.job<'echo'>(99).result(), 'NoSuchJob', /no job 99/);
	t.is(await faena.cancel(99), 0);
	t.is(await faena.retry(99), 0);
});

test('a second close() changes nothing; calls after close() are refused with Closed, and none hangs', async t => {
	const faena = await openOn(t);
	await faena.call('echo', 1);
	await Promise.all([faena.close(), faena.close()]);
	await faena.close();
	const uses: readonly [string, () => Promise<unknown>][] = [
		['enqueue after close', () => faena.enqueue('echo', 1)],
		['call after close', () => faena.call('echo', 1)],
		['map after close', () => drain(() => faena.map('echo', [1]))],
		['counts after close', () => faena.counts()],
		['idle after close', () => faena.idle()],
		['result after close', () => faena.job<'echo'>(1).result()],
	];
	for (const [what, use] of uses) await refused(t, what, use(), 'Closed', /closed/);
});
