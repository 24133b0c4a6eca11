/** What becomes of enqueue calls while the server of the database is away. */
import test from 'ava';
import type {Store} from '../../lib/store/store.ts';
import {type Clock, systemClock} from '../../lib/support/clock.ts';
import {type ErrorCode, FaenaError} from '../../lib/support/errors.ts';
import {newJob, smallPages, startCaller} from '../fixtures/dispatcher.ts';
import {groupNew} from '../fixtures/plain.ts';

/** How commits that enqueue fail. */
interface Failing {
	readonly code: ErrorCode;
	/** The commit takes effect all the same. */
	readonly isKept?: boolean;
	/** How often they fail. */
	times: number;
	onFailure?(): void;
}

function failing(failing: Failing) {
	return (store: Store): Partial<Store> => ({
		...smallPages(store),
		async commit(changes) {
			if (!changes.enqueue?.length || failing.times === 0) return store.commit(changes);
			failing.times--;
			failing.onFailure?.();
			if (failing.isKept) await store.commit(changes);
			throw new FaenaError(failing.code, 'The connection was lost.');
		},
	});
}

const enqueueCall = (key?: string, unique?: 'unended') =>
	({call: 1, type: 'enqueue', group: groupNew([newJob({...(key && {key}), ...(unique && {unique})})])[0] as never, watch: false}) as const;

for (const [what, how, key] of [
	['a server that is away', {code: 'Unreachable', times: 4}, undefined],
	['an answer that was lost, for a job with a key', {code: 'OutcomeUnknown', isKept: true, times: 2}, 'a'],
	['a request that was lost, for a job with a key', {code: 'OutcomeUnknown', times: 2}, 'a'],
] as const) {
	test(`an enqueue is tried again after ${what}`, async t => {
		const {dispatcher, queue, reply} = await startCaller(t, {verbs: failing({...how})});
		dispatcher.receive([enqueueCall(key)]);
		t.like(await reply(), {call: 1, error: undefined});
		t.like(await queue.counts(), {pending: 1});
	});
}

test('an enqueue without a key is refused if its outcome is unknown', async t => {
	const {dispatcher, reply} = await startCaller(t, {verbs: failing({code: 'OutcomeUnknown', times: 1})});
	dispatcher.receive([enqueueCall()]);
	t.like(await reply(), {call: 1, error: {code: 'OutcomeUnknown'}});
});

test('an enqueue whose key is free once its job has ended is refused if its outcome is unknown: the job may have ended', async t => {
	const {dispatcher, reply} = await startCaller(t, {verbs: failing({code: 'OutcomeUnknown', times: 1})});
	dispatcher.receive([enqueueCall('a', 'unended')]);
	t.like(await reply(), {call: 1, error: {code: 'OutcomeUnknown'}});
});

test('an enqueue is refused after 10 s without a server', async t => {
	let passed = 0;
	const clock: Clock = {...systemClock, steadyMs: () => systemClock.steadyMs() + passed};
	const how: Failing = {
		...{code: 'Unreachable', times: 3},
		onFailure() {
			passed += 6000;
		},
	};
	const {dispatcher, queue, reply} = await startCaller(t, {verbs: failing(how), clock});
	dispatcher.receive([enqueueCall()]);
	t.like(await reply(), {call: 1, error: {code: 'Unreachable'}});
	t.is(how.times, 0);
	t.like(await queue.counts(), {pending: 0});
	dispatcher.receive([{...enqueueCall(), call: 2}]);
	t.like(await reply(), {call: 2, error: undefined});
});
