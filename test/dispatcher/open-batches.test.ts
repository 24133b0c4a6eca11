import {setImmediate} from 'node:timers/promises';
import test from 'ava';
import {OpenBatches} from '../../lib/dispatcher/open-batches.ts';
import type {BatchId} from '../../lib/job/batch.ts';
import type {Store} from '../../lib/store/store.ts';
import {FaenaError} from '../../lib/support/errors.ts';
import {makeContext, makeStore, newJob, smallPages, startCaller, verb} from '../fixtures/dispatcher.ts';
import {HandClock} from '../fixtures/hand-clock.ts';

/** How a call of the store can fail: with nothing of it kept, or without a word of what was kept. */
const FAILURES = {
	'the disk is full': {code: 'StorageFull', isKept: false},
	'the lock is not to be had': {code: 'DatabaseBusy', isKept: false},
	'the disk does not say, and nothing was kept': {code: 'OutcomeUnknown', isKept: false},
	'the disk does not say, and all was kept': {code: 'OutcomeUnknown', isKept: true},
} as const;

for (const [what, {code, isKept}] of Object.entries(FAILURES)) {
	for (const name of ['openBatch', 'closeBatch', 'leaveBatch'] as const) {
		test(`a batch that no map has any more is soon free to others, and at once to the next map here, though ${name} fails since ${what}`, async t => {
			let failures = 0;
			const fail = async <Result>(own: typeof name | undefined, run: () => Promise<Result>): Promise<Result> => {
				if (own !== name || failures === 2) return run();
				failures++;
				if (isKept) await run();
				throw new FaenaError(code, what);
			};
			const verbs = (store: Store): Partial<Store> => ({
				...smallPages(store),
				openBatch: (...args) => fail('openBatch', () => store.openBatch(...args)),
				updateBatch: (batch, owner, change) => {
					const own = 'isClosed' in change ? 'closeBatch' : 'isLeft' in change ? 'leaveBatch' : undefined;
					return fail(own, () => store.updateBatch(batch, owner, change));
				},
			});
			const {dispatcher, queue, ask, reply} = await startCaller(t, {verbs});
			for (const batch of ['here', 'elsewhere']) {
				failures = 0;
				const opened = await ask(1, 'openBatch', batch, 'count');
				if (name === 'openBatch') t.is(opened.error?.code, code);
				else t.is((await ask(2, name, (opened.value as {id: BatchId}).id)).error?.code, code);
				failures = 2;
				if (batch === 'here') t.is((await ask(3, 'openBatch', batch, 'count')).error, undefined);
				else await t.notThrowsAsync(until(() => queue.openBatch(batch, 'count', 'other')));
			}
			// What was tried again since has not taken it away.
			await t.throwsAsync(queue.openBatch('here', 'count', 'other'), {code: 'BatchInUse'});
			dispatcher.receive([{call: 4, type: 'close', drainMs: 0}]);
			t.like(await reply(), {call: 4});
		});
	}
}

test('a batch that a map of the same engine has is refused at once, and open again as soon as that map has left it', async t => {
	const {dispatcher, ask, reply} = await startCaller(t, {clock: new HandClock()});
	const {value} = await ask(1, 'openBatch', 'nightly', 'count');
	// The clock stands still: nothing waits.
	t.is((await ask(2, 'openBatch', 'nightly', 'count')).error?.code, 'BatchInUse');
	dispatcher.receive([verb(3, 'leaveBatch', (value as {id: BatchId}).id), verb(4, 'openBatch', 'nightly', 'count')]);
	t.deepEqual(
		[await reply(), await reply()],
		[
			{call: 3, value: undefined},
			{call: 4, value},
		],
	);
});

test('a batch of a dead owner is opened, though rows of another dead owner are in the way of taking back its jobs', async t => {
	let tries = 0;
	const verbs = (store: Store): Partial<Store> => ({
		...smallPages(store),
		openBatch(...args) {
			tries++;
			return store.openBatch(...args);
		},
		async reclaim() {
			if (tries > 1) await store.release('dying', {leave: true});
			throw new FaenaError('BadRow', 'A row is in the way.');
		},
	});
	const {dispatcher, queue, ask, reply} = await startCaller(t, {verbs});
	const batch = await queue.openBatch('nightly', 'count', 'dying');
	t.like(await ask(1, 'openBatch', 'nightly', 'count'), {call: 1, value: {id: batch, running: []}});
	dispatcher.receive([{call: 2, type: 'close', drainMs: 0}]);
	t.like(await reply(), {call: 2});
});

for (const isKept of [false, true]) {
	test(`a batch that a map failed to leave opens at once for the next map of the engine, which keeps it; the failed write was ${isKept ? '' : 'not '}kept`, async t => {
		let fails = true;
		const verbs = (store: Store): Partial<Store> => ({
			async updateBatch(...args) {
				if (!fails) return store.updateBatch(...args);
				fails = false;
				if (isKept) await store.updateBatch(...args);
				throw new FaenaError('OutcomeUnknown', 'The disk does not say.');
			},
		});
		const {queue, store} = makeStore(verbs);
		const batches = hold(store);
		const {id: batch} = await batches.open('nightly', 'count');
		await t.throwsAsync(batches.leave(batch, {isLeft: true}), {code: 'OutcomeUnknown'});
		t.is((await batches.open('nightly', 'count')).id, batch);
		await batches.leavePending();
		await t.throwsAsync(queue.openBatch('nightly', 'count', 'other'), {code: 'BatchInUse'});
	});
}

test('a map that opens a batch while another map of the engine leaves it gets the batch after that is written', async t => {
	const verbs = (store: Store): Partial<Store> => ({
		async updateBatch(...args) {
			for (let turn = 0; turn < 10; turn++) await setImmediate();
			return store.updateBatch(...args);
		},
	});
	const {queue, store} = makeStore(verbs);
	const batches = hold(store);
	const {id: batch} = await batches.open('nightly', 'count');
	const [, opened] = await Promise.all([batches.leave(batch, {isLeft: true}), batches.open('nightly', 'count')]);
	t.is(opened.id, batch);
	await t.throwsAsync(queue.openBatch('nightly', 'count', 'other'), {code: 'BatchInUse'});
});

test('opening a batch asks for a move of its jobs only if some have not ended, and says what the batch has then', async t => {
	let moves = 0;
	const verbs = (store: Store): Partial<Store> => ({
		move(...args) {
			moves++;
			return store.move(...args);
		},
	});
	const {queue, store} = makeStore(verbs);
	const batches = hold(store);
	const {id: batch} = await batches.open('nightly', 'count');
	t.is(moves, 0);
	await queue.enqueue([newJob({batch}), newJob({batch})]);
	await batches.leave(batch, {isLeft: true});
	t.like(await batches.open('nightly', 'count'), {running: [], batch: {counts: {pending: 2}, held: 2}});
	t.is(moves, 1);
	t.deepEqual(await queue.cancel({batch: 'nightly'}), {cancelled: [1, 2], asked: []});
	await batches.leave(batch, {isLeft: true});
	t.like(await batches.open('nightly', 'count'), {running: [], batch: {counts: {cancelled: 2}}});
	t.is(moves, 1);
});

function hold(store: Store): OpenBatches {
	return new OpenBatches(makeContext(store, {clock: new HandClock()}).context, {reclaim: async () => ({jobs: 0, hasMore: false})}, () => undefined);
}

/** Tries again and again, for five seconds. */
async function until(attempt: () => Promise<unknown>): Promise<void> {
	for (const end = Date.now() + 5000; ; await new Promise(resolve => setTimeout(resolve, 5))) {
		try {
			await attempt();
			return;
		} catch (error) {
			if (Date.now() > end) throw error;
		}
	}
}
