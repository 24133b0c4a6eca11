import {existsSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import {openQueue} from '../../lib/queue.ts';
import {assertSentence, FAENA, Folder} from './command.ts';

test('enqueue adds a job with its payload and options, and prints its id', async t => {
	t.timeout(60_000);
	const folder = new Folder(t);
	const payload = '{"file":"a b\\n$(x).png","width":320}';
	const flags = ['--key', 'a\n\x1B[31m', '--delay', '1h', '--priority', '-5', '--max-attempts', '7', '--timeout', '300%'];
	t.like(await folder.faena('enqueue', 'thumbnail', payload, '--create', ...flags).end(), {code: 0, stdout: '1\n', stderr: ''});
	t.like(await folder.faena('enqueue', 'nothing').end(), {code: 0, stdout: '2\n'});
	const job = JSON.parse((await folder.faena('show', '1', '--json').end()).stdout);
	t.like(job, {task: 'thumbnail', key: 'a\n\x1B[31m', priority: -5, maxAttempts: 7, timeoutPercent: 300, payload: JSON.parse(payload)});
	t.true(job.runAt >= job.createdAt + 3_600_000);
	t.like(JSON.parse((await folder.faena('show', '2', '--json').end()).stdout), {task: 'nothing', maxAttempts: 3, priority: 0});
	const again = await folder.faena('enqueue', 'thumbnail', payload, ...flags).end();
	t.like(again, {code: 0, stdout: '1\n', stderr: 'faena: Job 1 has this key already, and was left as it is.\n'});
	assertSentence(t, await folder.faena('enqueue', 'thumbnail', '{}', ...flags).end(), /belongs to job 1, which has another payload/);
	t.is((await folder.faena('enqueue', 'negative', '--', '-5').end()).stdout, '3\n');
});

test('enqueue --ndjson adds a job for every line of stdin; a bad line ends it, with the lines before it added', async t => {
	t.timeout(60_000);
	const folder = new Folder(t);
	const lines = Array.from({length: 2500}, (_, index) => `{"number": ${index}}\n`);
	const all = await folder.faena('enqueue', 'square', '--ndjson', '--create', '--priority', '3').end(lines.join(''));
	t.is(all.code, 0, all.stderr);
	t.deepEqual(
		all.stdout.split('\n').slice(0, -1),
		Array.from({length: 2500}, (_, index) => `${index + 1}`),
	);
	const queue = await openQueue(join(folder.path, 'faena.db'));
	t.is((await queue.counts()).pending, 2500);
	const last = (await queue.values(2500))?.payload;
	t.deepEqual(last, {number: 2499});
	await queue.close();
	const bad = await folder.faena('enqueue', 'square', '--ndjson').end('1\n2\n{');
	t.like(bad, {code: 4, stdout: '2501\n2502\n'});
	t.regex(bad.stderr, /^faena: Line 3 of the input is not JSON: .*\. Of the lines before it, 2 jobs were added\.\n$/);
	t.like(await folder.faena('enqueue', 'square', '--ndjson').end(''), {code: 0, stdout: ''});
	const endless = `yes '{"number": 1}' | '${process.execPath}' '${FAENA}' enqueue square --ndjson | head -n 3`;
	t.like(await folder.sh(endless).end(), {stdout: '2503\n2504\n2505\n', stderr: ''});
});

test('enqueue refuses what it can not add, and makes no queue unless asked', async t => {
	t.timeout(60_000);
	const folder = new Folder(t);
	assertSentence(
		t,
		await folder.faena('enqueue', 'echo', '1').end(),
		/There is no queue faena\.db here; name its file with --queue, or make a new one with --create\./,
		69,
	);
	for (const [args, said] of [
		[['echo', 'a.png'], /The payload is not JSON: .* A text has double quotes in JSON, for instance '"a\.png"'\./],
		[['echo', ''], /The payload is not JSON/],
		[['', '1'], /Name a task\./],
		[['echo', '1', '--ndjson'], /Give either a payload or --ndjson/],
		[['echo', '--ndjson', '--key', 'a'], /A --key names one job; --ndjson adds many\./],
		[['echo', '--key', ''], /key/],
		[['echo', '1', '--delay', '5'], /It is a time with its unit/],
		[['echo', '1', '--priority', '1.5'], /It is a whole number/],
		[['echo', '1', '--max-attempts', '0'], /It is a whole number from 1/],
		[['echo', '1', '--timeout', '50%'], /It is a time with its unit/],
	] as const)
		assertSentence(t, await folder.faena('enqueue', ...args, '--create').end(), said);
	t.false(existsSync(join(folder.path, 'faena.db')));
});
