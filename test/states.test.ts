import {readFileSync} from 'node:fs';
import test from 'ava';
import {draw} from '../docs/states.ts';
import {STATUSES, TRANSITIONS} from '../lib/job/job.ts';

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');

test('docs/states.svg is what `npm run states` draws of the moves that there are', async t => {
	const picture = read('docs/states.svg');
	t.is(picture, await draw());
	for (const status of STATUSES) t.true(picture.includes(`>${status}</text>`), status);
	t.not(picture, await draw({...TRANSITIONS, dead: {}}));
});

test('docs/glossary.md has each status, and CONTRIBUTING.md repeats none of its words', t => {
	const wordsOf = (page: string) => [...page.matchAll(/^\| (?!Word|Status|---)([^|]+) \|/gm)].flatMap(([, words = '']) => words.split(', '));
	const words = wordsOf(read('docs/glossary.md'));
	t.deepEqual(
		STATUSES.filter(status => !words.includes(status)),
		[],
	);
	t.deepEqual(words, [...new Set(words)]);
	const contributing = read('CONTRIBUTING.md');
	const own = wordsOf(contributing.slice(contributing.indexOf('## Glossary')));
	t.true(own.length > 5);
	t.deepEqual(
		own.filter(word => words.includes(word)),
		[],
	);
});
