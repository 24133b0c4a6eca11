import {Worker} from 'node:worker_threads';
import {moduleUrl} from '../measure/module-url.ts';
import type {TaskName} from '../plan/suite.ts';
import type {Running, Subject} from './subject.ts';

/** The processors' ceiling: a loop in each thread over its share of the jobs, which it has before the clock starts. No pool, no queue. */
export const subject: Subject = {
	async open({workers}) {
		const threads = await Promise.all(Array.from({length: workers}, start));
		let [completed, results] = [0, 0];
		return {
			async prepare(task: TaskName, payloads: readonly unknown[]) {
				const share = Math.ceil(payloads.length / workers);
				await Promise.all(threads.map((thread, index) => ask(thread, {task, chunk: payloads.slice(index * share, (index + 1) * share)})));
			},
			async drain(_task: TaskName, payloads: readonly unknown[]) {
				const sums = await Promise.all(threads.map(thread => ask(thread, 'go')));
				results += sums.reduce((sum, each) => sum + each, 0);
				completed += payloads.length;
			},
			sums: async () => ({completed, results}),
			async close() {
				await Promise.all(threads.map(thread => thread.terminate()));
			},
		} satisfies Running;
	},
};

async function start(): Promise<Worker> {
	const thread = new Worker(moduleUrl('subjects/ideal-worker'));
	await new Promise(resolve => thread.once('message', resolve));
	return thread;
}

function ask(thread: Worker, message: unknown): Promise<number> {
	return new Promise((resolve, reject) => {
		thread.once('message', resolve);
		thread.once('error', reject);
		thread.postMessage(message);
	});
}
