import {once} from 'node:events';
import {existsSync, statSync} from 'node:fs';
import {join} from 'node:path';
import {Worker} from 'node:worker_threads';
import test from 'ava';
import Database from 'better-sqlite3';
import {open} from '../../lib/index.ts';
import {openQueue, vacuum} from '../../lib/queue.ts';
import {assertSentence, Folder} from './command.ts';

type Tasks = typeof import('../fixtures/tasks.ts');
const tasks = new URL('../fixtures/tasks.ts', import.meta.url);

test('vacuum gives the space of deleted jobs back to the disk, and an engine on the queue goes on', async t => {
	const folder = new Folder(t);
	const queue = join(folder.path, 'faena.db');
	const faena = await open<Tasks>({queue, tasks, isolation: 'inline'});
	await faena.enqueueMany('echo', Array(300).fill('x'.repeat(10_000)));
	await faena.idle();
	await faena.cleanup({olderThan: 0});
	const kept = await faena.enqueue('echo', 'kept');
	const {code, stdout, stderr} = await folder.faena('vacuum').end();
	t.is(code, 0, stderr);
	const [, before, after] = /^faena\.db: ([\d.]+) MiB before, ([\d.]+) MiB now\n$/.exec(stdout) ?? [];
	t.true(Number(before) > 3);
	t.true(Number(after) < 1);
	t.true(statSync(queue).size < 2 ** 20);
	t.is(await kept.result(), 'kept');
	t.is(await faena.call('echo', 'new'), 'new');
	await faena.close();
});

test('vacuum --json prints the sizes in bytes', async t => {
	const folder = new Folder(t);
	await (await open({queue: join(folder.path, 'jobs.db')})).close();
	const {stdout} = await folder.faena('vacuum', '--queue', 'jobs.db', '--json').end();
	const {beforeBytes, afterBytes} = JSON.parse(stdout) as {beforeBytes: number; afterBytes: number};
	t.true(afterBytes > 0 && afterBytes <= beforeBytes);
	t.is(statSync(join(folder.path, 'jobs.db')).size, afterBytes);
});

test('vacuum refuses what is no queue, and makes no file', async t => {
	const folder = new Folder(t);
	const missing = await folder.faena('vacuum', '--queue', 'missing.db').end();
	assertSentence(t, missing, /There is no queue missing\.db here; name its file with --queue\./, 69);
	t.throws(() => statSync(join(folder.path, 'missing.db')), {code: 'ENOENT'});
	folder.write('text.db', 'no database, but long enough to be taken for one '.repeat(20));
	const foreign = await folder.faena('vacuum', '--queue', 'text.db').end();
	assertSentence(t, foreign, /text\.db is not/, 69);
	await t.throwsAsync(vacuum(':memory:'), {code: 'BadOption', message: /expects the path of an SQLite file; it got ":memory:"/});
	await t.throwsAsync(vacuum(join(folder.path, 'none.db')), {code: 'BadDatabase', message: /There is no database .*none\.db\. Name an existing file/});
});

test('vacuum refuses a queue with more than 256 MiB of content while an engine uses it, and makes it smaller later', async t => {
	t.timeout(120_000);
	const folder = new Folder(t);
	const queue = join(folder.path, 'faena.db');
	const faena = await open<Tasks>({queue, tasks, isolation: 'inline', durability: 'normal'});
	await faena.close();
	const db = new Database(queue);
	db.exec('create table ballast (content blob) strict');
	const insert = db.prepare('insert into ballast values (zeroblob(?))');
	db.transaction(() => {
		for (let mebibytes = 0; mebibytes < 260; mebibytes += 10) insert.run(10 * 2 ** 20);
	})();
	db.close();
	const using = await open<Tasks>({queue, tasks, isolation: 'inline'});
	// Its owner is known once it has committed something.
	await using.call('echo', 0);
	const refused = await folder.faena('vacuum').end();
	t.is(refused.code, 69);
	t.regex(
		refused.stderr,
		/^faena: .*faena\.db is in use by an engine, .* more than 256 MiB must be written anew\. Close the engines on it, then try again\.\n$/,
	);
	t.is(await using.call('echo', 1), 1);
	await using.close();
	t.is((await folder.faena('vacuum').end()).code, 0);
});

test('vacuum tells the size that the file has while another program reads it, and the size that it will have', async t => {
	const folder = new Folder(t);
	const path = join(folder.path, 'faena.db');
	const filling = await openQueue(path);
	await filling.enqueue(Array.from({length: 300}, () => ({task: 'echo', payload: JSON.stringify('x'.repeat(10_000))})));
	await filling.cancel({});
	await filling.close();
	const reader = new Database(path);
	t.teardown(() => reader.close());
	reader.exec('begin');
	reader.prepare('select count(*) from job').get();
	const emptying = await openQueue(path);
	await emptying.store.delete({endedBefore: Infinity});
	await emptying.close();
	const {beforeBytes, afterBytes, laterBytes = 0} = await vacuum(path);
	t.is(afterBytes, statSync(path).size);
	t.true(laterBytes > 0 && laterBytes < beforeBytes / 2 && afterBytes > laterBytes);
	const {stdout} = await folder.faena('vacuum').end();
	t.regex(stdout, /^faena\.db: [\d.]+ MiB before, [\d.]+ MiB now; 0\.\d MiB once no program reads its old content, with the next checkpoint of an engine\n$/);
	reader.exec('commit');
	const engine = await openQueue(path);
	await engine.enqueue([{task: 'echo', payload: null}]);
	await engine.close();
	reader.close();
	t.true(statSync(path).size <= laterBytes + 4096);
	t.false('laterBytes' in (await vacuum(path)));
});

test('the temporary file of a vacuum lies beside the database', async t => {
	const folder = new Folder(t);
	const path = join(folder.path, 'faena.db');
	await (await openQueue(path)).close();
	const db = new Database(path);
	db.exec('create table ballast (content blob) strict');
	const insert = db.prepare('insert into ballast values (zeroblob(?))');
	// SQLite writes the file once its cache of 64 MiB is full.
	db.transaction(() => {
		for (let mebibytes = 0; mebibytes < 150; mebibytes += 10) insert.run(10 * 2 ** 20);
	})();
	db.close();
	if (!existsSync('/proc/self/fd')) return t.pass('This system does not tell which files are open.');
	const isDone = new Int32Array(new SharedArrayBuffer(4));
	// The thread of the test can't look while SQLite works.
	const looking = new Worker(
		`const {readdirSync, readlinkSync} = require('node:fs'), {parentPort, workerData} = require('node:worker_threads');
		const seen = new Set(), isDone = new Int32Array(workerData);
		parentPort.postMessage('begun');
		while (!Atomics.load(isDone, 0)) for (const fd of readdirSync('/proc/self/fd')) try { seen.add(readlinkSync('/proc/self/fd/' + fd)); } catch {}
		parentPort.postMessage([...seen]);`,
		{eval: true, workerData: isDone.buffer},
	);
	await once(looking, 'message');
	await vacuum(path);
	Atomics.store(isDone, 0, 1);
	const [seen] = (await once(looking, 'message')) as [string[]];
	t.true(
		seen.some(file => file.startsWith(`${folder.path}/#`) || file.startsWith(`${folder.path}/etilqs`)),
		seen.join(' '),
	);
	t.false('SQLITE_TMPDIR' in process.env);
});
