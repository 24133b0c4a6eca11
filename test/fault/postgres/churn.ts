/**
 * `npm run churn:postgres -- --jobs 50000000 --held 300`: runs so many jobs on one PostgreSQL server, most of them in groups and some one by one, each
 * deleted a second after it has completed. During the second third a transaction stays open for so many seconds, so that the server can free nothing.
 * Prints what the tables take. It fails if they grow without that transaction, or if the jobs come to a halt.
 */
import {setTimeout as sleep} from 'node:timers/promises';
import {parseArgs} from 'node:util';
import pg from 'pg';
import {open} from '../../../lib/index.ts';
import {PostgresServer} from '../../fixtures/postgres-server.ts';

const {values} = parseArgs({options: {jobs: {type: 'string', default: '50000000'}, held: {type: 'string', default: '300'}}});
const jobs = Number(values.jobs);
const heldMs = Number(values.held) * 1000;
const GROUP = 20_000;
/** More jobs would only wait. */
const MAX_PENDING = 200_000;
const TELL_EVERY_MS = Math.min(10_000, Math.max(1000, heldMs / 10));
/** What the tables may take before the transaction; and how much they may grow after it. */
const MAX_BYTES_BEFORE = 256 * 1024 ** 2;
const MAX_GROWTH = 2;

const server = await PostgresServer.start({shared_buffers: '512MB', max_wal_size: '4GB', autovacuum_naptime: '5s', synchronous_commit: 'on'});
const client = new pg.Client(server.url);
await client.connect();
const holder = new pg.Client(server.url);
await holder.connect();
const faena = await open<typeof import('./tasks.ts')>({
	queue: server.url,
	tasks: new URL('./tasks.ts', import.meta.url),
	workers: 2,
	retention: {completed: '1s'},
});
let enqueued = 0;
let calls = 0;
let slowestMs = 0;
let phase: 'before' | 'held' | 'after' = 'before';
/** The most bytes of the tables, by phase. */
const most = {before: 0, held: 0, after: 0};
const begun = performance.now();

async function enqueueGroups(): Promise<void> {
	while (enqueued < jobs) {
		const payloads = Array.from({length: Math.min(GROUP, jobs - enqueued)}, (_, index) => enqueued + index);
		enqueued += payloads.length;
		await faena.enqueueMany('same', payloads);
		const isAhead = () => (phase === 'before' && enqueued > jobs / 3) || (phase === 'held' && enqueued > (2 * jobs) / 3);
		while (isAhead() || (await faena.counts()).pending > MAX_PENDING) await sleep(20);
	}
}

/** Each such job has rows of its own. */
async function call(): Promise<void> {
	for (let number = 0; enqueued < jobs; number++) {
		const at = performance.now();
		if ((await faena.call('same', number)) !== number) throw new Error('a call returned another result');
		slowestMs = Math.max(slowestMs, performance.now() - at);
		calls++;
	}
}

async function hold(): Promise<void> {
	while (enqueued < jobs / 3) await sleep(100);
	phase = 'held';
	await holder.query('begin isolation level repeatable read');
	await holder.query('select count(*) from faena.task');
	await sleep(heldMs);
	await holder.query('commit');
	phase = 'after';
}

interface Table {
	readonly name: string;
	readonly bytes: string;
	readonly live: string;
	readonly dead: string;
}

const tables = async (): Promise<readonly Table[]> => {
	const {rows} = await client.query(`select relname as name, pg_total_relation_size(relid) as bytes, n_live_tup as live, n_dead_tup as dead
		from pg_stat_user_tables where schemaname = 'faena' order by 2 desc`);
	return rows as Table[];
};
const mebibytes = (bytes: number) => `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
const sizeOf = (rows: readonly Table[]) => rows.reduce((sum, {bytes}) => sum + Number(bytes), 0);

/** Prints one line per interval. */
async function tell(): Promise<void> {
	let [jobsBefore, callsBefore] = [0, 0];
	for (;;) {
		await sleep(TELL_EVERY_MS);
		const rows = await tables();
		most[phase] = Math.max(most[phase], sizeOf(rows));
		const dead = rows.reduce((sum, table) => sum + Number(table.dead), 0);
		const seconds = Math.round((performance.now() - begun) / 1000);
		const rates = [enqueued - jobsBefore, calls - callsBefore].map(count => Math.round(count / (TELL_EVERY_MS / 1000)));
		console.log(`${seconds} s  ${enqueued} jobs  ${rates[0]} jobs/s  ${rates[1]} calls/s  ${mebibytes(sizeOf(rows))}  ${dead} dead rows  ${phase}`);
		if (rates[1] === 0) throw new Error('the calls came to a halt');
		[jobsBefore, callsBefore] = [enqueued, calls];
	}
}

const telling = tell();
await Promise.race([Promise.all([enqueueGroups(), hold(), ...Array.from({length: 16}, call)]), telling]);
await faena.idle();
console.log(`${jobs} jobs and ${calls} calls in ${Math.round((performance.now() - begun) / 1000)} s; the slowest call took ${Math.round(slowestMs)} ms`);
// The last jobs are deleted a second later.
for (const until = performance.now() + 60_000; (await faena.counts()).completed > 0 && performance.now() < until; ) await sleep(500);
await faena.close();
const vacuumed = await tables();
console.log('largest tables at the end:');
for (const {name, bytes, live, dead} of vacuumed.slice(0, 8)) console.log(`  ${name}  ${mebibytes(Number(bytes))}  ${live} rows  ${dead} dead`);
console.log(`at most ${mebibytes(most.before)} before, ${mebibytes(most.held)} while the transaction was open, ${mebibytes(most.after)} after it`);
if (most.before > MAX_BYTES_BEFORE || most.after > MAX_GROWTH * most.held) {
	console.error(`The tables grow: expected at most ${mebibytes(MAX_BYTES_BEFORE)} before, and ${MAX_GROWTH} times what they took while it was open after it.`);
	process.exitCode = 1;
}
await Promise.all([client.end(), holder.end()]);
await server.stop();
process.exit();
