import {execFile} from 'node:child_process';
import {readdirSync, readFileSync, readlinkSync} from 'node:fs';
import {setImmediate, steadyMs, uptime} from '../support/primordials.ts';

/** The environment variable that identifies a worker's processes after their parent has ended. */
export const WORKER_ENV = 'FAENA_WORKER';

/** The parent of processes: a process, or on Linux one of its threads. */
export interface Parent {
	readonly pid: number;
	readonly thread?: number;
}

export interface ProcessState {
	/** When it was born, on the table's own clock. Pids are reused: only pid and birth together identify a process. */
	readonly bornAt: number;
	/** It was stopped by a signal, or will be once it returns from a system call. */
	readonly isStopped: boolean;
	/** It has ended, and its parent has not reaped it yet. */
	readonly isDead: boolean;
	/** It is in the middle of `exec`: the new program has no environment yet. */
	readonly isStarting?: boolean;
}

export interface ProcessTable {
	/** Two births that differ by no more may be the same. */
	readonly birthToleranceMs: number;
	/** Reads the table again, where it is read for all processes at once. */
	refresh(): Promise<void>;
	/** `undefined` if there is no such process. */
	stateOf(pid: number): ProcessState | undefined;
	childrenOf(parent: Parent): number[];
	/** Processes of this session with this {@link WORKER_ENV}, but for those in `seen`, to which it adds them; none where environments can't be read. */
	marked(mark: string, seen: Set<number>): Promise<Marked>;
	/** Processes of these sessions, but for those in `seen`, to which it adds them. Where sessions can't be read: their leaders. */
	inSessions(sessions: ReadonlySet<number>, seen: Set<number>): Promise<Marked>;
	/** The sessions in which a living process has this {@link WORKER_ENV}; none where environments can't be read. */
	markedSessions(mark: string): Promise<ReadonlySet<number>>;
	/** The time that lies `elapsedMs()` back, on the clock of `bornAt`, or a little earlier: that clock is read first. Call it after `refresh`. */
	momentAgo(elapsedMs: () => number): number;
}

export interface Marked {
	readonly pids: readonly number[];
	/** False if a process ended before it was looked at, since it may have started another, or has no environment yet: the next call looks again. */
	readonly areAll: boolean;
}

/** What a process turned out to be: one that is looked for, another one, one that has no environment yet, or one that has ended. */
type Look = 'ours' | 'other' | 'starting' | 'ended';

/** The id of the calling thread in the operating system; 0 where it isn't known. */
export function ownThread(): number {
	try {
		return Number(/\d+$/.exec(readlinkSync('/proc/thread-self'))?.[0] ?? 0);
	} catch {
		return 0;
	}
}

/** Checks the id that a worker thread reported: it must be a thread of this process, neither the main thread nor the caller; else 0. */
export function asWorkerThread(claimed: number): number {
	const isOther = Number.isSafeInteger(claimed) && claimed > 0 && claimed !== process.pid && claimed !== ownThread();
	return isOther && read(`/proc/self/task/${claimed}/stat`) ? claimed : 0;
}

export function openProcessTable(): ProcessTable {
	return read('/proc/thread-self/children') === undefined ? new PsTable() : new ProcTable();
}

/** Linux tells births in hundredths of a second. */
const TICK_MS = 10;
/** So many processes are looked at before the event loop turns. */
export const LOOKS_PER_TURN = 50;

export function nextTurn(): Promise<void> {
	return new Promise(resolve => void setImmediate(resolve));
}

/** Linux: reads from `/proc` what is asked for. */
export class ProcTable implements ProcessTable {
	readonly birthToleranceMs = 0;
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
		// D (uninterruptible) includes a parent whose child was stopped between `vfork` and `exec`.
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

	marked(mark: string, seen: Set<number>): Promise<Marked> {
		const session = this.stateOf(process.pid)?.session;
		return this.#find(seen, (pid, state) => (state.session === session ? this.#lookForMark(pid, mark) : 'other'));
	}

	inSessions(sessions: ReadonlySet<number>, seen: Set<number>): Promise<Marked> {
		return this.#find(seen, (_, {session}) => (sessions.has(session) ? 'ours' : 'other'));
	}

	async markedSessions(mark: string): Promise<ReadonlySet<number>> {
		const sessions = new Set<number>();
		await this.#find(new Set(), (pid, {session}) => {
			if (!sessions.has(session) && this.#lookForMark(pid, mark) === 'ours') sessions.add(session);
			return 'other';
		});
		return sessions;
	}

	async #find(seen: Set<number>, look: (pid: number, state: ProcessState & {readonly session: number}) => Look): Promise<Marked> {
		const pids: number[] = [];
		let areAll = true;
		for (const pid of numbers(list('/proc'))) {
			if (seen.has(pid)) continue;
			if (seen.add(pid).size % LOOKS_PER_TURN === 0) await nextTurn();
			const state = this.stateOf(pid);
			const found = !state || state.isDead ? 'ended' : look(pid, state);
			if (found === 'ours') pids.push(pid);
			if (found === 'starting') seen.delete(pid);
			areAll &&= found === 'ours' || found === 'other';
		}
		return {pids, areAll};
	}

	#lookForMark(pid: number, mark: string): Look {
		const state = this.stateOf(pid);
		if (!state) return 'ended';
		const environment = read(`/proc/${pid}/environ`);
		if (environment?.includes(`${WORKER_ENV}=${mark}\0`)) return 'ours';
		// It may have called `exec` since its state was read.
		return environment?.length === 0 && (state.isStarting || read(`/proc/${pid}/environ`)?.length || this.stateOf(pid)?.isStarting) ? 'starting' : 'other';
	}

	momentAgo(elapsedMs: () => number): number {
		// In a container the first may count from the container's start, while births count from the host's. The second stands still while the machine sleeps.
		const nowMs = Math.max(this.#uptimeMs(), (this.stateOf(process.pid)?.bornAt ?? 0) + uptime() * 1000);
		return Math.floor((nowMs - elapsedMs()) / TICK_MS) * TICK_MS;
	}
}

function uptimeOfSystem(): number {
	return Number.parseFloat(read('/proc/uptime')?.toString('latin1') ?? '') * 1000;
}

interface PsRow extends ProcessState {
	readonly parent: number;
}

/** Other Unix systems: asks `ps` for all processes. It shows no threads and no environments. */
export class PsTable implements ProcessTable {
	/** `ps` tells whole seconds, and computes them anew each time. */
	readonly birthToleranceMs = 2000;
	#rows: ReadonlyMap<number, PsRow> = new Map();
	/** The clock of `ps`, which may differ from the wall clock, minus this thread's steady clock. Too small by up to about a second. */
	#offsetMs = Number.NaN;

	/** Without `ps`, the table is empty. */
	async refresh(): Promise<void> {
		this.#rows = await new Promise(resolve => {
			const ps = execFile('ps', ['-A', '-o', 'pid=,ppid=,stat=,lstart='], {env: {...process.env, LC_ALL: 'C'}}, (_, text) => {
				const rows = new Map(text.split('\n').flatMap(toRow));
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
		return [...this.#rows].flatMap(([child, {parent}]) => (parent === pid ? child : []));
	}

	async marked(): Promise<Marked> {
		return {pids: [], areAll: true};
	}

	async inSessions(sessions: ReadonlySet<number>, seen: Set<number>): Promise<Marked> {
		const pids = [...sessions].filter(pid => this.#rows.has(pid) && !seen.has(pid));
		for (const pid of pids) seen.add(pid);
		return {pids, areAll: true};
	}

	async markedSessions(): Promise<ReadonlySet<number>> {
		return new Set();
	}

	momentAgo(elapsedMs: () => number): number {
		const nowMs = steadyMs() + this.#offsetMs;
		// `ps` tells whole seconds.
		return Math.floor((nowMs - elapsedMs()) / 1000) * 1000;
	}
}

function toRow(line: string): [pid: number, row: PsRow][] {
	const [, pid, parent, state = '', bornAt = ''] = /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.+)$/.exec(line) ?? [];
	if (pid === undefined) return [];
	return [[Number(pid), {parent: Number(parent), bornAt: Date.parse(bornAt), isStopped: /^[TDU]/.test(state), isDead: state.startsWith('Z')}]];
}

/** Reads a file of `/proc`; `undefined` if that process has ended or belongs to another user. */
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
