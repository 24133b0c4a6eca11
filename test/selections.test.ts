import {globSync} from 'node:fs';
import test from 'ava';
import {LONG, QUICK} from './selections.ts';

test('each file that a selection takes or leaves out is there', t => {
	const patterns = [...QUICK.files, ...LONG].flatMap(pattern => {
		const [, before = '', names = '', after = ''] = /^!?(.*)\{(.*)\}(.*)$/.exec(pattern) ?? [];
		return names === '' ? [pattern.replace('!', '')] : names.split(',').map(name => before + name + after);
	});
	for (const pattern of patterns) t.true(globSync(pattern, {cwd: new URL('..', import.meta.url)}).length > 0, pattern);
});
