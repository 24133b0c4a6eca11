import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import {toJavaScript} from './operators.ts';
import {serving} from './serving.ts';
import {FOLDERS, ROOT, runSuite, scoredFiles, suitesOf} from './suites.ts';

const LIMITS = {idleMs: 60_000, limitMs: 120_000};

test('tests load the mutant, also in the processes and threads that they start; the files stay as they are', async t => {
	t.timeout(240_000);
	const file = 'lib/worker/runner.ts';
	const source = readFileSync(join(ROOT, file), 'utf8');
	const title = 'threads: a pool that has loaded its tasks returns their names and options';
	const broken = serving(file, `throw new Error('This is the mutant.');${toJavaScript(source)}`);
	t.deepEqual(await runSuite('test/pool/threads.test.ts', {title, preload: broken, ...LIMITS}), {suite: 'test/pool/threads.test.ts', title});
	t.is(await runSuite('test/pool/threads.test.ts', {title, preload: serving(file, toJavaScript(source)), ...LIMITS}), undefined);
	t.is(readFileSync(join(ROOT, file), 'utf8'), source);
});

test('each folder that is scored has its own tests, and the simulation', t => {
	for (const folder of FOLDERS) {
		const suites = suitesOf(`${folder}/any.ts`);
		t.true(suites.includes('test/simulation/simulation.test.ts'), folder);
		t.true(
			suites.some(suite => suite.startsWith(folder.replace('lib', 'test'))),
			folder,
		);
	}
});

test('no source is scored that chooses which processes of the machine are killed', t => {
	const scored = scoredFiles();
	t.true(scored.includes('lib/pool/lost-chunk.ts') && scored.includes('lib/dispatcher/demand.ts'));
	for (const file of ['processes/processes', 'threads/threads']) t.false(scored.includes(`lib/pool/${file}.ts`));
});
