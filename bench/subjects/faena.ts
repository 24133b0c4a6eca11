import {mkdtempSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import {type Engine, open} from '../../lib/index.ts';
import {TASKS, type Tasks} from '../measure/engine.ts';
import {recordedSums} from '../measure/sums.ts';
import {IN_FLIGHT, type Intake} from '../plan/suite.ts';
import {inLanes} from './lanes.ts';
import type {Running, Subject} from './subject.ts';

/** Faena with default settings and the case's durability. */
export const subject: Subject = {
	async open({durability, workers}, {folder}) {
		if (durability === 'memory') throw new Error('An engine keeps its jobs in a file: it has no lane in memory.');
		const place = mkdtempSync(join(folder, 'faena-bench-'));
		const file = join(place, 'jobs.db');
		const faena = await open<Tasks>({queue: file, tasks: TASKS, workers, durability});
		return new FaenaRunning(faena, file, async () => {
			await faena.close();
			rmSync(place, {recursive: true});
		});
	},
};

class FaenaRunning implements Running {
	readonly #faena: Engine<Tasks>;
	readonly #file: string;
	readonly close: () => Promise<void>;
	#maps = 0;

	constructor(faena: Engine<Tasks>, file: string, close: () => Promise<void>) {
		this.#faena = faena;
		this.#file = file;
		this.close = close;
	}

	async drain(task: 'spin', payloads: readonly [number, number][], intake: Intake): Promise<void> {
		switch (intake) {
			case 'bulk':
				await this.#faena.enqueueMany(task, payloads);
				return this.#faena.idle();
			case 'map':
				for await (const {status} of this.#faena.map(task, payloads, {batch: `${++this.#maps}`}))
					if (status !== 'completed') throw new Error(`void: an item is ${status}`);
				return;
			default:
				await inLanes(payloads, intake === 'strict' ? 1 : IN_FLIGHT, payload => this.#faena.enqueue(task, payload));
				return this.#faena.idle();
		}
	}

	async sums() {
		return recordedSums(this.#file);
	}

	async counters() {
		const {commits, chunks, slots} = await this.#faena.stats();
		// Each worker has two chunks: one runs, one waits.
		return {transactions: commits.count, meanChunk: chunks.meanJobs, atRisk: Math.round(2 * slots * chunks.meanJobs)};
	}
}
