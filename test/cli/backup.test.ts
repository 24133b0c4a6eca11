import {existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync} from 'node:fs';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import Database from 'better-sqlite3';
import {ExitCode} from '../../lib/cli/exit-codes.ts';
import {backup, openQueue} from '../../lib/queue.ts';
import {openEngine} from '../fixtures/engine.ts';
import {assertSentence, Folder} from './command.ts';

/** Runs jobs with large results without end, and deletes the ended ones at once. */
const BUSY = `import {open} from '${new URL('../../lib/index.ts', import.meta.url)}';
const faena = await open({queue: 'faena.db', tasks: new URL('./tasks.mjs', import.meta.url), workers: 1, blobs: {threshold: '1kib'}});
console.log('open');
for (let number = 0; ; number += 20) {
	await faena.enqueueMany('large', Array.from({length: 20}, (_, index) => number + index));
	await faena.idle();
	if (process.argv[2] === 'deletes') await faena.cleanup({olderThan: '200ms'});
}
`;

const TASKS = `export const large = number => \`\${number} \`.repeat(1000);
export const hang = () => new Promise(() => setInterval(() => {}, 1000));
`;

function busyFolder(t: ExecutionContext): Folder {
	t.timeout(120_000);
	const folder = new Folder(t);
	folder.write('tasks.mjs', TASKS);
	folder.write('busy.mjs', BUSY);
	return folder;
}

/** Checks that the copy is whole: its integrity, and the result of each completed job. Returns the number of these. */
async function assertWhole(t: ExecutionContext, path: string): Promise<number> {
	const db = new Database(path);
	t.is(db.pragma('integrity_check', {simple: true}), 'ok');
	db.close();
	const queue = await openQueue(path, {readOnly: true});
	const counts = await queue.counts();
	let completed = 0;
	for await (const {id} of queue.jobs({status: 'completed'})) {
		const {payload, result} = (await queue.values(id)) ?? {};
		t.is(result, `${payload} `.repeat(1000));
		completed++;
	}
	await queue.close();
	t.is(counts.running, 0);
	t.is(counts.completed, completed);
	return completed;
}

for (const what of ['keeps', 'deletes']) {
	test(`backup copies one moment of a queue while an engine writes and ${what} results, with all results of that moment`, async t => {
		const folder = busyFolder(t);
		const busy = folder.run('busy.mjs', what);
		await busy.printed(1);
		mkdirSync(join(folder.path, 'copies'));
		let results = 0;
		for (const number of [1, 2, 3]) {
			const back = () => folder.faena('backup', `copies/${number}.db`).end();
			let ended = await back();
			// On a loaded machine the results may be gone before they are copied, ten times in a row.
			while (ended.code === ExitCode.unavailable && ended.stderr.includes('faster than they can be copied')) ended = await back();
			const {code, stdout, stderr} = ended;
			t.is(code, 0, stderr);
			t.is(stderr, '');
			t.regex(stdout, new RegExp(`^copies/${number}\\.db: [\\d.]+ MiB( and [\\d,]+ large results?)?\\n$`));
			results += await assertWhole(t, join(folder.path, `copies/${number}.db`));
		}
		t.true(what === 'deletes' || results > 0);
		const names = readdirSync(join(folder.path, 'copies'));
		t.deepEqual(
			names.filter(name => !/^\d\.db(-blobs)?$/.test(name)),
			[],
			'nothing else is left',
		);
		t.is(statSync(join(folder.path, 'copies/1.db')).mode & 0o777, 0o600);
		await busy.kill();
	});
}

test('in a backup no job runs and no map has its batch, and a copy of it can be worked on', async t => {
	const folder = busyFolder(t);
	const path = join(folder.path, 'faena.db');
	const working = folder.faena('map', './tasks.mjs#hang', '--stdin', '--batch', 'nightly', '-j', '1');
	working.child.stdin.write('one\n');
	while (!(await folder.faena('status').end()).stdout.includes('1 running'));
	await folder.faena('backup', 'copy.db').end();
	t.regex((await folder.faena('status', '--queue', 'copy.db').end()).stdout, /^copy\.db: 1 pending\n/);
	t.regex((await folder.faena('status').end()).stdout, /^faena\.db: 1 running\n/);
	t.like(await folder.faena('delete', 'nightly', '--queue', 'copy.db').end(), {code: 0, stdout: '1 job deleted\n'});
	t.deepEqual(
		readdirSync(folder.path).filter(name => name.startsWith('copy')),
		['copy.db'],
	);
	await working.kill();
	t.true(existsSync(path));
});

test('backup never writes over a file, and leaves none behind if it fails', async t => {
	const folder = busyFolder(t);
	const queue = await openQueue(join(folder.path, 'faena.db'));
	await queue.enqueue([{task: 'large', payload: 1}]);
	await queue.close();
	folder.write('taken.db', 'mine');
	symlinkSync('nowhere.db', join(folder.path, 'link.db'));
	folder.write('half.db-wal', 'mine');
	const before = readdirSync(folder.path);
	for (const [name, said] of [
		['taken.db', /taken\.db exists already\. A backup never writes over a file; name another one\./],
		['link.db', /link\.db exists already/],
		['half.db', /half\.db-wal exists already/],
		['faena.db', /faena\.db exists already/],
		['none/copy.db', /The folder .*none of the backup does not exist; create it first\./],
		['', /expects the path of an SQLite file, and the path of the copy/],
	] as const)
		assertSentence(t, await folder.faena('backup', name).end(), said);
	assertSentence(t, await folder.faena('backup').end(), /missing required argument 'file'/);
	assertSentence(t, await folder.faena('backup', 'copy.db', '--queue', 'none.db').end(), /There is no queue none\.db/, 69);
	assertSentence(t, await folder.faena('backup', 'copy.db', '--queue', 'taken.db').end(), /taken\.db is not an SQLite database/, 69);
	assertSentence(
		t,
		await folder.faena('backup', 'copy.db', '--queue', 'postgres://a:secret@127.0.0.1/b?schema=s').end(),
		/Copy a queue on PostgreSQL with: pg_dump --schema='s'/,
	);
	t.deepEqual(readdirSync(folder.path), before);
	t.is(readFileSync(join(folder.path, 'taken.db'), 'utf8'), 'mine');
});

test('a result whose file was lost before is told, and does not prevent a backup', async t => {
	const folder = new Folder(t);
	const path = join(folder.path, 'faena.db');
	const faena = await openEngine(t, {queue: path, blobs: {threshold: 10}});
	for (const text of ['one '.repeat(10), 'two '.repeat(10)]) await faena.call('echo', text);
	await faena.close();
	const [lost = ''] = readdirSync(`${path}-blobs`);
	rmSync(join(`${path}-blobs`, lost));
	const {code, stdout, stderr} = await folder.faena('backup', 'copy.db').end();
	t.is(code, 0);
	t.regex(stdout, /^copy\.db: [\d.]+ MiB and 1 large result\n$/);
	t.is(stderr, 'faena: Files are missing in faena.db-blobs: those of 1 large result. The copy lacks them, too.\n');
	await t.throwsAsync(backup(':memory:', 'x'), {code: 'BadOption', message: /expects the path of an SQLite file/});
	await t.throwsAsync(backup(path, 'postgres://a/b'), {code: 'BadOption', message: /backup\(\) writes an SQLite file/});
});
