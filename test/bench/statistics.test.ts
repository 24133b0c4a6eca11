import test from 'ava';
import {intervalOf, median} from '../../bench/analyse/statistics.ts';
import {chanceOf} from '../../bench/plan/chance.ts';

test('the median is the middle, or between the two in the middle', t => {
	t.is(median([3, 1, 2]), 2);
	t.is(median([4, 1, 3, 2]), 2.5);
	t.is(median([7]), 7);
	t.is(median([]), Number.NaN);
});

test('equal values have an interval without width', t => {
	t.deepEqual(intervalOf([5, 5, 5, 5], chanceOf(1)), {median: 5, low: 5, high: 5, count: 4});
});

test('the interval lies within the values, and the same seed gives it again', t => {
	const values = [9, 1, 4, 6, 2, 8, 3, 7, 5];
	const interval = intervalOf(values, chanceOf(1));
	t.deepEqual(interval, intervalOf(values, chanceOf(1)));
	t.is(interval.median, 5);
	t.true(interval.low >= 1 && interval.low < 5 && interval.high > 5 && interval.high <= 9);
	// Of nine values the binomial distribution puts 2.5 % of the medians at or below the second, and 3.7 % more at the third.
	t.true(interval.low >= 2 && interval.low <= 3);
	t.true(interval.high >= 7 && interval.high <= 8);
});

test('95 % intervals hold the true median about as often as they say', t => {
	const chance = chanceOf(3);
	const trials = 40;
	let held = 0;
	for (let trial = 0; trial < trials; trial++) {
		const {low, high} = intervalOf(
			Array.from({length: 15}, () => chance.real()),
			chance,
		);
		if (low <= 0.5 && high >= 0.5) held++;
	}
	t.true(held >= 34, `${held} of ${trials}`);
});
