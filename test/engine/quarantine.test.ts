import {readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import type {ExecutionContext} from 'ava';
import Database from 'better-sqlite3';
import {type Counts, type Engine, open} from '../../lib/index.ts';
import {MAX_GROUP_JOBS} from '../../lib/job/groups/group.ts';
import {mostTogether} from '../../lib/job/job.ts';
import {test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {Program} from '../fixtures/program.ts';

type Tasks = typeof import('../fixtures/isolated-tasks.ts');

test('jobs that abort their whole process in thread mode end as poison, whatever hosts they take along; the good ones complete', async t => {
	t.timeout(120_000);
	const folder = makeFolder(t);
	const [queue, file] = [join(folder, 'jobs.db'), join(folder, 'crashes')];
	const looker = await open<Tasks>({queue});
	t.teardown(() => looker.close());
	const poisonous: number[] = [];
	const good: number[] = [];
	const policy = {maxAttempts: 5, backoff: 1};
	for (let index = 0; index < 60; index++) {
		if (index % 20 === 10) poisonous.push((await looker.enqueue('poison', file, policy)).id);
		good.push((await looker.enqueue('work', 5, policy)).id);
	}
	let hosts = 0;
	for (let isIdle = false; !isIdle; hosts++) {
		const program = new Program(t, 'until-idle', queue);
		const {code, signal} = await program.ended();
		isIdle = code === 0;
		if (!isIdle) t.is(signal, 'SIGABRT');
		t.true(hosts < 10);
	}
	t.true(hosts > 2);
	const ended = await looker.jobs({ids: poisonous}).page();
	t.deepEqual(
		ended.map(({status, attempts, error}) => [status, attempts, error?.reason]),
		poisonous.map(() => ['dead', 3, 'poison']),
	);
	t.regex(ended[0]?.error?.message ?? '', /killed its worker 3 times.*ended by SIGABRT/);
	t.true((await looker.jobs({ids: good}).page()).every(({status, attempts}) => status === 'completed' && attempts === 0));
	t.true(readFileSync(file, 'utf8').split('\n').length - 1 >= 3 * poisonous.length);
});

for (const signal of ['SIGSEGV', 'SIGKILL', 'SIGABRT'] as const) {
	test(`a job that ends its program by ${signal} as soon as it starts is dead after three crashes of its own; 2,000 short neighbours complete uncharged`, async t => {
		t.timeout(120_000);
		const queue = join(makeFolder(t), 'jobs.db');
		await enqueueIn(queue, 'dieOf', [...Array(1000).fill(null), signal, ...Array(1000).fill(null)]);
		const hosts = await runUntilIdle(t, queue);
		// A host can't be told from what killed it: the first loss is that of a host, and what follows happens in child processes.
		t.deepEqual(hosts, [signal, null]);
		const jobs = await look(queue, faena => faena.jobs().page({limit: 5000}));
		const [guilty, ...others] = jobs.filter(({status}) => status !== 'completed');
		t.deepEqual(others, []);
		t.like(guilty, {id: 1001, status: 'dead', attempts: 3, error: {reason: 'poison', signal}});
		t.is(jobs.length, 2001);
		t.true(jobs.every(({id, attempts}) => id === 1001 || attempts === 0));
		t.is(suspicionsIn(queue).length, 1);
	});
}

test('a job that ends its program only after it has returned does so once', async t => {
	t.timeout(60_000);
	const queue = join(makeFolder(t), 'jobs.db');
	await look(queue, faena => faena.enqueue('dieAfterwards', 'SIGSEGV'));
	t.deepEqual(await runUntilIdle(t, queue), ['SIGSEGV', null]);
	// What it had reported when it took a child process down counts.
	t.like(await look(queue, faena => faena.jobs().page()), [{status: 'completed', attempts: 0}]);
});

for (const how of ['inline', 'work']) {
	test(`a job that ends its program where that runs it ${how === 'work' ? 'by work()' : 'inline'} is found by an engine with workers, at no cost to its neighbours`, async t => {
		t.timeout(60_000);
		const queue = join(makeFolder(t), 'jobs.db');
		await enqueueIn(queue, 'dieOf', [null, 'SIGSEGV', null]);
		t.is((await new Program(t, 'dies', queue, how).ended()).signal, 'SIGSEGV');
		t.deepEqual(await runUntilIdle(t, queue), [null]);
		const jobs = await look(queue, faena => faena.jobs().page());
		t.deepEqual(
			jobs.map(({status, attempts}) => [status, attempts]),
			[
				['completed', 0],
				['dead', 3],
				['completed', 0],
			],
		);
	});
}

test('two kills amid 100,000 jobs that do nothing leave none to be run alone: all complete, and none is charged', async t => {
	t.timeout(120_000);
	const queue = join(makeFolder(t), 'jobs.db');
	await enqueueIn(queue, 'dieOf', Array(100_000).fill(null));
	for (const kills of [1, 2]) {
		const program = new Program(t, 'until-idle', queue, 'chunk:given:8=kill');
		t.is((await program.ended()).signal, 'SIGKILL');
		const {completed, pending} = await look(queue, countsOnceReclaimed);
		t.true(completed > 0 && pending > 10_000);
		const suspicions = suspicionsIn(queue);
		t.true(suspicions.every(level => mostTogether(level) >= mostTogether(kills)));
		// Two workers had one chunk open each, and the suspects of before.
		t.true(suspicions.length <= 2 * kills * MAX_GROUP_JOBS);
	}
	t.deepEqual(await runUntilIdle(t, queue), [null]);
	t.like(await look(queue, faena => faena.counts()), {completed: 100_000, pending: 0, failed: 0, dead: 0});
	t.deepEqual(suspicionsIn(queue), []);
	const db = new Database(queue, {readonly: true});
	t.is(db.prepare('select count(*) from failure_state where attempts > 0').pluck().get(), 0);
	db.close();
});

for (const [what, spoil] of [
	['lost', (path: string) => rmSync(path)],
	['garbled', (path: string) => writeFileSync(path, Buffer.alloc(10_000, 7))],
] as const) {
	test(`where the file of a dead program's open jobs is ${what}, no job is suspected, and all complete`, async t => {
		t.timeout(60_000);
		const folder = makeFolder(t);
		const queue = join(folder, 'jobs.db');
		await enqueueIn(queue, 'dieOf', Array(5000).fill(null));
		const program = new Program(t, 'until-idle', queue, 'chunk:given:3=kill');
		t.is((await program.ended()).signal, 'SIGKILL');
		const left = readdirSync(folder).filter(name => name.endsWith('-open'));
		t.is(left.length, 1);
		for (const name of left) spoil(join(folder, name));
		await look(queue, countsOnceReclaimed);
		t.deepEqual(suspicionsIn(queue), []);
		t.deepEqual(await runUntilIdle(t, queue), [null]);
		t.like(await look(queue, faena => faena.counts()), {completed: 5000, pending: 0});
		t.deepEqual(
			readdirSync(folder).filter(name => name.includes('-owner-')),
			[],
		);
	});
}

async function enqueueIn(queue: string, task: 'dieOf', payloads: readonly (NodeJS.Signals | null)[]): Promise<void> {
	await look(queue, faena => faena.enqueueMany(task, payloads, {maxAttempts: 9, backoff: 1}));
}

/** An engine without tasks, which also recovers what dead ones had. */
/** An engine that opens reclaims a page of jobs of the dead one, and the others soon after. */
async function countsOnceReclaimed(faena: Engine<Tasks>): Promise<Counts> {
	for (;;) {
		const counts = await faena.counts();
		if (counts.running === 0) return counts;
		await sleep(20);
	}
}

async function look<Result>(queue: string, ask: (faena: Engine<Tasks>) => Promise<Result>): Promise<Result> {
	const faena = await open<Tasks>({queue});
	try {
		return await ask(faena);
	} finally {
		await faena.close();
	}
}

/** Starts the program again and again. Returns the signals by which it ended, `null` for the last time, in good order. */
async function runUntilIdle(t: ExecutionContext, queue: string): Promise<(string | null)[]> {
	const ends: (string | null)[] = [];
	while (ends.at(-1) !== null && ends.length < 10) {
		const {code, signal} = await new Program(t, 'until-idle', queue).ended();
		if (signal === null) t.is(code, 0);
		ends.push(signal);
	}
	return ends;
}

/** The levels of all suspects. */
function suspicionsIn(queue: string): number[] {
	const db = new Database(queue, {readonly: true});
	try {
		return db.prepare('select suspicion from failure_state where suspicion > 0').pluck().all() as number[];
	} finally {
		db.close();
	}
}

test('a caller that waits for a poisonous job learns that it is one', async t => {
	t.timeout(60_000);
	const tasks = new URL('../fixtures/isolated-tasks.ts', import.meta.url);
	const faena = await open<Tasks>({queue: join(makeFolder(t), 'jobs.db'), tasks, workers: 1, isolation: 'process'});
	t.teardown(() => faena.close({drain: 0}));
	const dead = new Promise<Error>(resolve => void faena.once('dead', ({error}) => resolve(error)));
	const outcome = await (await faena.enqueue('segfault', null, {maxAttempts: 9, backoff: 1})).outcome();
	t.is(outcome.status, 'dead');
	if (outcome.status === 'dead') t.like(outcome.error, {reason: 'poison', name: 'Poison', signal: 'SIGSEGV'});
	t.like(await dead, {reason: 'poison'});
});

test('no more jobs of a task run at the same time than its concurrency, in two engines on the same file together', async t => {
	t.timeout(60_000);
	const folder = makeFolder(t);
	const [queue, file] = [join(folder, 'jobs.db'), join(folder, 'order')];
	const tasks = new URL('../fixtures/isolated-tasks.ts', import.meta.url);
	const engines = await Promise.all([1, 2].map(() => open<Tasks>({queue, tasks, workers: 2})));
	t.teardown(() => Promise.all(engines.map(engine => engine.close())));
	const [engine] = engines as [(typeof engines)[0]];
	await engine.enqueueMany('one', Array(20).fill(file));
	await engine.idle();
	t.is(readFileSync(file, 'utf8'), '+-'.repeat(20));
});
