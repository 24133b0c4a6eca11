import {mkdtempSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import type {StoreSubject} from '../../stores/store.ts';
import {openPlainjob} from '../subjects/plainjob-queue.ts';

const TYPE = 'bench';

/** plainjob's own methods, which claim and complete one job at a time. */
export const store: StoreSubject = {
	async create({durability}, {folder}) {
		const place = mkdtempSync(join(folder, 'faena-bench-'));
		const address = join(place, 'plainjob.db');
		const {queue} = openPlainjob(address, durability);
		return {
			address,
			fill: async (first, end) => void queue.addMany(TYPE, numbers(first, end)),
			ready: async () => queue.countJobs({status: 0}),
			async close() {
				queue.close();
				rmSync(place, {recursive: true});
			},
		};
	},
	async connect(address, {durability}) {
		const {queue} = openPlainjob(address, durability);
		return {
			add: async (first, end) => void (end - first === 1 ? queue.add(TYPE, first) : queue.addMany(TYPE, numbers(first, end))),
			async claim() {
				const claimed = queue.getAndMarkJobAsProcessing(TYPE);
				if (!claimed) return {numbers: [], handle: undefined};
				// plainjob's worker also reads the payload by a second statement.
				return {numbers: [Number(queue.getJobById(claimed.id)?.data)], handle: claimed.id};
			},
			complete: async ({handle}) => queue.markJobAsDone(handle as number),
			close: async () => queue.close(),
		};
	},
};

function numbers(first: number, end: number): number[] {
	return Array.from({length: end - first}, (_, index) => first + index);
}
