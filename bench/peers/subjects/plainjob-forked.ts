import {defineWorker} from 'plainjob';
import {runForkedWorker} from './forked-worker.ts';
import {openPlainjob, SILENT} from './plainjob-queue.ts';

await runForkedWorker(async ({given, store}, execute) => {
	const {queue} = openPlainjob(store, given.durability);
	const worker = defineWorker('bench', ({data}) => void execute(JSON.parse(data)), {queue, logger: SILENT, pollIntervall: 1});
	void worker.start();
});
