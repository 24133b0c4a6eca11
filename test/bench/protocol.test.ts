import test from 'ava';
import {comparisonsOf} from '../../bench/plan/blocks.ts';
import {chanceOf} from '../../bench/plan/chance.ts';
import {PLANS} from '../../bench/plan/plan.ts';
import {MAX_DRIFT, MAX_STOLEN, whyDiscarded} from '../../bench/plan/protocol.ts';

test('a measurement counts while all spins around the compared measurements are about as long', t => {
	t.is(whyDiscarded({spinMs: [20, 20], stolen: 0}, []), undefined);
	t.is(whyDiscarded({spinMs: [20, 20 * (1 + MAX_DRIFT * 0.99)], stolen: MAX_STOLEN}, [20, 20]), undefined);
	t.is(whyDiscarded({spinMs: [20, 24], stolen: 0}, []), 'the spin drifted by 20 %');
	t.is(whyDiscarded({spinMs: [20, 16], stolen: 0}, [20, 20]), 'the spin drifted by 25 %');
	t.is(whyDiscarded({spinMs: [24, 24], stolen: 0}, [20, 20]), 'the spin drifted by 20 %');
	t.is(whyDiscarded({spinMs: [20, 20], stolen: 0.07}, [20, 20]), '7 % of the time was stolen');
});

test('a slow drift is seen, though no two spins after each other differ much', t => {
	const spins = Array.from({length: 11}, (_, index) => 20 * 1.03 ** index);
	const reasons = spins.slice(1).map((after, index) => whyDiscarded({spinMs: [spins[index] as number, after], stolen: 0}, spins.slice(0, index)));
	t.is(
		reasons.findIndex(reason => reason !== undefined),
		3,
	);
	t.true(reasons.slice(3).every(reason => reason?.startsWith('the spin drifted')));
});

for (const [name, {cases}] of Object.entries(PLANS))
	test(`plan ${name}: a block has each case once, compared cases in succession, in random order`, t => {
		const comparisons = comparisonsOf(cases, chanceOf(1));
		const all = comparisons.flat();
		t.is(all.length, cases.length);
		t.deepEqual(
			cases.filter(each => !all.includes(each)),
			[],
		);
		const keys = comparisons.map(comparison => {
			const own = new Set(comparison.map(({trial, task, workMicros, intake}) => [trial, task, workMicros, trial === 'drain' && intake].join()));
			t.is(own.size, 1);
			return [...own][0];
		});
		t.is(new Set(keys).size, keys.length);
		t.deepEqual(comparisonsOf(cases, chanceOf(1)), comparisons);
		t.notDeepEqual(comparisonsOf(cases, chanceOf(2)), comparisons);
	});
