import {once} from 'node:events';
import {existsSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import {assertSentence, Folder, tasks} from './command.ts';

const HANG = tasks('traces-executions', 'hang');

test('the status of a queue is one line, followed by running, waiting and dead jobs', async t => {
	const folder = new Folder(t);
	await folder.faena('map', tasks('traces-executions', 'fail'), '--stdin', '--max-attempts', '1').end('one\ntwo');
	const running = folder.faena('map', HANG, '--stdin', '--workers', '1');
	running.child.stdin.write('hangs\nwaits\nwaits, too\n');
	while (!folder.executions().includes('hangs')) await once(running.child.stderr, 'data');
	let {code, stdout} = await folder.faena('status').end();
	// The first item may run before the others have been enqueued.
	while (!stdout.includes('2 pending')) ({code, stdout} = await folder.faena('status').end());
	const [summary, ...rows] = stdout.split('\n');
	t.is(code, 0);
	t.is(summary, 'faena.db: 2 pending, 1 running, 2 dead');
	t.regex(rows.join('\n'), /^\nrunning {3}#3 +hang {2}key hangs/);
	t.regex(rows.join('\n'), /^pending {3}#4 +hang {2}key waits {2}since \d{4}-.*\n +and 1 more$/m);
	t.regex(rows.join('\n'), /^dead {6}#1 +fail {2}key one {2}RangeError: no luck with one$/m);
	const json = JSON.parse((await folder.faena('status', '--json').end()).stdout);
	t.deepEqual(json.counts, {blocked: 0, pending: 2, running: 1, failed: 0, completed: 0, dead: 2, cancelled: 0});
	t.is(json.running[0].id, 3);
});

test('the status of an empty queue is "no jobs"', async t => {
	const folder = new Folder(t);
	await folder.faena('map', HANG, '--stdin').end('');
	t.is((await folder.faena('status').end()).stdout, 'faena.db: no jobs\n');
});

test('status and show never create a queue', async t => {
	const folder = new Folder(t);
	assertSentence(t, await folder.faena('status').end(), /There is no queue faena\.db here; name its file with --queue\./, 69);
	assertSentence(t, await folder.faena('show', '1', '--queue', 'other.db').end(), /There is no queue other\.db/, 69);
	t.false(existsSync(join(folder.path, 'faena.db')) || existsSync(join(folder.path, 'other.db')));
});

test('a file that is not a queue is refused', async t => {
	const folder = new Folder(t);
	folder.write('notes.txt', 'not a database');
	assertSentence(t, await folder.faena('status', '--queue', 'notes.txt').end(), /notes\.txt is not an SQLite database/, 69);
	assertSentence(t, await folder.faena('status', '--queue', '.').end(), /is not a file\. Name a file for the jobs, for instance .*\/jobs\.db\.$/m, 69);
});
