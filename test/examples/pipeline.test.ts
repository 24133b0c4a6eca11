import {mkdirSync} from 'node:fs';
import {join} from 'node:path';
import {setImmediate as nextTurn} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import anyTest, {type ExecutionContext} from 'ava';
import Database from 'better-sqlite3';
import {linesOf, toRow} from '../../examples/pipeline/row.ts';
import {Table} from '../../examples/pipeline/table.ts';
import {type JobQueue, openQueue} from '../../lib/queue.ts';
import {Folder} from '../cli/command.ts';

/** One at a time: each keeps all processors busy. */
const test = anyTest.serial;

const MAIN = fileURLToPath(new URL('../../examples/pipeline/main.ts', import.meta.url));
const LINES = 20_000;
const BLOCKS = 35;

async function queueOf(t: ExecutionContext, {path}: Folder): Promise<JobQueue> {
	mkdirSync(join(path, 'customers'), {recursive: true});
	const queue = await openQueue(join(path, 'customers/jobs.db'));
	t.teardown(() => queue.close());
	return queue;
}

/** Customers of about a hundred bytes each. */
function customers(count: number): string {
	return Array.from(
		{length: count},
		(_, index) => `${JSON.stringify({name: ` ANA  lópez ${'x'.repeat(40)}`, email: `Ana${index}@Example.com`, amount: String(index / 4)})}\n`,
	).join('');
}

function assertRows(t: ExecutionContext, {path}: Folder, ndjson: string): void {
	const table = new Table(join(path, 'customers/customers.db'));
	t.deepEqual(
		[...table.rows()],
		linesOf(ndjson).map((line, index) => toRow(index + 1, line)),
	);
	table.close();
}

test('a pipeline of three tasks that is killed twice loads each line once', async t => {
	t.timeout(120_000);
	const folder = new Folder(t);
	const ndjson = customers(LINES);
	folder.write('customers.ndjson', ndjson);
	const queue = await queueOf(t, folder);
	for (const enough of [BLOCKS / 4, BLOCKS / 2]) {
		const program = folder.run(MAIN, 'customers.ndjson');
		while ((await queue.counts({task: 'load'})).completed < enough) await nextTurn();
		const {code, stdout} = await program.kill();
		t.is(code, 137);
		t.is(stdout, '');
	}
	t.true((await queue.counts({task: 'load'})).completed < BLOCKS);
	const {code, stdout, stderr} = await folder.run(MAIN, 'customers.ndjson').end();
	t.is(code, 0, stderr);
	t.regex(
		stdout,
		/^[\d,]+ rows loaded in .*\n105 jobs; \d+ executions were interrupted, after they had loaded [\d,]+ rows\n20,000 rows of 20,000 lines, 0 of them rejected\nchecksum (\w+), as computed without Faena\n$/,
	);
	assertRows(t, folder, ndjson);
	// Each step of each block is there once, none failed or was charged for the kills.
	t.like(await queue.counts(), {blocked: 0, pending: 0, running: 0, failed: 0, dead: 0, completed: 3 * BLOCKS});
	t.true((await queue.jobs().page({limit: 1000})).every(({attempts}) => attempts === 0));
	const again = await folder.run(MAIN, 'customers.ndjson').end();
	t.regex(again.stdout, /^0 rows loaded in /);
});

test('the pipeline makes its own file, kills itself at random moments, and says how often', async t => {
	t.timeout(120_000);
	const {code, stdout, stderr} = await new Folder(t).run(MAIN, '--lines', '10000', '--kills', '2', '--within', '1').end();
	t.is(code, 0, stderr);
	t.regex(
		stdout,
		/^10,000 rows of 10,000 lines, 1 of them rejected\nchecksum \w+, as computed without Faena\nkilled \d times; [\d.]+ s in all, with starts and the check\n$/m,
	);
});

test('the pipeline takes lines of all kinds, and says why a line is not a customer', async t => {
	const folder = new Folder(t);
	const ndjson = `{"name":"a","email":"A@b.c","amount":"1.5"}\r\nnonsense\n\n{"name":"b","email":"b@b.c","amount":"much"}\n{"name":"ü","email":"c","amount":"2"}`;
	folder.write('mixed.ndjson', ndjson);
	const {code, stdout, stderr} = await folder.run(MAIN, 'mixed.ndjson').end();
	t.is(code, 0, stderr);
	t.regex(stdout, /^5 rows of 5 lines, 3 of them rejected$/m);
	assertRows(t, folder, ndjson);
});

test('the pipeline ends with 1 where a row is missing or a job failed', async t => {
	const folder = new Folder(t);
	folder.write('customers.ndjson', customers(10));
	t.is((await folder.run(MAIN, 'customers.ndjson').end()).code, 0);
	const database = new Database(join(folder.path, 'customers/customers.db'));
	database.exec('delete from customer where line = 7');
	database.close();
	const {code, stdout} = await folder.run(MAIN, 'customers.ndjson').end();
	t.is(code, 1);
	t.regex(stdout, /^9 rows of 10 lines, 0 of them rejected\nchecksum \w+, not \w+ as computed without Faena\n$/m);
	folder.write('long.ndjson', 'x'.repeat(70_000));
	const failed = await folder.run(MAIN, 'long.ndjson', '--out', 'long').end();
	t.regex(failed.stdout, /^1 jobs; 0 executions were interrupted, after they had loaded 0 rows$/m);
	t.is(failed.code, 1);
	t.regex(failed.stderr, /^job 1, extract, is dead: Line 1 of .*long\.ndjson is longer than 65536 bytes\.\n$/);
});

test('the pipeline refuses a bad argument in a sentence', async t => {
	const refused = async (...args: string[]) => {
		const {code, stdout, stderr} = await new Folder(t).run(MAIN, ...args).end();
		t.is(code, 2);
		t.is(stdout, '');
		return stderr;
	};
	t.regex(await refused('missing.ndjson'), /^.*missing\.ndjson is not a file\.\n$/);
	t.regex(await refused('.'), /is not a file\.\n$/);
	t.is(await refused('--lines', 'many'), '--lines is a whole number from 1 to 10000000; it got many\n');
	t.regex(await refused('--kils', '3'), /^Unknown option '--kils'/);
});
