import {once} from 'node:events';
import {existsSync, readdirSync} from 'node:fs';
import {constants} from 'node:os';
import {join} from 'node:path';
import test from 'ava';
import type {ClaimFigures} from '../../bench/short/claims.ts';
import type {OwnTaskFigures} from '../../bench/short/own-task.ts';
import {assertSentence, Folder} from './command.ts';

/** One case, with few jobs: these tests don't check the figures. */
const BRIEF = ['bench', '--trial', 'call', '--blocks', '1', '--jobs', '20'] as const;

interface Found {
	readonly callMs?: {readonly median: number; readonly count: number};
	readonly fsyncMs: number;
	readonly fsyncLooksReal: boolean;
	readonly bulkRate?: unknown;
	readonly discarded: readonly {readonly trial: string; readonly discarded: string}[];
}

test('bench measures, and leaves nothing in the folder', async t => {
	const folder = new Folder(t);
	const {code, stdout, stderr} = await folder.faena(...BRIEF, '--json').end();
	t.is(code, 0, stdout + stderr);
	const found: Found = JSON.parse(stdout);
	// Other tests may disturb each measurement. Then the report says so, and has no figure.
	if (found.discarded.length < 3) t.true((found.callMs?.median ?? 0) > 0 && found.callMs?.count === 1);
	else t.is(found.callMs, undefined);
	t.deepEqual(
		found.discarded.filter(({discarded}) => !/^the spin drifted by \d+ %$|^\d+ % of the time was stolen$/.test(discarded)),
		[],
	);
	t.true(found.fsyncMs > 0);
	t.is(found.fsyncLooksReal, found.fsyncMs >= 0.02);
	t.is(found.bulkRate, undefined);
	t.deepEqual(readdirSync(folder.path), ['trace']);
});

test('dequeue measures claims alone, as JSON', async t => {
	t.timeout(400_000);
	const folder = new Folder(t);
	const {code, stdout, stderr} = await folder.faena('bench', 'dequeue', '--blocks', '1', '--jobs', '200', '--json').end();
	t.is(code, 0, stdout + stderr);
	const {claims, discarded} = JSON.parse(stdout) as {claims: readonly ClaimFigures[]; discarded: readonly {readonly discarded: string}[]};
	t.deepEqual(
		discarded.filter(({discarded}) => discarded.startsWith('void')),
		[],
	);
	t.is(claims.length, 8);
	// Other tests may disturb each measurement. Its row then has no figures.
	for (const {jobsPerSecond, claimP50Ms, claimP99Ms, cpuMicros} of claims.filter(each => each.jobsPerSecond !== undefined)) {
		t.true((jobsPerSecond?.median ?? 0) > 0 && (cpuMicros?.median ?? 0) > 0);
		t.true((claimP50Ms?.median ?? 0) > 0 && (claimP50Ms?.median ?? 0) <= (claimP99Ms?.median ?? 0));
	}
	t.true(claims.filter(each => each.jobsPerSecond === undefined).length <= discarded.length);
	t.deepEqual(readdirSync(folder.path), ['trace']);
});

test('contention measures claims of several processes, as a table', async t => {
	t.timeout(400_000);
	const folder = new Folder(t);
	const {code, stdout, stderr} = await folder.faena('bench', 'contention', '--blocks', '1', '--jobs', '200').end();
	t.is(code, 0, stdout + stderr);
	t.regex(stdout, /jobs a claim +processes +jobs\/s /);
	t.regex(stdout, /^Fairness is Jain’s index/m);
	t.notRegex(stdout, /void/);
	t.deepEqual(readdirSync(folder.path), ['trace']);
});

test('bench --task measures a task of the user on the given inputs, and leaves nothing in the folder', async t => {
	t.timeout(400_000);
	const folder = new Folder(t);
	folder.write('tasks.mjs', 'export function square(number) { return number ** 2; }\nexport function fail(text) { throw new Error("not " + text); }\n');
	const json = await folder.faena('bench', '--task', './tasks.mjs#square', '--ndjson', '--blocks', '1', '--json').end('1\n2\n3\n');
	t.is(json.code, 0, json.stderr);
	const {inputs, jobMs, cpuShare, costMs = 0, byWorkers, enoughWorkers, inputsInJob, fullBesideNormal}: OwnTaskFigures = JSON.parse(json.stdout);
	t.is(inputs, 3);
	t.true(jobMs.p50 > 0 && jobMs.p50 <= jobMs.p95 && jobMs.mean > 0);
	t.is(cpuShare, undefined, 'it is too short to tell');
	t.true(costMs > 0 && fullBesideNormal > 0);
	t.is(byWorkers[0]?.workers, 1);
	t.true(byWorkers.every(({jobsPerSecond, inTask}) => jobsPerSecond > 0 && inTask > 0 && inTask <= 1));
	t.true(byWorkers.some(({workers}) => workers === enoughWorkers));
	t.true(inputsInJob > 1, 'a square takes far less time than to hand it to a worker');
	const text = await folder.faena('bench', '--task', './tasks.mjs#square', 'tasks.mjs', '--blocks', '1').end();
	t.is(text.code, 0, text.stderr);
	t.regex(text.stdout, /^\.\/tasks\.mjs#square, 1 input, one in each job\n\n {2}a job takes, median +\d/);
	t.regex(text.stdout, / workers +jobs\/s +beside one worker +time in the task\n +1 /);
	// While other tests load the machine there is no advice.
	t.regex(text.stdout, /inputs in one job would have the workers spend 95 % of their time in the task \(derived\)\.|Other programs took/);
	t.notRegex(text.stdout, /NaN|undefined|Infinity/);
	assertSentence(
		t,
		await folder.faena('bench', '--task', './tasks.mjs#fail', '--stdin').end('a\n'),
		/The job of input 1 is dead: not a\. .* see what fails with faena map\./,
	);
	assertSentence(t, await folder.faena('bench', '--task', './tasks.mjs#cube', '--stdin').end('a\n'), /cube/);
	t.deepEqual(readdirSync(folder.path).sort(), ['tasks.mjs', 'trace']);
});

test('a signal ends bench and its child processes at once, and nothing is left in the folder', async t => {
	const folder = new Folder(t);
	// Nine blocks of calls take minutes.
	const running = folder.faena('bench', '--trial', 'call', '--blocks', '9', '--json');
	const isMeasuring = () =>
		readdirSync(folder.path).some(
			name => existsSync(join(folder.path, name)) && name.startsWith('.faena-bench-') && readdirSync(join(folder.path, name)).length > 0,
		);
	while (!isMeasuring()) await once(running.child.stderr, 'data');
	process.kill(running.child.pid as number, 'SIGINT');
	const {code, stdout} = await running.end();
	t.is(code, 128 + constants.signals.SIGINT);
	t.is(stdout, '');
	t.deepEqual(readdirSync(folder.path), ['trace']);
});

test('bad input is refused in a sentence', async t => {
	const folder = new Folder(t);
	assertSentence(t, await folder.faena('bench', '--folder', 'nowhere').end(), /The folder nowhere can't be written to: ENOENT/);
	assertSentence(t, await folder.faena('bench', '--blocks', '0').end(), /--blocks.*It is a whole number from 1\./);
	assertSentence(t, await folder.faena('bench', '--trial', 'peers').end(), /--trial.*Allowed choices are drain, call, granularity/);
	assertSentence(t, await folder.faena('bench', 'fast').end(), /measures dequeue or contention, or with --task a task of yours; it got fast\./);
	assertSentence(t, await folder.faena('bench', 'dequeue', '--trial', 'call').end(), /faena bench dequeue has no trials to choose from; leave out --trial\./);
	assertSentence(t, await folder.faena('bench', 'dequeue', 'contention').end(), /it got dequeue contention\./);
	assertSentence(t, await folder.faena('bench', '--stdin').end(), /the input of a task; name it with --task\./);
	assertSentence(t, await folder.faena('bench', '--task', 'tasks.js').end(), /Name a module and one of its functions/);
	assertSentence(t, await folder.faena('bench', '--task', 'tasks.js#square').end(), /Give globs that name the files, .* - to read lines from stdin/);
	assertSentence(t, await folder.faena('bench', '--task', 'tasks.js#square', '--ndjson').end(), /There are no inputs; give at least one\./);
	assertSentence(t, await folder.faena('bench', '--task', 'tasks.js#square', '--ndjson').end('1\n'), /tasks\.js/);
});
