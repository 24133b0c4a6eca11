/** Connections to PostgreSQL that are cut, also after the server has committed and before its answer arrives. */
import {setTimeout as sleep} from 'node:timers/promises';
import test from 'ava';
import pg from 'pg';
import {FaenaError} from '../../lib/index.ts';
import {toEndedGroup} from '../../lib/job/groups/single-jobs.ts';
import {PostgresStore} from '../../lib/store/postgres/postgres.ts';
import type {PostgresPool as Pool} from '../../lib/store/postgres-client.ts';
import {toCounts} from '../../lib/store/store.ts';
import {comesBack} from '../fixtures/comes-back.ts';
import {CuttingProxy} from '../fixtures/cutting-proxy.ts';
import {openEngine} from '../fixtures/engine.ts';
import {openPool, PostgresServer} from '../fixtures/postgres-server.ts';
import {openRawQueue, RawQueue} from '../fixtures/raw-queue.ts';
import {newJob} from './contract/laws.ts';

let server: PostgresServer;

test.before('starts a server', async t => {
	t.timeout(120_000);
	server = await PostgresServer.start();
});

test.after.always(() => server?.stop());

const claimOf = (owner: string) => ({owner, limit: 10, maxBytes: 1e6, lanes: [{task: newJob().task, limit: 10}]});

/** A pool of one connection that throws an error, usually of a lost connection, instead of sending, or after having sent, the next statement with this text. */
function losingPool(text = '.commit('): {readonly pool: Pool; lose(what: 'request' | 'answer', code?: string): void; arrive(): Promise<void>} {
	const own = openPool({connectionString: server.url, max: 1});
	let loses: 'request' | 'answer' | undefined;
	let late: pg.QueryConfig | undefined;
	let error = 'ECONNRESET';
	const pool: Pool = {
		async connect() {
			const client = await own.connect();
			return {
				on: (event, listener) => client.on(event, listener),
				off: (event, listener) => client.off(event, listener),
				release: () => client.release(),
				async query(config) {
					if (!loses || !config.text.includes(text)) return client.query(config);
					if (loses === 'answer') await client.query(config);
					else late = config;
					loses = undefined;
					throw Object.assign(new Error('lost'), {code: error});
				},
			};
		},
		end: () => own.end(),
	};
	return {
		pool,
		lose(what, code = 'ECONNRESET') {
			loses = what;
			error = code;
		},
		async arrive() {
			await own.query(late as pg.QueryConfig).catch(() => {});
		},
	};
}

for (const lost of ['request', 'answer'] as const) {
	test(`the first claim of an owner, whose ${lost} is lost, is given back${lost === 'request' ? ', also if it arrives later' : ''}`, async t => {
		const {pool, lose, arrive} = losingPool();
		const store = new PostgresStore(server.url, {schema: `first claim ${lost}`, pool});
		await store.commit({enqueue: [{...newJob(), values: ['1']}]});
		lose(lost);
		await t.throwsAsync(store.commit({claim: claimOf('owner')}), {code: 'OutcomeUnknown'});
		t.like(await store.release('owner'), {jobs: lost === 'answer' ? 1 : 0, hasMore: false});
		if (lost === 'request') await arrive();
		const {claimed} = await store.commit({claim: claimOf('owner')});
		t.is(claimed.groups.length, 1);
		await store.close();
		await pool.end?.();
	});
}

test('a claim that was committed, but whose answer could not be read, is given back by the next release', async t => {
	const schema = 'unread';
	const other = new RawQueue(new PostgresStore(server.url, {schema}));
	await other.enqueue([newJob()]);
	const {pool, lose} = losingPool('.policy where id');
	const store = new PostgresStore(server.url, {schema, pool});
	// A statement timeout, for instance.
	lose('request', '57014');
	await t.throwsAsync(store.commit({claim: claimOf('a')}), {code: 'OutcomeUnknown', message: /could not be read/});
	t.like(await other.counts(), {running: 1});
	t.deepEqual(await store.release('a'), {jobs: 1, hasMore: false});
	t.like(await other.counts(), {pending: 1});
	await Promise.all([store.close(), other.close()]);
	await pool.end?.();
});

test('a program that was killed and comes back with the same owner name has its old jobs at once', async t => {
	const location = `${server.url}?schema=again`;
	const queue = await openRawQueue(location);
	await comesBack(t, queue, location);
	await queue.close();
});

test('a read that ends in a deadlock is sent again', async t => {
	const {pool, lose} = losingPool('find_ids');
	const store = new PostgresStore(server.url, {schema: 'deadlock', pool});
	await store.commit({enqueue: [{...newJob(), values: ['1']}]});
	lose('request', '40P01');
	t.is((await store.jobs({})).jobs.length, 1);
	await store.close();
	await pool.end?.();
});

test('a release that a later one has overtaken has nothing left to do', async t => {
	const schema = 'overtaken';
	const store = new PostgresStore(server.url, {schema});
	const queue = new RawQueue(store);
	await queue.enqueue([newJob()]);
	await store.commit({claim: claimOf('a')});
	const client = new pg.Client(server.url);
	await client.connect();
	await client.query(`update ${schema}.owner set released_by = 9000000000000000`);
	t.deepEqual(await store.release('a'), {jobs: 0, hasMore: false});
	t.like(await queue.counts(), {running: 1});
	await client.query(`update ${schema}.owner set released_by = 0`);
	t.deepEqual(await store.release('a'), {jobs: 1, hasMore: false});
	await client.end();
	await queue.close();
});

test('a release that arrives late gives back no newer claims', async t => {
	const {pool, lose, arrive} = losingPool('.release(');
	const store = new PostgresStore(server.url, {schema: 'late release', pool});
	await store.commit({enqueue: [{...newJob(), values: ['1']}], claim: claimOf('owner')});
	lose('request');
	t.like(await store.release('owner'), {jobs: 1});
	await store.commit({claim: claimOf('owner')});
	await arrive();
	t.like(toCounts(await store.counts()), {running: 1});
	await store.close();
	await pool.end?.();
});

test('calls wait for a server that is away, unless it is away from the start', async t => {
	const proxy = await CuttingProxy.start(server.url);
	proxy.isAway = true;
	const store = new PostgresStore(proxy.url, {schema: 'away'});
	await t.throwsAsync(store.counts(), {code: 'Unreachable'});
	proxy.isAway = false;
	await store.counts();
	proxy.isAway = true;
	proxy.cut();
	const calls = [store.counts(), store.openBatch('a', newJob().task, 'owner'), store.setPaused(['a'], true)];
	const first = await Promise.race([...calls, sleep(300, 'none')]);
	t.is(first, 'none');
	proxy.isAway = false;
	await Promise.all(calls);
	await store.close();
	await proxy.stop();
});

/** Does it again while it fails because of a connection. */
async function insist<Result>(work: () => Promise<Result>): Promise<Result> {
	for (let tries = 0; ; tries++) {
		try {
			return await work();
		} catch (error) {
			if (tries === 20 || !(error instanceof FaenaError) || !['OutcomeUnknown', 'Unreachable'].includes(error.code)) throw error;
		}
	}
}

const CUTS = [
	...(['request', 'answer'] as const).map(direction => ({direction, endsHalf: false, schema: `cut ${direction}`, how: 'is cut'})),
	...(['request', 'answer'] as const).map(direction => ({direction, endsHalf: true, schema: `half ${direction}`, how: 'ends on one side'})),
];

for (const {direction, endsHalf, schema, how} of CUTS) {
	test(`wherever the connection ${how}, at a piece of ${direction === 'request' ? 'a request' : 'an answer'}: each job is stored once and ends once`, async t => {
		t.timeout(120_000);
		const direct = new PostgresStore(server.url, {schema});
		await direct.counts();
		let cuts = 0;
		for (let pieces = 0; ; pieces++) {
			const proxy = await CuttingProxy.start(server.url);
			proxy.endsHalf = endsHalf;
			const queue = new RawQueue(new PostgresStore(proxy.url, {schema}));
			const owner = `owner ${schema} ${pieces}`;
			proxy.cutAfter(pieces, direction);
			await insist(() => queue.enqueue([1, 2].map(number => newJob({key: `${pieces}/${number}`}))));
			const {lease, jobs} = await insist(async () => {
				await queue.store.release(owner);
				return queue.dequeue({owner, tasks: [newJob().task], limit: 10});
			});
			const settle = [toEndedGroup(jobs.map(({id, execution}) => ({id, lease, execution, outcome: {type: 'returned', value: 'null'}})))];
			await insist(() => queue.store.commit({settle}));
			const isDone = proxy.isCutAhead;
			await insist(() => queue.close());
			await proxy.stop();
			t.like(toCounts(await direct.counts()), {completed: 2 * (pieces + 1), pending: 0, running: 0}, `after ${pieces} pieces`);
			if (isDone) break;
			cuts++;
		}
		t.true(cuts > 5, `${cuts} cuts`);
		await direct.close();
	});
}

test('an engine whose connections are slow, and cut again and again: each job is stored once, and all complete', async t => {
	const proxy = await CuttingProxy.start(server.url);
	proxy.delayMs = () => 3 * Math.random();
	const faena = await openEngine(t, {queue: proxy.url});
	const jobs = 600;
	let isEnded = false;
	const cutting = (async () => {
		// A new connection takes longest to answer, the more so while other programs load the machine.
		for (let wait = 50; !isEnded; wait = (wait * 1.3) % 3000) {
			await sleep(wait);
			proxy.cut();
		}
	})();
	for (let from = 0; from < jobs; from += 20) {
		const numbers = Array.from({length: 20}, (_, index) => from + index);
		await insist(() => faena.enqueueMany('echo', numbers, {key: String}));
	}
	const mapped = new Set<unknown>();
	for await (const number of faena.map('echo', Array(jobs).keys(), {batch: 'cut'})) mapped.add(number);
	t.is(mapped.size, jobs);
	isEnded = true;
	await cutting;
	await faena.idle();
	t.like(await faena.counts(), {completed: 2 * jobs, pending: 0, running: 0, dead: 0});
	await faena.close();
	await proxy.stop();
});

test('a network that falls silent: a call of a queue without an engine ends, too', async t => {
	const proxy = await CuttingProxy.start(server.url);
	const queue = await openRawQueue(`${proxy.url}?schema=silent_queue`, {lease: '12s'});
	await queue.enqueue([newJob()]);
	await sleep(1000);
	proxy.isSilent = true;
	const begunAt = performance.now();
	await t.throwsAsync(queue.enqueue([newJob()]), {code: 'OutcomeUnknown'});
	t.true(performance.now() - begunAt < 60_000);
	proxy.isSilent = false;
	t.true((await queue.counts()).pending >= 1);
	await queue.close();
	await proxy.stop();
});

test('a network that is silent for long: ten calls one after the other fail within a minute', async t => {
	t.timeout(100_000);
	const proxy = await CuttingProxy.start(server.url);
	const queue = await openRawQueue(`${proxy.url}?schema=long_silence`);
	await queue.counts();
	proxy.isSilent = true;
	proxy.cut();
	await t.throwsAsync(queue.counts(), {code: 'Unreachable'});
	const begunAt = performance.now();
	for (let call = 0; call < 10; call++) await t.throwsAsync(queue.counts(), {code: 'Unreachable'});
	t.true(performance.now() - begunAt < 60_000);
	proxy.isSilent = false;
	proxy.cut();
	t.is((await queue.counts()).pending, 0);
	await queue.close();
	await proxy.stop();
});

test('a router that has forgotten a connection: its call ends, and the next one has another', async t => {
	const proxy = await CuttingProxy.start(server.url);
	const queue = await openRawQueue(`${proxy.url}?schema=forgotten`, {lease: '12s'});
	await queue.enqueue([newJob()]);
	proxy.forget();
	await t.throwsAsync(queue.enqueue([newJob()]), {code: 'OutcomeUnknown'});
	await queue.enqueue([newJob()]);
	t.is((await queue.counts()).pending, 2);
	await queue.close();
	await proxy.stop();
});

/** What keeps a program from making a new connection while the server is well. */
const TRIALS: Readonly<Record<string, (proxy: CuttingProxy, pool: pg.Pool & {Client?: unknown}) => void>> = {
	'new connections are refused': proxy => proxy.refuse(),
	'the password is not there': (_, pool) => {
		pool.options.password = () => Promise.reject(Object.assign(new Error('away'), {code: 'ETIMEDOUT'}));
	},
	'a certificate can not be read': (_, pool) => {
		pool.Client = class {
			constructor() {
				throw new Error('ENOENT');
			}
		};
	},
};

for (const [trial, begin] of Object.entries(TRIALS)) {
	test(`calls that the server takes long to answer are not given up although ${trial}`, async t => {
		const proxy = await CuttingProxy.start(server.url);
		const schema = `trial ${trial}`.replaceAll(' ', '_');
		const {hostname: host, port, username: user, password} = new URL(proxy.url);
		const pool = openPool({host, port: Number(port), user, password, database: 'postgres', max: 2});
		const queue = await openRawQueue(`postgres://?schema=${schema}`, {pool, lease: '1s'});
		await queue.enqueue([newJob()]);
		const other = new pg.Client(server.url);
		await other.connect();
		await other.query(`begin; lock table ${schema}.job in access exclusive mode`);
		const enqueued = queue.enqueue([newJob()]);
		begin(proxy, pool);
		await sleep(8000);
		await other.query('commit');
		t.is((await enqueued).length, 1);
		await other.end();
		await queue.close();
		await pool.end();
		await proxy.stop().catch(() => {});
	});
}

test('calls that the server takes long to answer are not given up, nor those that wait for their connections', async t => {
	const queue = await openRawQueue(`${server.url}?schema=slow`, {lease: '1s'});
	await queue.enqueue([newJob()]);
	const other = new pg.Client(server.url);
	await other.connect();
	await other.query('begin; lock table slow.job in access exclusive mode');
	const enqueued = Promise.all(Array.from({length: 9}, () => queue.enqueue([newJob()])));
	await sleep(12_000);
	await other.query('commit');
	t.is(new Set((await enqueued).map(([job]) => job?.id)).size, 9);
	await other.end();
	await queue.close();
});

test('a network that falls silent: calls end, and the engine goes on when it is back', async t => {
	const proxy = await CuttingProxy.start(server.url);
	const faena = await openEngine(t, {queue: `${proxy.url}?schema=silent`, lease: '3s'});
	await faena.call('echo', 0);
	await sleep(2000);
	proxy.isSilent = true;
	const enqueued = faena.enqueue('echo', 1);
	const called = faena.call('echo', 2, {key: 'two'});
	// Unreachable if it needed a new connection: then nothing was sent.
	const error = await t.throwsAsync(enqueued, {instanceOf: FaenaError});
	t.true(['OutcomeUnknown', 'Unreachable'].includes(error?.code ?? ''), String(error));
	proxy.isSilent = false;
	proxy.cut();
	const again = (error: FaenaError) => (error.code === 'Unreachable' ? faena.call('echo', 2, {key: 'two'}) : Promise.reject(error));
	t.is(await called.catch(again), 2);
	t.is(await faena.call('echo', 3), 3);
	await faena.close();
	await proxy.stop();
});
