/** All pairs of runs of `faena map`. `run-pairs.test.ts` has some of them. */
import {test} from '../fixtures/engine.ts';
import {checkPair, describePair, PAIRS_OF_RUNS} from './run-pairs.ts';

for (const pair of PAIRS_OF_RUNS) {
	test(`two runs, ${describePair(pair)}: each result is from its own code, folder and environment, and nothing that has ended runs again`, async t => {
		t.timeout(60_000);
		await checkPair(t, pair);
	});
}
