import {existsSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {openForTest} from '../../lib/testing.ts';
import {openEngine, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {Program} from '../fixtures/program.ts';

/** How many jobs are moved: `npm run steering` moves three millions. */
const JOBS = Number(process.env['FAENA_JOBS'] ?? 20_000);
/** From here on it takes much longer to move them than the lease, the timeout and the call together. */
const MANY = 500_000;

test('while very many jobs are cancelled and retried, calls are answered and timeouts enforced, and a second engine takes no job for its own', async t => {
	const folder = makeFolder(t);
	const [queue, file] = [join(folder, 'jobs.db'), join(folder, 'go')];
	const faena = await openEngine(t, {queue, workers: 2, lease: '2s', grace: 50});
	t.timeout(120_000 + JOBS);
	function* numbers() {
		for (let number = 0; number < JOBS; number++) yield number;
	}
	await faena.enqueueMany('echo', numbers(), {delay: '10d'});
	// So that those that are retried do not run.
	await faena.pause('echo');
	const second = new Program(t, 'engine', queue, 'serve', '', '2s');
	t.is(await second.line(), 'serves');

	const begun = new Promise<void>(resolve => faena.once('log', () => resolve()));
	const long = await faena.enqueue('wait', file);
	await begun;
	const begunAt = performance.now();
	const order: string[] = [];
	const steered = (async () => {
		t.is(await faena.cancel({task: 'echo'}), JOBS);
		t.is(await faena.retry({task: 'echo', status: 'cancelled'}), JOBS);
		order.push('steered');
	})();
	const stopped = faena.enqueue('spin', 60_000, {timeout: 300, maxAttempts: 1}).then(job => job.outcome());
	void stopped.then(() => order.push('stopped'));
	t.is(await faena.call('add', {a: 1, b: 2}), 3);
	order.push('called');
	const calledAt = performance.now();
	t.like(await stopped, {status: 'dead', error: {reason: 'timedOut'}});
	t.log(`called after ${Math.round(calledAt - begunAt)} ms, a timeout of 300 ms enforced after ${Math.round(performance.now() - begunAt)} ms`);
	await steered;
	t.log(`${JOBS} jobs cancelled and retried in ${Math.round(performance.now() - begunAt)} ms`);
	if (JOBS >= MANY) t.is(order.at(-1), 'steered');
	t.false(existsSync(file));
	writeFileSync(file, '');
	t.is(await long.result(), file);
	// No engine took it for the job of a dead engine.
	t.like(await faena.job(long.id).info(), {executions: 1, attempts: 0});
	await second.kill('SIGKILL');
});

test('retry and cancel take a time, too: jobs that ended or were enqueued in it, and completed ones only if they are named', async t => {
	const faena = await openForTest({work: (how: string) => (how === 'fail' ? Promise.reject(new Error('no')) : how)}, {defaults: {maxAttempts: 1}});
	t.teardown(() => faena.close());
	await faena.enqueueMany('work', ['fail', 'well']);
	await faena.drain();
	faena.clock.advance('2d');
	await faena.enqueueMany('work', ['fail', 'well', 'fail']);
	await faena.drain();
	const yesterday = faena.clock.now - 86_400_000;
	t.is(await faena.retry({task: 'work', since: yesterday, sort: 'endedAt'}), 2);
	await faena.drain();
	t.is(await faena.retry({status: 'completed', until: yesterday}), 1);
	await faena.enqueue('work', 'later', {delay: '1d'});
	await faena.drain();
	t.is(await faena.cancel({until: yesterday}), 0);
	t.is(await faena.cancel({since: yesterday}), 1);
	await t.throwsAsync(faena.retry({since: 'yesterday' as never}), {code: 'BadOption', message: /^retry\(\) /});
	// Of a job that is named, a time changes only whether it is meant.
	const [done] = await faena.jobs({status: 'completed', since: yesterday}).toArray();
	t.is(await faena.retry({ids: [done as {id: number}], until: yesterday}), 0);
	t.is(await faena.retry({ids: [done as {id: number}], since: yesterday}), 1);
	await faena.drain();
	t.is(await faena.retry({ids: [done as {id: number}], since: yesterday, sort: 'endedAt'}), 1);
});

test('a verb with a time refuses what it refuses without one, and names itself', async t => {
	const faena = await openForTest({work: (at: number) => at});
	t.teardown(() => faena.close());
	await faena.enqueueMany('work', [1, 2], {delay: '1d'});
	const refused = async (filter: object, message: RegExp) => t.throwsAsync(faena.cancel(filter), {code: 'BadOption', message});
	await refused({task: undefined, since: 0}, /^cancel\(\) got task: undefined, which would mean every job/);
	await refused({since: undefined}, /^cancel\(\) got since: undefined/);
	await refused({taks: 'work', since: 0}, /^cancel\(\) has no option "taks"/);
	await refused({since: 2, until: 1}, /^cancel\(\) got a since that is later than its until: no job is in that time\.$/);
	t.is((await faena.counts()).pending, 2);
});
