import {monotonicMs} from '../support/clock.ts';
import {kill, setTimeout, steadyMs} from '../support/primordials.ts';
import type {Leftovers} from '../worker/runner.ts';
import {LOOKS_PER_TURN, nextTurn, openProcessTable, type Parent, type ProcessState, type ProcessTable} from './process-table.ts';

/** Time limit of each of the two searches. After that, the processes found so far are killed. */
export const SEARCHING_MS = 2000;
/** How long killed processes are waited for: a process in an uninterruptible call dies after that call. */
const DYING_MS = 1000;
/** How long a worker may take to reap its children. */
const REAPING_MS = 100;

/** The root of a tree of processes, which is not stopped or killed itself. */
interface Root extends Parent {
	/** The mark in the environment of the processes that it started. */
	readonly mark?: string | undefined;
}

/**
 * The processes that a worker has started, their children, and so on. All are stopped from the top down before the first is
 * killed. So a process can't start another meanwhile, and no child is missed because its parent has died.
 *
 * A process that lost its parent earlier is found by its mark, if it is still in this program's session.
 */
export class Descendants {
	readonly #root: Root;
	readonly #table: ProcessTable;
	readonly #isSpared: (pid: number, state: ProcessState) => boolean;
	readonly #searchingMs: number;
	/** By pid: the births of processes that were found. */
	readonly #found = new Map<number, number>();
	/** By pid: the births of processes that were found by their mark. */
	readonly #marked = new Map<number, number>();
	/** The search was not cut short. */
	#isComplete = true;

	/** @param isSpared true for children of the root that are left alone, with their descendants */
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

	/** Kills what a worker with this mark has left behind; its own pid may be reused by now. Resolves with false if some may live. */
	static endOrphans(mark: string): Promise<boolean> {
		return new Descendants({pid: process.pid, thread: 0, mark}).end().catch(() => false);
	}

	/** Stops the descendants of the root, until a round finds no others. */
	async stop(): Promise<void> {
		const until = steadyMs() + this.#searchingMs;
		for (;;) {
			this.#isComplete = await this.#round(until);
			if (this.#isComplete || steadyMs() >= until) return;
			await pause();
		}
	}

	/** Kills at once the processes that were found. */
	kill(): void {
		for (const pid of this.#living()) signal(pid, 'SIGKILL');
	}

	/** Waits until the root has reaped its dead children. A root that computes does not within this time; they stay in the table as zombies. */
	async reap(): Promise<void> {
		const until = steadyMs() + REAPING_MS;
		while (this.#table.childrenOf(this.#root).some(pid => this.#found.has(pid)) && steadyMs() < until) await pause();
	}

	/** Kills all descendants, also those found by their mark. Resolves once they are dead; with false if some may live. */
	async end(): Promise<boolean> {
		await this.stopAll();
		const until = steadyMs() + DYING_MS;
		for (;;) {
			await this.#table.refresh();
			if (this.#living().length === 0) return this.#isComplete;
			if (steadyMs() > until) return false;
			this.kill();
			await pause();
		}
	}

	/** Stops all descendants, also those found by their mark. */
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
			else if (!marked.areAll) await pause();
			areAll = marked.areAll && marked.pids.length === 0;
		}
		this.#isComplete &&= areAll;
	}

	/** Looks at all descendants and stops those that run. True if all were known and stopped before. */
	async #round(until: number): Promise<boolean> {
		await this.#table.refresh();
		const marked = [...this.#marked.keys()].filter(pid => this.#table.stateOf(pid)?.bornAt === this.#marked.get(pid));
		const queue = [...this.#table.childrenOf(this.#root), ...marked];
		const seen = this.#spared(queue);
		let isStill = true;
		for (const pid of queue) {
			if (seen.has(pid)) continue;
			// A fork bomb starts more than can be stopped.
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

/** Does nothing if the process has ended, or runs with rights that this program doesn't have. */
function signal(pid: number, name: 'SIGSTOP' | 'SIGKILL'): void {
	try {
		kill(pid, name);
	} catch {
		// The callers look later whether it lives.
	}
}

function pause(): Promise<void> {
	return new Promise(resolve => void setTimeout(resolve, 1));
}
