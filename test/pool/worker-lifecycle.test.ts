import test from 'ava';
import {toEnvelope} from '../../lib/job/failure.ts';
import type {ClaimedGroup} from '../../lib/job/groups/group.ts';
import type {PoolOptions} from '../../lib/job/options.ts';
import {InFlightChunk} from '../../lib/pool/in-flight.ts';
import type {PoolWorker, WorkerEnd} from '../../lib/pool/pool.ts';
import {type Slot, Slots} from '../../lib/pool/slots.ts';
import {WorkerLifecycle} from '../../lib/pool/worker-lifecycle.ts';
import {FaenaError} from '../../lib/support/errors.ts';
import {claimedGroup} from '../fixtures/groups.ts';
import {HandClock} from '../fixtures/hand-clock.ts';
import {HandListener} from '../fixtures/hand-listener.ts';
import {HAND_POOL_OPTIONS, HandSource} from '../fixtures/hand-source.ts';
import {type HandWorker, StaleChunkState, sideOf} from '../fixtures/hand-worker.ts';

const TASKS = [{name: 'count', options: {}}];

function setUp(options: Partial<PoolOptions> = {}, kind: PoolWorker['kind'] = 'thread', together = 4) {
	const [clock, listener, source] = [new HandClock(), new HandListener(), new HandSource(kind)];
	const slots = new Slots(options.workers ?? HAND_POOL_OPTIONS.workers, clock);
	const received: unknown[] = [];
	const receive = (_: Slot, message: unknown) => void received.push(message);
	const lifecycle = new WorkerLifecycle({[kind]: source.make}, {...HAND_POOL_OPTIONS, ...options}, listener, slots, clock, receive, together);
	const turn = async () => {
		for (let turns = 0; turns < 3; turns++) await clock.nextTurn();
	};
	const slotOf = (worker: number): Slot => [...slots.all].find(slot => slot.worker === source.workers[worker]) as Slot;
	/** Starts all workers; each loads the tasks. */
	const open = async (): Promise<void> => {
		const started = lifecycle.start(kind, options.workers ?? HAND_POOL_OPTIONS.workers);
		for (const {load} of source.workers) load?.resolve({tasks: TASKS});
		await started;
		await turn();
		listener.calls.splice(0);
	};
	const add = (slot: Slot, group: ClaimedGroup): InFlightChunk => {
		const chunk = new InFlightChunk(slot.chunks.length, slot.worker, group, listener, clock);
		slots.assign(slot, chunk);
		if (slot.phase !== 'loading') chunk.send();
		return chunk;
	};
	/** Gives the worker jobs, of which the first runs. */
	const give = (worker: number, jobs = 1): InFlightChunk => {
		const chunk = add(slotOf(worker), claimedGroup(jobs));
		sideOf(chunk).start(0, clock.steadyMs());
		return chunk;
	};
	const losses = () => listener.calls.filter(([name]) => name === 'lost').map(([, loss]) => loss);
	const typesOf = (worker: number) => (source.workers[worker] as HandWorker).requests.map(({type}) => type);
	return {add, clock, give, lifecycle, listener, losses, open, received, slotOf, slots, source, turn, typesOf};
}

// Starting

test('all workers load the tasks; the pool has started with the first that has, and chunks that came before are sent then', async t => {
	const {lifecycle, source, received, slotOf, slots, listener, turn, typesOf, add} = setUp({openJobs: '/open', nice: 3});
	const started = lifecycle.start('thread', 2);
	t.is(slots.all.size, 2);
	const [first, second] = source.workers as [HandWorker, HandWorker];
	t.deepEqual(second.requests, [{...HAND_POOL_OPTIONS, type: 'load', worker: 1, nice: 3, openJobs: '/open'}]);
	add(slotOf(1), claimedGroup(1));
	second.load?.resolve({tasks: TASKS});
	t.deepEqual(await started, TASKS);
	t.deepEqual([slotOf(0).phase, slotOf(1).phase], ['loading', 'ready']);
	t.deepEqual(typesOf(1), ['load', 'chunk']);
	t.deepEqual(listener.calls, [['freed']]);
	first.load?.resolve({tasks: []});
	await turn();
	t.is(slotOf(0).phase, 'ready');
	source.say(first, 'hello');
	t.deepEqual(received, ['hello']);
	t.is(slots.addable('thread'), 0);
	t.is(lifecycle.add('thread'), undefined);
});

test('at most so many workers load at the same time; each that has loaded makes room for the next', async t => {
	const {lifecycle, source, turn} = setUp({workers: 5}, 'thread', 2);
	const started = lifecycle.start('thread', 5);
	t.is(source.workers.length, 2);
	source.workers[1]?.load?.resolve({tasks: TASKS});
	t.deepEqual(await started, TASKS);
	await turn();
	t.is(source.workers.length, 3);
	for (const loaded of [0, 2, 3, 4]) {
		source.workers[loaded]?.load?.resolve({tasks: TASKS});
		await turn();
	}
	t.is(source.workers.length, 5);
});

test('a load that takes more than a second holds up no other', async t => {
	const {lifecycle, source, clock} = setUp({workers: 4}, 'thread', 2);
	void lifecycle.start('thread', 4).catch(() => undefined);
	await clock.advance(999);
	t.is(source.workers.length, 2);
	await clock.advance(1);
	t.is(source.workers.length, 4);
	void lifecycle.close();
});

test('further workers start only when one is needed, at most so many', async t => {
	const {lifecycle, source, slots} = setUp();
	t.deepEqual([source.workers.length, slots.addable('thread')], [0, 2]);
	const slot = lifecycle.add('thread');
	t.is(slot?.worker, source.workers[0]);
	t.deepEqual([slots.addable('thread'), slots.all.size], [1, 1]);
	lifecycle.add('thread');
	t.deepEqual([slots.addable('thread'), lifecycle.add('thread')], [0, undefined]);
	t.is(source.workers.length, 2);
});

test('a kind of worker of which one is needed has started when that is ready', async t => {
	const {lifecycle, source} = setUp();
	let hasStarted = false;
	const started = lifecycle.start('thread', 1).then(() => {
		hasStarted = true;
	});
	await new Promise(resolve => setImmediate(resolve));
	t.deepEqual([source.workers.length, hasStarted], [1, false]);
	source.workers[0]?.load?.resolve({tasks: TASKS});
	await started;
	const failing = setUp();
	const refused = failing.lifecycle.start('thread', 1);
	failing.source.workers[0]?.load?.resolve({error: toEnvelope(new FaenaError('SetupFailed', 'no model'))});
	await t.throwsAsync(refused, {code: 'SetupFailed', message: 'no model'});
});

test('a worker that loads or sets up for ten seconds is reported, once; one that has ended by then is not', async t => {
	const {lifecycle, source, listener, slotOf, clock, turn} = setUp({workers: 1});
	const told = () => listener.calls.splice(0).filter(([name]) => name === 'startsSlowly');
	void lifecycle.start('thread', 1);
	await clock.advance(9999);
	t.deepEqual(told(), []);
	await clock.advance(1);
	t.deepEqual(told(), [['startsSlowly', {kind: 'thread', durationMs: 10_000}]]);
	source.workers[0]?.load?.resolve({tasks: TASKS});
	await turn();
	t.is(slotOf(0).endPreparing, undefined);
	lifecycle.setUp(slotOf(0), {type: 'setup', worker: 0, task: 'count'});
	await clock.advance(5000);
	lifecycle.setUp(slotOf(0), {type: 'setup', worker: 9});
	lifecycle.setUp(slotOf(0), {type: 'setup', worker: 9, task: 'other'});
	await clock.advance(5000);
	t.deepEqual(told(), [['startsSlowly', {kind: 'thread', task: 'count', durationMs: 10_000}]]);
	lifecycle.setUp(slotOf(0), {type: 'setup', worker: 0, task: 'count'});
	lifecycle.setUp(slotOf(0), {type: 'setup', worker: 0});
	lifecycle.setUp(slotOf(0), {type: 'setup', worker: 0, task: 'a'});
	await clock.advance(5000);
	lifecycle.setUp(slotOf(0), {type: 'setup', worker: 0, task: 'b'});
	await clock.advance(9999);
	t.deepEqual(told(), []);
	lifecycle.setUp(slotOf(0), {type: 'setup', worker: 0});
	await clock.advance(9999);
	t.deepEqual(told(), []);
});

test('a worker that can not load the tasks is ended after a second, reported as not ready, and replaced', async t => {
	const {lifecycle, source, slotOf, clock, losses, listener} = setUp({workers: 1});
	const started = lifecycle.start('thread', 1);
	const [worker] = source.workers as [HandWorker];
	worker.load?.resolve({error: toEnvelope(new FaenaError('BadTasksModule', 'It is broken.'))});
	await t.throwsAsync(started, {code: 'BadTasksModule', message: 'It is broken.'});
	await clock.advance(999);
	t.deepEqual([worker.ends, slotOf(0).phase], [0, 'loading']);
	await clock.advance(1);
	t.deepEqual([worker.ends, slotOf(0).phase], [1, 'ending']);
	source.lose(worker, {exitCode: 0});
	await clock.nextTurn();
	t.like(losses(), [{kind: 'thread', reason: 'unready', exitCode: 0, error: {message: 'It is broken.'}}]);
	t.is(source.workers.length, 2);
	t.deepEqual(listener.calls.at(-1), ['freed']);
});

test('an answer that comes when the worker is being ended changes nothing', async t => {
	const {lifecycle, source, slotOf, turn, listener} = setUp({workers: 1});
	void lifecycle.start('thread', 1);
	lifecycle.end(slotOf(0), 'stopped');
	source.workers[0]?.load?.resolve({tasks: TASKS});
	await turn();
	t.is(slotOf(0).phase, 'ending');
	t.deepEqual(listener.calls, []);
});

test('a request to load that is not answered is that of a worker that ended', async t => {
	const {lifecycle, source, slotOf, turn} = setUp({workers: 1});
	void lifecycle.start('thread', 1);
	source.workers[0]?.load?.reject(new Error('it ended'));
	await turn();
	t.is(slotOf(0).phase, 'loading');
});

const UNLOADABLE: readonly (readonly [ending: WorkerEnd, code: string, message: string])[] = [
	[{exitCode: 3}, 'BadTasksModule', "The tasks module /tasks.js can't be loaded: its worker thread ended with exit code 3."],
	[
		{exitCode: 3, stderr: ' no model \n'},
		'BadTasksModule',
		"The tasks module /tasks.js can't be loaded: its worker thread ended with exit code 3. It said: no model",
	],
	[{exitCode: 1, error: new Error('thrown')}, 'BadTasksModule', "The tasks module /tasks.js can't be loaded: its worker thread ended with exit code 1. thrown"],
	[
		{exitCode: null, error: new Error('no such file')},
		'BadTasksModule',
		"The tasks module /tasks.js can't be loaded: its worker thread could not be started (no such file).",
	],
	[
		{exitCode: 1, isOutOfMemory: true, limitBytes: 64 * 1024 ** 2, error: new Error('heap')},
		'BadTasksModule',
		"The tasks module /tasks.js can't be loaded: its worker thread ran out of memory. Its limit was 64 MiB (maxOldGenerationSizeMb).",
	],
	[{exitCode: 1, limitBytes: 5}, 'BadTasksModule', "The tasks module /tasks.js can't be loaded: its worker thread ended with exit code 1."],
	[{exitCode: 1, isOutOfMemory: true}, 'BadTasksModule', "The tasks module /tasks.js can't be loaded: its worker thread ran out of memory."],
	[{exitCode: 9, stderr: 'node: bad option: --nope\n'}, 'BadOption', "open() expects as execArgv options of Node's; a worker thread said: bad option: --nope"],
	[{exitCode: 1, error: new FaenaError('SetupFailed', 'no model')}, 'SetupFailed', 'no model'],
];

for (const [ending, code, message] of UNLOADABLE) {
	test(`a worker that ends while it loads fails the start: ${message}`, async t => {
		const {lifecycle, source, clock, losses, slots} = setUp({workers: 1});
		const started = lifecycle.start('thread', 1);
		source.lose(source.workers[0] as HandWorker, ending);
		await t.throwsAsync(started, {code, message});
		await clock.advance(999);
		t.deepEqual([losses(), source.workers.length], [[], 1]);
		await clock.advance(1);
		t.like(losses(), [{reason: 'unready', error: {message}}]);
		t.deepEqual([source.workers.length, slots.all.size], [2, 1]);
	});
}

// Ending

const DUE: Readonly<Record<string, readonly [recycle: Partial<PoolOptions['recycle']>, isDue: boolean]>> = {
	'as many jobs as it may have': [{jobs: 3}, true],
	'fewer jobs than it may have': [{jobs: 4}, false],
	'the age that it may have': [{ageMs: 5000}, true],
	'less than the age that it may have': [{ageMs: 5001}, false],
	'the memory that it may use': [{memoryBytes: 100}, true],
	'less than the memory that it may use': [{memoryBytes: 101}, false],
};

for (const [what, [recycle, isDue]] of Object.entries(DUE)) {
	test(`a worker that has ${what} is ${isDue ? 'replaced' : 'kept'} when its chunks are done`, async t => {
		const {lifecycle, source, open, give, slotOf, clock, turn, losses, typesOf} = setUp({recycle: {...HAND_POOL_OPTIONS.recycle, ...recycle}});
		await open();
		clock.pass(5000);
		const [first, second] = [give(0, 2), give(0, 1)];
		first.confirm({isLast: true});
		lifecycle.retireIfDue(slotOf(0), 100);
		await turn();
		t.deepEqual([slotOf(0).phase, source.workers[0]?.ends], [isDue ? 'retiring' : 'ready', 0]);
		second.confirm({isLast: true});
		lifecycle.retireIfDue(slotOf(0), 0);
		await turn();
		t.is(source.workers[0]?.ends, isDue ? 1 : 0);
		if (!isDue) return;
		t.deepEqual(typesOf(0), ['load', 'chunk', 'chunk', 'teardown']);
		source.lose(source.workers[0] as HandWorker, {exitCode: 0});
		t.deepEqual([source.workers.length, losses()], [3, []]);
	});
}

test('a worker that is being ended does not retire', async t => {
	const {lifecycle, open, slotOf, turn, typesOf} = setUp({recycle: {...HAND_POOL_OPTIONS.recycle, jobs: 0}});
	await open();
	slotOf(0).phase = 'ending';
	lifecycle.retireIfDue(slotOf(0), 0);
	await turn();
	t.deepEqual([slotOf(0).phase, typesOf(0)], ['ending', ['load']]);
});

test('a teardown has the grace, and may fail', async t => {
	for (const [answer, endsEarly] of [
		[() => new Promise<undefined>(() => undefined), false],
		[() => Promise.reject(new Error('it ended')), true],
	] as const) {
		const {lifecycle, open, slotOf, turn, clock, source} = setUp({recycle: {...HAND_POOL_OPTIONS.recycle, jobs: 0}});
		await open();
		const [worker] = source.workers as [HandWorker];
		worker.answer = answer;
		lifecycle.retireIfDue(slotOf(0), 0);
		await clock.advance(199);
		await turn();
		const early = worker.ends;
		await clock.advance(1);
		await turn();
		t.deepEqual([early, worker.ends], [endsEarly ? 1 : 0, 1]);
	}
});

test('before a worker is ended the jobs that wait in it go back; those that run get their outcome when it is gone', async t => {
	const {lifecycle, open, give, slotOf, source, listener, losses} = setUp();
	await open();
	give(0, 3);
	lifecycle.end(slotOf(0), 'blocked');
	t.deepEqual(listener.takeSettled(), [
		[2, 'released'],
		[3, 'released'],
	]);
	lifecycle.end(slotOf(0), 'stopped');
	t.is(source.workers[0]?.ends, 1);
	t.is(slotOf(0).phase, 'ending');
	source.lose(source.workers[0] as HandWorker, {exitCode: null, signal: 'SIGKILL'});
	t.deepEqual(listener.takeSettled(), [[1, 'released']]);
	t.deepEqual(losses(), [{kind: 'thread', reason: 'blocked', signal: 'SIGKILL', jobId: 1}]);
});

test('the loss of a worker that ended by itself is reported with how it ended, and which job ran', async t => {
	const cases = [
		[{exitCode: 0}, {reason: 'ended', exitCode: 0}],
		[
			{exitCode: 134, isOutOfMemory: true, leavesProcesses: true},
			{reason: 'outOfMemory', exitCode: 134, leavesProcesses: true},
		],
		[
			{exitCode: null, signal: 'SIGSEGV', leavesProcesses: false},
			{reason: 'ended', signal: 'SIGSEGV'},
		],
	] as const satisfies [WorkerEnd, object][];
	for (const [ending, loss] of cases) {
		const {open, give, source, losses, slots, listener} = setUp();
		await open();
		give(0);
		source.lose(source.workers[0] as HandWorker, ending);
		t.deepEqual(losses(), [{kind: 'thread', ...loss, jobId: 1}]);
		t.deepEqual(listener.takeSettled(), [[1, 'lostWorker']]);
		t.deepEqual([source.workers.length, slots.all.size], [3, 2]);
		t.deepEqual(listener.calls.at(-1), ['freed']);
		source.lose(source.workers[0] as HandWorker, ending);
		t.is(losses().length, 1);
	}
	const {open, source, losses} = setUp();
	await open();
	source.lose(source.workers[1] as HandWorker);
	t.deepEqual(losses(), [{kind: 'thread', reason: 'ended', exitCode: 1}]);
});

test('a worker that is gone takes no more jobs, also while its jobs get their outcomes, and is not reported as starting slowly', async t => {
	const {lifecycle, open, give, source, slots, slotOf, listener, clock} = setUp();
	await open();
	lifecycle.setUp(slotOf(0), {type: 'setup', worker: 0, task: 'count'});
	give(0);
	const idle: number[] = [];
	listener.ended = () => void idle.push(slots.capacity('thread').idle);
	source.lose(source.workers[0] as HandWorker);
	t.deepEqual(idle, [1]);
	listener.calls.splice(0);
	source.workers[2]?.load?.resolve({tasks: TASKS});
	await clock.nextTurn();
	await clock.advance(10_000);
	t.deepEqual(
		listener.calls.filter(([name]) => name === 'startsSlowly'),
		[],
	);
});

test('the running jobs of a lost worker are looked up at the last moment', async t => {
	const {open, slotOf, source, losses, listener, add} = setUp();
	await open();
	const [worker] = source.workers as [HandWorker];
	worker.chunkState = jobs => new StaleChunkState(StaleChunkState.create(jobs).buffer);
	add(slotOf(0), claimedGroup(2));
	const [chunk] = slotOf(0).chunks as [InFlightChunk];
	sideOf(chunk).start(0, 1000);
	t.is(chunk.running(), undefined);
	source.lose(worker);
	t.like(losses(), [{jobId: 1}]);
	t.deepEqual(listener.takeSettled(), [
		[1, 'lostWorker'],
		[2, 'released'],
	]);
});

test('a worker that was ended for its silence is charged to the job that ended without a report', async t => {
	for (const [reason, type] of [
		['blocked', 'lostWorker'],
		['stopped', 'released'],
	] as const) {
		const {lifecycle, open, give, slotOf, source, listener} = setUp();
		await open();
		sideOf(give(0)).finish(0);
		lifecycle.end(slotOf(0), reason);
		source.lose(source.workers[0] as HandWorker, {exitCode: null, signal: 'SIGKILL'});
		t.deepEqual(listener.takeSettled(), [[1, type]]);
	}
});

test('a worker beyond those that the pool has at least is not replaced, and may be added again', async t => {
	const {lifecycle, slots, source, turn} = setUp({workers: 1});
	lifecycle.add('thread');
	const [worker] = source.workers as [HandWorker];
	worker.load?.resolve({tasks: TASKS});
	await turn();
	source.lose(worker);
	t.deepEqual([source.workers.length, slots.addable('thread')], [1, 1]);
});

test('a worker that is seen to fail gets nothing more; one that loads is left to its end', async t => {
	const {source, open, slotOf} = setUp();
	await open();
	source.fail(source.workers[0] as HandWorker);
	t.is(slotOf(0).phase, 'ending');
	const loading = setUp();
	void loading.lifecycle.start('thread', 2);
	loading.source.fail(loading.source.workers[0] as HandWorker);
	t.is(loading.slotOf(0).phase, 'loading');
});

test('a worker that broke before it reported or started any job accuses its first chunk; one that has done so does not', async t => {
	const suspicionsOf = async (prepare: (own: ReturnType<typeof setUp>) => void) => {
		const own = setUp();
		await own.open();
		own.add(own.slotOf(0), claimedGroup(2));
		prepare(own);
		own.source.lose(own.source.workers[0] as HandWorker, {exitCode: 70});
		return own.listener.settled.map(([, outcome]) => ('suspicion' in outcome ? outcome.suspicion : undefined));
	};
	t.true((await suspicionsOf(() => undefined)).every(Boolean));
	t.deepEqual(
		await suspicionsOf(({slotOf}) => {
			slotOf(0).hasReported = true;
		}),
		[undefined, undefined],
	);
	const behind = await suspicionsOf(({add, slotOf}) => {
		sideOf(slotOf(0).chunks[0] as InFlightChunk).start(0, 1000);
		add(slotOf(0), claimedGroup(1, {ids: 9}));
	});
	t.deepEqual(behind.map(Boolean), [true, false, false]);
});

test('a caller can not be ended: its job goes on, unless it is blocked, broken or interrupted; then its chunks are settled', async t => {
	for (const [reason, intent, isAbandoned] of [
		['stopped', 'run', false],
		['stopped', 'interrupted', true],
		['blocked', 'run', true],
		['broken', 'run', true],
	] as const) {
		const {lifecycle, open, give, slotOf, listener, losses} = setUp({}, 'caller');
		await open();
		const chunk = give(0, 2);
		chunk.intent = intent;
		lifecycle.end(slotOf(0), reason);
		t.deepEqual(
			listener.takeSettled(),
			isAbandoned
				? [
						[2, 'released'],
						[1, 'lostWorker'],
					]
				: [],
		);
		t.is(slotOf(0).chunks.length, isAbandoned ? 0 : 1);
		t.deepEqual(
			listener.calls.filter(([name]) => name === 'freed'),
			isAbandoned ? [['freed']] : [],
		);
		t.deepEqual([slotOf(0).phase, losses()], ['ready', []]);
	}
});

// Closing

test('a close tears idle workers down, ends all, and settles their jobs; none is reported as lost, and none replaced', async t => {
	const {lifecycle, open, give, source, listener, slots, typesOf, losses} = setUp({workers: 3});
	await open();
	give(1);
	source.lose(source.workers[2] as HandWorker, {exitCode: 1});
	listener.calls.splice(0);
	source.workers[3]?.load?.resolve({tasks: TASKS});
	await new Promise(resolve => setImmediate(resolve));
	const closed = lifecycle.close();
	await closed;
	t.deepEqual(
		[typesOf(0), typesOf(1), typesOf(3)],
		[
			['load', 'teardown'],
			['load', 'chunk'],
			['load', 'teardown'],
		],
	);
	t.true(source.hasEnded);
	t.deepEqual([slots.all.size, source.workers.length, losses()], [0, 4, []]);
	t.deepEqual(listener.takeSettled(), [[1, 'released']]);
});

test('a close settles the remaining jobs only when all workers are gone', async t => {
	const {lifecycle, open, give, source, listener, turn} = setUp();
	await open();
	give(0);
	const {promise, resolve} = Promise.withResolvers<void>();
	for (const worker of source.workers) worker.ending = promise;
	const closed = lifecycle.close();
	await turn();
	t.true(source.hasEnded);
	t.deepEqual(listener.settled, []);
	resolve();
	await closed;
	t.deepEqual(listener.takeSettled(), [[1, 'released']]);
});

test('a start that a close interrupts fails', async t => {
	const {lifecycle} = setUp();
	const started = lifecycle.start('thread', 2);
	void lifecycle.close();
	await t.throwsAsync(started, {code: 'Closed', message: 'The pool was closed while it loaded its tasks.'});
});

test('a close gives a thread that loads the grace for that, since its end could take the process along; a process it does not', async t => {
	for (const kind of ['thread', 'process'] as const) {
		const {lifecycle, source, clock, turn} = setUp({}, kind);
		lifecycle.start(kind, 2).catch(() => undefined);
		const closed = lifecycle.close();
		await turn();
		t.is(source.hasEnded, kind === 'process');
		await clock.advance(199);
		t.is(source.hasEnded, kind === 'process');
		await clock.advance(1);
		await turn();
		t.true(source.hasEnded);
		await closed;
	}
	const {lifecycle, source, turn} = setUp();
	lifecycle.start('thread', 2).catch(() => undefined);
	const closed = lifecycle.close();
	for (const {load} of source.workers) load?.resolve({tasks: TASKS});
	await turn();
	t.true(source.hasEnded);
	await closed;
});
