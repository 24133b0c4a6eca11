import {existsSync, readdirSync, readFileSync} from 'node:fs';
import type {Measurement, Surroundings} from '../plan/suite.ts';

/**
 * Measures CPU time by Linux's `/proc`: of this process by thread, of its children and of servers. It also measures the fsyncs of
 * all of them, if a library counts them. On other systems it measures the CPU time of this process as a whole.
 */
export class CostMeter {
	readonly #servers: readonly number[];
	readonly #counter: Surroundings['counter'];
	readonly #before: Snapshot;

	constructor({servers = {}, counter}: Pick<Surroundings, 'servers' | 'counter'>) {
		this.#servers = Object.values(servers).map(({pid}) => pid);
		this.#counter = counter;
		this.#before = this.#take();
	}

	/** Costs since the meter was made. Threads that ended meanwhile count as `other`. Child processes must still be there. */
	read(): Pick<Measurement, 'cpu' | 'fsyncs' | 'fsyncMs' | 'sleeps'> {
		const [before, now] = [this.#before, this.#take()];
		const own = now.ownMicros - before.ownMicros;
		const byRole = {caller: 0, dispatcher: 0, workers: 0};
		for (const [thread, {role, micros}] of now.threads) if (role !== undefined) byRole[role] += micros - (before.threads.get(thread)?.micros ?? 0);
		const children = now.childMicros - before.childMicros;
		const other = Math.max(0, own - byRole.caller - byRole.dispatcher - byRole.workers);
		return {
			cpu: {...byRole, workers: byRole.workers + children, other, servers: now.serverMicros - before.serverMicros},
			...(before.counts && now.counts && difference(before.counts, now.counts)),
		};
	}

	#take(): Snapshot {
		const {user, system} = process.cpuUsage();
		return {
			ownMicros: user + system,
			threads: threads(),
			childMicros: descendants(process.pid).reduce((sum, pid) => sum + microsOf(pid), 0),
			serverMicros: this.#servers.reduce((sum, pid) => sum + [pid, ...descendants(pid)].reduce((all, each) => all + microsOf(each), 0), 0),
			counts: this.#counter && countsIn(this.#counter.file),
		};
	}
}

type Role = 'caller' | 'dispatcher' | 'workers';

interface Snapshot {
	readonly ownMicros: number;
	readonly threads: ReadonlyMap<string, {readonly role: Role | undefined; readonly micros: number}>;
	readonly childMicros: number;
	readonly serverMicros: number;
	readonly counts: Counts | undefined;
}

/** The counts of the preloaded library so far, of all processes. */
type Counts = Required<Pick<Measurement, 'fsyncs' | 'fsyncMs' | 'sleeps'>>;

function countsIn(file: string): Counts {
	const [fsyncs, nanoseconds, sleeps] = new BigUint64Array(new Uint8Array(readFileSync(file)).buffer);
	return {fsyncs: Number(fsyncs), fsyncMs: Number(nanoseconds) / 1e6, sleeps: Number(sleeps)};
}

function difference(before: Counts, now: Counts): Counts {
	return {fsyncs: now.fsyncs - before.fsyncs, fsyncMs: now.fsyncMs - before.fsyncMs, sleeps: now.sleeps - before.sleeps};
}

/** Roles by the names of Node's threads. The kernel cuts names off after 15 characters. The caller's thread is the main one: its id is the process's. */
const ROLES: Readonly<Record<string, Role>> = {WorkerThread: 'workers', 'faena dispatche': 'dispatcher'};

function threads(): Snapshot['threads'] {
	const found = new Map<string, {role: Role | undefined; micros: number}>();
	if (!existsSync('/proc/self/task')) return found;
	for (const thread of readdirSync('/proc/self/task')) {
		try {
			const name = readFileSync(`/proc/self/task/${thread}/comm`, 'utf8').trim();
			const [nanoseconds] = readFileSync(`/proc/self/task/${thread}/schedstat`, 'utf8').split(' ');
			found.set(thread, {role: thread === String(process.pid) ? 'caller' : ROLES[name], micros: Number(nanoseconds) / 1000});
		} catch {
			// It has just ended.
		}
	}
	return found;
}

/** The kernel reports these times in hundredths of a second. */
const TICK_MICROS = 10_000;

/** CPU time of a process and of its children that have ended. */
function microsOf(pid: number): number {
	try {
		const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
		// The name may contain anything. Of the fields after it, the 12th to the 15th are times.
		const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
		return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) * TICK_MICROS;
	} catch {
		return 0;
	}
}

function descendants(pid: number): number[] {
	try {
		const own = readdirSync(`/proc/${pid}/task`).flatMap(thread =>
			readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
		);
		return own.flatMap(child => [child, ...descendants(child)]);
	} catch {
		return [];
	}
}
