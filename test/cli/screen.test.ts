import {join} from 'node:path';
import {stripVTControlCharacters} from 'node:util';
import test, {type ExecutionContext} from 'ava';
import stringWidth from 'string-width';
import {cut, table} from '../../lib/cli/terminal/table.ts';
import {openQueue} from '../../lib/queue.ts';
import {openEngine} from '../fixtures/engine.ts';
import {assertSentence, FAENA, Folder} from './command.ts';
import {CTRL_C, HAS_TERMINALS, Terminal} from './terminal.ts';

/** Names as life has them: wide characters, an escape sequence, a line break. */
const WIDE = '写真の一括処理と縮小';
const HOSTILE = 'run \x1B[2J\x1B]0;title\x07\n"quoted" $(x)';

async function folderWithRuns(t: ExecutionContext): Promise<Folder> {
	t.timeout(120_000);
	const folder = new Folder(t);
	const faena = await openEngine(t, {queue: join(folder.path, 'faena.db'), defaults: {maxAttempts: 1}});
	for await (const _ of faena.map('echo', [1, 2], {batch: WIDE}));
	for await (const _ of faena.map('boom', ['\x1B[31mred\n', '2'], {batch: HOSTILE, key: item => `key ${item} ${WIDE}`}));
	const flow = faena.newFlow('tree');
	flow.job('echo', 1, {dependsOn: [flow.map('echo', [1, 2, 3])], key: WIDE});
	await (await flow.enqueue()).ended();
	await faena.setSchedule(HOSTILE, {cron: '0 2 * * *', timezone: 'UTC', task: 'echo', payload: 1});
	await faena.close();
	return folder;
}

const VIEWS = [['status'], ['list'], ['batches'], ['show', '3'], ['flow', 'tree'], ['schedules'], ['schedule', HOSTILE], ['logs', '1'], ['doctor']];

/** Escape characters as a symbol. */
function visible(text: string): string {
	return text.replaceAll('\x1B', '␛');
}

const inTerminal = HAS_TERMINALS ? test : test.skip;

inTerminal('in a terminal of 40 columns, each line of a table fits, and names are shown and not obeyed', async t => {
	const folder = await folderWithRuns(t);
	for (const words of VIEWS) {
		const terminal = new Terminal(t, folder, words, {columns: 40, rows: 40});
		const {code} = await terminal.end();
		t.is(code, 0, words.join(' '));
		const shown = terminal.printed.replaceAll('\r', '');
		const escapes = visible(shown);
		t.notRegex(escapes, /␛(?!\[\d+m)/, `${words[0]}: nothing but colours`);
		const lines = stripVTControlCharacters(shown).split('\n');
		if (['status', 'list', 'batches', 'flow', 'schedules'].includes(words[0] as string))
			t.deepEqual(
				lines.slice(words[0] === 'flow' ? 1 : 0).filter(line => stringWidth(line) > 40),
				[],
				words[0],
			);
	}
});

inTerminal('statuses have colours in a terminal, unless NO_COLOR is set, and nowhere else', async t => {
	const folder = await folderWithRuns(t);
	const printed = async (env: Readonly<Record<string, string>>, ...words: string[]) => {
		const terminal = new Terminal(t, folder, words, {env});
		await terminal.end();
		return visible(terminal.printed);
	};
	t.regex(await printed({}, 'status'), /6 ␛\[32mcompleted␛\[39m, 2 ␛\[31mdead␛\[39m\r\n\r\n␛\[31mdead␛\[39m {6}#3 /);
	t.regex(await printed({}, 'show', '3'), /^job 3 {7}boom {2}␛\[31mdead␛\[39m\r\n/);
	for (const env of [{NO_COLOR: '1'}, {TERM: 'dumb'}]) t.false((await printed(env, 'status')).includes('␛'));
	for (const words of VIEWS) t.notRegex((await folder.faena(...words).end()).stdout, /(?!\n|\t)\p{Cc}/u, words[0]);
});

inTerminal('status --watch draws over its own lines, and Ctrl-C ends it quietly', async t => {
	const folder = await folderWithRuns(t);
	const terminal = new Terminal(t, folder, ['status', '--watch'], {columns: 60});
	await terminal.shows(/6 completed, 2 dead/);
	const queue = await openQueue(join(folder.path, 'faena.db'));
	await queue.retry({status: 'dead'});
	const screen = await terminal.shows(/2 pending, 6 completed/);
	t.regex(screen, /^faena\.db: 2 pending, 6 completed\n\npending {3}#3 +boom {2}key key \\u001b\[31mred\\n .*…\n +and 1 more$/);
	await queue.cancel({status: 'pending'});
	t.is(await terminal.shows(/2 cancelled/), 'faena.db: 6 completed, 2 cancelled');
	await queue.close();
	terminal.type(CTRL_C);
	t.deepEqual(await terminal.end(), {code: 130, screen: 'faena.db: 6 completed, 2 cancelled\n^C'});
});

test('status --watch is refused where nothing can be drawn over', async t => {
	const folder = await folderWithRuns(t);
	assertSentence(
		t,
		await folder.faena('status', '--watch').end(),
		/--watch draws over its own lines on a terminal, and stdout is none that can do that\. Leave it out\./,
	);
	assertSentence(t, await folder.faena('status', '--watch', '--json').end(), /Give either --json or --watch\./);
});

test('each command that prints much ends quietly if its reader has gone', async t => {
	t.timeout(120_000);
	const folder = new Folder(t);
	const queue = await openQueue(join(folder.path, 'faena.db'));
	await queue.enqueue(Array.from({length: 3000}, (_, index) => ({task: 'echo', payload: 1, key: `${index}`.repeat(20)})));
	await queue.cancel({});
	await queue.close();
	for (const words of ['list', 'list --json', '--help', 'map --help', 'status --json', 'show 1', 'batches', 'doctor']) {
		const {stderr, stdout} = await folder.sh(`'${process.execPath}' '${FAENA}' ${words} | head -c 1`).end();
		t.deepEqual([stdout.length, stderr], [1, ''], words);
	}
});

test('columns of a table are aligned by the width of characters; in a narrow terminal the first column gives way', t => {
	const rows = [
		['写真', 'echo', '1'],
		['a', 'task', '2 completed'],
	];
	t.is(table(rows), '写真  echo  1\na     task  2 completed\n');
	t.is(
		table(
			[
				['a very long name of a batch', 'echo', 'done'],
				['b', 'x', 'y'],
			],
			24,
		),
		'a very long…  echo  done\nb             x     y\n',
	);
	t.is(table([['a very long name', 'a very long task', 'done']], 24), 'a very …  a very long t…\n');
	t.is(table([]), '');
	t.is(cut('写真の一括', 6), '写真…');
	t.is(cut('👩‍👩‍👧 family', 3), '👩‍👩‍👧…');
	t.is(cut('fits', 4), 'fits');
});
