/** A program for {@link killed.test.ts}: does on the queue what it is told, and goes on until it is killed. */
import {open} from '../../lib/index.ts';
import type {AnyTasks} from '../../lib/job/task/task.ts';

const [queue = '', act = '', ...names] = process.argv.slice(2);
const tasks = new URL('./tasks.ts', import.meta.url);
const isSignalled = act === 'command';
const faena = await open<AnyTasks>({queue, tasks, workers: 1, isolation: act === 'save' ? 'process' : 'thread', grace: 50, closeOnSignals: isSignalled});

const ACTS: Readonly<Record<string, () => Promise<unknown>>> = {
	save: () => faena.map('save', names, {batch: 'b'}).toArray(),
	command: () => faena.map('command', names, {batch: 'b'}).toArray(),
	pipe: () => faena.pipe(names, 'hold', {task: 'echo', group: 2}, {batch: 'p', order: 'input'}).toArray(),
	async flow() {
		const flow = faena.newFlow('f');
		flow.job('got', null, {dependsOn: names.map(name => flow.job('hold', name))});
		return (await flow.enqueue()).ended();
	},
	async times() {
		await faena.pause('got');
		await faena.enqueue('echo', 'delayed', {delay: '1h'});
		await faena.enqueue('got', null, {expires: '1h'});
		await faena.call('hold', 'never');
	},
};

await ACTS[act]?.();
