import {Runner} from 'liteque';
import {runForkedWorker} from './forked-worker.ts';
import {openLiteque} from './liteque-queue.ts';

await runForkedWorker(async ({given, store}, execute) => {
	const {queue} = openLiteque(store, given.durability);
	const runner = new Runner<unknown>(queue, {run: async ({data}) => void execute(data)}, {concurrency: 1, pollIntervalMs: 0, timeoutSecs: 60});
	void runner.run();
});
