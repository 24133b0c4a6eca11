import test from 'ava';
import {openQueue} from '../../lib/queue.ts';
import {newJob} from '../fixtures/dispatcher.ts';
import {override} from '../fixtures/override.ts';
import {RawQueue} from '../fixtures/raw-queue.ts';
import {MemoryStore} from './oracle.ts';

test('settle() takes an error as it was thrown', async t => {
	const queue = await openQueue(':memory:');
	t.teardown(() => queue.close());
	await queue.enqueue([
		{task: 'hash', payload: null},
		{task: 'hash', payload: null},
	]);
	const {lease, jobs} = await queue.dequeue({owner: 'me', tasks: ['hash'], limit: 2});
	const errors = [new RangeError('far'), 'no Error'];
	const outcomes = jobs.map(({id, execution}, index) => ({id, execution, outcome: {type: 'timedOut', error: errors[index] as never} as const}));
	t.deepEqual(await queue.settle(lease, outcomes), {accepted: 2, lost: 0});
	t.like(await queue.job(1), {error: {reason: 'timedOut', name: 'RangeError', message: 'far'}});
	t.like(await queue.job(2), {error: {reason: 'timedOut', name: 'Thrown', message: 'no Error'}});
});

test('settle() takes times with fractions, as performance.now() gives them, and refuses times that are none', async t => {
	const queue = await openQueue(':memory:');
	t.teardown(() => queue.close());
	await queue.enqueue([{task: 'hash', payload: null}]);
	const {lease, jobs} = await queue.dequeue({owner: 'me', tasks: ['hash']});
	const settle = (times: object) =>
		queue.settle(
			lease,
			jobs.map(({id, execution}) => ({id, execution, outcome: {type: 'cancelled', ...times}})),
		);
	await t.throwsAsync(settle({durationMs: 'long'}), {code: 'BadOption', message: /^settle\(\) expects as an outcome's durationMs a number from 0 to/});
	await t.throwsAsync(settle({startedAt: NaN}), {code: 'BadOption', message: /^settle\(\) expects as an outcome's startedAt a number from 0 to/});
	const startedAt = performance.timeOrigin + 0.4;
	await settle({startedAt, durationMs: 0.25, memoryBytes: 1000.5});
	t.like(await queue.job(1), {startedAt: Math.round(startedAt), durationMs: 0.25, memoryBytes: 1001});
});

test('dequeue() claims a ready job however many jobs have expired before', async t => {
	let now = 1_700_000_000_000;
	const queue = await openQueue(':memory:', {now: () => now});
	t.teardown(() => queue.close());
	await queue.enqueue(Array.from({length: 3500}, () => ({task: 'gone', expires: 10})));
	await queue.enqueue([{task: 'hash', payload: null}]);
	now += 1000;
	t.deepEqual(
		(await queue.dequeue({owner: 'me', tasks: ['hash']})).jobs.map(({id}) => id),
		[3501],
	);
	t.is((await queue.counts()).cancelled, 3500);
});

test('a filter of many ids is moved in parts of a thousand, the highest ids first, and each job once', async t => {
	const parts: (readonly number[])[] = [];
	const store = override(new MemoryStore(), inner => ({
		move(filter, to, page) {
			parts.push(filter.ids ?? []);
			return inner.move(filter, to, page);
		},
	}));
	const queue = new RawQueue(store);
	const jobs = await queue.enqueue(Array.from({length: 2500}, () => newJob()));
	const ids = jobs.map(({id}) => id);
	await queue.dequeue({owner: 'owner', tasks: ['count'], limit: 1200});
	const {cancelled, asked} = await queue.cancel({ids});
	t.deepEqual([...new Set(parts)], [ids.slice(2000), ids.slice(1000, 2000), ids.slice(0, 1000)]);
	t.deepEqual(
		asked.toSorted((a, b) => a - b),
		ids.slice(0, 1200),
	);
	t.deepEqual(
		cancelled.toSorted((a, b) => a - b),
		ids.slice(1200),
	);
});
