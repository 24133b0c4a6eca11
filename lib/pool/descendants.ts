import {kill, setTimeout, steadyMs} from '../support/primordials.ts';
import {LOOKS_PER_TURN, nextTurn, openProcessTable, type Parent, type ProcessState, type ProcessTable} from './process-table.ts';

/** The longest time for each of the two searches. After that, what was found by then is killed. */
export const SEARCHING_MS = 2000;
/** The longest time for the death of what was killed: a process in an uninterruptible call dies after that call. */
const DYING_MS = 1000;
/** The longest time that a worker is given to reap its children. */
const REAPING_MS = 100;

/** The root of a tree of processes. It is not part of what is stopped and killed. */
export interface Root extends Parent {
	/** The mark in the environment of what it started. */
	readonly mark?: string | undefined;
}

/**
 * The processes that a worker has started, and those that they have started. They are stopped from the top down before any
 * is killed. So none can start another meanwhile, and none is lost from sight because its parent has died.
 *
 * A process that lost its parent earlier is found by its mark, if it is still in this program's session.
 */
export class Descendants {
	readonly #root: Root;
	readonly #table: ProcessTable;
	readonly #isSpared: (pid: number, state: ProcessState) => boolean;
	readonly #searchingMs: number;
	/** When those that were found were born, by pid. */
	readonly #found = new Map<number, number>();
	/** When those that were found by their mark were born, by pid. */
	readonly #marked = new Map<number, number>();
	/** All were found that there are. */
	#isComplete = true;

	/** @param isSpared tells which children of the root are left alone, with all that these have started */
	constructor(
		root: Root,
		table: ProcessTable = openProcessTable(),
		isSpared: (pid: number, state: ProcessState) => boolean = () => false,
		searchingMs = SEARCHING_MS,
	) {
		this.#root = root;
		this.#table = table;
		this.#isSpared = isSpared;
		this.#searchingMs = searchingMs;
	}

	/** Those of a worker that has ended: those that were found before, and what their marks tell of. The worker's own number may be another's by now. */
	static ofEnded(mark: string, before?: Descendants): Descendants {
		const descendants = new Descendants({pid: process.pid, thread: 0, mark});
		if (before) for (const [pid, bornAt] of before.#found) descendants.#found.set(pid, bornAt);
		return descendants;
	}

	/** Stops those that descend from the root, until there are no others. */
	async stop(): Promise<void> {
		const until = steadyMs() + this.#searchingMs;
		this.#isComplete = await this.#round(until);
		while (!this.#isComplete && steadyMs() < until) {
			await pause(1);
			this.#isComplete = await this.#round(until);
		}
	}

	/** Kills what was found, at once. */
	kill(): void {
		for (const pid of this.#living()) signal(pid, 'SIGKILL');
	}

	/** Waits until the root has taken note of the deaths of its children. One that computes does not within this time, and they stay in the table as zombies. */
	async reap(): Promise<void> {
		const until = steadyMs() + REAPING_MS;
		while (this.#table.childrenOf(this.#root).some(pid => this.#found.has(pid)) && steadyMs() < until) await pause(1);
	}

	/** Kills all, also those that only their mark tells of. Resolves once they are dead; with false if some may not be. */
	async end(): Promise<boolean> {
		await this.stopAll();
		const until = steadyMs() + DYING_MS;
		for (;;) {
			await this.#table.refresh();
			if (this.#living().length === 0) return this.#isComplete;
			if (steadyMs() > until) return false;
			this.kill();
			await pause(1);
		}
	}

	/** Also stops those that only their mark tells of. */
	async stopAll(): Promise<void> {
		await this.stop();
		const {mark, pid: own} = this.#root;
		if (mark === undefined) return;
		const until = steadyMs() + this.#searchingMs;
		const seen = new Set([own, ...this.#found.keys()]);
		let areAll = false;
		while (!areAll && steadyMs() < until) {
			const marked = await this.#table.marked(mark, seen);
			for (const pid of marked.pids) this.#marked.set(pid, this.#table.stateOf(pid)?.bornAt ?? Number.NaN);
			if (marked.pids.length > 0) await this.stop();
			else if (!marked.areAll) await pause(1);
			areAll = marked.areAll && marked.pids.length === 0;
		}
		this.#isComplete &&= areAll;
	}

	/** Looks at all that is there and stops what isn't. True if everything was known and stood still. */
	async #round(until: number): Promise<boolean> {
		await this.#table.refresh();
		const marked = [...this.#marked.keys()].filter(pid => this.#table.stateOf(pid)?.bornAt === this.#marked.get(pid));
		const queue = [...this.#table.childrenOf(this.#root), ...marked];
		const seen = this.#spared(queue);
		let isStill = true;
		for (const pid of queue) {
			if (seen.has(pid)) continue;
			// There may be more new ones than can be stopped.
			if (steadyMs() > until) return false;
			if (seen.add(pid).size % LOOKS_PER_TURN === 0) await nextTurn();
			const state = this.#table.stateOf(pid);
			if (!state || state.isDead) continue;
			if (this.#found.get(pid) !== state.bornAt || !state.isStopped) {
				isStill = false;
				this.#found.set(pid, state.bornAt);
				signal(pid, 'SIGSTOP');
			}
			queue.push(...this.#table.childrenOf({pid}));
		}
		return isStill;
	}

	#spared(roots: readonly number[]): Set<number> {
		const spared = roots.filter(pid => {
			const state = this.#table.stateOf(pid);
			return state && this.#isSpared(pid, state);
		});
		for (const pid of spared) spared.push(...this.#table.childrenOf({pid}));
		return new Set(spared);
	}

	#living(): number[] {
		return [...this.#found].flatMap(([pid, bornAt]) => {
			const state = this.#table.stateOf(pid);
			return state && !state.isDead && state.bornAt === bornAt ? pid : [];
		});
	}
}

/** Does nothing to a process that has ended meanwhile, or that runs with rights which this program doesn't have. */
export function signal(pid: number, name: 'SIGSTOP' | 'SIGKILL'): void {
	try {
		kill(pid, name);
	} catch {
		// Those who ask look later whether it lives.
	}
}

function pause(ms: number): Promise<void> {
	return new Promise(resolve => void setTimeout(resolve, ms));
}
