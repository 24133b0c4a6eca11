import type {Request} from '../measure/tasks.ts';
import type {TaskName} from '../plan/suite.ts';
import {inLanes} from './lanes.ts';
import type {Running} from './subject.ts';

/** A pool that gets one request per job. Nothing is durable. `underWay` requests are under way at a time, so that no thread idles. */
export class PoolRunning implements Running {
	readonly #underWay: number;
	readonly #run: (request: Request) => Promise<unknown>;
	readonly close: () => Promise<void>;
	#completed = 0;
	#results = 0;

	constructor(underWay: number, run: (request: Request) => Promise<unknown>, close: () => Promise<void>) {
		this.#underWay = underWay;
		this.#run = run;
		this.close = close;
	}

	async drain(task: TaskName, payloads: readonly unknown[]): Promise<void> {
		await inLanes(payloads, this.#underWay, async payload => {
			const result = (await this.#run({task, payload})) as number;
			this.#results += result;
			this.#completed++;
		});
	}

	async sums() {
		return {completed: this.#completed, results: this.#results};
	}
}
