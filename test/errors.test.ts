import {readFileSync} from 'node:fs';
import test from 'ava';
import {FaenaError} from '../lib/index.ts';

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');
const rows = (section: string) => [...section.matchAll(/^\| `(\w+)` \|/gm)].map(([, word = '']) => word);

test('docs/errors.md has each code of an error, and each reason of a failure, and no other', t => {
	const [own = '', ofJobs = ''] = read('docs/errors.md').split('## Of a job');
	const [, codes = ''] = read('lib/support/errors.ts').match(/type ErrorCode =(.*?'\w+');\n/s) ?? [];
	t.deepEqual(
		rows(own),
		[...codes.matchAll(/\| '(\w+)'/g)].map(([, code]) => code),
	);
	const [reasons = ''] = read('lib/job/failure.ts').match(/readonly reason: [^;]*;/) ?? [];
	t.deepEqual(rows(ofJobs).sort(), [...reasons.matchAll(/'(\w+)'/g)].map(([, reason]) => reason).sort());
});

test('an error of Faena has the name of its class, its code, its sentence and its cause', t => {
	const cause = new Error('why');
	const error = new FaenaError('Closed', 'It is closed.', {cause});
	t.like(error, {name: 'FaenaError', code: 'Closed', message: 'It is closed.', cause});
	t.regex(error.stack ?? '', /^FaenaError: It is closed\./);
});
