import {subscribe, unsubscribe} from 'node:diagnostics_channel';
import {rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {Writable} from 'node:stream';
import type {ExecutionContext} from 'ava';
import Database from 'better-sqlite3';
import {pino} from 'pino';
import {Events} from '../../lib/api/events.ts';
import {CHANNELS, type Engine, type EngineEvents, type OpenOptions} from '../../lib/index.ts';
import {toFailure} from '../../lib/job/failure.ts';
import {FaenaError} from '../../lib/support/errors.ts';
import {openEngine, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {makeLogger} from '../fixtures/logger.ts';
import {Program} from '../fixtures/program.ts';

type Message = {readonly queue: string; readonly id?: number; readonly error?: Error; readonly batch?: string};

/** Listens on a channel until the test's end, or until the function it returns is called. */
function listen(t: ExecutionContext, name: keyof typeof CHANNELS): {readonly heard: Message[]; end(): void} {
	const heard: Message[] = [];
	const listener = (message: unknown) => void heard.push(message as Message);
	subscribe(name, listener);
	const end = () => void unsubscribe(name, listener);
	t.teardown(end);
	return {heard, end};
}

test("the channels publish the events' fields, and the queue", async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const channels = Object.fromEntries(Object.keys(CHANNELS).map(name => [name, listen(t, name as keyof typeof CHANNELS).heard]));
	const faena = await openEngine(t, {queue, defaults: {maxAttempts: 2, backoff: 0}});
	await faena.call('add', {a: 1, b: 2});
	await (await faena.enqueue('boom', 'no')).outcome();
	await faena.cancel((await faena.enqueue('add', {a: 1, b: 2}, {delay: '1h'})).id);
	for await (const _ of faena.map('add', [{a: 1, b: 1}], {batch: 'night'}));
	await (await faena.enqueue('disaster', 'exit', {maxAttempts: 1})).outcome();
	await faena.close();
	t.like(channels['faena:job:completed'], [{queue, id: 1}, {id: 4}]);
	t.like(channels['faena:job:failed'], [{queue, id: 2, error: {name: 'TypeError', message: 'no'}}]);
	t.like(channels['faena:job:dead'], [
		{queue, id: 2, error: {message: 'no'}},
		{id: 5, error: {name: 'LostWorker'}},
	]);
	t.like(channels['faena:job:cancelled'], [{queue, id: 3}]);
	t.like(channels['faena:batch:completed'], [{queue, batch: 'night', counts: {completed: 1}}]);
	t.like(channels['faena:worker:lost'], [{queue, kind: 'thread', reason: 'ended', exitCode: 7, jobId: 5}]);
});

test('a later subscriber of a channel gets all events after the next call', async t => {
	const faena = await openEngine(t);
	await faena.call('add', {a: 1, b: 2});
	const {heard} = listen(t, 'faena:job:completed');
	await faena.call('add', {a: 1, b: 2});
	t.like(heard, [{id: 2}]);
});

test('a dispatcher is asked only for the events that have a listener, once, and for those that it warns of', t => {
	const events = new Events('jobs.db', undefined);
	const warned = ['slowStart', 'workerLost', 'secondLibrary', 'notificationsMissing', 'setBack', 'draining', 'refused'];
	t.deepEqual(events.changedSubscriptions(), warned);
	t.is(events.changedSubscriptions(), undefined);
	const {end} = listen(t, 'faena:job:completed');
	t.deepEqual(events.changedSubscriptions(), [...warned, 'completed']);
	t.is(events.changedSubscriptions(), undefined);
	events.emitter.on('dead', () => undefined);
	t.deepEqual(events.changedSubscriptions(), [...warned, 'dead', 'completed']);
	end();
	t.deepEqual(events.changedSubscriptions(), [...warned, 'dead']);
	events.emitter.removeAllListeners();
	t.deepEqual(events.changedSubscriptions(), warned);
});

test('a disk that stays full is told by one warning, other transactions that are tried again by none', async t => {
	const events = new Events('jobs.db', undefined);
	const warnings: string[] = [];
	const onWarning = ({message}: Error) => void (message.startsWith('No job starts or ends') && warnings.push(message));
	process.on('warning', onWarning);
	t.teardown(() => process.off('warning', onWarning));
	for (const [code, message] of [
		['DatabaseBusy', 'The database is busy.'],
		['StorageFull', 'The disk is full.'],
	] as const)
		for (let setbacks = 1; setbacks < 20; setbacks++)
			events.publish({type: 'setBack', setbacks, waitMs: 1000, error: {...toFailure(new FaenaError(code, message))}});
	await new Promise(setImmediate);
	t.deepEqual(warnings, ['No job starts or ends until this is over; Faena tries again and again. The disk is full.']);
});

test('a logger gets a line when the engine opens and closes, a job dies, or a worker is lost', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const {logger, lines} = makeLogger();
	const faena = await openEngine(t, {queue, logger, defaults: {maxAttempts: 1}});
	await (await faena.enqueue('boom', 'no')).outcome();
	await (await faena.enqueue('disaster', 'exit')).outcome();
	await faena.call('add', {a: 1, b: 2});
	await faena.close();
	t.like(lines[0], {level: 'info', message: 'engine opened', queue, workers: 2, isolation: 'thread'});
	t.true((lines[0]?.['tasks'] as string[] | undefined)?.includes('add'));
	t.like(
		lines.filter(({message}) => message === 'job dead'),
		[
			{level: 'error', jobId: 1, err: {message: 'no'}},
			{level: 'error', jobId: 2, err: {name: 'LostWorker'}},
		],
	);
	t.like(
		lines.filter(({message}) => message.startsWith('worker lost')),
		[{level: 'warn', kind: 'thread', reason: 'ended', exitCode: 7, jobId: 2}],
	);
	t.like(lines.at(-1), {level: 'info', message: 'engine closed', queue});
	t.is(lines.length, 5);
});

test('an error of a listener or a logger is uncaught, and disturbs no other listener', async t => {
	const program = new Program(t, 'observers-throw', join(makeFolder(t), 'jobs.db'));
	// The logger's are those of ten dead jobs, of the opening and of the end.
	t.deepEqual(JSON.parse(await program.line()), {uncaught: 22, completed: 10, dead: 10, published: 10});
	t.is((await program.ended()).code, 0);
});

test('pino takes it as it comes', async t => {
	let text = '';
	const stream = new Writable({
		write(chunk, _, done) {
			text += chunk;
			done();
		},
	});
	const faena = await openEngine(t, {logger: pino(stream), defaults: {maxAttempts: 1}});
	await (await faena.enqueue('boom', 'no')).outcome();
	await faena.close();
	const lines = text
		.split('\n')
		.slice(0, -1)
		.map(line => JSON.parse(line) as object);
	t.like(lines, [
		{level: 30, msg: 'engine opened'},
		{level: 50, msg: 'job dead', jobId: 1, err: {type: 'TypeError', message: 'no: the reason', code: 'E_BOOM'}},
		{level: 30, msg: 'engine closed'},
	]);
});

test('a logger gets a line when the jobs of a killed program are reclaimed', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const program = new Program(t, 'engine', queue, 'onSignals');
	t.is(await program.line(), 'runs');
	await program.kill('SIGKILL');
	const {logger, until} = makeLogger();
	await openEngine(t, {queue, logger, tasks: null});
	t.like(await until('reclaimed'), {level: 'info', jobs: 1});
});

test('a logger gets a line when other engines took this one for dead', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const {logger, until} = makeLogger();
	// With tasks it would not be silent: its next dequeue makes it known again.
	const faena = await openEngine(t, {queue, logger, lease: '1s', tasks: null});
	await until('opened');
	while (ownersOf(queue) === 0) await faena.counts();
	const db = new Database(queue);
	db.exec('delete from owner');
	db.close();
	t.like(await until('took this one for dead'), {level: 'warn'});
});

function ownersOf(queue: string): number {
	const db = new Database(queue, {readonly: true});
	const owners = db.prepare('select count(*) from owner').pluck().get() as number;
	db.close();
	return owners;
}

test('a logger gets a line when the dispatcher fails', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const program = new Program(t, 'logs-failure', queue);
	t.deepEqual(JSON.parse(await program.line()), {level: 'error', code: 'DispatcherFailed'});
});

const RESOURCES = new URL('../fixtures/resource-tasks.ts', import.meta.url);

function lossOf(faena: Engine<never>): Promise<EngineEvents['workerLost'][0]> {
	return new Promise(resolve => void faena.once('workerLost', resolve));
}

const LOSSES: readonly {
	readonly what: string;
	readonly task: string;
	readonly payload: unknown;
	readonly options: Omit<Partial<OpenOptions>, 'tasks'>;
	readonly loss: object;
}[] = [
	{what: 'ends itself', task: 'disaster', payload: 'exit', options: {}, loss: {kind: 'thread', reason: 'ended', exitCode: 7, jobId: 1}},
	{
		what: 'ends itself, as a process',
		task: 'disaster',
		payload: 'exit',
		options: {isolation: 'process'},
		loss: {kind: 'process', reason: 'ended', exitCode: 7, jobId: 1},
	},
	{
		what: 'runs out of memory',
		task: 'disaster',
		payload: 'outOfMemory',
		options: {resourceLimits: {maxOldGenerationSizeMb: 16}},
		loss: {kind: 'thread', reason: 'outOfMemory', jobId: 1},
	},
	{what: 'does not heed a timeout', task: 'spin', payload: 60_000, options: {defaults: {timeout: 50}}, loss: {kind: 'thread', reason: 'stopped', jobId: 1}},
];

for (const {what, task, payload, options, loss} of LOSSES) {
	test(`the event workerLost says how: a worker that ${what}`, async t => {
		const faena = await openEngine(t, {...options, defaults: {maxAttempts: 1, ...options.defaults}});
		const lost = lossOf(faena as never);
		await faena.enqueue(task as 'disaster', payload as string);
		t.like(await lost, loss);
	});
}

test('the event workerLost says of a new worker that could not be set up why; the one after it works', async t => {
	const broken = join(makeFolder(t), 'broken');
	const faena = await openEngine(t, {tasks: RESOURCES, workers: 1, recycle: {jobs: 1}, env: {BREAK_SETUP: broken}});
	const lost = lossOf(faena as never);
	writeFileSync(broken, '');
	await faena.call('predict' as 'job');
	t.like(await lost, {kind: 'thread', reason: 'unready', error: {code: 'SetupFailed', message: 'The setup of task predict failed. RangeError: no model here'}});
	rmSync(broken);
	t.truthy(await faena.call('predict' as 'job'));
});

test('workers that are recycled, and those of an engine that closes, are not lost', async t => {
	const faena = await openEngine(t, {recycle: {jobs: 1}});
	faena.on('workerLost', loss => t.fail(JSON.stringify(loss)));
	for (let round = 0; round < 5; round++) await faena.call('add', {a: round, b: 1});
	await faena.close();
	t.pass();
});

for (const isolation of ['thread', 'process', 'inline'] as const) {
	test(`${isolation}: the progress of an execution is told in order and each step once, also while somebody looks at the job`, async t => {
		const faena = await openEngine(t, {queue: join(makeFolder(t), 'jobs.db'), isolation, workers: 2});
		const told = new Map<number, number[]>();
		faena.on('progress', ({id, done}) => void told.set(id, [...(told.get(id) ?? []), done]));
		const jobs = await Promise.all(Array.from({length: 6}, () => faena.enqueue('advance', 40)));
		let open = jobs.length;
		for (const job of jobs) void job.outcome().then(() => open--);
		while (open > 0) for (const job of jobs) await faena.job(job.id).info();
		await faena.close();
		for (const job of jobs) {
			const steps = told.get(job.id) ?? [];
			t.deepEqual(
				steps,
				[...new Set(steps)].toSorted((a, b) => a - b),
			);
			t.is(steps.at(-1), 40);
		}
	});
}
