import {openEngine, test} from '../fixtures/engine.ts';

test('with `only`, an engine runs the jobs of these tasks, and enqueues jobs of all', async t => {
	const faena = await openEngine(t, {only: ['echo']});
	const other = await faena.enqueue('boom', 'waits', {maxAttempts: 1});
	t.is(await faena.call('echo', 'runs'), 'runs');
	await faena.idle();
	t.is((await other.info())?.status, 'pending');
	t.deepEqual(await faena.counts(), {blocked: 0, pending: 1, running: 0, failed: 0, completed: 1, dead: 0, cancelled: 0});
});

test('`only` with a task that the module does not have is refused', async t => {
	await t.throwsAsync(openEngine(t, {only: ['echo', 'eco']}), {code: 'UnknownTask', message: 'The tasks module has no task "eco"; did you mean "echo"?'});
});
