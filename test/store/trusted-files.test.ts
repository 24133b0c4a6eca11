import {
	chmodSync,
	chownSync,
	existsSync,
	linkSync,
	lstatSync,
	lutimesSync,
	mkdirSync,
	readdirSync,
	readFileSync,
	rmSync,
	symlinkSync,
	utimesSync,
	writeFileSync,
} from 'node:fs';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {decode, encode} from '../../lib/job/encoding.ts';
import type {Policy} from '../../lib/job/policy.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {HandClock} from '../fixtures/hand-clock.ts';
import {Program} from '../fixtures/program.ts';
import {healthOf, openQueueAt} from '../fixtures/queue.ts';
import type {RawQueue} from '../fixtures/raw-queue.ts';

const POLICY: Policy = {maxAttempts: 3, timeoutMs: null, backoff: {baseMs: 1000, factor: 2, maxMs: 60_000, jitter: 0}, retry: 'auto'};
const JOB = {task: 'count', payload: '1', priority: 0, runAt: null, policy: POLICY};
const LARGE = encode('genuine'.repeat(1000), 'result');
const OTHER_USER = 65_534;

/** The path of a database that does not exist yet, in a folder with the mode of /tmp. */
function inSharedFolder(t: ExecutionContext): string {
	const folder = makeFolder(t);
	chmodSync(folder, 0o1777);
	return join(folder, 'jobs.db');
}

async function completeLarge(queue: RawQueue): Promise<void> {
	await queue.enqueue([JOB]);
	const {lease, jobs} = await queue.dequeue({owner: 'me', tasks: ['count']});
	await queue.settle(
		lease,
		jobs.map(({id, execution}) => ({id, execution, outcome: {type: 'returned', value: LARGE}})),
	);
}

test('a database with several names is refused by each of them, and left as it is', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	await (await openQueueAt(path)).close();
	linkSync(path, `${path}-too`);
	const before = readFileSync(path);
	for (const name of [path, `${path}-too`])
		await t.throwsAsync(openQueueAt(name), {
			code: 'BadDatabase',
			message: /has 2 names \(hard links\), .*Remove the other names, or make a copy and name that\.$/,
		});
	t.true(readFileSync(path).equals(before));
	rmSync(`${path}-too`);
	await (await openQueueAt(path)).close();
});

test('a second name of a database in use stops no engine, since no engine can open it by that name', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const clock = new HandClock();
	const queue = await openQueueAt(path, {steadyMs: clock.steadyMs, every: clock.every});
	t.teardown(() => queue.close());
	linkSync(path, `${path}-too`);
	for (const name of [path, `${path}-too`]) await t.throwsAsync(openQueueAt(name), {code: 'BadDatabase', message: /has 2 names/});
	await healthOf(queue, clock);
	await completeLarge(queue);
	t.is((await queue.counts()).completed, 1);
});

for (const suffix of ['-wal', '-shm', '-journal', '-blobs']) {
	test(`a database is refused in any folder if its ${suffix} is a symbolic link`, async t => {
		const path = join(makeFolder(t), 'jobs.db');
		const target = join(path, '../elsewhere');
		suffix === '-blobs' ? mkdirSync(target) : writeFileSync(target, '');
		symlinkSync(target, path + suffix);
		await t.throwsAsync(openQueueAt(path), {
			code: 'BadDatabase',
			message: new RegExp(`jobs\\.db${suffix} is a symbolic link\\. Replace it by the f[a-z]+ that it leads to`),
		});
	});

	test(`a database is refused in a folder that everybody can write to if its ${suffix} belongs to another user`, async t => {
		if (process.getuid?.() !== 0) return t.pass('Only root can play another user.');
		const path = inSharedFolder(t);
		suffix === '-blobs' ? mkdirSync(path + suffix) : writeFileSync(path + suffix, '', {mode: 0o666});
		chownSync(path + suffix, OTHER_USER, OTHER_USER);
		await t.throwsAsync(openQueueAt(path), {
			code: 'BadDatabase',
			message: new RegExp(`jobs\\.db${suffix} belongs to another user, in a folder that everybody can write to\\. Remove it`),
		});
		// In a folder that only some users can write to, these users trust each other.
		if (suffix !== '-blobs') return;
		chmodSync(join(path, '..'), 0o775);
		await (await openQueueAt(path)).close();
	});
}

test('a folder of results that everybody can write to is refused; so is such a database in a shared folder', async t => {
	const path = inSharedFolder(t);
	mkdirSync(`${path}-blobs`);
	chmodSync(`${path}-blobs`, 0o777);
	await t.throwsAsync(openQueueAt(path), {code: 'BadDatabase', message: /^Everybody can write to .*jobs\.db-blobs\. Take that permission away \(chmod o-w /});
	chmodSync(`${path}-blobs`, 0o700);
	await (await openQueueAt(path)).close();
	chmodSync(path, 0o666);
	await t.throwsAsync(openQueueAt(path), {code: 'BadDatabase', message: /^Everybody can write to .*jobs\.db\. Take that permission away/});
});

test('a file in the place of the folder of results is refused', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	writeFileSync(`${path}-blobs`, '');
	await t.throwsAsync(openQueueAt(path), {code: 'BadDatabase', message: /jobs\.db-blobs is not a folder, which Faena keeps there\. Move it away\.$/});
});

test('a folder of results that another user makes after the database was opened is neither written nor read', async t => {
	if (process.getuid?.() !== 0) return t.pass('Only root can play another user.');
	const path = inSharedFolder(t);
	const queue = await openQueueAt(path, {blobThresholdBytes: 1000});
	t.teardown(() => queue.close());
	const plant = (names: readonly string[]) => {
		rmSync(`${path}-blobs`, {recursive: true, force: true});
		mkdirSync(`${path}-blobs`);
		for (const name of names) writeFileSync(join(`${path}-blobs`, name), JSON.stringify('forged'));
		chownSync(`${path}-blobs`, OTHER_USER, OTHER_USER);
	};
	const refused = {code: 'BadDatabase', message: /jobs\.db-blobs belongs to another user/};
	plant([]);
	await t.throwsAsync(completeLarge(queue), refused);
	t.deepEqual(readdirSync(`${path}-blobs`), []);
	rmSync(`${path}-blobs`, {recursive: true});
	await queue.release('me', 0);
	await completeLarge(queue);
	t.is((await queue.values(1))?.result, LARGE);
	const names = readdirSync(`${path}-blobs`);
	t.is(names.length, 1);
	plant(names);
	const stored = (await queue.values(1))?.result ?? null;
	t.throws(() => decode(stored), refused);
	await t.throwsAsync(async () => queue.store.delete({endedBefore: Infinity}), refused);
	t.deepEqual(readdirSync(`${path}-blobs`), names);
});

// Serial, since the umask belongs to the process.
test.serial('with any umask, only the owner can read the files that Faena makes', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const umask = process.umask(0);
	try {
		const queue = await openQueueAt(path, {blobThresholdBytes: 1000});
		t.teardown(() => queue.close());
		await queue.enqueue([JOB]);
		const {lease, jobs} = await queue.dequeue({owner: 'me', tasks: ['count']});
		await queue.settle(lease, [{id: 1, execution: 1, outcome: {type: 'returned', value: LARGE}}]);
		t.is(jobs.length, 1);
		const other = await openQueueAt(path);
		await other.reclaim();
		await other.close();
	} finally {
		process.umask(umask);
	}
	const names = readdirSync(join(path, '..'), {recursive: true, encoding: 'utf8'});
	t.deepEqual(names.filter(name => !name.includes('/')).sort(), [
		'jobs.db',
		'jobs.db-blobs',
		'jobs.db-owner-me',
		'jobs.db-owner-me-journal',
		'jobs.db-owner-me-open',
		'jobs.db-shm',
		'jobs.db-wal',
	]);
	for (const name of names) {
		const stat = lstatSync(join(path, '..', name));
		t.is(stat.mode & 0o777, stat.isDirectory() ? 0o700 : 0o600, name);
	}
});

test('a reclaim neither creates nor trusts the lock of an owner', async t => {
	const path = inSharedFolder(t);
	const queue = await openQueueAt(path);
	t.teardown(() => queue.close());
	const [target, link] = [join(path, '../secret'), `${path}-owner-linked`];
	writeFileSync(target, 'secret');
	symlinkSync(target, link);
	utimesSync(target, 0, 0);
	lutimesSync(link, 0, 0);
	await queue.enqueue([JOB]);
	await queue.dequeue({owner: 'me', tasks: ['count']});
	rmSync(`${path}-owner-me`);
	const other = await openQueueAt(path);
	t.is(await other.reclaim(), 0);
	await other.close();
	t.false(existsSync(`${path}-owner-me`));
	t.is(readFileSync(target, 'utf8'), 'secret');
	await t.throwsAsync(async () => queue.dequeue({owner: 'linked', tasks: ['count']}), {
		code: 'BadDatabase',
		message: /jobs\.db-owner-linked is a symbolic link/,
	});
});

test('a journal that another user puts beside the lock of an owner is not used: the owner is dead once it is silent', async t => {
	if (process.getuid?.() !== 0) return t.pass('Only root can play another user.');
	const path = inSharedFolder(t);
	const queue = await openQueueAt(path);
	t.teardown(() => queue.close());
	await queue.enqueue([JOB]);
	const program = new Program(t, 'queue-holder', path);
	await program.line();
	await program.kill('SIGKILL');
	const journal = `${path}-owner-holder-journal`;
	rmSync(journal, {force: true});
	writeFileSync(journal, 'planted');
	chownSync(journal, OTHER_USER, OTHER_USER);
	t.is(await queue.reclaim(), 0);
	t.is(readFileSync(journal, 'utf8'), 'planted');
	rmSync(journal);
	t.is(await queue.reclaim(), 1);
});
