import {mkdtempSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import {nanoid} from 'nanoid';
import {type Dequeued, openQueue} from '../../lib/queue.ts';
import {newJobs} from '../measure/new-jobs.ts';
import type {Case} from '../plan/suite.ts';
import type {StoreSubject} from './store.ts';

const FILL_BATCH = 2000;
const TASK = 'identity';

/** Faena's queue without an engine, from `openQueue()`. */
export const store: StoreSubject = {
	async create(given, {folder}) {
		const place = mkdtempSync(join(folder, 'faena-bench-'));
		const address = join(place, 'jobs.db');
		const queue = await open(address, given);
		return {
			address,
			async fill(first, end) {
				for (let at = first; at < end; at += FILL_BATCH) await queue.enqueue(newJobs(TASK, at, Math.min(at + FILL_BATCH, end)));
			},
			ready: async () => (await queue.counts({task: TASK})).pending,
			async close() {
				await queue.close();
				rmSync(place, {recursive: true});
			},
		};
	},
	async connect(address, given) {
		const queue = await open(address, given);
		const owner = nanoid();
		return {
			add: (first, end) => queue.enqueue(newJobs(TASK, first, end)),
			async claim(limit) {
				const handle = await queue.dequeue({owner, tasks: [TASK], limit});
				return {numbers: handle.jobs.map(({payload}) => Number(payload)), handle};
			},
			async complete({handle}) {
				const {lease, jobs} = handle as Dequeued;
				const outcomes = jobs.map(({id, execution, payload}) => ({id, execution, outcome: {type: 'returned', value: payload} as const}));
				const {lost} = await queue.settle(lease, outcomes);
				if (lost > 0) throw new Error(`${lost} of ${jobs.length} claims were lost`);
			},
			close: async () => queue.close(),
		};
	},
};

async function open(file: string, {durability}: Case) {
	if (durability === 'memory') throw new Error('Contenders share a file: there is no lane in memory.');
	return openQueue(file, {durability});
}
