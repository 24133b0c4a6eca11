/** PostgreSQL stores that hear of each other's changes. */
import {setTimeout as sleep} from 'node:timers/promises';
import test, {type ExecutionContext} from 'ava';
import pg from 'pg';
import {enqueueIn} from '../../lib/index.ts';
import {toNewGroups} from '../../lib/job/groups/single-jobs.ts';
import {PostgresStore} from '../../lib/store/postgres/postgres.ts';
import type {PostgresPool as Pool} from '../../lib/store/postgres-client.ts';
import type {News} from '../../lib/store/store.ts';
import {CuttingProxy} from '../fixtures/cutting-proxy.ts';
import {openEngine} from '../fixtures/engine.ts';
import {openPool, PostgresServer} from '../fixtures/postgres-server.ts';
import {newJob} from './contract/laws.ts';

let server: PostgresServer;

test.before('starts a server', async t => {
	t.timeout(120_000);
	server = await PostgresServer.start();
});

test.after.always(() => server?.stop());

/** A store, what it sends to the server, and the notifications that reach it. */
function openObserved(t: ExecutionContext, schema: string, {url = server.url, leaseMs = 30_000} = {}) {
	const own = openPool({connectionString: url, max: 5});
	const sent: string[] = [];
	const heard: (string | undefined)[] = [];
	/** When connections were lost. */
	const lost: number[] = [];
	const pool: Pool = {
		options: {connectionString: url},
		Client: pg.Client,
		async connect() {
			const client = await own.connect();
			return {
				end: () => client.end(),
				processID: (client as {processID?: number}).processID ?? null,
				on: (event, listener) => client.on(event as 'notification', event === 'notification' ? note(listener) : listener),
				off: (event, listener) => client.off(event as 'notification', listener),
				release(destroy) {
					if (destroy) lost.push(Date.now());
					client.release(destroy);
				},
				async query(config) {
					sent.push(config.text);
					return client.query(config);
				},
			};
		},
	};
	const held = {notifications: false};
	const note = (listener: (event: pg.Notification) => void) => (event: pg.Notification) => {
		if (held.notifications) return;
		heard.push(event.payload);
		listener(event);
	};
	const store = new PostgresStore(url, {schema, pool, leaseMs});
	t.teardown(async () => {
		await store.close();
		await own.end();
	});
	return {store, sent, heard, lost, held};
}

/** Listens, and counts the changes that it hears of. Resolves once notifications would be heard. */
async function hear({store, sent}: ReturnType<typeof openObserved>): Promise<() => number> {
	let changes = 0;
	store.listen('owner', news => void (news.type === 'changed' && changes++));
	await until(() => sent.some(text => text.startsWith('listen')));
	await sleep(200);
	return () => changes;
}

async function until(isTrue: () => boolean): Promise<void> {
	while (!isTrue()) await sleep(5);
}

/** Makes changes until another store has heard of one. It may just be beginning to listen again. */
async function changeUntil(store: PostgresStore, isHeard: () => boolean): Promise<void> {
	while (!isHeard()) {
		await store.commit({enqueue: [{...newJob(), values: ['1']}]});
		await sleep(50);
	}
}

test.serial('a store hears of the changes of another one, and asks the server for little while nothing happens', async t => {
	const [one, two] = [openObserved(t, 'two stores'), openObserved(t, 'two stores')];
	const changes = await hear(two);
	// The first look at the health of the store ends its beginning, for which each connection asks something.
	await until(() => two.sent.some(text => text.includes('.size()')));
	await sleep(500);
	const before = two.sent.length;
	await sleep(3000);
	t.true(two.sent.length - before <= 5, two.sent.slice(before).join(' '));
	for (let change = 0; change < 5; change++) {
		const known = changes();
		await one.store.commit({enqueue: [{...newJob(), values: ['1']}]});
		await until(() => changes() > known);
	}
	t.true(two.heard.length >= 5, `${two.heard.length} notifications`);
});

/** A pool whose connections hear nothing, as behind a pooler in transaction mode. */
function deafPool(): {readonly own: pg.Pool; readonly pool: Pool} {
	const own = openPool({connectionString: server.url});
	const pool: Pool = {
		async connect() {
			const client = await own.connect();
			return {
				on: (event, listener) => client.on(event as 'error', listener as never),
				off: (event, listener) => client.off(event as 'error', listener as never),
				release: destroy => client.release(destroy),
				query: config => client.query(config.text.startsWith('listen') ? {text: 'select'} : config),
			};
		},
	};
	return {own, pool};
}

test.serial('that notifications do not arrive is told: the server refuses to listen, or the pool has one connection', async t => {
	const {own, pool: deaf} = deafPool();
	const single = openPool({connectionString: server.url, max: 1});
	for (const pool of [deaf, single]) {
		const store = new PostgresStore(server.url, {schema: 'deaf', pool});
		const told = new Promise(resolve => store.listen('owner', news => void (news.type === 'health' && news.hasNoNotifications && resolve(news))));
		t.like(await told, {type: 'health', hasNoNotifications: true});
		t.deepEqual(await store.counts(), []);
		await store.close();
	}
	const {store} = openObserved(t, 'deaf');
	const health = new Promise<Extract<News, {type: 'health'}>>(resolve => store.listen('owner', news => void (news.type === 'health' && resolve(news))));
	t.true((await health).databaseBytes > 100_000);
	await Promise.all([own.end(), single.end()]);
});

test.serial('a store that hears nothing, and has taken over a job from a transaction of a program, tells its listeners all the same', async t => {
	const {own, pool} = deafPool();
	const store = new PostgresStore(server.url, {schema: 'taken over', pool});
	await store.counts();
	let changes = 0;
	store.listen('owner', news => void (news.type === 'changed' && changes++));
	await sleep(300);
	await enqueueIn(own, 'echo', 1, {schema: 'taken over'});
	t.like((await store.counts())[0], {task: 'echo', ready: 1});
	await until(() => changes > 0);
	await store.close();
	await own.end();
});

test.serial('a store that hears nothing sees a pause, its end, and a schedule when it looks', async t => {
	const {own, pool} = deafPool();
	const [store, other] = [new PostgresStore(server.url, {schema: 'seen', pool}), new PostgresStore(server.url, {schema: 'seen'})];
	await other.counts();
	let changes = 0;
	let hasLooked = false;
	store.listen('owner', news => {
		if (news.type === 'changed') changes++;
		// Told after the first look. What others did before that is no news.
		if (news.type === 'health') hasLooked = true;
	});
	// When it begins to listen, it tells of changes that it may have missed.
	await until(() => hasLooked && changes > 0);
	const {task, policy} = newJob();
	const spec = {
		timing: {everyMs: 1000, from: 'clock'},
		...({catchUp: 'none', overlap: 'skip', jitterMs: 0, until: null, expiresMs: null} as const),
		task,
		payload: null,
		priority: 0,
		policy,
	} as const;
	const steps = [
		() => other.setPaused([task], true),
		() => other.setPaused([task], false),
		() => other.commit({schedule: [{name: 's', type: 'set', spec, nextAt: 1, lastAt: null}]}),
		() => other.commit({schedule: [{name: 's', type: 'pause'}]}),
		() => other.commit({schedule: [{name: 's', type: 'resume', at: 1, nextAt: 1}]}),
	];
	for (const [index, step] of steps.entries()) {
		const known = changes;
		await step();
		// Nothing is to be done when a schedule is paused.
		if (index !== 3) await until(() => changes > known);
	}
	t.pass();
	await Promise.all([store.close(), other.close()]);
	await own.end();
});

test.serial('a pause is heard of, too', async t => {
	const [one, two] = [openObserved(t, 'pauses'), openObserved(t, 'pauses')];
	const changes = await hear(two);
	const known = changes();
	await one.store.setPaused(['hash'], true);
	await until(() => changes() > known);
	t.pass();
});

test.serial('a job that a transaction of a program has committed has its key, and can be edited and waited for, before its notification has come', async t => {
	const observed = openObserved(t, 'before_news');
	await hear(observed);
	const {store, held} = observed;
	await store.commit({enqueue: toNewGroups([newJob()])});
	held.notifications = true;
	const client = new pg.Client(server.url);
	await client.connect();
	const arrive = async (key: string) => {
		const {rows} = await client.query(`select (before_news.enqueue('${newJob().task}', '1', '{"key": "${key}"}')).id`);
		return Number(rows[0].id);
	};
	await arrive('a');
	const {enqueued} = await store.commit({enqueue: toNewGroups([newJob({key: 'a', payload: '2'})])});
	t.deepEqual(enqueued[0]?.conflicts, [0]);
	t.deepEqual((await store.commit({edit: [{id: await arrive('b'), priority: 3}]})).edited, ['edited']);
	const parents = {edges: [{kind: 'all', parents: {ids: await arrive('c'), count: 1}}], onParentDead: 'cancel'} as const;
	t.is((await store.commit({enqueue: toNewGroups([newJob({parents})])})).enqueued[0]?.missing, undefined);
	await client.end();
});

test.serial('a change after a quiet time is told by its own transaction, and those after it are told, too', async t => {
	const [one, two] = [openObserved(t, 'quiet'), openObserved(t, 'quiet')];
	const changes = await hear(two);
	const enqueueOne = () => one.store.commit({enqueue: [{...newJob(), values: ['1']}]});
	const told = () => one.sent.filter(text => text.includes('tell_others')).length;
	await enqueueOne();
	for (let time = 0; time < 3; time++) {
		await sleep(100);
		const [known, before] = [changes(), told()];
		await enqueueOne();
		await until(() => changes() > known);
		t.is(told(), before);
	}
	const [known, before] = [two.heard.length, told()];
	for (let change = 0; change < 3; change++) await enqueueOne();
	await until(() => two.heard.length > known);
	await until(() => told() > before);
});

test.serial('while another transaction tells of its change, one that makes a change is told of after it', async t => {
	const [one, two] = [openObserved(t, 'one tells'), openObserved(t, 'one tells')];
	const changes = await hear(two);
	const other = new pg.Client(server.url);
	await other.connect();
	await other.query('begin; select pg_advisory_xact_lock("one tells".lock_key(), 3)');
	const told = () => one.sent.filter(text => text.includes('tell_others')).length;
	const [known, before] = [changes(), told()];
	await one.store.commit({enqueue: [{...newJob(), values: ['1']}]});
	await until(() => changes() > known);
	t.is(told(), before + 1);
	await other.end();
});

test.serial('many changes make few notifications', async t => {
	const [one, two] = [openObserved(t, 'many changes'), openObserved(t, 'many changes')];
	await hear(two);
	const before = one.sent.length;
	for (let change = 0; change < 300; change++) await one.store.commit({enqueue: [{...newJob(), values: ['1']}]});
	const told = one.sent.slice(before).filter(text => text.includes('tell_others'));
	t.true(told.length >= 1 && told.length < 250, `${told.length} for 300 changes`);
});

test.serial('a listener whose connection ends listens again', async t => {
	const [one, two] = [openObserved(t, 'lost listener'), openObserved(t, 'lost listener')];
	const changes = await hear(two);
	const listens = () => two.sent.filter(text => text.startsWith('listen')).length;
	await until(() => listens() === 1);
	const admin = new pg.Client(server.url);
	await admin.connect();
	await admin.query("select pg_terminate_backend(pid) from pg_stat_activity where query ~ '^listen |tell_others' and pid <> pg_backend_pid()");
	await admin.end();
	await until(() => listens() === 2);
	const heard = two.heard.length;
	await changeUntil(one.store, () => two.heard.length > heard);
	t.true(changes() > 0);
});

test.serial('a listener whose connection falls silent listens again', async t => {
	const proxy = await CuttingProxy.start(server.url);
	const [one, two] = [openObserved(t, 'silent listener'), openObserved(t, 'silent listener', {url: proxy.url, leaseMs: 1000})];
	await hear(two);
	const listens = () => two.sent.filter(text => text.startsWith('listen')).length;
	proxy.isSilent = true;
	// It asks whether anything has changed, and gets no answer; nor does it get a new connection.
	await until(() => two.lost.length > 0);
	await sleep(100);
	proxy.isSilent = false;
	await until(() => listens() === 2);
	const heard = two.heard.length;
	await changeUntil(one.store, () => two.heard.length > heard);
	t.pass();
	await two.store.close();
	await proxy.stop();
});

test.serial('a connection that is lost while it begins to listen is replaced by one', async t => {
	const own = openPool({connectionString: server.url});
	let begun = 0;
	let listening = 0;
	const pool: Pool = {
		async connect() {
			const client = await own.connect();
			let lose: ((event: object) => void) | undefined;
			return {
				on: (event, listener) => {
					if (event === 'error') lose = listener;
					return client.on(event as 'notification', listener);
				},
				off: (event, listener) => client.off(event as 'notification', listener),
				release: destroy => client.release(destroy),
				async query(config) {
					if (!config.text.startsWith('listen')) return client.query(config);
					begun++;
					if (begun === 1) {
						// As `pg` does: it says so twice.
						lose?.(new Error('lost'));
						throw new Error('Connection terminated unexpectedly');
					}
					listening++;
					return client.query(config);
				},
			};
		},
	};
	const store = new PostgresStore(server.url, {schema: 'lost while it begins', pool});
	store.listen('owner', () => {});
	await until(() => listening > 0);
	await sleep(1500);
	t.is(listening, 1);
	await store.close();
	await own.end();
	t.is(own.totalCount, 0);
});

test.serial('an engine gives the results of jobs that another engine runs', async t => {
	const url = server.url;
	const caller = await openEngine(t, {queue: url, tasks: null});
	const worker = await openEngine(t, {queue: url});
	const job = await worker.enqueue('echo', 'a');
	t.is(await job.result(), 'a');
	await caller.pause('echo');
	const paused = await worker.enqueue('echo', 'b');
	t.is((await caller.counts()).pending, 1);
	await caller.resume('echo');
	t.is(await paused.result(), 'b');
});

test.serial('listeners that come and go leave no connection behind', async t => {
	const own = openPool({connectionString: server.url, max: 3});
	const store = new PostgresStore(server.url, {schema: 'comes and goes', pool: own});
	for (let time = 0; time < 6; time++) {
		const stop = store.listen(`owner ${time}`, () => {});
		await store.counts();
		await sleep(50);
		stop();
	}
	await store.close();
	await own.end();
	t.is(own.totalCount, 0);
});

test.serial('commits are named statements once notifications come; where a pool loses the names, they go on without', async t => {
	const own = openPool({connectionString: server.url, max: 5});
	const names: (string | undefined)[] = [];
	let forgets = false;
	const pool: Pool = {
		async connect() {
			const client = await own.connect();
			if (forgets) await client.query('deallocate all');
			return {
				on: (event, listener) => client.on(event as 'notification', listener),
				off: (event, listener) => client.off(event as 'notification', listener),
				release: destroy => client.release(destroy),
				async query(config) {
					if (config.text.includes('.commit(')) names.push(config.name);
					return client.query(config);
				},
			};
		},
	};
	const store = new PostgresStore(server.url, {schema: 'names', pool});
	store.listen('owner', () => {});
	let jobs = 0;
	const enqueue = async () => {
		await store.commit({enqueue: [{...newJob(), values: ['1']}]});
		jobs++;
	};
	do await enqueue();
	while (names.at(-1) === undefined);
	forgets = true;
	await enqueue();
	t.deepEqual(names.slice(-2).map(Boolean), [true, false]);
	await enqueue();
	t.is(names.at(-1), undefined);
	t.like(await store.counts(), [{ready: jobs}]);
	await store.close();
	await own.end();
});
