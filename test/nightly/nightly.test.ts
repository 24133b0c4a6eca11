import {readFileSync} from 'node:fs';
import test from 'ava';
import {LONG} from '../selections.ts';
import {MAX_MINUTES, PLANS, SEEDS_PER_NIGHT} from './plans.ts';

/** What runs before a commit, what measures the sources, and what runs the plans and tells of their results. */
const SHORT = ['nightly', 'reliability', 'test:quick', 'near', 'house', 'walks'];
/** Takes longer than a night. */
const BY_HAND = ['mutation-score'];

test('a night takes as long as it may at most, and has each of the long plans', t => {
	t.true(PLANS.reduce((sum, {minutes}) => sum + minutes, 0) <= MAX_MINUTES);
	const {scripts} = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {scripts: Record<string, string>};
	const isLong = (name: string) => /^node (--\S+ )*test\/|^FAENA_(ALL|TIMES|PAIRS|NEXT)/.test(scripts[name] ?? '') && ![...SHORT, ...BY_HAND].includes(name);
	const long = Object.keys(scripts).filter(isLong);
	t.deepEqual([...new Set(PLANS.map(({script}) => script))].sort(), long.sort());
});

test('each part of the long tests, and each suite on each Node, runs once in three nights', t => {
	const first = 20_000 * SEEDS_PER_NIGHT;
	const inThree = (script: string) =>
		PLANS.filter(plan => plan.script === script).map(({args}) => [0, 1, 2].map(night => args(first + night * SEEDS_PER_NIGHT + 7 * night)));
	const [tests = []] = inThree('test');
	t.deepEqual([...new Set(tests.flat())].sort(), LONG.toSorted());
	for (const nights of inThree('test:node')) t.is(new Set(nights.map(args => args.join(' '))).size, 3);
	t.is(inThree('test:node').length, 2);
});
