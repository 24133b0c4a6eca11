import {monotonicMs} from '../support/clock.ts';
import type {Leftovers} from '../worker/runner.ts';
import {Descendants, type Root} from './descendants.ts';
import {openProcessTable} from './process-table.ts';

/** A worker that shows no sign of life for longer than all searches take is ended. */
const SEARCHING_MS = 1000;

/** The processes that jobs of this worker leave behind when they heed a stop. The worker itself looks for them. */
export class WorkerLeftovers implements Leftovers {
	readonly #root: Root;
	readonly #table = openProcessTable();
	/** When the processes that belong to the worker were born, by pid. */
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
		const isOlder = (pid: number, bornAt: number) => bornAt < startedAt || this.#helpers.get(pid) === bornAt;
		const descendants = new Descendants(this.#root, this.#table, (pid, {bornAt}) => isOlder(pid, bornAt), SEARCHING_MS);
		if (!(await descendants.end())) process.stderr.write('faena: processes of a job that was stopped may still live; they could not all be found or killed\n');
	}
}
