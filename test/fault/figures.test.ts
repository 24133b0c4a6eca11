import {readFileSync} from 'node:fs';
import test from 'ava';
import {figures} from './figures.ts';

test('docs/internals/reliability.md has the figures of the results that are kept', t => {
	t.true(
		readFileSync(new URL('../../docs/internals/reliability.md', import.meta.url), 'utf8').includes(figures()),
		'npm run reliability prints the table as it should be',
	);
});
