import {execFile, execFileSync} from 'node:child_process';
import {cpSync, existsSync, globSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {promisify} from 'node:util';
import test from 'ava';
import {checkTypes} from './fixtures/check-types.ts';
import {installPacked} from './fixtures/packed.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../', import.meta.url));
const project = mkdtempSync(join(tmpdir(), 'faena-package-'));

test.before('packs the package and installs it in an empty project', async t => {
	t.timeout(180_000);
	await installPacked(project);
	cpSync(join(root, 'test/fixtures/typed'), project, {recursive: true});
});

test.after.always(() => rmSync(project, {recursive: true, force: true}));

test('the package works from JavaScript, without its install scripts', async t => {
	const {stdout} = await run(process.execPath, ['plain.js'], {cwd: project});
	t.is(stdout.trim(), '42');
});

test('nobody who uses a file installs a driver for PostgreSQL; who does not have it is told', async t => {
	t.false(existsSync(join(project, 'node_modules/pg')));
	const fails = (...words: readonly string[]) =>
		run(process.execPath, words, {cwd: project}).then(
			() => t.fail(),
			({stderr}: {stderr: string}) => stderr,
		);
	const sentence = /A queue on PostgreSQL needs the package pg beside faena\. Install it with npm install pg\./;
	t.regex(await fails('--input-type=module', '--eval', "import {open} from 'faena'; await open({queue: 'postgres://127.0.0.1/app'})"), sentence);
	t.regex(await fails('node_modules/faena/dist/lib/cli/main.js', 'status', '--queue', 'postgres://127.0.0.1/app'), sentence);
});

test('the package works from TypeScript', async t => {
	const {stdout} = await run(process.execPath, ['main.ts'], {cwd: project});
	t.deepEqual(JSON.parse(stdout), {
		doubled: 42,
		edited: false,
		greeting: 'Hello Ana, job 2',
		none: true,
		squares: [2, 4, 6],
		stored: true,
		summary: '3 completed',
	});
});

checkTypes(project, [['7', join(root, 'node_modules/typescript'), join(root, 'node_modules/@types')]]);

/** Every one of them is code that users run with their own rights: a new one needs a reason in ARCHITECTURE.md. */
const TREE = [
	'@standard-schema/spec',
	...[
		'ansi-regex',
		'better-sqlite3',
		'commander',
		'croner',
		'csv-parse',
		'fastest-levenshtein',
		'fdir',
		'get-east-asian-width',
		'ms',
		'nanoid',
		'node-addon-api',
		'picomatch',
		'piscina',
		'pure-rand',
		...['string-width', 'strip-ansi'],
		'tinyglobby',
	],
	'tinypool',
];

test("the package's dependencies are a known list, and none of them runs a script when it is installed", t => {
	const {packages} = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
		packages: Record<string, {dev?: boolean; devOptional?: boolean; optional?: boolean; hasInstallScript?: boolean}>;
	};
	const needed = Object.entries(packages).filter(([path, {dev, devOptional}]) => path !== '' && !dev && !devOptional);
	const names = needed.filter(([, {optional}]) => !optional).map(([path]) => path.replace(/.*node_modules\//, ''));
	t.deepEqual(names.sort(), TREE);
	for (const [path, {hasInstallScript}] of needed) t.falsy(hasInstallScript, path);
	// That of Piscina, which does without it.
	for (const [path] of needed.filter(([, {optional}]) => optional)) t.regex(path, /^node_modules\/@napi-rs\/nice/);
});

test('the package brings the command', async t => {
	const {stdout} = await run(process.execPath, [join(project, 'node_modules/.bin/faena'), '--version'], {cwd: project});
	t.regex(stdout, /^\d+\.\d+\.\d+\n$/);
});

test('the command measures with what the package brings', async t => {
	const command = [join(project, 'node_modules/.bin/faena'), 'bench', '--trial', 'granularity', '--blocks', '1', '--jobs', '20', '--json'];
	const {stdout} = await run(process.execPath, command, {cwd: project});
	const {discarded} = JSON.parse(stdout) as {discarded: readonly {discarded: string}[]};
	t.deepEqual(
		discarded.filter(each => each.discarded.startsWith('void')),
		[],
	);
});

test('the examples of the package, copied into a project, run as they are', async t => {
	cpSync(join(project, 'node_modules/faena/examples'), join(project, 'examples'), {recursive: true});
	const example = (name: string, ...args: string[]) => run(process.execPath, [join(project, 'examples', name, 'main.ts'), ...args], {cwd: project});
	const users = readFileSync(join(project, 'examples/ndjson/users.ndjson'), 'utf8').trim().split('\n');
	const {stdout} = await example('ndjson', join(project, 'examples/ndjson/users.ndjson'));
	t.is(stdout.trim().split('\n').length, users.length);
	t.regex((await example('queens', '8')).stdout, /\b92\b/);
	t.regex((await example('precompress', 'examples', '--out', 'compressed')).stdout, /To start anew/);
	t.regex((await example('pipeline', '--lines', '1000', '--kills', '1', '--within', '1')).stdout, /\S/);
});

test('the package has the files that it needs, and no others', t => {
	const folder = join(project, 'node_modules/faena');
	const pages = ['ARCHITECTURE.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'LICENSE', 'README.md', 'SECURITY.md', 'docs'];
	t.deepEqual(readdirSync(folder).sort(), [...pages, 'bench', 'dist', 'examples', 'package.json'].sort());
	// The pictures of the README, and nothing else of the measuring suite but what `faena bench` runs, in dist.
	t.deepEqual(readdirSync(join(folder, 'bench')), ['results']);
	const shown = ['README.md', 'docs/speed.md'].map(page => readFileSync(join(folder, page), 'utf8')).join('');
	t.true(readdirSync(join(folder, 'bench/results')).every(name => shown.includes(`bench/results/${name}`)));
	t.deepEqual(
		readdirSync(join(folder, 'docs')),
		readdirSync(join(root, 'docs')).filter(name => /\.(md|svg|schema\.json)$|^internals$/.test(name)),
	);
	t.true(existsSync(join(folder, 'dist/workers/thread.js')));
	t.deepEqual(readdirSync(join(folder, 'dist')).sort(), ['bench', 'lib', 'workers']);
});

test('every link of the README and of the pages in docs leads to something in the package', t => {
	const folder = join(project, 'node_modules/faena');
	const pages = ['README.md', 'examples/README.md', ...globSync('docs/**/*.md', {cwd: folder})];
	const dead = pages.flatMap(page => {
		const links = [...readFileSync(join(folder, page), 'utf8').matchAll(/\]\((?!https?:)([^)#]+)[^)]*\)/g)].map(([, link = '']) => link);
		return links.filter(link => !existsSync(join(folder, dirname(page), link))).map(link => `${page}: ${link}`);
	});
	t.deepEqual(dead, []);
});

test('on an older Node importing it says in one sentence what is needed and what runs', t => {
	const old = join(project, 'old.cjs');
	writeFileSync(old, "Object.defineProperty(process, 'versions', {value: {...process.versions, node: '20.20.2'}});");
	const source = "import('faena').catch(error => console.log(error.code, error.message))";
	const printed = execFileSync(process.execPath, ['--require', old, '--input-type=module', '--eval', source], {cwd: project, encoding: 'utf8'});
	t.is(printed.trim(), 'UnsupportedNode Faena needs Node.js 22.18 or newer; this is 20.20.2.');
});
