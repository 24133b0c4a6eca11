import {existsSync, readFileSync} from 'node:fs';
import test from 'ava';

const page = readFileSync(new URL('../docs/internals/one-job.md', import.meta.url), 'utf8');
const steps = [...page.replaceAll(/\s+/g, ' ').matchAll(/`([#\w]+)` in `([^`]+)`/g)].map(([, name = '', file = '']) => ({name, file}));

test('the page that follows one job names files and functions that are there', t => {
	t.true(steps.length > 25);
	const missing = steps.filter(({name, file}) => {
		const url = new URL(`../${file}`, import.meta.url);
		if (!existsSync(url)) return true;
		const source = readFileSync(url, 'utf8');
		// The definition of a function, a method or a class, in one line or with its parameters below.
		return !new RegExp(`^\\s*(?:export |default |static |async |get |function\\*? |class )*${name}(?:<.*>)?(?:[( {].*)?[({]$`, 'm').test(source);
	});
	t.deepEqual(missing, []);
});
