import {kill, setTimeout, steadyMs} from '../support/primordials.ts';
import {LOOKS_PER_TURN, nextTurn, openProcessTable, type Parent, type ProcessState, type ProcessTable} from './process-table.ts';

/** Time limit of each of the two searches. After that, the processes found so far are killed. */
export const SEARCHING_MS = 2000;
/** How long killed processes are waited for: a process in an uninterruptible call dies after that call. */
const DYING_MS = 1000;
/** How long a worker may take to reap its children. */
const REAPING_MS = 100;

/** The root of a tree of processes, which is not stopped or killed itself. */
export interface Root extends Parent {
	/** The mark in the environment of the processes that it started. */
	readonly mark?: string | undefined;
	/** Sessions of which all processes count as its own. */
	readonly sessions?: ReadonlySet<number>;
}

/**
 * The processes that a worker has started, their children, and so on. All are stopped from the top down before the first is
 * killed. So a process can't start another meanwhile, and no child is missed because its parent has died.
 *
 * A process that lost its parent earlier is found by its mark, if it is still in this program's session, or by the session that the root names.
 */
export class Descendants {
	readonly #root: Root;
	readonly #table: ProcessTable;
	readonly #isSpared: (pid: number, state: ProcessState) => boolean;
	readonly #searchingMs: number;
	/** By pid: the births of processes that were found. */
	readonly #found = new Map<number, number>();
	/** By pid: the births of processes that were found by their mark or session. */
	readonly #orphans = new Map<number, number>();
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

	/** Kills all descendants, also those found by their mark or session. Resolves once they are dead; with false if some may live. */
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

	/** Stops all descendants, also those found by their mark or session. */
	async stopAll(): Promise<void> {
		await this.stop();
		const {mark, sessions, pid: own} = this.#root;
		if (mark === undefined && !sessions) return;
		const until = steadyMs() + this.#searchingMs;
		const seen = new Set([own, ...this.#found.keys()]);
		let areAll = false;
		while (!areAll && steadyMs() < until) {
			const found = await (sessions ? this.#table.inSessions(sessions, seen) : this.#table.marked(mark as string, seen));
			for (const pid of found.pids) this.#orphans.set(pid, this.#table.stateOf(pid)?.bornAt ?? Number.NaN);
			if (found.pids.length > 0) await this.stop();
			else if (!found.areAll) await pause();
			areAll = found.areAll && found.pids.length === 0;
		}
		this.#isComplete &&= areAll;
	}

	/** Looks at all descendants and stops those that run. True if all were known and stopped before. */
	async #round(until: number): Promise<boolean> {
		await this.#table.refresh();
		const orphans = [...this.#orphans.keys()].filter(pid => this.#table.stateOf(pid)?.bornAt === this.#orphans.get(pid));
		const queue = [...this.#table.childrenOf(this.#root), ...orphans];
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
