import {once} from 'node:events';
import {existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import test from 'ava';
import type {Command} from 'commander';
import {REFUSED} from '../../lib/cli/map/parallel-flags.ts';
import {makeProgram, RENAMED_FLAGS} from '../../lib/cli/program.ts';
import {openQueue} from '../../lib/queue.ts';
import {drawn} from '../fixtures/random.ts';
import {assertSentence, FAENA, Folder, type Program, parse, tasks} from './command.ts';

const TRACES = 'traces-executions';
const NUMBERS = Array.from({length: 60}, (_, index) => String(index + 1));

function folderOfFiles(t: ExecutionContext, ...names: readonly string[]): Folder {
	const folder = new Folder(t);
	for (const name of names) folder.write(name);
	return folder;
}

test('each file that the globs match is an item, and each result is a line of JSON', async t => {
	const folder = folderOfFiles(t, 'b.txt', 'a.txt', 'c.md');
	const {code, stdout, stderr} = await folder.faena('map', tasks(TRACES, 'echo'), './*.txt').end();
	const lines = parse(stdout).sort((a, b) => a.jobId - b.jobId);
	t.is(code, 0, stderr);
	t.deepEqual(lines, [
		{key: 'a.txt', jobId: 1, status: 'completed', result: 'a.txt'},
		{key: 'b.txt', jobId: 2, status: 'completed', result: 'b.txt'},
	]);
	t.regex(stderr, /^2 of 2 {2}100%.*\nfaena: 2 completed, in [\d.]+ s \([\d.]+\/(s|min)\)\.\n$/m);
});

/** The items that a dry run names, sorted. */
async function itemsOf(t: ExecutionContext, folder: Folder, ...words: readonly string[]): Promise<string[]> {
	const {code, stdout, stderr} = await folder.faena('map', '--dry-run', '--sh', 'cat {}', ...words).end();
	t.is(code, 0, stderr);
	return stdout
		.split('\n')
		.filter(Boolean)
		.map(line => line.slice('cat '.length))
		.sort();
}

test('an argument that names an existing file is that file; one that is a glob for a shell, too, is also what it matches', async t => {
	const folder = folderOfFiles(t, 'a(1)[2].txt', 'a1.txt', '!a.txt', 'a[1].txt', 'photo (1).jpg', 'photo 1.jpg');
	t.deepEqual(await itemsOf(t, folder, 'a(1)[2].txt', '!a.txt'), ["'!a.txt'", "'a(1)[2].txt'"]);
	t.deepEqual(await itemsOf(t, folder, 'a[1].txt'), ["'a[1].txt'", 'a1.txt']);
	t.deepEqual(await itemsOf(t, folder, 'photo (1).jpg'), ["'photo (1).jpg'"]);
	t.deepEqual(await itemsOf(t, folder, './/a1.txt', 'a[1].txt', '!*[[]*'), ['a1.txt']);
});

test('a file that is named like a glob hides no other', async t => {
	const folder = new Folder(t);
	mkdirSync(join(folder.path, 'files'));
	for (const name of ['a', '*', 'b']) folder.write(`files/${name}`);
	t.deepEqual(await itemsOf(t, folder, 'files/*'), ["'files/*'", 'files/a', 'files/b']);
});

test('a file whose name begins with a dash has a path that is no option, by whatever glob or name it comes', async t => {
	const folder = folderOfFiles(t, '-n', 'a', '--x');
	for (const words of [
		['*', '!trace'],
		['./*', '!trace'],
		['./-n', './--x', 'a'],
	])
		t.deepEqual(await itemsOf(t, folder, ...words), ['./--x', './-n', 'a']);
	const {stdout} = await folder.faena('map', '--sh', 'cat {}', '--json', './-n').end();
	t.like(parse(stdout)[0], {key: './-n', status: 'completed', result: {stdout: '-n'}});
});

test("the queue's own files are no items, by whatever path it is named", async t => {
	const folder = folderOfFiles(t, 'a', 'jobs.db.txt', 'jobs.db-notes');
	symlinkSync('.', join(folder.path, 'link'));
	const own = ['a', 'jobs.db-notes', 'jobs.db.txt'];
	const queue = await openQueue(join(folder.path, 'jobs.db'));
	await using _ = {[Symbol.asyncDispose]: () => queue.close()};
	// While it is open, its log is there.
	folder.write('jobs.db-owner-1');
	mkdirSync(join(folder.path, 'jobs.db-blobs'));
	folder.write('jobs.db-blobs/1');
	for (const location of ['jobs.db', './link/jobs.db', join(folder.path, 'jobs.db')]) {
		const names = readdirSync(folder.path).filter(name => name !== 'link' && name !== 'trace' && name !== 'jobs.db-blobs');
		t.true(names.includes('jobs.db-wal'));
		for (const words of [
			['**', '!trace', '!link/**'],
			[...names, 'jobs.db-blobs/1'],
		])
			t.deepEqual(await itemsOf(t, folder, '--queue', location, ...words), own);
	}
	assertSentence(
		t,
		await folder.faena('map', '--queue', 'jobs.db', '--sh', 'gzip {}', 'jobs.db').end(),
		/No file matches jobs\.db\. The queue's own files are no items\./,
	);
});

test('with --stdin each line of stdin is an item named by its text, with --ndjson it is parsed', async t => {
	const folder = new Folder(t);
	const text = await folder.faena('map', tasks(TRACES, 'echo'), '--stdin', '--order', 'input').end('one\r\n\n{"three":3}');
	t.deepEqual(
		parse(text.stdout).map(({key, result}) => [key, result]),
		[
			['one', 'one'],
			['…47DEQpj8HBSa-_TI', ''],
			['{"three":3}', '{"three":3}'],
		],
	);
	const json = await folder.faena('map', tasks(TRACES, 'echo'), '--ndjson', '--order', 'input').end('"a\u2028b"\n\n{"three":3}\n');
	t.deepEqual(
		parse(json.stdout).map(({key, result}) => [key, result]),
		[
			['"a\u2028b"', 'a\u2028b'],
			['{"three":3}', {three: 3}],
		],
	);
});

test('--order input prints in the order of the input', async t => {
	const {stdout} = await new Folder(t).faena('map', tasks(TRACES, 'compute'), '--stdin', '--order', 'input').end(NUMBERS.slice(0, 20).join('\n'));
	t.deepEqual(
		parse(stdout).map(({result}) => result),
		NUMBERS.slice(0, 20),
	);
});

test('with --stdin a line that is not UTF-8 or too long is refused with its number; a byte order mark is not part of the first line', async t => {
	const folder = new Folder(t);
	const lines = (source: '--stdin' | '--ndjson', ...more: readonly string[]) =>
		folder.faena('map', tasks(TRACES, 'echo'), source, '--quiet', '--queue', `${source}${more.length}.db`, ...more);
	const marked = await lines('--ndjson').end('\uFEFF{"a":1}\r\n');
	t.deepEqual(parse(marked.stdout)[0]?.result, {a: 1});
	const bytes = lines('--stdin');
	bytes.child.stdin.write(Buffer.from([0xc3, 0xa9, 0x0a, 0xff, 0x0a]));
	const {code, stderr} = await bytes.end();
	t.is(code, 4);
	t.regex(stderr, /^faena: Line 2 of the input is not UTF-8 text; [^\n]+\n$/);
	const endless = lines('--stdin', '--order', 'input');
	endless.child.stdin.write('one\n');
	for (let written = 0; written < 40; written++) endless.child.stdin.write('x'.repeat(2 ** 20));
	await once(endless.child, 'exit');
	t.regex((await endless.end()).stderr, /^faena: Line 2 of the input is too long: [^\n]+\n$/);
});

test("a task's own output never mixes with the results", async t => {
	const {code, stdout, stderr} = await new Folder(t).faena('map', tasks(TRACES, 'chat'), '--stdin').end('one');
	t.is(code, 0);
	t.deepEqual(parse(stdout), [{key: 'one', item: 'one', jobId: 1, status: 'completed', result: 'one'}]);
	for (const line of ['a task says one', '{"key":"a line that looks like a result"}']) t.true(stderr.split('\n').includes(line), stderr);
});

test('values that JSON can not hold are printed in another form', async t => {
	const {stdout} = await new Folder(t).faena('map', tasks('returns-rich-values', 'rich'), '--stdin').end('one');
	t.deepEqual(parse(stdout)[0]?.result, {big: '12', bytes: 'AAAA', entries: [['a', 1]], vector: [0.5, 2], endless: 'Infinity'});
	const none = await new Folder(t).faena('map', tasks('returns-rich-values', 'nothing'), '--stdin').end('one');
	t.is(parse(none.stdout)[0]?.result, null);
});

test('a result is printed as it will be when it is read again', async t => {
	const folder = new Folder(t);
	const values = [
		'0',
		'-0.5',
		'1e21',
		'true',
		'null',
		'""',
		'"=1"',
		'"é \\u2028 \\u0085 \\u007f \\ud800 \\u202e"',
		'[]',
		'{"b":1,"2":[{"":null}],"__proto__":3}',
	];
	const print = async () => (await folder.faena('map', tasks(TRACES, 'echo'), '--ndjson', '--order', 'input').end(values.join('\n'))).stdout;
	const [now, again] = [await print(), await print()];
	t.is(again, now.replaceAll('"completed",', '"completed","reused":true,'));
	t.deepEqual(
		parse(now).map(({result}) => result),
		values.map(value => JSON.parse(value)),
	);
	t.regex(now, /^[\n -~é\u2028\u2029]+$/);
});

test('with --quiet only the summary is printed', async t => {
	const {stderr} = await new Folder(t).faena('map', tasks(TRACES, 'echo'), '--stdin', '--quiet').end('one');
	t.regex(stderr, /^faena: 1 completed, in [^\n]+\n$/);
});

test('an empty input succeeds', async t => {
	const {code, stdout, stderr} = await new Folder(t).faena('map', tasks(TRACES, 'echo'), '--stdin').end('');
	t.deepEqual([code, stdout], [0, '']);
	t.regex(stderr, /faena: 0 completed/);
});

test('a map that was killed and is started again prints all results and executes no completed item again', async t => {
	const folder = new Folder(t);
	const command = ['map', tasks(TRACES, 'compute'), '--stdin'];
	const first = folder.faena(...command);
	first.child.stdin.end(NUMBERS.join('\n'));
	await first.printed(1);
	const before = parse((await first.kill()).stdout);
	const second = await folder.faena(...command).end(NUMBERS.join('\n'));
	const lines = parse(second.stdout);
	t.is(second.code, 0, second.stderr);
	t.deepEqual(lines.map(({result}) => result).sort(), [...NUMBERS].sort());
	for (const {result} of before) t.is(folder.executions().filter(each => each === result).length, 1);
	t.true(lines.filter(({reused}) => reused).length >= before.length);
	t.regex(second.stderr, /faena: 60 completed, \d+ of these from an earlier run/);
});

test('a map shuts down on a signal, and the same command goes on', async t => {
	const folder = new Folder(t);
	const command = ['map', tasks(TRACES, 'compute'), '--stdin'];
	const first = folder.faena(...command);
	first.child.stdin.write(NUMBERS.join('\n'));
	await first.printed(1);
	first.child.kill('SIGINT');
	const stopped = await first.end();
	t.is(stopped.code, 130, stopped.stderr);
	t.regex(stopped.stderr, /\nfaena: Stopped: \d+(?: of 60)? done; the same command goes on from there\.\n$/);
	const {code, stdout} = await folder.faena(...command).end(NUMBERS.join('\n'));
	t.is(code, 0);
	t.is(parse(stdout).length, NUMBERS.length);
	// A shutdown interrupts no job: each item was executed once.
	t.deepEqual(folder.executions().sort(), [...NUMBERS].sort());
});

test('a run whose terminal is closed lets running jobs end, as after Ctrl-C; a second such signal changes nothing', async t => {
	const folder = new Folder(t);
	const program = folder.faena('map', '--sh', 'echo {} >> trace; until [ -e go ]; do sleep 0.01; done; echo {} >> ended', '-j', '2', ':::', ...'abcdef');
	await folder.traced('a');
	for (const _ of 'twice') program.child.kill('SIGHUP');
	while (!(await textOf(program.child.stderr)).includes('stopping'));
	folder.write('go');
	const {code, stderr} = await program.end();
	t.is(code, 129, stderr);
	t.regex(stderr, /\nfaena: Stopped: \d(?: of 6)? done; the same command goes on from there\.\n$/);
	const ended = readFileSync(join(folder.path, 'ended'), 'utf8').split('\n').filter(Boolean);
	t.deepEqual(ended.sort(), folder.executions().sort());
});

test('a second signal does not wait for running jobs', async t => {
	const folder = new Folder(t);
	const program = folder.faena('map', tasks(TRACES, 'chat'), '--stdin', '--order', 'input');
	program.child.stdin.write('one\n');
	await program.printed(1);
	program.child.kill('SIGTERM');
	const {code} = await program.end();
	t.is(code, 143);
	const hanging = folder.faena('map', tasks(TRACES, 'hang'), '--stdin', '--queue', 'hanging.db');
	hanging.child.stdin.write('hangs\n');
	while (!folder.executions().includes('hangs')) await once(hanging.child.stderr, 'data');
	hanging.child.kill('SIGINT');
	while (!(await textOf(hanging.child.stderr)).includes('stopping'));
	hanging.child.kill('SIGINT');
	t.is((await hanging.end()).code, 130);
});

async function textOf(stream: NodeJS.ReadableStream): Promise<string> {
	return String((await once(stream, 'data'))[0]);
}

/** A run that has executed all items, and gets a signal while its reader is slow. */
async function stopBeforeSlowReader(t: ExecutionContext): Promise<Program> {
	const program = new Folder(t).faena('map', tasks(TRACES, 'echo'), '--stdin');
	program.child.stdout.pause();
	program.child.stdin.write(`${'x'.repeat(10_000)}\n`.repeat(400));
	while (!(await textOf(program.child.stderr)).includes('400 done'));
	program.child.kill('SIGINT');
	while (!(await textOf(program.child.stderr)).includes('stopping'));
	return program;
}

test('after a signal, a slow reader still gets all output, in whole lines', async t => {
	const program = await stopBeforeSlowReader(t);
	program.child.stdout.resume();
	const {code, stdout} = await program.end();
	t.is(code, 130);
	t.is(parse(stdout).length, 400);
});

test('after a second signal, the map does not wait for a slow reader', async t => {
	const program = await stopBeforeSlowReader(t);
	program.child.kill('SIGINT');
	await once(program.child, 'exit');
	program.child.stdout.resume();
	t.is((await program.end()).code, 130);
});

test('items that died make exit code 1, are reported again, and get another round with --retry-failed', async t => {
	const folder = new Folder(t);
	const command = ['map', tasks(TRACES, 'fail'), '--stdin', '--max-attempts', '1'];
	const dead = {key: 'one', item: 'one', jobId: 1, status: 'dead', error: {name: 'RangeError', message: 'no luck with one'}};
	const first = await folder.faena(...command).end('one');
	t.is(first.code, 1);
	t.deepEqual(parse(first.stdout), [dead]);
	t.regex(first.stderr, /faena: 0 completed, 1 dead, .* Why: faena show 1 --queue faena\.db\. Again: --retry-failed\.\n$/);
	const second = await folder.faena(...command).end('one');
	t.is(second.code, 1);
	t.deepEqual(parse(second.stdout), [{...dead, reused: true}]);
	t.is(folder.executions().length, 1);
	const third = await folder.faena(...command, '--retry-failed').end('one');
	t.is(third.code, 1);
	t.deepEqual(parse(third.stdout), [dead]);
	t.is(folder.executions().length, 2);
});

test('a job over its --timeout is stopped', async t => {
	const {code, stdout} = await new Folder(t).faena('map', tasks(TRACES, 'hang'), '--stdin', '--max-attempts', '1', '--timeout', '50ms').end('one');
	t.is(code, 1);
	t.is(parse(stdout)[0]?.error?.name, 'TimedOut');
});

test('a map stops when the reader of its results has gone, and the same command goes on', async t => {
	const folder = new Folder(t);
	const command = ['map', tasks(TRACES, 'compute'), '--stdin'];
	const program = folder.faena(...command);
	program.child.stdin.write(NUMBERS.join('\n'));
	await program.printed(1);
	program.child.stdout.destroy();
	const {code, stderr} = await program.end();
	t.is(code, 141, stderr);
	t.regex(stderr, /\nfaena: Stopped, since the reader of the results has gone: \d+(?: of 60)? done; the same command goes on from there\.\n$/);
	t.is((await folder.faena(...command).end(NUMBERS.join('\n'))).code, 0);
});

test('wrong usage is refused in one sentence before any job runs', async t => {
	const folder = folderOfFiles(t, 'a.txt');
	const echo = tasks(TRACES, 'echo');
	const refusals: readonly (readonly [args: readonly string[], sentence: RegExp])[] = [
		[['map'], /Name a module and one of its functions.*or a command with --sh/],
		[['map', 'a.txt'], /Name a module and one of its functions.*"a\.txt"/],
		[['map', echo], /Give globs that name the files/],
		[['map', echo, '*.jpg'], /No file matches \*\.jpg\./],
		[['map', echo, '.'], /No file matches \..*folder\/\*\*/],
		[['map', echo, '*.txt', '--stdin'], /either globs or another input: \*\.txt is a glob/],
		[['map', echo, '*.txt', '--ndjson'], /either globs or another input/],
		[['map', echo, '*.txt', '--wrokers', '2'], /unknown option '--wrokers' \(Did you mean --workers\?\)/],
		[['map', echo, '*.txt', '--workers', 'many'], /'-j, --workers <n>' argument 'many' is invalid/],
		[['map', echo, '*.txt', '--timeout', 'nonsense'], /'--timeout <time>' argument 'nonsense' is invalid.*30s/],
		[['map', echo, '*.txt', '--timeout', '30'], /with its unit/],
		[['map', echo, '*.txt', '--order', 'random'], /Allowed choices are finished, input/],
		[['map', tasks(TRACES, 'ehco'), '*.txt', '--quiet'], /no task "ehco"; did you mean "echo"\?/],
		[['map', './missing.ts#echo', '*.txt'], /tasks module .*missing\.ts does not exist/],
		[['map', echo, 'trace', '--queue', 'a.txt'], /a\.txt is not an SQLite database/],
		[['map', echo, '*.txt', '--queue', 'no/such/folder.db'], /folder .*\/no\/such .*does not exist/],
		[['prune'], /There is no command prune; it is called faena cleanup\./],
		[['mpa'], /unknown command 'mpa' \(Did you mean map\?\)/],
	];
	for (const [args, sentence] of drawn(refusals, 6)) assertSentence(t, await folder.faena(...args).end(), sentence, args.includes('--queue') ? 69 : 2);
	t.deepEqual(folder.executions(), []);
});

test('a URL that is mistyped is refused without its text by each command', async t => {
	const folder = folderOfFiles(t, 'a.txt');
	const commands = [
		['map', '--sh', 'cat {}', 'a.txt'],
		['map', '--sh', 'cat {}', '--dry-run', ':::', 'a'],
		['map', tasks(TRACES, 'echo'), ':::', 'a'],
		['work', tasks(TRACES, 'echo').split('#')[0] as string],
	];
	const others = ['status', 'list', 'batches', 'doctor', 'vacuum', 'schedules'].map(name => [name]);
	const more = [
		['enqueue', 'echo', '1'],
		['enqueue', 'echo', '1', '--create'],
		['show', '1'],
		['logs', '1'],
		['cancel', '1'],
		['pause', 'echo'],
		['delete', '1'],
		['backup', 'copy.db'],
	];
	for (const [command = '', ...words] of drawn([...commands, ...others, ...more], 6)) {
		const ended = await folder.faena(command, '--queue', ' postgres://me:S3cret@127.0.0.1:1/db', ...words).end();
		t.false(`${ended.stdout}${ended.stderr}`.includes('S3cret'), command);
		assertSentence(t, ended, /a URL that begins with postgres:\/\/, and this is another URL/);
	}
	t.deepEqual(readdirSync(folder.path).sort(), ['a.txt', 'trace']);
});

test('each name and each glob must match a file, and a folder among them is left out with a word', async t => {
	const folder = folderOfFiles(t, 'a.txt', 'b.txt');
	mkdirSync(join(folder.path, 'sub'));
	const run = (...globs: readonly string[]) => folder.faena('map', '--quiet', '-k', '--sh', 'cat {}', ...globs).end();
	assertSentence(t, await run('a.txt', 'typo.txt'), /No file matches typo\.txt\./);
	assertSentence(t, await run('a.txt', '*.png', '*.gif'), /No file matches \*\.png \*\.gif\./);
	assertSentence(t, await run('sub'), /No file matches sub\. A folder's files are matched by folder/);
	const {code, stdout, stderr} = await run('a.txt', 'sub', '*.txt', '!b*');
	t.deepEqual([code, stdout], [0, 'a.txt']);
	t.regex(stderr, /^faena: sub is no file, and is left out\.\n/);
	assertSentence(
		t,
		await folder.faena('map', '--sh', 'cat {}', '--workdir', 'sub', 'a.txt').end(),
		/With --workdir, name files by absolute paths, for instance "\$PWD"\/a\.txt/,
	);
});

test('a file that is named like a flag does not replace one, and control characters of a wrong flag are shown, not obeyed', async t => {
	const folder = folderOfFiles(t, 'a.txt', '--sh=touch pwned');
	const {code, stderr} = await folder.sh(`'${process.execPath}' '${FAENA}' map --sh 'cat {}' *`).end();
	t.is(code, 2);
	t.regex(stderr, /option '--sh <command>' argument 'touch pwned' is invalid\. It was given already/);
	t.false(existsSync(join(folder.path, 'pwned')));
	assertSentence(t, await folder.faena('map', '--x\u001b]0;pwn\u0007', 'a').end(), /unknown option '--x\\u001b\]0;pwn\\u0007'/);
	assertSentence(t, await folder.faena('map', '--sh', '--queue', 'x.db', ':::', 'a').end(), /--sh expects a command.* it got --queue\./);
});

test('a flag that only GNU parallel has is refused with what to use instead', async t => {
	const flags = Object.keys(REFUSED).flatMap(names => names.split(' '));
	t.true(flags.length > 35);
	for (const flag of flags) {
		const words = ['map', '--sh', 'true', flag, '1', ':::', 'a'];
		await t.throwsAsync((await makeProgram()).parseAsync(words, {from: 'user'}), {
			message: new RegExp(`^faena map does not have ${flag} of GNU parallel: .{5}`),
		});
	}
});

test("GNU parallel's names of flags are accepted, and are checked and set as the flag's own", async t => {
	const optionsOf = async (...words: readonly string[]) => {
		const program = await makeProgram();
		const map = program.commands.find(command => command.name() === 'map') as Command;
		map.action(() => undefined);
		await program.parseAsync(['map', ...words], {from: 'user'});
		return map.opts();
	};
	for (const [theirs, ours] of [
		['-P3', '-j3'],
		['--jobs=50%', '--workers=50%'],
		['--max-procs 2', '-j 2'],
		['-k', '--order input'],
		['--retries 4', '--max-attempts 4'],
		['--resume-failed', '--retry-failed'],
		['-u', '--line-buffer'],
		['--lb', '--line-buffer'],
		['--wd /tmp', '--workdir /tmp'],
		['--dryrun', '--dry-run'],
		['--bar --eta --progress --resume --group --will-cite', ''],
	] as const) {
		const given = await optionsOf(...theirs.split(' '));
		const expected = await optionsOf(...ours.split(' ').filter(Boolean));
		t.like(given, expected, theirs);
	}
	await t.notThrowsAsync(optionsOf('--no-notice'));
	await t.throwsAsync(optionsOf('--jobs', 'x'), {message: /option '-P, --jobs <n>' argument 'x' is invalid\. It is a whole number/});
	await t.throwsAsync(optionsOf('--wd', '.', '--workdir', '.'), {message: /It was given already/});
});

test('a former flag is refused with the name of the new one, which exists', async t => {
	const folder = folderOfFiles(t, 'a.txt');
	t.true(Object.keys(RENAMED_FLAGS).length > 0);
	for (const [command, renamed] of Object.entries(RENAMED_FLAGS)) {
		const {stdout: help} = await folder.faena(command, '--help').end();
		for (const [former, now] of Object.entries(renamed)) {
			for (const given of [[former], [former, '1'], [`${former}=1`]]) {
				const ended = await folder.faena(command, tasks(TRACES, 'echo'), '*.txt', ...given).end();
				assertSentence(t, ended, new RegExp(`^faena: ${former} of faena ${command} is now called ${now}\\.$`, 'm'));
			}
			t.false(help.includes(`${former} `));
			t.true(help.includes(`${now} `));
		}
	}
});

test('a line that is not JSON ends the command, even if its producer goes on', async t => {
	const program = new Folder(t).faena('map', tasks(TRACES, 'echo'), '--ndjson', '--quiet');
	program.child.stdin.write('{"a":1}\nnonsense\n');
	await once(program.child, 'exit');
	const {code, stderr} = await program.end();
	t.is(code, 4);
	t.regex(stderr, /^faena: Line 2 of the input is not JSON: [^\n]+ \d done so far; once the input is right, the same command goes on from there\.\n$/);
});

test('--isolation process runs the tasks in other processes', async t => {
	const folder = new Folder(t);
	const {code, stdout} = await folder.faena('map', tasks('isolated-tasks', 'segfault'), '--stdin', '--max-attempts', '1', '--isolation', 'process').end('x');
	t.is(code, 1);
	t.like(parse(stdout)[0], {status: 'dead'});
});

test('files and folders whose names are not UTF-8 are refused, but only if a glob matches them', async t => {
	const folder = folderOfFiles(t, 'a.txt', 'valid \uFFFD.txt');
	const bytes = (...names: readonly string[]) => Buffer.from([folder.path, ...names].join('/'), 'latin1');
	const refused = async (...globs: string[]) => {
		const {code, stdout, stderr} = await folder.faena('map', tasks(TRACES, 'echo'), ...globs).end();
		t.deepEqual([code, stdout], [4, ''], stderr);
		t.regex(stderr, /^faena: The name of the (file|folder) .* is not UTF-8 text, [^\n]+\n$/);
	};
	t.is((await folder.faena('map', tasks(TRACES, 'echo'), '*.txt').end()).code, 0);
	writeFileSync(bytes('bad \xff.jpg'), '');
	writeFileSync(bytes('bad \xfe.jpg'), '');
	await refused('*.jpg');
	await refused('bad \uFFFD.jpg');
	t.is((await folder.faena('map', tasks(TRACES, 'echo'), '*.txt').end()).code, 0);
	// A valid name, which is also what Node reads for the invalid one.
	writeFileSync(bytes('valid \xff.txt'), '');
	await refused('*.txt');
	mkdirSync(bytes('folder \xff'));
	writeFileSync(bytes('folder \xff', 'a.png'), '');
	await refused('**/*.png');
});
