/**
 * One of several engines that drain a file together: `drainer-process.ts FILE DURABILITY WORKERS`. It drains the queue once for each
 * message, and ends when its parent disconnects.
 */
import {open} from '../../lib/index.ts';
import type {Durability} from '../../lib/job/job.ts';
import {TASKS, type Tasks} from '../measure/engine.ts';

/** What the engine did since it was opened. */
export interface Drained {
	readonly completed: number;
	readonly commits: number;
}

const [queue = '', durability, workers] = process.argv.slice(2);
const faena = await open<Tasks>({queue, tasks: TASKS, workers: Number(workers), durability: durability as Durability});
process.on('message', async () => {
	await faena.resume('identity');
	await faena.idle();
	const {executions, commits} = await faena.stats();
	process.send?.({completed: executions.completed, commits: commits.count} satisfies Drained);
});
const disconnected = new Promise(resolve => process.once('disconnect', resolve));
process.send?.('ready');
await disconnected;
await faena.close();
