import {fileURLToPath} from 'node:url';
import test from 'ava';
import {measure} from './house/measure.ts';

const MAX_FIELDS = 16;
const MAX_LINES = 400;

/** Classes and files that exceed a limit, and why. */
const EXCEPTIONS: Readonly<Record<string, string>> = {
	'lib/api/engine.ts': 'a face: a line or two for each method, and its docstring',
	'lib/store/postgres/migrations/1.sql': 'all tables at once, as a release makes them',
	'lib/store/sqlite/connection/schema.sql.ts': 'the tables, and the steps from one version to the next',
	'lib/store/sqlite/connection/statements.sql.ts': 'one table of statements',
};

const sources = measure(fileURLToPath(new URL('../', import.meta.url)));

test(`a class has at most ${MAX_FIELDS} fields, or its reason here`, t => {
	const large = sources.flatMap(({classes}) => classes.filter(each => each.fields > MAX_FIELDS && !(each.name in EXCEPTIONS)));
	t.deepEqual(large, []);
});

test(`a file of lib or workers has at most ${MAX_LINES} lines, or its reason here`, t => {
	t.deepEqual(
		sources.filter(({file, lines}) => lines > MAX_LINES && !(file in EXCEPTIONS)).map(({file, lines}) => ({file, lines})),
		[],
	);
});

test('each exception still exceeds a limit', t => {
	const isLarge = (name: string) =>
		sources.some(({file, lines, classes}) => (file === name && lines > MAX_LINES) || classes.some(each => each.name === name && each.fields > MAX_FIELDS));
	t.deepEqual(
		Object.keys(EXCEPTIONS).filter(name => !isLarge(name)),
		[],
	);
});
