import test from 'ava';
import fc from 'fast-check';
import type {Refused} from '../../lib/dispatcher/clients.ts';
import {Commits, enqueuesJobs} from '../../lib/dispatcher/commits.ts';
import type {Writes} from '../../lib/dispatcher/waiting-writes.ts';
import type {Outcome} from '../../lib/job/claim.ts';
import {settlementsOf} from '../../lib/job/groups/single-jobs.ts';
import type {Changes, ClaimRequest, Store} from '../../lib/store/store.ts';
import {type ErrorCode, FaenaError} from '../../lib/support/errors.ts';
import {newJob} from '../fixtures/dispatcher.ts';
import {endedGroup, returnedGroup} from '../fixtures/groups.ts';
import {HandClock} from '../fixtures/hand-clock.ts';
import {override} from '../fixtures/override.ts';
import {groupNew} from '../fixtures/plain.ts';
import {RawQueue} from '../fixtures/raw-queue.ts';
import {MemoryStore} from '../store/oracle.ts';

const NO_WRITES: Writes = {updates: [], settle: [], enqueues: []};
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
	const commits = new Commits({
		...{store, owner: 'owner', clock},
		clients: {
			refused: (what, {message}) => void leftOut.push([what, message]),
			refuse: (call, error) => void refused.push([call, (error as FaenaError).message]),
		},
		maintain: async () => {
			await clock.nextTurn();
			breaks++;
		},
	});
	return {commits, memory, clock, queue: new RawQueue(memory), done, leftOut, refused, breaks: () => breaks};
}

function refuse(code: ErrorCode = 'BadRow'): never {
	throw new FaenaError(code, code);
}

const enqueueCall = (call: number, payload = '1') => ({call, type: 'enqueue', group: groupNew([newJob({payload})])[0] as never, watch: false}) as const;

test('writes and claims are one transaction', async t => {
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

test('all pages of a claim in doubt are given back; rows in the way are reported, and others are tried again', async t => {
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

test('after a claim was refused its lanes are asked alone; the one at fault rests, is reported, and is asked again', async t => {
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

test('all but the refused parts is written; the refused parts are reported once, and each transaction comes after a pause', async t => {
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

test('an error other than a refusal ends the search for the refused part, and the unwritten parts are returned', async t => {
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

const PARENT: Outcome = {type: 'returned', value: null, enqueue: [newJob()]};
const THREW: Outcome = {type: 'threw', error: {reason: 'threw', name: 'Error', message: 'it failed'}};

const settlementsIn = (settle: Changes['settle'] = []) => settle.flatMap(group => [...settlementsOf(group)]);
/** The jobs of the groups, and how they ended. */
const endsIn = (settle: Changes['settle']) => settlementsIn(settle).map(({id, outcome}) => `${id} ${outcome.type}`);
/** So many jobs that returned, each in a group of its own. */
const returnedJobs = (count: number): Writes => ({...NO_WRITES, settle: Array.from({length: count}, (_, index) => returnedGroup([1], {ids: index + 1}))});

test('a group enqueues jobs if one of its executions that returned does', t => {
	const returned = returnedGroup([1], {endings: new Map([[0, {type: 'returned'}]])});
	t.deepEqual([endedGroup([THREW, PARENT]), returnedGroup([1, 2]), endedGroup([THREW]), returned, endedGroup([])].map(enqueuesJobs), [
		true,
		...[false, false, false, false],
	]);
});

test('in parts, updates come first, then outcomes, those that enqueue jobs as the last of them, then calls', async t => {
	const {commits, done} = setUp(({update = [], settle = [], enqueue = []}) => {
		if (update.length + settle.length + enqueue.length > 1) refuse();
	});
	const [parents, first, second] = [endedGroup([THREW, PARENT]), returnedGroup([1, 2], {ids: 5}), endedGroup([THREW], 9)];
	await commits.inParts({updates: [{id: 1, lease: 1, execution: 1}], settle: [parents, first, second], enqueues: [enqueueCall(1)]}, async () => undefined);
	t.deepEqual(
		done.map(({update = [], settle, enqueue = []}) => [update.length, ...endsIn(settle), enqueue.length]),
		[
			[1, 0],
			[0, '5 returned', '6 returned', 0],
			[0, '9 threw', 0],
			[0, '1 threw', '2 returned', 0],
			[0, 1],
		],
	);
});

test('a refused group is replaced by its jobs, one by one, and the refused outcome of a job by a failure with the refusal, without times', async t => {
	const {commits, done} = setUp(({settle}) => {
		if (settlementsIn(settle).some(({id, outcome}) => id === 8 && outcome.type === 'returned')) refuse('TooLarge');
	});
	await commits.inParts({...NO_WRITES, settle: [returnedGroup([5, 5, 5], {ids: 7, executions: 3, lease: 2})]}, async () => undefined);
	t.deepEqual(
		done.map(({settle}) => endsIn(settle)),
		[['7 returned'], ['9 returned'], ['8 threw']],
	);
	const [failed] = settlementsIn(done[2]?.settle);
	t.like(failed, {id: 8, lease: 2, execution: 3, outcome: {type: 'threw', error: {code: 'TooLarge', message: 'TooLarge'}}});
	t.false('durationMs' in (failed?.outcome ?? {}));
});

test('every part is written, in order; after them the replacements of those that are refused; no other part is left out', async t => {
	const parts = fc.array(fc.constantFrom('good', 'bad', 'hopeless'), {maxLength: 60});
	await fc.assert(
		fc.asyncProperty(parts, async kinds => {
			const {commits, leftOut} = setUp(({settle}) => {
				const isRefused = (kind: string | undefined, outcome: Outcome) => kind === 'hopeless' || (kind === 'bad' && outcome.type === 'returned');
				if (settlementsIn(settle).some(({id, outcome}) => isRefused(kinds[id - 1], outcome))) refuse();
			});
			const written: string[] = [];
			const {stopped} = await commits.inParts(returnedJobs(kinds.length), async ({settled}, {settle}) => {
				if (settled.length !== settle.length) throw new Error('The result is that of other parts.');
				written.push(...endsIn(settle));
			});
			t.is(stopped, undefined);
			const idsOf = (kind: string) => kinds.flatMap((each, index) => (each === kind ? index + 1 : []));
			t.deepEqual(written, [...idsOf('good').map(id => `${id} returned`), ...idsOf('bad').map(id => `${id} threw`)]);
			t.deepEqual(
				leftOut.map(([{id}]) => id),
				idsOf('hopeless'),
			);
		}),
	);
});

test('one part in a thousand is found in a few transactions', async t => {
	const {commits, done, breaks} = setUp(({settle}) => {
		if (settlementsIn(settle).some(({id, outcome}) => id === 777 && outcome.type === 'returned')) refuse();
	});
	await commits.inParts(returnedJobs(1000), async () => undefined);
	t.is(done.flatMap(({settle}) => endsIn(settle)).length, 1000);
	t.true(breaks() <= 22, `${breaks()}`);
});

test('the replacements of refused parts share a transaction, however many they are', async t => {
	const {commits, done} = setUp(({settle}) => {
		if (settlementsIn(settle).some(({outcome}) => outcome.type === 'returned')) refuse();
	});
	await commits.inParts(returnedJobs(1000), async () => undefined);
	t.deepEqual(
		done.map(({settle}) => endsIn(settle).length),
		[1000],
	);
});

test('a failure for another reason ends it: the unwritten parts are given back, in order', async t => {
	for (let failsAt = 1; failsAt < 18; failsAt++) {
		let tries = 0;
		const {commits, done} = setUp(({settle}) => {
			if (++tries >= failsAt) refuse('StorageFull');
			if (settlementsIn(settle).some(({id, outcome}) => id % 20 === 7 && outcome.type === 'returned')) refuse();
		});
		const {stopped} = await commits.inParts(returnedJobs(50), async () => undefined);
		t.like(stopped?.error, {code: 'StorageFull'});
		const both = [...done.flatMap(({settle}) => endsIn(settle)), ...endsIn(stopped?.left.settle)];
		const inOrder = Array.from({length: 50}, (_, index) => index + 1).map(id => (both.includes(`${id} threw`) ? `${id} threw` : `${id} returned`));
		t.deepEqual(both, [...inOrder.filter(each => each.endsWith('returned')), ...inOrder.filter(each => each.endsWith('threw'))]);
	}
});
