import test from 'ava';
import {toEndedGroup, toNewGroups} from '../../lib/job/groups/single-jobs.ts';
import type {NewJob} from '../../lib/job/new-job.ts';
import {PostgresStore} from '../../lib/store/postgres/postgres.ts';
import {openPool, PostgresServer} from '../fixtures/postgres-server.ts';
import {RawQueue} from '../fixtures/raw-queue.ts';
import {claimOf, newJob} from './contract/laws.ts';

let server: PostgresServer;

test.before('starts a server', async t => {
	t.timeout(120_000);
	server = await PostgresServer.start({fsync: 'off', track_functions: 'all'});
});

test.after.always(() => server?.stop());

test('a page of a sorted list reads nothing of the pages before it', async t => {
	const pool = openPool({connectionString: server.url, max: 1});
	const queue = new RawQueue(new PostgresStore(server.url, {pool}));
	const owner = 'owner';
	const count = 1200;
	await queue.store.commit({enqueue: toNewGroups(Array.from({length: count}, () => newJob()))});
	const {lease, jobs} = await queue.dequeue({owner, tasks: [newJob().task], limit: count});
	// Each in a row of its own, since its neighbours end later.
	for (const rest of [0, 1]) {
		const own = jobs.filter(({id}) => id % 2 === rest);
		const outcomeOf = (id: number) => ({type: 'returned', value: '1', startedAt: 1_000_000 + id, durationMs: 1}) as const;
		await queue.store.commit({settle: [toEndedGroup(own.map(({id, execution}) => ({id, lease, execution, outcome: outcomeOf(id)})))]});
	}
	await pool.query('analyze faena.outcome');
	const reads = async () => {
		await pool.query('select pg_stat_force_next_flush()');
		const {rows} = await pool.query("select sum(idx_tup_read)::float8 as read from pg_stat_user_indexes where schemaname = 'faena' and relname = 'outcome'");
		return rows[0].read as number;
	};
	const before = await reads();
	const after = {value: 1_000_000 + 100, id: 0};
	const {jobs: page} = await queue.store.jobs({sort: 'startedAt'}, {limit: 10, after});
	t.deepEqual(
		page.map(({id}) => id),
		Array.from({length: 10}, (_, index) => 99 - index),
	);
	const read = (await reads()) - before;
	t.true(read < 700, `${read} entries of indexes`);
	await queue.close();
	await pool.end();
});

test('jobs that may start at once are enqueued and claimed without a look for jobs that wait', async t => {
	const pool = openPool({connectionString: server.url, max: 1});
	const store = new PostgresStore(server.url, {pool, schema: 'looks'});
	const looks = async () => {
		await pool.query('select pg_stat_force_next_flush()');
		const {rows} = await pool.query(
			"select coalesce(sum(calls), 0)::float8 as calls from pg_stat_user_functions where funcname in ('first_due', 'reach_children')",
		);
		return rows[0].calls as number;
	};
	const commit = async (job: Partial<NewJob>) => {
		const before = await looks();
		await store.commit({enqueue: toNewGroups([newJob(job)]), claim: claimOf(newJob().task)});
		return (await looks()) - before;
	};
	await commit({});
	t.is(await commit({runAt: null}), 0);
	t.true((await commit({delayMs: 60_000})) > 0);
	await store.close();
	await pool.end();
});
