import {readFileSync} from 'node:fs';
import test from 'ava';
import {LONG} from '../selections.ts';
import {MAX_MINUTES, NODES, PLANS, SEEDS_PER_NIGHT} from './plans.ts';

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

const argsOf = (script: string, nights: number) => {
	const seeds = Array.from({length: nights}, (_, night) => (20_000 + night) * SEEDS_PER_NIGHT + 7 * night);
	return PLANS.filter(plan => plan.script === script).map(({args}) => seeds.map(args));
};

test('each part of the long tests runs once in three nights, and each suite on each Node in four', t => {
	const [tests = []] = argsOf('test', 3);
	t.deepEqual([...new Set(tests.flat())].sort(), LONG.toSorted());
	const suites = argsOf('test:node', 4).filter(nights => nights.flat().every(arg => !LONG.includes(arg)));
	t.is(suites.length, 2);
	for (const nights of suites) t.is(new Set(nights.map(args => args.join(' '))).size, 4);
});

test('each long test runs on each Node once in twelve nights', t => {
	const all = argsOf('test:node', 12).find(nights => nights.flat().some(arg => LONG.includes(arg))) ?? [];
	for (const node of NODES)
		t.deepEqual(
			all
				.filter(([version]) => version === node)
				.flatMap(([, ...files]) => files)
				.sort(),
			LONG.toSorted(),
		);
});
