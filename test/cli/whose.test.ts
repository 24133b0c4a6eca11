/** Whose a job is, by the command: no run executes what another one has named, with other code, in another folder or with other options. */
import {once} from 'node:events';
import {mkdirSync, renameSync, rmSync, symlinkSync} from 'node:fs';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import test from 'ava';
import {Folder, parse} from './command.ts';

/** A task that leaves a line in the trace when it starts, and ends once there is the file `go`. */
const MODULE = `
	import {appendFileSync, existsSync, readFileSync} from 'node:fs';
	import {setTimeout as sleep} from 'node:timers/promises';
	export async function run(item) {
		appendFileSync(process.env.TRACE, 'NAME ' + item + '\\n');
		while (!existsSync('go')) await sleep(5);
		return ['NAME', item, process.env.MODE ?? 'none'].join(' ');
	}
	export const read = file => readFileSync(file, 'utf8');
`;

class Project extends Folder {
	constructor(t: ExecutionContext, ...modules: readonly string[]) {
		super(t);
		for (const name of modules) this.write(`${name}.mjs`, MODULE.replaceAll('NAME', name));
	}

	/** Begins a run, and kills it while it executes its first item. */
	async interrupted(first: string, ...args: readonly string[]): Promise<void> {
		const run = this.faena('map', '-j', '1', ...args);
		await this.traced(first);
		await run.kill();
		this.write('trace', '');
	}

	async batches(): Promise<string[]> {
		return (parse((await this.faena('batches', '--json').end()).stdout) as unknown as {name: string}[]).map(({name}) => name);
	}
}

function results(stdout: string): unknown[] {
	return parse(stdout)
		.map(({result}) => result)
		.sort();
}

test('two commands never have one batch, and one command has one by whatever path its queue is named', async t => {
	const folder = new Project(t);
	for (const name of ['a', 'b', 'a b', 'in', 'sub']) name === 'sub' ? mkdirSync(join(folder.path, name)) : folder.write(name);
	symlinkSync('.', join(folder.path, 'link'));
	const map = async (sh: string, ...words: readonly string[]) => {
		const {code, stderr} = await folder.faena('map', '--quiet', '--sh', sh, ...words).end('a\n');
		t.is(code, 0, stderr);
	};
	await map('echo {}', 'a', 'b');
	await map('echo {}', 'a b');
	await map('echo {} a', 'b');
	await map('echo {}', '-a', 'a');
	await map('echo {}', 'a', 'in', 'b');
	await map('echo {} --workdir .', 'a');
	await map('echo {}', '--workdir', '.', 'a');
	const names = await folder.batches();
	t.deepEqual(names.sort(), [
		"sh 'echo {} --workdir .' a",
		"sh 'echo {} a' b",
		"sh 'echo {}' 'a b'",
		"sh 'echo {}' --workdir . a",
		"sh 'echo {}' -a a",
		"sh 'echo {}' a 'in' b",
		"sh 'echo {}' a b",
	]);
	for (const queue of ['link/faena.db', `${folder.path}/faena.db`, './sub/../faena.db']) await map('echo {}', '--queue', queue, 'a', 'b');
	t.deepEqual((await folder.batches()).sort(), names);
});

test('two runs of tasks with one name that begin together execute each its own items', async t => {
	const project = new Project(t, 'a', 'b');
	const runs = ['a', 'b'].map(name => project.faena('map', `./${name}.mjs#run`, '-j', '2', ':::', ...('123456'.replace(/./g, `${name}$&`).match(/../g) ?? [])));
	for (const name of ['a', 'b']) await project.traced(`${name} ${name}1`);
	project.write('go');
	for (const [index, name] of ['a', 'b'].entries()) {
		const {code, stdout, stderr} = await (runs[index] as (typeof runs)[number]).end();
		t.is(code, 0, stderr);
		t.deepEqual(
			results(stdout),
			Array.from('123456', digit => `${name} ${name}${digit} none`),
		);
	}
});

test('a run with other variables computes nothing of an interrupted one', async t => {
	const project = new Project(t, 'a');
	const of = (mode: string, ...items: readonly string[]) => ['./a.mjs#run', '--env', `MODE=${mode}`, ':::', ...items];
	await project.interrupted('a 1', ...of('prod', '1', '2', '3'));
	project.write('go');
	t.deepEqual(results((await project.faena('map', ...of('test', '4')).end()).stdout), ['a 4 test']);
	t.deepEqual(project.executions(), ['a 4']);
	t.deepEqual(results((await project.faena('map', ...of('prod', '1', '2', '3')).end()).stdout), ['a 1 prod', 'a 2 prod', 'a 3 prod']);
});

test("a worker in another folder executes no item of a map, whose paths are relative to the map's folder", async t => {
	const project = new Project(t, 'tasks');
	for (const name of ['a', 'b']) {
		mkdirSync(join(project.path, name));
		for (const file of '12345678') project.write(`${name}/${file}.txt`, name);
	}
	const inFolder = (name: string, ...args: readonly string[]) => project.faenaIn(name, ...args, '--queue', '../w.db');
	const worker = inFolder('b', 'work', '../tasks.mjs');
	await once(worker.child.stderr, 'data');
	const {code, stdout, stderr} = await inFolder('a', 'map', '../tasks.mjs#read', '-j', '1', '*.txt').end();
	t.is(code, 0, stderr);
	t.deepEqual(results(stdout), Array(8).fill('a'));
	await worker.kill();
});

test('a run of commands goes on where it was in a folder that has another name now, with its queue', async t => {
	const project = new Project(t);
	mkdirSync(join(project.path, 'before'));
	const sh = 'echo {} >> ../trace; until [ {} = a ] || [ -e ../go ]; do sleep 0.01; done; echo {}';
	const command = ['map', '-j', '1', '--quiet', '--sh', sh, ':::', 'a', 'b', 'c'];
	const first = project.faenaIn('before', ...command);
	// Printed, so that it is stored.
	await first.printed(1);
	await project.traced('b');
	await first.kill();
	project.write('go');
	renameSync(join(project.path, 'before'), join(project.path, 'after'));
	const {code, stdout, stderr} = await project.faenaIn('after', ...command).end();
	t.is(code, 0, stderr);
	t.deepEqual(stdout.trim().split('\n').sort(), ['a', 'b', 'c']);
	t.deepEqual(project.executions().sort(), ['a', 'b', 'b', 'c']);
});

test('what an earlier run left is not started before the input names it, and the summary says what became of it', async t => {
	const project = new Project(t);
	const command = ['--sh', 'echo {} >> trace; until [ -e go ]; do sleep 0.01; done', '--quiet', '-'];
	const first = project.faena('map', '-j', '1', ...command);
	first.child.stdin.write('a\nb\nc\n');
	await project.traced('a');
	await first.kill();
	project.write('trace', '');
	project.write('go');
	const next = project.faena('map', '--missing', 'cancel', ...command);
	next.child.stdin.write('d\n');
	await project.traced('d');
	const {code, stderr} = await next.end('e\n');
	t.is(code, 0, stderr);
	t.deepEqual(project.executions().sort(), ['d', 'e']);
	t.regex(stderr, /faena: 2 completed, .* 3 unfinished items of an earlier run are not in this input, and were cancelled\.\n$/s);
});

test('the item of a file that was removed after an interrupted run is held: its job neither runs nor dies', async t => {
	const project = new Project(t, 'a');
	for (const name of ['x1', 'x2']) project.write(name);
	await project.interrupted('a x1', './a.mjs#run', 'x*');
	rmSync(join(project.path, 'x2'));
	project.write('go');
	const {code, stdout, stderr} = await project.faena('map', '--quiet', './a.mjs#run', 'x*').end();
	t.deepEqual([code, results(stdout), project.executions()], [4, ['a x1 none'], ['a x1']]);
	t.regex(stderr, /1 unfinished item of an earlier run is not in this input, and stays held\./);
});

test('options given today hold for the items that an interrupted run has left', async t => {
	const project = new Project(t, 'a');
	const command = ['./a.mjs#run', ':::', '1', '2'];
	await project.interrupted('a 1', ...command);
	const {code, stdout} = await project.faena('map', '--timeout', '50ms', '--max-attempts', '1', ...command).end();
	t.is(code, 1);
	t.deepEqual(
		parse(stdout).map(({status, error}) => [status, error?.name]),
		[
			['dead', 'TimedOut'],
			['dead', 'TimedOut'],
		],
	);
});
