import {spawn} from 'node:child_process';
import {existsSync, readFileSync} from 'node:fs';
import {availableParallelism, loadavg} from 'node:os';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import type {ExecutionContext} from 'ava';
import test from 'ava';
import type {JobId} from '../../lib/job/job.ts';
import type {PoolOptions} from '../../lib/job/options.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {areAlive, countAlive, endAll, makeToken} from '../fixtures/processes.ts';
import {WAYS} from '../fixtures/spawning-tasks.ts';
import {Crew, type MakePool} from './contract.ts';

function isOverloaded(): boolean {
	return (loadavg()[0] ?? 0) > 4 * availableParallelism();
}

export const SPAWNING_TASKS = new URL('../fixtures/spawning-tasks.ts', import.meta.url).href;

/** Registers the laws on what becomes of the processes that tasks start. They hold on Linux for threads and processes. */
export function exerciseDescendants(name: 'threads' | 'processes', make: MakePool): void {
	const law = (title: string, check: (t: ExecutionContext, crew: Crew) => Promise<void>) => {
		test.serial(`${name}: ${title}`, async t => {
			t.timeout(60_000);
			await check(t, new Crew(t, make));
		});
	};
	const load = (crew: Crew, options: Partial<PoolOptions> = {}) => crew.load({workers: 1, graceMs: 30, tasks: SPAWNING_TASKS, ...options});

	for (const [way, {processes}] of Object.entries(WAYS)) {
		law(`when a job was cancelled, nothing is alive that it started by ${way}`, async (t, crew) => {
			await load(crew);
			const token = makeToken();
			t.teardown(() => endAll(token));
			const [id] = await crew.give('wait', [{way, token}]);
			await areAlive(token, processes);
			crew.pool.stop(id as JobId, 'cancelled');
			t.is((await crew.outcomes([id]))[0]?.type, 'cancelled');
			// The search has its time. On a machine that is busy with much else that may be too short, which is told.
			if (isOverloaded() && crew.losses.some(({leavesProcesses}) => leavesProcesses)) return t.log('told that processes may be left');
			t.is(countAlive(token), 0);
			t.false(crew.losses.some(({leavesProcesses}) => leavesProcesses));
		});

		law(`when close() resolves, nothing is alive that a job started by ${way}`, async (t, crew) => {
			await load(crew);
			const token = makeToken();
			t.teardown(() => endAll(token));
			const [id] = await crew.give('wait', [{way, token}]);
			await areAlive(token, processes);
			await crew.pool.close();
			t.is(countAlive(token), 0);
			t.is((await crew.outcomes([id]))[0]?.type, 'released');
		});
	}

	for (const way of ['execFile', 'execFileSync', "sh -c 'a & b'"]) {
		law(`when a job has timed out, nothing is alive that it started by ${way}`, async (t, crew) => {
			await load(crew);
			const token = makeToken();
			const [id] = await crew.give('wait', [{way, token}], {policy: {timeoutMs: 3000}});
			await areAlive(token, WAYS[way]?.processes as number);
			t.is((await crew.outcomes([id]))[0]?.type, 'timedOut');
			t.is(countAlive(token), 0);
		});

		law(`when a job was interrupted, nothing is alive that it started by ${way}`, async (t, crew) => {
			await load(crew);
			const token = makeToken();
			const [id] = await crew.give('wait', [{way, token}]);
			await areAlive(token, WAYS[way]?.processes as number);
			crew.pool.stop(id as JobId, 'interrupted');
			t.is((await crew.outcomes([id]))[0]?.type, 'released');
			t.is(countAlive(token), 0);
		});
	}

	const OUTCOMES = {cancelled: 'cancelled', interrupted: 'released'} as const;
	for (const reason of ['cancelled', 'interrupted'] as const) {
		for (const task of ['heed', 'leave']) {
			const manner = task === 'heed' ? 'hands ctx.signal to its command' : 'returns and leaves its command running';
			law(`nothing is alive that a job started which is ${reason} and ${manner}; its worker goes on`, async (t, crew) => {
				await load(crew, {graceMs: 20_000});
				const token = makeToken();
				const [id] = await crew.give(task, [token]);
				await areAlive(token, task === 'heed' ? 3 : 1);
				crew.pool.stop(id as JobId, reason);
				t.is((await crew.outcomes([id]))[0]?.type, OUTCOMES[reason]);
				t.is(countAlive(token), 0);
				t.deepEqual(crew.losses, []);
			});
		}
	}

	law('a command that a task stops and waits for has the grace to tidy up', async (t, crew) => {
		await load(crew, {graceMs: 20_000});
		const [token, file] = [makeToken(), join(makeFolder(t), 'file')];
		const [id] = await crew.give('letTidyUp', [{token, file}]);
		// Before it has set its trap, the command would end by the signal.
		while (!existsSync(`${file}.ready`)) await sleep(5);
		crew.pool.stop(id as JobId, 'cancelled');
		t.is((await crew.outcomes([id]))[0]?.type, 'cancelled');
		t.is(readFileSync(file, 'utf8'), 'tidy\n');
		t.deepEqual(crew.losses, []);
	});

	law('jobs that ran together and heed their stop leave nothing alive', async (t, crew) => {
		await load(crew, {graceMs: 20_000});
		const tokens = [makeToken(), makeToken(), makeToken()];
		const ids = await crew.give('together', tokens);
		await Promise.all(tokens.map(token => areAlive(token, 1)));
		for (const id of ids) crew.pool.stop(id, 'interrupted');
		t.deepEqual(
			(await crew.outcomes(ids)).map(outcome => outcome?.type),
			['released', 'released', 'released'],
		);
		t.deepEqual(tokens.map(countAlive), [0, 0, 0]);
	});

	law('processes that a setup has started live on when a job heeds its stop, and so do those that they start', async (t, crew) => {
		const [helper, token] = [makeToken(), makeToken()];
		t.teardown(() => endAll(helper));
		await load(crew, {graceMs: 20_000, env: {HELPER_TOKEN: helper}});
		const [id] = await crew.give('useHelper', [token]);
		await areAlive(token, 1);
		await areAlive(helper, 2);
		crew.pool.stop(id as JobId, 'cancelled');
		t.is((await crew.outcomes([id]))[0]?.type, 'cancelled');
		t.is(countAlive(token), 0);
		t.is(countAlive(helper), 2);
	});

	law("the program's own processes, and those of other workers, live on when a worker is ended", async (t, crew) => {
		await load(crew, {workers: 2});
		const [own, other, token] = [makeToken(), makeToken(), makeToken()];
		const process = spawn('sleep', [own], {stdio: 'ignore'});
		t.teardown(() => process.kill());
		const [still] = await crew.give('wait', [{way: "sh -c 'a & b'", token: other}]);
		const [id] = await crew.give('wait', [{way: 'execFile', token}]);
		await Promise.all([areAlive(own, 1), areAlive(other, 3), areAlive(token, 1)]);
		crew.pool.stop(id as JobId, 'cancelled');
		await crew.outcomes([id]);
		t.deepEqual([own, other, token].map(countAlive), [1, 3, 0]);
		t.is(crew.outcome(still), undefined);
	});

	law('processes that completed jobs have left live on when a worker is replaced, and when the pool is closed in good order', async (t, crew) => {
		await load(crew, {recycle: {jobs: 2, ageMs: Infinity, memoryBytes: Infinity}});
		const token = makeToken();
		t.teardown(() => endAll(token));
		for (let job = 0; job < 3; job++) await crew.values(await crew.give('complete', [token]));
		await crew.pool.close();
		t.is(countAlive(token), 3);
	});

	for (const how of name === 'threads' ? ['exit', 'outOfMemory'] : ['exit', 'outOfMemory', 'abort']) {
		law(`nothing is alive that a job started which took its worker along by ${how}`, async (t, crew) => {
			await load(crew, {resourceLimits: {maxOldGenerationSizeMb: 32}});
			const token = makeToken();
			const [id] = await crew.give('crash', [{token, how}]);
			t.is((await crew.outcomes([id]))[0]?.type, 'lostWorker');
			t.is(countAlive(token), 0);
		});
	}
}
