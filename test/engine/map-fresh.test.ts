/** Which items a map runs again because something has changed since their jobs ran. */
import {appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {pathToFileURL} from 'node:url';
import type {ExecutionContext} from 'ava';
import Database from 'better-sqlite3';
import {lookAt} from '../../lib/freshness/files.ts';
import {type Engine, type MapOptions, type MapProgress, type OpenOptions, open} from '../../lib/index.ts';
import {test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';

/**
 * Appends a line for each run, and returns the text of its file. Its helper is a module of its own. Of Faena it imports one file only: each engine looks at
 * all that its tasks import.
 */
const TASKS = `
	import {appendFileSync, existsSync, readFileSync, writeFileSync} from 'node:fs';
	import {task} from ${JSON.stringify(import.meta.resolve('../../lib/job/task/make-task.ts'))};
	import {shout} from './shout.js';
	const run = ({path, log, output}) => {
		appendFileSync(log, path.split('/').pop() + '\\n');
		if (output) writeFileSync(output, '');
		return existsSync(path) ? shout(readFileSync(path, 'utf8')) : 'none';
	};
	export const read = task(run, {files: ({path}) => [path], outputs: ({output}) => (output ? [output] : [])});
	export const versioned = task(run, {version: process.env.TASK_VERSION ?? '1', files: ({path}) => [path]});
	export const always = task(run, {fresh: ['content', 'code'], files: ({path}) => [path]});
	export const plain = ({path, log}) => run({path, log});
	export const pair = task(({a, b, log}) => run({path: a, log}) + run({path: b, log}), {files: ({a, b}) => [a, b]});
	export const gated = task(async ({path, log}) => {
		appendFileSync(log, path.split('/').pop() + '\\n');
		while (!existsSync(log + '.go')) await new Promise(resolve => setTimeout(resolve, 5));
		return readFileSync(path, 'utf8');
	}, {files: ({path}) => [path]});
	export const slow = task(async ({path, log}, ctx) => {
		appendFileSync(log, path.split('/').pop() + ' from ' + (ctx.resumeFrom ?? 'the start') + '\\n');
		ctx.checkpoint('a checkpoint of ' + readFileSync(path, 'utf8'));
		if (readFileSync(path, 'utf8') === 'wait') await new Promise(resolve => ctx.signal.addEventListener('abort', resolve));
		return readFileSync(path, 'utf8');
	}, {files: ({path}) => [path]});
`;
const SHOUT = 'export const shout = text => text.toUpperCase();';

interface Payload {
	readonly path: string;
	readonly log: string;
	readonly output?: string;
}

/** A program's folder: its tasks, and files for them. */
class Project {
	readonly folder: string;
	readonly log: string;
	readonly #t: ExecutionContext;

	constructor(t: ExecutionContext) {
		this.#t = t;
		this.folder = makeFolder(t);
		this.log = join(this.folder, 'log');
		writeFileSync(join(this.folder, 'package.json'), '{"type": "module"}');
		this.write('tasks.js', TASKS);
		this.write('shout.js', SHOUT);
	}

	path(name: string): string {
		return join(this.folder, name);
	}

	/** Writes a file that was last changed a while ago, as those of users are. */
	write(name: string, text: string): string {
		writeFileSync(this.path(name), text);
		return this.age(name);
	}

	/** A time of now says little: the file may be written again in the same moment. */
	age(name: string): string {
		const long = new Date(Date.now() - 3_600_000);
		utimesSync(this.path(name), long, long);
		return this.path(name);
	}

	async open(options: Pick<OpenOptions, 'env' | 'isolation'> = {}): Promise<Engine> {
		this.#t.timeout(60_000);
		const faena = await open({queue: this.path('jobs.db'), tasks: pathToFileURL(this.path('tasks.js')), workers: 1, grace: 50, ...options});
		this.#t.teardown(() => faena.close({drain: 0}));
		return faena;
	}

	/** Maps the files, each with its name as key, in an engine of its own. Returns the names of those that ran, in order, and how far the map came. */
	async map(
		task: string,
		names: readonly string[],
		options: Omit<MapOptions<string, Payload>, 'payload' | 'key'> & Pick<OpenOptions, 'env' | 'isolation'> & {readonly output?: true} = {},
	): Promise<{readonly ran: readonly string[]; readonly results: readonly unknown[]; readonly progress: MapProgress; readonly gone: readonly string[]}> {
		const {env, isolation, output, ...given} = options;
		rmSync(this.log, {force: true});
		const faena = await this.open({...(env && {env}), ...(isolation && {isolation})});
		const payload = (name: string) => ({path: this.path(name), log: this.log, ...(output && {output: this.path(`${name}.out`)})});
		const map = faena.map(task, names, {batch: 'files', key: name => name, payload, order: 'input', ...given});
		const ended = await map.toArray();
		const gone = await map.gone();
		await faena.close();
		const ran = existsSync(this.log) ? readFileSync(this.log, 'utf8').trim().split('\n') : [];
		return {ran, results: ended.map(end => (end.status === 'completed' ? end.result : end.status)), progress: map.progress(), gone};
	}
}

const CONTENT = {fresh: 'content'} as const;

test('an item runs again if a file of it has other content, and not if it was only touched', async t => {
	const project = new Project(t);
	const names = ['a', 'b', 'c'];
	for (const name of names) project.write(name, name);
	const first = await project.map('read', names, CONTENT);
	t.deepEqual([first.ran, first.results], [names, ['A', 'B', 'C']]);
	t.like(first.progress, {added: 3, changed: 0, byOtherCode: 0, gone: 0, reused: 0});
	t.like(await project.map('read', names, CONTENT), {ran: [], results: ['A', 'B', 'C'], progress: {added: 0, changed: 0, reused: 3}});
	project.write('b', 'B');
	// Other times, the same content.
	project.write('c', 'c');
	t.like(await project.map('read', names, CONTENT), {ran: ['b'], results: ['A', 'B', 'C'], progress: {added: 0, changed: 1, reused: 2, gone: 0}});
	t.like(await project.map('read', names, CONTENT), {ran: [], progress: {changed: 0, reused: 3}});
});

test('items that an earlier map has left unfinished count as neither changed nor unchanged', async t => {
	const project = new Project(t);
	const names = ['a', 'b'];
	const paths = names.map(name => project.write(name, name));
	const options: MapOptions<string, Payload> = {
		...{...CONTENT, batch: 'files', key: path => path, files: path => [path]},
		payload: path => ({path, log: project.log}),
	};
	const first = await project.open();
	await first.pause('read');
	const interrupted = first.map('read', paths, options).toArray();
	while ((await first.counts()).pending < 2) await sleep(5);
	await first.close({drain: 0});
	await t.throwsAsync(interrupted, {code: 'Closed'});
	const faena = await project.open();
	async function* whenDone() {
		// The map knows which jobs are unfinished before it asks for a second item.
		yield project.write('c', 'c');
		await faena.resume('read');
		yield* paths;
	}
	const map = faena.map('read', whenDone(), options);
	t.true((await map.toArray()).every(({status, reused}) => status === 'completed' && !reused));
	t.like(map.progress(), {completed: 3, added: 1, changed: 0, reused: 0});
	await faena.close();
});

test('an edit that keeps the size of a file and restores its time is found', async t => {
	const project = new Project(t);
	project.write('a', 'one');
	await project.map('read', ['a'], CONTENT);
	const {atime, mtime} = statSync(project.path('a'));
	writeFileSync(project.path('a'), 'two');
	utimesSync(project.path('a'), atime, mtime);
	t.like(await project.map('read', ['a'], CONTENT), {ran: ['a'], results: ['TWO']});
});

test('a file that is edited twice within the same moment runs twice', async t => {
	const project = new Project(t);
	for (const text of ['one', 'two', 'six']) {
		writeFileSync(project.path('a'), text);
		const times = statSync(project.path('a'));
		t.like(await project.map('read', ['a'], CONTENT), {ran: ['a'], results: [text.toUpperCase()]});
		utimesSync(project.path('a'), times.atime, times.mtime);
	}
});

test('a file that changed while its job ran is run again by the next map, also if what the job has waited for was deleted meanwhile', async t => {
	const project = new Project(t);
	project.write('a', 'a');
	const faena = await project.open();
	const payload = {path: project.path('a'), log: project.log};
	const before = await faena.enqueue('plain', payload);
	await before.result();
	rmSync(project.log);
	const map = (options: MapOptions<string, Payload>) =>
		faena.map('gated', ['a'], {batch: 'files', key: name => name, payload: () => payload, fresh: 'content', ...options}).toArray();
	const first = map({dependsOn: [before]});
	while (!existsSync(project.log)) await sleep(10);
	// Before the file is looked at.
	const cleaned = new Promise<number>(resolve => faena.on('completed', () => resolve(faena.cleanup(before.id))));
	// Whoever listens is told what happens after the next call.
	await faena.counts();
	writeFileSync(project.path('a'), 'for a moment');
	writeFileSync(`${project.log}.go`, '');
	t.like(await first, [{status: 'completed', result: 'for a moment'}]);
	t.is(await cleaned, 1);
	project.write('a', 'a');
	t.like(await map({}), [{reused: false, status: 'completed', result: 'a'}]);
});

test('a file that changes while its job runs is run again by the next map, also if the change is undone', async t => {
	const project = new Project(t);
	for (const name of ['a', 'b']) project.write(name, name);
	for (const [options, bytes] of [[{batch: 'files'}], [{}], [{batch: 'large'}, new Uint8Array(32 * 1024)]] as const) {
		const map = async () => {
			const faena = await project.open();
			const payload = (name: string) => ({path: project.path(name), log: project.log, bytes});
			const results = faena.map('gated', ['a', 'b'], {...options, key: name => name, payload, order: 'input', fresh: 'content'}).toArray();
			return {faena, results};
		};
		rmSync(project.log, {force: true});
		rmSync(`${project.log}.go`, {force: true});
		project.write('a', 'a');
		const {faena, results} = await map();
		while (!existsSync(project.log)) await sleep(10);
		writeFileSync(project.path('a'), 'for a moment');
		writeFileSync(`${project.log}.go`, '');
		const [first] = await results;
		t.is(first?.status === 'completed' && first.result, 'for a moment');
		await faena.close();
		project.write('a', 'a');
		rmSync(project.log);
		const second = await map();
		t.deepEqual(
			(await second.results).map(end => [end.reused, end.status === 'completed' && end.result]),
			[
				[false, 'a'],
				[true, 'b'],
			],
		);
		await second.faena.close();
		const third = await map();
		t.true((await third.results).every(({reused}) => reused));
		await third.faena.close();
	}
});

test('a link that leads to another file counts as a change, though the files are equally large and old', async t => {
	const project = new Project(t);
	for (const name of ['one', 'two']) project.write(name, name);
	symlinkSync('one', project.path('current'));
	t.deepEqual((await project.map('read', ['current'], CONTENT)).results, ['ONE']);
	rmSync(project.path('current'));
	symlinkSync('two', project.path('current'));
	t.deepEqual((await project.map('read', ['current'], CONTENT)).results, ['TWO']);
	// Written so quickly that some have the same times.
	const many = Array.from({length: 200}, (_, index) => project.path(`${index}`));
	for (const path of many) writeFileSync(path, 'as large');
	t.is(new Set(many.map(path => lookAt([path]).attributes)).size, many.length);
});

test('new items run, and those that are gone keep their jobs, or lose them if the map asks for that', async t => {
	const project = new Project(t);
	for (const name of ['a', 'b', 'c', 'd']) project.write(name, name);
	await project.map('read', ['a', 'b', 'c'], CONTENT);
	const kept = await project.map('read', ['d', 'b'], CONTENT);
	t.like(kept, {ran: ['d'], results: ['D', 'B'], progress: {added: 1, changed: 0, reused: 1, gone: 2, missing: 0}, gone: ['a', 'c']});
	t.like(await project.map('read', ['a'], CONTENT), {ran: [], progress: {reused: 1, gone: 3}, gone: ['b', 'c', 'd']});
	t.like(await project.map('read', ['a', 'a', 'c'], {...CONTENT, missing: 'delete'}), {ran: [], progress: {reused: 3, gone: 2}});
	const faena = await project.open();
	t.like(await faena.counts(), {completed: 2});
	await faena.close();
	t.like(await project.map('read', ['a', 'b', 'c', 'd'], CONTENT), {ran: ['b', 'd'], progress: {added: 2, reused: 2, gone: 0}});
});

test('results that other code has made are counted, and run again if the map asks for that', async t => {
	const project = new Project(t);
	for (const name of ['a', 'b']) project.write(name, name);
	await project.map('read', ['a'], CONTENT);
	// A module that the tasks module imports.
	project.write('shout.js', "export const shout = text => text + '!';");
	t.like(await project.map('read', ['a', 'b'], CONTENT), {ran: ['b'], results: ['A', 'b!'], progress: {added: 1, changed: 0, reused: 1, byOtherCode: 1}});
	const code = ['content', 'code'] as const;
	t.like(await project.map('read', ['a', 'b'], {fresh: code}), {ran: ['a'], results: ['a!', 'b!'], progress: {changed: 1, reused: 1, byOtherCode: 0}});
	t.like(await project.map('read', ['a', 'b'], {fresh: code}), {ran: [], progress: {reused: 2, byOtherCode: 0}});
	appendFileSync(project.path('tasks.js'), '\nexport const more = () => 1;');
	t.like(await project.map('read', ['a', 'b'], {fresh: 'code'}), {ran: ['a', 'b'], progress: {changed: 2}});
});

test('the version of a task stands for its code', async t => {
	const project = new Project(t);
	project.write('a', 'a');
	await project.map('versioned', ['a'], {fresh: 'code'});
	project.write('shout.js', "export const shout = text => text + '!';");
	t.like(await project.map('versioned', ['a'], {fresh: 'code'}), {ran: [], results: ['A']});
	t.like(await project.map('versioned', ['a'], {fresh: 'code', env: {TASK_VERSION: '2'}}), {ran: ['a'], results: ['a!']});
});

test('a module that is required counts as code, as one that is imported', async t => {
	const project = new Project(t);
	mkdirSync(project.path('common'));
	project.write('common/package.json', '{}');
	project.write('common/tasks.js', "const shout = require('./shout.js'); exports.read = ({path}) => shout(path.split('/').pop());");
	project.write('common/shout.js', 'module.exports = text => text.toUpperCase();');
	const map = async () => {
		const faena = await open({queue: project.path('jobs.db'), tasks: project.path('common/tasks.js'), workers: 1});
		const map = faena.map('read', [{path: '/a'}], {batch: 'b', fresh: 'code'});
		const [end] = await map.toArray();
		await faena.close();
		return [end?.status === 'completed' && end.result, end?.reused];
	};
	t.deepEqual(
		[await map(), await map()],
		[
			['A', false],
			['A', true],
		],
	);
	project.write('common/shout.js', 'module.exports = text => text + "!";');
	t.deepEqual(
		[await map(), await map()],
		[
			['a!', false],
			['a!', true],
		],
	);
});

test('content that has changed is run again by a later map that asks for it, though one that does not has seen it', async t => {
	const project = new Project(t);
	for (const name of ['a', 'b']) project.write(name, name);
	await project.map('read', ['a', 'b'], CONTENT);
	project.write('a', 'other');
	const files = (name: string) => [project.path(name)];
	for (const fresh of ['code', 'payload'] as const) t.deepEqual((await project.map('read', ['a', 'b'], {fresh, files})).ran, []);
	t.like(await project.map('read', ['a', 'b'], CONTENT), {ran: ['a'], results: ['OTHER', 'B']});
});

test('a map that compares payloads only notes the files that it is given for a later map', async t => {
	const project = new Project(t);
	project.write('a', 'a');
	const files = (name: string) => [project.path(name)];
	await project.map('plain', ['a'], {fresh: 'payload', files});
	t.deepEqual((await project.map('plain', ['a'], {fresh: 'content', files})).ran, []);
});

test('a completed job runs again if a file that it has made is gone', async t => {
	const project = new Project(t);
	for (const name of ['a', 'b']) project.write(name, name);
	const options = {...CONTENT, output: true} as const;
	await project.map('read', ['a', 'b'], options);
	t.deepEqual((await project.map('read', ['a', 'b'], options)).ran, []);
	rmSync(project.path('a.out'));
	t.deepEqual((await project.map('read', ['a', 'b'], {...options, fresh: 'payload', files: () => []})).ran, []);
	t.like(await project.map('read', ['a', 'b'], options), {ran: ['a'], progress: {changed: 1, reused: 1}});
	t.true(existsSync(project.path('a.out')));
});

test('an interrupted job whose file has changed begins anew, without its checkpoint; one whose file is the same goes on', async t => {
	for (const [change, from] of [
		['wait', 'a checkpoint of wait'],
		['go', 'the start'],
	] as const) {
		const project = new Project(t);
		project.write('a', 'wait');
		const options = {batch: 'b', payload: (name: string) => ({path: project.path(name), log: project.log}), ...CONTENT};
		const faena = await project.open();
		const interrupted = t.throwsAsync(faena.map('slow', ['a'], options).toArray(), {code: 'Closed'});
		await until(async () => (await faena.job(1).info())?.checkpoint !== undefined);
		await faena.pause('slow');
		await faena.close({drain: 0});
		await interrupted;
		project.write('a', change);
		rmSync(project.log);
		const again = await project.open();
		const map = again.map('slow', ['a'], options);
		const ended = map.toArray().catch(() => undefined);
		// Otherwise the job would go on before the map has looked at its file.
		await until(async () => map.progress().total === 1 && (await again.batch('b').info())?.total === 1);
		await again.resume('slow');
		// The file is there a moment before its line.
		await until(async () => existsSync(project.log) && statSync(project.log).size > 0);
		t.is(readFileSync(project.log, 'utf8'), `a from ${from}\n`);
		await again.close({drain: 0});
		await ended;
	}
});

async function until(is: () => Promise<boolean>): Promise<void> {
	while (!(await is())) await sleep(10);
}

test("with fresh: 'all' every item runs in each map", async t => {
	const project = new Project(t);
	project.write('a', 'a');
	for (let times = 0; times < 2; times++) t.like(await project.map('plain', ['a'], {fresh: 'all'}), {ran: ['a'], results: ['A']});
	t.like(await project.map('plain', ['a'], {fresh: 'code'}), {ran: [], progress: {reused: 1}});
});

test('a task says by itself what makes its items run again, and a map may say otherwise', async t => {
	const project = new Project(t);
	project.write('a', 'a');
	await project.map('always', ['a']);
	t.deepEqual((await project.map('always', ['a'])).ran, []);
	project.write('a', 'b');
	t.like(await project.map('always', ['a'], {fresh: 'payload'}), {ran: [], results: ['A']});
	t.like(await project.map('always', ['a']), {ran: ['a'], results: ['B']});
	// Without a name and a key there is nothing to find again.
	const faena = await project.open();
	t.like(await faena.map('always', [{path: project.path('a'), log: project.log}]).toArray(), [{result: 'B', reused: false}]);
});

test('all files of an item count; one that is not there counts as a change when it comes, and not when it goes; a folder is refused', async t => {
	const project = new Project(t);
	project.write('a', 'a');
	const pair = async () => {
		const faena = await project.open();
		const payload = {a: project.path('a'), b: project.path('b'), log: project.log};
		const map = faena.map('pair', [payload], {batch: 'pairs', ...CONTENT});
		const [end] = await map.toArray();
		await faena.close();
		return [end?.status === 'completed' && end.result, end?.reused];
	};
	t.deepEqual(
		[await pair(), await pair()],
		[
			['Anone', false],
			['Anone', true],
		],
	);
	project.write('b', 'b');
	t.deepEqual(
		[await pair(), await pair()],
		[
			['AB', false],
			['AB', true],
		],
	);
	project.write('b', 'c');
	t.deepEqual(await pair(), ['AC', false]);
	rmSync(project.path('a'));
	t.deepEqual(await pair(), ['AC', true]);
	mkdirSync(project.path('a'));
	await t.throwsAsync(pair, {code: 'BadOption', message: /named one by one, and .*\/a is a folder/});
});

test("a map's own files, keys outside batches, and another payload", async t => {
	const project = new Project(t);
	project.write('a', 'a');
	const map = async (payload: object) => {
		const faena = await project.open();
		const found = faena.map('plain', ['a'], {
			...{key: name => name, payload: name => ({path: project.path(name), log: project.log, ...payload})},
			...{fresh: 'content', files: name => [project.path(name)]},
		});
		const [end] = await found.toArray();
		const {changed} = found.progress();
		await faena.close();
		return [end?.status === 'completed' && end.result, end?.reused, changed];
	};
	t.deepEqual(await map({}), ['A', false, 0]);
	t.deepEqual(await map({}), ['A', true, 0]);
	t.deepEqual(await map({width: 5}), ['A', false, 1]);
	project.write('a', 'b');
	t.deepEqual(await map({width: 5}), ['B', false, 1]);
});

test('jobs of which nothing is known run again: an earlier map without fresh has enqueued them', async t => {
	const project = new Project(t);
	project.write('a', 'a');
	await project.map('read', ['a']);
	t.like(await project.map('read', ['a'], CONTENT), {ran: ['a'], progress: {changed: 1}});
	t.like(await project.map('read', ['a'], CONTENT), {ran: []});
	const db = new Database(project.path('jobs.db'));
	db.exec("update fingerprint set value = 'garbage'");
	db.close();
	t.like(await project.map('read', ['a'], CONTENT), {ran: ['a'], progress: {changed: 1}});
});

test('ten thousand unchanged files are found unchanged, in any order', async t => {
	const project = new Project(t);
	const names = Array.from({length: 10_000}, (_, index) => `f${index}`);
	for (const name of names.slice(0, 100)) project.write(name, name);
	await project.map('read', names, CONTENT);
	project.write('f7', 'other');
	t.like(await project.map('read', names.toReversed(), CONTENT), {ran: ['f7'], progress: {added: 0, changed: 1, reused: 9_999}});
});

test('a completed item of which a file is absent for a moment keeps its result, and runs once the file is back with other content', async t => {
	const project = new Project(t);
	for (const name of ['a', 'b']) project.write(name, name);
	await project.map('read', ['a', 'b'], CONTENT);
	for (const fresh of ['content', 'all'] as const) {
		rmSync(project.path('a'));
		const other = fresh === 'all' ? ['b'] : [];
		t.like(await project.map('read', ['a', 'b'], {fresh}), {ran: other, results: ['A', 'B'], progress: {reused: 2 - other.length, absent: 1}});
		project.write('a', 'a');
		if (fresh !== 'all') t.like(await project.map('read', ['a', 'b'], {fresh}), {ran: [], results: ['A', 'B'], progress: {reused: 2, absent: 0}});
	}
	project.write('a', 'other');
	t.like(await project.map('read', ['a', 'b'], CONTENT), {ran: ['a'], results: ['OTHER', 'B'], progress: {changed: 1, absent: 0}});
});

const EXCLAIM = "export const shout = text => text + '!';";

for (const isolation of ['thread', 'process'] as const) {
	test(`a result is made by the code that its worker had loaded, whatever its files have when the map looks at them (${isolation})`, async t => {
		const project = new Project(t);
		for (const name of ['a', 'b', 'c']) project.write(name, name);
		const old = await project.open({isolation});
		project.write('shout.js', EXCLAIM);
		const payload = (name: string) => ({path: project.path(name), log: project.log});
		const map = old.map('read', ['a', 'b'], {batch: 'files', key: name => name, payload, fresh: 'code', order: 'input'});
		t.deepEqual(
			(await map.toArray()).map(end => end.status === 'completed' && end.result),
			['A', 'B'],
		);
		await old.close();
		t.like(await project.map('read', ['a', 'c'], {...CONTENT, isolation}), {ran: ['c'], results: ['A', 'c!'], progress: {reused: 1, byOtherCode: 1}});
		t.like(await project.map('read', ['a', 'b', 'c'], {fresh: 'code', isolation}), {ran: ['a', 'b'], results: ['a!', 'b!', 'c!'], progress: {changed: 2}});
		t.like(await project.map('read', ['a', 'b', 'c'], {fresh: 'code', isolation}), {ran: [], progress: {reused: 3, byOtherCode: 0}});
	});
}

test('workers and the look at the code find the same modules, also where execArgv says which', async t => {
	const project = new Project(t);
	project.write('package.json', JSON.stringify({type: 'module', imports: {'#shout': {loud: './loud.js', default: './shout.js'}}}));
	project.write('tasks.js', "import {shout} from '#shout'; export const read = name => shout(name);");
	project.write('loud.js', EXCLAIM);
	const map = async () => {
		const faena = await open({queue: project.path('jobs.db'), tasks: project.path('tasks.js'), workers: 1, execArgv: ['--conditions=loud']});
		const map = faena.map('read', ['a'], {batch: 'b', fresh: 'code'});
		const [end] = await map.toArray();
		await faena.close();
		return [end?.status === 'completed' && end.result, end?.reused];
	};
	t.deepEqual(await map(), ['a!', false]);
	t.deepEqual(await map(), ['a!', true]);
});

test('a result keeps the code that made it when a change of its files is noted', async t => {
	const project = new Project(t);
	project.write('a', 'a');
	const old = await project.open();
	project.write('tasks.js', `${TASKS}\n`);
	const payload = {path: project.path('a'), log: project.log};
	const results = old.map('gated', ['a'], {batch: 'files', key: name => name, payload: () => payload, fresh: 'content'}).toArray();
	while (!existsSync(project.log)) await sleep(10);
	writeFileSync(project.path('a'), 'for a moment');
	writeFileSync(`${project.log}.go`, '');
	await results;
	await old.close();
	t.like(await project.map('gated', ['a'], {fresh: 'code'}), {ran: ['a'], progress: {changed: 1}});
});

test("a map with fresh: 'all' that was interrupted goes on where it was, and one that has ended begins anew", async t => {
	const project = new Project(t);
	const names = ['a', 'b', 'c', 'd'];
	for (const name of names) project.write(name, name);
	const mapAll = (fresh: MapOptions<string, Payload>['fresh'] = 'all') => project.map('slow', names, {fresh});
	const from = (...all: readonly string[]) => all.map(name => `${name} from the start`);
	await mapAll();
	for (const end of ['a run with fresh: all', 'another run'] as const) {
		project.write('c', 'wait');
		rmSync(project.log);
		const faena = await project.open();
		const payload = (name: string) => ({path: project.path(name), log: project.log});
		const interrupted = faena.map('slow', names, {batch: 'files', key: name => name, payload, fresh: 'all', window: 1}).toArray();
		while (!existsSync(project.log) || !readFileSync(project.log, 'utf8').includes('c from')) await sleep(10);
		await faena.close({drain: 0});
		await t.throwsAsync(interrupted, {code: 'Closed'});
		project.write('c', 'c');
		if (end === 'another run') {
			// It yields all items, and who asks for all once more means all.
			t.is((await mapAll('payload')).ran.length, 1);
			t.deepEqual((await mapAll()).ran, from(...names));
		} else {
			const {ran, results, progress} = await mapAll();
			t.deepEqual([ran.length, results], [2, names]);
			t.is(progress.changed, 1);
			// The engine may have run c before the map began.
			t.true(progress.reused === 2 || progress.reused === 3);
			t.deepEqual((await mapAll()).ran, from(...names));
		}
	}
	// Items that are missing from the input, and are held, don't keep it from its end.
	t.deepEqual((await project.map('slow', ['a'], {fresh: 'all'})).ran, from('a'));
	t.deepEqual((await project.map('slow', ['a'], {fresh: 'all'})).ran, from('a'));
});
