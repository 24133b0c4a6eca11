import test from 'ava';
import type {CancelResult} from '../../lib/job/job.ts';
import {newJob, startCaller, verb} from '../fixtures/dispatcher.ts';
import {HandClock} from '../fixtures/hand-clock.ts';
import {groupNew} from '../fixtures/plain.ts';

const CANCEL = verb(1, 'cancel', {task: 'count'});

test('a call that moves many jobs keeps no other call waiting, not even one that moves fewer, and is answered when all are moved', async t => {
	// By a clock that stands still, so that the calls of a round all have their time in it, however busy the machine is.
	const {dispatcher, queue, reply} = await startCaller(t, {jobs: 300, clock: new HandClock()});
	const [group] = groupNew([newJob({task: 'other'})]);
	dispatcher.receive([
		CANCEL,
		verb(
			2,
			'discard',
			Array.from({length: 30}, (_, index) => 300 - index),
			{stop: false},
		),
		verb(3, 'counts'),
		{call: 4, type: 'enqueue', group: group ?? t.fail(), watch: false},
	]);
	const order = [await reply(), await reply(), await reply(), await reply()];
	t.deepEqual(
		order.map(({call}) => call),
		[3, 4, 2, 1],
	);
	t.like(order[0], {value: [{ready: 280, cancelled: 10}]});
	t.deepEqual(order[2], {call: 2, value: {discarded: Array.from({length: 30}, (_, index) => 271 + index), asked: []}});
	t.deepEqual(order[3], {call: 1, value: {cancelled: Array.from({length: 270}, (_, index) => 1 + index), asked: []}});
	t.like(await queue.counts(), {pending: 1, cancelled: 270});
	dispatcher.receive([{call: 5, type: 'close', drainMs: 0}]);
	t.like(await reply(), {call: 5});
});

test('a close lets a call that moves many jobs come to its end, but for no longer than it drains: then the call is answered with how far it came', async t => {
	const patient = await startCaller(t, {jobs: 300});
	patient.dispatcher.receive([CANCEL, {call: 2, type: 'close', drainMs: 60_000}]);
	t.is(((await patient.reply()).value as CancelResult).cancelled.length, 300);
	t.like(await patient.reply(), {call: 2});

	const hasty = await startCaller(t, {jobs: 300});
	hasty.dispatcher.receive([CANCEL, {call: 2, type: 'close', drainMs: 0}]);
	t.like((await hasty.reply()).error, {
		code: 'Closed',
		message: 'The engine was closed before cancel() was done. 10 jobs are done and stay so; call it again for the others.',
	});
	t.like(await hasty.reply(), {call: 2});
	t.like(await hasty.queue.counts(), {pending: 290, cancelled: 10});
});
