import {chmodSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import Database from 'better-sqlite3';
import {Folder} from '../cli/command.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {Program} from '../fixtures/program.ts';
import {openRawQueue, type RawQueue} from '../fixtures/raw-queue.ts';

const POLICY = {maxAttempts: 3, timeoutMs: null, backoff: {baseMs: 0, factor: 1, maxMs: 0, jitter: 0}, retry: 'auto'} as const;
const JOB = {task: 'count', payload: '1', priority: 0, runAt: null, policy: POLICY};

async function queueIn(t: ExecutionContext, path: string): Promise<RawQueue> {
	const queue = await openRawQueue(path);
	t.teardown(() => queue.close());
	await queue.enqueue([JOB, JOB]);
	await queue.dequeue({owner: 'worker', tasks: ['count'], limit: 1});
	return queue;
}

/** The files of the folder and their contents, without the index of the log, in which readers write their positions. */
function contents(folder: string): Record<string, string> {
	const names = readdirSync(folder).filter(name => !name.endsWith('-shm'));
	return Object.fromEntries(names.map(name => [name, readFileSync(join(folder, name)).toString('base64')]));
}

test('a read-only queue returns the same as other queues, and writes nothing', async t => {
	const folder = makeFolder(t);
	const path = join(folder, 'jobs.db');
	const queue = await queueIn(t, path);
	const before = contents(folder);
	const look = await openRawQueue(path, {readOnly: true});
	t.deepEqual(await look.jobs({}).page(), await queue.jobs({}).page());
	t.deepEqual(await look.counts(), await queue.counts());
	t.deepEqual(await look.batches(), []);
	t.is(await look.reclaim(), 0);
	const refused = {code: 'BadDatabase', message: /jobs\.db can't be written here, because it was opened with readOnly: true\./};
	await t.throwsAsync(look.enqueue([JOB]), refused);
	await t.throwsAsync(look.cancel({task: 'count'}), refused);
	await t.throwsAsync(look.dequeue({owner: 'reader', tasks: ['count']}), refused);
	t.deepEqual(await look.counts(), await queue.counts());
	await look.close();
	t.deepEqual(contents(folder), before);
	await queue.enqueue([JOB]);
});

test('a read-only queue waits for no writer, and reclaims no job of a killed program', async t => {
	t.timeout(60_000);
	const path = join(makeFolder(t), 'jobs.db');
	await queueIn(t, path);
	const program = new Program(t, 'queue-holder', path);
	await program.line();
	await program.kill('SIGKILL');
	const writer = new Database(path);
	t.teardown(() => writer.close());
	writer.exec('begin immediate');
	const look = await openRawQueue(path, {readOnly: true});
	t.is(await look.reclaim(), 0);
	t.is((await look.counts()).running, 2);
	await look.close();
	writer.exec('rollback');
});

test('a read-only queue creates no file, and refuses a file that is not a queue', async t => {
	const folder = makeFolder(t);
	await t.throwsAsync(openRawQueue(join(folder, 'new.db'), {readOnly: true}), {code: 'BadDatabase', message: /There is no database .*new\.db/});
	t.deepEqual(readdirSync(folder), []);
	writeFileSync(join(folder, 'empty.db'), '');
	await t.throwsAsync(openRawQueue(join(folder, 'empty.db'), {readOnly: true}), {
		code: 'BadDatabase',
		message: /empty\.db was never finished, or an older Faena wrote it/,
	});
	t.is(readFileSync(join(folder, 'empty.db')).length, 0);
	writeFileSync(join(folder, 'text.db'), 'no database'.repeat(100));
	await t.throwsAsync(openRawQueue(join(folder, 'text.db'), {readOnly: true}), {code: 'BadDatabase', message: /is not an SQLite database/});
});

test('a read-only queue needs no permission to write while a program has the file open; otherwise a sentence says so', async t => {
	t.timeout(60_000);
	const folder = makeFolder(t);
	const path = join(folder, 'jobs.db');
	const queue = await queueIn(t, path);
	const allow = (mode: number) => {
		for (const name of readdirSync(folder)) chmodSync(join(folder, name), mode);
	};
	const program = new Program(t, 'looks-unprivileged', path);
	allow(0o644);
	chmodSync(folder, 0o555);
	program.process.stdin?.write('look\n');
	t.is(await program.line(), '{"blocked":0,"pending":1,"running":1,"failed":0,"completed":0,"dead":0,"cancelled":0}');
	await queue.close();
	program.process.stdin?.write('look\n');
	t.regex(await program.line(), /^BadDatabase: .*jobs\.db can't be read: SQLite must write .*jobs\.db-shm and .*jobs\.db-wal beside it/);
	program.process.stdin?.end();
	chmodSync(folder, 0o755);
});

test('status, batches and show write nothing, and answer while another program holds the write lock', async t => {
	t.timeout(60_000);
	const folder = new Folder(t);
	const path = join(folder.path, 'faena.db');
	await queueIn(t, path);
	const writer = new Database(path);
	t.teardown(() => writer.close());
	writer.exec('begin immediate');
	const before = contents(folder.path);
	for (const [words, said] of [
		[['status'], /^faena\.db: 1 pending, 1 running\n/],
		[['batches'], /^faena\.db: no batches\n/],
		[['show', '1'], /^job 1 +count {2}running\n/],
	] as const) {
		const {code, stdout, stderr} = await folder.faena(...words).end();
		t.is(code, 0, stderr);
		t.regex(stdout, said);
	}
	t.deepEqual(contents(folder.path), before);
	writer.exec('rollback');
});
