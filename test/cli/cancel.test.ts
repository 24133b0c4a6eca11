import {once} from 'node:events';
import {join} from 'node:path';
import test from 'ava';
import {open} from '../../lib/index.ts';
import {openQueue} from '../../lib/queue.ts';
import {assertSentence, Folder, tasks} from './command.ts';

test('cancel ends jobs of a batch, of a task or by id, running ones too', async t => {
	const folder = new Folder(t);
	const running = folder.faena('map', tasks('traces-executions', 'hang'), '--stdin', '--workers', '1', '--batch', 'nightly');
	running.child.stdin.end('hangs\nwaits\nwaits, too\nand this');
	while (!folder.executions().includes('hangs')) await once(running.child.stderr, 'data');
	const some = await folder.faena('cancel', '3', '99').end();
	t.is(jobsOf(some.stdout), 1);
	t.is(some.code, 3);
	t.regex(some.stderr, /^faena: There is no job 99 in faena\.db; it may have been cleaned up\.\n$/);
	t.is((await folder.faena('cancel', '--task', 'echo').end()).stdout, '0 cancelled\n');
	t.is(jobsOf((await folder.faena('cancel', '--batch', 'nightly').end()).stdout), 3);
	const {code, stderr} = await running.end();
	t.is(code, 1);
	t.regex(stderr, /faena: 0 completed, 4 cancelled/);
});

/** Jobs that an engine has claimed ahead count as running. */
function jobsOf(said: string): number {
	const [, cancelled, running = 0] = /^(\d+) cancelled(?:; (\d+) more (?:is|are) running and (?:was|were) told to stop)?\n$/.exec(said) ?? [];
	return Number(cancelled) + Number(running);
}

test('cancel prints how many jobs it cancelled and how many it asked to stop', async t => {
	const folder = new Folder(t);
	const file = join(folder.path, 'faena.db');
	const producer = await open<typeof import('../fixtures/tasks.ts')>({queue: file});
	await producer.enqueueMany('echo', ['runs', 'waits']);
	await producer.close();
	const queue = await openQueue(file);
	t.is((await queue.dequeue({owner: 'test', tasks: ['echo']})).jobs.length, 1);
	t.is((await folder.faena('cancel', '--task', 'echo').end()).stdout, '1 cancelled; 1 more is running and was told to stop\n');
	await queue.close();
});

test('cancel without ids, batch and task is refused', async t => {
	const folder = new Folder(t);
	assertSentence(t, await folder.faena('cancel').end(), /Name what to cancel: ids, a --batch or a --task\./);
	await folder.faena('map', tasks('traces-executions', 'echo'), '--stdin').end('one');
	assertSentence(t, await folder.faena('cancel', '--batch', 'unknown').end(), /There is no batch "unknown" in .*\/faena\.db; faena batches lists them\./, 3);
	assertSentence(t, await folder.faena('cancel', 'all').end(), /positive whole number/);
});
