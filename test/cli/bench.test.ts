import {once} from 'node:events';
import {existsSync, readdirSync} from 'node:fs';
import {constants} from 'node:os';
import {join} from 'node:path';
import test from 'ava';
import type {ClaimFigures} from '../../bench/short/claims.ts';
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
	assertSentence(t, await folder.faena('bench', 'fast').end(), /'fast' is invalid for argument 'suite'\. Allowed choices are dequeue, contention\./);
	assertSentence(t, await folder.faena('bench', 'dequeue', '--trial', 'call').end(), /faena bench dequeue has no trials to choose from; leave out --trial\./);
	assertSentence(t, await folder.faena('bench', 'dequeue', 'contention').end(), /too many arguments/);
});
