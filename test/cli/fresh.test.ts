/** What `faena map` runs again, and what it says about that. */
import {appendFileSync, copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import test from 'ava';
import {openQueue} from '../../lib/queue.ts';
import {assertSentence, type Ended, FAENA, Folder, parse} from './command.ts';

const TASKS = `
	import {readFileSync, appendFileSync} from 'node:fs';
	export const read = file => {
		appendFileSync('runs', file + '\\n');
		return readFileSync(file, 'utf8');
	};
	export const say = line => {
		appendFileSync('runs', JSON.stringify(line) + '\\n');
		return line;
	};
`;

/** A folder with a tasks module and some files that are an hour old. */
class Project extends Folder {
	constructor(t: ExecutionContext, ...names: readonly string[]) {
		super(t);
		this.write('tasks.mjs', TASKS);
		for (const name of names) this.put(name);
	}

	put(name: string, content = name): void {
		this.write(name, content);
		const long = new Date(Date.now() - 3_600_000);
		utimesSync(join(this.path, name), long, long);
	}

	map(...args: readonly string[]): Promise<Ended> {
		return this.faena('map', './tasks.mjs#read', '*.txt', '--order', 'input', ...args).end();
	}

	/** The files that the tasks have read since the last call. */
	takeRuns(): string[] {
		appendFileSync(join(this.path, 'runs'), '');
		const runs = readFileSync(join(this.path, 'runs'), 'utf8').split('\n').filter(Boolean).sort();
		rmSync(join(this.path, 'runs'));
		return runs;
	}
}

/** The last line of stderr, without times. */
function summary({stderr}: Ended): string {
	return (stderr.trimEnd().split('\n').at(-1) ?? '').replace(/, in .*?\)(?=[:.])/, '').replace(/, in [\d.]+ s/, '');
}

test('a file that was edited runs again, one that was touched does not, and the summary counts both', async t => {
	const project = new Project(t, 'a.txt', 'b.txt', 'c.txt');
	t.is(summary(await project.map()), 'faena: 3 completed.');
	t.deepEqual(project.takeRuns(), ['a.txt', 'b.txt', 'c.txt']);
	t.is(summary(await project.map()), 'faena: 3 completed: 3 unchanged.');
	project.put('b.txt', 'other');
	utimesSync(join(project.path, 'c.txt'), 1, 1);
	project.put('d.txt');
	rmSync(join(project.path, 'a.txt'));
	const again = await project.map();
	t.is(summary(again), 'faena: 3 completed: 1 unchanged, 1 changed, 1 new, 1 gone.');
	t.deepEqual([again.code, project.takeRuns()], [0, ['b.txt', 'd.txt']]);
	t.deepEqual(
		parse(again.stdout).map(({key, result, reused}) => [key, result, reused]),
		[
			['b.txt', 'other', undefined],
			['c.txt', 'c.txt', true],
			['d.txt', 'd.txt', undefined],
		],
	);
});

test('the summary counts what an earlier run had left: each item is in one of its numbers', async t => {
	const project = new Project(t, 'a.txt', 'b.txt');
	const map = (...args: readonly string[]) => project.faena('map', '--sh', 'test {} = a.txt || test -e ready', '*.txt', ...args).end();
	t.regex(summary(await map()), /^faena: 1 completed, 1 dead/);
	project.put('c.txt');
	project.put('ready');
	t.is((await map('--retry-failed', '--dry-run')).stderr, 'faena: Would run 2 of 3: 1 unchanged, 1 new, 1 left by an earlier run.\n');
	t.is(summary(await map('--retry-failed')), 'faena: 3 completed: 1 unchanged, 1 new, 1 left by an earlier run.');
});

test('the summary says which results older code has made; --fresh code runs these again, and --fresh all everything', async t => {
	const project = new Project(t, 'a.txt', 'b.txt');
	await project.map();
	appendFileSync(join(project.path, 'tasks.mjs'), '// edited\n');
	project.put('c.txt');
	t.is(summary(await project.map()), 'faena: 3 completed: 2 unchanged (2 made by older code: --fresh code), 1 new.');
	project.takeRuns();
	t.is(summary(await project.map('--fresh', 'code')), 'faena: 3 completed: 1 unchanged, 2 changed.');
	t.deepEqual(project.takeRuns(), ['a.txt', 'b.txt']);
	t.is(summary(await project.map('--fresh', 'all')), 'faena: 3 completed: 0 unchanged, 3 changed.');
	project.put('a.txt', 'new');
	project.takeRuns();
	for (const how of ['never', 'payload']) t.is(summary(await project.map('--fresh', how)), 'faena: 3 completed: 3 unchanged.');
	t.deepEqual(project.takeRuns(), []);
});

test('a run by which content does not count notes it for the next: what it has run is not run again, what had changed before is', async t => {
	const project = new Project(t, 'a.txt', 'b.txt');
	await project.map();
	project.put('a.txt', 'other');
	project.put('c.txt');
	for (const how of ['never', 'payload']) await project.map('--fresh', how);
	project.takeRuns();
	t.is(summary(await project.map()), 'faena: 3 completed: 2 unchanged, 1 changed.');
	t.deepEqual(project.takeRuns(), ['a.txt']);
});

test('with --fresh content the files count that lines and values name, of commands in their --workdir', async t => {
	const project = new Project(t, 'a.txt', 'b.txt');
	const runs = [
		['--sh', 'ls -d {}; cat {}; true', '-k', '--fresh', 'content', ':::', 'a.txt', 'b.txt', 'no file', '.'],
		['--sh', 'cat {2}; : {1}', '-k', '--fresh', 'content', ':::', '1', ':::', 'a.txt', 'b.txt'],
		['./tasks.mjs#read', '-k', '--fresh', 'content', '-', '--batch', 'lines'],
	];
	const inputs = ['', '', 'a.txt\nb.txt\n'];
	const run = (index: number) => project.faena('map', ...(runs[index] as string[])).end(inputs[index]);
	for (const index of [0, 1, 2]) await run(index);
	project.put('a.txt', 'other');
	for (const index of [0, 1, 2])
		t.regex(
			(await run(index)).stderr,
			[/4 completed, 3 of these from an earlier run/, /2 completed, 1 of these from an earlier run/, /2 completed, 1 of these from an earlier run/][
				index
			] as RegExp,
		);
	mkdirSync(join(project.path, 'sub'));
	project.put('sub/c.txt');
	const inFolder = () => project.faena('map', '--sh', 'cat {}', '--workdir', 'sub', '--fresh', 'content', ':::', 'c.txt').end();
	await inFolder();
	project.put('sub/c.txt', 'other');
	t.is((await inFolder()).stdout, 'other');
	assertSentence(t, await project.faena('map', '--sh', 'echo', '--fresh', 'content', '--range', '1..2').end(), /--fresh content looks at the files/);
});

test('--dry-run prints what would run and why, and changes nothing', async t => {
	const project = new Project(t, 'a.txt', 'b.txt');
	// A reader of the database may leave an index of its log, which is empty.
	const names = () => readdirSync(project.path).filter(name => !/-(wal|shm)$/.test(name));
	const files = () => names().map(name => [name, statSync(join(project.path, name)).mtimeMs, statSync(join(project.path, name)).size]);
	const first = files();
	const unknown = await project.map('--dry-run');
	t.deepEqual(parse(unknown.stdout) as unknown, [
		{key: 'a.txt', reason: 'new'},
		{key: 'b.txt', reason: 'new'},
	]);
	t.deepEqual([unknown.code, unknown.stderr, files()], [0, 'faena: Would run 2 of 2.\n', first]);
	await project.map();
	project.put('b.txt', 'other');
	project.put('c.txt');
	rmSync(join(project.path, 'a.txt'));
	appendFileSync(join(project.path, 'tasks.mjs'), '// edited\n');
	copyFileSync(join(project.path, 'b.txt'), join(project.path, 'd.txt'));
	project.takeRuns();
	const before = files();
	const {stdout, stderr, code} = await project.map('--dry-run');
	t.deepEqual(parse(stdout) as unknown, [
		{key: 'b.txt', reason: 'content'},
		{key: 'c.txt', reason: 'new'},
		{key: 'd.txt', reason: 'new'},
	]);
	t.deepEqual([code, stderr], [0, 'faena: Would run 3 of 3: 0 unchanged, 1 changed, 2 new, 1 gone.\n']);
	t.deepEqual(files(), before);
	t.deepEqual(project.takeRuns(), []);
	await project.map();
	appendFileSync(join(project.path, 'tasks.mjs'), '// edited again\n');
	t.is((await project.map('--dry-run')).stderr, 'faena: Would run 0 of 3: 3 unchanged (3 made by older code: --fresh code), 1 gone.\n');
	const byCode = await project.map('--dry-run', '--fresh', 'code');
	t.deepEqual(
		parse(byCode.stdout).map(line => (line as unknown as {reason: string}).reason),
		['code', 'code', 'code'],
	);
});

test('lines that have changed run again, and --dry-run knows them, too', async t => {
	const project = new Project(t);
	const lines = (text: string, ...args: readonly string[]) => project.faena('map', './tasks.mjs#say', '--ndjson', '--batch', 'b', ...args).end(text);
	await lines('{"a":1}\n{"a":2}\n');
	project.takeRuns();
	const {stdout, stderr} = await lines('{"a":1}\n{"a":3}\n{"a":4}\n', '--dry-run');
	t.is(parse(stdout).length, 2, stderr);
	t.deepEqual(project.takeRuns(), []);
});

test('--dry-run counts an unfinished item that has changed as one of this input', async t => {
	const project = new Project(t);
	const queue = await openQueue(join(project.path, 'faena.db'));
	const batch = await queue.store.openBatch('b', 'say', 'earlier run');
	await queue.enqueue(['1', '2'].map(key => ({task: 'say', key, batch, payload: `{"a":${key},"b":1}`})));
	await queue.close();
	const args = ['map', './tasks.mjs#say', '--ndjson', '--key', 'a', '--batch', 'b', '--dry-run'];
	const {stderr} = await project.faena(...args).end('{"a":1,"b":2}\n');
	t.regex(stderr, /Would run 1 of 1.* 1 unfinished item of an earlier run that this input does not have would not be started/);
});

test('--dry-run prints the commands of the files that have changed', async t => {
	const project = new Project(t, 'a.txt', 'b.txt');
	const cat = (...args: readonly string[]) => project.faena('map', '--sh', 'cat {}', '*.txt', ...args).end();
	await cat();
	project.put('b.txt', 'other');
	project.put("it's.txt");
	const {code, stdout, stderr} = await cat('--dry-run');
	t.deepEqual([code, stdout, stderr], [0, "cat b.txt\ncat 'it'\\''s.txt'\n", 'faena: Would run 2 of 3: 1 unchanged, 1 changed, 1 new.\n']);
});

test("without the flag, a task's own option counts, for lines and for files", async t => {
	const project = new Project(t, 'a.txt');
	const helper = `import {task} from ${JSON.stringify(import.meta.resolve('../../lib/index.ts'))};`;
	project.write('tasks.mjs', `${helper}${TASKS}export const own = task(say, {fresh: 'code'});`);
	const lines = (...args: readonly string[]) => project.faena('map', './tasks.mjs#own', '--ndjson', ...args).end('1\n');
	const files = (...args: readonly string[]) => project.faena('map', './tasks.mjs#own', '*.txt', ...args).end();
	await lines();
	await files();
	appendFileSync(join(project.path, 'tasks.mjs'), '// edited\n');
	project.takeRuns();
	t.deepEqual(parse((await lines('--dry-run')).stdout) as unknown, [{key: '1', reason: 'code'}]);
	t.deepEqual(parse((await files('--dry-run')).stdout) as unknown, [{key: 'a.txt', reason: 'code'}]);
	await lines('--fresh', 'payload');
	t.deepEqual(project.takeRuns(), []);
	await lines();
	await files();
	t.deepEqual(project.takeRuns(), ['"a.txt"', '1']);
});

test('wrong flags are refused with a sentence, and nothing is made', async t => {
	const project = new Project(t, 'a.txt');
	const cases: readonly (readonly [args: readonly string[], words: RegExp])[] = [
		[['--fresh', 'contents'], /--fresh.*It is one of payload, content, code, all, never/],
		[['--fresh', 'never,code'], /It is one of/],
		[['--fresh', ''], /It is one of/],
		[['--fresh', 'never', '--key', 'id'], /'--fresh never' can't be combined with --key: .* Leave out one of the two\./],
	];
	for (const [args, words] of cases) {
		assertSentence(t, await project.map(...args), words);
	}
	const unknown = await project.faena('map', './tasks.mjs#raed', '*.txt', '--dry-run').end();
	assertSentence(t, unknown, /no task "raed"; did you mean "read"\?/);
	t.false(readdirSync(project.path).includes('faena.db'));
	writeFileSync(join(project.path, 'broken.mjs'), 'throw new Error("no");');
	const broken = await project.faena('map', './broken.mjs#read', '*.txt', '--dry-run').end();
	assertSentence(t, broken, /broken\.mjs can't be loaded\. Error: no \(file:.*broken\.mjs:1:7\)$/m);
	writeFileSync(join(project.path, 'wrong.mjs'), 'export const read = ;');
	assertSentence(
		t,
		await project.faena('map', './wrong.mjs#read', '*.txt').end(),
		/wrong\.mjs can't be loaded\. SyntaxError: .* \(node .*wrong\.mjs shows where\)$/m,
	);
	const ofLines = await project.faena('map', './tasks.mjs#say', '--ndjson', '--fresh', 'content').end('1\n');
	t.is(ofLines.code, 2);
	t.regex(ofLines.stderr, /fresh: 'content' expects the option files of the task say or of the map/);
});

test('the files that a task names count beside the file of the glob, and a changed file runs all of its group', async t => {
	const project = new Project(t, 'a.txt', 'b.txt', 'side.dat');
	const helper = `import {task} from ${JSON.stringify(import.meta.resolve('../../lib/index.ts'))};`;
	project.write('tasks.mjs', `${helper}${TASKS}export const both = task(read, {files: () => ['side.dat']}); export const count = files => files.length;`);
	const both = (...more: readonly string[]) => project.faena('map', './tasks.mjs#both', '*.txt', ...more).end();
	await both();
	t.is(summary(await both()), 'faena: 2 completed: 2 unchanged.');
	project.put('side.dat', 'other');
	t.is(summary(await both()), 'faena: 2 completed: 0 unchanged, 2 changed.');
	const pairs = () => project.faena('map', './tasks.mjs#count', '*.txt', '-n', '2').end();
	t.like(parse((await pairs()).stdout), [{result: 2}]);
	project.put('b.txt', 'other');
	t.is(parse((await pairs()).stdout)[0]?.reused, undefined);
	t.is(parse((await pairs()).stdout)[0]?.reused, true);
});

test('a run in one folder leaves the unfinished items of the same command in another folder alone', async t => {
	const project = new Project(t);
	for (const folder of ['a', 'b']) {
		mkdirSync(join(project.path, folder));
		for (const name of ['f1', 'f2']) project.put(`${folder}/${name}`, folder);
	}
	const run = (folder: string, command: string) =>
		project.sh(`cd ${folder} && '${process.execPath}' '${FAENA}' map ${command} 'f*' --order input --queue ../q.db --quiet`);
	await run('a', '../tasks.mjs#read --halt soon,done=1 -j 1').end();
	const queue = await openQueue(join(project.path, 'q.db'));
	await queue.retry({ids: [1], status: 'completed'});
	await queue.close();
	t.is((await run('b', '../tasks.mjs#read').end()).code, 0);
	const {stdout} = await project.faena('list', '--queue', 'q.db', '--status', 'pending', '--json').end();
	t.regex(stdout, /"scope":"[^"]* in [^"]*\/a"/);
	const [one, other] = [await run('a', "--sh 'cat {}'").end(), await run('b', "--sh 'cat {}'").end()];
	t.deepEqual([one.stdout, other.stdout], ['aa', 'bb']);
});

/** Each worker has the version that it has loaded. The first item edits the module, the second ends an old worker. */
const EDITED = `
	import {readFileSync, writeFileSync} from 'node:fs';
	const version = 1;
	const text = readFileSync('tasks.mjs', 'utf8');
	export const edit = item => {
		if (item === 'a' && version === 1) writeFileSync('tasks.mjs', text.replace('version = 1', 'version = 2'));
		if (item === 'b' && version === 1) process.exit(1);
		return version;
	};
`;

for (const isolation of ['thread', 'process']) {
	test(`after an edit in the middle of a run, --fresh code runs again what the old code has made, and that alone (${isolation})`, async t => {
		const project = new Project(t);
		project.write('tasks.mjs', EDITED);
		const words = ['map', './tasks.mjs#edit', '-j', '1', '-k', '--isolation', isolation, '--fresh', 'code', ':::', 'a', 'b', 'c'];
		const map = async () => parse((await project.faena(...words).end()).stdout).map(({key, result, reused = false}) => [key, result, reused]);
		t.deepEqual(await map(), [
			['a', 1, false],
			['b', 2, false],
			['c', 2, false],
		]);
		t.deepEqual(await map(), [
			['a', 2, false],
			['b', 2, true],
			['c', 2, true],
		]);
	});
}

const HOLDING = `
	import {existsSync} from 'node:fs';
	export const hold = item => (item === 'c' && existsSync('wait') ? new Promise(() => setTimeout(Boolean, 1e8)) : say(item));
`;

test('--fresh all goes on after a kill, as --dry-run says, and begins anew once it has ended', async t => {
	const project = new Project(t);
	project.write('tasks.mjs', TASKS + HOLDING);
	const words = ['map', './tasks.mjs#hold', '-j', '1', '--order', 'input', '--fresh', 'all', ':::', 'a', 'b', 'c', 'd'];
	const all = ['"a"', '"b"', '"c"', '"d"'];
	const map = () => project.faena(...words).end();
	await map();
	t.deepEqual(project.takeRuns(), all);
	project.write('wait');
	const killed = project.faena(...words);
	await killed.printed(2);
	await killed.kill();
	rmSync(join(project.path, 'wait'));
	t.deepEqual(project.takeRuns(), ['"a"', '"b"']);
	t.regex((await project.faena(...words.toSpliced(1, 0, '--dry-run')).end()).stderr, /Would run 2 of 4: 2 unchanged, 2 left by an earlier run\./);
	t.is(summary(await map()), 'faena: 4 completed, 2 of these from an earlier run.');
	t.deepEqual(project.takeRuns(), ['"c"', '"d"']);
	await map();
	t.deepEqual(project.takeRuns(), all);
});
