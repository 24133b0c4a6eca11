/** Pairs in programs that are killed, and go on in another one. */
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {fileURLToPath} from 'node:url';
import {countAlive, makeToken} from '../fixtures/processes.ts';
import {type Case, pair} from './pair.ts';

/** Tasks in the thread of a test, for the jobs of `tasks.ts`. */
const SCOPE = {scope: 'faena/test/pairs/tasks'} as const;

function dies(c: Case, act: string, ...names: readonly string[]) {
	const program = spawn(process.execPath, [fileURLToPath(new URL('./dies.ts', import.meta.url)), c.queue, act, ...names], {
		stdio: 'ignore',
		env: {...process.env, PAIR: c.folder},
	});
	c.t.teardown(() => program.kill('SIGKILL'));
	return async (signal: NodeJS.Signals) => {
		const ended = once(program, 'exit');
		program.kill(signal);
		return (await ended)[1] as NodeJS.Signals | null;
	};
}

pair('kill × checkpoint × process × map × resume', 'the map goes on from the checkpoint, and the item is uncharged', async c => {
	const kill = dies(c, 'save', 'loop');
	await c.until(() => c.times('save from 0') === 1);
	const faena = await c.open({workers: 1});
	await c.until(async () => (await faena.job(1).info())?.checkpoint?.state === 5);
	await kill('SIGKILL');
	const [item] = await faena.map('save', ['loop'], {batch: 'b'}).toArray();
	c.t.like(item, {status: 'completed', result: 5});
	c.t.like(await faena.job(1).info(), {attempts: 0, executions: 2});
});

pair('kill × delay × expires × pause', 'after a restart a delay, an expiry and a pause hold', async c => {
	const kill = dies(c, 'times');
	await c.until(() => c.times('hold never') === 1);
	await kill('SIGKILL');
	const faena = await c.test({...SCOPE, only: ['echo', 'got']});
	await faena.drain();
	c.t.is(c.times('echo "delayed"'), 0);
	c.t.like(await faena.counts({task: 'got'}), {pending: 1});
	faena.clock.advance('2h');
	await faena.drain();
	c.t.is(c.times('echo "delayed"'), 1);
	await c.until(async () => (await faena.counts({task: 'got'})).cancelled === 1);
});

pair('kill × pipe × group × resume', 'each item is once in the result, and what had completed does not run again', async c => {
	c.make('a');
	const kill = dies(c, 'pipe', 'a', 'b', 'c');
	const looks = await c.test({only: ['sum']});
	await c.until(async () => (await looks.counts()).completed === 1);
	await kill('SIGKILL');
	for (const name of ['b', 'c']) c.make(name);
	const faena = await c.open();
	const groups = await faena.pipe(['a', 'b', 'c'], 'hold', {task: 'echo', group: 2}, {batch: 'p', order: 'input'}).toArray();
	c.t.deepEqual(groups, [['a', 'b'], ['c']]);
	c.t.is(c.times('hold a'), 1);
});

pair('SIGINT × map × exec × resume', 'the program ends by the signal, with its commands, and the map goes on uncharged', async c => {
	const token = makeToken();
	const line = `test -e done || sleep ${token}; true`;
	const kill = dies(c, 'command', line);
	// The program has it on its own command line.
	await c.until(() => countAlive(token) >= 3);
	const ended = kill('SIGINT');
	const again = setInterval(() => void kill('SIGINT').catch(() => undefined), 100);
	c.t.is(await ended, 'SIGINT');
	clearInterval(again);
	await c.until(() => countAlive(token) === 0);
	c.make('done');
	const faena = await c.open();
	const [item] = await faena.map('command', [line], {batch: 'b'}).toArray();
	c.t.is(item?.status, 'completed');
	c.t.is((await faena.jobs().page())[0]?.attempts, 0);
});

pair('kill × flow × cleanup × again', 'another engine ends the flow of a killed program, and after its jobs were deleted the same flow runs anew', async c => {
	const kill = dies(c, 'flow', 'a', 'b');
	await c.until(() => c.times('hold a') === 1);
	await kill('SIGKILL');
	for (const name of ['a', 'b']) c.make(name);
	const faena = await c.open();
	const build = async () => {
		const flow = faena.newFlow('f');
		const last = flow.job('got', null, {dependsOn: ['a', 'b'].map(name => flow.job('hold', name))});
		return {run: await flow.enqueue(), last};
	};
	const {run, last} = await build();
	c.t.is((await run.ended()).completed, 3);
	c.t.deepEqual(await run.result(last), ['a', 'b']);
	c.t.is(await faena.cleanup({ids: (await faena.jobs().page()).map(({id}) => id)}), 3);
	const anew = await build();
	c.t.deepEqual(await anew.run.result(anew.last), ['a', 'b']);
});
