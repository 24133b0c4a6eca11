import {ChunkSizer} from '../../lib/dispatcher/chunk-sizer.ts';
import type {TaskName} from '../plan/suite.ts';
import {makePiscina} from './piscina.ts';
import type {Running, Subject} from './subject.ts';

/** Chunks of a worker, as in Faena: one runs, one waits. */
const PER_WORKER = 2;

/**
 * Piscina with Faena's own chunks and nothing durable: what Faena costs beyond it is the price of durability. The sizer is Faena's; it
 * gets the wall time of each chunk, and no transactions.
 */
export const subject: Subject = {
	async open({workers}) {
		const pool = makePiscina(workers, PER_WORKER);
		const sizer = new ChunkSizer();
		let [completed, results, chunks] = [0, 0, 0];
		return {
			async drain(task: TaskName, payloads: readonly unknown[]) {
				let next = 0;
				const lane = async () => {
					while (next < payloads.length) {
						const share = Math.ceil((payloads.length - next) / (2 * workers));
						const size = Math.max(1, Math.min(sizer.size(task), share));
						const chunk = payloads.slice(next, next + size);
						next += size;
						const start = performance.now();
						const own = (await pool.run({task, chunk})) as number[];
						for (const result of own) results += result;
						// The chunk waited behind another one for half of this time.
						sizer.observe(task, chunk.length, (performance.now() - start) / PER_WORKER);
						completed += chunk.length;
						chunks++;
					}
				};
				await Promise.all(Array.from({length: workers * PER_WORKER}, lane));
			},
			sums: async () => ({completed, results}),
			counters: async () => ({meanChunk: completed / chunks}),
			close: () => pool.destroy(),
		} satisfies Running;
	},
};
