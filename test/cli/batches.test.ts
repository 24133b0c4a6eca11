import {join} from 'node:path';
import test from 'ava';
import {openQueue} from '../../lib/queue.ts';
import {assertSentence, Folder, tasks} from './command.ts';

test('batches are listed with their tasks and counts, and the status of a batch counts only its jobs', async t => {
	const folder = new Folder(t);
	const fail = tasks('traces-executions', 'fail');
	await folder.faena('map', fail, '--stdin', '--max-attempts', '1', '--batch', 'nightly').end('one\ntwo');
	await folder.faena('map', fail, '--stdin', '--max-attempts', '1', '--batch', 'b').end('three');
	const {code, stdout} = await folder.faena('batches').end();
	t.is(code, 0);
	t.regex(stdout, /^nightly {2}fail {2}2 dead {2}of 2 {2}done \d{4}-\S+Z\nb {8}fail {2}1 dead {2}of 1 {2}done \d{4}-\S+Z\n$/);
	const lines = (await folder.faena('batches', '--json').end()).stdout.trim().split('\n');
	t.like(JSON.parse(lines[1] as string), {name: 'b', task: 'fail', total: 1, counts: {dead: 1, pending: 0}});
	const [summary, , ...rows] = (await folder.faena('status', '--batch', 'nightly').end()).stdout.split('\n');
	t.is(summary, 'faena.db: 2 dead');
	t.deepEqual(
		rows.map(row => row.slice(0, 13).trim()),
		['dead      #1', 'dead      #2', ''],
	);
});

test('the total of a batch is at least the number of its jobs, also after a shorter input', async t => {
	const folder = new Folder(t);
	const map = (input: string) => folder.faena('map', tasks('traces-executions', 'echo'), '--stdin', '--batch', 'nightly').end(input);
	await map('one\ntwo');
	for (const input of ['', 'one\ntwo\nthree']) {
		await map(input);
		const jobs = input === '' ? 2 : 3;
		t.regex((await folder.faena('batches').end()).stdout, new RegExp(`^nightly {2}echo {2}${jobs} completed {2}of ${jobs} {2}done`));
	}
});

test('a queue without batches, and a batch that does not exist, get a message', async t => {
	const folder = new Folder(t);
	await (await openQueue(join(folder.path, 'faena.db'))).close();
	t.is((await folder.faena('batches').end()).stdout, 'faena.db: no batches\n');
	assertSentence(t, await folder.faena('status', '--batch', 'nightly').end(), /There is no batch "nightly" in .*\/faena\.db; faena batches lists them\./, 3);
	assertSentence(t, await folder.faena('batches', '--queue', 'other.db').end(), /There is no queue other\.db here/, 69);
});
