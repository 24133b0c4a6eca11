import {execFile} from 'node:child_process';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import test from 'ava';
import {readRun} from '../../bench/analyse/run.ts';
import {compareRevisions} from '../../bench/report/compare.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {entry, runOf} from './results.ts';

const MAIN = fileURLToPath(new URL('../../bench/main.ts', import.meta.url));

interface Ended {
	readonly code: number;
	readonly stdout: string;
	readonly stderr: string;
}

function bench(...words: readonly string[]): Promise<Ended> {
	return new Promise(resolve =>
		execFile(process.execPath, [MAIN, ...words], {cwd: fileURLToPath(new URL('../../', import.meta.url))}, (error, stdout, stderr) =>
			resolve({code: Number(error?.code ?? 0), stdout, stderr}),
		),
	);
}

test('--compare builds another revision and measures it in pairs with this code; both get the same rate of jobs for latencies', async t => {
	t.timeout(150_000);
	const results = join(makeFolder(t), 'compare.jsonl');
	const {code, stdout, stderr} = await bench(
		...['--compare', 'HEAD', '--trial', 'call', '--trial', 'latency', '--blocks', '1', '--jobs', '20'],
		...['--folder', makeFolder(t), '--results', results],
	);
	t.is(code, 0, stderr);
	const {measured, discarded} = readRun(results);
	// Other tests may disturb each of them.
	const all = [...measured, ...discarded];
	t.true(all.some(({revision}) => revision === undefined));
	t.true(all.some(({revision}) => /^[0-9a-f]{7,}$/.test(revision ?? '')));
	t.deepEqual(
		discarded.filter(({discarded}) => discarded?.startsWith('void')),
		[],
	);
	const latencies = all.filter(({trial}) => trial === 'latency');
	t.deepEqual([...new Set(latencies.map(({vary}) => JSON.stringify(vary)))], ['{"perSecond":5000}']);
	t.regex(stdout, /^### [0-9a-f]+\+? beside [0-9a-f]+|the other revision$/m);
});

test('a name that is not a revision is refused in a sentence', async t => {
	const {code, stderr} = await bench('--compare', 'no-such-revision');
	t.is(code, 2);
	t.is(stderr, '--compare expects a revision of this repository, such as HEAD~1 or a tag; there is no no-such-revision\n');
});

test('the table has each figure of both revisions, their ratio within blocks, and a verdict where it is clear', t => {
	const pair = (block: number, ownMs: number) => [
		entry({block, measurement: {wallMs: ownMs}}),
		entry({block, revision: 'abc1234', measurement: {wallMs: 1000 * block}}),
	];
	const run = runOf(t, [...pair(1, 500), ...pair(2, 1010), ...pair(3, 1490)]);
	const table = compareRevisions(run);
	t.regex(table, /^\| drain \| full, bulk \| 2 workers \| jobs\/s \| 500 \| 990 \| 2 \(1\.98–2\.01\) \| 100 % better \| 3 \|$/m);
	t.regex(table, /^\| drain \| full, bulk \| 2 workers \| CPU µs per job \| 6 \| 6 \| 1 \(1–1\) \| {2}\| 3 \|$/m);
});

test('a case that the other revision does not have is in the table without a ratio, and listed as not run', t => {
	const run = runOf(t, [entry(), {run: 'one', notRun: {subject: 'abc1234', reason: 'dequeue, full, bulk: void: There is no trial dequeue'}}]);
	const table = compareRevisions(run);
	t.regex(table, /^\| drain \| full, bulk \| 2 workers \| jobs\/s \| 1,000 \|$/m);
	t.regex(table, /There is no trial dequeue/);
});
