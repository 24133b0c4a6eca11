import {existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync, statSync, utimesSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import test from 'ava';
import Database from 'better-sqlite3';
import {decode, encode} from '../../lib/job/encoding.ts';
import type {NewJob} from '../../lib/job/new-job.ts';
import type {Policy} from '../../lib/job/policy.ts';
import {openStore} from '../../lib/store/open-store.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {commitPlain} from '../fixtures/plain.ts';
import {openQueueAt} from '../fixtures/queue.ts';
import type {RawQueue} from '../fixtures/raw-queue.ts';
import {exerciseStore} from './contract.ts';

const place = mkdtempSync(join(tmpdir(), 'faena-test-'));
test.after.always(() => rmSync(place, {recursive: true, force: true}));

let opened = 0;
exerciseStore('sqlite with results in files', options => openStore(join(place, `${++opened}.db`), {...options, durability: 'normal', blobThresholdBytes: 1}));

const POLICY: Policy = {maxAttempts: 3, timeoutMs: null, backoff: {baseMs: 1000, factor: 2, maxMs: 60_000, jitter: 0}, retry: 'auto'};
const LARGE = encode('x'.repeat(100_000), 'result');

function newJob(job: Partial<NewJob> = {}): NewJob {
	return {task: 'count', payload: '1', priority: 0, runAt: null, policy: POLICY, ...job};
}

/** Enqueues a job for each value, and completes it with that value. */
async function complete(queue: RawQueue, ...values: Parameters<typeof decode>[0][]): Promise<void> {
	await queue.enqueue(values.map(() => newJob()));
	const {lease, jobs} = await queue.dequeue({owner: 'me', tasks: ['count'], limit: values.length});
	await queue.settle(
		lease,
		jobs.map(({id, execution}, index) => ({id, execution, outcome: {type: 'returned', value: values[index] ?? null}})),
	);
}

function age(path: string): void {
	const twoHoursAgo = Date.now() / 1000 - 7200;
	utimesSync(path, twoHoursAgo, twoHoursAgo);
}

test('results over the threshold lie in private files beside the database, named by their content, and every queue reads them', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueueAt(path, {blobThresholdBytes: 1000});
	const values = [LARGE, encode(new Uint8Array(5000).fill(7), 'result'), encode(new Map([[1, 'ü'.repeat(1000)]]), 'result'), encode('small', 'result'), null];
	await complete(queue, ...values);
	const names = readdirSync(`${path}-blobs`);
	t.is(names.length, 3);
	for (const name of names) {
		t.regex(name, /^[0-9a-f]{64}\.(json|bin)$/);
		t.is(statSync(join(`${path}-blobs`, name)).mode & 0o777, 0o600);
	}
	t.is(statSync(`${path}-blobs`).mode & 0o777, 0o700);
	await queue.close();
	const other = await openQueueAt(path);
	for (const [index, value] of values.entries()) {
		t.deepEqual(decode((await other.values(index + 1))?.result ?? null), decode(value));
		t.deepEqual(decode((await other.outcomes([index + 1]))[0]?.result ?? null), decode(value));
	}
	await other.close();
	// The large result is not in the database.
	t.true(readFileSync(path).byteLength < 300_000);
	t.false(readFileSync(path).includes('x'.repeat(1000)));
});

test('results over the threshold lie in files, even if they are short and their jobs end together', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueueAt(path, {blobThresholdBytes: 10});
	const values = Array.from({length: 8}, (_, index) => encode(index % 4 === 0 ? `much ${index} `.repeat(5) : index, 'result'));
	await complete(queue, ...values);
	for (const [index, value] of values.entries()) t.deepEqual((await queue.values(index + 1))?.result, value);
	await queue.close();
	t.is(readdirSync(`${path}-blobs`).length, 2);
	t.false(readFileSync(path).includes('much'));
});

test('equal results share a file, which is deleted with the last job that names it', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const clock = {now: Date.now()};
	const queue = await openQueueAt(path, {blobThresholdBytes: 1000, now: () => clock.now});
	const files = () => readdirSync(`${path}-blobs`).length;
	await complete(queue, LARGE);
	clock.now += 10_000;
	await complete(queue, LARGE, LARGE);
	t.is(files(), 1);
	t.is((await queue.store.delete({endedBefore: clock.now})).deleted, 1);
	t.is(files(), 1);
	t.is((await queue.values(2))?.result, LARGE);
	t.is((await queue.store.delete({endedBefore: clock.now + 1})).deleted, 2);
	t.is(files(), 0);
	await queue.close();
});

test("a cleanup that can't delete a file deletes the others, and the file is an orphan", async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueueAt(path, {blobThresholdBytes: 1000});
	await complete(queue, LARGE, encode('y'.repeat(2000), 'result'));
	const [first = '', second = ''] = readdirSync(`${path}-blobs`);
	const stuck = join(`${path}-blobs`, first);
	rmSync(stuck);
	mkdirSync(stuck);
	t.is((await queue.store.delete({endedBefore: Infinity})).deleted, 2);
	t.false(existsSync(join(`${path}-blobs`, second)));
	rmdirSync(stuck);
	await queue.close();
});

test('a file whose transaction failed is an orphan, and a cleanup an hour later deletes it and no others', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueueAt(path, {blobThresholdBytes: 1000});
	await queue.enqueue([newJob({key: 'a'}), newJob()]);
	const {lease, jobs} = await queue.dequeue({owner: 'me', tasks: ['count'], limit: 2});
	const settle = jobs.map(({id, execution}) => ({
		id,
		lease,
		execution,
		outcome: {type: 'returned' as const, value: encode(`${id}${'y'.repeat(2000)}`, 'result')},
	}));
	const changes = {settle, enqueue: [newJob({key: 'a', payload: '2'})], rejectConflicts: true};
	await t.throwsAsync(commitPlain(queue.store, changes), {code: 'KeyConflict'});
	const names = readdirSync(`${path}-blobs`);
	t.is(names.length, 2);
	// Then one of the files is named by a job. A draft that a crash left is an orphan, too.
	await queue.settle(lease, settle.slice(0, 1));
	const draft = `${'0123'.repeat(16)}.json-draft`;
	names.push(draft);
	writeFileSync(join(`${path}-blobs`, draft), 'half a');
	await queue.store.delete({endedBefore: 0});
	t.deepEqual(readdirSync(`${path}-blobs`).sort(), names.toSorted());
	for (const name of names) age(join(`${path}-blobs`, name));
	await queue.store.delete({endedBefore: 0});
	t.is(readdirSync(`${path}-blobs`).length, 1);
	t.is((await queue.values(1))?.result, settle[0]?.outcome.value);
	await queue.close();
});

test('a result that is stored again makes its orphaned file young, so that no cleanup deletes it before a job names it', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueueAt(path, {blobThresholdBytes: 1000});
	await complete(queue, LARGE);
	await queue.retry({ids: [1]});
	const [name = ''] = readdirSync(`${path}-blobs`);
	age(join(`${path}-blobs`, name));
	const {lease, jobs} = await queue.dequeue({owner: 'me', tasks: ['count']});
	await queue.settle(lease, [{id: 1, execution: jobs[0]?.execution ?? 0, outcome: {type: 'returned', value: LARGE}}]);
	t.true(Date.now() - statSync(join(`${path}-blobs`, name)).mtimeMs < 600_000);
	await queue.close();
});

test('a result whose file is missing throws when it is decoded, and other results are read', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueueAt(path, {blobThresholdBytes: 1000});
	await complete(queue, LARGE, encode(1, 'result'));
	rmSync(`${path}-blobs`, {recursive: true});
	const ends = await queue.outcomes([1, 2]);
	t.is(decode(ends[1]?.result ?? null), 1);
	t.throws(() => decode(ends[0]?.result ?? null), {code: 'BadDatabase', message: /^The file .*-blobs.*\.json of this result can't be read: ENOENT/});
	await queue.close();
});

test('without the option there is no folder', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueueAt(path);
	await complete(queue, LARGE);
	await queue.store.delete({endedBefore: 0});
	t.false(existsSync(`${path}-blobs`));
	await queue.close();
});

test.serial('a result whose commit waits for the lock keeps its file, though an urgent commit comes before it', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueueAt(path, {blobThresholdBytes: 1000});
	t.teardown(() => queue.close());
	await queue.enqueue([newJob()]);
	const {lease, jobs} = await queue.dequeue({owner: 'me', tasks: ['count']});
	const db = new Database(path);
	t.teardown(() => db.close());
	db.exec('begin immediate');
	const settled = queue.settle(lease, [{id: 1, execution: jobs[0]?.execution as number, outcome: {type: 'returned', value: LARGE}}]);
	await t.throwsAsync(queue.store.commit({update: [], urgent: () => undefined}), {code: 'DatabaseBusy'});
	db.exec('commit');
	t.deepEqual(await settled, {accepted: 1, lost: 0});
	t.not(db.prepare('select blob from outcome where id = 1').pluck().get() ?? null, null);
});
