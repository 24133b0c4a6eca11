import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {setImmediate as nextTurn} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import anyTest from 'ava';
import {openingsOf} from '../../examples/queens/tasks.ts';
import {openQueue} from '../../lib/queue.ts';
import {Folder} from '../cli/command.ts';

// One at a time: one of them sets a variable of the environment.
const test = anyTest.serial;
const MAIN = fileURLToPath(new URL('../../examples/queens/main.ts', import.meta.url));
const AS_KNOWN = /^14 queens: 365,596 ways, as known \(https:\/\/oeis\.org\/A000170\)\n/m;

test('the queens example gives the known counts, also on the smallest boards, and remembers them', async t => {
	const folder = new Folder(t);
	for (const [size, ways] of [
		[1, '1'],
		[3, '0'],
		[8, '92'],
		[9, '352'],
		[8, '92'],
	]) {
		const {code, stdout, stderr} = await folder.run(MAIN, String(size)).end();
		t.is(code, 0, stderr);
		t.true(stdout.includes(`${size} queens: ${ways} ways, as known`), stdout);
	}
	const queue = await openQueue(join(folder.path, 'queens.db'));
	t.teardown(() => queue.close());
	t.true((await queue.jobs({batch: 'queens 8'}).page()).every(({executions}) => executions === 1));
});

test('killed and started again, the queens example goes on inside its jobs', async t => {
	t.timeout(120_000);
	const folder = new Folder(t);
	const journal = join(folder.path, 'journal');
	const queue = await openQueue(join(folder.path, 'queens.db'));
	t.teardown(() => queue.close());
	const program = folder.run(MAIN, '14');
	for (let isKept = false; !isKept; await nextTurn()) {
		for (const {id} of await queue.jobs({status: 'running'}).page()) isKept ||= (await queue.values(id))?.checkpoint !== undefined;
	}
	t.is((await program.kill()).code, 137);
	let left = 0;
	for (const {id, key} of await queue.jobs({status: ['pending', 'running']}).page()) {
		const state = (await queue.values(id))?.checkpoint?.state as {openings: number} | undefined;
		left += openingsOf({size: 14, column: Number(key)}).length - (state?.openings ?? 0);
	}
	process.env['QUEENS_JOURNAL'] = journal;
	const again = folder.run(MAIN, '14');
	delete process.env['QUEENS_JOURNAL'];
	const {code, stdout, stderr} = await again.end();
	t.is(code, 0, stderr);
	t.regex(stdout, AS_KNOWN);
	t.true((await queue.jobs({}).page()).every(({status, attempts}) => status === 'completed' && attempts === 0));
	t.is(readFileSync(journal).length, left);
});

test('killed at random moments, the queens example gives the known counts and says how much it counted again', async t => {
	t.timeout(120_000);
	const {code, stdout, stderr} = await new Folder(t).run(MAIN, '14', '--kills', '2', '--within', '1').end();
	t.is(code, 0, stderr);
	t.regex(stdout, AS_KNOWN);
	t.regex(stdout, /^killed \d times in \d+ s; [\d,]+ of 4,816 openings were counted again \(\d+\.\d\d %\)\n$/m);
});

test('a signal stops the queens example at once, and it says how to go on', async t => {
	const folder = new Folder(t);
	const program = folder.run(MAIN, '17');
	const queue = await openQueue(join(folder.path, 'queens.db'));
	t.teardown(() => queue.close());
	while ((await queue.counts()).running === 0) await nextTurn();
	program.child.kill('SIGINT');
	const {code, stderr} = await program.end();
	t.is(code, 130);
	t.is(stderr, 'Stopped; the same command goes on from here.\n');
});

test('the queens example refuses a bad argument in a sentence', async t => {
	const refused = async (...args: string[]) => {
		const {code, stdout, stderr} = await new Folder(t).run(MAIN, ...args).end();
		t.is(code, 2);
		t.is(stdout, '');
		return stderr;
	};
	t.is(await refused('99'), 'the size of the board is a whole number from 1 to 19; it got 99\n');
	t.regex(await refused('8', '--kils', '3'), /^Unknown option '--kils'/);
	t.is(await refused('8', '--kills', 'many'), '--kills is a whole number from 1 to 1000; it got many\n');
	t.regex(await refused('8', '--queue', 'missing/queens.db'), /^The folder .*missing of the database does not exist; create it first\.\n$/);
});
