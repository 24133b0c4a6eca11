import {readdirSync, readFileSync} from 'node:fs';
import test from 'ava';
import {CONSTANTS, ENTRIES} from '../../lib/store/postgres/connection/schema.ts';

const FOLDER = new URL('../../lib/store/postgres/', import.meta.url);
const FILES = readdirSync(FOLDER, {recursive: true, encoding: 'utf8'});
const read = (file: string) => readFileSync(new URL(file, FOLDER), 'utf8');
const sql = FILES.filter(file => file.endsWith('.sql'));
const functions = sql.filter(file => file.startsWith('functions/')).map(read);
/** The names of functions, each with its text. */
const bodies = functions.flatMap(text =>
	[...text.matchAll(/^create function (\w+)\(.*?^(?:end )?\$\$;$/gms)].map(([body, name]) => ({name: name as string, body})),
);

test('each constant of the .sql files exists, and each is used', t => {
	const used = new Set(sql.flatMap(file => [...read(file).matchAll(/@(\w+)@/g)].map(([, name]) => name as string)));
	t.deepEqual([...used].sort(), Object.keys(CONSTANTS).sort());
});

test('there are at most 25 .sql files, and no function of them has more than 70 lines', t => {
	t.true(sql.length <= 25, `${sql.length}`);
	t.true(bodies.length > 150);
	t.deepEqual(
		bodies.filter(({body}) => body.split('\n').length > 70).map(({name}) => name),
		[],
	);
});

test('functions have one name each, and each is called', t => {
	const names = bodies.map(({name}) => name);
	t.deepEqual(names, [...new Set(names)]);
	const all = [...sql.map(read), ...ENTRIES.map(name => ` ${name}(`)].join('\n');
	t.deepEqual(
		names.filter(name => [...all.matchAll(new RegExp(`\\b${name}\\(`, 'g'))].length < 2),
		[],
	);
});

test('the entries are the functions that TypeScript calls', t => {
	const calls = FILES.filter(file => file.endsWith('.ts')).flatMap(file =>
		[...read(file).matchAll(/@@\.(\w+)\(|(?:\bcall|\blist|\bchange|#change)(?:<.*>)?\(\s*'(\w+)'/g)].map(([, first, second]) => first ?? second),
	);
	t.deepEqual([...new Set(calls)].sort(), [...ENTRIES].sort());
});

/** Milliseconds in a second, the values of bytes, and how much of a value an error shows. */
const NUMBERS_OF_CODE = /[*/] 1000\b|\b(256|65536)\b|(?<=left\([\w:]+), 100\)/g;

/** The numbers from 100 on in an SQL file. */
function limitsIn(text: string): string[] {
	const code = text.replaceAll(/^\s*--.*$|'(?:[^']|'')*'/gm, '').replaceAll(NUMBERS_OF_CODE, '');
	return code.match(/\b\d{3,}\b/g) ?? [];
}

test('each limit of the functions has a name', t => {
	t.deepEqual(functions.flatMap(limitsIn), []);
	t.deepEqual(limitsIn("\t-- since 1970\n\tseconds * 1000, left(a, 100), '2000'; limit 5000;"), ['5000']);
});

/** The texts of an SQL file, without those of errors that are raised and of what the face says of options. */
function textsOf(text: string): string[] {
	const code = text.replaceAll(/^\s*--.*$/gm, '').replaceAll(/(raise exception|perform refuse_\w+\(|expects text :=)(?:'(?:[^']|'')*'|[^;'])*;/g, '');
	return [...code.matchAll(/'((?:[^']|'')*)'/g)].map(([, literal]) => literal as string);
}

test('no sentence that rows keep is made in SQL: TypeScript gives them as templates', t => {
	const sentences = functions.flatMap(textsOf).filter(literal => /[a-z]+ [a-z]+ [a-z]+/i.test(literal));
	t.deepEqual(sentences.sort(), ['Another call has taken the key.', 'drop schema if exists %I cascade']);
	t.deepEqual(textsOf("select format('It waited for job %s'); raise exception 'an error of this call'; -- it's\n"), ['It waited for job %s']);
});

test('no rule of retrying is in SQL: what is charged, when a job is dead, when it is tried again', t => {
	const rules = /maxAttempts|maxDelays|backoff|\bjitter\b|\b(attempts|crashes|delays)(, 0\))? [-+<>]|spec::jsonb/;
	const found = bodies.filter(({name, body}) => rules.test(body) && !/^(enqueue_given|enqueue_checked)$/.test(name)).map(({name}) => name);
	t.deepEqual(found, []);
	t.regex('f.attempts := coalesce(f.attempts, 0) + 1', rules);
	t.regex('if f.crashes >= 3 then', rules);
});
