/** Runs of a map that come again, with another input or option, or beside each other. */
import {once} from 'node:events';
import {rmSync} from 'node:fs';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import test from 'ava';
import {open} from '../../lib/index.ts';
import {assertSentence, FAENA, Folder, parse, tasks} from './command.ts';

const TRACES = 'traces-executions';
const NUMBERS = Array.from({length: 60}, (_, index) => String(index + 1));

test('an inserted or removed line leaves the others as they are; an edited one is another item', async t => {
	const folder = new Folder(t);
	const command = ['map', tasks(TRACES, 'echo'), '--order', 'input', '-j', '1'];
	await folder.faena(...command, '--stdin').end('one\ntwo\nthree\none');
	const {code, stdout, stderr} = await folder.faena(...command, '--stdin').end('zero\none\n2\none\nthree\none');
	t.is(code, 0, stderr);
	t.deepEqual(
		parse(stdout).map(({key, result, reused}) => [key, result, reused ?? false]),
		[
			['zero', 'zero', false],
			['one', 'one', true],
			['2', '2', false],
			['one##2', 'one', true],
			['three', 'three', true],
			['one##3', 'one', false],
		],
	);
	t.deepEqual(folder.executions(), ['one', 'two', 'three', 'one', 'zero', '2', 'one']);
});

/** A run of 60 lines that was killed when some were done: the jobs of the other lines are in the queue. */
async function killedRun(t: ExecutionContext): Promise<{folder: Folder; command: string[]}> {
	const folder = new Folder(t);
	const command = ['map', tasks(TRACES, 'compute'), '--stdin', '--workers', '1'];
	folder.write('kill');
	const first = folder.faena(...command);
	first.child.stdin.write(`${NUMBERS.join('\n')}\n`);
	t.is((await once(first.child, 'close'))[1], 'SIGKILL');
	rmSync(join(folder.path, 'kill'));
	return {folder, command};
}

test('if the producer in a pipe dies, no job is lost: the run prints how many are missing and exits with 4, and the whole input goes on', async t => {
	const {folder, command} = await killedRun(t);
	const faena = [process.execPath, FAENA, ...command].map(word => `'${word}'`).join(' ');
	for (const producer of ['(seq 10; false)', 'true']) {
		const {code, stdout, stderr} = await folder.sh(`${producer} | ${faena} --quiet`).end();
		t.is(code, 4, stderr);
		t.is(parse(stdout).length, producer === 'true' ? 0 : 10);
		t.regex(
			stderr,
			/ \d+ unfinished items of an earlier run are not in this input, and stay held\. If the input was cut short, .*--missing run, cancel or delete\.\n$/,
		);
	}
	const whole = await folder.faena(...command).end(NUMBERS.join('\n'));
	t.is(whole.code, 0, whole.stderr);
	t.deepEqual(
		parse(whole.stdout)
			.map(({result}) => result)
			.sort(),
		[...NUMBERS].sort(),
	);
});

test('an empty input, such as /dev/null, keeps unfinished jobs; --missing cancel cancels them, --missing delete deletes them', async t => {
	const {folder, command} = await killedRun(t);
	const faena = [process.execPath, FAENA, ...command].map(word => `'${word}'`).join(' ');
	const statuses = async () => {
		const {stdout} = await folder.faena('batches', '--json').end();
		return (JSON.parse(stdout) as {counts: Record<string, number>}).counts;
	};
	t.is((await folder.sh(`${faena} < /dev/null`).end()).code, 4);
	t.is((await statuses())['cancelled'], 0);
	const cancelled = await folder.sh(`${faena} --quiet --missing cancel < /dev/null`).end();
	t.is(cancelled.code, 0);
	t.regex(cancelled.stderr, /not in this input, and were cancelled\.\n$/);
	const {cancelled: jobs = 0, completed = 0, pending, failed} = await statuses();
	t.true(jobs > 0);
	t.deepEqual([jobs + completed, pending, failed], [60, 0, 0]);
	// No job is unfinished any more, so none is missing.
	t.is((await folder.sh(`${faena} < /dev/null`).end()).code, 0);
	const again = await folder.faena(...command, '--retry-failed').end(NUMBERS.join('\n'));
	t.is(again.code, 0, again.stderr);
});

test('--missing run runs unfinished items that the input does not have before the run ends, and waits for no other job of the task', async t => {
	const {folder, command} = await killedRun(t);
	t.is((await folder.faena('enqueue', 'compute', '"later"', '--delay', '1h').end()).code, 0);
	const {code, stderr} = await folder.faena(...command, '--quiet', '--missing', 'run').end('1\n');
	t.is(code, 0, stderr);
	t.regex(stderr, /not in this input, and were run, too\.\n$/);
	t.is(new Set(folder.executions()).size, NUMBERS.length);
});

test('--missing delete deletes jobs whose items the input no longer has', async t => {
	const {folder, command} = await killedRun(t);
	const {code, stderr} = await folder.faena(...command, '--quiet', '--missing', 'delete').end(NUMBERS.slice(0, 12).join('\n'));
	t.is(code, 0);
	t.regex(stderr, /not in this input, and were deleted\.\n$/);
	t.is((await folder.faena(...command).end(NUMBERS.slice(0, 12).join('\n'))).code, 0);
});

test('an input that can not be read is reported in a sentence, with exit code 4', async t => {
	const folder = new Folder(t);
	const faena = [process.execPath, FAENA, 'map', tasks(TRACES, 'echo'), '--stdin', '--quiet'].map(word => `'${word}'`).join(' ');
	for (const [redirection, why] of [
		['< .', /^faena: The input can't be read: it is a folder\.\n$/],
		['0> written', /^faena: The input can't be read: EBADF[^\n]+\n$/],
	] as const) {
		const {code, stderr} = await folder.sh(`${faena} ${redirection}`).end();
		t.is(code, 4, stderr);
		t.regex(stderr, why);
	}
});

test('--retry-failed runs cancelled items again, and no items that are missing from the input', async t => {
	const folder = new Folder(t);
	const command = ['map', tasks(TRACES, 'fail'), '--stdin', '--max-attempts', '1', '--workers', '1', '--quiet'];
	await folder.faena(...command).end('one\ntwo');
	t.is((await folder.faena(...command, '--retry-failed').end('one')).code, 1);
	t.deepEqual(folder.executions(), ['one', 'two', 'one']);
	const {folder: other, command: compute} = await killedRun(t);
	t.is((await other.faena('cancel', '--batch', `${tasks(TRACES, 'compute')} --stdin`).end()).code, 0);
	const {code, stdout, stderr} = await other.faena(...compute, '--retry-failed').end(NUMBERS.join('\n'));
	t.is(code, 0, stderr);
	t.is(parse(stdout).length, 60);
});

test('an item of this run that another engine executes does not count as reused', async t => {
	const folder = new Folder(t);
	const program = folder.faena('map', tasks(TRACES, 'compute'), '--stdin', '--workers', '1');
	program.child.stdin.write(`${NUMBERS.slice(0, 2).join('\n')}\n`);
	await program.printed(1);
	process.env['TRACE'] = folder.trace;
	const [module = ''] = tasks(TRACES, 'compute').split('#');
	const [job] = parse((await folder.faena('list', '--json', '--limit', '1').end()).stdout) as unknown as {scope: string}[];
	const other = await open({queue: join(folder.path, 'faena.db'), tasks: module, workers: 1, scope: job?.scope ?? ''});
	t.teardown(() => other.close({drain: 0}));
	let executed = 0;
	other.on('completed', () => executed++);
	const {code, stdout, stderr} = await program.end(NUMBERS.slice(2).join('\n'));
	t.is(code, 0, stderr);
	t.true(executed > 0);
	t.deepEqual(
		parse(stdout).filter(({reused}) => reused),
		[],
	);
	t.regex(stderr, /faena: 60 completed, in /);
});

test('the same run in a second terminal is refused while the first is under way', async t => {
	const folder = new Folder(t);
	const command = ['map', tasks(TRACES, 'compute'), '--stdin', '--quiet'];
	const first = folder.faena(...command);
	first.child.stdin.write('1\n');
	await first.printed(1);
	assertSentence(t, await folder.faena(...command).end('1'), /has a running map already, .* one map at a time/);
	t.is((await first.end('2\n')).code, 0);
});

test('a run executes no job of another module whose task has the same name, nor one that a program left', async t => {
	const folder = new Folder(t);
	const first = folder.faena('map', tasks(TRACES, 'hang'), '--stdin');
	first.child.stdin.write('hangs\n');
	while (!folder.executions().includes('hangs')) await once(first.child.stderr, 'data');
	await first.kill();
	const elsewhere = await folder.faena('map', tasks('traces-elsewhere', 'hang'), '--stdin', '--batch', 'other').end('one');
	t.is(elsewhere.code, 0, elsewhere.stderr);
	t.deepEqual(
		parse(elsewhere.stdout).map(({result}) => result),
		['not the function that was meant'],
	);
	t.deepEqual(folder.executions(), ['hangs']);
	const {stdout} = await folder.faena('list', '--json').end();
	t.deepEqual((parse(stdout) as unknown as {scope: string}[]).map(({scope}) => scope.split(' ')[0]).sort(), [
		'faena/test/fixtures/traces-elsewhere',
		'faena/test/fixtures/traces-executions',
	]);
});

test('two runs of one task with names of their own leave each other alone while both are unfinished', async t => {
	const folder = new Folder(t);
	const map = (batch: string, ...more: string[]) => folder.faena('map', tasks('isolated-tasks', 'picky'), '--ndjson', '--batch', batch, ...more).end('0');
	for (const batch of ['one', "that's two"]) t.is((await map(batch, '--max-attempts', '1')).code, 1);
	t.is((await folder.faena('retry', '--task', 'picky').end()).stdout, '2 to be run again\n');
	t.like(parse((await map('one', '--max-attempts', '1')).stdout), [{status: 'dead'}]);
	t.like(parse((await map("that's two", '--max-attempts', '1')).stdout), [{status: 'dead'}]);
});

test('two runs go on at once in the default queue: of two tasks, and of one task of the same module', async t => {
	const folder = new Folder(t);
	const hanging = folder.faena('map', tasks(TRACES, 'hang'), '--stdin');
	hanging.child.stdin.write('hangs\n');
	while (!folder.executions().includes('hangs')) await once(hanging.child.stderr, 'data');
	const [one, other] = await Promise.all([
		folder.faena('map', tasks(TRACES, 'echo'), '--range', '1..40').end(),
		folder.faena('map', tasks(TRACES, 'echo'), ':::', ...NUMBERS).end(),
	]);
	t.deepEqual([one.code, other.code], [0, 0], one.stderr + other.stderr);
	t.deepEqual([parse(one.stdout).length, parse(other.stdout).length], [40, 60]);
	t.is(folder.executions().length, 101);
	await hanging.kill();
});

test('--halt ends the run after so many failures and says how far it is and why, and the same command goes on', async t => {
	const folder = new Folder(t);
	const command = ['map', tasks('isolated-tasks', 'picky'), '--ndjson', '--max-attempts', '1', '--workers', '1', '--halt', 'soon,fail=1'] as const;
	const input = Array.from({length: 40}, (_, index) => String(index)).join('\n');
	const {code, stdout, stderr} = await folder.faena(...command).end(input);
	t.is(code, 1, stderr);
	t.regex(stderr, /faena: Halted, since too many failed: \d+(?: of 40)? done; the same command goes on from there\. Why: faena show 1 --queue faena\.db\.\n$/);
	t.true(parse(stdout).length < 40);
	const again = await folder.faena(...command).end(input);
	t.is(parse(again.stdout).filter(({status}) => status === 'completed').length, 39);
});

test('--timeout takes a share of the median', async t => {
	const {code} = await new Folder(t).faena('map', tasks(TRACES, 'echo'), '--stdin', '--timeout', '300%').end('x');
	t.is(code, 0);
	assertSentence(t, await new Folder(t).faena('map', tasks(TRACES, 'echo'), '--stdin', '--timeout', '50%').end('x'), /more than 100% of the median/);
});
