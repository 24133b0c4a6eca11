import test from 'ava';
import {backoffMs} from '../../lib/job/next-state.ts';
import fc from '../fixtures/property.ts';

const backoff = fc.record({
	baseMs: fc.integer({min: 1, max: 1e6}),
	factor: fc.double({min: 1, max: 10, noNaN: true}),
	maxMs: fc.integer({min: 0, max: 1e9}),
	jitter: fc.double({min: 0, max: 1, noNaN: true}),
});
const attempt = fc.integer({min: 1, max: 10_000});
const random = fc.double({min: 0, max: 1, maxExcluded: true, noNaN: true});

test('without jitter, attempt n waits baseMs × factorⁿ⁻¹, at most maxMs', t => {
	const waits = [1, 2, 3, 4, 5, 6].map(attempt => backoffMs({baseMs: 1000, factor: 2, maxMs: 10_000, jitter: 0}, attempt, 0.9));
	t.deepEqual(waits, [1000, 2000, 4000, 8000, 10_000, 10_000]);
});

test('the share jitter of the wait is random', t => {
	const jittered = {baseMs: 1000, factor: 2, maxMs: 10_000, jitter: 0.5};
	t.deepEqual(
		[0, 0.5, 0.9].map(random => backoffMs(jittered, 2, random)),
		[2000, 1500, 1100],
	);
	t.is(backoffMs({...jittered, jitter: 1}, 1, 0.999), 1);
});

test('a wait is a whole number of milliseconds from 0 to maxMs', t => {
	fc.assert(
		fc.property(backoff, attempt, random, (backoff, attempt, random) => {
			const wait = backoffMs(backoff, attempt, random);
			return Number.isSafeInteger(wait) && wait >= 0 && wait <= backoff.maxMs;
		}),
	);
	t.pass();
});

test('jitter takes no more than its share of the wait', t => {
	fc.assert(
		fc.property(backoff, attempt, random, (backoff, attempt, random) => {
			const full = backoffMs({...backoff, jitter: 0}, attempt, random);
			const wait = backoffMs(backoff, attempt, random);
			return wait <= full && wait >= Math.floor(full * (1 - backoff.jitter)) - 1;
		}),
	);
	t.pass();
});

test('a later attempt never waits less, all else equal', t => {
	fc.assert(
		fc.property(backoff, attempt, random, (backoff, attempt, random) => backoffMs(backoff, attempt + 1, random) >= backoffMs(backoff, attempt, random)),
	);
	t.pass();
});
