import {Worker} from 'bullmq';
import {runForkedWorker} from './forked-worker.ts';

await runForkedWorker(async ({store}, execute) => {
	const worker = new Worker('bench', async ({data}) => execute(data), {connection: {path: store}, concurrency: 200});
	worker.on('error', error => {
		throw error;
	});
	await worker.waitUntilReady();
});
