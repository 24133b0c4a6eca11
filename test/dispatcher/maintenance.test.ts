import test from 'ava';
import type {Committer} from '../../lib/dispatcher/committer.ts';
import {Maintenance} from '../../lib/dispatcher/maintenance.ts';
import type {Released, Store} from '../../lib/store/store.ts';
import {FaenaError} from '../../lib/support/errors.ts';
import {makeContext, newJob} from '../fixtures/dispatcher.ts';
import {HandClock} from '../fixtures/hand-clock.ts';
import {override} from '../fixtures/override.ts';
import {RawQueue} from '../fixtures/raw-queue.ts';
import {MemoryStore} from '../store/oracle.ts';

/** @param leaseMs with a third of it the owner's heart beats */
function setUp(leaseMs = 30_000, verbs: (store: Store) => Partial<Store> = () => ({})) {
	const clock = new HandClock();
	const memory = new MemoryStore({clock, leaseMs});
	/** The verbs that were called, and when. */
	const calls: [verb: string, at: number][] = [];
	const store = override(memory, inner => {
		const own = override(inner, verbs);
		const logged = <Name extends 'commit' | 'heartbeat' | 'reclaim'>(name: Name): Store[Name] =>
			((...args: unknown[]) => {
				calls.push([name, clock.steadyMs() - 1000]);
				return (own[name] as (...all: unknown[]) => unknown)(...args);
			}) as Store[Name];
		return {commit: logged('commit'), heartbeat: logged('heartbeat'), reclaim: logged('reclaim'), listen: () => () => undefined};
	});
	let wakes = 0;
	const {context, flush} = makeContext(store, {clock, events: ['recovered', 'ownerLost', 'refused'], wake: () => void wakes++});
	/** What the committer and the pool were told, in order. */
	const told: string[] = [];
	const tell = (name: string) => () => void told.push(name);
	const expiries: number[] = [];
	const jobsMayExpire = (inMs: number) => void expiries.push(inMs);
	const committer = {jobsMayBeReady: tell('jobsMayBeReady'), jobsMayExpire, release: tell('release'), pool: {interrupt: tell('interrupt')}};
	const maintenance = new Maintenance(context, committer as unknown as Committer, leaseMs);
	/** Ticks, and returns the events since the last time. */
	const tick = async () => {
		await maintenance.tick();
		return flush().events;
	};
	return {clock, flush, context, memory, queue: new RawQueue(memory), maintenance, calls, expiries, tick, told, wakes: () => wakes};
}

test('maintenance is due at once, and wakes the loop each second to be done again', async t => {
	const {maintenance, clock, tick, wakes} = setUp();
	t.true(maintenance.isDue);
	t.deepEqual(await tick(), []);
	t.false(maintenance.isDue);
	await clock.advance(999);
	t.deepEqual([maintenance.isDue, wakes()], [false, 0]);
	await clock.advance(1);
	t.deepEqual([maintenance.isDue, wakes()], [true, 1]);
	maintenance.stop();
	await clock.advance(5000);
	t.is(wakes(), 1);
});

test('with a short lease it is due three times in that', async t => {
	const {maintenance, clock, calls} = setUp(300);
	await maintenance.tick();
	await clock.advance(99);
	t.false(maintenance.isDue);
	await clock.advance(1);
	t.true(maintenance.isDue);
	await maintenance.tick();
	t.deepEqual(calls, [
		['commit', 0],
		['reclaim', 0],
		['heartbeat', 100],
		['reclaim', 100],
	]);
});

test('after a late tick the next heartbeat comes with the next firing of the timer, though its interval has not quite passed', async t => {
	const {clock, maintenance, calls} = setUp(300);
	await clock.advance(20);
	await maintenance.tick();
	await clock.advance(80);
	await maintenance.tick();
	t.deepEqual(calls, [
		['commit', 20],
		['reclaim', 20],
		['heartbeat', 100],
		['reclaim', 100],
	]);
});

test('the first beat registers the owner, later ones keep it alive, three times in a lease; dead owners are looked for every second', async t => {
	const {clock, queue, memory, calls, tick} = setUp(12_000);
	await queue.enqueue([newJob()]);
	t.is(await memory.heartbeat('owner'), 'fenced');
	await tick();
	t.is(await memory.heartbeat('owner'), 'alive');
	t.is((await queue.counts()).running, 0);
	for (let second = 0; second < 8; second++) {
		await clock.advance(1000);
		t.deepEqual(await tick(), []);
	}
	t.deepEqual(calls, [
		['commit', 0],
		['reclaim', 0],
		...[1000, 2000, 3000].map(at => ['reclaim', at] as const),
		['heartbeat', 4000],
		...[4000, 5000, 6000, 7000].map(at => ['reclaim', at] as const),
		['heartbeat', 8000],
		['reclaim', 8000],
	]);
});

test('the first beat lets jobs expire that others left, whose watchers hear of it, and tells when the next may expire', async t => {
	const {clock, queue, maintenance, expiries, context, flush} = setUp();
	await queue.enqueue([newJob({expiresMs: 10}), newJob({expiresMs: 50})]);
	context.clients.watch([1]);
	clock.pass(10);
	await maintenance.tick();
	t.deepEqual(expiries, [40]);
	await context.clients.lookUp();
	t.like(flush().notices[0], {id: 1, status: 'cancelled', error: {reason: 'expired'}});
});

test('after a tick that came late dead owners are looked for when they would have been looked for anyway', async t => {
	for (const [leaseMs, lateMs] of [
		[30_000, 500],
		[600, 150],
	] as const) {
		const {maintenance, clock, calls} = setUp(leaseMs);
		const everyMs = Math.min(1000, leaseMs / 3);
		await maintenance.tick();
		await clock.advance(everyMs);
		clock.pass(lateMs);
		await maintenance.tick();
		t.false(maintenance.isDue);
		await clock.advance(everyMs - lateMs);
		t.true(maintenance.isDue);
		await maintenance.tick();
		t.deepEqual(
			calls.filter(([name]) => name === 'reclaim').map(([, at]) => at),
			[0, everyMs + lateMs, 2 * everyMs],
		);
	}
});

test('an owner that was taken for dead reports it once, releases all jobs and stops the running ones, and is registered again', async t => {
	const {clock, memory, tick, told} = setUp(3000);
	await tick();
	await memory.release('owner', {leave: true});
	await clock.advance(1000);
	t.deepEqual(await tick(), [{type: 'ownerLost'}]);
	t.deepEqual(told, ['release', 'interrupt']);
	t.is(await memory.heartbeat('owner'), 'alive');
	await clock.advance(1000);
	t.deepEqual(await tick(), []);
});

test('jobs of dead owners are reclaimed, page by page, and reported; they may be ready', async t => {
	const pages: Released[] = [
		{jobs: 5, hasMore: true},
		{jobs: 2, hasMore: false},
	];
	const {maintenance, clock, tick, told} = setUp(30_000, () => ({reclaim: async () => pages.shift() ?? {jobs: 0, hasMore: false}}));
	t.deepEqual(await tick(), [{type: 'recovered', jobs: 5}]);
	t.true(maintenance.isDue);
	t.deepEqual(await tick(), [{type: 'recovered', jobs: 2}]);
	t.false(maintenance.isDue);
	await clock.advance(1000);
	t.deepEqual(await tick(), []);
	t.deepEqual(told, ['jobsMayBeReady', 'jobsMayBeReady']);
});

test('after a reclaim that fails the maintenance stays due', async t => {
	let fails = false;
	const {maintenance, clock, memory, flush, tick} = setUp(3000, inner => ({
		async reclaim() {
			if (fails) throw new FaenaError('DatabaseBusy', 'locked');
			return inner.reclaim();
		},
	}));
	await tick();
	await memory.release('owner', {leave: true});
	await clock.advance(1000);
	fails = true;
	await t.throwsAsync(tick(), {code: 'DatabaseBusy'});
	t.deepEqual(flush().events, [{type: 'ownerLost'}]);
	t.true(maintenance.isDue);
	fails = false;
	t.deepEqual(await tick(), []);
	t.false(maintenance.isDue);
});

test('an owner whose first beat fails is registered by the next', async t => {
	let failures = 1;
	const {memory, tick} = setUp(3000, inner => ({
		async commit(changes) {
			if (failures-- > 0) throw new FaenaError('StorageFull', 'full');
			return inner.commit(changes);
		},
	}));
	await t.throwsAsync(tick(), {code: 'StorageFull'});
	t.deepEqual(await tick(), []);
	t.is(await memory.heartbeat('owner'), 'alive');
});

test('rows in the way of reclaiming jobs are reported once, until that succeeds or other rows are in the way', async t => {
	let inTheWay: string | undefined = 'row 1';
	const {maintenance, clock, tick} = setUp(30_000, inner => ({
		async reclaim() {
			if (inTheWay) throw new FaenaError('BadRow', inTheWay);
			return inner.reclaim();
		},
	}));
	const told: unknown[] = [];
	for (const row of ['row 1', 'row 1', 'row 2', undefined, 'row 2']) {
		inTheWay = row;
		told.push((await tick()).map(event => event.type === 'refused' && event.error.message));
		t.false(maintenance.isDue);
		await clock.advance(1000);
	}
	t.deepEqual(told, [['row 1'], [], ['row 2'], [], ['row 2']]);
	inTheWay = 'row 3';
	t.deepEqual(await maintenance.reclaim(), {jobs: 0, hasMore: false});
});
