import {openEngine, test} from '../fixtures/engine.ts';

const JOBS = 100_000;

for (const isolation of ['thread', 'process', 'inline'] as const) {
	test(`a backlog of ${JOBS.toLocaleString('en')} short jobs is drained, and each job completes once: ${isolation}`, async t => {
		const faena = await openEngine(t, {isolation});
		await faena.enqueueMany('echo', Array.from({length: JOBS}));
		await faena.idle();
		t.like(await faena.counts(), {completed: JOBS, pending: 0, running: 0});
		t.like((await faena.stats()).executions, {completed: JOBS, failed: 0, dead: 0, lost: 0});
	});
}
