import {existsSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {type Engine, open} from '../../lib/index.ts';
import type {FailureRecord} from '../../lib/job/failure.ts';
import {openQueue, work} from '../../lib/queue.ts';
import {test} from '../fixtures/engine.ts';
import * as tasks from '../fixtures/exec-tasks.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {areAlive, areGone, countAlive, endAll, makeToken, spawnersOf} from '../fixtures/processes.ts';

type Tasks = typeof tasks;

interface Opened {
	readonly faena: Engine<Tasks>;
	/** Ends whatever runs the jobs; running ones are interrupted. */
	close(): Promise<void>;
}

const TASKS = new URL('../fixtures/exec-tasks.ts', import.meta.url);
const SLOW_GRACE = 20_000;

async function openAs(where: string, t: ExecutionContext, grace: number): Promise<Opened> {
	t.timeout(60_000);
	const queue = join(makeFolder(t), 'jobs.db');
	const defaults = {maxAttempts: 1};
	if (where !== 'work()') {
		const faena = await open<Tasks>({queue, tasks: TASKS, isolation: where as 'thread', workers: 2, grace, defaults});
		t.teardown(() => faena.close({drain: 0}));
		return {faena, close: () => faena.close({drain: 0})};
	}
	const [faena, own, end] = [await open<Tasks>({queue, defaults}), await openQueue(queue), new AbortController()];
	const ended = work(own, tasks, {signal: end.signal, concurrency: 2, drain: 0});
	const close = async () => {
		end.abort();
		await ended;
		await own.close();
	};
	t.teardown(async () => {
		await close();
		await faena.close();
	});
	return {faena, close};
}

/** The error with which the task failed. */
async function failureOf(running: Promise<unknown>): Promise<Error & FailureRecord & {readonly code: string; readonly exitCode: number | null}> {
	return (await running.then(
		() => new Error('It completed.'),
		(error: Error) => error.cause,
	)) as never;
}

/** Ways in which a command resists its end, each with the number of processes that have the token. */
const RESISTING: Readonly<Record<string, {readonly processes: number; readonly script: (token: string) => string}>> = {
	'ends by SIGTERM': {processes: 2, script: token => `sleep ${token}; true`},
	'ignores SIGTERM': {processes: 2, script: token => `trap '' TERM HUP INT; while :; do sleep ${token}; done`},
	'has a child in a session of its own': {processes: 3, script: token => `trap '' TERM; setsid sh -c 'sleep ${token}; true'; true`},
	'has forked others': {processes: 4, script: token => `sleep ${token} & sleep ${token} & sleep ${token}; true`},
	'has left one behind that lost its parent': {processes: 3, script: token => `sh -c 'sleep ${token} &'; sleep ${token}; true`},
	// The program `timeout` makes a group of its own.
	'has one in a group of its own that lost its parent': {processes: 4, script: token => `sh -c 'timeout 9999 sleep ${token} &'; sleep ${token}; true`},
	'prints without end': {processes: 2, script: token => `sleep ${token} & yes`},
	'has closed its output': {processes: 2, script: token => `exec >&- 2>&-; sleep ${token}; true`},
	'is stopped': {processes: 1, script: token => `kill -STOP $$; : ${token}`},
	'starts itself anew, again and again': {processes: 1, script: token => `trap '' TERM; while :; do sh -c 'sleep 0.01'; done; : ${token}`},
};

for (const where of ['thread', 'process', 'inline', 'work()']) {
	const law = (title: string, check: (t: ExecutionContext, opened: Opened) => Promise<void>, grace = 100) =>
		test(`${where}: ${title}`, async t => check(t, await openAs(where, t, grace)));

	law('a command gets its arguments as they are, and its output comes back', async (t, {faena}) => {
		const args = ['a b', '', '-n', '--', "it's", '"two"', '$(touch x) `id` $HOME', 'one\ntwo', '*?[a]', '\\', '\u{1F600} é', '{}', '%s', '~', '#'];
		const {stdout, ...rest} = await faena.call('exec', {file: 'sh', args: ['-c', 'for each; do printf "%s\\0" "$each"; done', ...['sh', ...args]]});
		t.deepEqual(String(stdout).split('\0').slice(0, -1), args);
		t.deepEqual(rest, {exitCode: 0, signal: null, stderr: '', cut: {stdout: 0, stderr: 0}});
		const line = await faena.call('exec', {file: 'printf "%s|" "$#" "$1" "$2"', args: ['$(id)', "a'b"], options: {shell: true}});
		t.is(line.stdout, "2|$(id)|a'b|");
	});

	law('an exit code other than 0 and a signal are errors with the end of stderr, unless the task wants to see for itself', async (t, {faena}) => {
		const script = 'echo out; echo first >&2; echo "why  it failed" >&2; exit 7';
		t.like(await failureOf(faena.call('exec', {file: 'sh', args: ['-c', script]})), {
			...{code: 'CommandFailed', exitCode: 7, signal: null, stderr: 'first\nwhy  it failed\n', reason: 'threw'},
			message: 'The command "sh" ended with exit code 7: why  it failed',
		});
		const killed = {file: 'kill -KILL $$', options: {shell: true}} as const;
		t.like(await failureOf(faena.call('exec', killed)), {
			code: 'CommandFailed',
			exitCode: null,
			signal: 'SIGKILL',
			message: 'The command line was ended by SIGKILL.',
		});
		t.like(await faena.call('exec', {...killed, options: {shell: true, reject: false}}), {exitCode: null, signal: 'SIGKILL'});
		t.like(await faena.call('exec', {file: 'sh', args: ['-c', script], options: {reject: false}}), {exitCode: 7, stdout: 'out\n'});
	});

	law('a command that can not be started is an error that says why', async (t, {faena}) => {
		const folder = makeFolder(t);
		const cases: readonly [tasks.Command, RegExp][] = [
			[{file: 'no-such-command'}, /^The command "no-such-command" can't be started: there is no such file/],
			[{file: './x\n$(y)'}, /^The command ".\/x\\n\$\(y\)" can't be started: there is no such file/],
			[{file: folder}, /this user may not execute the file/],
			[{file: 'true', options: {cwd: join(folder, 'gone')}}, /its working directory ".*gone" does not exist\.$/],
			[{file: 'true', options: {cwd: '/dev/null'}}, /its working directory "\/dev\/null" is not a directory\.$/],
			[{file: 'true', args: ['x'.repeat(4e6)]}, /its arguments and environment are longer than the system allows/],
		];
		for (const [command, message] of cases) {
			const error = await failureOf(faena.call('exec', command));
			t.is(error.code, 'CommandNotStarted');
			t.regex(error.message, message);
		}
		t.is((await faena.call('exec', {file: 'echo', args: ['still']})).stdout, 'still\n');
	});

	law('wrong arguments are refused by name', async (t, {faena}) => {
		const cases: readonly [unknown, RegExp][] = [
			[{}, /expects as its file a text/],
			[{file: ''}, /expects as its file a text that is not empty/],
			[{file: 'a\0b'}, /its file a text that is not empty and has no NUL/],
			[{file: 'true', args: 'x'}, /expects as its arguments an array; it got "x"/],
			[{file: 'true', args: ['x', 7]}, /expects as argument 2 a text without a NUL character; it got 7/],
			[{file: 'true', options: {cwd: ''}}, /expects as cwd/],
			[{file: 'true', options: {env: {A: 'a\0'}}}, /the variable A of env a text without a NUL/],
			[{file: 'true', options: {nice: 20}}, /expects as nice a whole number from -20 to 19/],
			[{file: 'true', options: {maxOutput: 0}}, /expects as maxOutput a size/],
			[{file: 'true', options: {inpt: ''}}, /no option "inpt"; did you mean "input"\?/],
		];
		for (const [command, message] of cases) {
			const error = await failureOf(faena.call('exec', command as tasks.Command));
			t.is(error.code, 'BadOption');
			t.regex(error.message, message);
		}
	});

	law('a command has the environment of its worker with the changes, its working directory and its priority', async (t, {faena}) => {
		const folder = makeFolder(t);
		const script = 'printf "%s\\n" "$ADDED"; env | grep -c "^HOME="; env | grep -c "^PATH="; pwd; nice';
		const env = {ADDED: 'a "b"\nc', HOME: undefined};
		const {stdout} = await faena.call('exec', {file: 'sh', args: ['-c', script], options: {cwd: folder, env, nice: 7}});
		t.deepEqual(String(stdout).trimEnd().split('\n'), ['a "b"', 'c', '0', '1', folder, '7']);
		const {stdout: after} = await faena.call('exec', {file: 'sh', args: ['-c', 'env | grep -c "^ADDED="; env | grep -c "^HOME="; true']});
		t.is(after, '0\n1\n');
	});

	law('stdin is empty or the input, also binary and large; a command need not read it', async (t, {faena}) => {
		t.is((await faena.call('exec', {file: 'cat'})).stdout, '');
		t.is((await faena.call('exec', {file: 'cat', options: {input: ''}})).stdout, '');
		t.is((await faena.call('exec', {file: 'cat', options: {input: 'ä\n'}})).stdout, 'ä\n');
		const input = new Uint8Array(3_000_001).map((_, index) => index * 7);
		const {stdout} = await faena.call('exec', {file: 'cat', options: {input, encoding: 'buffer', maxOutput: '4mib'}});
		t.true(Buffer.from(stdout as Uint8Array).equals(input));
		t.is((await faena.call('exec', {file: 'head', args: ['-c', '3'], options: {input}})).stdout, String.fromCharCode(0, 7, 14));
		t.is((await faena.call('exec', {file: 'true', options: {input}})).exitCode, 0);
	});

	law('of a flood of output the first bytes of stdout and the last of stderr are kept, and all of it passes by', async (t, {faena}) => {
		const script = 'head -c 100000000 /dev/zero | tr "\\0" x; printf é; (printf "first"; head -c 2000000 /dev/zero; printf "last") >&2';
		const result = await faena.call('exec', {file: 'sh', args: ['-c', script]});
		t.is(result.stdout.length, 1024 ** 2);
		t.is(result.stderr.length, 1024 ** 2);
		t.true(String(result.stderr).endsWith('\0last'));
		t.deepEqual(result.cut, {stdout: 100_000_002 - 1024 ** 2, stderr: 2_000_009 - 1024 ** 2});
		const {largest, ...counted} = await faena.call('count', {file: 'head', args: ['-c', '50000000', '/dev/zero'], options: {maxOutput: 10}});
		t.deepEqual(counted, {bytes: 50_000_000, cut: {stdout: 49_999_990, stderr: 0}, kept: 10});
		t.true(largest <= 65_536);
	});

	law('64 commands at once, and one after the other, each with its own output', async (t, {faena}) => {
		const commands = Array.from({length: 64}, (_, index) => ({file: 'sh', args: ['-c', `sleep 0.0${index % 10}; echo ${index}; echo e${index} >&2`]}));
		const results = await faena.call('execAll', commands);
		t.deepEqual(
			results.map(({stdout, stderr}) => [stdout, stderr]),
			commands.map((_, index) => [`${index}\n`, `e${index}\n`]),
		);
		const one = await Promise.all(commands.map(command => faena.call('exec', command)));
		t.deepEqual(
			one.map(({stdout}) => stdout),
			commands.map((_, index) => `${index}\n`),
		);
	});

	law('output comes while the command runs, and the task goes on meanwhile', async (t, {faena}) => {
		t.is(await faena.call('converse', join(makeFolder(t), 'flag')), 'ready\nover\n');
	});

	law('the lines of the output are in the log of the job, the last of them if there are many', async (t, {faena}) => {
		const lined = await faena.enqueue('exec', {file: 'sh', args: ['-c', 'printf "one\\n\\ntwo \\nthree\\r\\n 10%%\\r 20%%\\r"; echo oh >&2; printf end']});
		await lined.outcome();
		const lines = (await faena.job(lined.id).info())?.logs?.map(({level, text}) => `${level} ${text}`) ?? [];
		t.deepEqual(lines.toSorted(), ['info end', 'info one', 'info three', 'info two ', 'warn oh']);
		const flood = await faena.enqueue('exec', {file: 'sh', args: ['-c', 'seq 1000000']});
		await flood.outcome();
		const kept = (await faena.job(flood.id).info())?.logs?.map(({text}) => text) ?? [];
		t.deepEqual(
			kept,
			Array.from({length: 200}, (_, index) => String(999_801 + index)),
		);
		const silent = await faena.enqueue('exec', {file: 'echo', options: {log: false}});
		await silent.outcome();
		t.deepEqual((await faena.job(silent.id).info())?.logs ?? [], []);
	});

	law('what a command leaves in its group ends with it; a daemon that has left the session goes on, and does not hold it up', async (t, {faena}) => {
		const [left, daemon] = [makeToken(), makeToken()];
		t.teardown(() => endAll(daemon));
		t.is((await faena.call('exec', {file: 'sh', args: ['-c', `sleep ${left} & echo over`]})).stdout, 'over\n');
		t.is(countAlive(left), 0);
		// It has the pipes of the command.
		t.is((await faena.call('exec', {file: 'sh', args: ['-c', `setsid sleep ${daemon} & sleep 0.2; echo over`]})).stdout, 'over\n');
		t.is(countAlive(daemon), 1);
	});

	law('a command that closes its output early is waited for', async (t, {faena}) => {
		t.like(await failureOf(faena.call('exec', {file: 'sh', args: ['-c', 'echo a; exec >&- 2>&-; sleep 0.2; exit 9']})), {exitCode: 9});
	});

	law('an error of the listener for output kills the command, and is that of the job', async (t, {faena}) => {
		const token = makeToken();
		t.like(await failureOf(faena.call('refuseOutput', token)), {name: 'RangeError', message: 'no such output'});
		t.is(countAlive(token), 0);
		t.like(await failureOf(faena.call('refuseOutputLater', token)), {name: 'RangeError', message: 'no such output'});
		t.is(countAlive(token), 0);
	});

	law('while a task is busy with output, the command waits', async (t, {faena}) => {
		const [file, bytes] = [join(makeFolder(t), 'over'), 20_000_000];
		t.deepEqual(await faena.call('takeSlowly', {file, bytes}), {taken: bytes, hadEnded: false});
	});

	if (where !== 'inline' && where !== 'work()')
		law('a job that forgets to await its command fails, and the command is killed', async (t, {faena}) => {
			const token = makeToken();
			const error = await failureOf(faena.call('forget', token));
			t.is(error.code, 'Closed');
			t.regex(error.message, /has ended, and its commands with it\. Await ctx\.exec\(\)/);
			t.is(countAlive(token), 0);
		});

	law('when one of several commands fails, the others end with the job', async (t, {faena}) => {
		const token = makeToken();
		t.like(await failureOf(faena.call('execAll', [{file: 'sleep', args: [token]}, {file: 'false'}])), {exitCode: 1});
		t.is(countAlive(token), 0);
	});

	law(
		'a command that is asked to stop has the grace to tidy up',
		async (t, {faena}) => {
			const file = join(makeFolder(t), 'file');
			const script = `trap 'sleep 0.2; echo tidy > ${file}; exit' TERM; echo > ${file}.ready; while :; do sleep 0.01; done`;
			const job = await faena.enqueue('exec', {file: 'sh', args: ['-c', script]});
			while (!existsSync(`${file}.ready`)) await new Promise(resolve => setTimeout(resolve, 5));
			await faena.cancel(job.id);
			t.is((await job.outcome()).status, 'cancelled');
			t.is(readFileSync(file, 'utf8'), 'tidy\n');
		},
		SLOW_GRACE,
	);

	law('a job that was asked to stop starts no command', async (t, {faena}) => {
		const [token, file] = [makeToken(), join(makeFolder(t), 'file')];
		const job = await faena.enqueue('insist', {token, file});
		await areAlive(token, 1);
		await faena.cancel(job.id);
		t.is((await job.outcome()).status, 'cancelled');
		t.false(existsSync(file));
	});

	if (process.platform !== 'linux') continue;

	const isWorker = where === 'thread' || where === 'process';
	for (const [way, {processes, script}] of Object.entries(RESISTING).slice(0, isWorker ? Infinity : 3)) {
		law(`nothing of a command that ${way} is alive when its job was cancelled, or has timed out, or was given back`, async (t, {faena, close}) => {
			const token = makeToken();
			t.teardown(() => endAll(token));
			const command = {file: 'sh', args: ['-c', script(token)]};

			const cancelled = await faena.enqueue('exec', command);
			await areAlive(token, processes);
			await faena.cancel(cancelled.id);
			t.is((await cancelled.outcome()).status, 'cancelled');
			t.is(countAlive(token), 0);

			const late = await faena.enqueue('exec', command, {timeout: 500});
			t.like(await late.outcome(), {status: 'dead', error: {reason: 'timedOut'}});
			t.is(countAlive(token), 0);

			await faena.enqueue('exec', command);
			await areAlive(token, processes);
			await close();
			t.is(countAlive(token), 0);
		});
	}

	if (!isWorker) continue;

	law(
		'a worker outlives a command that ignores SIGTERM',
		async (t, {faena}) => {
			const losses: unknown[] = [];
			faena.on('workerLost', loss => losses.push(loss));
			const token = makeToken();
			const job = await faena.enqueue('exec', {file: 'sh', args: ['-c', `trap '' TERM; sleep ${token}; sleep ${token}`]});
			await areAlive(token, 2);
			await faena.cancel(job.id);
			t.is((await job.outcome()).status, 'cancelled');
			t.is((await faena.call('exec', {file: 'echo', args: ['on']})).stdout, 'on\n');
			t.deepEqual(losses, []);
		},
		5000,
	);

	law('nothing of a command is alive when its job computes and was ended with its worker', async (t, {faena}) => {
		const token = makeToken();
		const job = await faena.enqueue('computeBeside', token);
		await areAlive(token, 2);
		await faena.cancel(job.id);
		t.is((await job.outcome()).status, 'cancelled');
		t.is(countAlive(token), 0);
	});

	law('nothing of a command is alive when its job has lost its worker; other commands go on', async (t, {faena}) => {
		const [token, other] = [makeToken(), makeToken()];
		const still = await faena.enqueue('exec', {file: 'sleep', args: [other]});
		await areAlive(other, 1);
		t.like(await failureOf(faena.call('crashBeside', token)), {reason: 'lostWorker'});
		t.is(countAlive(token), 0);
		t.is(countAlive(other), 1);
		await faena.cancel(still.id);
		await still.outcome();
		await areGone(other);
	});
}

test('an engine has no spawner before its first command, and none when it is closed', async t => {
	const {faena, close} = await openAs('thread', t, 100);
	t.deepEqual(spawnersOf(process.pid), []);
	const {stdout} = await faena.call('exec', {file: 'sh', args: ['-c', 'echo $PPID']});
	t.true(spawnersOf(process.pid).includes(Number(stdout)));
	for (let command = 0; command < 10; command++) await faena.call('exec', {file: 'true'});
	t.true(spawnersOf(process.pid).length <= 2);
	await close();
	t.deepEqual(spawnersOf(process.pid), []);
});
