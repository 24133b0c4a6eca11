/**
 * Loads customers from NDJSON into a table, in three steps that feed each other: extract → transform → load. After a stop
 * or a kill the same command continues. At the end it checks that each line is in the table once.
 *
 *     node examples/pipeline/main.ts [file.ndjson] [--out folder, default customers; one for each file]
 *     node examples/pipeline/main.ts --kills 10 [--within seconds, default 2]
 *
 * Without a file it makes one of 100,000 lines. The second form kills the first one at random moments and starts it again.
 * Exit code: 0 each line is there once, 1 it is not, or a job failed, 2 bad input.
 */
import {createHash} from 'node:crypto';
import {mkdirSync, readFileSync, statSync} from 'node:fs';
import {join, resolve} from 'node:path';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {type Engine, FaenaError, type Job, open} from 'faena';
import {killOften} from '../kill-often.ts';
import {makeFile} from './make-file.ts';
import {linesOf, type Row, toRow} from './row.ts';
import {Table} from './table.ts';

type Tasks = typeof import('./tasks.ts');

const OPTIONS = {
	out: {type: 'string', default: 'customers'},
	lines: {type: 'string', default: '100000'},
	kills: {type: 'string'},
	within: {type: 'string', default: '2'},
} as const;

try {
	const {values, positionals} = parseArgs({allowPositionals: true, options: OPTIONS});
	const out = resolve(values.out);
	mkdirSync(out, {recursive: true});
	const file = positionals[0] === undefined ? makeFile(out, toNumber('--lines', values.lines)) : resolve(positionals[0]);
	if (!statSync(file, {throwIfNoEntry: false})?.isFile()) throw new Error(`${file} is not a file.`);
	if (values.kills === undefined) await run(file, out);
	else await runKilled(file, out, toNumber('--kills', values.kills), toNumber('--within', values.within));
} catch (error) {
	const isStopped = error instanceof FaenaError && error.code === 'Closed';
	console.error(isStopped ? 'Stopped; the same command goes on from here.' : (error as Error).message);
	process.exitCode = 2;
}

async function run(file: string, out: string): Promise<void> {
	const database = join(out, 'customers.db');
	const table = new Table(database);
	const faena = await open<Tasks>({
		queue: join(out, 'jobs.db'),
		tasks: new URL('./tasks.ts', import.meta.url),
		env: {CUSTOMERS_DB: database},
		closeOnSignals: true,
	});
	const [start, before] = [performance.now(), table.size];
	// With a key there is only one such job, however often this program is started.
	await faena.enqueue('extract', {file, from: 0, line: 1}, {key: file});
	await faena.idle();
	const [seconds, loaded] = [(performance.now() - start) / 1000, table.size - before];
	console.log(`${format(loaded)} rows loaded in ${seconds.toFixed(1)} s of this run: ${format(Math.round(loaded / seconds))} rows/s`);
	const isWhole = await reportJobs(faena, table);
	await faena.close();
	process.exitCode = check(file, table) && isWhole ? 0 : 1;
	table.close();
}

/** Returns true if all have completed. */
async function reportJobs(faena: Engine<Tasks>, table: Table): Promise<boolean> {
	let [jobs, interrupted, inserted, isWhole] = [0, 0, 0, true];
	for await (const {id, task, status, executions, attempts, error} of jobsOf(faena)) {
		jobs++;
		interrupted += executions - attempts - (status === 'completed' ? 1 : 0);
		if (status === 'completed' && task === 'load') inserted += await faena.job<'load'>(id).result();
		if (status === 'completed') continue;
		console.error(`job ${id}, ${task}, is ${status}: ${error?.message}`);
		isWhole = false;
	}
	console.log(`${format(jobs)} jobs; ${format(interrupted)} executions were interrupted, after they had loaded ${format(table.size - inserted)} rows`);
	return isWhole;
}

async function* jobsOf(faena: Engine<Tasks>): AsyncGenerator<Job> {
	for (let after = 0; ; ) {
		const page = await faena.jobs().page({after});
		yield* page;
		if (page.length === 0) return;
		after = page.at(-1)?.id ?? after;
	}
}

/** Compares the table with what one plain loop makes of the file. */
function check(file: string, table: Table): boolean {
	const actual = digest(table.rows());
	const lines = linesOf(readFileSync(file, 'utf8'));
	const expected = digest(lines.map((text, index) => toRow(index + 1, text)));
	const isSame = actual.checksum === expected.checksum;
	console.log(`${format(actual.rows)} rows of ${format(lines.length)} lines, ${format(actual.rejected)} of them rejected`);
	console.log(`checksum ${actual.checksum}, ${isSame ? 'as' : `not ${expected.checksum} as`} computed without Faena`);
	return isSame;
}

function digest(rows: Iterable<Row>): {readonly rows: number; readonly rejected: number; readonly checksum: string} {
	const hash = createHash('sha256');
	let [count, rejected] = [0, 0];
	for (const row of rows) {
		count++;
		if (row.error !== null) rejected++;
		hash.update(JSON.stringify(row));
	}
	return {rows: count, rejected, checksum: hash.digest('hex').slice(0, 16)};
}

async function runKilled(file: string, out: string, kills: number, withinSeconds: number): Promise<void> {
	const start = performance.now();
	const {killed, code} = await killOften([fileURLToPath(import.meta.url), file, '--out', out], kills, 1000 * withinSeconds);
	process.exitCode = code;
	if (code === 0) console.log(`killed ${killed} times; ${((performance.now() - start) / 1000).toFixed(1)} s in all, with starts and the check`);
}

/** @throws TypeError a sentence for the user */
function toNumber(name: string, value: string): number {
	const number = Number(value);
	if (Number.isInteger(number) && number >= 1 && number <= 10_000_000) return number;
	throw new TypeError(`${name} is a whole number from 1 to 10000000; it got ${value}`);
}

function format(value: number): string {
	return value.toLocaleString('en');
}
