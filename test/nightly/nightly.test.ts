import {readFileSync} from 'node:fs';
import test from 'ava';
import {MAX_MINUTES, PLANS} from './plans.ts';

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
