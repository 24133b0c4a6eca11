import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import {defineTasks, open} from '../../lib/index.ts';
import {openQueue, work} from '../../lib/queue.ts';
import {openForTest} from '../../lib/testing.ts';
import {tasks} from '../fixtures/defined-tasks.ts';
import {test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {Program} from '../fixtures/program.ts';

for (const isolation of ['thread', 'process', 'inline'] as const) {
	test(`a module that defines its tasks is named once, and has no others: ${isolation}`, async t => {
		const faena = await open({queue: join(makeFolder(t), 'jobs.db'), tasks, isolation, workers: 1});
		const doubled: number = await faena.call('double', 21);
		const greeting: string = await faena.call('greet', 'Ana');
		t.deepEqual([doubled, greeting], [42, 'Hello Ana']);
		await t.throwsAsync(faena.call('isNoTask' as never), {code: 'UnknownTask', message: /there is double, greet/});
		await faena.close();
	});
}

test('a module that defines its tasks can also be named by its file, and its tasks be run in a test or by work()', async t => {
	const file = fileURLToPath(new URL('../fixtures/defined-tasks.ts', import.meta.url));
	const faena = await open<typeof tasks.tasks>({queue: join(makeFolder(t), 'jobs.db'), tasks: file, workers: 1});
	t.is(await faena.call('double', 21), 42);
	await faena.close();
	const tested = await openForTest(tasks);
	t.is(await tested.call('greet', 'Ana'), 'Hello Ana');
	await tested.close();
	const queue = await openQueue(':memory:');
	await queue.enqueue([{task: 'double', payload: 21}]);
	const controller = new AbortController();
	const loop = work(queue, tasks as never, {signal: controller.signal});
	while ((await queue.counts()).completed === 0) await sleep(5);
	controller.abort();
	await loop;
	t.is((await queue.values(1))?.result, 42);
	await queue.close();
});

test('of several results of defineTasks() a worker takes the own one of the module, or refuses them in a sentence', async t => {
	const folder = makeFolder(t);
	const library = JSON.stringify(new URL('../../lib/index.ts', import.meta.url).href);
	const write = (name: string, text: string) => writeFileSync(join(folder, name), `import {defineTasks} from ${library};\n${text}`);
	write('base.ts', 'export const base = defineTasks(import.meta.url, {charge: () => "base", other: () => 1});');
	write(
		'own.ts',
		'import {base} from "./base.ts"; export * from "./base.ts"; export const tasks = defineTasks(import.meta.url, {...base.tasks, charge: () => "own"});',
	);
	write('two.ts', 'export const a = defineTasks(import.meta.url, {x: () => 1}); export const b = defineTasks(import.meta.url, {y: () => 2});');
	const openAt = (name: string) => open({queue: join(folder, 'jobs.db'), tasks: join(folder, name), workers: 1});
	const faena = await openAt('own.ts');
	t.deepEqual([await faena.call('charge'), await faena.call('other')], ['own', 1]);
	await faena.close();
	await t.throwsAsync(openAt('two.ts'), {code: 'BadTasksModule', message: /several defineTasks\(\) \(x; y\)\. List all tasks in one call/});
});

test('a program that is also the module of its tasks is refused in a sentence: its workers would open engines, and so on', async t => {
	const program = new Program(t, 'own-tasks', join(makeFolder(t), 'jobs.db'));
	const {code, stderr} = await program.ended();
	t.is(code, 1);
	t.regex(stderr, /BadTasksModule/);
	t.regex(stderr, /open\(\) was called in a worker, which imports \S+own-tasks\.ts for its tasks .* If that file is also the program/);
});

test('defineTasks() refuses a wrong module and wrong tasks in a sentence', t => {
	const run = () => 1;
	// biome-ignore lint/suspicious/noExplicitAny: the point is to give what the types refuse
	const cases: readonly (readonly [any, any, RegExp])[] = [
		[undefined, {run}, /^defineTasks\(\) expects as its first argument import\.meta\.url, or in CommonJS __filename; it got undefined/],
		[5, {run}, /its first argument/],
		[new URL('https://example.org/tasks.js'), {run}, /a path or a file: URL; it got "https:/],
		[import.meta.url, undefined, /its second argument an object; it got undefined/],
		[import.meta.url, {}, /an object with a function for each task/],
		[import.meta.url, {run, other: 5}, /expects as other a function; it got 5/],
		[import.meta.url, {run: class {}}, /expects as run a function; it got a class/],
	];
	for (const [module, tasks, words] of cases) t.throws(() => defineTasks(module, tasks), {code: 'BadOption', message: words});
});
