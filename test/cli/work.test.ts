import {once} from 'node:events';
import {existsSync, readdirSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {openQueue} from '../../lib/queue.ts';
import {assertSentence, Folder, type Program, tasks} from './command.ts';
import {CTRL_C, HAS_TERMINALS, Terminal} from './terminal.ts';

const MODULE = tasks('traces-executions', 'echo').replace('#echo', '');

/** Resolves once stderr has this text. */
async function says({child}: Program, text: string): Promise<void> {
	for (let said = ''; !said.includes(text); ) said += String((await once(child.stderr, 'data'))[0]);
}

/** Resolves once a task has been executed with this payload. */
async function executed(folder: Folder, payload: string): Promise<void> {
	while (!folder.executions().includes(payload)) await folder.faena('status').end();
}

async function statusOf(folder: Folder, ...args: readonly string[]): Promise<string> {
	return (await folder.faena('status', ...args).end()).stdout.split('\n')[0] as string;
}

/** What the task returned. */
async function resultOf<Result>(folder: Folder, id: string): Promise<Result> {
	return JSON.parse((await folder.faena('show', id, '--json').end()).stdout).result;
}

test('faena work runs jobs as they arrive, and lets running ones finish when a signal ends it', async t => {
	t.timeout(120_000);
	const folder = new Folder(t);
	const working = folder.faena('work', MODULE, '-j', '1');
	await says(working, 'Runs jobs of');
	await folder.faena('enqueue', 'chat', '"one"').end();
	await executed(folder, 'one');
	await folder.faena('enqueue', 'compute', '--ndjson').end(Array.from({length: 40}, (_, index) => `"${index}"\n`).join(''));
	await executed(folder, '0');
	working.child.kill('SIGTERM');
	const {code, stdout, stderr} = await working.end();
	t.is(code, 143);
	t.is(stdout, '', 'the output of tasks goes to stderr');
	t.regex(stderr, /^faena: Runs jobs of .*traces-executions\.ts in faena\.db\. Ctrl-C ends it\.\n/);
	t.true(stderr.includes('a task says one\n'), stderr);
	t.regex(stderr, /\nfaena: Stopped\. (No jobs are left|Left in the queue: \d+ pending\. The same command goes on with those of its scope)\.\n$/);
	const again = folder.faena('work', MODULE);
	await executed(folder, '39');
	again.child.kill('SIGINT');
	t.is((await again.end()).code, 130);
	t.is(await statusOf(folder), 'faena.db: 41 completed');
	t.is(folder.executions().length, 41, 'a shutdown interrupts no job');
});

test('faena work does not wait for running jobs after a second signal, nor longer than --drain, and charges them nothing', async t => {
	t.timeout(120_000);
	const folder = new Folder(t);
	await folder.faena('enqueue', 'hang', '"one"', '--create').end();
	for (const flags of [
		['--drain', '10m'],
		['--drain', '50ms', '--grace', '50ms'],
	]) {
		const working = folder.faena('work', MODULE, ...flags, '-j', '1');
		await executed(folder, 'one');
		working.child.kill('SIGINT');
		if (flags.includes('10m')) {
			await says(working, 'Stopping: ');
			working.child.kill('SIGINT');
		}
		const {code, stderr} = await working.end();
		t.is(code, 130, stderr);
		t.true(stderr.includes('Left in the queue: 1 pending.'), stderr);
		rmSync(folder.trace);
		folder.write('trace', '');
	}
	t.regex((await folder.faena('show', '1').end()).stdout, /^attempts {4}0 of 3 charged, 2 executions$/m);
});

test('faena work takes a module, and says so if it is given a task', async t => {
	const folder = new Folder(t);
	assertSentence(t, await folder.faena('work', './tasks.ts#score').end(), /write \.\/tasks\.ts --only score\./);
});

test('faena work says which jobs died, and why', async t => {
	const folder = new Folder(t);
	await folder.faena('enqueue', 'fail', '"one"', '--max-attempts', '1', '--create').end();
	const working = folder.faena('work', MODULE);
	await says(working, 'Job 1 is dead: no luck with one');
	working.child.kill('SIGTERM');
	t.is((await working.end()).code, 143);
});

test('faena work --only runs jobs of these tasks only', async t => {
	t.timeout(120_000);
	const folder = new Folder(t);
	for (const task of ['echo', 'chat', 'compute']) await folder.faena('enqueue', task, '1', '--create').end();
	const working = folder.faena('work', MODULE, '--only', 'echo, compute');
	while ((await statusOf(folder)) !== 'faena.db: 1 pending, 2 completed');
	working.child.kill('SIGTERM');
	t.regex((await working.end()).stderr, /Runs jobs of echo, compute of .*Left in the queue: 1 pending\./s);
	assertSentence(t, await folder.faena('work', MODULE, '--only', 'eco').end(), /The tasks module has no task "eco"; did you mean "echo"\?/);
});

const WHERE = `import os from 'node:os';
import {threadId} from 'node:worker_threads';
export const where = () => ({pid: process.pid, threadId, priority: os.getPriority(), text: 'x'.repeat(5000)});
`;

test('each flag of faena work reaches the engine', async t => {
	t.timeout(120_000);
	const folder = new Folder(t);
	folder.write('where.mjs', WHERE);
	await folder.faena('enqueue', 'where', '1', '--create').end();
	const ended = async (working: Program, status: string) => {
		while (!(await statusOf(folder)).endsWith(status));
		working.child.kill('SIGTERM');
		await working.end();
	};
	type Where = {readonly pid: number; readonly threadId: number; readonly priority: number};
	const inProcesses = folder.faena('work', 'where.mjs', '--isolation', 'process', '-j', '1', '--nice', '7', '--recycle', 'jobs=1', '--blobs', '1kib');
	while ((await statusOf(folder)) !== 'faena.db: 1 completed');
	await folder.faena('enqueue', 'where', '2').end();
	await ended(inProcesses, ': 2 completed');
	const [one, two] = [await resultOf<Where>(folder, '1'), await resultOf<Where>(folder, '2')];
	t.true(one.pid !== two.pid && one.pid !== inProcesses.child.pid, 'a new process for each job');
	t.is(one.priority, 7);
	t.is(readdirSync(join(folder.path, 'faena.db-blobs')).length, 2);
	t.is(await statusOf(folder), 'faena.db: 2 completed');
	await folder.faena('enqueue', 'where', '1').end();
	const more = ['--durability', 'normal', '--lease', '5s', '--min-free-memory', '1kib', '--recycle', 'jobs=9,age=1h,memory=10gib'];
	const inThreads = folder.faena('work', 'where.mjs', ...more, '--retention', 'completed=100ms,batches=1d');
	await ended(inThreads, 'no jobs');
	t.pass('what --retention names was deleted');
});

test('faena work refuses bad values in a sentence, and makes no queue', async t => {
	t.timeout(120_000);
	const folder = new Folder(t);
	for (const [flags, said] of [
		[['--workers', '0'], /-j, --workers <n>' argument '0' is invalid\. It is a whole number from 1, a share of/],
		[['--isolation', 'fork'], /'fork' is invalid\. Allowed choices are thread, process\./],
		[['--drain', '5'], /'5' is invalid\. It is a time with its unit, such as 500ms/],
		[['--grace', 'soon'], /It is a time with its unit/],
		[['--lease', '10ms'], /lease/],
		[['--durability', 'none'], /Allowed choices are full, normal/],
		[['--min-free-memory', '5'], /It is a size with its unit, such as 64kib/],
		[['--recycle', 'jobs'], /It is one of jobs, age, memory, each with = and a value/],
		[['--recycle', 'age=5'], /It is a time with its unit/],
		[['--retention', 'failed=1d'], /It is one of completed, dead, cancelled, batches/],
		[['--blobs', '0b'], /It is a size/],
		[['--nice', '20'], /It is a whole number from -20/],
		[['--only', 'a,,b'], /It is the name of a task, or several with commas between/],
		[['--nope'], /unknown option '--nope'/],
	] as const)
		assertSentence(t, await folder.faena('work', MODULE, ...flags).end(), said);
	assertSentence(t, await folder.faena('work').end(), /missing required argument 'module'/);
	t.false(existsSync(join(folder.path, 'faena.db')));
	assertSentence(t, await folder.faena('work', 'none.ts').end(), /none\.ts does not exist/);
});

test('faena work ends if its queue is gone', async t => {
	t.timeout(120_000);
	const folder = new Folder(t);
	const working = folder.faena('work', MODULE);
	await says(working, 'Runs jobs of');
	rmSync(join(folder.path, 'faena.db'));
	const {code, stderr} = await working.end();
	t.is(code, 69, stderr);
	t.regex(stderr, /\nfaena: .*faena\.db was deleted or moved/);
});

/** Starts faena work in a terminal with one hanging job. */
async function workInTerminal(t: ExecutionContext, columns: number): Promise<{readonly folder: Folder; readonly terminal: Terminal}> {
	t.timeout(120_000);
	const folder = new Folder(t);
	folder.write(
		'tasks.mjs',
		"export const half = () => process.stdout.write('half a line');\nexport const lines = () => console.log('one\\ntwo');\nexport const hang = () => new Promise(() => setInterval(() => {}, 1000));\n",
	);
	await folder.faena('enqueue', 'hang', '--create').end();
	// It does not wait for this program.
	await folder.faena('enqueue', 'hang', '--scope', 'elsewhere').end();
	const terminal = new Terminal(t, folder, ['work', 'tasks.mjs', '-j', '2'], {columns});
	await terminal.shows(/1 running, 0 waiting/);
	return {folder, terminal};
}

const inTerminal = HAS_TERMINALS ? test : test.skip;

inTerminal('in a terminal, faena work shows a line at the bottom, and the output of tasks above it; Ctrl-C once drains, twice ends', async t => {
	const {folder, terminal} = await workInTerminal(t, 100);
	await folder.faena('enqueue', 'lines').end();
	const shown = await terminal.shows(/two\n.* 1 completed {2}up \d:\d\d$/);
	t.regex(
		shown,
		/^faena: Runs jobs of tasks\.mjs in faena\.db\. Ctrl-C ends it\.\none\ntwo\n1 running, 0 waiting {2}[\d./mins]+ {2}1 completed {2}up \d:\d\d$/,
	);
	await folder.faena('enqueue', 'half').end();
	while (!(await statusOf(folder)).includes('2 completed'));
	t.regex(terminal.text(), /two\nhalf a line$/, 'a line that a task has not ended is not drawn over');
	terminal.type(CTRL_C);
	await folder.faena('enqueue', 'lines').end();
	terminal.type(CTRL_C);
	const {code, screen} = await terminal.end();
	t.is(code, 130);
	t.regex(
		screen,
		/\nhalf a line.*\nstopping \(Ctrl-C again: at once\) {2}.*\nfaena: Stopped\. Left in the queue: 3 pending\. The same command goes on with those of its scope\.$/s,
	);
});

inTerminal('in a terminal of 40 columns, the line of faena work is cut off', async t => {
	const {terminal} = await workInTerminal(t, 40);
	t.regex(await terminal.shows(/\n1 running, 0 waiting {2}.*…$/), /\n1 running, 0 waiting {2}[^\n]*$/);
	terminal.type(CTRL_C);
	await terminal.shows(/stopping \(Ctrl-C again: at once\)/);
	terminal.type(CTRL_C);
	const {screen} = await terminal.end();
	t.true(screen.split('\n').every(line => line.length <= 40));
	t.regex(screen, /^stopping \(Ctrl-C again: at once\).*…(\^C)?$/m);
});

inTerminal('where a terminal can not redraw, faena work shows no line', async t => {
	t.timeout(120_000);
	const folder = new Folder(t);
	const terminal = new Terminal(t, folder, ['work', MODULE], {env: {TERM: 'dumb'}});
	// The rest of the line may be broken at the end of the screen's.
	await terminal.shows(/Runs jobs of/);
	terminal.type(CTRL_C);
	const {code} = await terminal.end();
	t.is(code, 130);
	t.false(terminal.printed.includes('\x1B'));
	t.regex(terminal.printed.replaceAll('\r', ''), /Ctrl-C ends it\.\n(\^C)?faena: Stopping: [^\n]+\nfaena: Stopped\. No jobs are left\.\n$/);
});

test('jobs of a queue that another engine has paused are not run', async t => {
	t.timeout(120_000);
	const folder = new Folder(t);
	for (const task of ['echo', 'compute']) await folder.faena('enqueue', task, '1', '--create').end();
	await folder.faena('pause', 'echo').end();
	const working = folder.faena('work', MODULE);
	while (!(await statusOf(folder)).includes('1 completed'));
	const queue = await openQueue(join(folder.path, 'faena.db'), {readOnly: true});
	t.is((await queue.counts({task: 'echo'})).pending, 1);
	await queue.close();
	await folder.faena('resume', 'echo').end();
	while (!(await statusOf(folder)).includes('2 completed'));
	working.child.kill('SIGTERM');
	await working.end();
});
