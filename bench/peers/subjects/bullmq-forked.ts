import {Worker} from 'bullmq';
import {started} from '../../measure/tasks.ts';
import {runForkedWorker} from './forked-worker.ts';

await runForkedWorker(async ({given, store}, execute) => {
	const run = given.trial === 'latency' ? started : execute;
	const worker = new Worker('bench', async ({data}) => run(data), {connection: {path: store}, concurrency: 200});
	worker.on('error', error => {
		throw error;
	});
	await worker.waitUntilReady();
});
