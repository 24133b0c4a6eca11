import {existsSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {threadId} from 'node:worker_threads';
import type {ExecutionContext} from 'ava';
import {type Engine, FaenaError, type OpenOptions, open} from '../../lib/index.ts';
import {test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {Program} from '../fixtures/program.ts';

type Tasks = typeof import('../fixtures/isolated-tasks.ts');

async function openIsolated(t: ExecutionContext, options: Partial<OpenOptions>): Promise<Engine<Tasks>> {
	t.timeout(60_000);
	const tasks = new URL('../fixtures/isolated-tasks.ts', import.meta.url);
	const faena = await open<Tasks>({queue: join(makeFolder(t), 'jobs.db'), tasks, workers: 2, grace: 50, ...options});
	t.teardown(() => faena.close({drain: 0}));
	return faena;
}

test('by default tasks run in threads of this process, and in none of the caller', async t => {
	const faena = await openIsolated(t, {});
	const place = await faena.call('where');
	t.is(place.pid, process.pid);
	t.not(place.threadId, threadId);
});

test('under isolation process tasks run in other processes', async t => {
	const faena = await openIsolated(t, {isolation: 'process'});
	t.not((await faena.call('where')).pid, process.pid);
	t.not((await faena.call('whereInProcess')).pid, process.pid);
});

test('a task may choose its isolation for itself', async t => {
	const threads = await openIsolated(t, {isolation: 'thread'});
	t.is((await threads.call('where')).pid, process.pid);
	t.not((await threads.call('whereInProcess')).pid, process.pid);
	const processes = await openIsolated(t, {isolation: 'process'});
	t.is((await processes.call('whereInThread')).pid, process.pid);
});

test('under isolation inline tasks run in the caller, whose modules they share', async t => {
	const faena = await openIsolated(t, {isolation: 'inline'});
	t.deepEqual(await faena.call('where'), {pid: process.pid, threadId});
	const {countCalls} = await import('../fixtures/isolated-tasks.ts');
	const before = countCalls();
	t.is(await faena.call('countCalls'), before + 1);
});

test('threads and processes share one budget of slots', async t => {
	const file = join(makeFolder(t), 'order');
	const faena = await openIsolated(t, {workers: 2});
	for (let pair = 0; pair < 20; pair++) {
		await faena.enqueue('overlap', file);
		await faena.enqueue('overlapInProcess', file);
	}
	await faena.idle();
	let running = 0;
	let most = 0;
	for (const mark of readFileSync(file, 'utf8')) {
		running += mark === '+' ? 1 : -1;
		most = Math.max(most, running);
	}
	t.is(running, 0);
	t.is(most, 2);
});

for (const [task, signal] of [
	['abort', 'SIGABRT'],
	['segfault', 'SIGSEGV'],
] as const) {
	test(`a native crash (${signal}) in a process fails its job alone, which says so`, async t => {
		const faena = await openIsolated(t, {isolation: 'process', workers: 1, defaults: {maxAttempts: 1}});
		const {ids} = await faena.enqueueMany('countCalls', Array(20).fill(undefined));
		const job = await faena.enqueue(task, null);
		const after = await faena.enqueueMany('countCalls', Array(20).fill(undefined));
		const outcome = await job.outcome();
		t.is(outcome.status, 'dead');
		if (outcome.status === 'dead')
			t.like(outcome.error, {reason: 'lostWorker', signal, message: `The worker process was ended by ${signal} while it ran this job.`});
		await faena.idle();
		const others = await faena.jobs({ids: [...ids, ...after.ids]}).page();
		t.true(others.every(({status, attempts}) => status === 'completed' && attempts === 0));
	});
}

for (const [what, ...call] of [
	['computes for ever', 'busy'],
	...['closes stdin', 'reads stdin as a stream', 'leaves process.send() no channel'].map(trick => [trick, 'playAndLoop', trick]),
] as [string, ...string[]][]) {
	test(`no child process survives its parent, not even one that ${what}`, async t => {
		const program = new Program(t, 'isolated', join(makeFolder(t), 'jobs.db'), 'process', ...call);
		t.timeout(60_000);
		const child = Number(await program.line());
		t.true(isAlive(child));
		await program.kill('SIGKILL');
		const killedAt = computedMs(child);
		while (isAlive(child)) {
			if (computedMs(child) - killedAt > 1000) return t.fail('The child outlived its parent by a second.');
			await new Promise(resolve => setTimeout(resolve, 5));
		}
		t.pass();
	});
}

test('a job of a program that was killed runs again only when none of its child processes can still be at it', async t => {
	t.timeout(60_000);
	const queue = join(makeFolder(t), 'jobs.db');
	const program = new Program(t, 'isolated', queue, 'process', 'busy');
	const child = Number(await program.line());
	// As a child that gets no processor time would, it does not notice yet that it is an orphan.
	process.kill(child, 'SIGSTOP');
	await program.kill('SIGKILL');
	const witness = new Program(t, 'isolated', queue, 'thread', 'busy');
	await witness.line();
	await witness.kill('SIGKILL');
	// However slow this machine is, no owner here is silent past its lease.
	const faena = await openIsolated(t, {queue, workers: 2, grace: 20, lease: '1h'});
	const [first, second] = (await faena.jobs().page()).map(({id}) => id);
	const runsAgain = async (id: number | undefined) => {
		while ((await faena.job(id as number).info())?.executions !== 2) await new Promise(resolve => setTimeout(resolve, 5));
	};
	await runsAgain(second);
	t.like(await faena.job(first as number).info(), {status: 'running', executions: 1});
	process.kill(child, 'SIGCONT');
	await runsAgain(first);
	t.false(isAlive(child));
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
	test(`a child process ignores ${signal}, which a terminal or a service manager sends to all of them`, async t => {
		const faena = await openIsolated(t, {isolation: 'process', workers: 1});
		const {pid} = await faena.call('where');
		process.kill(pid, signal);
		t.is((await faena.call('where')).pid, pid);
	});
}

for (const task of ['print', 'writePastStdout']) {
	test(`a task's output in a child process goes to stderr if an option asks for it (${task})`, async t => {
		t.timeout(60_000);
		const program = new Program(t, 'isolated', join(makeFolder(t), 'jobs.db'), 'process', task, 'hello from afar');
		t.deepEqual(await program.lines(), ['completed']);
		t.regex((await program.ended()).stderr, /hello from afar/);
	});
}

test('an isolation that there is not is refused', async t => {
	const error = await t.throwsAsync(openIsolated(t, {isolation: 'fork' as never}), {instanceOf: FaenaError, code: 'BadOption'});
	t.is(error?.message, 'open() expects as isolation "thread" or "process" or "inline"; it got "fork".');
});

/**
 * How long a process has computed, so that a busy machine, which keeps it from computing and from ending, makes no difference;
 * where the system doesn't tell, the time.
 */
function computedMs(pid: number): number {
	if (!existsSync('/proc/self/stat')) return performance.now();
	try {
		const [, rest = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ');
		const [user, system] = rest.split(' ').slice(11);
		return 10 * (Number(user) + Number(system));
	} catch {
		return 0; // It is gone.
	}
}

/** A process that has ended stays in the table until its parent asks for its exit code, which an orphan's new parent may never do. */
function isAlive(pid: number): boolean {
	try {
		process.kill(pid, 0);
		return !existsSync('/proc/self/stat') || !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
	} catch {
		return false;
	}
}
