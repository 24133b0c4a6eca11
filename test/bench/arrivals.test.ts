import test from 'ava';
import {generate, poissonMs} from '../../bench/measure/arrivals.ts';
import {sharedMs} from '../../bench/measure/clock.ts';
import {chanceOf} from '../../bench/plan/chance.ts';

test('arrivals are a Poisson process: the gaps are exponential, and the same seed gives them again', t => {
	const times = poissonMs(20_000, 1000, chanceOf(1));
	t.deepEqual(times, poissonMs(20_000, 1000, chanceOf(1)));
	const gaps = Array.from(times, (at, index) => at - (times[index - 1] ?? 0));
	t.true(gaps.every(gap => gap > 0 && Number.isFinite(gap)));
	const mean = gaps.reduce((sum, gap) => sum + gap) / gaps.length;
	const deviation = Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length);
	t.true(Math.abs(mean - 1) < 0.03, `mean ${mean} ms`);
	t.true(Math.abs(deviation / mean - 1) < 0.03, 'of an exponential distribution both are the same');
});

test('each arrival comes once, in order, never before its time, and says when that was', async t => {
	const times = Float64Array.from([0, 0, 3, 3.25, 10, 40]);
	const arrived: {index: number; intendedMs: number; lateMs: number}[] = [];
	await generate(times, (index, intendedMs) => arrived.push({index, intendedMs, lateMs: sharedMs() - intendedMs}));
	t.deepEqual(
		arrived.map(({index}) => index),
		[0, 1, 2, 3, 4, 5],
	);
	const [first] = arrived;
	for (const {index, intendedMs, lateMs} of arrived) {
		t.true(Math.abs(intendedMs - (first?.intendedMs ?? 0) - (times[index] as number)) < 1e-3);
		t.true(lateMs >= 0);
	}
});
