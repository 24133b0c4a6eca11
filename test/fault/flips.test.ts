import {tellSeed} from '../fixtures/again.ts';
import {test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {SEED} from '../fixtures/random.ts';
import {flipMany} from './flips/flips.ts';

/** `npm run byte-flips` does it ten thousand times. */
const RUNS = 40;

test('a database of which bytes have changed is refused untouched, or stops its engine in a sentence, or works', async t => {
	t.timeout(170_000);
	tellSeed(t);
	const {broken, ends} = await flipMany(makeFolder(t), {seed: SEED, runs: RUNS});
	t.deepEqual(broken, []);
	t.log(ends);
});
