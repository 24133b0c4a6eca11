import {join} from 'node:path';
import {openEngine, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';

for (const [isolation, worker] of [
	['thread', /^thread \d+ of process \d+ on ./],
	['process', /^process \d+ on ./],
	['inline', /^process \d+ on ./],
] as const) {
	test(`each execution of a job is kept, with its error, times and worker: ${isolation}`, async t => {
		const file = join(makeFolder(t), 'executions');
		const faena = await openEngine(t, {isolation, workers: 1});
		const job = await faena.enqueue('failTimes', {file, times: 2}, {maxAttempts: 5, backoff: 1});
		await job.result();
		const {history = []} = (await faena.job(job.id).info()) ?? {};
		t.like(history, [
			{execution: 1, status: 'failed', error: {message: 'failure 1', reason: 'threw'}},
			{execution: 2, status: 'failed', error: {message: 'failure 2'}},
			{execution: 3, status: 'completed'},
		]);
		t.true(history[0]?.error instanceof Error);
		for (const {worker: name = '', startedAt = 0, durationMs = -1, endedAt} of history) {
			t.regex(name, worker);
			t.true(startedAt > 0 && durationMs >= 0 && endedAt >= startedAt);
		}
	});
}
