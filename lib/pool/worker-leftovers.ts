import {Descendants, type Root} from '../spawner/descendants.ts';
import {openProcessTable, type ProcessState} from '../spawner/process-table.ts';
import {monotonicMs} from '../support/clock.ts';
import type {Leftovers} from '../worker/runner.ts';

/** Two searches take less time than the 5 s after which a silent worker is ended. */
const SEARCHING_IN_WORKER_MS = 1000;

/** Ends the processes that a job leaves behind when it heeds a stop. It runs in the worker itself. */
export class WorkerLeftovers implements Leftovers {
	readonly #root: Root;
	readonly #table = openProcessTable();
	/** By pid: the births of processes that belong to the worker. */
	readonly #helpers = new Map<number, number>();

	constructor(root: Root) {
		this.#root = root;
	}

	async keep(): Promise<void> {
		await this.#table.refresh();
		for (const pid of this.#table.childrenOf(this.#root)) {
			const state = this.#table.stateOf(pid);
			if (state) this.#helpers.set(pid, state.bornAt);
		}
	}

	async end(since: number): Promise<void> {
		const startedAt = this.#table.momentAgo(() => monotonicMs() - since);
		const isSpared = (pid: number, {bornAt}: ProcessState) => bornAt < startedAt || this.#helpers.get(pid) === bornAt;
		const descendants = new Descendants(this.#root, this.#table, isSpared, SEARCHING_IN_WORKER_MS);
		if (!(await descendants.end())) process.stderr.write('faena: processes of a job that was stopped may still live; they could not all be found or killed\n');
	}
}
