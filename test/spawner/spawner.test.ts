import {existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import type {ExecutionContext} from 'ava';
import {type Engine, open} from '../../lib/index.ts';
import {CommandClient} from '../../lib/spawner/command-client.ts';
import {Spawner} from '../../lib/spawner/spawner.ts';
import {isLockFree} from '../../lib/store/owners/owner-lock.ts';
import {openForTest} from '../../lib/testing.ts';
import {again} from '../fixtures/again.ts';
import {test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {PostgresServer} from '../fixtures/postgres-server.ts';
import {areAlive, areGone, childrenOf, countAlive, endAll, isGone, makeToken, spawnersOf} from '../fixtures/processes.ts';
import {Program} from '../fixtures/program.ts';
import {between, SEED, seeded} from '../fixtures/random.ts';

type Tasks = typeof import('../fixtures/exec-tasks.ts');

const TASKS = new URL('../fixtures/exec-tasks.ts', import.meta.url);
const JOBS = 20;

async function openAs(t: ExecutionContext, isolation: 'thread' | 'process' | 'inline'): Promise<Engine<Tasks>> {
	t.timeout(60_000);
	const faena = await open<Tasks>({queue: join(makeFolder(t), 'jobs.db'), tasks: TASKS, isolation, workers: 2, grace: 100, defaults: {maxAttempts: 1}});
	t.teardown(() => faena.close({drain: 0}));
	return faena;
}

/** What a program and the spawner of its engine have left in their folder for temporary files. */
interface Run {
	readonly folder: string;
	readonly temporary: string;
	/** @param round the variable ROUND in the environment of its commands */
	start(round: number): Program;
}

function makeRun(t: ExecutionContext, isolation: string, queueOf: (folder: string) => string): Run {
	t.timeout(120_000);
	const folder = makeFolder(t);
	const temporary = join(folder, 'tmp');
	mkdirSync(temporary);
	const start = (round: number) =>
		new Program(t, {name: 'runs-commands', under: ['env', `TMPDIR=${temporary}`, `ROUND=${round}`]}, ...[queueOf(folder), isolation, folder, String(JOBS)]);
	return {folder, temporary, start};
}

/** Resolves once so many commands of this round have started. Those of an earlier round may still be starting. */
async function haveStarted(folder: string, round: number, count: number): Promise<void> {
	const rounds = () => (existsSync(join(folder, 'started')) ? readFileSync(join(folder, 'started'), 'utf8').split('\n') : []);
	while (rounds().filter(each => each === String(round)).length < count) await sleep(1);
}

/** Kills a program four times, after some of its commands have started, each time starts another one at once, and lets the last one end. */
async function killAgainAndAgain(t: ExecutionContext, {folder, temporary, start}: Run, kill: (pid: number) => void): Promise<void> {
	const random = seeded(SEED);
	const take = (seconds: number) => writeFileSync(join(folder, 'seconds'), String(seconds));
	// Longer than another program needs to start and to reclaim the jobs.
	take(10);
	for (let round = 0; round < 4; round++) {
		const program = start(round);
		await haveStarted(folder, round, between(random, 1, 3));
		await sleep(between(random, 0, 20));
		kill(program.process.pid as number);
	}
	take(0.02);
	const last = start(4);
	// Jobs that completed in an earlier program are reused.
	t.deepEqual(
		await last.lines(),
		Array.from({length: JOBS}, () => 'completed'),
		again(),
	);
	t.like(await last.ended(), {code: 0});
	t.false(existsSync(join(folder, 'overlap')), `a command ran beside another one of its job. ${again()}`);
	// What the killed programs had left is removed by those that come after them, and by processes of theirs that outlive them a little.
	const left = () => [...readdirSync(temporary).filter(name => !/^faena-\d*$/.test(name)), ...readdirSync(folder).filter(name => name.includes('-owner-'))];
	for (let tries = 0; left().length > 0 && tries < 500; tries++) await sleep(20);
	t.deepEqual(left(), []);
}

/** A program with a command that resists its end. @param under what starts the program */
async function startResisting(t: ExecutionContext, under: readonly string[] = []) {
	t.timeout(60_000);
	const [folder, token] = [makeFolder(t), makeToken()];
	t.teardown(() => endAll(token));
	const program = new Program(t, {name: 'execs', under}, join(folder, 'jobs.db'), token);
	// The program has it on its own command line.
	await areAlive(token, 7);
	const [spawner = 0] = spawnersOf(program.process.pid as number);
	return {program, folder, token, spawner};
}

if (process.platform === 'linux') {
	for (const isolation of ['thread', 'process', 'inline'] as const) {
		test(`${isolation}: when a program is killed, no command of its jobs is alive when another one runs them again`, async t => {
			const run = makeRun(t, isolation, folder => join(folder, 'jobs.db'));
			await killAgainAndAgain(t, run, pid => process.kill(pid, 'SIGKILL'));
		});

		test(`${isolation}: the same when its spawners are killed with it`, async t => {
			const run = makeRun(t, isolation, folder => join(folder, 'jobs.db'));
			await killAgainAndAgain(t, run, pid => {
				const all = [...spawnersOf(pid), pid];
				for (const each of all) process.kill(each, 'SIGKILL');
			});
		});

		test(`${isolation}: when the spawners are killed, their commands are gone before their jobs run again, uncharged, by another one`, async t => {
			const faena = await openAs(t, isolation);
			const [token, child, folder] = [makeToken(), makeToken(), makeFolder(t)];
			t.teardown(() => endAll(child));
			// One that has lost its parent, and one that has no environment. Only the first execution of a job starts them.
			const script = join(folder, 'script');
			writeFileSync(script, `mkdir ${folder}/$1 || exit 0\nsh -c 'sleep ${child} &'\nenv -i sleep ${token}`);
			const failed = new Promise<void>(resolve => {
				let left = 2;
				faena.on('failed', () => --left === 0 && resolve());
			});
			const jobs = await Promise.all(['a', 'b'].map(name => faena.enqueue('exec', {file: 'sh', args: [script, name]})));
			await areAlive(child, 2);
			await areAlive(token, 2);
			const spawners = spawnersOf(process.pid);
			for (const spawner of spawners) process.kill(spawner, 'SIGKILL');
			await failed;
			t.is(countAlive(token) + countAlive(child), 0);
			for (const job of jobs) {
				t.is((await job.outcome()).status, 'completed');
				t.like(await job.info(), {attempts: 0, executions: 2});
			}
			t.deepEqual(
				spawnersOf(process.pid).filter(each => spawners.includes(each)),
				[],
			);
		});
	}

	for (const isolation of ['thread', 'process'] as const) {
		test(`${isolation}: when one of two spawners is killed, only its commands end`, async t => {
			const faena = await openAs(t, isolation);
			const tokens = [makeToken(), makeToken()];
			t.teardown(() => tokens.forEach(endAll));
			const jobs = await Promise.all(tokens.map(token => faena.enqueue('exec', {file: 'sleep', args: [token]})));
			for (const token of tokens) await areAlive(token, 1);
			const spawners = spawnersOf(process.pid);
			t.is(spawners.length, 2);
			const failed = new Promise<{readonly id: number}>(resolve => faena.on('failed', resolve));
			// The job of a command that ended would begin again within a second.
			await faena.pause('exec');
			process.kill(spawners[0] as number, 'SIGKILL');
			const {id} = await failed;
			t.deepEqual(tokens.map(countAlive).sort(), [0, 1]);
			t.is((await jobs.find(job => job.id !== id)?.info())?.status, 'running');
		});
	}

	test('a job whose command ends its spawner each time is charged at its tenth execution', async t => {
		const faena = await openForTest<Tasks>(TASKS, {defaults: {maxAttempts: 1}});
		t.teardown(() => faena.close({drain: 0}));
		const job = await faena.enqueue('exec', {file: 'kill -KILL $PPID; sleep 10', options: {shell: true}});
		for (let execution = 1; execution < 10; execution++) {
			await faena.drain();
			t.like(await job.info(), {status: 'failed', attempts: 0, executions: execution});
			faena.clock.advance('1m');
		}
		await faena.drain();
		t.like(await job.info(), {status: 'dead', attempts: 1, executions: 10});
	});

	test('a worker that hears of the end of a spawner before its engine does gets another one once the commands are gone', async t => {
		const token = makeToken();
		t.teardown(() => endAll(token));
		// A spawner alone keeps no program alive.
		const alive = setInterval(() => undefined, 1000);
		t.teardown(() => clearInterval(alive));
		const spawner = new Spawner({});
		t.teardown(() => spawner.close());
		const addressOf = async (lost?: string) => {
			const address = await spawner.addressFor(t, lost);
			return 'socket' in address ? address.socket : t.fail(address.error.message);
		};
		const socket = await addressOf();
		const client = new CommandClient(async lost => client.receive(await spawner.addressFor(t, lost)));
		const connection = await client.connect();
		connection.start({file: 'sleep', args: [token], cwd: '/', env: {}, input: undefined, output: () => undefined});
		await areAlive(token, 1);
		process.kill(spawnersOf(process.pid).at(-1) as number, 'SIGKILL');
		// The event loop has not turned.
		const another = await addressOf(socket);
		t.is(countAlive(token), 0);
		t.not(another, socket);
	});

	test('on PostgreSQL, too, no command is alive when another program runs its job again', async t => {
		const server = await PostgresServer.start();
		t.teardown(() => server.stop());
		const kills = [
			(pid: number) => process.kill(pid, 'SIGKILL'),
			(pid: number) => [...spawnersOf(pid), pid].forEach(each => void process.kill(each, 'SIGKILL')),
		];
		for (const [index, kill] of kills.entries()) {
			const run = makeRun(t, 'thread', () => `${server.url}?schema=commands${index}`);
			await killAgainAndAgain(t, run, pid => void kill(pid));
		}
	});

	test('a program that is killed together with a spawner that has just been started leaves nothing once another program has run its jobs', async t => {
		const {folder, temporary, start} = makeRun(t, 'thread', folder => join(folder, 'jobs.db'));
		writeFileSync(join(folder, 'seconds'), '0.02');
		const {pid = 0} = start(0).process;
		let children: number[] = [];
		while (children.length === 0) children = childrenOf(pid);
		for (const each of [...children, pid]) process.kill(each, 'SIGKILL');
		const last = start(1);
		t.is((await last.lines()).length, JOBS);
		t.like(await last.ended(), {code: 0});
		t.deepEqual(readdirSync(temporary), []);
	});

	test('a spawner that can not be started says why', async t => {
		const list = join(makeFolder(t), 'list');
		const {TMPDIR} = process.env;
		t.teardown(() => Object.assign(process.env, {TMPDIR: TMPDIR ?? '/tmp'}));
		process.env['TMPDIR'] = '/dev/null';
		const address = await new Spawner({list}).addressFor(t);
		t.regex('error' in address ? address.error.message : '', /^The process that starts commands could not be started \(ENOTDIR: /);
	});

	test('a program that is killed leaves no command and no spawner, whatever the command does', async t => {
		const {program, token, spawner} = await startResisting(t);
		await program.kill('SIGKILL');
		await areGone(token);
		await isGone(spawner);
		t.pass();
	});

	test('as long as the spawner of a program that was killed lives, its owner counts as alive', async t => {
		const {program, folder, token, spawner} = await startResisting(t);
		const lock = join(folder, readdirSync(folder).find(name => /-owner-.{21}$/.test(name)) ?? '');
		process.kill(spawner, 'SIGSTOP');
		await program.kill('SIGKILL');
		t.false(isLockFree(lock));
		process.kill(spawner, 'SIGCONT');
		await isGone(spawner);
		t.true(isLockFree(lock));
		t.is(countAlive(token), 0);
	});

	test('signals to the whole process group reach neither the spawner nor its commands', async t => {
		const {program, folder, token} = await startResisting(t, ['setsid']);
		process.kill(-(program.process.pid as number), 'SIGINT');
		// It ends in good order, and so stops the command.
		t.is((await program.ended()).signal, 'SIGINT');
		t.is(countAlive(token), 0);
		const faena = await open({queue: join(folder, 'jobs.db')});
		t.teardown(() => faena.close());
		t.like((await faena.jobs().page())[0], {status: 'pending', attempts: 0});
	});
}
