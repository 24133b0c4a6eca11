import {join} from 'node:path';
import {setImmediate as nextTurn} from 'node:timers/promises';
import type {Outcome} from '../../../lib/job/claim.ts';
import type {JobId} from '../../../lib/job/job.ts';
import {makeFolder} from '../../fixtures/folder.ts';
import {canConnect, errorOf, LEASE, law, linesOf, touch} from './laws.ts';

const STOP_SENTENCES = {
	timedOut: 'TimeoutError: The job ran longer than its timeout.',
	cancelled: 'AbortError: The job was cancelled.',
	interrupted: 'AbortError: Faena is shutting down; the job will run again.',
};

for (const reason of ['timedOut', 'cancelled', 'interrupted'] as const) {
	const who = {timedOut: 'its timeout', cancelled: 'stop()', interrupted: 'interrupt()'}[reason];
	const ending = ({timedOut: 'timedOut', cancelled: 'cancelled', interrupted: 'released'} as const)[reason];

	law(
		`a job in an endless loop is stopped by ${who}; its outcome says so, when it started and how long it ran; its chunk-mates lose nothing`,
		async (t, crew) => {
			await crew.load({workers: 1, graceMs: 30});
			const before = Date.now();
			const mates = await crew.give('disaster', ['none', 'none']);
			const [first, loop, last] = await crew.give('maybeLoop', [false, true, false], {policy: {timeoutMs: reason === 'timedOut' ? 50 : null}});
			await crew.update(update => update.id === loop);
			if (reason === 'cancelled') t.true(crew.pool.stop(loop as JobId, reason));
			if (reason === 'interrupted') crew.pool.interrupt();
			const [outcome] = (await crew.outcomes([loop])) as [Outcome];
			t.is(outcome.type, ending);
			const {startedAt = 0, durationMs = 0} = outcome;
			t.true(startedAt >= before - 5 && startedAt <= Date.now() + 5);
			t.true(durationMs >= 30 && durationMs <= Date.now() - before + 5);
			if (reason !== 'interrupted') t.is(errorOf(outcome).reason, reason);
			if (reason === 'timedOut') t.regex(errorOf(outcome).message, /the timeout is 0\.05 s/);
			await crew.unharmed([...mates, first, last]);
			t.deepEqual(await crew.values(await crew.give('echo', [1])), [1]);
		},
	);

	for (const way of ['heed', 'heedSignal']) {
		law(`a task that heeds ${way === 'heed' ? 'ctx.cancelled' : 'ctx.signal'} when ${who} stops it keeps its worker`, async (t, crew) => {
			await crew.load({workers: 1, graceMs: 60_000});
			const [port] = await crew.values(await crew.give('listen', [null]));
			const [id] = await crew.give(way, [null], {policy: {timeoutMs: reason === 'timedOut' ? 50 : null}});
			await crew.update(update => update.id === id);
			if (reason === 'cancelled') crew.pool.stop(id as JobId, reason);
			if (reason === 'interrupted') crew.pool.interrupt();
			t.is((await crew.outcomes([id]))[0]?.type, ending);
			t.true(await canConnect(port as number));
		});
	}

	law(
		`a task that is stopped by ${who} learns the reason from ctx.stopReason and from ctx.signal, whose reason is an error with a sentence`,
		async (t, crew) => {
			await crew.load({workers: 1, graceMs: 60_000});
			for (const by of ['loop', 'signal']) {
				const [id] = await crew.give('tellStop', [by], {policy: {timeoutMs: reason === 'timedOut' ? 50 : null}});
				const line = async (text: string) => crew.update(({id: own, logs}) => own === id && (logs?.some(each => each.text === text) ?? false));
				await line('before: undefined');
				if (reason === 'cancelled') crew.pool.stop(id as JobId, reason);
				if (reason === 'interrupted') crew.pool.interrupt();
				t.truthy(await line(`${reason}: ${reason} ${STOP_SENTENCES[reason]}`));
			}
		},
	);
}

law('each job of a chunk has its own timeout', async (t, crew) => {
	await crew.load({workers: 1, graceMs: 60_000});
	const ids = await crew.give('heed', [null, null], {policies: [{timeoutMs: 50}, {timeoutMs: 100}]});
	const messages = (await crew.outcomes(ids)).map(outcome => errorOf(outcome).message);
	t.regex(messages[0] ?? '', /the timeout is 0\.05 s/);
	t.regex(messages[1] ?? '', /the timeout is 0\.1 s/);
});

law('a job that runs for long after a neighbour in its worker heeded its stop is not stopped for that', async (t, crew) => {
	const file = join(makeFolder(t), 'file');
	await crew.load({workers: 2, graceMs: 30});
	const [busy] = await crew.give('loop', [null]);
	await crew.update(update => update.id === busy);
	// While the second worker loads its tasks, the job would wait behind the busy one.
	await crew.idle();
	const [stopped] = await crew.give('heed', [null], {policy: {timeoutMs: 30}});
	const [mate] = await crew.give('heed', [file]);
	t.is((await crew.outcomes([stopped]))[0]?.type, 'timedOut');
	await crew.update(update => update.id === mate);
	// Stopped later, and hard: when it has ended, the first one's time of grace is over, too.
	crew.pool.stop(busy as JobId, 'cancelled');
	t.is((await crew.outcomes([busy]))[0]?.type, 'cancelled');
	touch(file);
	t.deepEqual(await crew.values([mate]), [file]);
});

law('jobs of a chunk that are stopped one after the other each learn it', async (t, crew) => {
	await crew.load({workers: 1, graceMs: 60_000});
	const ids = await crew.give('heed', Array(20).fill(null));
	for (const id of ids) {
		await crew.update(update => update.id === id);
		crew.pool.stop(id, 'cancelled');
	}
	const outcomes = await crew.outcomes(ids);
	t.true(outcomes.every(outcome => outcome?.type === 'cancelled' && (outcome.durationMs ?? 0) > 0));
});

law('a job that has not started is cancelled without running', async (t, crew) => {
	const folder = makeFolder(t);
	const [file, order] = [join(folder, 'file'), join(folder, 'order')];
	await crew.load({workers: 1});
	const [held] = crew.giveNow('hold', [file]);
	const waiting = crew.giveNow(
		'mark',
		['a', 'b', 'c'].map(line => ({file: order, line})),
	);
	t.true(crew.pool.stop(waiting[1] as JobId, 'cancelled'));
	t.deepEqual(await crew.outcomes([waiting[1]]), [{type: 'cancelled'}]);
	touch(file);
	await crew.values([held, waiting[0], waiting[2]]);
	t.deepEqual(linesOf(order), ['a', 'c']);
});

law('a job that the pool does not have, or has no more, is not stopped', async (t, crew) => {
	await crew.load({workers: 1});
	const [id] = await crew.give('echo', [1]);
	await crew.values([id]);
	t.false(crew.pool.stop(id as JobId, 'cancelled'));
	t.false(crew.pool.stop(4711, 'cancelled'));
});

law('a stop that names the lease of an earlier execution stops nothing', async (t, crew) => {
	const file = join(makeFolder(t), 'file');
	await crew.load({workers: 1});
	const [held] = await crew.give('hold', [file]);
	const [waiting] = await crew.give('echo', [1]);
	for (const id of [held, waiting]) t.false(crew.pool.stop(id as JobId, 'cancelled', LEASE - 1));
	touch(file);
	t.deepEqual(await crew.values([held, waiting]), [file, 1]);
	const [next] = await crew.give('hold', [join(makeFolder(t), 'none')]);
	t.true(crew.pool.stop(next as JobId, 'cancelled', LEASE));
	t.is((await crew.outcomes([next]))[0]?.type, 'cancelled');
});

law('release() gives back jobs that have not started, which then never run', async (t, crew) => {
	const folder = makeFolder(t);
	const [file, order] = [join(folder, 'file'), join(folder, 'order')];
	await crew.load({workers: 1});
	const [held, ...rest] = crew.giveNow('hold', [file, file]);
	const marks = crew.giveNow('mark', [{file: order, line: 'ran'}]);
	await crew.update(update => update.id === held);
	void crew.pool.release('mark');
	t.deepEqual(await crew.outcomes(marks), [{type: 'released'}]);
	t.is(crew.outcome(rest[0]), undefined);
	void crew.pool.release();
	t.deepEqual(await crew.outcomes(rest), [{type: 'released'}]);
	t.is(crew.outcome(held), undefined);
	touch(file);
	await crew.values([held]);
	await crew.values(await crew.give('echo', [1]));
	t.deepEqual(linesOf(order), []);
});

law('once release() has resolved, no released job starts, however short the jobs are', async (t, crew) => {
	const order = join(makeFolder(t), 'order');
	await crew.load({workers: 2});
	const lines = Array.from({length: 500}, (_, index) => ({file: order, line: String(index)}));
	const ids = [...(await crew.give('mark', lines)), ...(await crew.give('mark', lines))];
	while (linesOf(order).length === 0) await nextTurn();
	await crew.pool.release('mark');
	const ran = linesOf(order).length;
	const outcomes = await crew.outcomes(ids);
	// A job that had started may still write its line.
	t.true(linesOf(order).length <= ran + 2);
	t.true(outcomes.every(outcome => outcome?.type === 'returned' || outcome?.type === 'released'));
	t.is(outcomes.filter(outcome => outcome?.type === 'returned').length, linesOf(order).length);
});

law('once confirmStops() has resolved no job that was stopped before starts any more, however short it is', async (t, crew) => {
	const order = join(makeFolder(t), 'order');
	await crew.load({workers: 1});
	const lines = Array.from({length: 500}, (_, index) => ({file: order, line: String(index)}));
	const ids = await crew.give('mark', lines);
	while (linesOf(order).length === 0) await nextTurn();
	for (const id of ids) crew.pool.stop(id, 'cancelled');
	await crew.pool.confirmStops();
	const ran = linesOf(order).length;
	const outcomes = await crew.outcomes(ids);
	// A job that had started may still write its line.
	t.true(linesOf(order).length <= ran + 1);
	t.true(outcomes.every(outcome => outcome?.type === 'returned' || outcome?.type === 'cancelled'));
});

law('a job that has enqueued jobs and heeds its stop leaves the other jobs of its chunk, and its worker, unharmed', async (t, crew) => {
	await crew.load({workers: 1, graceMs: 60_000});
	const quick = {makes: []};
	const ids = await crew.give('make', [quick, quick, {makes: [['echo', 1]], end: 'heedAsync'}, quick], {policy: {timeoutMs: 50}});
	t.deepEqual(
		(await crew.outcomes(ids)).map(outcome => outcome?.type),
		['returned', 'returned', 'timedOut', 'returned'],
	);
});
