import {globSync} from 'node:fs';
import test from 'ava';
import {QUICK} from './quick.ts';

test('each file that the quick suite takes or leaves out is there', t => {
	const patterns = QUICK.files.flatMap(pattern => {
		const [, before = '', names = '', after = ''] = /^!?(.*)\{(.*)\}(.*)$/.exec(pattern) ?? [];
		return names === '' ? [pattern.replace('!', '')] : names.split(',').map(name => before + name + after);
	});
	for (const pattern of patterns) t.true(globSync(pattern, {cwd: new URL('..', import.meta.url)}).length > 0, pattern);
});
