import {once} from 'node:events';
import {join} from 'node:path';
import test from 'ava';
import {openQueue} from '../../lib/queue.ts';
import {openEngine} from '../fixtures/engine.ts';
import {assertSentence, Folder, tasks} from './command.ts';

const PICKY = tasks('isolated-tasks', 'picky');

async function summary(folder: Folder): Promise<string> {
	return (await folder.faena('status').end()).stdout.split('\n')[0] as string;
}

test('cleanup deletes jobs that ended before a time, of some statuses or of a task', async t => {
	t.timeout(60_000);
	const folder = new Folder(t);
	await folder.faena('map', PICKY, '--ndjson', '--max-attempts', '1').end('0\n1\n2\n');
	await folder.faena('map', tasks('traces-executions', 'echo'), '--stdin').end('one\ntwo\n');
	await folder.faena('enqueue', 'echo', '1').end();
	t.is(await summary(folder), 'faena.db: 1 pending, 4 completed, 1 dead');
	t.like(await folder.faena('cleanup', '--older-than', '1d').end(), {code: 0, stdout: '0 jobs deleted\n'});
	t.is((await folder.faena('cleanup', '--older-than', '0s', '--status', 'dead,cancelled').end()).stdout, '1 job deleted\n');
	t.is((await folder.faena('cleanup', '--older-than', '0s', '--task', 'echo').end()).stdout, '2 jobs deleted\n');
	t.is((await folder.faena('cleanup', '--older-than', '0s', '--task', 'echo', '--status', 'completed').end()).stdout, '0 jobs deleted\n');
	t.is((await folder.faena('cleanup', '--older-than', '0s').end()).stdout, '2 jobs deleted\n');
	t.is(await summary(folder), 'faena.db: 1 pending');
	t.is((await folder.faena('batches').end()).stdout, 'faena.db: no batches\n');
});

test('cleanup deletes nothing unless it is told what', async t => {
	t.timeout(60_000);
	const folder = new Folder(t);
	await folder.faena('map', tasks('traces-executions', 'echo'), '--stdin').end('one\n');
	assertSentence(t, await folder.faena('cleanup').end(), /required option '--older-than <time>' not specified/);
	assertSentence(t, await folder.faena('cleanup', '--older-than', '7').end(), /It is a time with its unit/);
	assertSentence(
		t,
		await folder.faena('cleanup', '--older-than', '0s', '--status', 'failed').end(),
		/Jobs that have not ended are never deleted; .* not failed\./,
	);
	assertSentence(t, await folder.faena('cleanup', '--older-than', '0s', '--status', 'done').end(), /It is one of blocked, pending/);
	assertSentence(t, await folder.faena('cleanup', '--older-than', '0s', '--queue', 'none.db').end(), /There is no queue none\.db/, 69);
	t.is(await summary(folder), 'faena.db: 1 completed');
});

test('delete deletes a batch with its jobs, unless a map or a job of it runs', async t => {
	t.timeout(120_000);
	const folder = new Folder(t);
	const running = folder.faena('map', tasks('traces-executions', 'hang'), '--stdin', '--workers', '1', '--batch', 'night ly');
	running.child.stdin.write('one\n');
	while (!folder.executions().includes('one')) await once(running.child.stderr, 'data');
	assertSentence(t, await folder.faena('delete', 'night ly').end(), /One job of the batch "night ly" can't be deleted while running\. Cancel the batch/);
	await folder.faena('cancel', '--batch', 'night ly').end();
	while (!(await summary(folder)).includes('1 cancelled'));
	// Its input is open, so the map goes on.
	assertSentence(t, await folder.faena('delete', 'night ly').end(), /A program is running the batch "night ly"\. End it first, for instance with Ctrl-C/);
	t.is(await summary(folder), 'faena.db: 1 cancelled');
	await running.end();
	t.like(await folder.faena('delete', 'night ly').end(), {code: 0, stdout: '1 job deleted\n'});
	assertSentence(t, await folder.faena('delete', 'night ly').end(), /There is no batch "night ly" in /, 3);
	t.is((await folder.faena('batches').end()).stdout, 'faena.db: no batches\n');
	assertSentence(t, await folder.faena('delete').end(), /missing required argument 'batch'/);
});

test('delete deletes interrupted maps, pipes and flows', async t => {
	t.timeout(60_000);
	const folder = new Folder(t);
	const faena = await openEngine(t, {queue: join(folder.path, 'faena.db')});
	const flow = faena.newFlow('flow');
	flow.map('echo', [1, 2]);
	await (await flow.enqueue()).ended();
	for await (const _ of faena.pipe([1, 2], 'echo', 'echo', {batch: 'pipe'}));
	for await (const _ of faena.map('echo', [1, 2, 3], {batch: 'map'})) break;
	await faena.close();
	for (const name of ['flow', 'pipe', 'map']) t.regex((await folder.faena('delete', name).end()).stdout, /^\d+ jobs? deleted\n$/);
	const queue = await openQueue(join(folder.path, 'faena.db'));
	t.deepEqual([await queue.batches(), (await queue.jobs().page()).length], [[], 0]);
	await queue.close();
});
