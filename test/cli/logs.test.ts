import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {newLines} from '../../lib/cli/verbs/logs.ts';
import type {LogLine} from '../../lib/index.ts';
import {openQueue} from '../../lib/queue.ts';
import {assertSentence, Folder} from './command.ts';
import {CTRL_C, HAS_TERMINALS, Terminal} from './terminal.ts';

/** A job that logs a line whenever the test writes to the file `say`, until that says `end`. */
const TASKS = `import {readFileSync} from 'node:fs';
import {setTimeout as sleep} from 'node:timers/promises';
export async function talk(_, ctx) {
	for (let said = ''; said !== 'end'; ) {
		await sleep(10);
		const text = readFileSync('say', 'utf8');
		// Empty while the test writes it.
		if (text === '' || text === said) continue;
		ctx.log(text);
		said = text;
	}
	ctx.log.warn('that was \\x1B[31mall');
}
`;

async function talking(t: ExecutionContext): Promise<Folder> {
	t.timeout(60_000);
	const folder = new Folder(t);
	folder.write('tasks.mjs', TASKS);
	folder.write('say', 'first');
	await folder.faena('enqueue', 'talk', '--create').end();
	folder.faena('work', 'tasks.mjs');
	return folder;
}

test('logs -f prints the lines of a job as they come, until the job ends; logs prints those that there are', async t => {
	const folder = await talking(t);
	const following = folder.faena('logs', '1', '-f');
	t.regex((await following.firstLines(1))[0] as string, /^\d{4}-.*Z {2}first$/);
	t.regex((await folder.faena('logs', '1').end()).stdout, /^\S+ {2}first\n$/);
	folder.write('say', 'second');
	await following.printed(2);
	folder.write('say', 'end');
	const {code, stdout} = await following.end();
	t.is(code, 0);
	t.regex(stdout, /^\S+ {2}first\n\S+ {2}second\n\S+ {2}end\n\S+ {2}warn: that was \\u001b\[31mall\n$/);
	t.is((await folder.faena('logs', '1').end()).stdout, stdout);
	const json = (await folder.faena('logs', '1', '--json').end()).stdout
		.split('\n')
		.slice(0, -1)
		.map(line => JSON.parse(line));
	t.like(json[3], {execution: 1, level: 'warn', text: 'that was \x1B[31mall'});
	assertSentence(t, await folder.faena('logs', 'x').end(), /A job's id is a positive whole number/);
});

(HAS_TERMINALS ? test : test.skip)('Ctrl-C ends logs -f quietly', async t => {
	const folder = await talking(t);
	const terminal = new Terminal(t, folder, ['logs', '1', '-f']);
	await terminal.shows(/first/);
	folder.write('say', 'second');
	await terminal.shows(/second/);
	terminal.type(CTRL_C);
	const {code, screen} = await terminal.end();
	t.is(code, 130);
	t.regex(screen, /^\S+ {2}first\n\S+ {2}second\n\^C$/);
});

test('new lines are those after the ones before, also when the store has dropped the oldest', t => {
	const line = (text: string): LogLine => ({execution: 1, at: 5, level: 'info', text});
	const lines = ['a', 'b', 'a', 'b', 'c'].map(line);
	t.deepEqual(newLines([], lines), lines);
	t.deepEqual(newLines(lines.slice(0, 3), lines), lines.slice(3));
	t.deepEqual(newLines(lines, lines), []);
	t.deepEqual(newLines(['x', 'a', 'b'].map(line), lines), lines.slice(2));
	t.deepEqual(newLines(['x', 'y'].map(line), lines), lines);
});

test('logs of a job without lines prints nothing, and follows a job that has not started until its end', async t => {
	const folder = new Folder(t);
	await folder.faena('enqueue', 'talk', '--create').end();
	t.like(await folder.faena('logs', '1').end(), {code: 0, stdout: '', stderr: ''});
	const following = folder.faena('logs', '1', '-f');
	const queue = await openQueue(join(folder.path, 'faena.db'));
	await queue.cancel({ids: [1]});
	await queue.close();
	t.like(await following.end(), {code: 0, stdout: ''});
});
