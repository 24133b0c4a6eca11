import {existsSync, mkdirSync, readdirSync, rmSync, symlinkSync} from 'node:fs';
import {join, relative} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {open} from '../../lib/index.ts';
import type {Policy} from '../../lib/job/job.ts';
import type {NewJob} from '../../lib/job/new-job.ts';
import {type JobQueue, openQueue} from '../../lib/queue.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {Program} from '../fixtures/program.ts';
import {openQueueAt} from '../fixtures/queue.ts';

const POLICY: Policy = {maxAttempts: 3, timeoutMs: null, backoff: {baseMs: 1000, factor: 2, maxMs: 60_000, jitter: 0}, retry: 'auto'};
const JOB: NewJob = {task: 'count', payload: '1', priority: 0, runAt: null, policy: POLICY};
const LEASE_MS = 1000;

function makeFolders(t: ExecutionContext): {readonly home: string; readonly elsewhere: string} {
	const folder = makeFolder(t);
	const [home, elsewhere] = [join(folder, 'home'), join(folder, 'elsewhere')];
	for (const each of [home, elsewhere]) mkdirSync(each);
	return {home, elsewhere};
}

/** Opens a queue, and claims a job by an owner that lives in this process. */
async function openHolder(t: ExecutionContext, path: string): Promise<JobQueue> {
	const queue = await openQueue(path);
	t.teardown(() => queue.close());
	await queue.enqueue([JOB]);
	t.is((await queue.dequeue({owner: 'holder', tasks: ['count']})).jobs.length, 1);
	return queue;
}

test('a program that opened its queue by a relative path and then changed its working directory sees that other owners live', async t => {
	const {home, elsewhere} = makeFolders(t);
	const holder = await openHolder(t, join(home, 'jobs.db'));
	const moved = new Program(t, 'moved-queue', home, elsewhere);
	await moved.line();
	t.is(await moved.ask('reclaim'), 0);
	t.is((await holder.counts()).running, 1);
	t.deepEqual(await moved.ask('dequeue', {owner: 'moved', tasks: ['count']}), {lease: 0, jobs: []});
	t.deepEqual(readdirSync(elsewhere), []);
});

for (const isolation of ['thread', 'process', 'inline']) {
	test(`a program that changes its working directory while its engine opens keeps results and locks beside the database: ${isolation}`, async t => {
		t.timeout(60_000);
		const {home, elsewhere} = makeFolders(t);
		const program = new Program(t, 'moved-engine', home, elsewhere, isolation);
		t.deepEqual([await program.lines(), (await program.ended()).stderr], [['10000'], '']);
		t.deepEqual([readdirSync(elsewhere), readdirSync(home).sort()], [[], ['jobs.db', 'jobs.db-blobs']]);
		const faena = await open({queue: join(home, 'jobs.db')});
		t.is((await faena.job(1))?.result, 'x'.repeat(10_000));
		await faena.close();
	});
}

test('every spelling of a path to a database gives the same path, by which its locks and results are found', async t => {
	const {home, elsewhere} = makeFolders(t);
	const path = join(home, 'jobs.db');
	symlinkSync(home, join(elsewhere, 'link'));
	const ways = [relative(process.cwd(), path), `${elsewhere}/../home/jobs.db`, join(elsewhere, 'link/jobs.db'), `${elsewhere}/link/../home/./jobs.db`];
	await openHolder(t, path);
	for (const way of ways) {
		const queue = await openQueue(way);
		t.is(queue.location, path);
		t.is(await queue.reclaim(), 0);
		await queue.close();
	}
});

test('a path that SQLite would read as another path is refused', async t => {
	const path = join(makeFolder(t), 'jobs.db ');
	await t.throwsAsync(openQueue(path), {code: 'BadOption', message: /^openQueue\(\) expects as queue a path that does not end with white space; it got "/});
	await t.throwsAsync(open({queue: path}), {code: 'BadOption', message: /^open\(\) expects as queue a path that does not end with white space; it got "/});
	t.deepEqual(readdirSync(join(path, '..')), []);
});

test('an owner whose lock is missing is dead only once it has been silent for a lease', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const clock = {now: 1_000_000};
	const open = () => openQueueAt(path, {leaseMs: LEASE_MS, now: () => clock.now, steadyMs: () => clock.now});
	const [holder, other] = [await open(), await open()];
	t.teardown(async () => {
		for (const queue of [holder, other]) await queue.close();
	});
	await holder.enqueue([JOB]);
	await holder.dequeue({owner: 'holder', tasks: ['count']});
	rmSync(`${path}-owner-holder`);
	for (let time = 0; time < 6; time++, clock.now += LEASE_MS / 2) {
		t.true(await holder.heartbeat('holder'));
		t.is(await other.reclaim(), 0);
	}
	let recovered = 0;
	for (const since = clock.now; recovered === 0; clock.now += LEASE_MS / 2) {
		recovered = await other.reclaim();
		t.is(recovered === 1, clock.now - since >= LEASE_MS);
	}
	t.is((await other.counts()).pending, 1);
});

test('if an owner fails to sign off as it closes, others reclaim its jobs at once', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	let fails = false;
	const now = () => {
		if (fails) throw new Error('no clock');
		return 1_000_000;
	};
	const [leaving, other] = [await openQueueAt(path, {now}), await openQueueAt(path)];
	t.teardown(() => other.close());
	await leaving.enqueue([JOB]);
	await leaving.dequeue({owner: 'leaving', tasks: ['count']});
	fails = true;
	await t.throwsAsync(leaving.close(), {message: 'no clock'});
	t.true(existsSync(`${path}-owner-leaving`));
	t.is(await other.reclaim(), 1);
	t.false(existsSync(`${path}-owner-leaving`));
	t.is((await other.counts()).pending, 1);
});

for (const owner of ['me ', '../me', 'a\\b', 'me\n']) {
	test(`an owner whose name can't be the name of a file is refused, and leaves no file: ${JSON.stringify(owner)}`, async t => {
		const folder = makeFolder(t);
		const queue = await openQueue(join(folder, 'jobs.db'));
		t.teardown(() => queue.close());
		await t.throwsAsync(async () => queue.dequeue({owner, tasks: ['count']}), {code: 'BadOption', message: /^An owner's name names a file: .* This is "/});
		await queue.enqueue([JOB]);
		t.is((await queue.dequeue({owner: 'me', tasks: ['count']})).jobs.length, 1);
		t.deepEqual(
			readdirSync(folder).filter(name => name.includes('-owner-') && !name.endsWith('-journal')),
			['jobs.db-owner-me', 'jobs.db-owner-me-open'],
		);
	});
}
