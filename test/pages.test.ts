/** Follows pages of docs from top to bottom, with the packed package, as a new user does. */
import {spawnSync} from 'node:child_process';
import {once} from 'node:events';
import {copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync} from 'node:fs';
import {type AddressInfo, createServer} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import test, {type ExecutionContext} from 'ava';
import Database from 'better-sqlite3';
import {installPacked} from './fixtures/packed.ts';
import {firstMissing, readPage, type Step, take} from './fixtures/pages.ts';

const root = fileURLToPath(new URL('../', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'faena-pages-'));
let tarball: string;

test.before('packs the package, and installs it', async t => {
	t.timeout(300_000);
	tarball = await installPacked(folder);
});

test.after.always(() => rmSync(folder, {recursive: true, force: true}));

/** Makes a project in which the package is installed. */
function makeProject(name: string): string {
	const project = join(folder, name.replaceAll(/\W+/g, '-'));
	mkdirSync(project);
	symlinkSync(join(folder, 'node_modules'), join(project, 'node_modules'));
	writeFileSync(join(project, 'package.json'), '{"type": "module"}');
	return project;
}

const stepsOf = (page: string): Step[] => readPage(page).flatMap(section => section.steps);

/** Takes the steps, and fails if one prints something else than the page says; without `isExact`, numbers and names of folders may differ. */
async function follow(t: ExecutionContext, steps: readonly Step[], project: string, isExact: (step: Step) => boolean): Promise<void> {
	t.true(steps.some(({output}) => output !== undefined));
	for (const step of steps) {
		const printed = await take(step, project);
		// On a slow machine, the failed job of docs/getting-started.md may be tried again, or be dead, before its program is interrupted.
		const onTime = printed.replace(/( pending), (\d+ completed)(, 1 dead)?$/m, '$1, 1 failed, $2');
		const missing = [printed, onTime].map(each => firstMissing(step.output ?? '', each));
		if (isExact(step)) t.is(printed, step.output ?? '', step.commands);
		else t.true(missing.includes(undefined), `${step.commands}\n${printed}\n${missing[0]}`);
	}
}

test.serial('all that README.md types works in an empty folder, and the interrupted run is resumed', async t => {
	t.timeout(300_000);
	const project = mkdtempSync(join(tmpdir(), 'faena-readme-'));
	t.teardown(() => rmSync(project, {recursive: true, force: true}));
	const steps = readPage('../README.md').flatMap(({steps}) => steps);
	t.is(steps.length, 4);
	// A shell that stops at the first error: the first run is interrupted on purpose.
	const type = (commands: string) =>
		commands
			.replace('npm install faena', `npm install --prefer-offline ${tarball}`)
			.replace(/^timeout .*?(?= {2,}#)/m, '$& ||:')
			.replace(/^npx faena work .*?(?= {2,}#)/m, 'timeout --signal INT 60 $& & worker=$!')
			.replace(/^node enqueue.ts/m, '$&; kill $worker; wait ||:');
	const printed: string[] = [];
	for (const step of steps) printed.push(await take({...step, commands: type(step.commands ?? `node ${Object.keys(step.files)[0]}`)}, project));
	const [shell, program, workers, more] = printed;
	t.deepEqual(
		[...new Set(shell?.match(/^\d+$/gm))].map(Number).toSorted((a, b) => a - b),
		Array.from({length: 60}, (_, index) => index + 1),
	);
	t.regex(shell as string, /: 60 completed/);
	t.regex(program as string, /^[\da-f]{64} package\.json$/m);
	t.regex(workers as string, /^[\da-f]{64}$/m);
	t.regex(more as string, /counts: \{[^}]*completed: 2[\s\S]*\n[\da-f]{64}\n[\da-f]{64}$/m);
});

test.serial('every step of docs/getting-started.md works, and prints what is written below it', async t => {
	t.timeout(300_000);
	const project = mkdtempSync(join(tmpdir(), 'faena-getting-started-'));
	t.teardown(() => rmSync(project, {recursive: true, force: true}));
	const [initialise, ...steps] = stepsOf('getting-started.md');
	await take({...(initialise as Step), commands: initialise?.commands?.replace('npm install faena', `npm install --prefer-offline ${tarball}`)}, project);
	await follow(t, steps, project, () => false);
});

for (const {title, steps} of readPage('recipes.md').slice(1)) {
	test.serial(`the recipe works, and prints what is written below it: ${title}`, async t => {
		t.timeout(120_000);
		await follow(t, steps, makeProject(title), () => true);
	});
}

test.serial('every step of docs/backup-and-upgrade.md works, and prints what is written below it', async t => {
	t.timeout(120_000);
	const project = makeProject('backup-and-upgrade');
	// Of other versions, which can't be installed here.
	const released = join(root, 'test/fixtures/databases/0.1.0.db');
	for (const name of ['old.db', 'newer.db']) copyFileSync(released, join(project, name));
	const newer = new Database(join(project, 'newer.db'));
	newer.pragma('user_version = 99');
	newer.close();
	await follow(t, stepsOf('backup-and-upgrade.md'), project, () => false);
});

const hasCurl = spawnSync('curl', ['--version']).status === 0;

test.serial('every step of docs/http-server.md works, and prints what is written below it', async t => {
	if (!hasCurl) return t.pass('This machine has no curl, which the page uses.');
	t.timeout(120_000);
	const project = makeProject('http-server');
	symlinkSync(join(root, 'node_modules/fastify'), join(folder, 'node_modules/fastify'));
	const port = await freePort();
	const steps = stepsOf('http-server.md').map(step => ({...step, commands: step.commands?.replaceAll('3000', String(port))}));
	await follow(t, steps, project, () => false);
});

test('docs/http-server.md shows the files of examples/http-server', t => {
	const shown = Object.assign({}, ...stepsOf('http-server.md').map(({files}) => files));
	t.deepEqual(Object.keys(shown).toSorted(), readdirSync(join(root, 'examples/http-server')).toSorted());
	for (const [name, content] of Object.entries(shown)) t.is(content, readFileSync(join(root, 'examples/http-server', name), 'utf8'));
});

async function freePort(): Promise<number> {
	const server = createServer().listen(0);
	await once(server, 'listening');
	const {port} = server.address() as AddressInfo;
	server.close();
	await once(server, 'close');
	return port;
}

test.serial('every step of docs/queue.md works, and prints what is written below it', async t => {
	t.timeout(120_000);
	await follow(t, stepsOf('queue.md'), makeProject('queue'), () => false);
});

test.serial('every step of docs/command-line.md works, and prints what is written below it', async t => {
	t.timeout(120_000);
	await follow(t, stepsOf('command-line.md'), makeProject('command-line'), () => false);
});
