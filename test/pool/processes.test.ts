import {existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import test from 'ava';
import type {EndedGroup} from '../../lib/job/groups/group.ts';
import type {PoolOptions} from '../../lib/job/options.ts';
import {processSource} from '../../lib/pool/processes/processes.ts';
import {WorkerPool} from '../../lib/pool/worker-pool.ts';
import {appears} from '../fixtures/appears.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {ENDS, TRICKS} from '../fixtures/process-tasks.ts';
import {Crew, exercisePool, type MakePool} from './contract.ts';

const processPool: MakePool = (options, listener) => new WorkerPool({process: processSource(options)}, options, listener);

exercisePool('processes', processPool);

async function loadCrew(t: ExecutionContext, options: Partial<PoolOptions> = {}): Promise<Crew> {
	t.timeout(60_000);
	const crew = new Crew(t, processPool);
	await crew.load({workers: 1, graceMs: 50, tasks: new URL('../fixtures/process-tasks.ts', import.meta.url).href, ...options});
	return crew;
}

/** More than any pipe or socket holds. */
const BULK = 3_000_000;

for (const end of Object.keys(ENDS)) {
	test.serial(
		`processes: a large result that was reported counts, though the next job ends the process by ${end}, which is that job's fault alone`,
		async t => {
			const crew = await loadCrew(t);
			const [large, guilty, last] = await crew.give('bulk', [{bytes: BULK}, {end}, {bytes: 1}]);
			t.is((await crew.outcomes([guilty]))[0]?.type, 'lostWorker');
			t.is(((await crew.values([large]))[0] as Uint8Array).length, BULK);
			t.is((await crew.outcomes([last]))[0]?.type, 'released');
		},
	);

	test.serial(`processes: a large result counts, though its own job left ${end} behind`, async t => {
		const crew = await loadCrew(t);
		t.is(((await crew.values(await crew.give('bulkAndEnd', [{bytes: BULK, end}])))[0] as Uint8Array).length, BULK);
	});
}

test.serial('processes: a large checkpoint arrives from a loop that never yields', async t => {
	const crew = await loadCrew(t, {maxCheckpointBytes: 2 * BULK});
	const [id] = await crew.give('checkpointAndLoop', [BULK]);
	const {checkpoint} = await crew.update(({checkpoint: said}) => said !== undefined);
	t.true((checkpoint?.state?.length ?? 0) >= BULK);
	t.is(crew.outcome(id), undefined);
});

test.serial('processes: a flood of log lines from a loop that never yields holds nothing back that follows', async t => {
	const crew = await loadCrew(t);
	await crew.give('flood', [10_000]);
	t.is((await crew.update(({checkpoint}) => checkpoint !== undefined)).checkpoint?.state, '"said"');
});

for (const trick of Object.keys(TRICKS)) {
	test.serial(`processes: a task that ${trick} and loops is cancelled, and stopped by its timeout`, async t => {
		const crew = await loadCrew(t);
		const [cancelled] = await crew.give('playAndLoop', [trick]);
		await crew.update(({id}) => id === cancelled);
		crew.pool.stop(cancelled as number, 'cancelled');
		t.is((await crew.outcomes([cancelled]))[0]?.type, 'cancelled');
		const [late] = await crew.give('playAndLoop', [trick], {policy: {timeoutMs: 50}});
		t.is((await crew.outcomes([late]))[0]?.type, 'timedOut');
	});
}

test.serial('processes: a task that disconnects its process does not end it under a neighbour that waits for its signal alone', async t => {
	const crew = await loadCrew(t);
	const [, waiting] = await crew.give('cutOffOrWait', [true, false], {policy: {timeoutMs: 300}});
	t.is((await crew.outcomes([waiting]))[0]?.type, 'timedOut');
});

for (const trick of Object.keys(TRICKS).filter(name => !name.includes('SIGSTOP'))) {
	test.serial(`processes: a task that ${trick} takes nothing away from others`, async t => {
		const crew = await loadCrew(t);
		t.deepEqual(await crew.values(await crew.give('play', [trick])), [trick]);
		await crew.unharmed(await crew.give('echo', [1]));
		t.deepEqual(await crew.values(await crew.give('echo', [2])), [2]);
	});
}

test.serial('processes: a task has nothing to read', async t => {
	const crew = await loadCrew(t);
	t.deepEqual(await crew.values(await crew.give('readStdin', [null, null])), ['', '']);
});

for (const megabytes of [0.1, 1, 10]) {
	test.serial(`processes: a value of ${megabytes} MB goes there and back`, async t => {
		const crew = await loadCrew(t);
		const value = new Uint8Array(megabytes * 1e6).fill(5);
		const [back] = await crew.values(await crew.give('echo', [value]));
		t.true(Buffer.from(value).equals(back as Uint8Array));
	});
}

test.serial('a job that does not heed its stop is settled once its process is gone, and not before', async t => {
	t.timeout(60_000);
	const told: boolean[] = [];
	class Watch extends Crew {
		override ended(task: string, groups: readonly EndedGroup[]): void {
			told.push(isThere(Number(this.updates[0]?.logs?.[0]?.text)));
			super.ended(task, groups);
		}
	}
	const crew = new Watch(t, processPool);
	await crew.load({workers: 1, graceMs: 20});
	const [id] = await crew.give('loopAs', [null], {policy: {timeoutMs: 50}});
	t.is((await crew.outcomes([id]))[0]?.type, 'timedOut');
	t.deepEqual(told, [false]);
});

function isThere(pid: number): boolean {
	try {
		return process.kill(pid, 0);
	} catch {
		return false;
	}
}

/** A pool whose first process starts with the first chunk, and loads once there is a file `open` in the folder. */
function loadSlowly(t: ExecutionContext): {readonly crew: Crew; readonly folder: string} {
	t.timeout(60_000);
	const folder = makeFolder(t);
	const crew = new Crew(t, (...args) => {
		const pool = processPool(...args);
		return Object.assign(pool, {load: async () => []});
	});
	void crew.load({tasks: new URL('../fixtures/modules/slow.ts', import.meta.url).href, env: {SLOW_FOLDER: folder}, workers: 1, isolation: 'thread'});
	return {crew, folder};
}

test.serial('processes: jobs are cancelled, released and interrupted at once while their process loads, and the others run', async t => {
	const {crew, folder} = loadSlowly(t);
	const [cancelled, interrupted, other] = crew.giveNow('ran', ['cancelled', 'interrupted', 'other'], {policy: {timeoutMs: 1000}});
	await appears(join(folder, 'waits for open'));
	t.true(crew.pool.stop(cancelled as number, 'cancelled'));
	t.true(crew.pool.stop(interrupted as number, 'interrupted'));
	t.deepEqual([crew.outcome(cancelled), crew.outcome(interrupted)], [{type: 'cancelled'}, {type: 'released'}]);
	for (const file of ['open', 'ready']) writeFileSync(join(folder, file), '');
	await crew.values([other]);
	t.is(readFileSync(join(folder, 'ran'), 'utf8'), 'other\n');
});

test.serial('processes: a process whose jobs are all taken back while it loads leaves its place to others, and is of use later', async t => {
	const {crew, folder} = loadSlowly(t);
	crew.giveNow('ran', ['first', 'second']);
	await appears(join(folder, 'waits for open'));
	void crew.pool.release();
	t.is(crew.pool.size, 0);
	for (const file of ['open', 'ready']) writeFileSync(join(folder, file), '');
	for (const name of ['third', 'fourth', 'fifth']) await crew.values(await crew.give('ran', [name]));
	t.is(readFileSync(join(folder, 'ran'), 'utf8'), 'third\nfourth\nfifth\n');
});

test.serial('processes: a pool is closed while a process loads, and gives its jobs back', async t => {
	const {crew, folder} = loadSlowly(t);
	const [id] = crew.giveNow('ran', ['never']);
	await appears(join(folder, 'waits for open'));
	await crew.pool.close();
	t.deepEqual(crew.outcome(id), {type: 'released'});
	t.false(existsSync(join(folder, 'ran')));
});

test.serial('processes: a setup that takes longer than a worker may be quiet is waited for, and its job may be cancelled meanwhile', async t => {
	const {crew, folder} = loadSlowly(t);
	writeFileSync(join(folder, 'open'), '');
	const [cancelled, other] = crew.giveNow('ran', ['cancelled', 'other']);
	await appears(join(folder, 'waits for ready'));
	crew.pool.stop(cancelled as number, 'cancelled');
	t.deepEqual(await crew.outcomes([cancelled]), [{type: 'cancelled'}]);
	// Longer than what blocks a worker is let be.
	await new Promise(resolve => setTimeout(resolve, 6000));
	writeFileSync(join(folder, 'ready'), '');
	await crew.values([other]);
});

const UNSTARTABLE: Readonly<Record<string, readonly [options: Partial<PoolOptions>, code: string, sentence: RegExp]>> = {
	'an option that Node does not have': [
		{execArgv: ['--no-such-flag']},
		'BadOption',
		/^open\(\) expects as execArgv options of Node's; a worker process said: .*bad option: --no-such-flag$/,
	],
	'more environment than the system takes': [{env: {BULK: 'x'.repeat(3_000_000)}}, 'BadTasksModule', /its worker process could not be started \(spawn E2BIG\)/],
};

for (const [what, [options, code, sentence]] of Object.entries(UNSTARTABLE)) {
	test.serial(`processes: a process that can't be started with ${what} is an error that says so, and leaves nothing behind`, async t => {
		const folder = useTemporary(t);
		const error = await t.throwsAsync(loadCrew(t, options), {code});
		t.regex(error?.message ?? '', sentence);
		t.deepEqual(readdirSync(folder), []);
	});
}

test.serial('processes: the rendezvous folder of a pool and its processes is gone once they have met', async t => {
	const folder = useTemporary(t);
	await loadCrew(t, {workers: 2});
	while (readdirSync(folder).length > 0) await new Promise(resolve => setTimeout(resolve, 5));
	t.pass();
});

test.serial('processes: they meet their pool also where the folder for temporary files lies too deep for a socket', async t => {
	const deep = join(useTemporary(t), 'x'.repeat(120));
	mkdirSync(deep);
	process.env['TMPDIR'] = deep;
	const crew = await loadCrew(t);
	t.is(((await crew.values(await crew.give('bulk', [{bytes: 1}])))[0] as Uint8Array).length, 1);
});

/** Lets the test have a folder for temporary files of its own. */
function useTemporary(t: ExecutionContext): string {
	const folder = makeFolder(t);
	const before = process.env['TMPDIR'];
	process.env['TMPDIR'] = folder;
	t.teardown(() => {
		if (before === undefined) delete process.env['TMPDIR'];
		else process.env['TMPDIR'] = before;
	});
	return folder;
}
