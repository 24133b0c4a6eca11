import {mkdtempSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import {type Engine, open} from '../../lib/index.ts';
import {TASKS, type Tasks} from '../measure/engine.ts';
import {recordedSums} from '../measure/sums.ts';
import {FAILING_EVERY, type Intake} from '../plan/suite.ts';
import {INTAKES} from './faena-intakes.ts';
import type {Running, Subject} from './subject.ts';

/** Faena with default settings and the case's durability. With `vary.isolated` 1, child processes run the jobs. */
export const subject: Subject = {
	async open(given, {folder}) {
		const {durability, workers, vary} = given;
		if (durability === 'memory') throw new Error('An engine keeps its jobs in a file: it has no lane in memory.');
		const place = mkdtempSync(join(folder, 'faena-bench-'));
		const file = join(place, 'jobs.db');
		const faena = await open<Tasks>({queue: file, tasks: TASKS, workers, durability, ...(vary?.['isolated'] === 1 && {isolation: 'process'})});
		const executions = given.intake === 'failures' ? `iif(value % ${FAILING_EVERY} = 0, 2, 1)` : '1';
		return new FaenaRunning(
			faena,
			async () => recordedSums(file, 'value', executions),
			async () => {
				await faena.close();
				rmSync(place, {recursive: true});
			},
		);
	},
};

/** An engine that is measured, on whatever store. */
export class FaenaRunning implements Running {
	readonly #faena: Engine<Tasks>;
	readonly sums: Running['sums'];
	readonly close: () => Promise<void>;
	#drains = 0;

	constructor(faena: Engine<Tasks>, sums: Running['sums'], close: () => Promise<void>) {
		this.#faena = faena;
		this.sums = sums;
		this.close = close;
	}

	async drain(task: 'spin', payloads: readonly [number, number][], intake: Intake): Promise<void> {
		await INTAKES[intake](this.#faena, task, payloads, `${++this.#drains}`);
	}

	async counters() {
		const {commits, chunks, slots} = await this.#faena.stats();
		// Each worker has two chunks: one runs, one waits.
		return {transactions: commits.count, meanChunk: chunks.meanJobs, atRisk: Math.round(2 * slots * chunks.meanJobs)};
	}
}
