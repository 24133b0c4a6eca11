import {copyFileSync, existsSync, renameSync, rmSync, statSync, truncateSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import Database from 'better-sqlite3';
import type {Logger} from '../../lib/api/events.ts';
import {ExitCode} from '../../lib/cli/exit-codes.ts';
import type {Policy} from '../../lib/job/policy.ts';
import {openQueue, work} from '../../lib/queue.ts';
import {assertSentence, Folder, tasks} from '../cli/command.ts';
import {openEngine, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {HandClock} from '../fixtures/hand-clock.ts';
import {healthOf, openQueueAt} from '../fixtures/queue.ts';
import {openRawQueue} from '../fixtures/raw-queue.ts';

const POLICY: Policy = {maxAttempts: 3, timeoutMs: null, backoff: {baseMs: 1000, factor: 2, maxMs: 60_000, jitter: 0}, retry: 'auto'};
const SILENT: Logger = {debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined};
const JOB = {task: 'echo', payload: JSON.stringify('x'.repeat(1000)), priority: 0, runAt: null, policy: POLICY};

/** Harm to the files of a database in use, and the error that follows. */
const ACTS: Readonly<Record<string, readonly [act: (path: string) => void, words: RegExp]>> = {
	'is deleted': [path => rmSync(path), /jobs\.db was deleted or moved while the database was in use, .*Restore/],
	'is moved': [path => renameSync(path, `${path}.old`), /jobs\.db was deleted or moved while the database was in use/],
	'is replaced by a copy': [replace, /jobs\.db was replaced by another file while the database was in use/],
	'is truncated': [path => truncateSync(path, 8192), /jobs\.db was truncated or damaged while it was in use: .*\. Restore it from a backup/],
	'is emptied': [path => truncateSync(path, 0), /jobs\.db was emptied while the database was in use/],
	'loses its log': [path => rmSync(`${path}-wal`), /jobs\.db-wal was deleted or moved while the database was in use/],
	'has its log emptied': [path => truncateSync(`${path}-wal`, 0), /jobs\.db-wal was truncated while the database was in use/],
};

function replace(path: string): void {
	copyFileSync(path, `${path}.copy`);
	renameSync(`${path}.copy`, path);
}

for (const [what, [act, words]] of Object.entries(ACTS)) {
	test(`a database that ${what} stops an idle engine, and callers that wait or call later learn why`, async t => {
		const queue = join(makeFolder(t), 'jobs.db');
		const {logger, failed} = hearsOfFailure();
		const faena = await openEngine(t, {queue, isolation: 'inline', logger});
		await faena.enqueueMany('echo', Array(200).fill('x'.repeat(1000)));
		await faena.idle();
		moveLog(queue);
		const waiting = (await faena.enqueue('echo', 'later', {delay: '1h'})).result();
		act(queue);
		await t.throwsAsync(waiting as Promise<unknown>, {code: 'BadDatabase', message: words});
		await failed;
		await t.throwsAsync(faena.enqueue('echo', 1), {code: 'BadDatabase', message: words});
		await t.notThrowsAsync(faena.close());
	});
}

/** A logger, and what resolves when it is told that the engine has failed. */
function hearsOfFailure(): {readonly logger: Logger; readonly failed: Promise<void>} {
	const {promise, resolve} = Promise.withResolvers<void>();
	return {logger: {...SILENT, error: () => resolve()}, failed: promise};
}

/** So that all lies in the database itself. */
function moveLog(path: string): void {
	const db = new Database(path);
	db.pragma('wal_checkpoint(truncate)');
	db.close();
}

for (const what of ['is deleted', 'is replaced by a copy', 'is truncated'] as const) {
	test(`a database that ${what} stops a busy engine: its map, its calls and its close end with the reason`, async t => {
		const [act, words] = ACTS[what] as (typeof ACTS)[string];
		const folder = makeFolder(t);
		const [queue, file] = [join(folder, 'jobs.db'), join(folder, 'file')];
		const {logger, failed} = hearsOfFailure();
		const faena = await openEngine(t, {queue, isolation: 'thread', logger});
		await faena.enqueueMany('echo', Array(200).fill('x'.repeat(1000)));
		await faena.idle();
		moveLog(queue);
		const held = (await faena.enqueue('hold', file)).result() as Promise<unknown>;
		const mapped = mapForever(faena, () => act(queue));
		const expected = {code: 'BadDatabase', message: words};
		await Promise.all([t.throwsAsync(mapped, expected), t.throwsAsync(held, expected)]);
		await failed;
		await t.throwsAsync(faena.counts(), expected);
		await t.notThrowsAsync(faena.close());
	});
}

async function mapForever(faena: Awaited<ReturnType<typeof openEngine>>, act: () => void): Promise<void> {
	let results = 0;
	for await (const {status} of faena.map('echo', endless())) if (status === 'completed' && ++results === 300) act();
}

function* endless(): Iterable<string> {
	for (;;) yield 'x'.repeat(1000);
}

test('work() ends with an error when its database is deleted, also in the midst of a job', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueue(path);
	const expected = {code: 'BadDatabase', message: /jobs\.db was deleted or moved while the database was in use/};
	const tasks = {
		echo: (value: unknown) => {
			rmSync(path, {force: true});
			return value;
		},
	};
	await queue.enqueue([{task: 'echo', payload: 1}]);
	await t.throwsAsync(work(queue, tasks), expected);
	await queue.close();
	t.false(existsSync(path), 'it is not made anew');
});

test('work() that waits for jobs ends with an error when its database is deleted', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueue(path);
	const working = work(queue, {echo: (value: unknown) => value});
	rmSync(path);
	await t.throwsAsync(working, {code: 'BadDatabase', message: /jobs\.db was deleted or moved while the database was in use/});
});

test('faena map whose database is deleted ends with a sentence', async t => {
	t.timeout(60_000);
	const folder = new Folder(t);
	const map = folder.faena('map', tasks('traces-executions', 'hang'), '--stdin', '--quiet');
	map.child.stdin.write('hangs\n');
	while (folder.executions().length === 0) await sleep(5);
	rmSync(join(folder.path, 'faena.db'));
	assertSentence(t, await map.end(), /faena\.db was deleted or moved while the database was in use/, ExitCode.unavailable);
});

test('an emptied database with its log beside it is refused, and both are left', async t => {
	const folder = makeFolder(t);
	const [path, other] = [join(folder, 'jobs.db'), join(folder, 'other.db')];
	const queue = await openRawQueue(path);
	await queue.enqueue([JOB]);
	copyFileSync(`${path}-wal`, `${other}-wal`);
	writeFileSync(other, '');
	const {size} = statSync(`${other}-wal`);
	await t.throwsAsync(openRawQueue(other), {code: 'BadDatabase', message: /other\.db was emptied: .*left untouched/});
	t.deepEqual([statSync(other).size, statSync(`${other}-wal`).size], [0, size]);
	await queue.close();
});

test('damage that only a read meets stops the engine, too', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const {logger, failed} = hearsOfFailure();
	const faena = await openEngine(t, {queue: path, isolation: 'inline', logger});
	const waiting = (await faena.enqueue('echo', 1, {delay: '1h'})).result() as Promise<unknown>;
	const db = new Database(path);
	db.exec('drop table log');
	db.close();
	const expected = {code: 'BadDatabase', message: /jobs\.db is damaged, or another program has changed it: no such table: log\. Restore it from a backup/};
	await Promise.all([t.throwsAsync(waiting, expected), t.throwsAsync(faena.job(1).info(), expected)]);
	await failed;
	await t.notThrowsAsync(faena.close());
});

test('a queue that has lost its connection does not make a deleted database anew', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	let fails = false;
	const now = () => {
		if (fails) throw new Database.SqliteError('disk I/O error', 'SQLITE_IOERR_FSYNC');
		return 0;
	};
	const queue = await openRawQueue(path, {now});
	await queue.enqueue([JOB]);
	fails = true;
	await t.throwsAsync(queue.enqueue([JOB]), {code: 'OutcomeUnknown'});
	fails = false;
	rmSync(path);
	await t.throwsAsync(queue.enqueue([JOB]), {code: 'BadDatabase', message: /jobs\.db was deleted or moved/});
	t.false(existsSync(path));
	await queue.close();
});

test('a file that a VACUUM has shortened is not taken for damaged', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const clock = new HandClock();
	const queue = await openQueueAt(path, clock);
	await queue.enqueue(Array(200).fill(JOB));
	await queue.cancel({});
	moveLog(path);
	const {size} = statSync(path);
	await queue.counts();
	await queue.store.delete({endedBefore: Infinity});
	const db = new Database(path);
	db.exec('vacuum');
	db.close();
	moveLog(path);
	t.true(statSync(path).size < size);
	await t.notThrowsAsync(healthOf(queue, clock));
	await queue.close();
});

test('the content of a file that a VACUUM has shortened is not checked: in a large file that would take long', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const clock = new HandClock();
	const queue = await openQueueAt(path, clock);
	await queue.enqueue(Array(200).fill(JOB));
	await queue.cancel({});
	await queue.store.delete({endedBefore: Infinity});
	moveLog(path);
	const {size} = statSync(path);
	await healthOf(queue, clock);
	const db = new Database(path);
	spoil(db);
	db.exec('vacuum');
	t.regex(String(db.pragma('integrity_check', {simple: true})), /NULL value in log\.text/);
	db.close();
	moveLog(path);
	t.true(statSync(path).size < size);
	await t.notThrowsAsync(healthOf(queue, clock));
	await queue.close();
});

/** Makes a row that an integrity check would find, and a vacuum copies. */
function spoil(db: Database.Database): void {
	db.unsafeMode();
	db.pragma('writable_schema = on');
	const edit = db.prepare("update sqlite_schema set sql = replace(sql, ?, ?) where name = 'log'");
	edit.run('text text not null', 'text text');
	db.pragma('writable_schema = reset');
	db.exec("insert into log (id, execution, at, level, text) values (1, 1, 0, 'info', null)");
	db.pragma('writable_schema = on');
	edit.run('text text', 'text text not null');
	db.pragma('writable_schema = reset');
}

test('the write-ahead log grows while another program holds a read transaction open, and the engine warns of it', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const grown = Promise.withResolvers<number>();
	const warn = (fields: object) => 'logBytes' in fields && grown.resolve(fields.logBytes as number);
	const faena = await openEngine(t, {queue, isolation: 'inline', logger: {...SILENT, warn}});
	const reader = beginReading(queue);
	await faena.pause();
	await faena.enqueueMany('echo', Array(80).fill('x'.repeat(1_000_000)));
	t.true((await grown.promise) >= 64 * 1024 * 1024);
	reader.close();
});

test('once the last older transaction ends, the log shrinks back with the next writes', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openRawQueue(path, {durability: 'normal'});
	const reader = beginReading(path);
	for (let jobs = 0; jobs < 40; jobs++) await queue.enqueue([{...JOB, payload: JSON.stringify('x'.repeat(1_000_000))}]);
	t.true(statSync(`${path}-wal`).size > 40_000_000);
	reader.close();
	await queue.store.commit({claim: {owner: 'me', lanes: [], limit: 0, maxBytes: 0}});
	// A heartbeat is a write: the first moves the log into the database, the second begins it anew.
	await queue.heartbeat('me');
	await queue.heartbeat('me');
	t.true(statSync(`${path}-wal`).size <= 16 * 1024 * 1024 * 1.1);
	await queue.close();
});

function beginReading(path: string): Database.Database {
	const reader = new Database(path, {readonly: true});
	reader.exec('begin');
	reader.prepare('select count(*) from job').get();
	return reader;
}
