import {createRequire, isBuiltin} from 'node:module';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import Database from 'better-sqlite3';
import {enqueueIn, type OwnConnection, open} from '../../lib/index.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {HandClock} from '../fixtures/hand-clock.ts';
import {Program} from '../fixtures/program.ts';
import {healthOf, openQueueAt} from '../fixtures/queue.ts';
import {copyLibrary} from '../fixtures/second-library.ts';

const require = createRequire(import.meta.url);
const hasNodeSqlite = isBuiltin('node:sqlite');

/** A database without jobs that no program has open. */
async function makeDatabase(t: ExecutionContext): Promise<{readonly folder: string; readonly path: string}> {
	const folder = makeFolder(t);
	const path = join(folder, 'jobs.db');
	await (await openQueueAt(path)).close();
	return {folder, path};
}

async function jobsIn(path: string): Promise<number> {
	const queue = await openQueueAt(path);
	const {pending} = await queue.counts();
	await queue.close();
	return pending;
}

test("enqueueIn refuses a connection of another copy of better-sqlite3 than Faena's, and says how to share one copy", async t => {
	const {folder, path} = await makeDatabase(t);
	const db = new (copyLibrary(folder))(path);
	const refused = {code: 'BadOption', message: /^enqueueIn\(\) got a connection of another copy of better-sqlite3 .*"npm ls better-sqlite3".*"npm dedupe"/};
	t.throws(() => enqueueIn(db, 'echo', 1), refused);
	t.throws(() => db.transaction(() => enqueueIn(db, 'echo', 1))(), refused);
	db.close();
	t.is(await jobsIn(path), 0);
});

test('enqueueIn refuses a connection of node:sqlite with a message of its own', async t => {
	if (!hasNodeSqlite) return t.pass('This Node has no node:sqlite.');
	const {path} = await makeDatabase(t);
	const db = new (await import('node:sqlite')).DatabaseSync(path);
	t.throws(() => enqueueIn(db as unknown as OwnConnection, 'echo', 1), {code: 'BadOption', message: /^enqueueIn\(\) got a DatabaseSync of node:sqlite\. /});
	db.close();
});

test('enqueueIn accepts a connection of another class, as in a test runner, if its library is the same', async t => {
	const {path} = await makeDatabase(t);
	// A test runner loads all modules again for each test file, except native ones.
	const isOfLibrary = (name: string) => /better-sqlite3.*\.js$/.test(name);
	for (const name of Object.keys(require.cache).filter(isOfLibrary)) delete require.cache[name];
	const Class = require('better-sqlite3') as typeof Database;
	t.not(Class, Database);
	const db = new Class(path);
	t.is(enqueueIn(db, 'echo', 1).id, 1);
	db.defaultSafeIntegers(true);
	t.is(enqueueIn(db, 'echo', 2).id, 2);
	db.close();
	const big = new Class(path);
	big.defaultSafeIntegers(true);
	t.is(enqueueIn(big, 'echo', 3).id, 3);
	big.close();
	t.is(await jobsIn(path), 3);
});

const SEVERAL = /jobs\.db is open by several SQLite libraries of this process: .*\.node; .*Two SQLite libraries that have one file open in one process/;
const onLinux = process.platform === 'linux' ? test : test.skip;

for (const library of ['copy', 'node']) {
	/** What the program says. A library that believes it opens the file first empties its index, and kills the process (SIGBUS) if the other one reads there. */
	const run = async (t: ExecutionContext, what: string): Promise<string> => {
		const {folder} = await makeDatabase(t);
		const program = new Program(t, 'second-library', folder, library, what);
		const [told] = await program.lines();
		const {signal, stderr} = await program.ended();
		if (signal === 'SIGBUS') return run(t, what);
		return told ?? t.fail(`The program ended by ${signal}: ${stderr}`);
	};

	onLinux(`an engine tells that a second SQLite library has its database open: ${library}`, async t => {
		if (library === 'node' && !hasNodeSqlite) return t.pass('This Node has no node:sqlite.');
		const told = await run(t, 'listens');
		t.regex(told, SEVERAL);
		t.is(Number.parseInt(told, 10), library === 'copy' ? 2 : 1);
	});

	for (const [who, what] of [
		['an engine that has no listener', 'ignores'],
		['work()', 'works'],
	] as const) {
		onLinux(`${who} warns that a second SQLite library has its database open: ${library}`, async t => {
			if (library === 'node' && !hasNodeSqlite) return t.pass('This Node has no node:sqlite.');
			const warning = await run(t, what);
			t.regex(warning, /^FaenaWarning /);
			t.regex(warning, SEVERAL);
		});
	}

	onLinux(`a database that a second SQLite library of the process has open is refused: ${library}`, async t => {
		if (library === 'node' && !hasNodeSqlite) return t.pass('This Node has no node:sqlite.');
		const said = await run(t, 'comesLater');
		t.regex(said, /^BadDatabase /);
		t.regex(said, SEVERAL);
	});

	onLinux(`an error about damage names the second SQLite library that has the database open: ${library}`, async t => {
		if (library === 'node' && !hasNodeSqlite) return t.pass('This Node has no node:sqlite.');
		const said = await run(t, 'isDamaged');
		t.regex(said, /^BadDatabase /);
		t.regex(said, SEVERAL);
	});
}

onLinux("connections of Faena's own library, any number in any threads, do not count as a second library", async t => {
	const {path} = await makeDatabase(t);
	const faena = await open({queue: path});
	const clock = new HandClock();
	const options = {steadyMs: clock.steadyMs, every: clock.every};
	const [one, two] = [await openQueueAt(path, options), await openQueueAt(path, options)];
	const db = new Database(path);
	enqueueIn(db, 'echo', 1);
	t.is((await faena.counts()).pending, 1);
	for (const queue of [one, two]) {
		t.false('secondLibrary' in (await healthOf(queue, clock)));
		await queue.close();
	}
	db.close();
	await faena.close();
});
