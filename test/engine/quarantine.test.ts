import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {open} from '../../lib/index.ts';
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
	const ended = await looker.jobs({ids: poisonous});
	t.deepEqual(
		ended.map(({status, attempts, error}) => [status, attempts, error?.reason]),
		poisonous.map(() => ['dead', 3, 'poison']),
	);
	t.regex(ended[0]?.error?.message ?? '', /killed its worker 3 times.*ended by SIGABRT/);
	t.true((await looker.jobs({ids: good})).every(({status, attempts}) => status === 'completed' && attempts === 0));
	t.true(readFileSync(file, 'utf8').split('\n').length - 1 >= 3 * poisonous.length);
});

test('whoever waits for a job that is poison is told so', async t => {
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
