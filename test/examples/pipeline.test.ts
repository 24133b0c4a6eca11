import {join} from 'node:path';
import {setImmediate as nextTurn} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import test from 'ava';
import {openQueue} from '../../lib/index.ts';
import {Folder} from '../cli/command.ts';

const MAIN = fileURLToPath(new URL('../../examples/pipeline/main.ts', import.meta.url));
const TEXTS = 2000;

test('a pipeline of three tasks that is killed twice does everything, and each text once', async t => {
	t.timeout(120_000);
	const folder = new Folder(t);
	const ids = Array.from({length: TEXTS}, (_, index) => `text-${index}`);
	folder.write('texts.ndjson', ids.map(id => `${JSON.stringify({id, text: `${id} ${'Ein Wort, ein Beil. '.repeat(30)}`})}\n`).join(''));
	const queue = await openQueue(join(folder.path, 'texts.db'));
	t.teardown(() => queue.close());
	for (const enough of [TEXTS / 4, TEXTS / 2]) {
		const program = folder.run(MAIN, 'texts.ndjson');
		while ((await queue.counts({task: 'fingerprint'})).completed < enough) await nextTurn();
		const {code, stdout} = await program.kill();
		t.is(code, 137);
		t.is(stdout, '');
	}
	t.true((await queue.counts({task: 'fingerprint'})).completed < TEXTS);
	const {code, stdout, stderr} = await folder.run(MAIN, 'texts.ndjson').end();
	t.is(code, 0, stderr);
	const printed = stdout
		.trim()
		.split('\n')
		.map(line => JSON.parse(line) as {id: string; minima: string});
	t.deepEqual(printed.map(({id}) => id).sort(), ids.toSorted());
	// A text each in two steps, and the jobs that read them: none is there twice, none failed or was charged for the kills.
	t.like(await queue.counts(), {pending: 0, running: 0, failed: 0, dead: 0, completed: 2 * TEXTS + TEXTS / 100 + 1});
	t.true((await queue.jobs({}, {limit: 10_000})).every(({attempts}) => attempts === 0));
});

test('the pipeline tells which texts it could not read, and ends with 1', async t => {
	const folder = new Folder(t);
	folder.write('texts.ndjson', '{"id":"a","text":"one two"}\nnonsense\n');
	const {code, stdout, stderr} = await folder.run(MAIN).end();
	t.is(code, 1);
	t.is(stdout, '');
	t.regex(stderr, /^job 1: Unexpected token .*\n$/);
});
