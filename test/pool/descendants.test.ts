import {type ChildProcess, spawn} from 'node:child_process';
import {once} from 'node:events';
import {readdirSync} from 'node:fs';
import type {ExecutionContext} from 'ava';
import test from 'ava';
import {warn} from '../../lib/api/events.ts';
import {Descendants} from '../../lib/spawner/descendants.ts';
import {
	asWorkerThread,
	openProcessTable,
	ownThread,
	type ProcessState,
	type ProcessTable,
	ProcTable,
	PsTable,
	WORKER_ENV,
} from '../../lib/spawner/process-table.ts';
import {areAlive, countAlive, endAll, makeToken, statesOf} from '../fixtures/processes.ts';

/** A process that starts others, and is no worker. */
function start(t: ExecutionContext, script: string, token: string, mark = ''): ChildProcess {
	const child = spawn('sh', ['-c', script, token], {stdio: 'ignore', env: {...process.env, [WORKER_ENV]: mark}});
	t.teardown(() => endAll(token));
	return child;
}

const TABLES: Readonly<Record<string, () => ProcessTable>> =
	process.platform === 'linux'
		? {'/proc': () => new ProcTable(), '/proc of a container': () => new ProcTable(() => 1000), ps: () => new PsTable()}
		: {ps: () => new PsTable()};

for (const [name, open] of Object.entries(TABLES)) {
	test.serial(`by ${name}: all that descends from a process is stopped and killed, and the process itself is not`, async t => {
		const token = makeToken();
		const root = start(t, `sh -c 'sleep ${token} & sleep ${token}' & sh -c "trap '' TERM; sleep ${token}; sleep ${token}" & wait; exit 7`, token);
		await areAlive(token, 6);
		const ended = once(root, 'exit');
		t.true(await new Descendants({pid: root.pid as number}, open()).end());
		t.deepEqual(await ended, [7, null]);
		t.is(countAlive(token), 0);
	});

	test.serial(`by ${name}: all processes of a session are killed, and those of others live on`, async t => {
		const [token, other] = [makeToken(), makeToken()];
		start(t, `sleep ${other}; true`, other);
		const leader = spawn('sh', ['-c', `sleep ${token} & sh -c 'sleep ${token}; true'; true`], {detached: true, stdio: 'ignore'});
		t.teardown(() => endAll(token));
		await Promise.all([areAlive(token, 4), areAlive(other, 2)]);
		const sessions = new Set([leader.pid as number]);
		t.true(await new Descendants({pid: process.pid, thread: 0, sessions}, open()).end());
		t.is(countAlive(token), 0);
		t.is(countAlive(other), 2);
	});

	test.serial(`by ${name}: a stopped process starts no other until it is killed`, async t => {
		const token = makeToken();
		const {pid = 0} = start(t, `sh -c 'while :; do sleep 0.001; done' ${token}; true`, token);
		await areAlive(token, 2);
		const descendants = new Descendants({pid}, open());
		await descendants.stop();
		// D waits for a child that is stopped.
		for (const state of statesOf(token).slice(1)) t.regex(state, /^[TD]/);
		descendants.kill();
		t.true(await descendants.end());
	});

	test.serial(`by ${name}: a process whose number was another's before is not killed`, async t => {
		const token = makeToken();
		const {pid: parent = 0} = start(t, `sleep ${token}; true`, token);
		await areAlive(token, 2);
		const table = open();
		let isRecycled = false;
		const lying: ProcessTable = {
			birthToleranceMs: table.birthToleranceMs,
			refresh: () => table.refresh(),
			childrenOf: each => table.childrenOf(each),
			marked: (...args) => table.marked(...args),
			inSessions: (...args) => table.inSessions(...args),
			markedSessions: mark => table.markedSessions(mark),
			momentAgo: elapsedMs => table.momentAgo(elapsedMs),
			stateOf(pid) {
				const state = table.stateOf(pid);
				return state && {...state, bornAt: state.bornAt + (isRecycled ? 1 : 0)};
			},
		};
		const descendants = new Descendants({pid: parent}, lying);
		await descendants.stop();
		isRecycled = true;
		descendants.kill();
		isRecycled = false;
		t.is(countAlive(token), 2);
		t.true(await descendants.end());
	});

	test.serial(`by ${name}: a process is born between the moments that are asked for before and after its start`, async t => {
		const table = open();
		await table.refresh();
		const before = table.momentAgo(() => 0);
		const token = makeToken();
		const child = start(t, `sleep ${token}; true`, token);
		await once(child, 'spawn');
		await table.refresh();
		const bornAt = table.stateOf(child.pid as number)?.bornAt ?? Number.NaN;
		t.true(before <= bornAt);
		t.true(bornAt >= table.momentAgo(() => 60_000));
		t.true(bornAt <= table.momentAgo(() => -60_000));
	});

	test.serial(`by ${name}: a moment that lies some time ago is not taken for a later one by a thread that has to wait meanwhile`, async t => {
		const table = open();
		await table.refresh();
		const since = performance.now();
		const before = table.momentAgo(() => 0);
		const waitAndTell = () => {
			while (performance.now() - since < 1100);
			return performance.now() - since;
		};
		t.true(table.momentAgo(waitAndTell) <= before);
	});
}

test('however many processes descend, and however fast new ones come, the search ends, and says that it was in vain', async t => {
	const state: ProcessState = {bornAt: 0, isStopped: false, isDead: false};
	// Numbers that no process can have.
	let last = 2 ** 40;
	const bomb: ProcessTable = {
		birthToleranceMs: 0,
		refresh: async () => undefined,
		stateOf: () => state,
		childrenOf: () => [++last, ++last],
		marked: async () => ({pids: [++last], areAll: true}),
		inSessions: async () => ({pids: [], areAll: true}),
		markedSessions: async () => new Set(),
		momentAgo: () => 0,
	};
	let turns = 0;
	const timer = setInterval(() => turns++, 1);
	t.false(await new Descendants({pid: process.pid, mark: 'any'}, bomb).end());
	clearInterval(timer);
	t.true(turns > 10);
});

test.serial('as long as a process ends before it can be looked at, the search by the mark goes on, since that may have started another', async t => {
	const token = makeToken();
	const {pid = 0} = start(t, `exec sleep ${token}`, token);
	await areAlive(token, 1);
	const answers = [
		{pids: [], areAll: false},
		{pids: [pid], areAll: true},
	];
	const table = Object.assign(openProcessTable(), {marked: async () => answers.shift() ?? {pids: [], areAll: true}});
	t.true(await new Descendants({pid: process.pid, thread: 0, mark: 'any'}, table).end());
	t.is(countAlive(token), 0);
});

test.serial('a search by the mark that is never sure ends, and says so', async t => {
	const table = Object.assign(openProcessTable(), {marked: async () => ({pids: [], areAll: false})});
	t.false(await new Descendants({pid: process.pid, thread: 0, mark: 'any'}, table).end());
});

test.serial('processes that may still live are reported, by a warning if there is no listener', async t => {
	const warned = once(process, 'warning');
	warn('workerLost', {kind: 'thread', reason: 'stopped', leavesProcesses: true});
	t.like((await warned)[0], {
		name: 'FaenaWarning',
		message: 'Processes that tasks of a worker thread have started may still live: Faena could not find or kill them all. End them yourself.',
	});
});

if (process.platform === 'linux') {
	test.serial('a process that lost its parent is found by its mark, unless it has left its session', async t => {
		const [token, gone, mark] = [makeToken(), makeToken(), `mark-${process.pid}`];
		t.teardown(() => endAll(gone));
		await once(start(t, `sleep ${token} & setsid sleep ${gone} &`, makeToken(), mark), 'exit');
		await Promise.all([areAlive(token, 1), areAlive(gone, 1)]);
		t.true(await Descendants.endOrphans(`${mark}0`));
		t.true(await Descendants.endOrphans(mark.slice(1)));
		t.deepEqual([token, gone].map(countAlive), [1, 1]);
		t.true(await Descendants.endOrphans(mark));
		t.deepEqual([token, gone].map(countAlive), [0, 1]);
	});

	test.serial('a process that is between two programs, and so shows no mark, is looked at again; one without an environment is not', async t => {
		const token = makeToken();
		const {pid = 0} = start(t, `exec env -i sleep ${token}`, token);
		await areAlive(token, 1);
		const table = new ProcTable();
		const state = table.stateOf(pid);
		t.is(state?.isStarting, false);
		const others = new Set(
			readdirSync('/proc')
				.map(Number)
				.filter(each => each !== pid),
		);
		const look = (isStarting: boolean) => {
			const seen = new Set(others);
			const own = Object.assign(new ProcTable(), {stateOf: (each: number) => (each === pid ? {...state, isStarting} : table.stateOf(each))});
			return own.marked('any', seen).then(({areAll}) => ({areAll, isSeen: seen.has(pid)}));
		};
		t.deepEqual(await look(true), {areAll: false, isSeen: false});
		t.deepEqual(await look(false), {areAll: true, isSeen: true});
	});

	test('a worker thread is believed to be another thread of this process, and nothing else', t => {
		for (const claimed of [process.pid, ownThread(), 0, -1, 1, 1.5, Number.NaN, 2 ** 40]) t.is(asWorkerThread(claimed), 0, String(claimed));
		t.true(openProcessTable() instanceof ProcTable);
	});
}
