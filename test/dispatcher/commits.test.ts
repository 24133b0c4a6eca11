import test from 'ava';
import {Commits, NO_WRITES, type Refused, type Writes} from '../../lib/dispatcher/commits.ts';
import {settlementsOf} from '../../lib/job/group.ts';
import {JobQueue} from '../../lib/store/job-queue.ts';
import type {Changes, ClaimRequest, Store} from '../../lib/store/store.ts';
import {type ErrorCode, FaenaError} from '../../lib/support/errors.ts';
import {newJob} from '../fixtures/dispatcher.ts';
import {returnedGroup} from '../fixtures/groups.ts';
import {HandClock} from '../fixtures/hand-clock.ts';
import {override} from '../fixtures/override.ts';
import {groupNew} from '../fixtures/plain.ts';
import {MemoryStore} from '../store/oracle.ts';

const CLAIM: ClaimRequest = {owner: 'owner', lanes: [{task: 'count', limit: 1}], limit: 1, maxBytes: 1000};

/** @param refuses throws for changes that the store is to refuse */
function setUp(refuses: (changes: Changes) => void = () => undefined, verbs: (store: Store) => Partial<Store> = () => ({})) {
	const [memory, clock] = [new MemoryStore(), new HandClock()];
	const done: Changes[] = [];
	const store = override(memory, inner => ({
		async commit(changes) {
			refuses(changes);
			done.push(changes);
			return inner.commit(changes);
		},
		...verbs(inner),
	}));
	const leftOut: [Refused, string][] = [];
	const refused: [number, string][] = [];
	let breaks = 0;
	const commits = new Commits(store, 'owner', clock, {
		leftOut: (what, {message}) => void leftOut.push([what, message]),
		refuse: (call, {message}) => void refused.push([call, message]),
		meanwhile: async () => {
			await clock.nextTurn();
			breaks++;
		},
	});
	return {commits, memory, clock, queue: new JobQueue(memory), done, leftOut, refused, breaks: () => breaks};
}

function refuse(code: ErrorCode = 'BadRow'): never {
	throw new FaenaError(code, code);
}

const enqueueCall = (call: number, payload = '1') => ({call, type: 'enqueue', group: groupNew([newJob({payload})])[0] as never, watch: false}) as const;

test('what is written and what is claimed is one transaction', async t => {
	const {commits, queue, done} = setUp();
	const written: Writes = {updates: [{id: 1, lease: 1, execution: 1, startedAt: 5}], settle: [returnedGroup([1])], enqueues: [enqueueCall(1)]};
	const {enqueued, settled, claimed} = await commits.commit(written, CLAIM);
	t.deepEqual(enqueued, [{ids: 1}]);
	t.deepEqual([...(settled[0]?.others ?? [])], [[0, 'lost']]);
	t.is(claimed.lease, 1);
	t.deepEqual(done, [{update: written.updates, settle: written.settle, enqueue: written.enqueues.map(({group}) => group), claim: CLAIM}]);
	await commits.commit(NO_WRITES);
	t.deepEqual(done[1], {update: [], settle: [], enqueue: []});
	t.is((await queue.counts()).running, 1);
});

test('the jobs of a claim that took effect though it failed are given back before the next transaction; those of earlier claims stay', async t => {
	let isUnsure = false;
	const {commits, queue} = setUp(undefined, inner => ({
		async commit(changes) {
			const result = await inner.commit(changes);
			if (isUnsure) refuse('OutcomeUnknown');
			return result;
		},
	}));
	await queue.enqueue([newJob(), newJob(), newJob()]);
	await commits.commit(NO_WRITES, CLAIM);
	isUnsure = true;
	await t.throwsAsync(commits.commit(NO_WRITES, CLAIM), {code: 'OutcomeUnknown'});
	isUnsure = false;
	t.is((await queue.counts()).running, 2);
	await commits.commit(NO_WRITES);
	t.is((await queue.counts()).running, 1);
	t.like(await queue.job(1), {status: 'running'});
});

test('no job is given back after a claim that succeeded or was refused, or a write that failed without a claim', async t => {
	let next: ErrorCode | undefined;
	let releases = 0;
	const {commits, queue} = setUp(
		() => next && refuse(next),
		inner => ({
			release(...args) {
				releases++;
				return inner.release(...args);
			},
		}),
	);
	await queue.enqueue([newJob()]);
	await commits.commit(NO_WRITES, CLAIM);
	await commits.commit(NO_WRITES);
	next = 'BadRow';
	await t.throwsAsync(commits.commit(NO_WRITES, CLAIM), {code: 'BadRow'});
	next = 'StorageFull';
	await t.throwsAsync(commits.commit(NO_WRITES), {code: 'StorageFull'});
	next = undefined;
	await commits.commit(NO_WRITES);
	t.is(releases, 0);
	next = 'StorageFull';
	await t.throwsAsync(commits.commit(NO_WRITES, CLAIM), {code: 'StorageFull'});
	next = undefined;
	await commits.commit(NO_WRITES);
	await commits.commit(NO_WRITES);
	t.is(releases, 1);
});

test('all pages of a claim in doubt are given back; rows in the way are told, and others are tried again', async t => {
	const pages: (ErrorCode | {jobs: number; hasMore: boolean})[] = [];
	let isUnsure = true;
	const afters: unknown[] = [];
	const {commits, leftOut} = setUp(
		({claim}) => claim && isUnsure && refuse('OutcomeUnknown'),
		() => ({
			async release(owner, options) {
				afters.push([owner, options]);
				const page = pages.shift() ?? refuse('Closed');
				return typeof page === 'string' ? refuse(page) : page;
			},
		}),
	);
	const doubt = async (...next: typeof pages) => {
		isUnsure = true;
		await t.throwsAsync(commits.commit(NO_WRITES, CLAIM), {code: 'OutcomeUnknown'});
		isUnsure = false;
		pages.push(...next);
	};
	await doubt({jobs: 1, hasMore: true}, {jobs: 1, hasMore: false});
	await commits.commit(NO_WRITES);
	t.deepEqual(afters, [
		['owner', {after: 0}],
		['owner', {after: 0}],
	]);
	await doubt('BadRow');
	await commits.commit(NO_WRITES);
	await commits.commit(NO_WRITES);
	t.deepEqual(leftOut, [[{}, 'BadRow']]);
	await doubt('DatabaseBusy', {jobs: 1, hasMore: false});
	await t.throwsAsync(commits.commit(NO_WRITES), {code: 'DatabaseBusy'});
	await commits.commit(NO_WRITES);
	t.is(pages.length, 0);
	t.is(leftOut.length, 1);
});

test('after a claim was refused its lanes are asked alone; the one at fault rests and is told, and asked again', async t => {
	const {commits, clock, queue, leftOut} = setUp(({claim}) => claim?.lanes.some(({task}) => task === 'bad') && refuse());
	await queue.enqueue([newJob(), newJob()]);
	const request: ClaimRequest = {...CLAIM, lanes: ['bad', 'count'].map(task => ({task, limit: 1}))};
	t.deepEqual(commits.claimable(request), request);
	t.deepEqual([commits.leavesLanesOut, commits.waitMs], [false, Infinity]);
	const claimed: unknown[] = [];
	for (let round = 0; round < 3; round++) {
		const asked = commits.claimable(request);
		try {
			claimed.push((await commits.commit(NO_WRITES, asked)).claimed.lease);
		} catch (error) {
			commits.claimRefused(asked, error as FaenaError);
			claimed.push(asked.lanes.map(({task}) => task));
		}
	}
	t.deepEqual(claimed, [['bad', 'count'], ['bad'], 1]);
	t.deepEqual(leftOut, [[{task: 'bad'}, 'BadRow']]);
	t.deepEqual([commits.leavesLanesOut, commits.waitMs], [true, 20]);
	clock.pass(20);
	t.deepEqual(commits.claimable(request).lanes, [{task: 'bad', limit: 1}]);
});

test('everything but what is refused is written; what is left out is told once, and each transaction comes after a pause', async t => {
	const isBad = ({update = [], settle = [], enqueue = []}: Changes) =>
		update.some(({id}) => id === 2) || settle.some(group => [...settlementsOf(group)].some(({id}) => id === 4)) || enqueue.some(group => group.priority === 9);
	const {commits, leftOut, refused, done, breaks} = setUp(changes => {
		if (isBad(changes)) refuse('TooLarge');
	});
	const update = (id: number) => ({id, lease: 1, execution: 1, startedAt: 5});
	const bad = enqueueCall(8);
	const written: Writes = {
		updates: [update(1), update(2)],
		settle: [returnedGroup([1, 1], {ids: 3})],
		enqueues: [enqueueCall(7), {...bad, group: {...(bad.group as object), priority: 9} as never}],
	};
	const parts: Writes[] = [];
	const {refusals, stopped} = await commits.inParts(written, async ({enqueued}, part) => {
		t.is(enqueued.length, part.enqueues.length);
		parts.push(part);
	});
	t.is(stopped, undefined);
	t.deepEqual(leftOut, [
		[{id: 2}, 'TooLarge'],
		[{id: 4}, 'TooLarge'],
	]);
	t.deepEqual(refused, [[8, 'TooLarge']]);
	t.deepEqual(
		parts.flatMap(({updates}) => updates.map(({id}) => id)),
		[1],
	);
	t.deepEqual(
		parts.flatMap(({settle}) => settle.flatMap(group => [...settlementsOf(group)].map(({id, outcome}) => [id, outcome.type]))),
		[[3, 'returned']],
	);
	t.deepEqual(
		parts.flatMap(({enqueues}) => enqueues.map(({call}) => call)),
		[7],
	);
	// The update, the group, its job, what was to be written instead of that, and the call.
	t.is(refusals, 5);
	t.true(breaks() > done.length);
});

test('an error that is no refusal ends it, with what is not written', async t => {
	let left = 1;
	const {commits} = setUp(changes => {
		if (changes.update?.length) refuse();
		if (left-- === 0) refuse('StorageFull');
	});
	const written: Writes = {updates: [{id: 1, lease: 1, execution: 1, startedAt: 5}], settle: [], enqueues: [enqueueCall(1), enqueueCall(2)]};
	const {refusals, stopped} = await commits.inParts(written, async () => undefined);
	t.is(refusals, 1);
	t.like(stopped, {left: {updates: [], settle: [], enqueues: [{call: 2}]}, error: {code: 'StorageFull'}});
});
