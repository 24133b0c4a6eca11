import {execFileSync} from 'node:child_process';
import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {Readable} from 'node:stream';
import type {ExecutionContext} from 'ava';
import test from 'ava';
import {Keys} from '../../lib/cli/map/inputs/keys.ts';
import {numbersIn, toRange} from '../../lib/cli/map/inputs/range.ts';
import {recordsOf} from '../../lib/cli/map/inputs/records.ts';
import fc from '../fixtures/property.ts';
import {assertSentence, type Ended, FAENA, Folder, parse, tasks} from './command.ts';

const ECHO = tasks('traces-executions', 'echo');

/** A run over an input, with its results in order of the input. */
function run(folder: Folder, ...words: readonly string[]): {end: (input?: string) => Promise<Ended & {lines: ReturnType<typeof parse>}>} {
	const program = folder.faena('map', ECHO, '--order', 'input', '--quiet', ...words);
	return {
		async end(input = '') {
			const ended = await program.end(input);
			return {...ended, lines: ended.code === 0 ? parse(ended.stdout) : []};
		},
	};
}

async function resultsOf(t: ExecutionContext, words: readonly string[], input?: string, files: Readonly<Record<string, string>> = {}): Promise<unknown[]> {
	const folder = new Folder(t);
	for (const [name, content] of Object.entries(files)) folder.write(name, content);
	const {lines, code, stderr} = await run(folder, ...words).end(input);
	t.is(code, 0, stderr);
	return lines.map(({result}) => result);
}

const HARD = ['a b', "it's", '"', '$(touch pwned)', '-rf', '--queue', '', 'ä😀', '\\', '*'];

test('- and --stdin give the lines of stdin', async t => {
	for (const word of ['-', '--stdin']) t.deepEqual(await resultsOf(t, [word], HARD.join('\r\n')), HARD);
	t.deepEqual(await resultsOf(t, ['-'], ''), []);
	// The last line may have no end, and an empty line is an item.
	t.deepEqual(await resultsOf(t, ['-'], '\n'), ['']);
});

test('-0 takes names with line feeds, and leaves every other character as it is', async t => {
	const names = ['a\nb', 'c\r', '\uFEFFd', ''];
	t.deepEqual(await resultsOf(t, ['-0'], `${names.join('\0')}\0`), names);
	t.deepEqual(await resultsOf(t, ['-0', '-a', 'names'], '', {names: 'a\nb\0c'}), ['a\nb', 'c']);
});

test('-a and :::: read files, and stdin as -', async t => {
	const files = {abc: 'A\nB\nC\n', 'd e f': 'D\r\nE', none: ''};
	t.deepEqual(await resultsOf(t, ['-a', 'abc'], '', files), ['A', 'B', 'C']);
	t.deepEqual(await resultsOf(t, ['-a', '-'], 'x\ny', files), ['x', 'y']);
	t.deepEqual(
		await resultsOf(t, ['::::', 'abc', 'd e f'], '', files),
		['A', 'B', 'C'].flatMap(one => ['D', 'E'].map(two => [one, two])),
	);
	t.deepEqual(
		await resultsOf(t, ['-a', 'abc', ':::', 'x', '::::', '-'], '1\n2', files),
		['A', 'B', 'C'].flatMap(one => ['1', '2'].map(two => [one, 'x', two])),
	);
	t.deepEqual(await resultsOf(t, ['-a', 'none'], '', files), []);
	t.deepEqual(await resultsOf(t, ['-a', 'abc', '-a', 'none'], '', files), []);
});

test('values after ::: are never options or globs', async t => {
	t.deepEqual(await resultsOf(t, [':::', ...HARD]), HARD);
	t.deepEqual(await resultsOf(t, [':::']), []);
	t.deepEqual(await resultsOf(t, [':::', 'a', '--', '-j', '2', '--help', '-']), ['a', '--', '-j', '2', '--help', '-']);
});

test('several inputs give each combination, the last changing the fastest; linked ones go together up to the end of the shortest', async t => {
	const texts = async (...words: readonly string[]) => (await resultsOf(t, words, '', {f: '1\n2\n3'})).map(each => (each as string[]).join(''));
	t.deepEqual(await texts(':::', 'a', 'b', ':::', '1', '2', ':::', 'x', 'y'), ['a1x', 'a1y', 'a2x', 'a2y', 'b1x', 'b1y', 'b2x', 'b2y']);
	t.deepEqual(await texts(':::', 'a', 'b', 'c', ':::+', '1', '2', ':::', 'x', 'y', ':::+', '-', '+', '='), ['a1x-', 'a1y+', 'b2x-', 'b2y+']);
	t.deepEqual(await texts(':::', 'a', 'b', '::::+', 'f'), ['a1', 'b2']);
	t.deepEqual(await texts('::::', 'f', ':::+', 'a', 'b'), ['1a', '2b']);
	t.deepEqual(await texts('::::', 'f', ':::', 'a'), ['1a', '2a', '3a']);
});

test('--range gives whole numbers, up or down', async t => {
	t.deepEqual(await resultsOf(t, ['--range', '1..3']), [1, 2, 3]);
	t.deepEqual(await resultsOf(t, ['--range', '2..-2..2']), [2, 0, -2]);
	t.deepEqual(await resultsOf(t, ['--range', '7..7']), [7]);
	t.deepEqual(await resultsOf(t, ['--range', '1..2', ':::', 'a', 'b']), [
		[1, 'a'],
		[1, 'b'],
		[2, 'a'],
		[2, 'b'],
	]);
	for (const text of ['1', '1..', '..2', '1..2..0', '1..2..-1', '01..3', '1.5..2', '1..9007199254740993', 'a..z', '1...3'])
		t.throws(() => toRange(text), undefined, text);
});

test('a range is read lazily: a run over a billion prints its first results, and takes no memory for the others', async t => {
	const folder = new Folder(t);
	const {code, stdout, stderr} = await folder
		.sh(`'${process.execPath}' --max-old-space-size=64 '${FAENA}' map '${ECHO}' --range 1..1000000000 --order input --quiet | head -n 3`)
		.end();
	t.is(code, 0);
	t.deepEqual(
		parse(stdout).map(({result}) => result),
		[1, 2, 3],
	);
	t.regex(stderr, /^faena: Stopped, since the reader of the results has gone: /);
	let count = 0;
	for (const _ of numbersIn(toRange('1..1000000'))) count++;
	t.is(count, 1_000_000);
});

test('-n gives so many items to a job; the last may have fewer', async t => {
	t.deepEqual(await resultsOf(t, ['-n', '2', ':::', 'a', 'b', 'c']), [['a', 'b'], ['c']]);
	t.deepEqual(await resultsOf(t, ['-N', '3', '-'], 'a\nb'), [['a', 'b']]);
	t.deepEqual(await resultsOf(t, ['-n', '1', ':::', 'a']), [['a']]);
	t.deepEqual(await resultsOf(t, ['-n', '2', ':::', 'a', 'b', ':::', '1', '2']), [
		['a', '1', 'a', '2'],
		['b', '1', 'b', '2'],
	]);
	t.deepEqual(await resultsOf(t, ['-n', '2', '--ndjson'], '[1]\n{"a":2}\n3'), [[[1], {a: 2}], [3]]);
	t.deepEqual(await resultsOf(t, ['-n', '2', '*.txt'], '', {'a.txt': '', 'b.txt': '', 'c.txt': ''}), [['a.txt', 'b.txt'], ['c.txt']]);
});

test('-r leaves out blank lines and values', async t => {
	t.deepEqual(await resultsOf(t, ['-r', '-'], 'a\n\n \t\nb\n'), ['a', 'b']);
	t.deepEqual(await resultsOf(t, ['-r', '-n', '2', ':::', '', 'a', ' ', 'b', 'c']), [['a', 'b'], ['c']]);
	t.deepEqual(await resultsOf(t, ['-r', ':::', '', 'a', ':::', '', '1']), [['a', '1']]);
});

test('--shuf runs the same items in another order, with the same keys', async t => {
	const folder = new Folder(t);
	const numbers = Array.from({length: 200}, (_, index) => String(index + 1));
	const shuffled = await run(folder, '--shuf', ':::', ...numbers).end();
	const results = shuffled.lines.map(({result}) => result as string);
	t.notDeepEqual(results, numbers);
	t.deepEqual(
		results.sort((a, b) => Number(a) - Number(b)),
		numbers,
	);
	const again = await run(folder, ':::', ...numbers).end();
	t.true(again.lines.every(({reused}) => reused));
	t.is(new Set(await resultsOf(t, ['--shuf', '*'], '', {a: '', b: '', c: ''})).size, 4);
});

test('--ndjson with --key names items by a field, so that a changed record is the same item', async t => {
	const folder = new Folder(t);
	const first = await run(folder, '--ndjson', '--key', 'user.id').end('{"user":{"id":7},"a":1}\n{"user":{"id":"x"},"a":1}');
	t.deepEqual(
		first.lines.map(({key}) => key),
		['7', 'x'],
	);
	const second = await run(folder, '--ndjson', '--key', 'user.id').end('{"user":{"id":"new"}}\n\n{"user":{"id":7},"a":2}\n{"user":{"id":"x"},"a":1}');
	t.deepEqual(
		second.lines.map(({key, reused, jobId}) => [key, reused ?? false, jobId]),
		[
			['new', false, 3],
			['7', false, 1],
			['x', true, 2],
		],
	);
});

test('an --ndjson line without its key, or with that of a line before, is refused by its number', async t => {
	for (const [input, why] of [
		['{"id":1}\n{"no":1}', /^faena: Line 2 of the input has no field id; --key expects/],
		['{"id":1}\n\n3', /^faena: Line 3 of the input has no field id;/],
		['{"id":""}', /^faena: Line 1 of the input has "" as id; --key expects/],
		['{"id":{"a":1}}', /^faena: Line 1 of the input has \{"a":1\} as id;/],
		['{"id":null}', /has null as id;/],
		['{"id":1}\n{"id":2}\n{"id":"1"}', /^faena: Line 3 of the input has the key "1" of a line before\./],
		['{"id":1}\n{', /^faena: Line 2 of the input is not JSON: /],
	] as const) {
		const {code, stderr} = await run(new Folder(t), '--ndjson', '--key', 'id').end(input);
		t.is(code, 4, stderr);
		t.regex(stderr, why);
	}
});

test('--csv gives rows as objects by the names of the columns, with quotes, line feeds, and what Windows adds', async t => {
	const text = '\uFEFFid,"full name",note\r\n1,"Ann ""A"" Lee","two\r\nlines, and a comma"\r\n2,,"$(x)"\r\n\r\n';
	const rows = [
		{id: '1', 'full name': 'Ann "A" Lee', note: 'two\r\nlines, and a comma'},
		{id: '2', 'full name': '', note: '$(x)'},
	];
	t.deepEqual(await resultsOf(t, ['--csv'], text), rows);
	t.deepEqual(await resultsOf(t, ['--csv', '-a', 'rows.csv'], '', {'rows.csv': text}), rows);
	t.deepEqual(await resultsOf(t, ['--csv'], 'id\n'), []);
	t.deepEqual(await resultsOf(t, ['--csv'], '__proto__,2\nx,y'), [JSON.parse('{"__proto__":"x","2":"y"}')]);
	const folder = new Folder(t);
	await run(folder, '--csv', '--key', 'id').end('id,n\na,1\nb,1');
	const {lines} = await run(folder, '--csv', '--key', 'id').end('n,id\n1,c\n1,b\n2,a');
	t.deepEqual(
		lines.map(({key, jobId, reused}) => [key, jobId, reused ?? false]),
		[
			['c', 3, false],
			['b', 2, true],
			['a', 1, false],
		],
	);
});

test('what is not CSV with a header is refused by its line', async t => {
	for (const [input, why, ...words] of [
		['', /^faena: The input is empty\. With --csv its first line has the names of the columns\./],
		['a,,c\n', /^faena: Column 2 of the input has no name\./],
		['a,b,a\n1,2,3', /^faena: The input has two columns "a"\./],
		['a,b\n1,2\n3\n', /^faena: Line 3 of the input has 1 field, but the header has another number of columns\./],
		['a,b\n1,2,3\n', /^faena: Line 2 of the input has 3 fields,/],
		['a,b\n1,"2\n', /^faena: A quote is not closed in the input; the last one that opens is in line \d\./],
		['a,b\n1,"2"x\n', /^faena: Line 2 of the input has a quote in the middle of a field\./],
		['a,b\n1,2"x\n', /^faena: Line 2 of the input has a quote in the middle of a field\./],
		['a,b\n1,\u00e9\xff', /^faena: Line 2 of the input is not UTF-8 text/],
		['id,b\n1,2', /^faena: The input has no column "no"/, '--key', 'no'],
		['id,b\n1,2\n1,3', /^faena: Line 3 of the input has the key "1" of a line before/, '--key', 'id'],
		['id,b\n,2', /^faena: Line 2 of the input has nothing in the column id, which --key names\./, '--key', 'id'],
	] as const) {
		const folder = new Folder(t);
		const program = folder.faena('map', ECHO, '--csv', '--quiet', ...words);
		program.child.stdin.write(input.includes('\xff') ? Buffer.from(input, 'latin1') : input);
		const {code, stderr} = await program.end();
		t.is(code, 4, stderr);
		t.regex(stderr, why);
	}
});

test('inputs that contradict each other, or can not be read, are refused in a sentence before anything is written', async t => {
	const folder = new Folder(t);
	folder.write('a.txt', 'a');
	for (const [words, why, code = 2] of [
		[['*.txt', '-'], /either globs or another input/],
		[['*.txt', ':::', 'a'], /either globs or another input/],
		[['*.txt', '--range', '1..2'], /either globs or another input/],
		[['--ndjson', '--csv'], /only one of --ndjson and --csv/],
		[['-0', '--ndjson'], /only one of -0 and --ndjson/],
		[['--csv', ':::', 'a'], /--csv reads stdin or one file/],
		[['--ndjson', '-a', 'a.txt', '-a', 'a.txt'], /--ndjson reads stdin or one file/],
		[['-0', ':::', 'a'], /-0 says how stdin or a file is read/],
		[['--key', 'id', '-'], /--key names a field of --ndjson or a column of --csv/],
		[['--key', 'id', '-n', '2', '--ndjson'], /--key names one item/],
		[['-n', '2', '-N', '2', '-'], /only one of -n and -N/],
		[['-n', '0', '-'], /'-n, --max-args <n>' argument '0' is invalid/],
		[['-', '-a', '-'], /Stdin can be read only once/],
		[['--range', '1-3'], /'--range <from\.\.to>' argument '1-3' is invalid/],
		[['-a', 'none.txt'], /The file none\.txt can't be read: ENOENT/, 4],
		[['-a', '.'], /The file \. can't be read: it is a folder/, 4],
		[['::::'], /:::: expects names of files/],
		[[':::+', 'a'], /:::\+ links an input to the one before, but there is none/],
		[[':::', 'a\uFFFD'], /The value a\uFFFD is not UTF-8 text/, 4],
	] as const)
		assertSentence(t, await folder.faena('map', ECHO, ...words).end(), why, code);
	assertSentence(t, await folder.faena('status', ':::', 'a').end(), /no other command has one/);
	t.deepEqual(execFileSync('ls', {cwd: folder.path, encoding: 'utf8'}).split('\n'), ['a.txt', 'trace', '']);
});

test('what is not UTF-8 is refused by its number, in each input of bytes', async t => {
	const bytes = Buffer.from('a\nb\xff\nc\xfe\n', 'latin1');
	const folder = new Folder(t);
	writeFileSync(join(folder.path, 'bytes'), bytes);
	writeFileSync(join(folder.path, 'nul'), Buffer.from('a\0\xff', 'latin1'));
	for (const [words, where] of [
		[['-a', 'bytes'], 'Line 2 of the file bytes'],
		[[':::', 'x', '::::', 'bytes'], 'Line 2 of the file bytes'],
		[['-0', '-a', 'nul'], 'Item 2 of the file nul'],
		[['--ndjson', '-a', 'nul'], 'Line 1 of the file nul'],
	] as const) {
		const {code, stderr} = await run(folder, '--batch', words.join(' '), ...words).end();
		t.is(code, 4, stderr);
		t.regex(stderr, new RegExp(`^faena: ${where} is not UTF-8 text; convert it first`));
	}
	const names = ['\xff', '\xfe'].map(name => Buffer.concat([Buffer.from(`${folder.path}/bad `), Buffer.from(name, 'latin1')]));
	for (const name of names) writeFileSync(name, '');
	const {code, stderr} = await folder.sh(`'${process.execPath}' '${FAENA}' map '${ECHO}' ::: bad*`).end();
	t.is(code, 4);
	t.regex(stderr, /^faena: The value bad \uFFFD is not UTF-8 text/);
});

test('records are the same however the bytes of a stream are cut', async t => {
	const text = fc.string({unit: fc.constantFrom('a', 'ä', '😀', '\n', '\r', '\0', '\uFEFF', '\u2028'), maxLength: 20});
	await fc.assert(
		fc.asyncProperty(text, fc.integer({min: 1, max: 5}), fc.constantFrom('\n', '\0'), async (whole, size, separator) => {
			const bytes = Buffer.from(whole);
			const chunks = Array.from({length: Math.ceil(bytes.length / size)}, (_, index) => bytes.subarray(index * size, (index + 1) * size));
			const found: string[] = [];
			for await (const records of recordsOf({stream: Readable.from(chunks), name: 'the input'}, separator as '\n')) found.push(...records);
			const marked = separator === '\n' ? whole.replace(/^\uFEFF/, '') : whole;
			const expected = marked.split(separator);
			if (expected.at(-1) === '') expected.pop();
			t.deepEqual(found, separator === '\n' ? expected.map(line => line.replace(/\r$/, '')) : expected);
		}),
	);
});

test('keys are distinct and the same in each run, and only equal items before one change its key', t => {
	const content = fc.oneof(
		fc.constantFrom('a', 'a##2', 'a##3', '', '…47DEQpj8HBSa-_TI', 'x'.repeat(100), '\0', `${'x'.repeat(39)}😀${'y'.repeat(99)}`),
		fc.string({maxLength: 3}),
	);
	fc.assert(
		fc.property(fc.array(content, {maxLength: 30}), content, fc.nat(), (contents, inserted, at) => {
			const keysOf = (all: readonly string[]) => {
				const keys = new Keys();
				return all.map(each => keys.keyOf(each));
			};
			const keys = keysOf(contents);
			t.is(new Set(keys).size, keys.length);
			t.true(keys.every(key => key !== '' && key.length <= 90 && !key.includes('\0')));
			const index = at % (contents.length + 1);
			const more = keysOf(contents.toSpliced(index, 0, inserted)).toSpliced(index, 1);
			t.deepEqual(
				more.filter((_, place) => contents[place] !== inserted),
				keys.filter((_, place) => contents[place] !== inserted),
			);
		}),
	);
});

test('equal numbers are counted in whatever order and form they come', t => {
	const number = fc.oneof(fc.nat({max: 30}).map(String), fc.constantFrom('00', '007', '-1', '1e3', ' 1', '999999999999999', '9007199254740993'));
	const ascending = fc.array(fc.nat({max: 3}), {maxLength: 30}).map(steps => steps.map((_, at) => String(steps.slice(0, at + 1).reduce((a, b) => a + b))));
	fc.assert(
		fc.property(ascending, fc.array(number, {maxLength: 30}), ascending, (...parts) => {
			const keys = new Keys();
			const counts = new Map<string, number>();
			for (const text of parts.flat()) {
				const count = (counts.get(text) ?? 0) + 1;
				counts.set(text, count);
				t.is(keys.keyOf(text), count === 1 ? text : `${text}##${count}`);
			}
		}),
	);
});

test('different items have keys without numbers, also if they are much alike', t => {
	for (const text of [
		(index: number) => String(index),
		(index: number) => `{"id":${index},"name":"user ${index % 1000}"}`,
		(index: number) => `${'x'.repeat(index % 50)}${index}`,
	]) {
		const keys = new Keys();
		let numbered = 0;
		for (let index = 0; index < 300_000; index++) if (!keys.isNew(text(index))) numbered++;
		t.is(numbered, 0);
	}
});
