import {chmodSync, mkdirSync, readdirSync, readFileSync, statSync} from 'node:fs';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import test, {type ExecutionContext} from 'ava';
import {makeProgram} from '../../lib/cli/program.ts';
import {open} from '../../lib/index.ts';
import {assertSentence, Folder, type Program, tasks} from './command.ts';

/** The commands that only look, with arguments, each of which must find something. */
const LOOKS: readonly (readonly string[])[] = [
	...[['status'], ['status', '--json'], ['status', '--batch', 'run']],
	...[['list'], ['list', '--sort', 'endedAt', '--json'], ['show', '1'], ['show', '1', '--json'], ['logs', '1'], ['logs', '1', '-f']],
	...[['batches'], ['flow', 'tree'], ['schedules'], ['schedule', 'nightly'], ['doctor']],
];

/** Of these some that read in different ways. */
const SOME_LOOKS = [['status'], ['show', '1'], ['batches'], ['doctor']];

/** The commands that change a queue, and those that take none. */
const OTHERS = ['map', 'adopt', 'work', 'enqueue', 'cancel', 'retry', 'pause', 'resume', 'cleanup', 'delete', 'backup', 'move', 'vacuum', 'schema', 'bench'];

const AS_ANOTHER = fileURLToPath(new URL('../fixtures/programs/looks-as-another.ts', import.meta.url));

/** A queue in a folder of its own, with a job of each kind. */
async function makeQueue(t: ExecutionContext): Promise<{readonly folder: Folder; readonly path: string}> {
	t.timeout(180_000);
	const folder = new Folder(t);
	mkdirSync(join(folder.path, 'queue'));
	const path = join(folder.path, 'queue/faena.db');
	const faena = await open<typeof import('../fixtures/tasks.ts')>({queue: path, tasks: new URL('../fixtures/tasks.ts', import.meta.url), isolation: 'inline'});
	await faena.call('echo', 1);
	for await (const _ of faena.map('echo', [1, 2], {batch: 'run'}));
	const flow = faena.newFlow('tree');
	flow.job('echo', 1);
	await (await flow.enqueue()).ended();
	await faena.setSchedule('nightly', {cron: '0 2 * * *', timezone: 'UTC', task: 'echo', payload: 1});
	await faena.close();
	return {folder, path};
}

interface Snapshot {
	readonly [name: string]: readonly [mode: number, bytes: number, modifiedMs: number, content: string];
}

/** All files of a folder. In the index of the log, which SQLite keeps in memory, readers write their positions. */
function snapshot(path: string): Snapshot {
	const folder = join(path, '..');
	const names = readdirSync(folder);
	return Object.fromEntries(
		names.map(name => {
			const {mode, size, mtimeMs} = statSync(join(folder, name));
			const isIndex = name.endsWith('-shm');
			return [name, [mode, size, isIndex ? 0 : mtimeMs, isIndex ? '' : readFileSync(join(folder, name), 'base64')]];
		}),
	);
}

async function assertLooks(t: ExecutionContext, path: string, looks: typeof LOOKS, look: (...words: readonly string[]) => Program): Promise<void> {
	const before = snapshot(path);
	for (const words of looks) {
		const {code, stderr} = await look(...words, '--queue', path).end();
		t.true(code === 0 || (words[0] === 'doctor' && code === 1), `${words.join(' ')}: ${stderr}`);
		t.is(stderr, '');
		t.deepEqual(snapshot(path), before, words.join(' '));
	}
}

test('each command either looks, or is known to change a queue', async t => {
	const looks = new Set(LOOKS.map(([name]) => name));
	t.deepEqual([...looks, ...OTHERS].toSorted(), (await makeProgram()).commands.map(command => command.name()).toSorted());
});

test('looking at a closed queue leaves all files as they were', async t => {
	const {folder, path} = await makeQueue(t);
	await assertLooks(t, path, LOOKS, (...words) => folder.faena(...words));
});

test('looking while an engine runs, and after it was killed, leaves all files as they were, also for a user who may only read', async t => {
	const {folder, path} = await makeQueue(t);
	const engine = folder.faena('map', tasks('traces-executions', 'hang'), '--stdin', '--batch', 'hanging', '-j', '1', '--queue', path);
	engine.child.stdin.write('one\n');
	while (!folder.executions().includes('one')) await folder.faena('status', '--queue', path).end();
	// It writes nothing while it is stopped.
	process.kill(-(engine.child.pid as number), 'SIGSTOP');
	for (const name of readdirSync(join(path, '..'))) chmodSync(join(path, '..', name), 0o644);
	for (const file of [folder.path, join(folder.path, 'queue')]) chmodSync(file, 0o755);
	await assertLooks(t, path, SOME_LOOKS, (...words) => folder.faena(...words));
	await assertLooks(t, path, SOME_LOOKS, (...words) => folder.run(AS_ANOTHER, ...words));
	await engine.kill();
	await assertLooks(t, path, SOME_LOOKS, (...words) => folder.faena(...words));
	await assertLooks(t, path, SOME_LOOKS, (...words) => folder.run(AS_ANOTHER, ...words));
	t.regex((await folder.faena('status', '--queue', path).end()).stdout, /: 1 running, /, 'nothing is reclaimed');
});

test('a user who may only read is told that a closed queue can not be read, and makes no files that its owner could not use', async t => {
	const {folder, path} = await makeQueue(t);
	chmodSync(path, 0o644);
	// The folder may be written by all of a group.
	for (const file of [folder.path, join(folder.path, 'queue')]) chmodSync(file, 0o755);
	const before = snapshot(path);
	for (const words of SOME_LOOKS.filter(([name]) => name !== 'doctor'))
		assertSentence(
			t,
			await folder.run(AS_ANOTHER, ...words, '--queue', path).end(),
			/faena\.db can't be read: SQLite must write .*-shm and .*-wal beside it/,
			69,
		);
	const {code, stdout} = await folder.run(AS_ANOTHER, 'doctor', '--queue', path).end();
	t.is(code, 1);
	t.regex(stdout, /! The queue can't be opened\.\n {2}.*can't be read: SQLite must write/);
	t.deepEqual(snapshot(path), before);
});

const OPENS = `import {open} from '${new URL('../../lib/index.ts', import.meta.url)}';
for (let number = 0; number < 40; number++) {
	const faena = await open({queue: 'faena.db', tasks: '${fileURLToPath(new URL('../fixtures/tasks.ts', import.meta.url))}', isolation: 'inline'});
	if ((await faena.call('echo', number)) !== number) throw new Error('another result');
	await faena.close();
}
`;

const LOOKS_AGAIN = `import {openQueue} from '${new URL('../../lib/queue.ts', import.meta.url)}';
let isOver = false;
process.stdin.on('end', () => (isOver = true)).resume();
for (let before = 0; !isOver; ) {
	const queue = await openQueue('faena.db', {readOnly: true});
	const {completed} = await queue.counts();
	if (completed < before) throw new Error(\`\${completed} completed after \${before}\`);
	before = completed;
	await queue.close();
	await new Promise(setImmediate);
}
`;

test('engines open and close a queue while others look at it: none fails, and the next one that changes it leaves no other file', async t => {
	t.timeout(120_000);
	const folder = new Folder(t);
	folder.write('opens.mjs', OPENS);
	folder.write('looks.mjs', LOOKS_AGAIN);
	await folder.faena('enqueue', 'echo', '1', '--create').end();
	const lookers = [folder.run('looks.mjs'), folder.run('looks.mjs')];
	const engines = await folder.run('opens.mjs').end();
	t.is(engines.code, 0, engines.stderr);
	for (const looker of lookers) t.like(await looker.end(), {code: 0, stderr: ''});
	t.is((await folder.faena('status').end()).stdout, 'faena.db: 41 completed\n');
	// If a reader had it open last, its log has stayed.
	await folder.faena('cancel', '--task', 'none').end();
	t.deepEqual(
		readdirSync(folder.path).filter(name => name.startsWith('faena.db')),
		['faena.db'],
	);
});
