import test from 'ava';
import {assertSentence, Folder, parse, tasks} from './command.ts';

test('retry gives jobs another round, which the same map then runs', async t => {
	const folder = new Folder(t);
	const command = ['map', tasks('isolated-tasks', 'picky'), '--ndjson', '--max-attempts', '1', '--batch', 'nightly'] as const;
	t.is((await folder.faena(...command).end('0\n1')).code, 1);
	const some = await folder.faena('retry', '2', '77').end();
	t.like(some, {code: 3, stdout: '1 to be run again\n'});
	t.regex(some.stderr, /^faena: There is no job 77 in .*faena\.db; it may have been cleaned up\.\n$/);
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
