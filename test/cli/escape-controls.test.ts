import {join} from 'node:path';
import test from 'ava';
import Database from 'better-sqlite3';
import {openRawQueue} from '../fixtures/raw-queue.ts';
import {Folder} from './command.ts';

/** Sets the title, clears the screen (with one control character and with two), writes to the clipboard, hides text, and forges a line. */
const EVIL = '\u001b]0;owned\u0007\u001b[2J\u009b2J\u001b]52;c;bHM=\u0007\u202eevil\u2066\r\u0008\u007f\nrunning  #1 innocent';

test('no text of a job reaches the terminal as a control sequence', async t => {
	t.timeout(60_000);
	const folder = new Folder(t);
	const file = join(folder.path, 'faena.db');
	const queue = await openRawQueue(file);
	const batch = await queue.openBatch('nightly', 'count', 'me');
	const policy = {maxAttempts: 1, timeoutMs: null, backoff: {baseMs: 0, factor: 1, maxMs: 0, jitter: 0}, retry: 'auto'} as const;
	await queue.enqueue([{task: 'count', payload: JSON.stringify(EVIL), priority: 0, runAt: null, policy, batch, key: EVIL}]);
	const {lease, jobs} = await queue.dequeue({owner: 'me', tasks: ['count']});
	const claim = {id: 1, execution: jobs[0]?.execution ?? 0};
	const logs = [{at: 0, level: 'warn' as const, text: EVIL}];
	await queue.store.commit({update: [{...claim, lease, logs}]});
	const error = {reason: 'threw', name: EVIL, message: EVIL, stack: EVIL, stderr: EVIL, signal: EVIL, causes: [{name: EVIL, message: EVIL}]} as const;
	await queue.settle(lease, [{...claim, outcome: {type: 'threw', error}}]);
	await queue.close();
	const db = new Database(file);
	for (const table of ['task', 'batch']) db.prepare(`update ${table} set name = ?`).run(EVIL);
	db.prepare('update task set paused = 1').run();
	db.prepare('update log set level = ?').run(EVIL);
	db.close();
	for (const args of [
		['show', '1'],
		['show', '1', '--json'],
		['status'],
		['status', '--json'],
		['batches'],
		['batches', '--json'],
		['status', '--batch', EVIL],
	]) {
		const {stdout, stderr} = await folder.faena(...args).end();
		t.notRegex(stdout + stderr, /(?![\n\t])[\p{Cc}\u202a-\u202e\u2066-\u2069]/u, args.join(' '));
		t.regex(stdout, /evil/);
		if (args.includes('--json')) t.true(JSON.stringify(JSON.parse(stdout)).includes(JSON.stringify(EVIL).slice(1, -1)));
		else t.notRegex(stdout, /^running {2}#1 innocent/m);
	}
	t.is((await (await openRawQueue(file)).counts()).dead, 1);
});
