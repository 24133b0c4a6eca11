import test from 'ava';
import {assertSentence, Folder, tasks} from './command.ts';

/** Runs 30 jobs of which every third dies, and one more run of another task. */
async function makeRuns(folder: Folder): Promise<void> {
	folder.write(
		'some-tasks.mjs',
		"export const odd = n => {\n\tif (n % 3 === 0) throw new RangeError('no ' + n);\n\treturn n;\n};\nexport const same = n => n;\n",
	);
	await folder.faena('map', './some-tasks.mjs#odd', '--ndjson', '--max-attempts', '1').end(Array.from({length: 30}, (_, index) => `${index + 1}\n`).join(''));
	await folder.faena('map', './some-tasks.mjs#same', '--ndjson', '--batch', 'other').end('1\n2\n');
}

async function listed(folder: Folder, ...args: readonly string[]): Promise<{readonly ids: number[]; readonly stderr: string; readonly code: number}> {
	const {stdout, stderr, code} = await folder.faena('list', '--json', ...args).end();
	const ids = stdout.split('\n').flatMap(line => (line === '' ? [] : [(JSON.parse(line) as {id: number}).id]));
	return {ids, stderr, code};
}

const THIRDS = Array.from({length: 10}, (_, index) => 3 * (index + 1));

test('list prints all jobs that meet its conditions, and says whether there are more than its limit', async t => {
	const folder = new Folder(t);
	await makeRuns(folder);
	t.like(await listed(folder), {ids: Array.from({length: 32}, (_, index) => index + 1), stderr: '', code: 0});
	t.deepEqual((await listed(folder, '--status', 'dead,failed')).ids, THIRDS);
	t.deepEqual((await listed(folder, '--batch', 'other')).ids, [31, 32]);
	t.deepEqual((await listed(folder, '--task', 'odd', '--key', '7')).ids, []);
	t.deepEqual((await listed(folder, '--batch', 'other', '--key', '2')).ids, [32]);
	t.deepEqual((await listed(folder, '--status', 'dead', '--since', '1h', '--until', '2100-01-01')).ids, THIRDS);
	t.like(await listed(folder, '--until', '2h'), {ids: [], stderr: `faena: No job of ${folder.path}/faena.db matches.\n`, code: 0});
	t.like(await listed(folder, '--task', 'same', '--limit', '1'), {ids: [31], stderr: 'faena: There are more. Go on with --after 31.\n'});
	t.like(await listed(folder, '--task', 'same', '--limit', '1', '--after', '31'), {ids: [32], stderr: ''});
});

test('a sorted list has the latest or the longest jobs first; its next page begins after a job of it', async t => {
	const folder = new Folder(t);
	await makeRuns(folder);
	for (const sort of ['startedAt', 'endedAt', 'duration']) {
		const {ids: all} = await listed(folder, '--sort', sort);
		t.is(new Set(all).size, 32);
		const {ids: first, stderr} = await listed(folder, '--sort', sort, '--limit', '20');
		const after = String(first.at(-1));
		t.is(stderr, `faena: There are more. Go on with --after ${after}.\n`);
		t.deepEqual([...first, ...(await listed(folder, '--sort', sort, '--after', after)).ids], all);
	}
	const gone = await listed(folder, '--sort', 'endedAt', '--after', '99');
	t.is(gone.code, 3);
	t.regex(gone.stderr, /^faena: There is no job 99 in /);
	await folder.faena('retry', '3').end();
	t.regex(
		(await listed(folder, '--sort', 'endedAt', '--after', '3')).stderr,
		/^faena: Job 3 is in no list sorted by endedAt: .* List from the beginning, without --after\.$/m,
	);
});

test('a line of a list tells the status, the task, the key, when and how long it ran, and its error', async t => {
	const folder = new Folder(t);
	await makeRuns(folder);
	const {stdout} = await folder.faena('list', '--status', 'dead', '--limit', '1').end();
	t.regex(stdout, /^dead {6}#3 {7}odd {2}key 3 {2}ended \d{4}-\S+Z {2}ran [\d.]+ ms {2}RangeError: no 3\n$/);
});

test('list refuses conditions that it does not understand', async t => {
	const folder = new Folder(t);
	await folder.faena('map', tasks('traces-executions', 'echo'), '--stdin').end('one');
	assertSentence(t, await folder.faena('list', '--status', 'done').end(), /argument 'done' is invalid\. It is one of blocked, pending, running, failed, /);
	assertSentence(
		t,
		await folder.faena('list', '--since', 'yesterday').end(),
		/'yesterday' is invalid\. It is a time such as 2026-11-28, .* how long ago, such as 30m/,
	);
	assertSentence(t, await folder.faena('list', '--since', '2026-13-40').end(), /'2026-13-40' is invalid\. It is a time such as/);
	assertSentence(t, await folder.faena('list', '--key', '1').end(), /A --key is unique in a task or a batch; name it with --task or --batch\./);
	assertSentence(t, await folder.faena('list', '--sort', 'age').end(), /Allowed choices are id, startedAt, endedAt, duration\./);
	t.is((await folder.faena('list', '--batch', 'none').end()).code, 3);
	assertSentence(t, await folder.faena('list', '--queue', 'none.db').end(), /There is no queue none\.db here; name its file with --queue\./, 69);
});

test('status --json has all dead jobs', async t => {
	const folder = new Folder(t);
	await makeRuns(folder);
	const {counts, dead, failed, running, oldestPending} = JSON.parse((await folder.faena('status', '--json').end()).stdout);
	t.is(counts.dead, 10);
	t.deepEqual(
		dead.map(({id}: {id: number}) => id),
		THIRDS,
	);
	t.deepEqual([failed, running, oldestPending], [[], [], undefined]);
});
