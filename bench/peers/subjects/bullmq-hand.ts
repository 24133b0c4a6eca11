import {Worker} from 'bullmq';
import {lendHand} from './hand.ts';

await lendHand(async ({store}, execute) => {
	const worker = new Worker('bench', async ({data}) => execute(data), {connection: {path: store}, concurrency: 200});
	worker.on('error', error => {
		throw error;
	});
	await worker.waitUntilReady();
});
