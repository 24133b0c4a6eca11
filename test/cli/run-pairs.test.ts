import {tellSeed} from '../fixtures/again.ts';
import {test} from '../fixtures/engine.ts';
import {SEED, seeded, shuffled} from '../fixtures/random.ts';
import {checkPair, describePair, PAIRS_OF_RUNS} from './run-pairs.ts';

/** The nightly run has all of them. */
const DRAWN = 4;

test('whatever two runs of faena map on one queue do to each other, each result is from its own code, folder and environment: some pairs, drawn by seed', async t => {
	tellSeed(t);
	for (const pair of shuffled(seeded(SEED), PAIRS_OF_RUNS).slice(0, DRAWN)) {
		t.timeout(60_000);
		t.log(describePair(pair));
		await checkPair(t, pair);
	}
});
