import test from 'ava';
import {assertSentence, Folder, tasks} from './command.ts';

test('a completed job is shown with its times, progress, shortened values and last log lines', async t => {
	const folder = new Folder(t);
	await folder.faena('map', tasks('reports-progress', 'report'), '--lines', '--batch', 'nightly', '--timeout', '10s').end('one');
	const {code, stdout} = await folder.faena('show', '1').end();
	t.is(code, 0);
	t.regex(stdout, /^job 1 {5}report {2}completed\nkey {7}1\nbatch {5}nightly\nattempts {2}0 of 3 charged, 1 execution\n/);
	for (const label of ['enqueued', 'started', 'ended']) t.regex(stdout, new RegExp(`^${label} +\\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z$`, 'm'));
	t.regex(stdout, /^timeout {3}10 s\nprogress {2}3 of 4 at \d{4}.*\npayload {3}"one"$/m);
	t.regex(stdout, /^result {4}"x{399}… \(1,002 characters; all with --json\)$/m);
	t.regex(stdout, /^log {7}\(2 earlier; all with --json\)\n {10}\d{4}-\S+Z {2}line 3 of one$/m);
	t.regex(stdout, /^ {10}\d{4}-\S+Z {2}warn: line 12 of one\n$/m);
	const json = JSON.parse((await folder.faena('show', '1', '--json').end()).stdout);
	t.deepEqual([json.status, json.payload, json.result, json.logs.length], ['completed', 'one', 'x'.repeat(1000), 12]);
});

test("a dead job is shown with its error, the task's frames and the causes", async t => {
	const folder = new Folder(t);
	await folder.faena('map', tasks('traces-executions', 'fail'), '--lines', '--attempts', '1').end('one');
	const {stdout} = await folder.faena('show', '1').end();
	t.regex(stdout, /^attempts {2}1 of 1 charged, 1 execution$/m);
	t.regex(stdout, /^error {5}RangeError: no luck with one\n +at fail \(.*traces-executions\.ts:\d+:\d+\)\n {10}caused by Error: the cause of it\n +at fail/m);
	t.notRegex(stdout, /runner\.ts/);
});

test('an id that no job has, or can have, is answered with a sentence', async t => {
	const folder = new Folder(t);
	await folder.faena('map', tasks('traces-executions', 'echo'), '--lines').end('one');
	assertSentence(t, await folder.faena('show', '2').end(), /There is no job 2 in faena\.db/);
	for (const id of ['one', '0', '1.5', '1e3', '']) assertSentence(t, await folder.faena('show', id).end(), /positive whole number/);
	assertSentence(t, await folder.faena('show').end(), /missing required argument 'id'/);
	assertSentence(t, await folder.faena('shwo', '1').end(), /unknown command 'shwo' \(Did you mean show\?\)/);
});
