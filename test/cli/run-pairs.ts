/**
 * Pairs of runs of `faena map` on one queue: the second differs from the first in one thing, begins while it runs or afterwards, and the first may be
 * interrupted half-way. Whatever they do to each other, each item's result is from its own code, folder and environment.
 */
import {mkdirSync, readFileSync, realpathSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {type Ended, FAENA, Folder, type Program, parse} from './command.ts';

const DIFFERENCES = ['nothing', 'module', 'folder', 'env', 'options', 'input', 'version'] as const;
const WHENS = ['at once', 'afterwards'] as const;
const ENDS = ['not interrupted', 'SIGINT', 'SIGKILL'] as const;

export interface PairOfRuns {
	/** What of the second run is another. */
	readonly differs: (typeof DIFFERENCES)[number];
	readonly when: (typeof WHENS)[number];
	/** What becomes of the first run, after two of its items. */
	readonly end: (typeof ENDS)[number];
}

export const PAIRS_OF_RUNS: readonly PairOfRuns[] = DIFFERENCES.flatMap(differs => WHENS.flatMap(when => ENDS.map(end => ({differs, when, end}))));

export function describePair({differs, when, end}: PairOfRuns): string {
	return `${differs} differs, ${when}, the first ${end === 'not interrupted' ? end : `ended by ${end}`}`;
}

/** Its items wait, from the third on, until the file `go` is there. */
const module = (code: string) => `
	import {appendFileSync, existsSync, realpathSync} from 'node:fs';
	import {setTimeout as sleep} from 'node:timers/promises';
	export async function run(item) {
		const by = ['${code}', realpathSync('.'), process.env.MODE ?? ''].join(' ');
		appendFileSync(process.env.TRACE, item + ' ' + by + '\\n');
		while (Number(item) > 2 && !existsSync(process.env.TRACE + '.go')) await sleep(5);
		return by;
	}`;

const QUEUE = 'jobs.db';
const FIRST = ['1', '2', '3', '4', '5', '6'];
const OTHER = ['1', '2', '5', '7'];

/** One of the two runs: how it is started, and how what it executes names itself. */
interface Run {
	readonly start: () => Program;
	readonly input: readonly string[];
	readonly by: string;
}

/** The runs of a batch take over what the other has left. Others have nothing to do with each other. */
const SHARE_A_BATCH: ReadonlySet<string> = new Set<PairOfRuns['differs']>(['nothing', 'options', 'input', 'version']);

/** Does a pair of runs, and then the first again, and checks what each has printed and which code has run, and how often. */
export async function checkPair(t: ExecutionContext, pair: PairOfRuns): Promise<void> {
	const {differs, when, end} = pair;
	const folder = new Folder(t);
	const [first, second] = runsOf(folder, differs);
	const isShared = SHARE_A_BATCH.has(differs);
	const program = first.start();
	program.child.stdin.end(first.input.join('\n'));
	await program.printed(2);

	if (when === 'at once') await checkAtOnce();
	else await checkAfterwards();

	// Each item that any run has named is there once, by the code that was to make it; what has ended is not executed again.
	const before = executions(folder);
	const again = await run(first);
	t.is(again.code, 0, again.stderr);
	const lines = parse(again.stdout);
	t.deepEqual(lines.map(({key}) => key).sort(), [...first.input].sort());
	if (!isShared) t.deepEqual(new Set(lines.map(({result}) => result)), new Set([first.by]));
	checkExecutions(before);

	async function checkAtOnce(): Promise<void> {
		if (isShared) {
			// The batch has a run under way: a second is refused, and changes nothing.
			if (differs === 'version') writeVersion(folder);
			const refused = await run(second);
			t.not(refused.code, 0);
			t.regex(refused.stderr, /has a running map already/);
			t.is(refused.stdout, '');
			await endFirst();
			return;
		}
		const beside = second.start();
		beside.child.stdin.end(second.input.join('\n'));
		await beside.printed(2);
		await endFirst();
		checkWhole(await beside.end(), second);
	}

	async function checkAfterwards(): Promise<void> {
		await endFirst();
		if (differs === 'version') writeVersion(folder);
		const ended = await run(second);
		if (!isShared) return checkWhole(ended, second);
		checkContinued(t, pair, ended, first, second);
		// It did not start what it has not named.
		if (differs === 'input' && end !== 'not interrupted') t.false(executions(folder).some(line => line.startsWith('6 ')));
		if (differs === 'options' && end !== 'not interrupted') {
			const jobs = parse((await folder.faena('list', '--json', '--queue', QUEUE).end()).stdout) as unknown as {readonly maxAttempts: number}[];
			t.true(jobs.filter(({maxAttempts}) => maxAttempts === 5).length >= 3, JSON.stringify(jobs));
			t.true(jobs.filter(({maxAttempts}) => maxAttempts === 3).length >= 2, JSON.stringify(jobs));
		}
	}

	/** Lets the first run end by itself, or ends it half-way. */
	async function endFirst(): Promise<void> {
		if (end === 'SIGKILL') {
			const {code} = await program.kill();
			t.is(code, 137);
			// A run afterwards must not wait; one beside it may go on only now.
			go(folder);
			return;
		}
		if (end === 'SIGINT') {
			const stopping = new Promise<void>(resolve => program.child.stderr.on('data', text => /stopping/.test(String(text)) && resolve()));
			program.child.kill('SIGINT');
			await stopping;
		}
		go(folder);
		const ended = await program.end();
		if (end === 'SIGINT') t.is(ended.code, 130, ended.stderr);
		else checkWhole(ended, first);
	}

	function checkWhole({code, stdout, stderr}: Ended, {input, by}: Run): void {
		t.is(code, 0, stderr);
		t.deepEqual(
			parse(stdout)
				.map(({key, result}) => [key, result])
				.sort(),
			input.map(key => [key, by]),
		);
	}

	/** How often each run has executed each item: once, or one more time what was killed. */
	function checkExecutions(before: readonly string[]): void {
		const lines = executions(folder);
		const counts = Map.groupBy(lines, line => line);
		const repeated = [...counts].filter(([, times]) => times.length > 1);
		t.true(
			repeated.length === 0 || (end === 'SIGKILL' && repeated.every(([line, times]) => times.length === 2 && Number(line.split(' ')[0]) > 2)),
			lines.join('\n'),
		);
		const known = new Set([first, second].map(({by}) => by));
		t.true(
			lines.every(line => known.has(line.slice(line.indexOf(' ') + 1))),
			lines.join('\n'),
		);
		// The last run had only to do what was left.
		t.true(lines.length - before.length <= first.input.length - 2, lines.join('\n'));
		if (!isShared) t.deepEqual(new Set(lines.filter(line => line.endsWith(second.by) && second.by !== first.by)).size, second.input.length);
	}
}

/** The second run of a batch: what has ended is as the first has made it, and the rest is its own; it tells of what it has not named. */
function checkContinued(t: ExecutionContext, {differs, end}: PairOfRuns, {code, stdout, stderr}: Ended, first: Run, second: Run): void {
	const isShort = differs === 'input' && end !== 'not interrupted';
	t.is(code, isShort ? 4 : 0, stderr);
	if (isShort) {
		t.regex(stderr, /An earlier run left .* unfinished\./);
		t.regex(stderr, /unfinished items? of an earlier run (is|are) not in this input, and stays? held/);
	}
	const lines = parse(stdout);
	t.deepEqual(lines.map(({key}) => key).sort(), [...second.input].sort());
	for (const {key, result, reused = false} of lines) {
		t.is(result, reused ? first.by : second.by);
		if (key === '1' || key === '2') t.true(reused);
	}
}

function runsOf(folder: Folder, differs: PairOfRuns['differs']): readonly [Run, Run] {
	writeFileSync(join(folder.path, 'a.mjs'), module('a'));
	writeFileSync(join(folder.path, 'b.mjs'), module('b'));
	mkdirSync(join(folder.path, 'sub'));
	const at = realpathSync(folder.path);
	const words = ['--stdin', '--queue', join(folder.path, QUEUE), '-j', '1', '--drain', '20s'];
	const path = join(folder.path, 'a.mjs#run');
	const plain: Run = {start: () => folder.faena('map', path, ...words), input: FIRST, by: `a ${at} `};
	const others: Readonly<Record<PairOfRuns['differs'], Partial<Run>>> = {
		nothing: {},
		module: {start: () => folder.faena('map', join(folder.path, 'b.mjs#run'), ...words), by: `b ${at} `},
		folder: {
			start: () => folder.sh(`cd sub && exec ${[process.execPath, FAENA, 'map', path, ...words].map(word => `'${word}'`).join(' ')}`),
			by: `a ${join(at, 'sub')} `,
		},
		env: {start: () => folder.faena('map', path, ...words, '--env', 'MODE=test'), by: `a ${at} test`},
		options: {start: () => folder.faena('map', path, ...words, '--timeout', '1h', '--max-attempts', '5')},
		input: {input: OTHER},
		version: {by: `a2 ${at} `},
	};
	return [plain, {...plain, ...others[differs]}];
}

function run({start, input}: Run): Promise<Ended> {
	return start().end(input.join('\n'));
}

function go(folder: Folder): void {
	writeFileSync(`${folder.trace}.go`, '');
}

function writeVersion(folder: Folder): void {
	writeFileSync(join(folder.path, 'a.mjs'), module('a2'));
}

function executions(folder: Folder): string[] {
	return readFileSync(folder.trace, 'utf8').split('\n').filter(Boolean);
}
