import test from 'ava';
import {type Activity, Retries} from '../../lib/dispatcher/retries.ts';
import type {JobEvent} from '../../lib/job/events.ts';
import {FaenaError} from '../../lib/support/errors.ts';
import {HandClock} from '../fixtures/hand-clock.ts';

const ACTIVITIES: readonly Activity[] = ['commit', 'maintenance', 'idle', 'batches', 'listening'];
const BUSY = new FaenaError('DatabaseBusy', 'locked');
const REFUSED = new FaenaError('BadRow', 'refused');

function setUp(): {readonly retries: Retries; readonly clock: HandClock; readonly events: JobEvent[]} {
	const [clock, events] = [new HandClock(), [] as JobEvent[]];
	return {clock, events, retries: new Retries(clock, event => void events.push(event))};
}

test('each activity has its own failures', t => {
	const {retries, clock} = setUp();
	for (const activity of ACTIVITIES) {
		retries.add(activity, BUSY);
		t.deepEqual(
			ACTIVITIES.filter(each => retries.hasFailed(each)),
			[activity],
		);
		t.deepEqual(
			ACTIVITIES.map(each => retries.waitMs(each)),
			ACTIVITIES.map(each => (each === activity ? 20 : 0)),
		);
		retries.clear(activity);
		t.false(retries.hasFailed(activity));
	}
	retries.add('maintenance', BUSY);
	clock.pass(20);
	t.deepEqual([retries.hasFailed('maintenance'), retries.waitMs('maintenance')], [true, 0]);
});

test('each failure is told, with how many came in a row and how long the wait is', t => {
	const {retries, events} = setUp();
	retries.add('commit', BUSY);
	retries.add('commit', BUSY);
	t.like(events[0], {type: 'setBack', setbacks: 1, waitMs: 20, error: {code: 'DatabaseBusy', message: 'locked'}});
	t.like(events[1], {setbacks: 2, waitMs: 40});
	t.is(events.length, 2);
});

test('a refusal is told once, since its row may stay for ever, and has no deadline', t => {
	const {retries, clock, events} = setUp();
	retries.deadline = clock.steadyMs();
	clock.pass(1000);
	for (let count = 0; count < 3; count++) retries.add('maintenance', REFUSED);
	t.is(events.length, 1);
	retries.clear('maintenance');
	retries.add('maintenance', REFUSED);
	t.is(events.length, 2);
});

test('a failure without hope is thrown, and not told', t => {
	const {retries, clock, events} = setUp();
	t.throws(() => retries.add('commit', new FaenaError('BadDatabase', 'gone')), {code: 'BadDatabase'});
	retries.deadline = clock.steadyMs();
	clock.pass(501);
	t.throws(() => retries.add('commit', BUSY), {code: 'DatabaseBusy'});
	t.deepEqual(events, []);
});

test('work between commits that fails is tried later, and work that succeeds ends the failures of its own activity only', async t => {
	const {retries, events} = setUp();
	const fail = () => Promise.reject(BUSY);
	await retries.attempt('maintenance', fail);
	await retries.attempt('idle', fail);
	t.is(events.length, 2);
	await retries.attempt('maintenance', () => Promise.resolve());
	t.false(retries.hasFailed('maintenance'));
	t.true(retries.hasFailed('idle'));
	await t.throwsAsync(
		retries.attempt('maintenance', () => Promise.reject(new FaenaError('Closed', 'closed'))),
		{code: 'Closed'},
	);
});
