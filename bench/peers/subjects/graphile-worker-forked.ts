import {Logger, run} from 'graphile-worker';
import {batchSize} from './batch.ts';
import {runForkedWorker} from './forked-worker.ts';

await runForkedWorker(async ({given, store}, execute) => {
	await run(
		{
			noHandleSignals: true,
			preset: {
				worker: {
					connectionString: store,
					concurrentJobs: 24,
					maxPoolSize: 25,
					localQueue: {size: batchSize(given, 500), refetchDelay: {durationMs: 10}},
					completeJobBatchDelay: 0,
					failJobBatchDelay: 0,
					logger: new Logger(() => () => {}),
				},
			},
		},
		{bench: payload => void execute((payload as {payload: unknown}).payload)},
	);
});
