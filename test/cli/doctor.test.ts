import {closeSync, openSync, statfsSync, writeSync} from 'node:fs';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import Database from 'better-sqlite3';
import {type Finding, judgeFile, judgeSettings} from '../../lib/cli/verbs/doctor.ts';
import {openQueue} from '../../lib/queue.ts';
import {assertSentence, Folder} from './command.ts';

const TEN_MINUTES = 600_000;
const MIB = 2 ** 20;

/** What the doctor finds, but for what this machine's temporary folder and disk are like. */
async function findings(t: ExecutionContext, folder: Folder): Promise<string[]> {
	const {code, stdout, stderr} = await folder.faena('doctor', '--json').end();
	const report = JSON.parse(stdout) as {findings: Finding[]};
	t.is(code, report.findings.length > 0 ? 1 : 0, stderr);
	return report.findings.filter(({problem}) => !/^The (disk|file is in memory)/.test(problem)).map(({problem, advice}) => `${problem} ${advice}`);
}

test('doctor says that all is well, with versions and sizes', async t => {
	const folder = new Folder(t);
	await folder.faena('enqueue', 'echo', '1', '--create').end();
	const {stdout, code} = await folder.faena('doctor').end();
	const isWell = statfsSync(folder.path).type !== 0x01021994;
	if (isWell) t.like({code, first: stdout.split('\n')[0]}, {code: 0, first: 'faena.db: all is well'});
	t.regex(
		stdout,
		/\nversions {2}Faena \d+\.\d+\.\d+, Node \d+\.\d+\.\d+, SQLite \d+\.\d+\.\d+\nfile {6}[\d.]+ MiB, of which [\d.]+ MiB free; log 0\.0 MiB; disk [\d.]+ MiB free\n/,
	);
	t.regex(stdout, /\nsettings {2}journal_mode wal\nschema {4}version \d+\nengines {3}0 open\n/);
	const version = /^schema {4}version (\d+)$/m.exec(stdout)?.[1];
	t.is((await folder.faena('schema').end()).stdout, `faena.db: version ${version}\n`);
	t.like(JSON.parse((await folder.faena('status', '--json').end()).stdout), {schemaVersion: Number(version)});
	assertSentence(t, await folder.faena('schema', '--print', '--queue', 'faena.db').end(), /--print is for a queue on PostgreSQL, and faena\.db is a file\./);
	t.deepEqual(await findings(t, folder), []);
	assertSentence(t, await folder.faena('doctor', '--queue', 'none.db').end(), /There is no queue none\.db/, 69);
	assertSentence(t, await folder.faena('doctor', 'all').end(), /too many arguments/);
});

test('doctor finds dead programs with jobs, jobs that nobody runs, and paused tasks with jobs', async t => {
	t.timeout(60_000);
	const folder = new Folder(t);
	const path = join(folder.path, 'faena.db');
	const earlier = await openQueue(path, {now: () => Date.now() - TEN_MINUTES});
	t.teardown(() => earlier.close());
	await earlier.enqueue([{task: 'held'}, {task: 'alone'}, {task: 'paused'}, {task: 'later', delay: 10 * TEN_MINUTES}]);
	await earlier.dequeue({owner: 'dead', tasks: ['held']});
	await earlier.pause(['paused']);
	const [dead, alone, paused, ...more] = await findings(t, folder);
	t.regex(
		dead ?? '',
		/^The program dead has 1 running job, and has given no sign of life for 1\d:\d\d\. If it has died, start it again: .* faena work MODULE --queue faena\.db\. If it hangs, end it\./,
	);
	t.regex(
		alone ?? '',
		/^1 job of the task alone is ready, for up to 1\d:\d\d, and none runs\. No engine is open on the queue\. Start one: faena work MODULE --queue faena\.db$/,
	);
	t.is(paused, 'The task paused is paused, and 1 job waits. faena resume paused --queue faena.db');
	t.deepEqual(more, []);
	const text = (await folder.faena('doctor').end()).stdout;
	t.regex(text, /^faena\.db: \d things need attention\n/);
	t.regex(text, /\n\n! The task paused is paused, and 1 job waits\.\n {2}faena resume paused --queue faena\.db\n/);
});

test('doctor finds jobs of a scope that no program has, and adopt gives them to another one', async t => {
	const folder = new Folder(t);
	const earlier = await openQueue(join(folder.path, 'faena.db'), {now: () => Date.now() - TEN_MINUTES});
	await earlier.enqueue([{task: 'echo', payload: 1, scope: 'shop/before'}]);
	await earlier.close();
	const [found, ...more] = await findings(t, folder);
	t.regex(found ?? '', /^1 job of the task echo and the scope shop\/before is ready, .* faena adopt --from shop\/before --to SCOPE --queue faena\.db$/);
	t.deepEqual(more, []);
	t.is((await folder.faena('adopt', '--from', 'shop/before', '--to', 'shop/now').end()).stdout, 'The jobs of shop/before are those of shop/now now.\n');
	t.regex((await folder.faena('show', '1').end()).stdout, /\nscope {7}shop\/now\n/);
	assertSentence(t, await folder.faena('adopt', '--from', 'shop/before', '--to', 'shop/now').end(), /No job of the queue has the scope "shop\/before"/);
});

test('doctor finds items that the last run of their batch has not named, and list, show and status call them held', async t => {
	const folder = new Folder(t);
	let ago = TEN_MINUTES;
	const queue = await openQueue(join(folder.path, 'faena.db'), {now: () => Date.now() - ago});
	t.teardown(() => queue.close());
	const batch = await queue.openBatch('nightly', 'echo', 'an owner');
	await queue.enqueue([1, 2].map(payload => ({task: 'echo', payload: `${payload}`, batch})));
	await queue.store.move({batch: 'nightly'}, 'held', {});
	ago = 0;
	// It has not waited for long: they are not what waits for a program.
	await queue.enqueue([{task: 'echo', payload: 3}]);
	t.deepEqual(await findings(t, folder), [
		'2 jobs of the task echo are held: left unfinished by an earlier run, and not named by the last one. Run its command with all of its input; or with --missing run, cancel or delete.',
	]);
	const said = async (...args: readonly string[]) => (await folder.faena(...args).end()).stdout;
	t.regex(await said('list'), /^held {6}#1 .*\nheld {6}#2 .*\npending {3}#3 /);
	t.regex(await said('show', '2'), /^job 2 {7}echo {2}held\n/);
	for (const [more, pending] of [
		[[], 3],
		[['--batch', 'nightly'], 2],
	] as const)
		t.regex(await said('status', ...more), new RegExp(`: ${pending} pending\nheld: 2 of the pending; see faena doctor\n`));
	t.like(JSON.parse(await said('show', '1', '--json')), {status: 'pending', held: true});
	t.regex(await said('retry', '2'), /^0 to be run again\nJob 2 is held\. It runs once its run names it: .*--missing run\.\n$/);
});

test('doctor finds a large log, and damage anywhere in the file', async t => {
	t.timeout(120_000);
	const folder = new Folder(t);
	const path = join(folder.path, 'faena.db');
	const queue = await openQueue(path, {durability: 'normal'});
	await queue.enqueue([{task: 'echo', payload: 1}]);
	const reader = new Database(path);
	reader.exec('begin');
	reader.prepare('select count(*) from job').get();
	for (let mebibytes = 0; mebibytes < 70; mebibytes += 10) await queue.enqueue([{task: 'echo', payload: JSON.stringify('x'.repeat(10 * MIB))}]);
	const [log, ...more] = await findings(t, folder);
	t.regex(log ?? '', /^The log beside the file has [678]\d\.\d MiB\. A program keeps a read transaction open, or was killed/);
	t.deepEqual(more, []);
	reader.exec('commit');
	reader.close();
	await queue.close();
	t.deepEqual(await findings(t, folder), []);
	const file = openSync(path, 'r+');
	writeSync(file, Buffer.alloc(4, 0xff), 0, 4, 4096 * 5000);
	closeSync(file);
	t.regex((await findings(t, folder))[0] ?? '', /^The file is damaged: .*\. Restore it from a backup, or recover what is left/);
});

test('doctor explains a queue that can not be opened', async t => {
	const folder = new Folder(t);
	const path = join(folder.path, 'faena.db');
	await (await openQueue(path)).close();
	const db = new Database(path);
	db.pragma('user_version = 99');
	db.close();
	t.regex((await findings(t, folder)).join(), /^The queue can't be opened\. .*faena\.db was written by a newer Faena .* Update Faena\.$/);
	folder.write('faena.db', 'no database');
	t.regex((await findings(t, folder)).join(), /^The queue can't be opened\. .*faena\.db is not an SQLite database/);
});

test('doctor finds full disks, network file systems, memory and settings that risk jobs', t => {
	const file = {databaseBytes: MIB, freeBytes: 0, logBytes: 0, diskFreeBytes: 1024 * MIB};
	t.deepEqual(judgeFile(file), []);
	const problemOf = (more: object) => judgeFile({...file, ...more})[0]?.problem;
	t.is(problemOf({diskFreeBytes: 5 * MIB}), 'The disk has only 5.0 MiB left.');
	t.is(problemOf({unsafeFileSystem: 'network'}), 'The file is on a network file system, where locks are not reliable.');
	t.is(problemOf({unsafeFileSystem: 'memory'}), 'The file is in memory (tmpfs), and is lost when the machine stops.');
	const good = {journal_mode: 'wal', fsync: 'on', full_page_writes: 'on', synchronous_commit: 'remote_apply', server_version: '18'};
	t.deepEqual(judgeSettings(good), []);
	for (const [name, value] of Object.entries({journal_mode: 'delete', fsync: 'off', full_page_writes: 'off', synchronous_commit: 'off'}))
		t.true(judgeSettings({...good, [name]: value})[0]?.problem.startsWith(`The setting ${name} is ${value}: `), name);
});
