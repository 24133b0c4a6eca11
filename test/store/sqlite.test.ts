import {chmodSync, chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import test, {type ExecutionContext} from 'ava';
import Database from 'better-sqlite3';
import {pack} from '../../lib/job/groups/packed.ts';
import type {NewJob} from '../../lib/job/new-job.ts';
import type {Policy} from '../../lib/job/policy.ts';
import {openStore} from '../../lib/store/open-store.ts';
import {connect} from '../../lib/store/sqlite/connection/connection.ts';
import {APPLICATION_ID, MIGRATIONS} from '../../lib/store/sqlite/connection/schema.sql.ts';
import {SQL} from '../../lib/store/sqlite/connection/statements.sql.ts';
import type {News} from '../../lib/store/store.ts';
import type {OpenStoreOptions} from '../../lib/store/store-options.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {HandClock} from '../fixtures/hand-clock.ts';
import {Program} from '../fixtures/program.ts';
import {openQueueAt} from '../fixtures/queue.ts';
import {exerciseStore} from './contract.ts';

const place = mkdtempSync(join(tmpdir(), 'faena-test-'));
test.after.always(() => rmSync(place, {recursive: true, force: true}));

let opened = 0;
const openLast = (options: OpenStoreOptions) => openStore(join(place, `${opened}.db`), {...options, durability: 'normal'});
exerciseStore(
	'sqlite',
	options => {
		opened++;
		return openLast(options);
	},
	{again: openLast},
);

const POLICY: Policy = {maxAttempts: 3, timeoutMs: null, backoff: {baseMs: 1000, factor: 2, maxMs: 60_000, jitter: 0}, retry: 'auto'};

function newJobs(count: number, job: Partial<NewJob> = {}): NewJob[] {
	return Array.from({length: count}, (_, index) => ({task: 'count', payload: String(index), priority: 0, runAt: null, policy: POLICY, ...job}));
}

test('a new database has its tables and indexes, and a WAL', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueueAt(path);
	await queue.enqueue(newJobs(1));
	const db = new Database(path, {readonly: true});
	const names = db.prepare('select name from sqlite_schema').pluck().all();
	for (const name of ['job', 'ready', 'waiting', 'claimed', 'outcome', 'tally', 'waiting_by_time', 'claimed_to_stop', 'outcome_unhappy'])
		t.true(names.includes(name));
	t.is(db.pragma('journal_mode', {simple: true}), 'wal');
	db.close();
	await queue.close();
});

test('a change of a parent that is too large for one transaction reaches each child once, also if the parent changes again meanwhile', async t => {
	const queue = await openQueueAt(join(makeFolder(t), 'jobs.db'));
	await queue.enqueue(newJobs(2));
	const parents = {edges: [{kind: 'all', parents: {ids: 1, count: 2}}], onParentDead: 'cancel'} as const;
	const count = 30_000;
	const blocked = async () => (await queue.counts()).blocked;
	const child = {task: 'child', priority: 0, policy: POLICY, runAt: null, values: pack(['1']), parents};
	await queue.store.commit({enqueue: Array.from({length: count}, () => child)});
	const complete = async () => {
		const {lease, jobs} = await queue.dequeue({owner: 'me', tasks: ['count']});
		await queue.settle(lease, [{id: jobs[0]?.id as number, execution: jobs[0]?.execution as number, outcome: {type: 'returned', value: '1'}}]);
	};
	const passOn = async () => {
		while ((await queue.store.commit({})).unblocked);
	};
	await complete();
	t.is(await queue.retry({ids: [1]}), 1);
	await complete();
	await passOn();
	t.like(await queue.counts(), {blocked: count, pending: 1, completed: 1});
	await complete();
	t.true((await blocked()) > 0);
	await passOn();
	t.like(await queue.counts(), {blocked: 0, pending: count, completed: 2});
	await queue.close();
});

test('the database and its side files can be read by their owner alone', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueueAt(path);
	await queue.enqueue(newJobs(1));
	await queue.dequeue({owner: 'me', tasks: ['count']});
	for (const file of [path, `${path}-wal`, `${path}-shm`, `${path}-owner-me`, `${path}-owner-me-open`]) t.is(statSync(file).mode & 0o777, 0o600, file);
	await queue.close();
});

test('a database is refused in a folder where everybody can replace it, and by a link', async t => {
	const folder = makeFolder(t);
	const path = join(folder, 'jobs.db');
	chmodSync(folder, 0o777);
	await t.throwsAsync(() => openQueueAt(path), {code: 'BadDatabase', message: /^Everybody can replace files in the folder .*\(chmod o-w /});
	t.false(existsSync(path));
	// The mode of /tmp.
	chmodSync(folder, 0o1777);
	(await openQueueAt(path)).close();
	symlinkSync(path, join(folder, 'link.db'));
	await t.throwsAsync(() => openQueueAt(join(folder, 'link.db')), {code: 'BadDatabase', message: /is a symbolic link\. Name the file that it leads to\.$/});
	if (process.getuid?.() !== 0) return;
	chownSync(path, 65_534, 65_534);
	await t.throwsAsync(() => openQueueAt(path), {code: 'BadDatabase', message: /belongs to another user/});
	chmodSync(folder, 0o700);
	(await openQueueAt(path)).close();
});

test('a file that is opened twice in one process gives two queues with the same jobs', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const [one, two] = [await openQueueAt(path), await openQueueAt(path)];
	await one.enqueue(newJobs(3));
	t.is((await two.counts()).pending, 3);
	await one.close();
	await two.close();
});

test('a commit of another connection that is reported while a listener is busy is heard as soon as it is done', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const clock = new HandClock();
	const options = {steadyMs: clock.steadyMs, every: clock.every};
	const [one, two] = [await openQueueAt(path, options), await openQueueAt(path, options)];
	let changes = 0;
	let done: (() => void) | undefined;
	two.store.listen('me', ({type}) => {
		if (type !== 'changed') return undefined;
		changes++;
		return new Promise<void>(resolve => {
			done = resolve;
		});
	});
	for (const heard of [1, 1]) {
		await one.enqueue(newJobs(1));
		for (let looks = 0; looks < 5; looks++) await clock.advance(20);
		t.is(changes, heard);
	}
	// The clock stands still from now on.
	done?.();
	for (let turns = 0; turns < 10; turns++) await clock.nextTurn();
	t.is(changes, 2);
	done?.();
	await one.close();
	await two.close();
});

test('a listener gets news once of a commit of another connection, and of the jobs of its owner that are to be stopped', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const clock = new HandClock();
	const options = {steadyMs: clock.steadyMs, every: clock.every};
	const [one, two] = [await openQueueAt(path, options), await openQueueAt(path, options)];
	await one.enqueue(newJobs(2));
	const {lease} = await two.dequeue({owner: 'me', tasks: ['count'], limit: 2});
	const heard: News[] = [];
	two.store.listen('me', news => void heard.push(news));
	const hear = async () => {
		for (let looks = 0; looks < 10; looks++) await clock.advance(20);
		return heard.splice(0).filter(({type}) => type !== 'health');
	};
	t.deepEqual(await hear(), []);
	await one.enqueue(newJobs(1));
	t.deepEqual(await hear(), [{type: 'changed', stop: []}]);
	await one.cancel({ids: [2]});
	t.deepEqual(await hear(), [{type: 'changed', stop: [{id: 2, lease, execution: 1}]}]);
	t.deepEqual(await hear(), []);
	await one.close();
	await two.close();
});

test('a listener that throws fails neither the commit that told it nor other listeners', async t => {
	const program = new Program(t, 'listener-throws', join(makeFolder(t), 'jobs.db'));
	t.deepEqual(JSON.parse(await program.line()), {isCompleted: true, completed: 1, heard: ['nightly'], surfaced: ['not today']});
});

/** Another connection that has the write lock of the database until it is told to release it. */
function holdWriteLock(t: ExecutionContext, path: string): {giveBack(): void} {
	const db = new Database(path);
	t.teardown(() => db.close());
	db.exec('begin immediate');
	return {giveBack: () => void db.exec('commit')};
}

test.serial("while another connection has the write lock, the caller's event loop goes on, and calls are done in their order", async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueueAt(path);
	t.teardown(() => queue.close());
	const lock = holdWriteLock(t, path);
	const asked = [queue.enqueue(newJobs(1)), queue.enqueue(newJobs(2)), queue.counts()] as const;
	// During a timer of 20 ms, the commit tries several times to get the lock.
	await sleep(20);
	lock.giveBack();
	const [first, second, counts] = await Promise.all(asked);
	t.deepEqual(
		[first, second].flat().map(({id}) => id),
		[1, 2, 3],
	);
	t.is(counts.pending, 3);
});

test.serial('a database that another connection has locked is opened once the lock is free, and the event loop goes on until then', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	await (await openQueueAt(path)).close();
	const lock = holdWriteLock(t, path);
	const opening = openQueueAt(path);
	await sleep(20);
	lock.giveBack();
	const queue = await opening;
	t.is((await queue.enqueue(newJobs(1))).length, 1);
	await queue.close();
});

test.serial('closing a queue waits for earlier calls, though another connection has the lock', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueueAt(path);
	const lock = holdWriteLock(t, path);
	const enqueued = queue.enqueue(newJobs(1));
	const closed = queue.close();
	await sleep(20);
	lock.giveBack();
	t.is((await enqueued).length, 1);
	await closed;
	await t.throwsAsync(queue.counts(), {code: 'Closed'});
});

test.serial('an owner whose heartbeat is written while a reclaim of its jobs waits for the lock keeps its jobs', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	let now = 0;
	const options = {leaseMs: 1000, steadyMs: () => now};
	const [quiet, other] = [await openQueueAt(path, options), await openQueueAt(path, options)];
	t.teardown(() => quiet.close());
	t.teardown(() => other.close());
	await quiet.enqueue(newJobs(1));
	await quiet.dequeue({owner: 'quiet', tasks: ['count']});
	for (; now <= 1000; now += 400) t.is(await other.reclaim(), 0);
	const db = new Database(path);
	t.teardown(() => db.close());
	db.exec('begin immediate');
	const reclaiming = other.reclaim();
	db.exec('update owner set heartbeat_at = heartbeat_at + 1; commit');
	t.is(await reclaiming, 0);
	t.like(await other.counts(), {running: 1});
});

test('several processes that create and share one file never get a job twice', async t => {
	const jobs = 3000;
	const path = join(makeFolder(t), 'jobs.db');
	const programs = Array.from({length: 4}, () => new Program(t, 'queue-worker', path, String(jobs)));
	// All start at once, so that they open the file while it is created.
	for (const {process} of programs) process.stdin?.write('go\n');
	const queue = await openQueueAt(path);
	await queue.enqueue(newJobs(jobs));
	const had = await Promise.all(programs.map(async program => JSON.parse(await program.line()) as number[]));
	t.deepEqual(
		had.flat().sort((a, b) => a - b),
		Array.from({length: jobs}, (_, index) => index + 1),
	);
	t.is((await queue.counts()).completed, jobs);
	await queue.close();
});

test('a hundred dequeued jobs of 1 MiB write no more than a few pages of WAL', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueueAt(path);
	for (let index = 0; index < 100; index++) await queue.enqueue(newJobs(1, {payload: `"${'x'.repeat(1024 * 1024)}"`}));
	await queue.close();
	const reopened = await openQueueAt(path);
	const before = statSync(`${path}-wal`).size;
	const {lease, jobs} = await reopened.dequeue({owner: 'me', tasks: ['count'], limit: 100});
	t.is(jobs.length, 100);
	await reopened.settle(
		lease,
		jobs.map(({id, execution}) => ({id, execution, outcome: {type: 'returned', value: null}})),
	);
	const written = statSync(`${path}-wal`).size - before;
	t.log(`${written} bytes`);
	t.true(written < 1024 * 1024, `${written} bytes`);
	await reopened.close();
});

test('a dequeue reads none of a hundred thousand delayed and paused jobs of higher priority', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueueAt(path, {durability: 'normal', now: () => 0});
	await queue.enqueue(newJobs(100_000, {priority: 9, runAt: 1_000_000}));
	await queue.enqueue(newJobs(100_000, {task: 'paused', priority: 9}));
	await queue.enqueue(newJobs(3));
	await queue.pause(['paused']);
	const {jobs} = await queue.dequeue({owner: 'me', tasks: ['paused', 'count'], limit: 2});
	t.deepEqual(
		jobs.map(({id}) => id),
		[200_001, 200_002],
	);
	await queue.close();
	const db = new Database(path, {readonly: true});
	const plan = (db.prepare(`explain query plan ${SQL.readyJobs}`).all({lane: 1, limit: 1}) as {detail: string}[]).map(({detail}) => detail);
	const due = (db.prepare(`explain query plan ${SQL.dueJobs}`).all(1, 1) as {detail: string}[]).map(({detail}) => detail);
	t.deepEqual(
		plan.filter(detail => detail.includes('SEARCH')),
		['SEARCH r USING PRIMARY KEY (task=?)', 'SEARCH j USING INTEGER PRIMARY KEY (rowid=?)', 'SEARCH ready_run USING PRIMARY KEY (task=?)'],
	);
	t.true(plan.includes('MERGE (UNION ALL)'));
	t.regex(due[0] as string, /waiting_by_time \(run_at>\? AND run_at<\?\)/);
	db.close();
});

test('the jobs of a killed process are reclaimed at once; those of a living one are not', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueueAt(path);
	await queue.enqueue(newJobs(2));
	const program = new Program(t, 'queue-holder', path);
	t.deepEqual(JSON.parse(await program.line()), [1, 2]);
	t.is(await queue.reclaim(), 0);
	t.is((await queue.counts()).running, 2);
	await program.kill('SIGKILL');
	t.is(await queue.reclaim(), 2);
	const job = await queue.job(1);
	t.like(job, {status: 'pending', attempts: 0, executions: 1});
	await queue.close();
});

test('an owner that was taken for dead while it was silent settles nothing, and its next heartbeat is fenced', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	let now = 0;
	const options = {now: () => now, steadyMs: () => now, leaseMs: 1000};
	const [sleeper, other] = [await openQueueAt(path, options), await openQueueAt(path, options)];
	await sleeper.enqueue(newJobs(1));
	const {lease, jobs} = await sleeper.dequeue({owner: 'sleeper', tasks: ['count']});
	for (now of [0, 500, 1000]) t.is(await other.reclaim(), 0);
	now = 1001;
	t.is(await other.reclaim(), 1);
	t.deepEqual(await sleeper.settle(lease, [{id: 1, execution: jobs[0]?.execution as number, outcome: {type: 'returned', value: '1'}}]), {accepted: 0, lost: 1});
	t.false(await sleeper.heartbeat('sleeper'));
	t.is((await other.counts()).pending, 1);
	await sleeper.close();
	await other.close();
});

for (const [durability, level] of [
	['full', 2],
	['normal', 1],
] as const) {
	test(`durability ${durability} holds from the first write on`, async t => {
		const connection = await connect(join(makeFolder(t), 'jobs.db'), durability);
		connection.transaction(() => connection.statements.takeWriteLock.run());
		t.is(connection.statements.takeWriteLock.database.pragma('synchronous', {simple: true}), level);
		connection.close();
	});
}

test('processes that create the same files at the same time all succeed, and see one queue in each', async t => {
	t.timeout(60_000);
	const folder = makeFolder(t);
	const files = 40;
	const programs = [1, 2, 3].map(() => new Program(t, 'open-many', folder, String(files)));
	for (const program of programs) t.is(await program.line(), 'ready');
	for (const {process} of programs) process.stdin?.write('go\n');
	for (const program of programs) t.is(await program.line(), 'done');
	for (let index = 0; index < files; index++) {
		const queue = await openQueueAt(join(folder, `${index}.db`));
		t.is((await queue.counts()).pending, 1);
		await queue.close();
	}
});

test('the log stays bounded, however much is written', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueueAt(path);
	for (let index = 0; index < 64; index++) await queue.enqueue(newJobs(1, {payload: `"${'x'.repeat(1024 * 1024)}"`}));
	t.true(statSync(`${path}-wal`).size < 24 * 1024 * 1024);
	await queue.close();
});

test('a lock that no process holds means a dead owner, though its heartbeat is fresh and its file exists', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueueAt(path);
	await queue.enqueue(newJobs(1));
	const program = new Program(t, 'queue-holder', path);
	await program.line();
	await program.kill('SIGKILL');
	t.true(existsSync(`${path}-owner-holder`));
	// Another process, perhaps with the process id of the dead one, does not have its lock.
	const other = new Program(t, 'queue', path);
	await other.line();
	t.is(await other.ask('reclaim'), 1);
	t.is((await queue.counts()).pending, 1);
	t.false(existsSync(`${path}-owner-holder`));
	await queue.close();
});

test('an owner that was silent until its jobs were reclaimed, and was then killed, leaves no file behind', async t => {
	const folder = makeFolder(t);
	const path = join(folder, 'jobs.db');
	let now = 0;
	const queue = await openQueueAt(path, {now: () => now, steadyMs: () => now, leaseMs: 1000});
	await queue.enqueue(newJobs(2));
	const program = new Program(t, 'queue-holder', path);
	await program.line();
	for (now of [0, 500, 1000]) t.is(await queue.reclaim(), 0);
	now = 1001;
	t.is(await queue.reclaim(), 2);
	await program.kill('SIGKILL');
	t.is(await queue.reclaim(), 0);
	t.deepEqual(
		readdirSync(folder).filter(name => name.includes('-owner-')),
		[],
	);
	await queue.close();
});

test('an owner whose lock another program holds is refused at once, without a wait that would keep the write lock, and lives once it is free', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueueAt(path);
	const holder = new Database(`${path}-owner-me`);
	holder.exec('begin exclusive');
	const begunAt = performance.now();
	const claim = () => queue.dequeue({owner: 'me', tasks: []});
	const refused = t.throwsAsync(claim, {code: 'OwnerInUse', message: /-owner-me is locked by another program/});
	// The refusal is synchronous.
	t.true(performance.now() - begunAt < 2000);
	await refused;
	holder.close();
	await claim();
	t.true(await queue.heartbeat('me'));
	await queue.close();
});

test('the lock and the list of open jobs of an owner without a row are removed once they are old', async t => {
	const folder = makeFolder(t);
	const path = join(folder, 'jobs.db');
	const queue = await openQueueAt(path);
	await queue.enqueue(newJobs(1));
	await queue.dequeue({owner: 'me', tasks: ['count']});
	for (const name of ['gone', 'gone-open', 'halfway-open', 'old-journal', 'young', 'young-open', 'young-journal'])
		writeFileSync(`${path}-owner-${name}`, '', {mode: 0o600});
	for (const name of ['me', 'me-journal', 'me-open', 'gone', 'gone-open', 'halfway-open', 'old-journal']) utimesSync(`${path}-owner-${name}`, 0, 0);
	await queue.reclaim();
	t.deepEqual(
		readdirSync(folder)
			.filter(name => name.includes('-owner-'))
			.sort(),
		['me', 'me-journal', 'me-open', 'young', 'young-journal', 'young-open'].map(name => `jobs.db-owner-${name}`),
	);
	await queue.close();
});

test('an upgrade turns suspicions into levels: a job that was suspected once runs beside the others', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const db = new Database(path);
	db.exec(MIGRATIONS[0] as string);
	db.exec('insert into trouble (id, attempts, suspicions) values (1, 0, 0), (2, 0, 1), (3, 0, 2)');
	db.pragma(`application_id = ${APPLICATION_ID}`);
	db.pragma('user_version = 1');
	db.close();
	await (await openQueueAt(path)).close();
	const migrated = new Database(path, {readonly: true});
	t.deepEqual(migrated.prepare('select suspicion from failure_state order by id').pluck().all(), [0, 0, 1]);
	migrated.close();
});

test('two processes that reclaim at once reclaim each job once', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueueAt(path);
	await queue.enqueue(newJobs(2));
	const [holder, ...others] = [new Program(t, 'queue-holder', path), new Program(t, 'queue', path), new Program(t, 'queue', path)];
	for (const program of others) await program.line();
	await holder?.line();
	await holder?.kill('SIGKILL');
	let recovered = 0;
	while ((await queue.counts()).running > 0) for (const each of await Promise.all(others.map(program => program.ask<number>('reclaim')))) recovered += each;
	t.is(recovered, 2);
	t.is((await queue.counts()).pending, 2);
	await queue.close();
});

test('a damaged database is refused before anything is written to it', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueueAt(path);
	await queue.enqueue(newJobs(100, {payload: JSON.stringify('x'.repeat(1000))}));
	await queue.close();
	const bytes = readFileSync(path);
	// The number of cells in the last page, which opening the database does not read.
	bytes.writeUInt16BE(40_000, bytes.length - 4096 + 3);
	writeFileSync(path, bytes);
	await t.throwsAsync(() => openQueueAt(path), {
		code: 'BadDatabase',
		message: /jobs\.db is damaged: [^\n]+\. It was left untouched\. Restore it from a backup/,
	});
	t.true(readFileSync(path).equals(bytes));
});

test('an orderly close leaves no side file behind', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueueAt(path);
	await queue.enqueue(newJobs(1));
	await queue.dequeue({owner: 'me', tasks: ['count']});
	await queue.close();
	for (const suffix of ['-wal', '-shm', '-owner-me', '-owner-me-open']) t.is(statSync(path + suffix, {throwIfNoEntry: false}), undefined);
});

test('a database of the first schema is upgraded with its batches and jobs', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const db = new Database(path);
	db.exec(MIGRATIONS[0] as string);
	db.pragma(`application_id = ${APPLICATION_ID}`);
	db.pragma('user_version = 1');
	db.exec("insert into task (id, name) values (1, 'hash')");
	db.exec("insert into batch (name, task, created_at, marks) values ('nightly', 1, 5, '[]')");
	db.close();
	const queue = await openQueueAt(path);
	t.teardown(() => queue.close());
	const batch = await queue.openBatch('nightly', 'hash', 'owner-1');
	t.is(batch, 1);
	await t.throwsAsync(async () => queue.openBatch('nightly', 'hash', 'owner-2'), {code: 'BatchInUse'});
	t.true(await queue.endInput(batch, 0, 'owner-1'));
	t.like(await queue.batch('nightly'), {createdAt: 5, total: 0});
});
