import test from 'ava';
import {Clients} from '../../lib/dispatcher/clients.ts';
import type {JobId} from '../../lib/job/job.ts';
import type {Notice, RepliesMessage} from '../../lib/transport/messages.ts';
import {newJob} from '../fixtures/dispatcher.ts';
import {noticesOf} from '../fixtures/notices.ts';
import {override} from '../fixtures/override.ts';
import {RawQueue} from '../fixtures/raw-queue.ts';
import {MemoryStore} from '../store/oracle.ts';

/** Looks up. Returns true if there are more jobs to verify. */
async function lookUp(watches: Clients): Promise<boolean> {
	await watches.lookUp();
	return watches.isUnverified;
}

/** Watches of a store with so many pending jobs. */
async function setUp(jobs = 3) {
	const memory = new MemoryStore();
	const queue = new RawQueue(memory);
	await queue.enqueue(Array.from({length: jobs}, () => newJob()));
	/** Ids of each look-up. */
	const looked: (readonly JobId[])[] = [];
	let failures = 0;
	const store = override(memory, () => ({
		async outcomes(ids, page) {
			looked.push(ids);
			if (failures-- > 0) throw new Error('locked');
			return memory.outcomes(ids, page);
		},
	}));
	const notices: Notice[] = [];
	const watches = new Clients(store, message => void notices.push(...noticesOf(message as RepliesMessage)));
	/** All that callers have been told so far. */
	const told = () => {
		watches.flush();
		return notices;
	};
	return {
		...{watches, queue, looked, told},
		fail: (times: number) => {
			failures = times;
		},
	};
}

const completed = (id: JobId): Notice => ({id, status: 'completed', result: null});

test('the end of a watched job is reported once, and that of another job not at all', async t => {
	const {watches, told} = await setUp();
	t.is(watches.watched.size === 0, true);
	watches.watch([1, 2]);
	t.is(watches.watched.size === 0, false);
	for (const id of [1, 1, 3]) watches.notifyEnd(id, () => completed(id));
	t.deepEqual(told(), [completed(1)]);
});

test('a job is watched until all callers that watch it have given up', async t => {
	const {watches, told} = await setUp();
	watches.watch([1]);
	watches.watch([1, 2]);
	watches.unwatch([1, 2]);
	watches.notifyEnd(2, () => completed(2));
	t.is(watches.watched.size === 0, false);
	watches.unwatch([1]);
	t.is(watches.watched.size === 0, true);
	watches.unwatch([1, 9]);
	watches.notifyEnd(1, () => completed(1));
	t.deepEqual(told(), []);
	watches.watch([1]);
	watches.unwatch([1]);
	t.is(watches.watched.size === 0, true);
});

test('watched jobs in doubt are looked up once; those that have ended are reported, and whether they ended before they were watched', async t => {
	const {watches, queue, looked, told} = await setUp();
	await queue.cancel({ids: [1, 2]});
	watches.watch([1, 2, 3]);
	watches.mayHaveEnded([]);
	watches.mayHaveEnded([1, 3, 9]);
	watches.mayHaveEnded([2, 3], true);
	t.false(await lookUp(watches));
	t.deepEqual(looked, [
		[1, 3],
		[2, 3],
	]);
	t.like(told(), [
		{id: 1, status: 'cancelled'},
		{id: 2, status: 'cancelled', earlier: true},
	]);
	t.false('earlier' in (told()[0] as Notice));
	t.false(await lookUp(watches));
	watches.mayHaveEnded([9]);
	t.false(await lookUp(watches));
	t.is(looked.length, 2);
});

test('all pages of a look-up are read', async t => {
	const {watches, queue, looked, told} = await setUp(3);
	const {jobs, lease} = await queue.dequeue({owner: 'owner', tasks: ['count'], limit: 3});
	const large = new Uint8Array(2 ** 20);
	await queue.settle(
		lease,
		jobs.map(({id, execution}) => ({id, execution, outcome: {type: 'returned', value: large}})),
	);
	watches.watch([1, 2, 3]);
	watches.mayHaveEnded([1, 2, 3]);
	await watches.lookUp();
	t.deepEqual(
		told().map(({id}) => id),
		[1, 2, 3],
	);
	t.is(looked.length, 3);
});

test('jobs that could not be looked up stay in doubt', async t => {
	const {watches, queue, told, fail} = await setUp();
	await queue.cancel({ids: [1, 2]});
	watches.watch([1, 2]);
	watches.mayHaveEnded([1]);
	watches.mayHaveEnded([2]);
	fail(1);
	await t.throwsAsync(watches.lookUp(), {message: 'locked'});
	t.deepEqual(told(), []);
	await watches.lookUp();
	t.deepEqual(
		told().map(({id}) => id),
		[1, 2],
	);
	watches.watch([3]);
	watches.allMayHaveEnded();
	await queue.cancel({ids: [3]});
	fail(1);
	await t.throwsAsync(watches.lookUp(), {message: 'locked'});
	t.false(await lookUp(watches));
	t.is(told().length, 3);
	t.false(told().some(({earlier}) => earlier));
});

test('after a write of another process all watched jobs are looked up, 200 at a time; after another write once more, all of them', async t => {
	const {watches, looked} = await setUp(450);
	const ids = Array.from({length: 450}, (_, index) => 1 + index);
	watches.watch(ids);
	watches.watch([1]);
	t.false(await lookUp(watches));
	watches.allMayHaveEnded();
	t.deepEqual([await lookUp(watches), await lookUp(watches), await lookUp(watches)], [true, true, false]);
	const all = [ids.slice(0, 200), ids.slice(200, 400), ids.slice(400)];
	t.deepEqual(looked, all);
	for (let each = 0; each < 3; each++) {
		watches.allMayHaveEnded();
		t.true(await lookUp(watches));
	}
	t.deepEqual([await lookUp(watches), await lookUp(watches), await lookUp(watches)], [true, true, false]);
	t.deepEqual(looked.slice(3), [...all, ...all]);
	// It has lost neither of its two watchers.
	watches.unwatch(ids);
	t.is(watches.watched.size === 0, false);
});

test('201 jobs are two look-ups', async t => {
	const {watches} = await setUp(201);
	watches.watch(Array.from({length: 201}, (_, index) => 1 + index));
	watches.allMayHaveEnded();
	t.deepEqual([await lookUp(watches), await lookUp(watches)], [true, false]);
});

test('exactly 200 jobs are one look-up, and jobs that have ended meanwhile are watched no more', async t => {
	const {watches, queue, looked} = await setUp(200);
	const ids = Array.from({length: 200}, (_, index) => 1 + index);
	watches.watch(ids);
	watches.allMayHaveEnded();
	await queue.cancel({ids: [7]});
	t.false(await lookUp(watches));
	watches.allMayHaveEnded();
	t.false(await lookUp(watches));
	t.deepEqual(
		looked.map(each => each.length),
		[200, 199],
	);
});
