import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {join} from 'node:path';
import {text} from 'node:stream/consumers';
import test from 'ava';
import {inheritedArgs} from '../../lib/support/node.ts';
import {makeFolder} from '../fixtures/folder.ts';

const INHERITED: readonly [given: string, inherited: string][] = [
	[
		'--no-warnings --import ./hook.mjs --require ./hook.cjs --env-file .env -r ./hook.cjs',
		'--no-warnings --import ./hook.mjs --require ./hook.cjs --env-file .env -r ./hook.cjs',
	],
	['--conditions development -e 1+1 --stack-size=2000', '--conditions development --stack-size=2000'],
	['--input-type=module -e code', ''],
	['--input-type module --eval=code --no-warnings', '--no-warnings'],
	['-p -e code', ''],
	['-pe code -i -c --no-warnings', '--no-warnings'],
	['--inspect=0 --inspect-brk --inspect-port 9230 --no-warnings', '--no-warnings'],
	['--test --test-isolation=none --test-name-pattern some --watch --watch-path ./src --no-warnings', '--no-warnings'],
	['--interpreted-frames-native-stack --print-bytecode --testing', '--interpreted-frames-native-stack --print-bytecode --testing'],
];

for (const [given, inherited] of INHERITED) {
	test(`a worker takes over the Node options that are not for the program alone: ${given}`, t => {
		t.is(inheritedArgs(given.split(' ')).join(' '), inherited);
	});
}

const ENTRIES = ['index', 'queue'].map(name => new URL(`../../lib/${name}.ts`, import.meta.url).href);
const TASKS = new URL('../fixtures/tasks.ts', import.meta.url).href;

const WAYS: readonly [flags: readonly string[], from: 'argument' | 'stdin'][] = [
	[['--input-type=module', '-e'], 'argument'],
	[['--input-type', 'module', '--stack-size=900', '--eval'], 'argument'],
	[['--input-type=module-typescript', '--eval'], 'argument'],
	[['--input-type=module', '-'], 'stdin'],
	[['--input-type=module'], 'stdin'],
	[['-e'], 'argument'],
];

for (const isolation of ['thread', 'process']) {
	for (const [flags, from] of WAYS) {
		test.serial(`a program opens its engine however Node gets its code (${isolation}): node ${flags.join(' ')}`, async t => {
			t.timeout(60_000);
			const options = {queue: join(makeFolder(t), 'jobs.db'), tasks: TASKS, workers: 1, isolation};
			const code = `Promise.all(${JSON.stringify(ENTRIES)}.map(entry => import(entry))).then(async ([{open}, {openQueue, work}]) => {
				const faena = await open(${JSON.stringify(options)});
				console.log(await faena.call('add', {a: 1, b: 2}));
				await faena.close();
				const queue = await openQueue(${JSON.stringify(options.queue)});
				// work() starts a thread for its heartbeat.
				await work(queue, {add: () => 0}, {signal: AbortSignal.abort()});
				await queue.close();
				console.log('closed');
			});`;
			const child = spawn(process.execPath, from === 'argument' ? [...flags, code] : flags);
			t.teardown(() => child.kill('SIGKILL'));
			child.stdin.end(from === 'stdin' ? code : '');
			const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
			t.is(stdout, '3\nclosed\n', stderr);
		});
	}
}
