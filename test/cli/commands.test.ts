/** `faena map --sh` with real commands. What it makes of a template: `sh.test.ts`. */
import {chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync} from 'node:fs';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import type {ExecutionContext} from 'ava';
import test from 'ava';
import {openQueue} from '../../lib/queue.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {assertSentence, type Ended, FAENA, Folder, type Program, parse} from './command.ts';

const sh = (folder: Folder, command: string, ...words: readonly string[]): Program => folder.faena('map', '--quiet', '--sh', command, ...words);

function read(folder: Folder, name: string): string {
	return readFileSync(join(folder.path, name), 'utf8');
}

function assertDone(t: ExecutionContext, {code, stdout, stderr}: Ended, expected: string): void {
	t.is(code, 0, stderr);
	t.is(stdout, expected);
}

test('the output of each command is printed as a whole, stdout to stdout and stderr to stderr, and with -k in order', async t => {
	const command = 'echo {} begins; echo to stderr {} >&2; echo {} ends';
	const {code, stdout, stderr} = await sh(new Folder(t), command, '-k', '-j', '2', ':::', 'a', 'b', 'c').end();
	t.is(code, 0);
	t.is(stdout, 'a begins\na ends\nb begins\nb ends\nc begins\nc ends\n');
	t.regex(stderr, /^to stderr a\nto stderr b\nto stderr c\nfaena: 3 completed, in /);
});

test('bytes go through as they are, and again when the run is repeated', async t => {
	const folder = new Folder(t);
	const command = ": {}; printf '\\377\\000\\001'";
	for (let times = 0; times < 2; times++) {
		const program = sh(folder, command, ':::', 'x');
		program.child.stdout.setEncoding('latin1');
		assertDone(t, await program.end(), '\xff\x00\x01');
	}
});

test('hostile names reach the command as they are, with a shell and without', async t => {
	const folder = new Folder(t);
	const names = ['p q', "it's", '-n', '--', '$(touch pwned)', '`touch pwned`', 'a\nb', '*', '"; touch pwned; "', 'ä', '{}', '\\', "'$(touch pwned)'"];
	mkdirSync(join(folder.path, 'in'));
	for (const name of names) folder.write(`in/${name}`, name);
	const input = `${names.map(name => `in/${name}`).join('\0')}\0`;
	for (const command of ['cat {}', 'cat {} | cat', 'cat "{}" | cat', "cat '{}' | cat", 'for f in {}; do cat "$f"; done'])
		assertDone(t, await sh(folder, command, '-0', '-k').end(input), names.join(''));
	t.deepEqual(
		readdirSync(folder.path).filter(name => name === 'pwned'),
		[],
	);
});

test('a command that fails is dead at once, its output is printed, and --retries tries again', async t => {
	const folder = new Folder(t);
	const command = 'echo out {}; echo why >&2; echo x >> tries; exit {}';
	const failed = await sh(folder, command, '-k', ':::', '0', '7').end();
	t.is(failed.code, 1);
	t.is(failed.stdout, 'out 0\nout 7\n');
	t.regex(failed.stderr, /^why\nwhy\nfaena: 1 completed, 1 dead, in .* Why: faena show 2 /);
	t.is(read(folder, 'tries'), 'x\nx\n');
	t.regex((await folder.faena('show', '2').end()).stdout, /The command ended with exit code 7: why/);
	t.is((await sh(folder, command, '-k', ':::', '0', '7').end()).stdout, 'out 0\nout 7\n');
	t.is(read(folder, 'tries'), 'x\nx\n');
	const again = await sh(folder, command, '-k', '--retry-failed', '--retries', '2', ':::', '0', '7').end();
	t.is(again.code, 1);
	// By the flags of this run.
	t.is(read(folder, 'tries').length, 4 * 2);
	const other = await sh(folder, command, '--retries', '2', ':::', '8').end();
	t.is(other.code, 1);
	t.is(read(folder, 'tries').length, 6 * 2);
});

test('a command that is not there says so, and one that a signal ends', async t => {
	const folder = new Folder(t);
	const missing = await sh(folder, 'no-such-program {}', ':::', 'a').end();
	t.is(missing.code, 1);
	t.regex(missing.stderr, /^faena: a: The command "no-such-program" can't be started: there is no such file/m);
	const killed = await sh(folder, ': {}; kill -9 $$', ':::', 'a').end();
	t.is(killed.code, 1);
	t.regex((await folder.faena('show', '2').end()).stdout, /The command was ended by SIGKILL/);
});

test("--joblog has the columns of GNU parallel's, a line for each job that ran, and is continued", async t => {
	const folder = new Folder(t);
	const run = (...items: readonly string[]) => sh(folder, 'printf 12345; exit {}', '-k', '--joblog', 'log', ':::', ...items).end();
	const start = Date.now() / 1000;
	await run('0', '3');
	await run('0', '3', '0');
	const [head, ...lines] = read(folder, 'log')
		.trimEnd()
		.split('\n')
		.map(line => line.split('\t'));
	t.deepEqual(head, ['Seq', 'Host', 'Starttime', 'JobRuntime', 'Send', 'Receive', 'Exitval', 'Signal', 'Command']);
	t.deepEqual(
		lines.map(([seq, host, , , send, receive, exit, signal, command]) => [seq, host, send, receive, exit, signal, command]),
		[
			['1', ':', '0', '5', '0', '0', 'printf 12345; exit 0'],
			['2', ':', '0', '5', '3', '0', 'printf 12345; exit 3'],
			['3', ':', '0', '5', '0', '0', 'printf 12345; exit 0'],
		],
	);
	for (const [, , at, seconds] of lines) t.true(Number(at) >= start - 1 && Number(at) <= Date.now() / 1000 && /^ *\d+\.\d{3}$/.test(seconds ?? ''));
	const refused = await sh(folder, 'true {}', '--joblog', 'no/log', ':::', 'a').end();
	t.deepEqual([refused.code, refused.stdout], [2, '']);
	t.regex(refused.stderr, /The job log no\/log can't be written/);
});

test('--joblog of a task has 0 for a result, of any kind, and 1 for an error', async t => {
	const folder = new Folder(t);
	folder.write('tasks.mjs', 'export const kinds = n => { if (n === 5) throw new Error("x"); return [null, 1, "a", {signal: "SIGKILL"}, [1]][n]; };');
	const {code, stderr} = await folder.faena('map', './tasks.mjs#kinds', '--joblog', 'log', '--max-attempts', '1', '--range', '0..5').end();
	t.is(code, 1, stderr);
	const [, ...lines] = read(folder, 'log').trimEnd().split('\n');
	t.deepEqual(
		lines.map(line => [line.split('\t')[8], line.split('\t')[6]]).sort(),
		[0, 1, 2, 3, 4, 5].map(n => [`./tasks.mjs#kinds ${n}`, n === 5 ? '1' : '0']),
	);
});

test('a command without a reader of stderr, that was slow before, prints its stdout', async t => {
	const folder = new Folder(t);
	const command = `'${process.execPath}' '${FAENA}' map -j2 --sh 'head -c 600000 /dev/zero >&2; echo {}' ::: a b c`;
	const {code, stdout} = await folder.sh(`{ ${command} 2>&1 >out | { sleep 1; head -c 10 >/dev/null; }; }; sort out`).end();
	t.deepEqual([code, stdout], [0, 'a\nb\nc\n']);
});

test('--line-buffer goes on without a reader of stderr', async t => {
	const folder = new Folder(t);
	const command = `'${process.execPath}' '${FAENA}' map --line-buffer -j2 --sh 'seq 300000 >&2; echo {}' ::: a b c`;
	const {code, stdout} = await folder.sh(`{ ${command} 2>&1 >out | head -c 10 >/dev/null; }; sort out`).end();
	t.deepEqual([code, stdout], [0, 'a\nb\nc\n']);
});

test('--results writes all output to files, also what is too much to keep', async t => {
	const folder = new Folder(t);
	const inputs = [':::', 'a/b', '..', ':::', '1'];
	const write = (...flags: readonly string[]) => sh(folder, 'head -c 6000000 /dev/zero | tr "\\0" x; echo err {2} >&2', ...flags, ...inputs).end();
	for (const _ of ['first', 'again']) {
		const {code, stdout, stderr} = await write('--results', 'out');
		t.deepEqual([code, stdout.length], [0, 12_000_000]);
		t.notRegex(stderr, /not kept/);
	}
	t.regex((await write()).stderr, /Of the output of a\/b 1 the last \d+ bytes of stdout were not kept\. To have all of it: --results FOLDER --fresh all\./);
	for (const name of ['a\\_b', '\\..']) {
		t.is(read(folder, `out/1/${name}/2/1/stdout`).length, 6_000_000);
		t.is(read(folder, `out/1/${name}/2/1/stderr`), 'err 1\n');
	}
});

test('--results has what the job has, not what an earlier run of the item left there', async t => {
	const folder = new Folder(t);
	const run = (...flags: readonly string[]) => sh(folder, 'cat {}', ...flags, 'x').end();
	folder.write('x', 'one');
	await run('--results', 'out');
	folder.write('x', 'two');
	assertDone(t, await run(), 'two');
	assertDone(t, await run('--results', 'out'), 'two');
	t.is(read(folder, 'out/1/x/stdout'), 'two');
});

test('--results leaves a file as it is that has all of a stored output, and what a command had said that was stopped', async t => {
	const folder = new Folder(t);
	const run = () => sh(folder, 'echo {}; [ {} = ends ] || sleep 30', '--results', 'out', '--timeout', '2s', ':::', 'ends', 'hangs').end();
	const files = ['ends', 'hangs'].map(item => join(folder.path, 'out/1', item, 'stdout'));
	t.is((await run()).code, 1);
	const before = files.map(file => statSync(file).mtimeMs);
	t.regex((await run()).stderr, /1 dead/);
	t.deepEqual(
		files.map(file => statSync(file).mtimeMs),
		before,
	);
	t.deepEqual(
		files.map(file => readFileSync(file, 'utf8')),
		['ends\n', 'hangs\n'],
	);
});

test('--line-buffer passes a line on in parts that is longer than fits in memory, with one label', async t => {
	const folder = new Folder(t);
	const command = `'${process.execPath}' '${FAENA}' map --quiet --sh 'head -c 50000000 /dev/zero | tr "\\0" x; : {}' --tag --line-buffer ::: a`;
	const {stdout} = await folder.sh(`${command} | tr -d x | od -An -c`).end();
	t.is(stdout.replace(/\s+/g, ' ').trim(), 'a \\t \\n');
});

test('a job log is not a pipe, which nobody may read, and a line that was torn is ended', async t => {
	const folder = new Folder(t);
	await folder.sh('mkfifo pipe').end();
	assertSentence(t, await sh(folder, 'true', '--joblog', 'pipe', ':::', 'a').end(), /The job log pipe can't be written: it is a pipe/);
	folder.write('log', 'torn');
	await sh(folder, 'true', '--joblog', 'log', ':::', 'a').end();
	t.regex(read(folder, 'log'), /^torn\n1\t:\t/);
});

test('the output of a command that is no text is passed on, and the end of what a failed one said, in any script', async t => {
	const folder = new Folder(t);
	const zeros = await sh(folder, 'head -c 3000000 /dev/zero; : {}', ':::', 'a').end();
	t.deepEqual([zeros.code, zeros.stdout.length], [0, 3_000_000]);
	const failed = await sh(folder, 'for each in $(seq 5000); do echo "$each 日本語日本語"; done; exit 3; : {}', ':::', 'a').end();
	t.is(failed.code, 1);
	t.true(failed.stdout.endsWith('5000 日本語日本語\n') && failed.stdout.length > 1000, failed.stderr);
	const again = await sh(folder, 'for each in $(seq 5000); do echo "$each 日本語日本語"; done; exit 3; : {}', ':::', 'a').end();
	t.true(again.stdout.endsWith('5000 日本語日本語\n') && again.stdout.length < 10_000);
	t.regex(again.stderr, /the first \d+ bytes of stdout were not kept\. To have all of it: --results FOLDER --retry-failed\./);
});

test('an output is printed as a whole, also if it is more than the job keeps, and nothing of it stays', async t => {
	const folder = new Folder(t);
	const temporary = makeFolder(t);
	const numbers = (to: number, lead: string) => Array.from({length: to}, (_, index) => `${lead}${index + 1}\n`).join('');
	for (const [flags, lead] of [
		[['-k'], ''],
		[['--tag', '--line-buffer', '-k'], 'a\t'],
	] as const) {
		const command = `TMPDIR='${temporary}' '${process.execPath}' '${FAENA}' map --fresh all ${flags.join(' ')} --sh`;
		const done = await folder.sh(`${command} 'seq 900000; seq 3 >&2; : {}' ::: a`).end();
		t.is(done.code, 0, done.stderr);
		t.true(done.stdout === numbers(900_000, lead) && done.stderr.includes(numbers(3, lead)));
		const failed = await folder.sh(`${command} 'seq 20000; exit 3; : {}' ::: a`).end();
		t.true(failed.code === 1 && failed.stdout === numbers(20_000, lead));
		t.notRegex(done.stderr + failed.stderr, /not kept/);
	}
	t.deepEqual(readdirSync(temporary), []);
	t.deepEqual(readdirSync(folder.path).toSorted(), ['faena.db', 'trace']);
});

test('outputs that wait for their printing are beside the queue, and the next run removes those of one that was killed', async t => {
	const folder = new Folder(t);
	const waiting = () => readdirSync(folder.path).filter(name => name.endsWith('-output'));
	const run = () => sh(folder, 'if [ {} = 1 ]; then until [ -e go ]; do sleep 0.05; done; fi; seq 900000', '-k', '-j', '2', ':::', '1', '2');
	const killed = run();
	while (!waiting().some(name => statSync(join(folder.path, name, '2.stdout'), {throwIfNoEntry: false}))) await sleep(20);
	killed.child.kill('SIGKILL');
	await killed.end();
	t.regex(waiting().join(), /^faena\.db-owner-[\w-]+-output$/);
	const [output = ''] = waiting().map(name => join(folder.path, name));
	t.deepEqual(
		[output, join(output, '2.stdout')].map(path => statSync(path).mode & 0o777),
		[0o700, 0o600],
	);
	folder.write('go');
	const {code, stderr} = await run().end();
	t.is(code, 0, stderr);
	t.deepEqual(waiting(), []);
});

test('other variables are another run, and so are other items, though the command is the same', async t => {
	const folder = new Folder(t);
	const run = (...words: readonly string[]) => sh(folder, 'echo $Q {}', ...words).end();
	assertDone(t, await run('--env', 'Q=80', ':::', 'a'), '80 a\n');
	assertDone(t, await run('--env', 'Q=50', ':::', 'a'), '50 a\n');
	assertDone(t, await run('--env', 'Q=50', '--range', '1..2', '-k'), '50 1\n50 2\n');
	const {stdout} = await folder.faena('list', '--json').end();
	const tasks = new Set(
		stdout
			.trim()
			.split('\n')
			.map(line => (JSON.parse(line) as {task: string}).task),
	);
	t.is(tasks.size, 3);
	t.notRegex((await folder.faena('batches').end()).stdout, /Q=/);
});

test('a command that a real-time signal ended has failed if its shell looks at it', async t => {
	const {code, stderr} = await sh(new Folder(t), `sh -c 'kill -40 $$' {}; exit $?`, ':::', 'a').end();
	t.is(code, 1);
	t.regex(stderr, /1 dead/);
});

test('a variable that is named without a value is passed on, and makes no other run', async t => {
	const folder = new Folder(t);
	const run = (...words: readonly string[]) => sh(folder, 'echo $TRACE {}', ...words, ':::', 'a').end();
	assertDone(t, await run(), `${folder.trace} a\n`);
	for (const words of [
		['--env', 'PATH'],
		['--env', 'TRACE', '--env', 'HOME'],
	]) {
		t.regex((await run(...words, '--dry-run')).stderr, /0 of 1/);
		t.regex((await run(...words)).stderr, /1 of these from an earlier run/);
	}
	t.regex((await run('--env', 'Q=1', '--env', 'PATH', '--dry-run')).stderr, /1 of 1/);
});

test('an absolute glob gives absolute paths, also with --workdir; outputs of an earlier run are written where --results says now', async t => {
	const folder = new Folder(t);
	mkdirSync(join(folder.path, 'sub'));
	folder.write('a.txt');
	const run = (...flags: readonly string[]) => sh(folder, 'cat {}', '--workdir', 'sub', join(folder.path, '*.txt'), ...flags).end();
	assertDone(t, await run(), 'a.txt');
	assertDone(t, await run('--results', 'out'), 'a.txt');
	t.is(read(folder, `out/1/${join(folder.path, 'a.txt').replaceAll('/', '\\_')}/stdout`), 'a.txt');
});

test('--tag begins each line with the item; --line-buffer prints lines while the command runs', async t => {
	const folder = new Folder(t);
	assertDone(t, await sh(folder, 'echo 1; echo; printf 2', '--tag', '-k', ':::', 'a b', 'c').end(), 'a b\t1\na b\t\na b\t2c\t1\nc\t\nc\t2');
	assertDone(t, await sh(folder, "printf 'x\\r\\ny\\n'", '--tag', ':::', "it$'s $$").end(), "it$'s $$\tx\r\nit$'s $$\ty\n");
	const bytes = `'${process.execPath}' '${FAENA}' map --sh "printf '\\\\351\\\\n'" --tag ::: ä | od -An -tx1`;
	for (const flag of ['', '--line-buffer --fresh all']) t.is((await folder.sh(bytes.replace('--tag', `--tag ${flag}`)).end()).stdout.trim(), 'c3 a4 09 e9 0a');
	const program = sh(folder, 'echo one {}; while [ ! -e go ]; do sleep 0.05; done; printf two', '--tag', '--line-buffer', ':::', 'x');
	t.deepEqual(await program.firstLines(1), ['x\tone x']);
	folder.write('go');
	assertDone(t, await program.end(), 'x\tone x\nx\ttwo\n');
});

test('--json prints a line of JSON for each result, with --times also when and how long it ran', async t => {
	const folder = new Folder(t);
	const {stdout} = await sh(folder, 'echo {}', '--json', '--times', ':::', 'a').end();
	const [line] = parse(stdout) as unknown as [Record<string, unknown>];
	t.like(line, {key: 'a', item: 'a', jobId: 1, status: 'completed', attempt: 1, result: {exitCode: 0, stdout: 'a\n', stderr: ''}});
	t.true(Number(line['durationMs']) > 0 && !Number.isNaN(Date.parse(String(line['startedAt']))));
	t.is('cpuMs' in line, 'threadCpuUsage' in process);
});

test('--workdir, --env, --nice and --memory are those of the commands', async t => {
	const folder = new Folder(t);
	mkdirSync(join(folder.path, 'sub'));
	const command = 'echo "$(basename "$PWD") $GIVEN $TRACE $(nice) {}"';
	const flags = ['--workdir', 'sub', '--env', 'GIVEN=a b', '--env', 'TRACE', '--nice', '5', '--memory', '1mib'];
	assertDone(t, await sh(folder, command, ...flags, ':::', 'x').end(), `sub a b ${folder.trace} 5 x\n`);
	const cases: readonly (readonly [flags: readonly string[], words: RegExp])[] = [
		[['--workdir', 'none'], /no folder none, which --workdir names/],
		[['--results', 'trace'], /--results expects a folder, which is made if need be; trace is none/],
		[['--env', '=x'], /NAME=VALUE/],
		[['--env', 'NO_SUCH_VARIABLE_AT_ALL'], /no variable "NO_SUCH_VARIABLE_AT_ALL"/],
		[['--nice', '99'], /from -20 \(first\) to 19/],
		[['--memory', '5'], /size with its unit/],
		[['-j', '0'], /a share of the processors such as 80%/],
		[['-j', '+5%'], /a share of the processors such as 80%/],
		[['--halt', 'now,ended=1'], /now or soon, then fail, success or done/],
		[['--delay', '5'], /time with its unit/],
	];
	for (const [wrong, words] of cases) assertSentence(t, await sh(folder, command, ...wrong, ':::', 'x').end(), words);
	for (const flag of ['--tag', '--line-buffer', '--results=x', '--workdir=.', '--memory=1kib'])
		assertSentence(t, await folder.faena('map', './tasks.mjs#f', flag, ':::', 'x').end(), /is for the commands of --sh; a task is a function/);
});

test('-j takes a number, a share of the processors, and so many more or fewer; {%} is one of them', async t => {
	const folder = new Folder(t);
	for (const [given, most] of [
		['3', 3],
		['1', 1],
		['100%', Infinity],
		['+1', Infinity],
		['-1', Infinity],
	] as const) {
		const {code, stdout, stderr} = await sh(folder, `: {} ${given}; echo {%}; sleep 0.05`, '-j', given, '--range', '1..8').end();
		t.is(code, 0, stderr);
		const slots = stdout.trim().split('\n').map(Number);
		t.true(slots.length === 8 && slots.every(slot => slot >= 1 && slot <= most), stdout);
	}
});

test('--halt ends the run after so many ends; --delay puts time between starts; --weight runs the longest first', async t => {
	const folder = new Folder(t);
	const halted = await sh(folder, 'echo {}', '-j', '1', '--halt', 'soon,done=2', '--range', '1..5000').end();
	t.is(halted.code, 0, halted.stderr);
	t.true(halted.stdout.split('\n').length < 5000);
	const start = performance.now();
	assertDone(t, await sh(folder, 'echo {}', '-k', '-j', '4', '--delay', '300ms', ':::', 'a', 'b', 'c').end(), 'a\nb\nc\n');
	t.true(performance.now() - start >= 600);
	const records = [1, 3, 2].map(size => JSON.stringify({size})).join('\n');
	assertDone(t, await sh(folder, 'echo {size}', '-j', '1', '--ndjson', '--weight', 'size').end(records), '3\n2\n1\n');
	const wrong = await sh(folder, 'echo {size}', '-j', '1', '--ndjson', '--weight', 'none').end(records);
	t.regex(wrong.stderr, /--weight expects a number in the field none of each item; item 1 has undefined/);
});

test('the command is never read from the queue: what another program writes there runs nothing else', async t => {
	const folder = new Folder(t);
	const run = () => sh(folder, 'echo {}', '-k', ':::', 'a').end();
	assertDone(t, await run(), 'a\n');
	const hostile = ['["$(touch pwned)"]', '["`touch pwned`; touch pwned"]', '"touch pwned"', '{"sh":"touch pwned"}', '[{"file":"touch","args":["pwned"]}]'];
	for (const payload of hostile) {
		const queue = await openQueue(join(folder.path, 'faena.db'));
		await queue.enqueue([{task: 'sh-ffffffffffff', payload}]);
		await queue.retry({ids: [1], status: 'completed'});
		t.true(await queue.edit(1, {payload}));
		await queue.close();
		// The engine may run it as it is, before the map gives it the item's own value again.
		await run();
		assertDone(t, await run(), 'a\n');
	}
	t.deepEqual(
		readdirSync(folder.path).filter(name => name.includes('pwned')),
		[],
	);
	t.is((await folder.faena('list', '--status', 'pending').end()).stdout.trim().split('\n').length, hostile.length);
});

test('killed and started again, a run does all that is left, and no command outlives it', async t => {
	const folder = new Folder(t);
	folder.write('work', '#!/bin/sh\necho "$1 $$" >> begun\nsleep 0.02\necho "$1" >> ended\n');
	chmodSync(join(folder.path, 'work'), 0o755);
	const run = () => sh(folder, './work {}', '-j', '2', '--range', '1..120');
	const lines = (name: string) => (existsSync(join(folder.path, name)) ? read(folder, name).trim().split('\n').filter(Boolean) : []);
	for (let kill = 1; kill <= 3; kill++) {
		const program = run();
		while (lines('ended').length < kill * 20) await sleep(5);
		// Not its process group: only the engine's own process.
		process.kill(program.child.pid as number, 'SIGKILL');
		await program.end();
	}
	const {code, stderr} = await run().end();
	t.is(code, 0, stderr);
	const ended = lines('ended').map(Number);
	t.is(new Set(ended).size, 120);
	// What had ended when its run was killed, and was not settled yet, is done again.
	t.true(ended.length < 2 * 120, `${ended.length}`);
	for (const line of lines('begun')) t.throws(() => process.kill(Number(line.split(' ')[1]), 0), {code: 'ESRCH'}, line);
});
