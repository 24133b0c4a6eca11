import {readdirSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import {parseShellCommand, shellPayload} from '../../lib/cli/map/shell/shell-command.ts';
import {assertSentence, FAENA, Folder} from './command.ts';

function dryRun(folder: Folder, command: string, ...words: readonly string[]) {
	return folder.faena('map', '--dry-run', '--sh', command, ...words);
}

test('--dry-run prints the commands that would run, each so that a shell takes it for the same, and writes nothing', async t => {
	const folder = new Folder(t);
	for (const name of ['p q.png', "it's.png", '-x.png', '$(touch pwned).png', 'a\nb.png', 'ä\u001b[2J.png']) folder.write(name, '');
	const before = readdirSync(folder.path);
	const {code, stdout, stderr} = await dryRun(folder, 'cwebp -q 80 {} -o {.}.webp', '*.png').end();
	t.is(code, 0, stderr);
	t.is(stderr, 'faena: Would run 6 of 6.\n');
	t.deepEqual(stdout.split(/\n(?=cwebp)/), [
		"cwebp -q 80 '$(touch pwned).png' -o '$(touch pwned).webp'",
		'cwebp -q 80 ./-x.png -o ./-x.webp',
		"cwebp -q 80 'a\nb.png' -o 'a\nb.webp'",
		"cwebp -q 80 'it'\\''s.png' -o 'it'\\''s.webp'",
		"cwebp -q 80 'p q.png' -o 'p q.webp'",
		"cwebp -q 80 'ä'\"$(printf '\\033')\"'[2J.png' -o 'ä'\"$(printf '\\033')\"'[2J.webp'\n",
	]);
	t.deepEqual(readdirSync(folder.path), before);
});

test('a command names the columns of --csv, the fields of --ndjson and the values of -n', async t => {
	const folder = new Folder(t);
	const csv = await dryRun(folder, 'convert {file} -resize {2} {file/.}.png', '--csv').end('file,size\na/b c.jpg,100x100\n');
	t.is(csv.stdout, "convert 'a/b c.jpg' -resize 100x100 'b c.png'\n");
	const ndjson = await dryRun(folder, 'curl -o {id} {page.url}', '--ndjson').end('{"id":7,"page":{"url":"http://x/?a&b"}}\n');
	t.is(ndjson.stdout, "curl -o 7 'http://x/?a&b'\n");
	const pairs = await dryRun(folder, 'diff {1} {2}', '-n', '2', ':::', 'a', 'b', 'c').end();
	t.is(pairs.stdout, 'diff a b\ndiff c\n');
	const numbered = await dryRun(folder, 'echo {#} {%}', '--range', '5..6').end();
	t.is(numbered.stdout, 'echo 1 1\necho 2 1\n');
});

test('a command that the input does not fit is refused before anything is written', async t => {
	const folder = new Folder(t);
	for (const [command, words, why] of [
		['', ['-'], /--sh expects a command/],
		['echo {2}', ['-'], /has \{2\}, but an item of the input has one value/],
		['echo {3}', ['-n', '2', '-'], /has \{3\}, but an item of the input has 2 values/],
		["echo '", ['-'], /has ' without its end/],
		['cat <<EOF', ['-'], /here-document/],
		['ls;', ['-'], /would be a command/],
		['echo', ['--ndjson', '-n', '2'], /one record at a time/],
		['echo', [], /Give globs/],
		['echo', ['*.jpg'], /No file matches/],
	] as const)
		for (const more of [[], ['--dry-run']]) assertSentence(t, await folder.faena('map', '--sh', command, ...words, ...more).end(), why);
	assertSentence(t, await dryRun(folder, 'echo {nmae}', '--csv').end('id,name\n1,2'), /has no column "nmae"; did you mean "name"\?/);
	t.deepEqual(readdirSync(folder.path), ['trace']);
});

test('an item that a command can not be made for is named, and the others are printed', async t => {
	const folder = new Folder(t);
	const {code, stdout, stderr} = await dryRun(folder, 'echo {id}', '--ndjson').end('{"id":1}\n{"no":1}\n{"id":"a\\u0000b"}\n{"id":2}');
	t.is(code, 1);
	t.is(stdout, 'echo 1\necho 2\n');
	t.regex(
		stderr,
		/^faena: Item \{"no":1\}: The item has no field "id"\.\nfaena: Item \{"id":"a\\u0000b"\}: A value has a NUL character, [^\n]+\nfaena: Would run 4 of 4\.\n$/,
	);
	const large = await dryRun(folder, 'echo {id}', '--ndjson').end('{"id":1234567890123456789}\n');
	t.regex(large.stderr, /the number 1234567890123456800, too large to be exact here; write it as a text/);
	const asKey = await folder.faena('map', '--sh', 'echo {a}', '--ndjson', '--key', 'id').end('{"id":1234567890123456789}\n');
	t.regex(asKey.stderr, /Line 1 of the input has the number 1234567890123456800 as id, too large to be exact/);
	const sum = await dryRun(folder, 'echo $(({} + 1))', ':::', '1', 'a[$(touch pwned)]').end();
	t.is(sum.stdout, 'echo $((1 + 1))\n');
	t.regex(sum.stderr, /whole number/);
});

test('names that are not UTF-8 are refused, also for a command', async t => {
	const folder = new Folder(t);
	writeFileSync(Buffer.concat([Buffer.from(join(folder.path, 'bad ')), Buffer.from([0xff])]), '');
	const {code, stdout, stderr} = await dryRun(folder, 'rm', 'bad*').end();
	t.deepEqual([code, stdout], [4, '']);
	t.regex(stderr, /^faena: The name of the file bad \uFFFD is not UTF-8 text/);
	const line = await folder.sh(`printf 'a\\n\\377\\n' | '${process.execPath}' '${FAENA}' map --dry-run --sh echo -`).end();
	t.is(line.code, 4);
	t.regex(line.stderr, /^faena: Line 2 of the input is not UTF-8 text/);
});

test('a dry run over a billion items ends quietly when its reader has gone', async t => {
	const folder = new Folder(t);
	const {code, stdout, stderr} = await folder
		.sh(`{ '${process.execPath}' '${FAENA}' map --dry-run --sh 'echo {}' --range 1..1000000000; echo "code $?" >&2; } | head -n 2`)
		.end();
	t.is(code, 0);
	t.is(stdout, 'echo 1\necho 2\n');
	t.is(stderr, 'code 141\n');
});

test('rows have the values of items alone, and each command has a task of its own', t => {
	const shape = {kind: 'text'} as const;
	const item = {key: 'a', payload: 'a b', sequence: 7};
	const echo = parseShellCommand('echo {}', shape);
	const numbered = parseShellCommand('echo {#}', shape);
	t.deepEqual(shellPayload(echo, item), ['a b']);
	t.deepEqual(shellPayload(numbered, item), ['a b', 7]);
	t.not(echo.task, numbered.task);
	t.is(parseShellCommand('echo {}', shape).task, echo.task);
	t.not(parseShellCommand('echo {}', shape, {}, ['another run']).task, echo.task);
});

test("parallel's flags for what is the default here are taken, and so are long names of short flags", async t => {
	const folder = new Folder(t);
	folder.write('values', 'a\0b c\0d\0');
	const flags = ['--bar', '--eta', '--progress', '--resume', '--keep-order', '--null', '--arg-file', 'values'];
	for (const count of ['--max-args', '--max-replace-args']) {
		const {code, stdout, stderr} = await folder.faena('map', '--sh', 'echo {} end', ...flags, count, '2').end();
		t.deepEqual([code, stdout], [0, 'a b c end\nd end\n'], stderr);
	}
	t.regex((await folder.faena('logs', '1').end()).stdout, /a b c end/);
});
