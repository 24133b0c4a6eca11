import {mkdirSync, readdirSync, symlinkSync} from 'node:fs';
import {join, relative} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {open} from '../../lib/index.ts';
import type {NewJob} from '../../lib/job/new-job.ts';
import type {Policy} from '../../lib/job/policy.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {Program} from '../fixtures/program.ts';
import {openRawQueue, type RawQueue} from '../fixtures/raw-queue.ts';

const POLICY: Policy = {maxAttempts: 3, timeoutMs: null, backoff: {baseMs: 1000, factor: 2, maxMs: 60_000, jitter: 0}, retry: 'auto'};
const JOB: NewJob = {task: 'count', payload: '1', priority: 0, runAt: null, policy: POLICY};

function makeFolders(t: ExecutionContext): {readonly home: string; readonly elsewhere: string} {
	const folder = makeFolder(t);
	const [home, elsewhere] = [join(folder, 'home'), join(folder, 'elsewhere')];
	for (const each of [home, elsewhere]) mkdirSync(each);
	return {home, elsewhere};
}

/** Opens a queue, and claims a job by an owner that lives in this process. */
async function openHolder(t: ExecutionContext, path: string): Promise<RawQueue> {
	const queue = await openRawQueue(path);
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
		t.is((await faena.job(1).info())?.result, 'x'.repeat(10_000));
		await faena.close();
	});
}

test('all spellings of a path to a database lead to the same locks and results', async t => {
	const {home, elsewhere} = makeFolders(t);
	const path = join(home, 'jobs.db');
	symlinkSync(home, join(elsewhere, 'link'));
	const ways = [relative(process.cwd(), path), `${elsewhere}/../home/jobs.db`, join(elsewhere, 'link/jobs.db'), `${elsewhere}/link/../home/./jobs.db`];
	await openHolder(t, path);
	for (const way of ways) {
		const queue = await openRawQueue(way);
		t.is(queue.location, path);
		t.is(await queue.reclaim(), 0);
		await queue.close();
	}
});

test('a path that SQLite would read as another path is refused', async t => {
	const path = join(makeFolder(t), 'jobs.db ');
	await t.throwsAsync(openRawQueue(path), {code: 'BadOption', message: /^openQueue\(\) expects as queue a path that does not end with white space; it got "/});
	await t.throwsAsync(open({queue: path}), {code: 'BadOption', message: /^open\(\) expects as queue a path that does not end with white space; it got "/});
	t.deepEqual(readdirSync(join(path, '..')), []);
});
