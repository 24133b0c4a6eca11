import {execFile} from 'node:child_process';
import {readdirSync, readFileSync, readlinkSync} from 'node:fs';
import {setImmediate, steadyMs, uptime} from '../support/primordials.ts';

/** The environment variable by which a worker's processes are recognised after their parent has ended. */
export const MARK = 'FAENA_WORKER';

/** Whose children are meant: those of a process, or on Linux those of one of its threads. */
export interface Parent {
	readonly pid: number;
	readonly thread?: number;
}

/** A process at one moment. */
export interface ProcessState {
	/** When it was born, on a clock of the table's. With the pid it names a process for good, since pids are used again. */
	readonly bornAt: number;
	/** It was stopped by a signal, or will be as soon as it returns from the call of the system that it waits in. */
	readonly isStopped: boolean;
	/** It has ended. Its parent has not asked for its exit code yet. */
	readonly isDead: boolean;
	/** The session that it belongs to, where that is known. */
	readonly session?: number;
	/** It is between two programs: the new one has no environment yet. */
	readonly isStarting?: boolean;
}

/** The processes of this machine. */
export interface ProcessTable {
	/** Reads the table anew, where that is done at once for all processes. */
	refresh(): Promise<void>;
	/** `undefined` if there is no such process. */
	stateOf(pid: number): ProcessState | undefined;
	childrenOf(parent: Parent): number[];
	/**
	 * Processes of this process's session that were started with this {@link MARK}; none where that can't be seen. Looks only at those that
	 * are not among the `seen`, and adds them. There may be others if one ended before it was looked at, since it may have started one, or if
	 * one has no environment yet; that is looked at again.
	 */
	marked(mark: string, seen: Set<number>): Promise<{readonly pids: readonly number[]; readonly areAll: boolean}>;
	/**
	 * The moment that lies so many milliseconds ago, on the clock of {@link ProcessState.bornAt}, or a little earlier: so it is asked how long
	 * ago only once the clock was read. The table was read before.
	 */
	momentAgo(elapsedMs: () => number): number;
}

/** The operating system's id of the thread that calls; 0 where it isn't known. */
export function ownThread(): number {
	try {
		return Number(/\d+$/.exec(readlinkSync('/proc/thread-self'))?.[0] ?? 0);
	} catch {
		return 0;
	}
}

/** What a worker thread says of itself, as far as it can be true: the id of a thread of this process that is neither the main thread nor the one that calls; else 0. */
export function asWorkerThread(claimed: number): number {
	const isOther = Number.isSafeInteger(claimed) && claimed > 0 && claimed !== process.pid && claimed !== ownThread();
	return isOther && read(`/proc/self/task/${claimed}/stat`) ? claimed : 0;
}

/** The best table that this platform has. */
export function openProcessTable(): ProcessTable {
	return read('/proc/thread-self/children') === undefined ? new PsTable() : new ProcTable();
}

/** Linux counts the births of processes in hundredths of a second. */
const TICK_MS = 10;
/** So many processes are looked at before other work of this thread has its turn. */
export const LOOKS_PER_TURN = 50;

/** Lets other work of this thread have its turn. */
export function nextTurn(): Promise<void> {
	return new Promise(resolve => void setImmediate(resolve));
}

/** Linux: reads what it is asked for from `/proc`. */
export class ProcTable implements ProcessTable {
	readonly #uptimeMs: () => number;

	constructor(uptimeMs = uptimeOfSystem) {
		this.#uptimeMs = uptimeMs;
	}

	async refresh(): Promise<void> {}

	stateOf(pid: number): (ProcessState & {readonly session: number}) | undefined {
		const stat = read(`/proc/${pid}/stat`)?.toString('latin1');
		if (stat === undefined) return undefined;
		// The second field is the program's name, in parentheses, which may hold anything. The state is the third.
		const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
		const [state = ''] = fields;
		// D: among others a parent whose child was stopped between `vfork` and `exec`.
		return {
			bornAt: Number(fields[19]) * TICK_MS,
			isStopped: /[TtD]/.test(state),
			isDead: /[ZXx]/.test(state),
			session: Number(fields[3]),
			isStarting: fields[48] === '0',
		};
	}

	childrenOf({pid, thread}: Parent): number[] {
		const threads = thread === undefined ? list(`/proc/${pid}/task`) : [thread];
		return threads.flatMap(each => numbers(read(`/proc/${pid}/task/${each}/children`)?.toString('latin1').split(' ') ?? []));
	}

	async marked(mark: string, seen: Set<number>): Promise<{readonly pids: readonly number[]; readonly areAll: boolean}> {
		const pids: number[] = [];
		const session = this.stateOf(process.pid)?.session;
		let areAll = true;
		for (const pid of numbers(list('/proc'))) {
			if (seen.has(pid)) continue;
			if (seen.add(pid).size % LOOKS_PER_TURN === 0) await nextTurn();
			const look = this.#look(pid, mark, session);
			if (look === 'marked') pids.push(pid);
			if (look === 'starting') seen.delete(pid);
			areAll &&= look === 'marked' || look === 'other';
		}
		return {pids, areAll};
	}

	#look(pid: number, mark: string, session: number | undefined): 'marked' | 'other' | 'starting' | 'ended' {
		const state = this.stateOf(pid);
		if (!state || state.isDead) return 'ended';
		if (state.session !== session) return 'other';
		const environment = read(`/proc/${pid}/environ`);
		if (environment?.includes(`${MARK}=${mark}\0`)) return 'marked';
		// It may have become another program since its state was read.
		return environment?.length === 0 && (state.isStarting || read(`/proc/${pid}/environ`)?.length || this.stateOf(pid)?.isStarting) ? 'starting' : 'other';
	}

	momentAgo(elapsedMs: () => number): number {
		// In a container the first may count from the container's start, and births from the host's. The second does not count while the machine sleeps.
		const nowMs = Math.max(this.#uptimeMs(), (this.stateOf(process.pid)?.bornAt ?? 0) + uptime() * 1000);
		return Math.floor((nowMs - elapsedMs()) / TICK_MS) * TICK_MS;
	}
}

function uptimeOfSystem(): number {
	return Number.parseFloat(read('/proc/uptime')?.toString('latin1') ?? '') * 1000;
}

interface PsRow extends ProcessState {
	readonly pid: number;
	readonly parent: number;
}

/** Other Unix systems: asks `ps` for all processes. It knows of no threads and of no environments. */
export class PsTable implements ProcessTable {
	#rows: ReadonlyMap<number, PsRow> = new Map();
	/** From this thread's clock to that of `ps`, which may differ from the wall clock; too little by a second or so. */
	#offsetMs = Number.NaN;

	/** Where there is no `ps`, the table is empty. */
	async refresh(): Promise<void> {
		this.#rows = await new Promise(resolve => {
			const ps = execFile('ps', ['-A', '-o', 'pid=,ppid=,stat=,lstart='], {env: {...process.env, LC_ALL: 'C'}}, (_, text) => {
				const rows = new Map(
					text
						.split('\n')
						.flatMap(toRow)
						.map(row => [row.pid, row]),
				);
				this.#offsetMs = (rows.get(ps.pid as number)?.bornAt ?? Number.NaN) - steadyMs();
				rows.delete(ps.pid as number);
				resolve(rows);
			});
		});
	}

	stateOf(pid: number): ProcessState | undefined {
		return this.#rows.get(pid);
	}

	childrenOf({pid, thread}: Parent): number[] {
		if (thread !== undefined) return [];
		return [...this.#rows.values()].filter(({parent}) => parent === pid).map(row => row.pid);
	}

	async marked(): Promise<{readonly pids: readonly number[]; readonly areAll: boolean}> {
		return {pids: [], areAll: true};
	}

	momentAgo(elapsedMs: () => number): number {
		const nowMs = steadyMs() + this.#offsetMs;
		// It tells whole seconds.
		return Math.floor((nowMs - elapsedMs()) / 1000) * 1000;
	}
}

function toRow(line: string): PsRow | [] {
	const [, pid, parent, state = '', bornAt = ''] = /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.+)$/.exec(line) ?? [];
	if (pid === undefined) return [];
	return {pid: Number(pid), parent: Number(parent), bornAt: Date.parse(bornAt), isStopped: /^[TDU]/.test(state), isDead: state.startsWith('Z')};
}

/** The file, unless the process that it tells of has ended or belongs to somebody else. */
function read(file: string): Buffer | undefined {
	try {
		return readFileSync(file);
	} catch {
		return undefined;
	}
}

function list(folder: string): string[] {
	try {
		return readdirSync(folder);
	} catch {
		return [];
	}
}

function numbers(words: readonly string[]): number[] {
	return words.map(Number).filter(each => Number.isSafeInteger(each) && each > 0);
}
