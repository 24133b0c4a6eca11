import {spawnSync} from 'node:child_process';
import {existsSync, realpathSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import type {Shape} from '../../lib/cli/map/template/replacement.ts';
import {type Command, describeCommand, fill, parseTemplate, type Template} from '../../lib/cli/map/template/template.ts';
import {makeFolder} from '../fixtures/folder.ts';
import fc from '../fixtures/property.ts';
import {drawn} from '../fixtures/random.ts';

const TEXT: Shape = {kind: 'text'};
const NUMBERS = {sequence: 7, slot: 2};
/** What `/bin/sh` is, and bash, which may be it elsewhere. */
const SHELLS = new Set(['/bin/sh', '/bin/dash', '/bin/bash'].filter(existsSync).map(shell => realpathSync(shell)));

/** The arguments with which a command calls a program: it is one that prints them with a NUL after each. */
function argumentsOf({file, args}: Command): string[] {
	const {stdout, stderr, status} = spawnSync(file, args, {encoding: 'utf8'});
	if (status !== 0) throw new Error(`${file} ${JSON.stringify(args)} ended with ${status}: ${stderr}`);
	return stdout.split('\0').slice(0, -1);
}

/** The arguments for all items one after the other, in each way: as the command is run, by each shell; and as it is shown and pasted into each shell. */
function runs(template: Template, items: readonly unknown[]): string[][] {
	const commands = items.map(item => fill(template, item, NUMBERS));
	const shown = items.map(item => `(\n${describeCommand(template, item, NUMBERS)}\n)\n`).join('');
	const shells = [...SHELLS];
	const asRun = shells.map(shell => commands.flatMap(command => argumentsOf(command.file === '/bin/sh' ? {...command, file: shell} : command)));
	return [...asRun, ...shells.map(file => argumentsOf({file, args: ['-c', `set -e\n${shown}`]}))];
}

/** Texts that mean something to a shell, a terminal or a program. */
const HARD_VALUES = [
	'',
	' ',
	'a b',
	"it's",
	'"',
	'$(touch pwned)',
	'`touch pwned`',
	'$HOME',
	'\\',
	'\\n',
	'a\\',
	'-rf',
	'--',
	'a\nb\n',
	'\n',
	'; touch pwned',
	'&& touch pwned #',
	"'; touch pwned; '",
	'"; touch pwned; "',
	'*',
	'~',
	'{}',
	'{1}',
	'\u001b[31m',
	'\u007f',
	'ä😀\u202e',
	'%s%d',
	'!!',
	'a=b',
	'\t',
	'\r',
	"'\"'\"'",
];

const PRINT = "printf '%s\\0'";
/** Commands that call a program, and the arguments that it gets. */
const CONTEXTS: readonly (readonly [command: string, expected: (value: string) => readonly string[]])[] = [
	[PRINT, value => [value]],
	[`${PRINT} {}`, value => [value]],
	[`${PRINT} a{}b`, value => [`a${value}b`]],
	[`${PRINT} "{}" '{}'`, value => [value, value]],
	[`${PRINT} "a{}b" 'a"{}"b'`, value => [`a${value}b`, `a"${value}"b`]],
	[`${PRINT} 'it'\\''s {}' "\\"{}\\""`, value => [`it's ${value}`, `"${value}"`]],
	[`${PRINT} {} | cat`, value => [value]],
	[`${PRINT} "$(printf %s {}; echo .)"`, value => [`${value}.`]],
	[`${PRINT} "$(printf %s "{}"; echo .)" "$(printf %s '{}'; echo ")")"`, value => [`${value}.`, `${value})`]],
	[`${PRINT} "a $(printf %s "$(printf %s {}; echo .)") {}"`, value => [`a ${value}. ${value}`]],
	[`f() { ${PRINT} "$1" {}; }; f x`, value => ['x', value]],
	[`set -- y; ${PRINT} "$1" {}`, value => ['y', value]],
	[`x={}; ${PRINT} "$x" "\${x}"`, value => [value, value]],
	[`X={} sh -c '${PRINT.replaceAll("'", '"')} "$X" "\${1}"' sh {}`, value => [value, value]],
	[`for x in {} "{}"; do ${PRINT} "$x"; done`, value => [value, value]],
	[`case {} in {}) ${PRINT} same;; *) ${PRINT} other;; esac`, () => ['same']],
	[`[ {} = '{}' ] && ${PRINT} same`, () => ['same']],
	[`${PRINT} {} # it's {} "a comment\n`, value => [value]],
	[`# a comment, isn't it?\n${PRINT} {}`, value => [value]],
	[`${PRINT} a\\ #b' {}'`, value => [`a #b ${value}`]],
	[`${PRINT} \\\n# it's {}\n{ ${PRINT} {}; }`, value => ['', value]],
	[`${PRINT} {}\\\n{}`, value => [value + value]],
	[`(${PRINT} {})`, value => [value]],
	[`false || ! ${PRINT} {} || :`, value => [value]],
	[`${PRINT} "$((1 + (2 * 3)))" {}`, value => ['7', value]],
	[`set -u; unset x; ${PRINT} "\${x:-"a b"}" {}`, value => ['a b', value]],
	[`${PRINT} {#}-{%} \\{} {''} '{a,b}' {}`, value => ['7-2', '{}', '{}', '{a,b}', value]],
];

test('in each place of a command the value is passed on as it is, whatever it is, and so it is by the command that is shown', t => {
	for (const [text, expected] of drawn(CONTEXTS, 9)) {
		const template = parseTemplate(text, TEXT);
		for (const found of runs(template, HARD_VALUES))
			t.deepEqual(
				found,
				HARD_VALUES.flatMap(value => expected(value)),
				text,
			);
	}
});

test('in an assignment several values are one, so none of them is run', t => {
	const shapes: readonly (readonly [Shape, unknown])[] = [
		[
			{kind: 'record', columns: ['a', 'b']},
			{a: '1', b: 'false'},
		],
		[{kind: 'list', size: 2}, ['1', 'false']],
	];
	for (const [shape, item] of shapes) {
		for (const text of [
			`x={}; ${PRINT} "$x"`,
			`export x={}; ${PRINT} "$x"`,
			`true && x={} && ${PRINT} "$x"`,
			`x={} sh -c '${PRINT.replaceAll("'", '"')} "$x"'`,
		])
			for (const found of runs(parseTemplate(text, shape), [item])) t.deepEqual(found, ['1 false'], text);
		for (const found of runs(parseTemplate(`${PRINT} x {}`, shape), [item])) t.deepEqual(found, ['x', '1', 'false']);
	}
});

const VALUE = fc.oneof(
	fc.string({unit: fc.constantFrom(...' \'"$`\\\n\t;&|<>()*?[]{}!#~=-%^aä😀\u001b\u009b'), maxLength: 12}),
	fc.constantFrom(...HARD_VALUES),
);
/** A part of a command, and what it adds to the words of the command. */
const PART = fc.oneof(
	fc.constantFrom<Part>([' ', () => ''], ['  \t', () => ''], ['{}', value => value], ['"{}"', value => value], ["'{}'", value => value]),
	fc.constantFrom<Part>(["'$x \"{}\\'", value => `$x "${value}\\`], ['"\'{}\\$\\""', value => `'${value}$"`], ["\\'", () => "'"], ['\\ ', () => ' ']),
	fc.constantFrom<Part>(['a', () => 'a'], ["''", () => ''], ['""', () => ''], ['\\{}', () => '{}'], ['"\\a"', () => '\\a'], ['-', () => '-'], ['é', () => 'é']),
	fc.constantFrom<Part>(['"$(printf %s "{}"; echo .)"', value => `${value}.`], ['"$((2+3))"', () => '5'], ['\\\n', () => '']),
);
type Part = readonly [text: string, added: (value: string) => string];

test('a command of any such parts gives the same words as its text says, with and without a shell', t => {
	fc.assert(
		fc.property(fc.array(PART, {maxLength: 8}), VALUE, (parts, value) => {
			const words: string[] = [];
			let isOpen = false;
			for (const [text, added] of parts) {
				const isSpace = /^[ \t]+$/.test(text);
				if (!isSpace && text !== '\\\n') words.push((isOpen ? words.pop() : '') + added(value));
				isOpen = text === '\\\n' ? isOpen : !isSpace;
			}
			const template = parseTemplate(`printf '%s\\0' ${parts.map(([text]) => text).join('')} {}`, TEXT);
			for (const found of runs(template, [value])) t.deepEqual(found, [...words, value]);
		}),
		{numRuns: 60},
	);
});

/** What a command may be made of. Most mixtures are refused, by Faena or by the shell. */
const TOKENS = [
	...[
		'{}',
		'{}',
		'{.}',
		'"{}"',
		"'{}'",
		' ',
		' ',
		'\n',
		'\t',
		"'",
		'"',
		'\\',
		"\\'",
		'\\\n',
		'`',
		'#',
		' # ',
		';',
		';;',
		'|',
		'&',
		'<',
		'>',
		'<<',
		'(',
		')',
		'((',
		'))',
	],
	...[
		'$',
		'$x',
		'"$x"',
		'$(',
		'"$(',
		')"',
		'$((',
		'$[',
		"$'",
		`\${x}`,
		`\${x:-`,
		`\${x%`,
		`\${#x}`,
		'{ ',
		'}',
		'[',
		']',
		'[[ ',
		'!',
		'=',
		'~',
		'*',
		'%',
		'a',
		'1',
		'x=',
		'f()',
	],
	...['echo ', 'case x in ', 'a)', ' esac', ' for x in ', ' do ', ' done ', ' if ', ' then ', ' fi'],
];
const ATTACKS = [
	"'; touch pwned; '",
	'"; touch pwned; "',
	'$(touch pwned)',
	'`touch pwned`',
	'\ntouch pwned\n',
	"x'\ntouch pwned\n'",
	') touch pwned; (',
	'`"; touch pwned; "`',
	'a[$(touch pwned)]',
	'}; touch pwned; {',
];

test('in no command that is accepted does a shell run a part of a value', t => {
	const cwd = makeFolder(t);
	const text = fc
		.tuple(fc.constantFrom('echo ', 'echo ', ''), fc.array(fc.constantFrom(...TOKENS), {minLength: 1, maxLength: 10}))
		.map(([first, rest]) => first + rest.join(''));
	const accepted = text.map(each => [each, templateOf(each)] as const).filter(([, template]) => template !== undefined);
	fc.assert(
		fc.property(accepted, fc.constantFrom(...ATTACKS), ([, template], value) => {
			// Some never end: a function that calls itself.
			for (const command of commandsFor(template as Template, value)) {
				spawnSync(command.file, command.args, {cwd, input: '', timeout: 1000, killSignal: 'SIGKILL'});
				t.false(existsSync(join(cwd, 'pwned')), JSON.stringify(command));
			}
		}),
		{numRuns: 100},
	);
});

/** As it is run and as it is shown, by each shell. */
function commandsFor(template: Template, value: string): Command[] {
	const run = attempt(() => fill(template, value, NUMBERS));
	const shown = attempt(() => describeCommand(template, value, NUMBERS));
	const inShell = [...(run?.file === '/bin/sh' ? [run.args] : []), ...(shown === undefined ? [] : [['-c', shown]])];
	// Others than echo are programs that aren't there.
	return [...(run?.file === 'echo' ? [run] : []), ...[...SHELLS].flatMap(file => inShell.map(args => ({file, args})))];
}

function templateOf(text: string): Template | undefined {
	return attempt(() => parseTemplate(text, TEXT));
}

/** `undefined` for a refusal. */
function attempt<Result>(act: () => Result): Result | undefined {
	try {
		return act();
	} catch (error) {
		if (error instanceof TypeError) throw error;
		return undefined;
	}
}

test('a command without syntax of the shell is started without one', t => {
	const wordsOf = (text: string, value = "it's $5") => {
		const {file, args} = fill(parseTemplate(text, TEXT), value, NUMBERS);
		return [file, ...args];
	};
	t.deepEqual(wordsOf('cwebp -q 80 {} -o {.}.webp', 'a b/c.d.png'), ['cwebp', '-q', '80', 'a b/c.d.png', '-o', 'a b/c.d.webp']);
	t.deepEqual(wordsOf('awk \'{print $1}\' "x  y" a\\ b {}'), ['awk', '{print $1}', 'x  y', 'a b', "it's $5"]);
	t.deepEqual(wordsOf('env A=b {}'), ['env', 'A=b', "it's $5"]);
	t.deepEqual(wordsOf('  echo  '), ['echo', "it's $5"]);
	for (const text of [
		'a | b',
		'a > {}',
		'a && b',
		'a; b',
		'a $x',
		'a "$x"',
		'a *',
		'a ~',
		'A=b c',
		'cd',
		': {}',
		'a\nb {}',
		'{ a; } | b',
		'time a',
		'! a',
		'a # b\nc',
	])
		t.is(wordsOf(text)[0], '/bin/sh', text);
});

test('replacement strings are those of GNU parallel, and negative positions count from the end', t => {
	const of = (text: string, item: unknown, shape: Shape) => fill(parseTemplate(`x ${text}`, shape), item, NUMBERS).args;
	const parts = '{} {.} {/} {//} {/.}';
	for (const [path, ...expected] of [
		['a/b.c.d', 'a/b.c', 'b.c.d', 'a', 'b.c'],
		['/a', '/a', 'a', '/', 'a'],
		['a/', 'a/', '', '.', ''],
		['x/y/', 'x/y/', '', 'x', ''],
		['a//b', 'a//b', 'b', 'a', 'b'],
		['.hid', '', '.hid', '.', ''],
		['a.b/c', 'a.b/c', 'c', 'a.b', 'c'],
		['a\n.b/c.d', 'a\n.b/c', 'c.d', 'a\n.b', 'c'],
		['/', '/', '', '/', ''],
		['', '', '', '.', ''],
	] as const)
		t.deepEqual(of(parts, path, TEXT), [path, ...expected]);
	const three: Shape = {kind: 'list', size: 3};
	t.deepEqual(of('{1} {2.} {3/} {-1} {-3} {1//} {1/.}', ['a/b.c', 'd.e', 'f/g'], three), ['a/b.c', 'd', 'g', 'f/g', 'a/b.c', 'a', 'b']);
	t.deepEqual(of('{} "{}" a-{}-b', ['1 2', '', '3'], three), ['1 2', '', '3', '1 2  3', 'a-1 2', '', '3-b']);
	// The last of several may be short.
	t.deepEqual(of('{1} {2} a{2} "{3}" {-3}', ['x'], three), ['x', 'a', '']);
});

test('columns and fields have names; a name that is not there is refused, other braces belong to the command', t => {
	const record: Shape = {kind: 'record', columns: ['file', 'First Name', '2023', 'a/b', '#', '__proto__']};
	const row = Object.fromEntries([
		['2023', 'n'],
		['__proto__', 'p'],
		['#', 'h'],
		['First Name', 'Ann Lee'],
		['file', 'x/y.z'],
		['a/b', 's'],
	]);
	const of = (text: string, item: unknown, shape: Shape) => fill(parseTemplate(`x ${text}`, shape), item, NUMBERS).args;
	t.deepEqual(of('{file} {file/.} {First Name} {2023} {a/b} {a/b/} {#} {__proto__}', row, record), ['x/y.z', 'y', 'Ann Lee', 'n', 's', 's', 'h', 'p']);
	t.deepEqual(of('{1.} {3} {-1} {}', row, record), ['x/y', 'n', 'p', 'x/y.z', 'Ann Lee', 'n', 's', 'h', 'p']);
	t.deepEqual(of("'{print $1}' '{ file }' '{a,b}'", row, record).slice(0, 3), ['{print $1}', '{ file }', '{a,b}']);
	t.throws(() => parseTemplate('x {fiel}', record), {message: /has \{fiel\}, but the input has no column "fiel"; did you mean "file"\?/});
	t.throws(() => parseTemplate('x {7}', record), {message: /has \{7\}, but an item of the input has 6 values\. .* write \{''7\}/});
	for (const [text, shape] of [
		['x {2}', TEXT],
		['x {0}', TEXT],
		['x {-2}', TEXT],
		['x {4/}', {kind: 'list', size: 3}],
	] as const)
		t.throws(() => parseTemplate(text, shape), {code: 'BadOption'});
	t.deepEqual(of('\'{print}\' "{nothing}"', 'a', TEXT), ['{print}', '{nothing}', 'a']);
	const json: Shape = {kind: 'json'};
	t.deepEqual(of('{user.id} {tags} {n} {t.} {none} {}', {user: {id: 7}, tags: ['a'], n: 1e21, t: 'b.c', none: null}, json), [
		'7',
		'["a"]',
		'1e+21',
		'b',
		'null',
		'{"user":{"id":7},"tags":["a"],"n":1e+21,"t":"b.c","none":null}',
	]);
	t.deepEqual(of('{2} {3}', ['a', {b: 1}], json), ['{"b":1}']);
	for (const item of [{}, null, 'text', {user: 'x'}, Object.create({user: {id: 1}})])
		t.throws(() => of('{user.id}', item, json), {message: /has no field "user\.id"/});
	t.throws(() => of('{n}', {n: JSON.parse('1e400')}, json), {message: /too large to be exact/});
	t.throws(() => of('{constructor}', {}, json), {message: /has no field "constructor"/});
});

test('a Perl expression of GNU parallel, and a replacement string of its --plus, is refused with what to use instead', t => {
	const others = '{%.txt} {%_demo} {..} {...} {/..} {/...} {+/} {+.} {+..} {+...} {##} {0#} {0%} {#pre} {^a} {^^a-z} {2..} {-1%.gz} {1:2} {:-none}'.split(' ');
	const perl = ['{=s:txt:bak:=}', '{= $_=total_jobs() =}', '{2= s/{x}// =}', '{-1=uc=}', '{=\n$_=1;\n=}'];
	for (const text of [...others, ...perl])
		for (const quoted of [text, `"${text}"`, `'a'${text}b`, `$(basename ${text})`, ...(/[/:]/.test(text) ? [] : [`'${text}'`, `\`a ${text}\``])])
			for (const shape of [TEXT, {kind: 'json'}, {kind: 'record', columns: ['a', 'b']}] as const)
				t.throws(
					() => parseTemplate(`mv {} ${quoted}`, shape),
					{code: 'BadOption', message: /has \{.* of GNU parallel, which .* x=\{\}; .*\$\{x%\.txt\}/s},
					quoted,
				);
	for (const text of [
		'{//a/b}',
		'{/#a/b}',
		'{seq-1}',
		'{slot}',
		'{choose_k}',
		'{uniq}',
		'{/a/b}',
		'{/_R1.fq.gz/_R2.fq.gz}',
		'{/x/}',
		'{:2}',
		'{:1:3}',
		'{-2:3}',
	])
		t.throws(() => parseTemplate(`mv {} ${text}`, TEXT), {code: 'BadOption'});
	// As the message says.
	t.notThrows(() => parseTemplate("echo {''%.txt} {''= a =} {}", TEXT));
});

test('braces of the shell and of other programs belong to the command', t => {
	for (const text of [
		'f() { echo a; }; f',
		'{ echo a; echo b; }',
		'echo a{b,c} {,.bak} {1..5} {a..z}',
		`x=a.txt; echo "\${x%.txt}" \${x%%.*} \${x#a} \${x##*/} \${x:-none} \${#x} $((1+\${x}))`,
		`bash -c 'echo "\${1%.txt}" \${1^^} \${1/a/b} \${1:2} \${1:-none}' bash`,
		"sed -n '/a/{/b/d}; /c/{/d/!p}; /e/{s/f/g/;p}'",
		"awk '{print $1} {n++} END{print n}'",
		"awk '{ $1=$2; print } $1==1{x=1}'",
		"jq '{a: .b, c}' | jq '{a,b}' | jq '{(.k): .v}'",
		'printf "{%s}" {%d} {%5.2f} {%s,%d}',
		"date +'{%Y}' +{%Y-%m-%dT%H:%M} '+{%_d/%-m}' +{%^a %e.%b.}",
		"grep -E 'a{2,} b{,3} c{10,20}'",
		"node -e 'f({...a})'",
		'python3 -c \'"{:5}".format(1)\'',
		'git show HEAD@{upstream} HEAD^{tree} HEAD^{/fix}',
		"curl -w '%{http_code}' a",
	]) {
		const {form} = parseTemplate(text, TEXT);
		const holes = ('words' in form ? form.words.flat() : form.text).filter(piece => typeof piece !== 'string');
		t.is(holes.length, 1, text);
	}
});

test('what can not be an argument is refused: a NUL, half of a surrogate pair, and in arithmetic all but whole numbers', t => {
	const template = parseTemplate('echo {}', TEXT);
	t.throws(() => fill(template, 'a\0b', NUMBERS), {message: /NUL/});
	t.throws(() => fill(template, 'a\ud800', NUMBERS), {message: /surrogate/});
	const sum = parseTemplate(`${PRINT} $(( {} * 2 ))`, TEXT);
	for (const found of runs(sum, ['-21'])) t.deepEqual(found, ['-42']);
	for (const value of ['a[$(touch pwned)]', '1+1', '', ' 1', '0x1', '1\n'])
		for (const way of [fill, describeCommand]) t.throws(() => way(sum, value, NUMBERS), {message: /whole number/});
	t.throws(() => fill(parseTemplate('{}', TEXT), '', NUMBERS), {message: /no name/});
});

test('a command that a value could not be put into safely is refused in a sentence', t => {
	for (const [text, why] of [
		['', /empty/],
		[' \n', /empty/],
		["echo 'a", /has ' without its end/],
		['echo "a', /has " without its end/],
		['echo $(a', /has \$\( without its end/],
		['echo `a', /has ` without its end/],
		['echo ${a', /has \$\{ without its end/],
		['echo $((1', /has \$\(\( without its end/],
		['cat <<EOF\n{}\nEOF', /here-document/],
		['cat <<<{}', /here-document/],
		['echo `cat {}`', /Write \$\(…\)/],
		[`echo "\${x:-{}}"`, /within \$\{x:-\{\}\}.*Assign/],
		['(( {} > 1 ))', /\(\(/],
		['[[ {} -gt 1 ]]', /\[\[/],
		["echo $'{}'", /\$'/],
		['echo $[{}+1]', /\$\[/],
		['echo $(case {} in a) echo b;; esac)', /case within/],
		[`echo "\${x%'}'}"`, /within \$\{x%…\}/],
		['echo a # {}', /comment/],
		['ls;', /would be a command/],
		['ls |', /would be a command/],
		['ls &&\n', /would be a command/],
	] as const)
		t.throws(() => parseTemplate(text, TEXT), {code: 'BadOption', message: why}, text);
});

test('a template is plain data, so another process can get it as JSON', t => {
	for (const text of ['x {.} {#}', 'x {} | y']) {
		const template = parseTemplate(text, TEXT);
		t.deepEqual(JSON.parse(JSON.stringify(template)), template);
		t.is(template.hasSequence, text.includes('{#}'));
	}
});
