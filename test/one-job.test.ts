import {existsSync, readFileSync} from 'node:fs';
import test from 'ava';

const page = readFileSync(new URL('../docs/one-job.md', import.meta.url), 'utf8');
const steps = [...page.replaceAll(/\s+/g, ' ').matchAll(/`([#\w]+)` in `([^`]+)`/g)].map(([, name = '', file = '']) => ({name, file}));

test('the page that follows one job names files and functions that are there', t => {
	t.true(steps.length > 25);
	const missing = steps.filter(({name, file}) => {
		const url = new URL(`../${file}`, import.meta.url);
		if (!existsSync(url)) return true;
		const source = readFileSync(url, 'utf8');
		// A function, a method, or a class.
		return !new RegExp(`(?:^|\\s)(?:async |function |function\\* |class )*${name.replace('#', '#')}(?:<[^(]*>)?[ (]`, 'm').test(source);
	});
	t.deepEqual(missing, []);
});
