import {tellSeed} from '../fixtures/again.ts';
import {test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {SEED} from '../fixtures/random.ts';
import {POISONS} from './bad-jobs/poisons.ts';
import {run, survivable} from './bad-jobs/round.ts';

/** The short form of `npm run bad-jobs`: each poison once, so that one that has lost its effect fails every time, and not by the seed. */
for (const isolation of ['process', 'thread'] as const) {
	test(`among bad jobs every good one completes, and every bad one is dead when it is due: ${isolation}`, async t => {
		t.timeout(400_000);
		tellSeed(t);
		const {good, bad, broken} = await run({seed: SEED, isolation}, makeFolder(t));
		t.deepEqual(broken, []);
		t.true(good > 0);
		t.deepEqual(Object.keys(bad).sort(), survivable(isolation).sort());
	});
}

test('jobs that a thread does not survive run only in processes', t => {
	const left = survivable('process').filter(name => !survivable('thread').includes(name));
	for (const name of left) t.true(POISONS[name]?.endsProgram === true || POISONS[name]?.only === 'process');
	t.true(left.includes('abort natively'));
});
