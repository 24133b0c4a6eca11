import {readFileSync} from 'node:fs';
import test from 'ava';
import {MAX_MINUTES, PLANS} from './plans.ts';

test('a night takes as long as it may at most, and has each of the long plans', t => {
	t.true(PLANS.reduce((sum, {minutes}) => sum + minutes, 0) <= MAX_MINUTES);
	const {scripts} = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {scripts: Record<string, string>};
	const long = Object.keys(scripts).filter(name => /^node test\/|^FAENA_TIMES/.test(scripts[name] ?? '') && !['nightly', 'reliability'].includes(name));
	t.deepEqual([...new Set(PLANS.map(({script}) => script))].sort(), long.sort());
});
