import {execFile} from 'node:child_process';
import {readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {fileURLToPath, pathToFileURL} from 'node:url';
import {promisify} from 'node:util';
import type {ExecutionContext} from 'ava';
import test from 'ava';
import {FaenaError} from '../../lib/support/errors.ts';
import {loadTasks} from '../../lib/worker/worker.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {linkPackages} from '../fixtures/linked-packages.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../', import.meta.url));

/** Writes a module and tells which tasks it has. */
async function tasksIn(t: ExecutionContext, name: string, text: string, type: 'module' | 'commonjs' = 'module'): Promise<string[]> {
	const folder = makeFolder(t);
	writeFileSync(join(folder, 'package.json'), JSON.stringify({type}));
	writeFileSync(join(folder, name), text);
	return [...(await loadTasks(pathToFileURL(join(folder, name)).href)).keys()].sort();
}

const COMMONJS: readonly [what: string, text: string, names: readonly string[]][] = [
	['an object', 'module.exports = {fib: n => n, sum: xs => xs};', ['fib', 'sum']],
	['an object with a class and a number', 'module.exports = {fib: n => n, Point: class {}, limit: 5};', ['fib']],
	['computed names', "for (const name of ['fib', 'sum']) exports[name] = n => n;", ['fib', 'sum']],
	['names of its own', 'exports.fib = n => n; exports.sum = xs => xs;', ['fib', 'sum']],
	['one function', 'module.exports = function fib(n) { return n; };', ['default']],
	['a function with others on it', 'module.exports = n => n; module.exports.sum = xs => xs;', ['default', 'sum']],
	[
		'what TypeScript makes of a module',
		"Object.defineProperty(exports, '__esModule', {value: true}); exports.fib = n => n; exports.default = n => n;",
		['default', 'fib'],
	],
];

for (const [what, text, names] of COMMONJS) {
	test(`the tasks of a CommonJS module are the functions that it exports: ${what}`, async t => {
		t.deepEqual(await tasksIn(t, 'tasks.cjs', text), names);
		t.deepEqual(await tasksIn(t, 'tasks.js', text, 'commonjs'), names);
	});
}

test('the tasks of an ES module are its exports by name, and nothing that lies in its default export', async t => {
	t.deepEqual(await tasksIn(t, 'tasks.mjs', 'export const fib = n => n; export default {sum: xs => xs};'), ['fib']);
	t.deepEqual(await tasksIn(t, 'tasks.mjs', 'export default n => n;'), ['default']);
});

test('a task may have the name then', async t => {
	t.deepEqual(await tasksIn(t, 'tasks.mjs', 'export const fib = n => n; export const then = n => n;'), ['fib', 'then']);
	t.deepEqual(await tasksIn(t, "it's 100 %.ts", 'export const then = (n: number): number => n;'), ['then']);
	t.deepEqual(await tasksIn(t, 'tasks.cjs', 'exports.then = n => n; exports.fib = n => n;'), ['fib', 'then']);
});

for (const text of ['module.exports = 5;', 'module.exports = null;', 'exports.Point = class {};', 'export default {fib: n => n};']) {
	test(`a module that exports no function is refused with what to write: ${text}`, async t => {
		const name = text.startsWith('export ') ? 'tasks.mjs' : 'tasks.cjs';
		const error = await t.throwsAsync(tasksIn(t, name, text), {instanceOf: FaenaError, code: 'BadTasksModule'});
		t.regex(error?.message ?? '', /exports no function.*export function hash.*exports\.hash = /);
	});
}

for (const [named, there] of [
	['tasks.ts', 'tasks.js'],
	['tasks.mts', 'tasks.mjs'],
	['tasks.cts', 'tasks.cjs'],
	['tasks.js', 'tasks.ts'],
	['tasks.mjs', 'tasks.mts'],
	['tasks.cjs', 'tasks.cts'],
] as const) {
	test(`where ${named} is missing, ${there} beside it is taken`, async t => {
		const folder = makeFolder(t);
		writeFileSync(join(folder, 'package.json'), '{"type": "module"}');
		writeFileSync(join(folder, there), there.startsWith('tasks.c') ? 'exports.fib = n => n;' : 'export const fib = n => n;');
		t.deepEqual([...(await loadTasks(pathToFileURL(join(folder, named)).href)).keys()], ['fib']);
	});
}

test('where the named module is there, it is taken, whatever lies beside it', async t => {
	const folder = makeFolder(t);
	writeFileSync(join(folder, 'package.json'), '{"type": "module"}');
	writeFileSync(join(folder, 'tasks.ts'), 'export const fib = (n: number) => n;');
	writeFileSync(join(folder, 'tasks.js'), 'export const old = n => n;');
	t.deepEqual([...(await loadTasks(pathToFileURL(join(folder, 'tasks.ts')).href)).keys()], ['fib']);
});

test('a module that is missing in both forms is refused with both names and what to write', async t => {
	const folder = makeFolder(t);
	const error = await t.throwsAsync(loadTasks(pathToFileURL(join(folder, 'tasks.ts')).href), {instanceOf: FaenaError, code: 'BadTasksModule'});
	t.regex(error?.message ?? '', /tasks\.ts does not exist, and neither does .*tasks\.js\. .*new URL\('\.\/tasks\.js', import\.meta\.url\)/);
});

test("the README's program runs as it is, as tsc compiles it, and with its tasks compiled to CommonJS", async t => {
	t.timeout(120_000);
	const folder = makeFolder(t);
	linkPackages(folder);
	writeFileSync(join(folder, 'package.json'), '{"type": "module"}');
	const readme = readFileSync(join(root, 'README.md'), 'utf8');
	for (const [, name = '', code = ''] of readme.matchAll(/^```ts\n(?=\/\/ (\S+\.ts)\n)(.*?)^```/gms)) writeFileSync(join(folder, name), code);
	const asSource = await printed(folder, 'main.ts');
	t.regex(asSource, /^[0-9a-f]{64} package\.json\n$/);

	await compile(folder, 'main.ts', 'tasks.ts');
	t.is(await printed(folder, 'dist/main.js'), asSource);

	const tasks = readFileSync(join(folder, 'tasks.ts'), 'utf8');
	writeFileSync(join(folder, 'tasks.cts'), tasks.replace('import.meta.url', '__filename'));
	rmSync(join(folder, 'tasks.ts'));
	rmSync(join(folder, 'dist/tasks.js'));
	await compile(folder, 'tasks.cts');
	const main = readFileSync(join(folder, 'dist/main.js'), 'utf8');
	writeFileSync(join(folder, 'dist/main.js'), main.replace('./tasks.js', './tasks.cjs'));
	t.is(await printed(folder, 'dist/main.js'), asSource);
});

async function compile(folder: string, ...files: readonly string[]): Promise<void> {
	const options = ['--outDir', 'dist', '--module', 'nodenext', '--target', 'es2022', '--noCheck', '--rewriteRelativeImportExtensions'];
	await run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), ...options, ...files], {cwd: folder});
}

/** What the program prints, in a queue of its own. */
async function printed(folder: string, main: string): Promise<string> {
	const {stdout} = await run(process.execPath, [main, 'package.json'], {cwd: folder, timeout: 60_000});
	for (const name of readdirSync(folder).filter(name => name.startsWith('jobs.db'))) rmSync(join(folder, name), {recursive: true});
	return stdout;
}
