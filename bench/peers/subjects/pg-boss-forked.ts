import {PgBoss} from 'pg-boss';
import {batchSize} from './batch.ts';
import {runForkedWorker} from './forked-worker.ts';

/** With two, one batch is executed while another is completed and fetched. */
const WORKERS = 2;

await runForkedWorker(async ({given, store}, execute) => {
	const boss = new PgBoss({connectionString: store, max: 2 * WORKERS, supervise: false, schedule: false, migrate: false, useListenNotify: true});
	boss.on('error', error => {
		throw error;
	});
	await boss.start();
	await boss.work<{payload: unknown}>(
		'bench',
		{
			batchSize: batchSize(given, 1000),
			burstWhenBatchFull: true,
			localConcurrency: WORKERS,
			pollingIntervalSeconds: 0.5,
			notifyPollingIntervalSeconds: 0.5,
		},
		async jobs => {
			for (const {data} of jobs) execute(data.payload);
		},
	);
});
