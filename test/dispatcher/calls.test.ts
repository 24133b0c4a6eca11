import test from 'ava';
import {Calls, type OtherCall} from '../../lib/dispatcher/calls.ts';
import type {Committer} from '../../lib/dispatcher/committer.ts';
import {OpenBatches} from '../../lib/dispatcher/open-batches.ts';
import {Schedules} from '../../lib/dispatcher/schedules.ts';
import type {BatchId} from '../../lib/job/batch.ts';
import type {JobId} from '../../lib/job/job.ts';
import type {Store} from '../../lib/store/store.ts';
import {FaenaError} from '../../lib/support/errors.ts';
import {arm} from '../../lib/support/failpoint.ts';
import type {Reply, Verbs} from '../../lib/transport/messages.ts';
import {makeContext, newJob, smallPages, verb} from '../fixtures/dispatcher.ts';
import {HandClock} from '../fixtures/hand-clock.ts';
import {override} from '../fixtures/override.ts';
import {RawQueue} from '../fixtures/raw-queue.ts';
import {MemoryStore} from '../store/oracle.ts';

interface SetUp {
	readonly jobs?: number;
	readonly verbs?: (store: Store, clock: HandClock) => Partial<Store>;
	/** Of the maintenance. */
	readonly reclaim?: () => Promise<number>;
	/** Resolves when the pool has given back, or stopped, what it was asked for. */
	readonly obeyed?: Promise<void>;
}

/** Calls of a dispatcher on a store of so many jobs. */
async function setUp({jobs = 0, verbs = () => ({}), reclaim = async () => 0, obeyed = Promise.resolve()}: SetUp = {}) {
	const clock = new HandClock();
	const memory = new MemoryStore({clock});
	const store = override(memory, inner => ({...smallPages(inner), ...verbs(inner, clock)}));
	const queue = new RawQueue(memory);
	await queue.enqueue(Array.from({length: jobs}, () => newJob()));
	/** What the dispatcher was asked for, in order. */
	const asked: unknown[][] = [];
	const {context, clients, messages, flush} = makeContext(store, {
		clock,
		events: ['cancelled'],
		wake: () => void asked.push(['wake']),
	});
	const committer = {
		statistics: {report: () => 'statistics'},
		waiting: {},
		pool: {
			confirmStops: async () => {
				asked.push(['confirmStops']);
				await obeyed;
			},
		},
		jobsMayBeReady: () => void asked.push(['jobsMayBeReady']),
		stop: (id: JobId) => void asked.push(['stop', id]),
		release: async (...args: unknown[]) => {
			asked.push(['release', ...args]);
			await obeyed;
		},
	} as unknown as Committer;
	const reclaimNow = async () => {
		asked.push(['reclaim', clock.steadyMs()]);
		return {jobs: await reclaim(), hasMore: false};
	};
	const batches = new OpenBatches(context, {reclaim: reclaimNow}, () => undefined);
	const calls = new Calls(context, committer, batches, new Schedules(context, committer));
	/** As the dispatcher's loop does it. */
	const performAll = async () => {
		await calls.perform();
		await clients.lookUp();
	};
	const perform = async (...own: OtherCall[]): Promise<readonly Reply[]> => {
		for (const call of own) calls.waiting.push(call);
		await performAll();
		await clock.nextTurn();
		return flush().replies;
	};
	const ask = async (name: keyof Verbs, ...args: readonly unknown[]) => (await perform(verb(1, name, ...args)))[0] as Reply & {value?: unknown};
	return {asked, calls, clients, clock, flush, memory, messages, perform, performAll, queue, ask};
}

test('calls are performed in order, and answered', async t => {
	const {calls, perform, clients} = await setUp();
	t.is(calls.waiting.length > 0, false);
	calls.waiting.push({call: 1, type: 'stats'});
	t.is(calls.waiting.length > 0, true);
	const [first] = await perform();
	t.is(calls.idle.length > 0, false);
	const replies = await perform(
		{call: 2, type: 'watch', ids: [7]},
		{call: 3, type: 'subscribe', events: ['recovered']},
		{call: 4, type: 'idle', waiting: true},
		verb(5, 'paused'),
		{call: 6, type: 'unwatch', ids: [7]},
	);
	t.deepEqual(first, {call: 1, value: 'statistics'});
	t.deepEqual(replies, [
		{call: 2, value: undefined},
		{call: 3, value: undefined},
		{call: 5, value: []},
		{call: 6, value: undefined},
	]);
	t.is(calls.waiting.length > 0, false);
	t.is(clients.watched.size === 0, true);
	t.is(calls.idle.length > 0, true);
});

test('a caller that watches jobs learns at once which have ended', async t => {
	const {calls, performAll, queue, clients, flush} = await setUp({jobs: 2});
	await queue.cancel({ids: [2]});
	calls.waiting.push({call: 1, type: 'watch', ids: [1, 2]});
	await performAll();
	t.like(flush(), {replies: [{call: 1}], notices: [{id: 2, status: 'cancelled'}]});
	calls.waiting.push({call: 2, type: 'unwatch', ids: [1]});
	await performAll();
	t.is(clients.watched.size === 0, true);
});

test('a caller that subscribes gets other events from then on', async t => {
	const {perform, clients, flush} = await setUp();
	await perform({call: 1, type: 'subscribe', events: ['recovered']});
	clients.publish({type: 'ownerLost'});
	clients.publish({type: 'recovered', jobs: 1});
	t.deepEqual(flush().events, [{type: 'recovered', jobs: 1}]);
});

test("a verb is answered with the store's answer, or with its error", async t => {
	const {ask} = await setUp({jobs: 2});
	t.like(await ask('jobs', {ids: [1]}, {limit: 10}, {logs: true}), {value: {jobs: [{id: 1, logs: []}], next: null}});
	t.like(await ask('counts'), {value: [{task: 'count', ready: 2}]});
	t.deepEqual(await ask('batches'), {call: 1, value: []});
	t.like(await ask('delete', {endedBefore: 0}), {value: {deleted: 0, next: null}});
	const broken = await setUp({verbs: () => ({counts: async () => Promise.reject(new FaenaError('DatabaseBusy', 'locked'))})});
	t.like(await broken.ask('counts'), {error: {code: 'DatabaseBusy'}});
});

test('calls are performed for 20 ms, the first in any case; the others keep their order', async t => {
	const {calls, perform} = await setUp({
		verbs: (inner, clock) => ({
			counts() {
				clock.pass(10);
				return inner.counts();
			},
		}),
	});
	const numbers = async (...own: OtherCall[]) => (await perform(...own)).map(({call}) => call);
	t.deepEqual(await numbers(...[1, 2, 3, 4, 5].map(call => verb(call, 'counts'))), [1, 2]);
	t.is(calls.waiting.length > 0, true);
	t.deepEqual(await numbers(verb(6, 'counts')), [3, 4]);
	t.deepEqual(await numbers(), [5, 6]);
	t.is(calls.waiting.length > 0, false);
	const slow = await setUp({
		jobs: 100,
		verbs: (inner, clock) => ({
			move(...args) {
				clock.pass(100);
				return inner.move(args[0], args[1], {limit: 10, ...args[2]});
			},
		}),
	});
	await slow.perform(verb(1, 'cancel', {}));
	const others = [verb(2, 'paused'), verb(3, 'paused')];
	t.deepEqual(await slow.perform(...others), []);
	t.deepEqual(
		(await slow.perform()).map(({call}) => call),
		[2, 3],
	);
});

test('a pause is answered once nothing of its tasks can start any more, and keeps no other call waiting', async t => {
	const {promise: obeyed, resolve} = Promise.withResolvers<void>();
	const {perform, asked, queue, clock, messages} = await setUp({obeyed});
	t.deepEqual(await perform(verb(1, 'pause', ['count', 'other']), verb(2, 'paused')), [{call: 2, value: ['count', 'other']}]);
	t.deepEqual(asked, [
		['release', 'count'],
		['release', 'other'],
	]);
	t.deepEqual(await queue.paused(), ['count', 'other']);
	resolve();
	await clock.nextTurn();
	// It leaves by itself: the loop may have nothing to do for long.
	t.deepEqual(
		messages.flatMap(({replies}) => replies),
		[{call: 1, value: undefined}],
	);
});

test('after a resume or an edit jobs may be ready, and after no other verb that reads or pauses', async t => {
	const {ask, asked} = await setUp({jobs: 1});
	t.deepEqual(await ask('resume', ['count']), {call: 1, value: undefined});
	t.deepEqual(asked.splice(0), [['jobsMayBeReady']]);
	t.deepEqual(await ask('edit', 1, {priority: 1}), {call: 1, value: true});
	t.deepEqual(asked.splice(0), [['jobsMayBeReady']]);
	await ask('counts');
	t.deepEqual(asked, []);
});

test('a cancel is answered with the cancelled jobs; running jobs are stopped first, and none of them can start after the answer', async t => {
	const {promise: obeyed, resolve} = Promise.withResolvers<void>();
	const {calls, performAll, queue, clients, asked, flush, clock, messages} = await setUp({jobs: 5, obeyed});
	await queue.dequeue({owner: 'owner', tasks: ['count'], limit: 2});
	clients.watch([1, 3]);
	calls.waiting.push(verb(1, 'cancel', {ids: [1, 2, 3, 4]}));
	await performAll();
	t.is(calls.waiting.length > 0, false);
	const {replies, notices, events} = flush();
	t.deepEqual(replies, []);
	t.like(notices, [{id: 3, status: 'cancelled'}]);
	t.deepEqual(events, [
		{type: 'cancelled', id: 3, task: 'count'},
		{type: 'cancelled', id: 4, task: 'count'},
	]);
	t.deepEqual(asked, [['jobsMayBeReady'], ['stop', 1], ['stop', 2], ['confirmStops']]);
	resolve();
	await clock.nextTurn();
	t.deepEqual(
		messages.flatMap(each => each.replies),
		[{call: 1, value: {cancelled: [3, 4], asked: [1, 2]}}],
	);
});

test('a cancel of jobs that do not run asks the pool nothing', async t => {
	const {ask, asked} = await setUp({jobs: 2});
	t.deepEqual(await ask('cancel', {ids: [2]}), {call: 1, value: {cancelled: [2], asked: []}});
	t.deepEqual(asked, [['jobsMayBeReady']]);
});

test('a discard lets running jobs end, or stops them; waiting jobs come back from the pool, and no job is reported as cancelled', async t => {
	const {ask, queue, asked, flush} = await setUp({jobs: 3});
	await queue.dequeue({owner: 'owner', tasks: ['count'], limit: 1});
	t.deepEqual(await ask('discard', [1, 2], {stop: false}), {call: 1, value: {discarded: [2], asked: [1]}});
	t.deepEqual(asked.splice(0), [['jobsMayBeReady'], ['release'], ['confirmStops'], ['wake']]);
	t.deepEqual(await ask('discard', [1], {stop: true}), {call: 1, value: {discarded: [], asked: [1]}});
	t.deepEqual(asked.splice(0), [['jobsMayBeReady'], ['stop', 1], ['confirmStops'], ['wake']]);
	t.deepEqual(await ask('discard', [3], {stop: false}), {call: 1, value: {discarded: [3], asked: []}});
	t.deepEqual(asked, [['jobsMayBeReady']]);
	t.deepEqual(flush().events, []);
});

test('after a retry jobs may be ready', async t => {
	const {ask, queue, asked} = await setUp({jobs: 2});
	await queue.cancel({ids: [1]});
	t.deepEqual(await ask('retry', {}), {call: 1, value: 1});
	t.deepEqual(asked, [['jobsMayBeReady']]);
});

test('a call of many jobs moves a page each time, before other calls', async t => {
	const {calls, perform, queue} = await setUp({jobs: 25});
	t.deepEqual(await perform(verb(1, 'cancel', {})), []);
	t.is(calls.waiting.length > 0, true);
	t.like(await perform(verb(2, 'counts')), [{call: 2, value: [{cancelled: 20}]}]);
	const [reply] = await perform();
	t.is((reply as {value: {cancelled: unknown[]}}).value.cancelled.length, 25);
	t.is(calls.waiting.length > 0, false);
	t.is((await queue.counts()).cancelled, 25);
});

test('calls of many jobs take turns', async t => {
	const {perform} = await setUp({jobs: 30});
	t.deepEqual(await perform(verb(1, 'cancel', {}), verb(2, 'cancel', {status: 'pending'})), []);
	const replies = await perform();
	t.deepEqual(
		replies.map(reply => [reply.call, (reply as {value: {cancelled: unknown[]}}).value.cancelled.length]),
		[
			[1, 20],
			[2, 10],
		],
	);
});

for (const [name, ...args] of [['counts'], ['openBatch', 'nightly', 'count'], ['cancel', {}]] as const) {
	test.serial(`after the transaction of ${name} comes a moment at which a program under test can be made to die`, async t => {
		const {ask} = await setUp({jobs: 1});
		const disarm = arm({'verb:committed': 'throw'});
		t.like(await ask(name, ...args), {error: {message: "Faena's dispatcher failed: The failpoint verb:committed was reached."}});
		disarm();
	});
}

test('a call whose page fails is refused, and goes no further; others do', async t => {
	let fails = false;
	const {calls, perform} = await setUp({
		jobs: 25,
		verbs: inner => ({
			async move(filter, to, page) {
				if (fails) throw new FaenaError('DatabaseBusy', 'locked');
				return inner.move(filter, to, {limit: 10, ...page});
			},
		}),
	});
	await perform(verb(1, 'cancel', {}));
	fails = true;
	t.like(await perform(verb(2, 'paused')), [{call: 1, error: {code: 'DatabaseBusy'}}, {call: 2}]);
	t.is(calls.waiting.length > 0, false);
	t.like(await perform(verb(3, 'cancel', {})), [{call: 3, error: {code: 'DatabaseBusy'}}]);
});

test('calls that are not done at the end are refused with how far they came', async t => {
	const {calls, perform, flush} = await setUp({jobs: 25});
	await perform(verb(1, 'cancel', {}));
	calls.interrupt();
	t.is(calls.waiting.length > 0, false);
	t.like(flush().replies, [
		{
			call: 1,
			error: {
				code: 'Closed',
				message: 'The engine was closed before cancel() was done. 10 jobs are done and stay so; call it again for the others.',
			},
		},
	]);
});

test('a batch is opened for the owner, its input ends, and it is closed or left: then another map may open it', async t => {
	const {ask, calls, clock, messages, queue, asked} = await setUp();
	calls.waiting.push(verb(1, 'openBatch', 'nightly', 'count'));
	await calls.perform();
	await clock.nextTurn();
	// It leaves by itself.
	const [opened] = messages.splice(0).flatMap(({replies}) => replies) as {value: {id: BatchId}}[];
	const batch = opened?.value.id ?? 0;
	t.deepEqual(asked.splice(0), [['wake']]);
	await t.throwsAsync(queue.openBatch('nightly', 'count', 'other'), {code: 'BatchInUse'});
	t.deepEqual(await ask('endInput', batch, 0), {call: 1, value: true});
	t.like(await ask('batch', 'nightly'), {value: {total: 0}});
	t.deepEqual(await ask('leaveBatch', batch), {call: 1, value: undefined});
	t.is(await queue.openBatch('nightly', 'count', 'other'), batch);
	t.deepEqual(await ask('endInput', batch, 3), {call: 1, value: false});
	const {value: next} = (await ask('openBatch', 'weekly', 'count')) as {value: {id: BatchId}};
	await ask('endInput', next.id, 0);
	t.is((await queue.batch('weekly'))?.closedAt, undefined);
	await ask('closeBatch', next.id);
	t.true(((await queue.batch('weekly'))?.closedAt ?? 0) > 0);
	t.deepEqual(asked, [['wake']]);
});

test('after a batch is deleted its watched jobs are looked up', async t => {
	const {ask, clients, queue, calls, performAll, flush} = await setUp();
	const batch = await queue.openBatch('nightly', 'count', 'other');
	await queue.enqueue([newJob({batch})]);
	clients.watch([1]);
	calls.waiting.push(verb(1, 'deleteBatch', 'nightly'));
	await performAll();
	t.like(flush(), {replies: [{call: 1, value: {deleted: 1, isGone: true}}], notices: [{id: 1, status: 'missing'}]});
	t.like(await ask('deleteBatch', 'nightly'), {value: {isGone: true}});
});

test('a batch that is in use is asked for every 50 ms; after a second, in which dead owners are reclaimed, it is refused', async t => {
	const {perform, queue, asked, clock, flush} = await setUp();
	await queue.openBatch('nightly', 'count', 'other');
	t.deepEqual(await perform(verb(1, 'openBatch', 'nightly', 'count')), []);
	for (let ms = 0; ms < 950; ms += 50) await clock.advance(50);
	t.deepEqual(flush().replies, []);
	await clock.advance(50);
	t.like(flush().replies, [{call: 1, error: {code: 'BatchInUse'}}]);
	t.deepEqual(asked, [...Array.from({length: 20}, (_, look) => ['reclaim', 1000 + 50 * look]), ['wake']]);
});

test('a batch whose owner was found dead is opened at once', async t => {
	let died = 1;
	const {perform, queue, asked, memory} = await setUp({
		async reclaim() {
			await memory.release('other', {leave: true});
			return died--;
		},
	});
	const batch = await queue.openBatch('nightly', 'count', 'other');
	t.like(await perform(verb(1, 'openBatch', 'nightly', 'count')), [{call: 1, value: {id: batch, running: []}}]);
	t.deepEqual(asked, [['reclaim', 1000], ['wake']]);
});

test('a batch that a map of this dispatcher has, or one of another task, is refused at once', async t => {
	const {ask, asked, queue} = await setUp();
	await ask('openBatch', 'nightly', 'count');
	t.like(await ask('openBatch', 'nightly', 'count'), {error: {code: 'BatchInUse'}});
	await queue.openBatch('weekly', 'other', 'other');
	t.like(await ask('openBatch', 'weekly', 'count'), {error: {code: 'BatchConflict'}});
	t.deepEqual(
		asked.filter(([name]) => name === 'reclaim'),
		[],
	);
});
