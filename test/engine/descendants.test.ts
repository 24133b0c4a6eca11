import {once} from 'node:events';
import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {type Engine, open} from '../../lib/index.ts';
import {Folder, tasks} from '../cli/command.ts';
import {test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {areAlive, areGone, countAlive, endAll, makeToken} from '../fixtures/processes.ts';
import {Program} from '../fixtures/program.ts';
import {WAYS} from '../fixtures/spawning-tasks.ts';

type Tasks = typeof import('../fixtures/spawning-tasks.ts');

if (process.platform === 'linux') {
	for (const [way, {processes}] of Object.entries(WAYS)) {
		// Its next process may start while its own is being killed.
		if (way === 'a timer that starts ever more') continue;
		test(`when a program with child processes is killed, so are the processes that a job there has started by ${way}`, async t => {
			t.timeout(60_000);
			const token = makeToken();
			t.teardown(() => endAll(token));
			const program = new Program(t, 'spawns', join(makeFolder(t), 'jobs.db'), 'process', way, token);
			// The program has it on its own command line.
			await areAlive(token, processes + 1);
			program.process.kill('SIGKILL');
			await areGone(token);
			t.pass();
		});
	}

	for (const isolation of ['thread', 'process'] as const) {
		test(`two Ctrl-C end faena map in a ${isolation} with the commands of its jobs`, async t => {
			t.timeout(60_000);
			const token = makeToken();
			t.teardown(() => endAll(token));
			const program = new Folder(t).faena('map', tasks('spawning-tasks', 'shell'), '--stdin', '--isolation', isolation);
			program.child.stdin.write(`sleep ${token} & sleep ${token}; true\n`);
			await areAlive(token, 3);
			program.child.kill('SIGINT');
			for await (const text of program.child.stderr) if (String(text).includes('stopping')) break;
			program.child.kill('SIGINT');
			await once(program.child, 'exit');
			t.is(countAlive(token), 0);
		});

		for (const signal of ['SIGINT', 'SIGTERM'] as const) {
			test(`jobs in a ${isolation} whose commands die of a ${signal} to the whole process group are charged nothing, and run again`, async t => {
				t.timeout(60_000);
				const folder = makeFolder(t);
				const [queue, token, flag] = [join(folder, 'jobs.db'), makeToken(), join(folder, 'flag')];
				const scripts = [1, 2, 3].map(number => `test -e ${flag} || sleep ${token}; exit $?; ${number}`);
				const program = new Program(t, {name: 'commands', under: ['setsid']}, queue, isolation, ...scripts);
				// Each with its shell; and the program has them all on its own command line.
				await areAlive(token, 2 * scripts.length + 1);
				process.kill(-(program.process.pid as number), signal);
				t.is((await program.ended()).signal, signal);
				const faena = await open({queue});
				for (const job of await faena.jobs().page()) t.like(job, {status: 'pending', attempts: 0});
				await faena.close();
				writeFileSync(flag, '');
				t.deepEqual(await new Program(t, 'commands', queue, isolation, ...scripts).lines(), ['completed', 'completed', 'completed']);
			});
		}

		test(`a Ctrl-C that ends the commands of faena map in a ${isolation} charges their jobs nothing`, async t => {
			t.timeout(60_000);
			const token = makeToken();
			const folder = new Folder(t);
			const program = folder.faena('map', tasks('spawning-tasks', 'shell'), '--stdin', '--isolation', isolation, '--max-attempts', '1');
			const ended = program.end(`exec sleep ${token}\n`);
			await areAlive(token, 1);
			process.kill(-(program.child.pid as number), 'SIGINT');
			t.is((await ended).code, 130);
			const faena = await open({queue: join(folder.path, 'faena.db')});
			t.like((await faena.jobs().page())[0], {status: 'pending', attempts: 0});
			await faena.close();
		});

		for (const way of ['execFile', 'execFileSync', "sh -c 'a & b'"]) {
			test(`a program that is ended by a second signal leaves nothing alive that a job in a ${isolation} has started by ${way}`, async t => {
				t.timeout(60_000);
				const token = makeToken();
				t.teardown(() => endAll(token));
				const program = new Program(t, 'spawns', join(makeFolder(t), 'jobs.db'), isolation, way, token);
				await areAlive(token, (WAYS[way]?.processes as number) + 1);
				program.process.kill('SIGTERM');
				program.process.kill('SIGINT');
				await program.ended();
				t.is(countAlive(token), 0);
			});

			test(`close({drain: 0}) leaves nothing alive that a job in a ${isolation} has started by ${way}, and gives the job back`, async t => {
				const queue = join(makeFolder(t), 'jobs.db');
				const faena: Engine<Tasks> = await open<Tasks>({
					queue,
					tasks: new URL('../fixtures/spawning-tasks.ts', import.meta.url),
					isolation,
					workers: 1,
					grace: 50,
				});
				const token = makeToken();
				const {id} = await faena.enqueue('wait', {way, token});
				await areAlive(token, WAYS[way]?.processes as number);
				await faena.close({drain: 0});
				t.is(countAlive(token), 0);
				const after = await open({queue});
				t.like(await after.job(id).info(), {status: 'pending', attempts: 0, executions: 1});
				await after.close();
			});
		}
	}
}
