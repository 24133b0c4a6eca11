import {readFileSync} from 'node:fs';
import test from 'ava';
import {MUTANTS} from './mutants.ts';

test('each defect of `npm run mutants` has its one place in the sources', t => {
	const lost = Object.entries(MUTANTS).filter(([, {file, find}]) => readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8').split(find).length !== 2);
	t.deepEqual(
		lost.map(([what]) => what),
		[],
	);
});
