/** Follows docs/building.md, section by section, with the packed package and the tools that it names. */
import {cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import test from 'ava';
import {installPacked} from './fixtures/packed.ts';
import {readPage, type Section, take} from './fixtures/pages.ts';

const root = fileURLToPath(new URL('../', import.meta.url));
const project = mkdtempSync(join(tmpdir(), 'faena-building-'));
const TOOLS = ['typescript@5.9.3', 'esbuild@0.28.2', 'tsx@4.23.15', 'vite@8.3.8', 'vitest@5.1.2', '@types/node@24'];

const [introduction, ...sections] = readPage('building.md');

test.before('packs the package, and installs it with the tools', async t => {
	t.timeout(300_000);
	await installPacked(project, ...TOOLS);
});

test.after.always(() => rmSync(project, {recursive: true, force: true}));

/** Makes a folder with the files of the introduction and these. */
function makeFolder(name: string, files: Readonly<Record<string, string>> = {}): string {
	const folder = join(project, name.replaceAll(/\W+/g, '-'));
	mkdirSync(folder);
	symlinkSync(join(project, 'node_modules'), join(folder, 'node_modules'));
	cpSync(join(project, 'package.json'), join(folder, 'package.json'));
	for (const [file, content] of Object.entries({...filesOf(introduction), ...files})) writeFileSync(join(folder, file), content);
	return folder;
}

function filesOf({steps}: Section): Readonly<Record<string, string>> {
	return Object.assign({}, ...steps.map(({files}) => files));
}

function follow(folder: string, commands: string): Promise<string> {
	return take({files: {}, commands, output: undefined}, folder);
}

test('the page has a section for each way that it names', t => {
	t.true(sections.filter(({steps}) => steps.some(({commands}) => commands !== undefined)).length >= 8);
	t.deepEqual(Object.keys(filesOf(introduction)), ['tasks.ts', 'main.ts']);
});

for (const {title, steps} of sections) {
	if (steps.every(({commands}) => commands === undefined)) continue;
	test.serial(`what docs/building.md says works: ${title}`, async t => {
		t.timeout(180_000);
		const folder = makeFolder(title);
		for (const step of steps) t.regex(await take(step, folder), title.includes('test') ? /\b1 passed|pass 1\b/ : /^42$/m, step.commands);
	});
}

test.serial('tsc of TypeScript 7 builds it as well, also without the types of Node', async t => {
	t.timeout(120_000);
	const files = filesOf(sections.find(({title}) => title === 'tsc') as Section);
	const folder = makeFolder('tsc of 7', files);
	const config = JSON.parse(files['tsconfig.json'] ?? '{}');
	writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({...config, compilerOptions: {...config.compilerOptions, types: []}}));
	t.is(await follow(folder, `node ${join(root, 'node_modules/typescript/bin/tsc')}\nnode dist/main.js`), '42\n');
});

/** Files that name the module once. */
const DEFINED = filesOf(sections.find(({title}) => title === 'esbuild') as Section);

test.serial('TypeScript that is compiled to CommonJS names its module by __filename', async t => {
	t.timeout(120_000);
	const folder = makeFolder('tsc to CommonJS', {
		'package.json': '{"private": true}',
		'tsconfig.json':
			'{"compilerOptions": {"module": "nodenext", "strict": true, "rewriteRelativeImportExtensions": true, "outDir": "dist"}, "files": ["all.ts"]}',
		'doubles.ts': "import {defineTasks} from 'faena';\nconst double = (n: number) => 2 * n;\nexport const tasks = defineTasks(__filename, {double});",
		'all.ts':
			"import {open} from 'faena';\nimport {tasks} from './doubles.ts';\nopen({queue: 'jobs.db', tasks, workers: 1}).then(async faena => {\nconsole.log(await faena.call('double', 21));\nawait faena.close();\n});",
	});
	t.is(await follow(folder, 'npx tsc\nnode dist/all.js'), '42\n');
});

test.serial('Vite keeps tasks that name their module in a file of their own', async t => {
	t.timeout(120_000);
	const config = filesOf(sections.find(({title}) => title === 'Vite') as Section)['vite.config.js'] ?? '';
	const folder = makeFolder('Vite with defined tasks', {
		...DEFINED,
		'vite.config.js': config.replace("['main.ts', 'tasks.ts']", "['program.ts', 'doubles.ts']"),
	});
	t.regex(await follow(folder, 'npx vite build\nnode dist/program.js'), /^42$/m);
});

test.serial('enums, decorators and path aliases work with tsx', async t => {
	t.timeout(120_000);
	const folder = makeFolder('tsx of more', {
		'tsconfig.json': JSON.stringify({compilerOptions: {module: 'nodenext', experimentalDecorators: true, paths: {'#factor': ['./factor.ts']}}}),
		'factor.ts': 'export enum Factor { Two = 2 }',
		'tasks.ts': `import {Factor} from '#factor';
			function twice(_: unknown, __: string, descriptor: PropertyDescriptor) { const run = descriptor.value; descriptor.value = (n: number) => Factor.Two * run(n); }
			class Numbers { @twice static same(n: number) { return n; } }
			export const double = (n: number) => Numbers.same(n);`,
	});
	const run = follow(folder, 'npx tsx main.ts');
	// On Node 22, tsx 4 leaves the modules of worker threads to Node: here and without Faena.
	if (process.versions.node.startsWith('22.')) return void (await t.throwsAsync(run, {message: /Invalid or unexpected token/}));
	t.is(await run, '42\n');
});

/** Bundles in the form of CommonJS can't have one. */
const WITHOUT_TOP_LEVEL_AWAIT = "import {open} from 'faena';\nopen({queue: 'jobs.db'}).then(faena => faena.close());";

test.serial('a bundle of Faena itself, and a bundle of the program with its tasks, say what is wrong', async t => {
	t.timeout(120_000);
	const esbuild = 'npx esbuild --bundle --platform=node --outdir=dist --log-level=error';
	const banner = `--banner:js="import {createRequire as make} from 'node:module'; const require = make(import.meta.url);"`;
	for (const [name, options] of [
		['as a module', `--format=esm ${banner}`],
		['as CommonJS', '--format=cjs'],
	] as const) {
		const whole = makeFolder(`bundle of all ${name}`, {'package.json': '{"private": true}', 'main.ts': WITHOUT_TOP_LEVEL_AWAIT});
		const failed = await t.throwsAsync(
			follow(whole, `${esbuild} ${options} main.ts --out-extension:.js=.${name.includes('Common') ? 'cjs' : 'mjs'}\nnode dist/main.*`),
		);
		t.regex((failed as unknown as {stderr: string}).stderr, /code: 'Bundled'/, name);
		t.regex((failed as unknown as {stderr: string}).stderr, /Faena can't run from a bundle, .* Leave the package faena out of the bundle/, name);
	}
	const module = makeFolder('bundle of all as a module without a banner');
	const early = await t.throwsAsync(follow(module, `${esbuild} --format=esm main.ts\nnode dist/main.js`));
	t.regex((early as unknown as {stderr: string}).stderr, /Error: Dynamic require of "fs" is not supported/);
	const both = makeFolder('bundle of both', DEFINED);
	const refused = await t.throwsAsync(follow(both, `${esbuild} --format=esm --packages=external program.ts doubles.ts\nnode dist/program.js`));
	const {stderr} = refused as unknown as {stderr: string};
	t.regex(stderr, /BadTasksModule/);
	t.regex(stderr, /open\(\) was called in a worker, which imports \S+program\.js for its tasks .* put the tasks into the program's file, .*--splitting/);
});
