import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import {openEngine} from '../fixtures/engine.ts';
import {assertSentence, Folder, parse, tasks} from './command.ts';

test('retry gives jobs another round, which the same map then runs', async t => {
	const folder = new Folder(t);
	const command = ['map', tasks('isolated-tasks', 'picky'), '--ndjson', '--max-attempts', '1', '--batch', 'nightly'] as const;
	t.is((await folder.faena(...command).end('0\n1')).code, 1);
	const some = await folder.faena('retry', '2', '77').end();
	t.like(some, {code: 3, stdout: '1 to be run again\n'});
	t.regex(some.stderr, /^faena: There is no job 77 in faena\.db; it may have been cleaned up\.\n$/);
	t.is((await folder.faena('retry', '--batch', 'nightly').end()).stdout, '1 to be run again\n');
	t.is((await folder.faena('status').end()).stdout.split('\n')[0], 'faena.db: 2 pending');
	const again = parse((await folder.faena(...command).end('0\n1')).stdout);
	t.deepEqual(again.map(({jobId, status}) => [jobId, status]).sort(), [
		[1, 'dead'],
		[2, 'completed'],
	]);
});

test('retry and cancel take the jobs of a batch that are in a status', async t => {
	const folder = new Folder(t);
	await folder.faena('map', tasks('isolated-tasks', 'picky'), '--ndjson', '--max-attempts', '1', '--batch', 'nightly').end('0\n1');
	t.is((await folder.faena('retry', '--batch', 'nightly', '--status', 'failed,cancelled').end()).stdout, '0 to be run again\n');
	t.is((await folder.faena('retry', '--batch', 'nightly', '--status', 'dead').end()).stdout, '1 to be run again\n');
	t.is((await folder.faena('cancel', '--batch', 'nightly', '--status', 'failed').end()).stdout, '0 cancelled\n');
	t.is((await folder.faena('cancel', '--batch', 'nightly', '--status', 'pending').end()).stdout, '1 cancelled\n');
	assertSentence(t, await folder.faena('retry', '--batch', 'nightly', '--status', 'done').end(), /'done' is invalid\. It is one of blocked, /);
});

test('retry without ids, batch and task is refused', async t => {
	assertSentence(t, await new Folder(t).faena('retry').end(), /Name what to retry: ids, a --batch or a --task\./);
});

test('a retry of a job that was cancelled because of its parent says which', async t => {
	const folder = new Folder(t);
	const faena = await openEngine(t, {queue: join(folder.path, 'faena.db'), defaults: {maxAttempts: 1}});
	const dead = await faena.enqueue('boom', 'no');
	await (await faena.enqueue('echo', 1, {dependsOn: [dead]})).outcome();
	await faena.close();
	const why = 'Job 2 stays cancelled. It waited for job 1, which is dead. Retry that one: this one comes back with it.';
	t.is((await folder.faena('retry', '2').end()).stdout, `0 to be run again\n${why}\n`);
	t.is((await folder.faena('retry', '1').end()).stdout, '1 to be run again\n');
	t.is((await folder.faena('status').end()).stdout.split('\n')[0], 'faena.db: 1 blocked, 1 pending');
});

test('stale jobs: list, show, flow and doctor tell them, and retry --stale runs them again with what follows', async t => {
	const folder = new Folder(t);
	const faena = await openEngine(t, {queue: join(folder.path, 'faena.db')});
	const file = join(folder.path, 'part');
	writeFileSync(file, 'one');
	const flow = faena.newFlow('report');
	const part = flow.job('readText', file);
	flow.job('echo', flow.job('gather', [part]));
	const run = await flow.enqueue();
	await run.ended();
	writeFileSync(file, 'two');
	await faena.retry(run.job(part).id);
	await run.result(part);
	await faena.close();
	t.regex((await folder.faena('list', '--stale').end()).stdout, /^completed #2 .*stale\ncompleted #3 .*stale through a parent\n$/);
	t.regex((await folder.faena('show', '3').end()).stdout, /stale {7}a parent is stale; faena retry --stale/);
	t.regex((await folder.faena('flow', 'report').end()).stdout, /gather +completed, stale\n +└─ echo +completed, stale\n/);
	const doctor = await folder.faena('doctor').end();
	t.is(doctor.code, 1);
	t.regex(doctor.stdout, /2 jobs were made from results which are no longer the last ones: faena list --stale shows them\.\n {2}To run them again/);
	t.is((await folder.faena('retry', '--stale').end()).stdout, '2 to be run again\n');
	t.is((await folder.faena('doctor').end()).code, 0);
});
