import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import Database from 'better-sqlite3';
import {open} from '../../lib/index.ts';
import type {Isolation} from '../../lib/job/task/task.ts';
import {openQueue} from '../../lib/queue.ts';
import {assertSentence, Folder, tasks} from './command.ts';

type BadEnds = typeof import('../fixtures/ends-badly.ts');

interface BadEnd {
	readonly task: keyof BadEnds;
	readonly isCancelled?: true;
	readonly only?: 'process';
	readonly shown: (kind: string) => string;
}

/** The end of a job for each task, as it is shown. Letters stand for times, sizes and lines. */
const ENDS: readonly BadEnd[] = [
	{
		task: 'loop',
		shown: () => `
error       TimedOut: Stopped after S: the timeout is S.
end         timed out in execution 1 (attempt 1)
            ran since T, for S
            last progress 7 of 10 at T
            last checkpoint at T
            heap M, limit M
            it was here:
                at ponder (ends-badly.ts:L)
                at loop (ends-badly.ts:L)`,
	},
	{
		task: 'loop',
		isCancelled: true,
		shown: () => `
error       Cancelled: Cancelled while running, after S.
end         cancelled while it ran in execution 1 (charged nothing)
            ran since T, for S
            last progress 7 of 10 at T
            last checkpoint at T
            heap M, limit M
            it was here:
                at ponder (ends-badly.ts:L)
                at loop (ends-badly.ts:L)`,
	},
	{
		task: 'waitForever',
		shown: () => `
error       TimedOut: Stopped after S: the timeout is S.
end         timed out in execution 1 (attempt 1)
            ran since T, for S
            last progress 7 of 10 at T
            last checkpoint at T
            heap M, limit M
            where it was isn't known: It was waiting, with nothing of it on the stack. Its worker had nothing open: no timer, file or socket.`,
	},
	{
		task: 'exit',
		shown: kind => `
error       LostWorker: The worker ${kind} ended with exit code 3 while it ran this job.
end         ended its worker in execution 1 (attempt 1), exit code 3
            ran since T, for S
            last progress 7 of 10 at T
            last checkpoint at T`,
	},
	{
		task: 'hoard',
		shown: kind => `
error       LostWorker: The worker ${kind} ran out of memory while it ran this job.${
			kind === 'process'
				? ''
				: `
            caused by Error [ERR_WORKER_OUT_OF_MEMORY]: Worker terminated due to reaching memory limit: JS heap out of memory`
		}
end         ended its worker in execution 1 (attempt 1), ${kind === 'process' ? 'signal SIGABRT' : 'exit code 1'}
            ran since T, for S
            last progress 7 of 10 at T
            last checkpoint at T
            heap limit M${
							kind === 'process'
								? `
            the end of its stderr:
            <--- Last few GCs --->
            …
            FATAL ERROR: Limit reached Allocation failed - JavaScript heap out of memory`
								: ''
						}`,
	},
	{
		task: 'abort',
		only: 'process',
		shown: kind => `
error       LostWorker: The worker ${kind} was ended by SIGABRT while it ran this job.
end         ended its worker in execution 1 (attempt 1), signal SIGABRT
            ran since T, for S
            last progress 7 of 10 at T
            last checkpoint at T
            the end of its stderr:
            ----- JavaScript stack trace -----
            1: abort (ends-badly.ts:L)`,
	},
];

for (const isolation of ['thread', 'process'] as const) {
	for (const {task, isCancelled, shown} of ENDS.filter(({only = isolation}) => only === isolation)) {
		test.serial(`the bad end of a job is shown in one block: ${task}${isCancelled ? ', cancelled' : ''} (${isolation})`, async t => {
			t.timeout(240_000);
			const end = {task, ...(isCancelled && {isCancelled})};
			let text = await showEnd(t, end, isolation);
			// On a busy machine a worker may not get a processor in the time that it has to answer.
			for (let tries = 1; tries < 10 && text.includes('It did not answer'); tries++) text = await showEnd(t, end, isolation);
			t.is(`\n${withLetters(text)}`, shown(isolation));
		});
	}
}

/** What `faena show` prints of a job that ends badly, from its error on. */
async function showEnd(t: ExecutionContext, {task, isCancelled}: Pick<BadEnd, 'task' | 'isCancelled'>, isolation: Isolation): Promise<string> {
	const folder = new Folder(t);
	const module = new URL('../fixtures/ends-badly.ts', import.meta.url);
	const resourceLimits = {maxOldGenerationSizeMb: 32};
	const options = {queue: join(folder.path, 'faena.db'), tasks: module, isolation, workers: 1, grace: 50, postMortem: true, resourceLimits};
	const faena = await open<BadEnds>(options);
	const begins = new Promise(resolve => faena.once('progress', resolve));
	const canTimeOut = (task === 'loop' || task === 'waitForever') && !isCancelled;
	const job = await faena.enqueue(task, undefined, {maxAttempts: 1, timeout: canTimeOut ? 300 : 'none'});
	if (isCancelled) await begins.then(() => faena.cancel(job.id));
	await job.outcome();
	await faena.close();
	const {stdout} = await folder.faena('show', '1').end();
	return stdout.slice(stdout.indexOf('error '));
}

/** Replaces text that differs from run to run. */
function withLetters(text: string): string {
	return (
		text
			.replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'T')
			.replaceAll(/\b[\d.]+ s\b/g, 'S')
			.replaceAll(/[\d.]+ MiB/g, 'M')
			.replaceAll(/file:\S*ends-badly\.ts:[\d:]+\d/g, 'ends-badly.ts:L')
			// V8 reports one or several collections.
			.replaceAll(/(\n.*Mark-Compact.*)+/g, '\n            …')
			// Node 22 has this line, too.
			.replaceAll(/\n *<--- JS stacktrace --->/g, '')
			// Which of the two V8 reports depends on its speed.
			.replaceAll(/Reached heap limit|Ineffective mark-compacts near heap limit/g, 'Limit reached')
			.trimEnd()
	);
}

test('a completed job is shown with its times, progress, shortened values and last log lines', async t => {
	const folder = new Folder(t);
	await folder.faena('map', tasks('reports-progress', 'report'), '--stdin', '--batch', 'nightly', '--timeout', '10s').end('one');
	const {code, stdout} = await folder.faena('show', '1').end();
	t.is(code, 0);
	t.regex(
		stdout,
		/^job 1 {7}report {2}completed\nkey {9}one\nbatch {7}nightly\nscope {7}faena\/test\/fixtures\/reports-progress in \S+\nattempts {4}0 of 3 charged, 1 execution\n/,
	);
	for (const label of ['enqueued', 'started', 'ended']) t.regex(stdout, new RegExp(`^${label} +\\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z$`, 'm'));
	t.regex(stdout, /^timeout {5}10 s\nprogress {4}3 of 4 at \d{4}.*\npayload {5}"one"$/m);
	t.regex(stdout, /^result {6}"x{399}… \(1,002 characters; all with --json\)$/m);
	t.regex(stdout, /^log {9}\(2 earlier; all with --json\)\n {12}\d{4}-\S+Z {2}line 3 of one$/m);
	t.regex(stdout, /^ {12}\d{4}-\S+Z {2}warn: line 12 of one\n$/m);
	const json = JSON.parse((await folder.faena('show', '1', '--json').end()).stdout);
	t.deepEqual([json.status, json.payload, json.result, json.logs.length], ['completed', 'one', 'x'.repeat(1000), 12]);
});

test("a dead job is shown with its error, the task's frames and the causes", async t => {
	const folder = new Folder(t);
	await folder.faena('map', tasks('traces-executions', 'fail'), '--stdin', '--max-attempts', '1').end('one');
	const {stdout} = await folder.faena('show', '1').end();
	t.regex(stdout, /^attempts {4}1 of 1 charged, 1 execution$/m);
	t.regex(stdout, /^error {7}RangeError: no luck with one\n +at fail \(.*traces-executions\.ts:\d+:\d+\)\n {12}caused by Error: the cause of it\n +at fail/m);
	t.notRegex(stdout, /runner\.ts/);
});

test('each execution is shown with its end, its worker and its error', async t => {
	const folder = new Folder(t);
	await folder.faena('map', tasks('traces-executions', 'fail'), '--stdin', '--max-attempts', '1').end('one');
	await folder.faena('map', tasks('traces-executions', 'fail'), '--stdin', '--max-attempts', '1', '--retry-failed').end('one');
	const {stdout} = await folder.faena('show', '1').end();
	t.regex(stdout, /^worker {6}thread \d+ of process \d+ on \S+$/m);
	t.regex(stdout, /^history {5}1 {2}\d{4}-\S+Z {2}failed, ran [\d.]+ s, thread \d+ of process \d+ on \S+, RangeError: no luck with one\n {12}2 {2}/m);
	const json = JSON.parse((await folder.faena('show', '1', '--json').end()).stdout);
	t.like(json.history, [
		{execution: 1, status: 'failed', error: {name: 'RangeError'}},
		{execution: 2, status: 'failed'},
	]);
});

test('a running job is not shown with the worker of an earlier execution', async t => {
	const folder = new Folder(t);
	await folder.faena('map', tasks('traces-executions', 'fail'), '--stdin', '--max-attempts', '1').end('one');
	const queue = await openQueue(join(folder.path, 'faena.db'));
	t.teardown(() => queue.close());
	await queue.retry({ids: [1]});
	const [job] = await queue.jobs({ids: [1]}).page();
	await queue.dequeue({owner: 'me', tasks: [job?.task ?? ''], scopes: [job?.scope ?? ''], limit: 1});
	const {stdout} = await folder.faena('show', '1').end();
	t.regex(stdout, /^job 1 .* running$/m);
	t.notRegex(stdout, /^worker /m);
});

test('an id that no job has, or can have, is refused in a sentence', async t => {
	const folder = new Folder(t);
	await folder.faena('map', tasks('traces-executions', 'echo'), '--stdin').end('one');
	assertSentence(t, await folder.faena('show', '2').end(), /There is no job 2 in faena\.db/, 3);
	for (const id of ['one', '0', '1.5', '1e3', '']) assertSentence(t, await folder.faena('show', id).end(), /positive whole number/);
	assertSentence(t, await folder.faena('show').end(), /missing required argument 'id'/);
	assertSentence(t, await folder.faena('shwo', '1').end(), /unknown command 'shwo' \(Did you mean show\?\)/);
});

test('if one value of a job can not be read, the reason is shown, and the rest of the job', async t => {
	const folder = new Folder(t);
	await folder.faena('map', tasks('traces-executions', 'fail'), '--stdin', '--max-attempts', '1').end('one');
	const database = new Database(join(folder.path, 'faena.db'));
	database.prepare('update job set payload = ?').run(Buffer.from([9, 1]));
	database.close();
	const why = 'A stored value begins with the format byte 9, which this version of Faena does not know; a newer one wrote it, or it is damaged.';
	const shown = await folder.faena('show', '1').end();
	t.is(shown.code, 0, shown.stderr);
	t.true(shown.stdout.includes(`payload     can't be read: ${why}\n`), shown.stdout);
	t.regex(shown.stdout, /^error {7}RangeError: no luck with one$/m);
	const {payload, status, error} = JSON.parse((await folder.faena('show', '1', '--json').end()).stdout);
	t.deepEqual([payload, status, error.name], [{unreadable: why}, 'dead', 'RangeError']);
});

test('a value in the place of a number is shown as it is, and so is the rest of the job', async t => {
	const folder = new Folder(t);
	await folder.faena('map', tasks('traces-executions', 'fail'), '--stdin', '--max-attempts', '1').end('one');
	const database = new Database(join(folder.path, 'faena.db'));
	// The tables are strict, so this is changed first.
	database.unsafeMode().pragma('writable_schema = on');
	database.exec("update sqlite_schema set sql = replace(sql, ') strict', ')') where name = 'outcome'");
	database.pragma('writable_schema = reset');
	database.exec("update outcome set execution = x'6162'");
	database.close();
	const {code, stdout, stderr} = await folder.faena('show', '1').end();
	t.is(code, 0, stderr);
	t.regex(stdout, /^attempts .* ab executions$/m);
	t.regex(stdout, /^error {7}RangeError: no luck with one$/m);
});

test('show, logs, cancel and retry of a job that does not exist end alike', async t => {
	const folder = new Folder(t);
	await folder.faena('map', tasks('traces-executions', 'echo'), '--stdin').end('one');
	for (const command of ['show', 'logs', 'cancel', 'retry'])
		assertSentence(t, await folder.faena(command, '999').end(), /^faena: There is no job 999 in faena\.db; it may have been cleaned up\.$/m, 3);
	assertSentence(t, await folder.faena('cancel', '998', '999').end(), /^faena: There is no job 998, 999 in faena\.db; /, 3);
});
