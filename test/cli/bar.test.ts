import test from 'ava';
import {describeStatus, type MapStatus} from '../../lib/support/progress-bar.ts';

const STATUS: MapStatus = {done: 0, executed: 0, dead: 0, total: undefined, isStopping: false};

test('progress shows how much is done, the rate, the time left, and how many died', t => {
	t.is(describeStatus({...STATUS, done: 1204, executed: 1204, dead: 2, total: 3012}, 10), '1,204 of 3,012  39%  120/s  ETA 0:16  2 dead');
	t.is(describeStatus({...STATUS, done: 2, executed: 2, total: 4}, 60), '2 of 4  50%  2.0/min  ETA 1:00');
	t.is(describeStatus({...STATUS, done: 3, executed: 3, total: 36_003}, 3), '3 of 36,003  0%  1.0/s  ETA 10:00:00');
});

test('rate and ETA count only items that this run executes', t => {
	t.is(describeStatus({...STATUS, done: 910, executed: 10, total: 1000}, 1), '910 of 1,000  91%  10/s  ETA 0:09');
	t.is(describeStatus({...STATUS, done: 900, total: 1000}, 1), '900 of 1,000  90%');
});

test('with sizes, the largest items come first: the share that is done and the time that is left go by bytes', t => {
	const status = {...STATUS, done: 30, executed: 10, total: 8000};
	t.is(describeStatus({...status, bytes: {done: 500, executed: 250, total: 1000}}, 10), '30 of 8,000  50% of the bytes  1.0/s  ETA 0:20');
	t.is(describeStatus({...status, bytes: {done: 0, executed: 0, total: 0}}, 10), describeStatus(status, 10), 'empty files count as items');
});

test('there is no percentage until the input has ended, and 100% only at the end', t => {
	t.is(describeStatus({...STATUS, done: 5, executed: 5}, 1), '5 done  5.0/s');
	t.regex(describeStatus({...STATUS, done: 9999, executed: 9999, total: 10_000}, 1), /99%/);
	t.is(describeStatus({...STATUS, total: 0}, 1), '0 of 0  100%');
});
