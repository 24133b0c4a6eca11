import test from 'ava';
import {Committer} from '../../lib/dispatcher/committer.ts';
import type {Outcome} from '../../lib/job/claim.ts';
import type {EventName, JobEvent} from '../../lib/job/events.ts';
import {type ClaimedGroup, type EndedGroup, listIds, type NewGroup, sizeOf} from '../../lib/job/groups/group.ts';
import {settlementsOf, toEndedGroup, toNewGroups} from '../../lib/job/groups/single-jobs.ts';
import type {JobId} from '../../lib/job/job.ts';
import type {TaskInfo} from '../../lib/job/task/task.ts';
import type {Changes, Committed, Store} from '../../lib/store/store.ts';
import {type ErrorCode, FaenaError} from '../../lib/support/errors.ts';
import {arm, type FailpointName, type Failpoints} from '../../lib/support/failpoint.ts';
import {makeContext, newJob, POLICY} from '../fixtures/dispatcher.ts';
import {HandClock} from '../fixtures/hand-clock.ts';
import {HandPool} from '../fixtures/hand-pool.ts';
import {near} from '../fixtures/near.ts';
import {override} from '../fixtures/override.ts';
import {RawQueue} from '../fixtures/raw-queue.ts';
import {MemoryStore} from '../store/oracle.ts';

const EVENTS: readonly EventName[] = ['completed', 'failed', 'dead', 'progress', 'refused', 'setBack', 'log'];
const RETURNED: Outcome = {type: 'returned', value: '1'};
const ERROR = {reason: 'threw', name: 'Error', message: 'it failed'} as const;
const THREW: Outcome = {type: 'threw', error: ERROR};

interface SetUp {
	readonly jobs?: number;
	readonly tasks?: Readonly<Record<string, TaskInfo['options']>>;
	readonly verbs?: (store: Store) => Partial<Store>;
	readonly hasPool?: boolean;
	readonly asksForSignals?: boolean;
}

/** The committer of a dispatcher on a store of so many jobs, with a pool of two workers. */
async function setUp({jobs = 0, tasks = {count: {}}, verbs = () => ({}), hasPool = true, asksForSignals = false}: SetUp = {}) {
	const [clock, pool] = [new HandClock(), new HandPool()];
	const memory = new MemoryStore({clock});
	const queue = new RawQueue(memory);
	await queue.enqueue(Array.from({length: jobs}, () => newJob()));
	const commits: Changes[] = [];
	const store = override(override(memory, verbs), inner => ({
		commit(changes) {
			commits.push(changes);
			return inner.commit(changes);
		},
	}));
	const context = {wakes: 0, breaks: 0};
	const {
		context: own,
		clients,
		retries,
		others,
		flush,
	} = makeContext(store, {clock, events: EVENTS, wake: () => void context.wakes++, maintain: async () => void context.breaks++});
	const committer = new Committer(own, hasPool ? () => pool : undefined, asksForSignals);
	committer.demand.tasks = new Map(Object.entries(tasks));
	/** Ends the jobs of a chunk that the pool was given. */
	const end = (chunk: ClaimedGroup, outcome: Outcome = RETURNED) => committer.ended(chunk.task, [endOf(chunk, outcome)]);
	/** The ids of what the pool has been given since the last time. */
	const takeGiven = (): (readonly JobId[])[] => pool.given.splice(0).map(({ids, values}) => listIds(ids, sizeOf({values})));
	const takeWakes = (): number => {
		const {wakes} = context;
		context.wakes = 0;
		return wakes;
	};
	return {clients, clock, commits, end, committer, flush, context, memory, others, pool, queue, retries, takeGiven, takeWakes};
}

function endOf(chunk: ClaimedGroup, outcome: Outcome): EndedGroup {
	const {lease, ids} = chunk;
	const settlements = listIds(ids, sizeOf(chunk)).map(id => ({id, lease, execution: 1, outcome}));
	return {...toEndedGroup(settlements, chunk.createdAt), claimed: chunk};
}

function enqueueCall(call: number, jobs = 1, parts: Partial<NewGroup> = {}) {
	const group: NewGroup = {task: 'count', values: {count: jobs, text: null}, priority: 0, runAt: null, policy: POLICY, ...parts};
	return {call, type: 'enqueue', group, watch: false} as const;
}

function fail(code: ErrorCode): never {
	throw new FaenaError(code, code);
}

const eventsOf = (events: readonly JobEvent[], type: EventName) => events.filter(event => event.type === type);

test('a commit claims as many jobs as the pool can take and starts them; the next one settles them, and then none is left to commit', async t => {
	const {committer, commits, pool, end, flush, queue, takeGiven} = await setUp({jobs: 2});
	t.false(committer.hasJobs);
	await committer.commit();
	const [chunk] = pool.given;
	t.deepEqual(takeGiven(), [[1], [2]]);
	await committer.commit();
	t.is(commits.length, 1);
	end(chunk as ClaimedGroup);
	t.true(committer.mustCommit && committer.hasJobs);
	await committer.commit();
	t.false(committer.mustCommit || committer.hasJobs);
	t.is(commits.length, 2);
	t.is(commits[1]?.claim, undefined);
	t.deepEqual(flush().events, [{type: 'completed', id: 1, task: 'count', attempt: 1, durationMs: 0}]);
	t.like(await queue.counts(), {completed: 1, running: 1});
	await committer.commit();
	t.is(commits.length, 2);
});

test('the outcome of a short job that no caller waits for waits as long as the job took, at least 2 ms; that of a long job does not wait', async t => {
	for (const [durationMs, waitMs] of [
		[0, 2],
		[20, 20],
		[50, 50],
		[51, 0],
		[600_000, 0],
	] as const) {
		const {committer, clients, clock, pool, end} = await setUp({jobs: 1});
		clients.subscribe([]);
		await committer.commit();
		clock.pass(1000);
		end(pool.given[0] as ClaimedGroup, {...RETURNED, startedAt: 1, durationMs});
		t.is(committer.lingerMs(), waitMs);
		clients.watch([1]);
		end(pool.given[0] as ClaimedGroup, {...RETURNED, startedAt: 1, durationMs});
		t.is(committer.lingerMs(), 0);
	}
});

test('the pool has jobs as long as it says so', async t => {
	const {committer, pool} = await setUp();
	pool.size = 1;
	t.true(committer.hasJobs);
});

test('jobs that a caller enqueues are claimed in the same transaction, and the call is answered after it', async t => {
	const {committer, commits, flush, takeGiven} = await setUp();
	await committer.commit();
	t.deepEqual(flush().replies, []);
	committer.enqueues.push(enqueueCall(1, 3));
	await committer.commit();
	t.deepEqual(flush().replies, [{call: 1, value: {ids: 1}}]);
	t.deepEqual(takeGiven(), [[1], [2]]);
	t.is(commits.length, 2);
	t.is(commits[1]?.claim?.limit, 2);
	t.is(commits[1]?.claim?.maxBytes, 64 * 1024 * 1024);
	t.is(commits[1]?.claim?.owner, 'owner');
});

test('a transaction takes two whole groups of calls, in order; another one takes the rest', async t => {
	const {committer, flush} = await setUp({hasPool: false});
	for (const call of [1, 2, 3]) committer.enqueues.push(enqueueCall(call, 2000));
	await committer.commit();
	t.deepEqual(
		flush().replies.map(({call}) => call),
		[1, 2],
	);
	t.true(committer.mustCommit);
	await committer.commit();
	t.is(flush().replies.length, 1);
	t.false(committer.mustCommit);
	for (const [index, size] of [2000, 1, 1].entries()) committer.enqueues.push(enqueueCall(index, size));
	await committer.commit();
	t.is(flush().replies.length, 2);
});

test('a call that finds no room is refused with the time after which to try again; one that waits keeps its turn until there is room', async t => {
	const {committer, clock, queue, flush, takeWakes} = await setUp({jobs: 2, hasPool: false});
	for (const [call, size, waits] of [
		[1, 2, undefined],
		[2, 2, 1],
		[3, 1, 1],
		[4, 1, undefined],
	] as const) {
		const {group, ...rest} = enqueueCall(call, size);
		committer.enqueues.push({...rest, group: {...group, maxPending: {task: 3}}, waits});
	}
	await committer.commit();
	t.deepEqual(flush().replies, [
		{call: 1, value: {ids: [], full: {of: 'task', pending: 2, limit: 3, retryAfterMs: 5000}}},
		{call: 4, value: {ids: 3}},
	]);
	t.deepEqual([committer.enqueues.hasCalls, committer.mustCommit], [true, false]);
	await queue.cancel({ids: [1, 2]});
	takeWakes();
	await clock.advance(50);
	t.deepEqual([takeWakes(), committer.mustCommit], [1, true]);
	await committer.commit();
	t.deepEqual(flush().replies, [{call: 2, value: {ids: 4}}]);
	t.true(committer.mustCommit);
	await committer.commit();
	t.deepEqual([flush().replies, committer.enqueues.hasCalls, committer.mustCommit], [[], true, false]);
	await queue.cancel({ids: [4]});
	await clock.advance(50);
	await committer.commit();
	t.deepEqual(flush().replies, [{call: 3, value: {ids: 6}}]);
	t.false(committer.enqueues.hasCalls);
});

test('a claim makes room for calls that wait', async t => {
	const {committer, flush} = await setUp({jobs: 3});
	const {group, ...rest} = enqueueCall(1, 1);
	committer.enqueues.push({...rest, group: {...group, maxPending: {task: 3}}, waits: 1});
	await committer.commit();
	t.deepEqual(flush().replies, []);
	t.true(committer.mustCommit);
	await committer.commit();
	t.deepEqual(flush().replies, [{call: 1, value: {ids: 4}}]);
});

test('nothing is claimed while the dispatcher closes, while claimed chunks wait, or while the pool can take nothing', async t => {
	const {committer, pool, commits, takeGiven, takeWakes, end, queue} = await setUp({jobs: 9});
	const claims = async () => {
		committer.jobsMayBeReady();
		const before = commits.length;
		await committer.commit();
		return commits.slice(before).some(({claim}) => claim);
	};
	committer.mayClaim = false;
	t.false(await claims());
	committer.mayClaim = true;
	pool.capacity = () => ({idle: 0, prefetch: 0});
	t.false(await claims());
	t.is(commits.length, 0);
	// The pool says that it can take two, and then takes one.
	pool.capacity = () => ({idle: 2 - 2 * pool.given.length, prefetch: 0});
	t.true(await claims());
	t.is(pool.given.length, 1);
	t.false(await claims());
	pool.capacity = () => ({idle: 1, prefetch: 0});
	takeWakes();
	committer.freed();
	t.is(takeWakes(), 1);
	t.deepEqual(takeGiven(), [[1], [2]]);
	t.true(await claims());
	end(pool.given[0] as ClaimedGroup);
	t.is((await queue.counts()).running, 3);
});

test('after a claim that left a backlog the loop is woken while the pool has capacity, and claims again', async t => {
	const {committer, pool, takeWakes, commits} = await setUp({jobs: 5});
	await committer.commit();
	t.is(takeWakes(), 1);
	await committer.commit();
	t.is(takeWakes(), 1);
	pool.capacity = () => ({idle: pool.given.length < 5 ? 1 : 0, prefetch: 0});
	await committer.commit();
	t.is(takeWakes(), 0);
	t.is(commits.length, 3);
	pool.capacity = () => ({idle: 1, prefetch: 0});
	await committer.commit();
	t.is(commits.length, 3);
});

test('a backlog that is claimed in vain wakes nothing', async t => {
	const {committer, takeWakes, commits} = await setUp({
		verbs: inner => ({
			async commit(changes) {
				return {...(await inner.commit(changes)), backlog: 1};
			},
		}),
	});
	await committer.commit();
	t.is(takeWakes(), 0);
	await committer.commit();
	t.is(commits.length, 2);
});

test('a job that is given back, one that came with an outcome, and room under a limit are claimed by themselves', async t => {
	for (const [outcome, options, given] of [
		[{type: 'released'}, {}, [[1]]],
		[{type: 'returned', value: null, enqueue: [newJob()]}, {}, [[2]]],
		[RETURNED, {concurrency: 1}, [[2]]],
		[RETURNED, {}, []],
	] as const satisfies [Outcome, TaskInfo['options'], JobId[][]][]) {
		const {committer, end, pool, queue, takeGiven, takeWakes} = await setUp({jobs: 1, tasks: {count: options}});
		await committer.commit();
		const [chunk] = pool.given.splice(0);
		if (options.concurrency) await queue.enqueue([newJob()]);
		takeWakes();
		end(chunk as ClaimedGroup, outcome);
		t.true(takeWakes() > 0);
		await committer.commit();
		if (outcome.type === 'released') t.is(takeWakes(), 1);
		await committer.commit();
		t.deepEqual(takeGiven(), given);
	}
});

test('room under a limit that appears while a transaction claims in vain is not forgotten', async t => {
	let isCommitting = () => undefined as unknown;
	const {committer, end, pool, queue, takeGiven} = await setUp({
		jobs: 1,
		tasks: {count: {concurrency: 1}},
		verbs: inner => ({
			async commit(changes) {
				const result = await inner.commit(changes);
				isCommitting();
				return result;
			},
		}),
	});
	await committer.commit();
	const [chunk] = pool.given.splice(0);
	await queue.enqueue([newJob()]);
	committer.jobsMayBeReady();
	isCommitting = () => {
		isCommitting = () => undefined;
		end(chunk as ClaimedGroup);
	};
	await committer.commit();
	t.deepEqual(takeGiven(), []);
	await committer.commit();
	await committer.commit();
	t.deepEqual(takeGiven(), [[2]]);
});

test('a delayed job is claimed when it is due, by the wall clock', async t => {
	const {committer, clock, commits, takeGiven, pool} = await setUp();
	t.is(committer.dueInMs(), Infinity);
	committer.enqueues.push(enqueueCall(1, 1, {delayMs: 500}));
	await committer.commit();
	t.deepEqual([committer.dueInMs(), committer.isDue], [500, false]);
	pool.capacity = () => ({idle: 0, prefetch: 0});
	t.is(committer.dueInMs(), Infinity);
	pool.capacity = () => ({idle: 1, prefetch: 0});
	clock.pass(499);
	await committer.commit();
	t.is(commits.length, 1);
	clock.jump(1);
	t.deepEqual([committer.dueInMs(), committer.isDue], [0, true]);
	await committer.commit();
	t.deepEqual(takeGiven(), [[1]]);
	t.false(committer.isDue);
	t.is(committer.dueInMs(), Infinity);
});

test('a job expires in a commit of its own if the pool can take nothing then; its watchers hear of it', async t => {
	const {committer, clients, clock, commits, pool, flush, takeWakes} = await setUp();
	clients.subscribe(['cancelled']);
	pool.capacity = () => ({idle: 0, prefetch: 0});
	committer.enqueues.push({...enqueueCall(1, 1, {expiresMs: 500}), watch: true});
	await committer.commit();
	flush();
	t.is(committer.commitDueInMs(), 500);
	clock.pass(499);
	await committer.commit();
	t.deepEqual([commits.length, committer.commitDueInMs()], [1, 1]);
	clock.jump(1);
	await committer.commit();
	t.deepEqual(commits[1]?.claim, {owner: 'owner', lanes: [], limit: 0, maxBytes: 0});
	await clients.lookUp();
	const {events, notices} = flush();
	t.like(events, [{type: 'cancelled', id: 1, task: 'count', error: {reason: 'expired'}}]);
	t.like(notices[0], {id: 1, status: 'cancelled', error: {reason: 'expired'}});
	t.is(committer.commitDueInMs(), Infinity);
	takeWakes();
	await committer.commit();
	t.is(commits.length, 2);
});

test('jobs of other programs expire, too, within a second; also if a commit fails', async t => {
	let fails = false;
	const {committer, clock, commits, pool, queue} = await setUp({
		verbs: inner => ({commit: async changes => (fails ? fail('DatabaseBusy') : inner.commit(changes))}),
	});
	pool.capacity = () => ({idle: 0, prefetch: 0});
	await queue.enqueue([newJob({expiresMs: 10})]);
	committer.jobsMayExpire();
	t.is(committer.commitDueInMs(), 1000);
	clock.pass(1000);
	fails = true;
	await committer.commit();
	fails = false;
	clock.pass(999);
	await committer.commit();
	t.is(commits.length, 1);
	clock.pass(1);
	await committer.commit();
	t.like(await queue.counts(), {cancelled: 1});
});

test('a dispatcher that closes lets no more jobs expire', async t => {
	const {committer, clock, commits} = await setUp();
	committer.enqueues.push(enqueueCall(1, 1, {expiresMs: 10}));
	committer.mayClaim = false;
	await committer.commit();
	clock.pass(10);
	t.is(committer.commitDueInMs(), Infinity);
	await committer.commit();
	t.is(commits.length, 1);
});

test('a dispatcher without a pool enqueues and claims nothing', async t => {
	const {committer, commits, flush} = await setUp({hasPool: false});
	await committer.commit();
	t.is(commits.length, 0);
	committer.enqueues.push(enqueueCall(1));
	await committer.commit();
	t.is(commits[0]?.claim, undefined);
	t.is(flush().replies.length, 1);
	t.is(committer.statistics.report().slots, 0);
	committer.freed();
	await committer.release();
	committer.stop(1);
	t.deepEqual([committer.lingerMs(), committer.hasJobs], [0, false]);
});

test('what is told of a running job is written with the next commit, as one update, and sent to the callers; the first wakes the loop after 20 ms', async t => {
	const {committer, clock, commits, flush, pool, queue, takeWakes} = await setUp({jobs: 1});
	await committer.commit();
	takeWakes();
	const update = {id: 1, lease: 1, execution: 1, claimed: pool.given[0] as ClaimedGroup};
	committer.updated({...update, progress: {done: 1, at: 5}});
	committer.updated({...update, progress: {done: 2, at: 6}});
	t.is(takeWakes(), 0);
	await clock.advance(20);
	t.is(takeWakes(), 1);
	await committer.commit();
	t.is(commits[1]?.update?.length, 1);
	t.deepEqual(flush().events, [{type: 'progress', id: 1, task: 'count', attempt: 1, done: 2}]);
	t.like(await queue.job(1), {progress: {done: 2}});
	committer.updated({...update, progress: {done: 3, at: 7}});
	await clock.advance(20);
	t.is(takeWakes(), 1);
	await committer.commit();
	t.is(commits[2]?.update?.length, 1);
});

test('a caller that watches a job which gets a new round in the commit that settles the last one waits for the new round', async t => {
	const {committer, pool, end, flush, queue} = await setUp();
	await queue.enqueue([newJob({key: 'a'})]);
	await committer.commit();
	end(pool.given[0] as ClaimedGroup);
	const again = newJob({key: 'a', payload: '2', rerun: {changed: true, failed: false}});
	committer.enqueues.push({call: 1, type: 'enqueue', group: toNewGroups([again])[0] as NewGroup, watch: true});
	await committer.commit();
	t.deepEqual(flush().notices, []);
	await committer.commit();
	const {lease, ids} = pool.given[1] as ClaimedGroup;
	committer.ended('count', [toEndedGroup([{id: ids as number, lease, execution: 2, outcome: RETURNED}], 0)]);
	await committer.commit();
	t.like(flush().notices, [{id: 1, status: 'completed'}]);
});

test('while updates wait, the next commit is due in at most 20 ms, also if the pool can take nothing, and if the timer fires too early', async t => {
	const {committer, clock, pool} = await setUp({jobs: 1});
	await committer.commit();
	pool.capacity = () => ({idle: 0, prefetch: 0});
	t.is(committer.commitDueInMs(), Infinity);
	committer.updated({id: 1, lease: 1, execution: 1, progress: {done: 1, at: 5}});
	t.true(committer.commitDueInMs() <= 20);
	await clock.advance(19.5);
	t.true(committer.commitDueInMs() <= 0.5);
});

test('jobs whose claim was under way when the dispatcher began to close are released, and not started', async t => {
	const {committer, queue, takeGiven} = await setUp({
		jobs: 2,
		verbs: inner => ({
			async commit(changes) {
				const result = await inner.commit(changes);
				committer.mayClaim = false;
				return result;
			},
		}),
	});
	await committer.commit();
	t.deepEqual(takeGiven(), []);
	await committer.commit();
	t.like(await queue.counts(), {pending: 2, running: 0});
});

test('a call that finds no room is refused as closed if the dispatcher began to close during its transaction, though it would wait', async t => {
	const {committer, flush} = await setUp({
		jobs: 1,
		hasPool: false,
		verbs: inner => ({
			async commit(changes) {
				const result = await inner.commit(changes);
				committer.mayClaim = false;
				return result;
			},
		}),
	});
	committer.enqueues.push({...enqueueCall(1, 1, {maxPending: {task: 1}}), waits: 1});
	await committer.commit();
	t.like(flush().replies, [{call: 1, error: {code: 'Closed'}}]);
	t.false(committer.enqueues.hasCalls);
});

test('while a claimed chunk waits for room, jobs of other tasks are claimed, and no more of its own', async t => {
	const {committer, pool, queue, commits, takeGiven} = await setUp({tasks: {count: {}, other: {}}});
	await queue.enqueue([newJob()]);
	let room = 10;
	pool.capacity = lane => ({idle: lane?.task === 'count' ? room : 1, prefetch: 0});
	const run = committer.commit();
	room = 0;
	await run;
	t.deepEqual(takeGiven(), []);
	await queue.enqueue([newJob({task: 'other'}), newJob()]);
	committer.jobsMayBeReady();
	await committer.commit();
	t.deepEqual(takeGiven(), [[2]]);
	t.true(commits.at(-1)?.claim?.lanes.every(({task}) => task === 'other'));
	room = 1;
	committer.freed();
	t.deepEqual(takeGiven(), [[1]]);
});

test('jobs that were claimed, and for which there is no worker for a second, are released for other engines, and not claimed again meanwhile', async t => {
	const {committer, clock, pool, queue, commits, takeGiven, takeWakes} = await setUp({tasks: {count: {}, other: {}, third: {}}});
	await queue.enqueue(['count', 'other', 'third'].flatMap(task => Array.from({length: 10}, () => newJob({task}))));
	// As behind a long job: there is room for one chunk of any task.
	let room = 10;
	pool.capacity = () => ({idle: 0, prefetch: room});
	const run = pool.run;
	pool.run = chunk => {
		room = 0;
		run.call(pool, chunk);
	};
	await committer.commit();
	const given = takeGiven().flat();
	const claimed = (await queue.counts()).running;
	t.true(claimed > given.length);
	await clock.advance(999);
	t.false(committer.mustCommit);
	takeWakes();
	await clock.advance(1);
	t.is(takeWakes(), 1);
	await committer.commit();
	t.like(await queue.counts(), {running: given.length, pending: 30 - given.length});
	committer.jobsMayBeReady();
	await committer.commit();
	t.is(commits.filter(({claim}) => claim !== undefined).length, 1);
});

test('a claimed chunk waits until its lane has capacity, and lets chunks of other lanes pass', async t => {
	let closed = '';
	const {committer, pool, queue, takeGiven} = await setUp({
		tasks: {count: {}, other: {}},
		verbs: inner => ({
			async commit(changes) {
				const result = await inner.commit(changes);
				closed = 'count';
				return result;
			},
		}),
	});
	await queue.enqueue([newJob(), newJob({task: 'other'})]);
	pool.capacity = lane => ({idle: lane?.task === closed ? 0 : 2, prefetch: 0});
	await committer.commit();
	t.deepEqual(takeGiven(), [[2]]);
	t.like(committer.statistics.report().chunks, {count: 1, meanJobs: 1});
	committer.freed();
	t.deepEqual(takeGiven(), []);
	closed = '';
	committer.freed();
	t.deepEqual(takeGiven(), [[1]]);
	committer.freed();
	t.deepEqual(takeGiven(), []);
});

test('jobs that are given back while they only wait here, of a task or all, are settled as released; the pool is asked for the rest', async t => {
	const {committer, pool, queue} = await setUp({jobs: 4, tasks: {count: {}}});
	let room = 2;
	pool.capacity = () => ({idle: room, prefetch: 0});
	pool.run = chunk => {
		pool.given.push(chunk);
		room = 0;
	};
	await committer.commit();
	t.is((await queue.counts()).running, 2);
	await committer.release('other');
	t.false(committer.mustCommit);
	await committer.release('count');
	t.true(committer.mustCommit);
	await committer.commit();
	t.like(await queue.counts(), {running: 1, pending: 3});
	t.deepEqual(pool.calls, [
		['release', 'other'],
		['release', 'count'],
	]);
	room = 2;
	committer.jobsMayBeReady();
	await committer.commit();
	await committer.release();
	t.true(committer.mustCommit);
	t.deepEqual(pool.calls.at(-1), ['release', undefined]);
});

test('a job that is stopped while it only waits here comes back with its chunk; one that the pool has is the business of the pool', async t => {
	const {committer, pool, queue} = await setUp({jobs: 2});
	pool.capacity = () => ({idle: 2 - 2 * pool.given.length, prefetch: 0});
	await committer.commit();
	pool.has = () => true;
	committer.stop(2);
	t.false(committer.mustCommit);
	pool.has = () => false;
	committer.stop(9);
	t.false(committer.mustCommit);
	// Of an earlier execution.
	committer.stop(2, 0);
	t.false(committer.mustCommit);
	committer.stop(2);
	t.true(committer.mustCommit);
	t.deepEqual(pool.calls, [
		['stop', 2, 'cancelled'],
		['stop', 9, 'cancelled'],
		['stop', 2, 'cancelled', 0],
		['stop', 2, 'cancelled'],
	]);
	await committer.commit();
	t.like(await queue.job(2), {status: 'pending', attempts: 0});
});

test('if the disk is full, calls are refused and outcomes are written without them; the failure is reported, and commits rest', async t => {
	let isFull = false;
	const {committer, pool, end, queue, retries, flush, commits} = await setUp({
		jobs: 1,
		verbs: inner => ({
			async commit(changes) {
				if (isFull && changes.enqueue?.length) fail('StorageFull');
				return inner.commit(changes);
			},
		}),
	});
	await committer.commit();
	isFull = true;
	end(pool.given[0] as ClaimedGroup);
	committer.enqueues.push(enqueueCall(1));
	await committer.commit();
	const {replies, events} = flush();
	t.like(replies, [{call: 1, error: {code: 'StorageFull'}}]);
	t.like(eventsOf(events, 'setBack'), [{setbacks: 1}]);
	t.is((await queue.counts()).completed, 1);
	t.true(retries.commit.waitMs > 0);
	// The calls were the cause: with the next ones it is the first setback again.
	committer.enqueues.push(enqueueCall(2));
	await committer.commit();
	t.like(eventsOf(flush().events, 'setBack'), [{setbacks: 1}]);
	t.is(committer.statistics.report().commits.failed, 2);
	isFull = false;
	await committer.commit();
	t.is(retries.commit.waitMs, 0);
	t.is(commits.filter(({settle}) => settle?.length).length, 2);
});

test('outcomes and updates that could not be written stay first in line until a commit succeeds', async t => {
	let isFull = false;
	const {committer, pool, end, queue, retries, flush, commits} = await setUp({
		jobs: 2,
		verbs: inner => ({
			async commit(changes) {
				if (isFull) fail('StorageFull');
				return inner.commit(changes);
			},
		}),
	});
	await committer.commit();
	isFull = true;
	const [first, second] = pool.given as [ClaimedGroup, ClaimedGroup];
	end(first);
	committer.updated({id: 2, lease: 1, execution: 1, progress: {done: 1, at: 5}});
	await committer.commit();
	t.true(committer.mustCommit);
	end(second);
	committer.updated({id: 2, lease: 1, execution: 1, progress: {done: 2, at: 6}});
	await committer.commit();
	t.like(eventsOf(flush().events, 'setBack'), [{setbacks: 1}, {setbacks: 2}]);
	t.true(retries.commit.count > 0);
	isFull = false;
	await committer.commit();
	const last = commits.at(-1);
	t.deepEqual(
		last?.settle?.flatMap(group => [...settlementsOf(group)].map(({id}) => id)),
		[1, 2],
	);
	t.deepEqual(
		last?.update?.map(({progress}) => progress?.done),
		[2],
	);
	t.is((await queue.counts()).completed, 2);
	t.is(retries.commit.count, 0);
});

test('a refused outcome becomes a failure of its job, and a refused call is answered with the refusal; all else is written, with a pause before each try', async t => {
	const {committer, pool, end, queue, flush, context, takeWakes, retries} = await setUp({
		jobs: 2,
		verbs: inner => ({
			async commit(changes) {
				if (changes.enqueue?.some(({priority}) => priority === 9)) fail('BadRow');
				if (changes.settle?.some(group => [...settlementsOf(group)].some(({id, outcome}) => id === 2 && outcome.type === 'returned'))) fail('TooLarge');
				return inner.commit(changes);
			},
		}),
	});
	await committer.commit();
	for (const chunk of pool.given) end(chunk);
	committer.enqueues.push(enqueueCall(1));
	committer.enqueues.push(enqueueCall(2, 1, {priority: 9}));
	takeWakes();
	await committer.commit();
	const {replies, events} = flush();
	t.like(replies, [
		{call: 1, value: {ids: 3}},
		{call: 2, error: {code: 'BadRow'}},
	]);
	t.deepEqual(eventsOf(events, 'setBack'), []);
	t.like(eventsOf(events, 'failed'), [{id: 2, error: {code: 'TooLarge'}}]);
	t.like(await queue.counts(), {completed: 1, failed: 1, pending: 1});
	t.true(context.breaks > 2);
	t.true(takeWakes() > 0);
	t.is(retries.commit.count, 0);
	// That is when the failed job is tried again: no claim was at fault.
	t.is(committer.dueInMs(), 1000);
});

test('an update that is refused is reported', async t => {
	const {committer, flush} = await setUp({
		jobs: 1,
		verbs: inner => ({
			async commit(changes) {
				if (changes.update?.length) fail('TooLarge');
				return inner.commit(changes);
			},
		}),
	});
	await committer.commit();
	committer.updated({id: 1, lease: 1, execution: 1, checkpoint: {at: 1, state: '1'}});
	await committer.commit();
	t.like(eventsOf(flush().events, 'refused'), [{id: 1, error: {code: 'TooLarge'}}]);
});

test('a full disk while refusals are sought is a setback: the rest is put back', async t => {
	let isRefused = true;
	const {committer, pool, end, flush, retries} = await setUp({
		jobs: 1,
		verbs: inner => ({
			async commit(changes) {
				if (!changes.settle?.length) return inner.commit(changes);
				const code = isRefused ? 'BadRow' : 'StorageFull';
				isRefused = false;
				return fail(code);
			},
		}),
	});
	await committer.commit();
	end(pool.given[0] as ClaimedGroup);
	committer.enqueues.push(enqueueCall(1));
	await committer.commit();
	const {replies, events} = flush();
	t.like(replies, [{call: 1, error: {code: 'StorageFull'}}]);
	t.like(eventsOf(events, 'setBack'), [{setbacks: 1, error: {code: 'StorageFull'}}]);
	t.true(committer.mustCommit && retries.commit.count > 0);
});

test('a claim that is refused for one task is made without it; the task is reported, and asked for again after a while', async t => {
	const {committer, queue, flush, takeGiven, takeWakes, clock} = await setUp({
		tasks: {bad: {}, count: {}},
		verbs: inner => ({
			async commit(changes) {
				if (changes.claim?.lanes.some(({task, isQuarantined}) => task === 'bad' && !isQuarantined)) fail('BadRow');
				return inner.commit(changes);
			},
		}),
	});
	await queue.enqueue([newJob()]);
	takeWakes();
	await committer.commit();
	t.deepEqual([takeWakes(), committer.dueInMs()], [1, 20]);
	for (let round = 0; round < 5; round++) {
		await committer.commit();
		// It does not ask in a tight loop.
		if (takeWakes() === 0) clock.pass(committer.dueInMs());
	}
	t.deepEqual(takeGiven(), [[1]]);
	for (let round = 0; round < 5; round++) {
		await committer.commit();
		clock.pass(committer.dueInMs());
	}
	t.like(eventsOf(flush().events, 'refused'), [{task: 'bad', error: {code: 'BadRow'}}]);
	await committer.commit();
	t.true(committer.dueInMs() > 100);
});

test('a row that is ready and running at once is reported, and not started', async t => {
	const {committer, flush, takeGiven} = await setUp({
		jobs: 1,
		verbs: inner => ({
			async commit(changes): Promise<Committed> {
				const result = await inner.commit(changes);
				return {...result, claimed: {...result.claimed, passedOver: [7]}};
			},
		}),
	});
	await committer.commit();
	t.like(eventsOf(flush().events, 'refused'), [{id: 7, error: {code: 'BadRow'}}]);
	t.deepEqual(takeGiven(), [[1]]);
});

test('watched jobs whose claim was lost, or that were discarded, are looked up', async t => {
	for (const way of ['lost', 'discarded'] as const) {
		const {committer, clients, pool, end, queue, flush, memory} = await setUp({jobs: 2});
		await committer.commit();
		clients.watch([1, 2]);
		if (way === 'lost') {
			await memory.release('owner');
			await queue.cancel({ids: [1]});
		} else await queue.discard([1], {stop: false});
		end(pool.given[0] as ClaimedGroup, {type: 'released'});
		await committer.commit();
		await clients.lookUp();
		t.like(flush().notices, [{id: 1, status: way === 'lost' ? 'cancelled' : 'missing'}]);
	}
});

test('the end of a job that killed its worker too often is reported with the error that the store keeps; if that can not be read, with the last one', async t => {
	for (const isReadable of [true, false]) {
		const {committer, clients, clock, pool, queue, flush, retries} = await setUp({
			verbs: inner => ({
				outcomes: async (...args) => (isReadable ? inner.outcomes(...args) : fail('DatabaseBusy')),
			}),
		});
		const policy = {...POLICY, maxAttempts: 9, backoff: {baseMs: 0, factor: 1, maxMs: 0, jitter: 0}};
		await queue.enqueue([newJob({policy: {...policy, maxAttempts: 1}}), newJob({policy})]);
		clients.watch([1, 2]);
		const lost: Outcome = {type: 'lostWorker', error: {...ERROR, reason: 'lostWorker', message: 'lost'}};
		for (let crash = 1; crash <= 3; crash++) {
			committer.jobsMayBeReady();
			await committer.commit();
			t.is(retries.lookUps.count, 0);
			const chunks = pool.given.splice(0);
			const groups = chunks.map(chunk =>
				toEndedGroup(listIds(chunk.ids, sizeOf(chunk)).map(id => ({...chunk, id, execution: crash, outcome: id === 1 ? THREW : lost}))),
			);
			committer.ended('count', groups);
			await committer.commit();
			clock.pass(1);
		}
		const {notices} = flush();
		const poison = (await queue.store.jobs({ids: [2]})).jobs[0]?.error;
		t.like(poison, {reason: 'poison', name: 'Poison'});
		t.deepEqual(
			notices.map(({id, error}) => [id, error]),
			[
				[1, ERROR],
				[2, isReadable ? poison : 'error' in lost && lost.error],
			],
		);
		t.is(retries.lookUps.count, isReadable ? 0 : 1);
	}
});

test('before executions that threw are settled, a caller that closes on signals is asked; after a signal they are not charged', async t => {
	const {committer, pool, end, others, queue, takeWakes} = await setUp({jobs: 1, asksForSignals: true});
	await committer.commit();
	takeWakes();
	end(pool.given[0] as ClaimedGroup, THREW);
	t.deepEqual([others.splice(0), committer.mustCommit, committer.hasJobs], [[{type: 'signalQuery'}], false, true]);
	takeWakes();
	committer.signals.hasSignalCome = true;
	committer.signals.answered();
	await new Promise(resolve => setImmediate(resolve));
	t.deepEqual([committer.mustCommit, takeWakes()], [true, 1]);
	await committer.commit();
	t.like(await queue.job(1), {status: 'pending', attempts: 0});
});

test('the committer counts executions, commits, chunks, and workers that were lost', async t => {
	const {committer, pool, end} = await setUp({
		jobs: 2,
		verbs: inner => ({
			async commit(changes) {
				return inner.commit(changes);
			},
		}),
	});
	await committer.commit();
	end(pool.given[0] as ClaimedGroup);
	await committer.commit();
	for (const reason of ['ended', 'stopped'] as const) committer.lost({kind: 'thread', reason});
	t.like(committer.statistics.report(), {
		slots: 2,
		executions: {completed: 1},
		commits: {count: 2, failed: 0},
		chunks: {count: 2, meanJobs: 1},
		lostWorkers: 1,
		tasks: {count: {completed: 1}},
	});
});

test('a commit waits for company as the pace says: the longer, the more a commit costs; updates do not wait', async t => {
	const clock: {pass?: (ms: number) => void} = {};
	const {
		committer,
		pool,
		clock: hand,
	} = await setUp({
		jobs: 1,
		verbs: inner => ({
			commit(changes) {
				clock.pass?.(10);
				return inner.commit(changes);
			},
		}),
	});
	clock.pass = ms => hand.pass(ms);
	t.is(committer.lingerMs(), 0);
	await committer.commit();
	pool.capacity = () => ({idle: 0, prefetch: 0});
	near(t, committer.statistics.report().commits.meanMs, 10, 0.1);
	t.is(committer.lingerMs(), 100);
	committer.updated({id: 1, lease: 1, execution: 1, startedAt: 5});
	t.is(committer.lingerMs(), 20);
	await committer.commit();
	t.is(committer.lingerMs(), 100);
});

test('chunks grow with the known run times of their jobs, and the next commit comes before the shortest of them ends', async t => {
	const {committer, pool, end, queue} = await setUp({tasks: {short: {}, long: {}}});
	await queue.enqueue(['short', 'long'].map(task => newJob({task})));
	await committer.commit();
	for (const chunk of pool.given.splice(0)) end(chunk, {type: 'returned', value: null, durationMs: chunk.task === 'short' ? 1 : 3});
	await queue.enqueue(['short', 'long', 'long'].map(task => newJob({task})));
	committer.jobsMayBeReady();
	await committer.commit();
	t.deepEqual(
		pool.given.map(chunk => [chunk.task, sizeOf(chunk)]),
		[
			['short', 1],
			['long', 1],
			['long', 1],
		],
	);
	pool.capacity = () => ({idle: 0, prefetch: 1});
	const lingerMs = committer.lingerMs();
	t.true(lingerMs > 0.5 && lingerMs < 1, `${lingerMs}`);
	end({...(pool.given[0] as ClaimedGroup), task: 'short'}, {type: 'returned', value: null, durationMs: 0.001});
	pool.capacity = () => ({idle: 1, prefetch: 0});
	await queue.enqueue(Array.from({length: 20}, () => newJob({task: 'short'})));
	committer.jobsMayBeReady();
	await committer.commit();
	t.deepEqual(pool.given.slice(3).map(sizeOf), [5, 1]);
});

test('outcomes and calls are written though nothing is claimed; the jobs that came with them are claimed as soon as that may be', async t => {
	for (const [outcome, calls, claimed] of [
		[RETURNED, 1, [[2]]],
		[RETURNED, 0, []],
		[{type: 'released'}, 0, [[1]]],
		[{type: 'returned', value: null, enqueue: [newJob()]}, 0, [[2]]],
	] as const satisfies [Outcome, number, JobId[][]][]) {
		const {committer, pool, end, commits, takeGiven} = await setUp({jobs: 1});
		await committer.commit();
		committer.mayClaim = false;
		end(pool.given.splice(0)[0] as ClaimedGroup, outcome);
		if (calls > 0) committer.enqueues.push(enqueueCall(1));
		await committer.commit();
		t.is(commits.length, 2);
		t.is(commits[1]?.claim, undefined);
		committer.mayClaim = true;
		await committer.commit();
		t.deepEqual(takeGiven(), claimed);
	}
});

test('setbacks are counted until a commit succeeds, whole or without its refused parts', async t => {
	let next: (ErrorCode | undefined)[] = [];
	const {committer, pool, end, flush, retries} = await setUp({
		jobs: 1,
		verbs: inner => ({
			async commit(changes) {
				const code = next.shift();
				return code ? fail(code) : inner.commit(changes);
			},
		}),
	});
	const countOf = async (...codes: (ErrorCode | undefined)[]) => {
		next = codes;
		await committer.commit();
		return eventsOf(flush().events, 'setBack').map(event => 'setbacks' in event && event.setbacks);
	};
	await committer.commit();
	end(pool.given[0] as ClaimedGroup);
	t.deepEqual(await countOf('StorageFull', 'StorageFull'), [1]);
	// What is written by itself, after all.
	t.deepEqual(await countOf('StorageFull', undefined), [2]);
	committer.updated({id: 1, lease: 1, execution: 1, startedAt: 5});
	t.deepEqual(await countOf('StorageFull', 'StorageFull'), [3]);
	t.deepEqual(await countOf('TooLarge', 'TooLarge'), []);
	t.is(retries.commit.count, 0);
});

test('a release has ended when the pool has given back all that it can', async t => {
	const {committer, pool, clock} = await setUp();
	const {promise, resolve} = Promise.withResolvers<void>();
	pool.release = () => promise;
	let isDone = false;
	const released = committer.release().then(() => {
		isDone = true;
	});
	await clock.nextTurn();
	t.false(isDone);
	resolve();
	await released;
});

const MOMENTS = ['enqueue:committed', 'settle:committed', 'updates:committed', 'dequeue:committed', 'outcome:received', 'chunk:given'] as const;

const REACHED: Readonly<Record<string, readonly [act: (own: Awaited<ReturnType<typeof setUp>>) => unknown, reached: readonly FailpointName[]]>> = {
	enqueues: [({committer}) => committer.enqueues.push(enqueueCall(2)), ['enqueue:committed']],
	settles: [({end, pool}) => end(pool.given[0] as ClaimedGroup), ['settle:committed', 'outcome:received']],
	'writes an update': [({committer}) => committer.updated({id: 1, lease: 1, execution: 1, startedAt: 5}), ['updates:committed']],
	claims: [
		async ({committer, queue}) => {
			await queue.enqueue([newJob()]);
			committer.mayClaim = true;
			committer.jobsMayBeReady();
		},
		['dequeue:committed', 'chunk:given'],
	],
	'claims in vain': [
		({committer}) => {
			committer.mayClaim = true;
			committer.jobsMayBeReady();
		},
		[],
	],
};

for (const [what, [act, reached]] of Object.entries(REACHED)) {
	test.serial(`a commit that ${what} passes the moments at which a program under test can be made to die: ${reached.join(', ') || 'none'}`, async t => {
		for (const moment of MOMENTS) {
			const own = await setUp({jobs: 1});
			await own.committer.commit();
			own.committer.mayClaim = false;
			await act(own);
			const disarm = arm({[moment]: 'throw'} as Failpoints);
			const committed = own.committer.commit();
			if (reached.includes(moment)) await t.throwsAsync(committed, {message: `The failpoint ${moment} was reached.`});
			else await t.notThrowsAsync(committed);
			disarm();
		}
	});
}

test('if the name of a batch can not be read, the commit stands, and its events lack the name', async t => {
	const {committer, pool, end, flush, queue} = await setUp({verbs: () => ({batches: () => Promise.reject(new FaenaError('Unreachable', 'away'))})});
	const batch = await queue.openBatch('nightly', 'count', 'other');
	await queue.enqueue([newJob({batch})]);
	await committer.commit();
	end(pool.given[0] as ClaimedGroup);
	await t.notThrowsAsync(committer.commit());
	t.deepEqual(flush().events, [{type: 'completed', id: 1, task: 'count', attempt: 1, durationMs: 0}]);
});
