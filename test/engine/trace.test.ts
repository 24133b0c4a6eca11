/** `FAENA_TRACE` shows where the time goes: delays are planted, and the station that has one shows it. */
import {existsSync} from 'node:fs';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import Database from 'better-sqlite3';
import {Folder, type Program} from '../cli/command.ts';
import {test} from '../fixtures/engine.ts';

const DELAY_MS = 700;

const TASKS = `
	export async function wait(ms) { await new Promise(resolve => setTimeout(resolve, ms)); return ms; }
`;
const SLEEP = `Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ${DELAY_MS});`;

const FAENA = join(import.meta.dirname, '../../lib/cli/main.ts');

/** Runs jobs of a few milliseconds and returns the lines of the trace. */
async function traced(folder: Folder, trace: string, jobs = 3, beside = async (_: Program) => {}): Promise<string[]> {
	const items = Array.from({length: jobs}, (_, index) => 5 + (index % 5) / 1000 + index / 1e6);
	const program = folder.sh(`FAENA_TRACE=${trace} '${process.execPath}' '${FAENA}' map ./tasks.mjs#wait --queue jobs.db -j 1 --quiet ::: ${items.join(' ')}`);
	await beside(program);
	const {code, stderr} = await program.end();
	if (code !== 0) throw new Error(stderr);
	return stderr.split('\n').filter(line => line.startsWith('faena '));
}

const longest = (lines: readonly string[], pattern: RegExp) => Math.max(0, ...lines.flatMap(line => Number(pattern.exec(line)?.[1] ?? [])));

test('a trace has a line for each commit, chunk and worker', async t => {
	const folder = new Folder(t);
	folder.write('tasks.mjs', TASKS);
	const lines = await traced(folder, '1');
	const commits = lines.filter(line => / commit {2}\d/.test(line));
	t.true(commits.some(line => / enqueued 3, claimed \d/.test(line)));
	t.true(commits.some(line => / settled \d.*; the loop ran for .*outcomes/.test(line)));
	t.true(lines.some(line => / chunk {3}\d+: job \d of wait by thread .* running \d+\.\d ms, reporting/.test(line)));
	t.true(lines.some(line => / pool {4}has taken \d of wait, /.test(line)));
	t.true(longest(lines, / worker .* loaded the tasks, after ([\d.]+) ms/) > 0);
});

test('a trace of one job has the lines that concern it', async t => {
	const folder = new Folder(t);
	folder.write('tasks.mjs', TASKS);
	const lines = await traced(folder, 'job:2', 200);
	t.true(lines.length >= 4 && lines.length < 20, lines.join('\n'));
	t.is(lines.filter(line => line.includes(' chunk ')).length, 1);
});

test('without FAENA_TRACE nothing is written', async t => {
	const folder = new Folder(t);
	folder.write('tasks.mjs', TASKS);
	t.deepEqual(await traced(folder, ''), []);
});

test('a module that loads slowly shows in the line of its worker', async t => {
	const folder = new Folder(t);
	folder.write('tasks.mjs', `${TASKS}\n${SLEEP}`);
	t.true(longest(await traced(folder, '1'), / worker .* loaded the tasks, after ([\d.]+) ms/) >= DELAY_MS);
});

test('a task with a slow setup shows in the lines of its worker', async t => {
	const folder = new Folder(t);
	folder.write(
		'tasks.mjs',
		`import {task} from '${new URL('../../lib/index.ts', import.meta.url)}';\nexport const wait = task(async ms => ms, {setup() { ${SLEEP} }});`,
	);
	const lines = await traced(folder, '1');
	const at = (end: string) => Date.parse(`2026-01-01T${lines.find(line => line.endsWith(end))?.slice(6, 18)}Z`);
	const tookMs = at(' has set it up') - at(' sets up the task wait');
	// The time of day may pass midnight.
	t.true((tookMs + 86_400_000) % 86_400_000 >= DELAY_MS - 10, lines.join('\n'));
});

test('a slow commit shows in its line', async t => {
	const folder = new Folder(t);
	folder.write('tasks.mjs', TASKS);
	const lines = await traced(folder, '1', 60, async ({child}) => {
		const queue = join(folder.path, 'jobs.db');
		while (!existsSync(queue)) await sleep(10);
		const other = new Database(queue, {timeout: 10_000});
		// Transactions of another program. Between two of them the run goes on.
		while (child.exitCode === null) {
			other.exec('begin immediate');
			await sleep(DELAY_MS);
			other.exec('commit');
			await sleep(100);
		}
		other.close();
	});
	t.true(longest(lines, / commit {2}([\d.]+) ms/) >= DELAY_MS / 2);
});
