/** Several PostgreSQL stores at once, each with connections of its own, as on several hosts. */
import {existsSync, statSync, utimesSync} from 'node:fs';
import test from 'ava';
import pg from 'pg';
import type {Outcome, Settlement} from '../../lib/job/claim.ts';
import {toEndedGroup} from '../../lib/job/groups/single-jobs.ts';
import type {Job, JobId} from '../../lib/job/job.ts';
import type {ScheduleSpec} from '../../lib/job/schedule.ts';
import {HOST} from '../../lib/store/owners/owner-files.ts';
import {functionsOf} from '../../lib/store/postgres/connection/schema.ts';
import {PostgresStore} from '../../lib/store/postgres/postgres.ts';
import {toCounts} from '../../lib/store/store.ts';
import {writeOpenJobs} from '../fixtures/open-jobs.ts';
import {openPool, PostgresServer} from '../fixtures/postgres-server.ts';
import {Program} from '../fixtures/program.ts';
import {RawQueue} from '../fixtures/raw-queue.ts';
import {WatchedPool} from '../fixtures/watched-pool.ts';
import {newJob, POLICY} from './contract/laws.ts';

let server: PostgresServer;

test.before('starts a server', async t => {
	t.timeout(120_000);
	server = await PostgresServer.start();
});

test.after.always(() => server?.stop());

/** Opens this many queues over the same schema. */
function openQueues(count: number, schema: string): RawQueue[] {
	return Array.from({length: count}, () => new RawQueue(new PostgresStore(server.url, {schema})));
}

/** Its connections do something before each query with a text. */
class PoolWithMeanwhile extends WatchedPool {
	meanwhile: (() => Promise<void>) | undefined;
	readonly #text: string;

	constructor(pool: pg.Pool, text: string) {
		super(pool);
		this.#text = text;
	}

	override async connect() {
		const client = await super.connect();
		return {
			...client,
			query: async (config: pg.QueryConfig) => {
				if (config.text.includes(this.#text)) await this.meanwhile?.();
				return client.query(config);
			},
		};
	}
}

async function closeAll(queues: readonly RawQueue[]): Promise<void> {
	await Promise.all(queues.map(queue => queue.close()));
}

test('stores that open a new queue at once make one schema', async t => {
	const queues = openQueues(6, 'opened at once');
	await Promise.all(queues.map(queue => queue.enqueue([newJob()])));
	t.like(await (queues[0] as RawQueue).counts(), {pending: 6});
	await closeAll(queues);
});

test('of jobs that all stores enqueue with the same keys each exists once', async t => {
	const queues = openQueues(4, 'same keys');
	const keys = Array.from({length: 60}, (_, index) => `key ${index}`);
	const made = await Promise.all(
		queues.map(async (queue, number) => {
			const ids: JobId[] = [];
			// Each begins at another key.
			for (let turn = 0; turn < keys.length; turn++) {
				const own = [0, 20, 40].map(offset => keys[(turn + offset + 15 * number) % keys.length] as string);
				ids.push(...(await queue.enqueue(own.map(key => newJob({key})))).map(({id}) => id));
			}
			return ids;
		}),
	);
	t.is(new Set(made.flat()).size, keys.length);
	t.like(await (queues[0] as RawQueue).counts(), {pending: keys.length});
	await closeAll(queues);
});

test('a store that knew a scope before it was adopted enqueues jobs of its own scope afterwards', async t => {
	const [known, other] = openQueues(2, 'adopted') as [RawQueue, RawQueue];
	await known.enqueue([newJob({scope: 'old'})]);
	await other.adopt('old', 'new');
	await known.enqueue([newJob({scope: 'old'})]);
	const take = async (scope: string) => (await other.dequeue({owner: scope, tasks: ['hash'], scopes: [scope], limit: 9})).jobs.map(({id}) => id);
	t.deepEqual([await take('new'), await take('old')], [[1], [2]]);
	await closeAll([known, other]);
});

test('each job is executed once at a time, whatever its executions end with, and all numbers add up', async t => {
	t.timeout(120_000);
	const jobs = 3000;
	const queues = openQueues(4, 'many executions');
	const policy = {...newJob().policy, maxAttempts: 3, backoff: {baseMs: 0, factor: 1, maxMs: 0, jitter: 0}};
	for (let made = 0; made < jobs; made += 500) await (queues[0] as RawQueue).enqueue(Array.from({length: 500}, () => newJob({policy})));
	const running = new Set<JobId>();
	const executions = new Map<JobId, number>();
	await Promise.all(
		queues.map(async (queue, number) => {
			for (let empty = 0, turn = 0; empty < 20; turn++) {
				const {lease, jobs: claimed} = await queue.dequeue({owner: `owner ${number}`, tasks: ['hash'], limit: 1 + ((7 * turn + number) % 90)});
				if (claimed.length === 0) empty++;
				for (const {id} of claimed) {
					t.false(running.has(id), `job ${id} runs twice`);
					running.add(id);
					executions.set(id, (executions.get(id) ?? 0) + 1);
				}
				const ends = claimed.map(({id, execution}) => ({id, lease, execution, outcome: outcomeOf(id, execution)}));
				// Just before, since another store may claim a job again as soon as it has failed.
				const settled = ends.length === 0 ? [] : await settleAll(queue, ends, () => claimed.forEach(({id}) => void running.delete(id)));
				t.false(settled.includes('lost'));
			}
		}),
	);
	const [queue] = queues as [RawQueue];
	const counts = await queue.counts();
	t.is(counts.completed + counts.dead, jobs);
	t.is(executions.size, jobs);
	const listed: Job[] = [];
	for await (const job of queue.jobs({})) listed.push(job);
	t.is(listed.filter(({status}) => status === 'completed').length, counts.completed);
	t.is(listed.filter(({status}) => status === 'dead').length, counts.dead);
	for (const job of listed) t.is(job.executions, executions.get(job.id) ?? 0);
	t.deepEqual(toCounts(await queue.store.counts()), counts);
	await closeAll(queues);
});

/** Settles a part of a claim each, at the same time. Returns what became of those that did not complete. */
async function settleAll(queue: RawQueue, ends: readonly Settlement[], before: () => void): Promise<unknown[]> {
	const parts = [0, 1, 2].map(part => ends.filter((_, index) => index % 3 === part)).filter(({length}) => length > 0);
	await new Promise(resolve => setTimeout(resolve, 1));
	before();
	const all = await Promise.all(parts.map(part => queue.store.commit({settle: [toEndedGroup(part)]})));
	return all.flatMap(({settled}) => settled.flatMap(({others}) => [...others.values()]));
}

test('parts of a claim that are settled at the same time are all settled', async t => {
	const [queue] = openQueues(1, 'parts of a claim') as [RawQueue];
	await queue.enqueue(Array.from({length: 200}, () => newJob()));
	const {lease, jobs} = await queue.dequeue({owner: 'owner', tasks: ['hash'], limit: 200});
	const done = await Promise.all(jobs.map(({id, execution}) => queue.complete({id, lease, execution}, 'null')));
	t.true(done.every(Boolean));
	t.like(await queue.counts(), {completed: 200, running: 0});
	await queue.close();
});

test('the edges of a group lead to its own jobs, while programs enqueue jobs in their own transactions', async t => {
	const [queue] = openQueues(1, 'edges') as [RawQueue];
	await queue.counts();
	const client = new pg.Client(server.url);
	await client.connect();
	let isEnded = false;
	const others = (async () => {
		while (!isEnded) await client.query(`select edges.enqueue('other', '1')`);
	})();
	for (let round = 0; round < 60; round++) {
		const values = Array.from({length: 5}, () => '1');
		const {enqueued} = await queue.store.commit({
			enqueue: [{...newJob(), values, parents: {edges: [{kind: 'each', parents: {groupsBefore: 0, first: 0, count: 4}, start: 1}], onParentDead: 'cancel'}}],
		});
		const first = enqueued[0]?.ids as number;
		const {rows} = await client.query('select parent_first, parent_last, child_first, child_last from edges.edge order by id desc limit 1');
		t.deepEqual(Object.values(rows[0]).map(Number), [first, first + 3, first + 1, first + 4]);
	}
	isEnded = true;
	await others;
	await client.end();
	await queue.close();
});

test('numbers as keys of a batch belong to one job each, also if two stores enqueue them at once', async t => {
	const queues = openQueues(2, 'numbers') as [RawQueue, RawQueue];
	const batch = await queues[0].store.openBatch('b', 'hash', 'owner');
	for (let round = 0; round < 40; round++) {
		const group = (from: number) => ({...newJob(), batch, values: ['1', '1'], keys: 3 * round + from});
		await Promise.all(queues.map((queue, index) => queue.store.commit({enqueue: [group(index)]})));
	}
	const {pending} = await queues[0].counts();
	t.is(pending, 3 * 40);
	await closeAll(queues);
});

test('a batch of which a job is claimed, or which is opened, between the look and its deletion stays', async t => {
	const [other] = openQueues(1, 'deleted') as [RawQueue];
	await other.counts();
	const own = openPool({connectionString: server.url, max: 2});
	const pool = new PoolWithMeanwhile(own, '.delete_batch(');
	const store = new PostgresStore(server.url, {schema: 'deleted', pool});
	const make = async (name: string) => {
		const batch = await other.openBatch(name, 'hash', 'maker');
		await other.enqueue([newJob({batch})]);
		await other.closeBatch(batch, 'maker');
	};
	await make('claimed');
	pool.meanwhile = async () => void (await other.dequeue({owner: 'runner', tasks: ['hash'], limit: 1}));
	await t.throwsAsync(store.delete({batch: 'claimed'}), {code: 'BatchRunning'});
	await make('opened');
	await other.cancel({batch: 'opened'});
	pool.meanwhile = async () => void (await other.openBatch('opened', 'hash', 'user'));
	t.deepEqual(await store.delete({batch: 'opened', unusedSince: Date.now() + 60_000}), {deleted: 0, next: null});
	t.truthy(await other.batch('opened'));
	await Promise.all([store.close(), other.close()]);
	await own.end();
});

test('a change of a schedule that was decided by one that was deleted meanwhile is decided anew, though another one has its name', async t => {
	const [other] = openQueues(1, 'replaced') as [RawQueue];
	const own = openPool({connectionString: server.url, max: 2});
	const pool = new PoolWithMeanwhile(own, '.commit(');
	const store = new PostgresStore(server.url, {schema: 'replaced', pool});
	const options = {catchUp: 'one', overlap: 'skip', jitterMs: 0, until: null, expiresMs: null} as const;
	const spec: ScheduleSpec = {timing: {everyMs: 1000, from: 'clock'}, ...options, task: 'hash', payload: '1', priority: 0, policy: POLICY};
	const set = (nextAt: number) => other.store.commit({schedule: [{name: 's', type: 'set', spec, nextAt, lastAt: null}]});
	await set(1);
	pool.meanwhile = async () => {
		pool.meanwhile = undefined;
		await other.store.commit({schedule: [{name: 's', type: 'delete'}]});
		await set(2);
	};
	t.true((await store.commit({schedule: [{name: 's', type: 'pause'}]})).scheduled?.[0]?.isDone);
	t.like(await other.store.schedules(), [{isPaused: true, nextAt: 2}]);
	await Promise.all([store.close(), other.close()]);
	await own.end();
});

test('a page ends early if its values are large', async t => {
	const [queue] = openQueues(1, 'large') as [RawQueue];
	const large = new Uint8Array(30_000_000);
	const ids = [1, 2, 3, 4];
	await queue.enqueue(ids.map(() => newJob()));
	const {lease} = await queue.dequeue({owner: 'o', tasks: [newJob().task], limit: 4});
	for (const id of ids) await queue.complete({id, lease, execution: 1}, large);
	const first = await queue.store.outcomes(ids);
	t.deepEqual([first.outcomes.length, first.next], [3, 3]);
	const last = await queue.store.outcomes(ids, {after: 3});
	t.deepEqual([last.outcomes.map(({id}) => id), last.next], [[4], null]);
	const page = await queue.store.jobs({}, {}, {values: true});
	t.deepEqual([page.jobs.map(({id}) => id), page.next], [[1, 2, 3], 3]);
	t.is((await queue.store.jobs({}, {})).jobs.length, 4);
	await queue.close();
});

test('stores that have ended share a row of changes, and no other store takes that for news', async t => {
	const [queue, other] = openQueues(2, 'ended') as [RawQueue, RawQueue];
	await queue.enqueue([newJob()]);
	await queue.close();
	await other.reclaim();
	const client = new pg.Client(server.url);
	await client.connect();
	await client.query('update ended.folded set at = 0');
	await client.query('insert into ended.folded values (1, 10, 0), (2, 20, 0)');
	const changes = async () => (await client.query('select sum(changes)::integer as all from ended.folded')).rows[0].all;
	const before = await changes();
	await other.reclaim();
	t.is(await changes(), before);
	t.deepEqual((await client.query('select store from ended.folded')).rows, [{store: 0}]);
	await client.end();
	await other.close();
});

test('the files of an owner that lives stay young', async t => {
	const [queue] = openQueues(1, 'young') as [RawQueue];
	await queue.enqueue([newJob()]);
	await queue.dequeue({owner: 'mine', tasks: ['hash'], limit: 1});
	const {ownerLock = ''} = queue.store.ownerFiles('mine');
	utimesSync(ownerLock, 0, 0);
	await queue.heartbeat('mine');
	t.true(Date.now() - statSync(ownerLock).mtimeMs < 60_000);
	await queue.close();
});

test('programs that live shorter than a lease find out together that an owner of another host is dead', async t => {
	const [first] = openQueues(1, 'short') as [RawQueue];
	await first.enqueue([newJob()]);
	await first.dequeue({owner: 'gone', tasks: ['hash'], limit: 1});
	await first.openBatch('b', 'hash', 'gone');
	const client = new pg.Client(server.url);
	await client.connect();
	await client.query(`update short.owner set host = 'elsewhere', heartbeat_at = heartbeat_at - 60000`);
	const lives = async () => {
		const queue = new RawQueue(new PostgresStore(server.url, {schema: 'short'}));
		const jobs = await queue.reclaim();
		await queue.close();
		return jobs;
	};
	t.is(await lives(), 0);
	t.is(await lives(), 0);
	await client.query('update short.owner set silent_since = silent_since - 60000');
	t.is(await lives(), 1);
	// The batch has no owner any more.
	await first.openBatch('b', 'hash', 'other');
	await client.end();
	await first.close();
});

test('the jobs of a killed process of the same host are reclaimed at once, with those that it had open under suspicion; those of a living one are not', async t => {
	const queue = new RawQueue(new PostgresStore(server.url));
	await queue.enqueue([1, 2].map(() => newJob({task: 'count'})));
	const program = new Program(t, 'queue-holder', server.url);
	const ids = JSON.parse(await program.line()) as JobId[];
	t.is(await queue.reclaim(), 0);
	t.like(await queue.counts(), {running: 2});
	const openJobs = (queue.store.ownerFiles('me').openJobs ?? '').replace('owner-me', 'owner-holder');
	writeOpenJobs(openJobs, 1, ids.slice(0, 1));
	await program.kill('SIGKILL');
	t.is(await queue.reclaim(), 2);
	t.like(await queue.job(1), {status: 'pending', attempts: 0, executions: 1});
	t.like((await queue.store.counts())[0], {quarantined: 1, ready: 1});
	t.false(existsSync(openJobs));
	await queue.close();
});

test('of a process on another host only its silence tells', async t => {
	const [one, two] = openQueues(2, 'other host') as [RawQueue, RawQueue];
	await one.enqueue([newJob({task: 'count'})]);
	await one.dequeue({owner: 'elsewhere', tasks: ['count']});
	const client = new pg.Client(server.url);
	await client.connect();
	await client.query(`update "other host".owner set host = 'elsewhere'`);
	// This drops the lock and leaves the row, as a process that is killed.
	await client.query(`alter function "${functionsOf('other host')}".release(jsonb) rename to gone`);
	await t.throwsAsync(one.close());
	t.is(await two.reclaim(), 0);
	await client.query(`alter function "${functionsOf('other host')}".gone(jsonb) rename to release`);
	await client.query('update "other host".owner set host = $1', [HOST]);
	t.is(await two.reclaim(), 1);
	await client.end();
	await two.close();
});

function outcomeOf(id: JobId, execution: number): Outcome {
	const error = {reason: 'threw', name: 'Error', message: 'no luck'} as const;
	if (id % 7 === 0) return {type: 'threw', error};
	if (id % 5 === 0 && execution === 1) return {type: 'released'};
	if (id % 3 === 0 && execution === 1) return {type: 'threw', error};
	return {type: 'returned', value: `${id}`};
}
