import {closeSync, constants, fstatSync, openSync, readFileSync, readlinkSync, writeSync} from 'node:fs';
import {hostname} from 'node:os';
import {isOwnFile} from '../job/open-jobs.ts';
import {kill, setTimeout, steadyMs} from '../support/primordials.ts';
import {Descendants} from './descendants.ts';
import {openProcessTable, type ProcessTable} from './process-table.ts';

/**
 * The list of a spawner's living commands, a small file beside its owner's lock. If the spawner is killed, the engine ends the listed
 * commands; if both are killed, another engine does, before it runs their jobs again. The file survives them, because the system has it
 * in memory. It is never synced: after a loss of power no command lives.
 *
 * The first bytes are a {@link Header}. Each slot after it is free, or `starting`, or has the pid and the birth of a session's leader:
 * the spawner itself, or a command. A command's slot says `starting` before there is a process.
 */
const HEADER_BYTES = 1024;
const SLOT_BYTES = 32;
const FIRST_SLOTS = 64;
const STARTING = 'starting';
// Where this flag doesn't exist, no such link exists either.
const {O_NOFOLLOW: NO_FOLLOW = 0} = constants;

interface Header {
	/** In the environment of all commands. */
	readonly mark: string;
	/** Pids and births mean nothing elsewhere. */
	readonly system: string;
}

/** Makes the list of a spawner that is about to start, so that what it leaves is found also if it is killed before it has written anything. */
export function makeList(path: string, mark: string): void {
	const file = openList(path, constants.O_CREAT | constants.O_TRUNC);
	try {
		// Room for the first commands is taken now, while the disk has some.
		writeSync(file, ' '.repeat(HEADER_BYTES + FIRST_SLOTS * SLOT_BYTES), 0);
		writeSync(file, JSON.stringify({mark, system: system(file)} satisfies Header), 0);
	} finally {
		closeSync(file);
	}
}

function openList(path: string, flags = 0): number {
	const file = openSync(path, constants.O_RDWR | NO_FOLLOW | flags, 0o600);
	if (isOwnFile(fstatSync(file))) return file;
	closeSync(file);
	throw new Error(`${path} may belong to another user, or be read by others.`);
}

/** The list, as its spawner writes it. */
export class LivingCommands {
	readonly #file: number;
	readonly #table = openProcessTable();
	readonly #free: number[] = [];
	#slots = 0;

	/** @param path where the engine has made the list: {@link makeList} */
	constructor(path: string) {
		this.#file = openList(path);
		this.started(this.reserve(), process.pid);
	}

	/** A command is about to be started. Returns its slot. */
	reserve(): number {
		const slot = this.#free.pop() ?? this.#slots++;
		this.#write(slot, STARTING);
		return slot;
	}

	started(slot: number, pid: number): void {
		this.#write(slot, `${pid} ${this.#table.stateOf(pid)?.bornAt ?? Date.now()}`);
	}

	ended(slot: number): void {
		this.#write(slot, '');
		this.#free.push(slot);
	}

	/** The spawner ends in good order, without a command. */
	close(): void {
		writeSync(this.#file, ' '.repeat(HEADER_BYTES), 0);
		closeSync(this.#file);
	}

	#write(slot: number, text: string): void {
		writeSync(this.#file, `${text.padEnd(SLOT_BYTES - 1)}\n`, HEADER_BYTES + slot * SLOT_BYTES);
	}
}

/** How long the listed processes are looked for and waited for. */
const ENDING_MS = 5000;

/**
 * Kills the spawner and the commands that the file lists, with their descendants. Resolves once they are gone; with false if some may live. A file that is missing, damaged or another user's, or comes from another system, or is a copy, lists none.
 */
export async function endLivingCommands(path: string): Promise<boolean> {
	const list = readList(path);
	if (!list) return true;
	const {mark, listed, isStarting} = list;
	const table = openProcessTable();
	const until = steadyMs() + ENDING_MS;
	do {
		const sessions = await findSessions(table, mark, listed, isStarting);
		if (sessions.size === 0) return true;
		await new Descendants({pid: process.pid, thread: 0, sessions}, table).end().catch(() => false);
		for (const pid of sessions) signalGroup(pid, 'SIGKILL');
		await new Promise(resolve => void setTimeout(resolve, 1));
	} while (steadyMs() < until);
	return false;
}

/** Sends a signal to a process group. Returns false if it is empty, or not ours. */
export function signalGroup(pid: number, signal: NodeJS.Signals): boolean {
	try {
		return kill(-pid, signal);
	} catch {
		return false;
	}
}

/** The listed sessions that have living processes. A session whose leader has ended may be another one by now, so its processes must have the mark. */
async function findSessions(table: ProcessTable, mark: string, listed: ReadonlyMap<number, number>, isStarting: boolean): Promise<Set<number>> {
	await table.refresh();
	const marked = await table.markedSessions(mark);
	const led = [...listed].filter(([pid, bornAt]) => {
		const leader = table.stateOf(pid);
		return leader && !leader.isDead && Math.abs(leader.bornAt - bornAt) <= table.birthToleranceMs;
	});
	return new Set([...led.map(([pid]) => pid), ...[...marked].filter(pid => isStarting || listed.has(pid))]);
}

interface List extends Header {
	/** By pid: births. */
	readonly listed: ReadonlyMap<number, number>;
	/** Some command may have been started without being listed. */
	readonly isStarting: boolean;
}

function readList(path: string): List | undefined {
	let file: number | undefined;
	try {
		file = openSync(path, constants.O_RDONLY | NO_FOLLOW);
		if (!isOwnFile(fstatSync(file))) return undefined;
		const bytes = readFileSync(file);
		const header = JSON.parse(bytes.toString('utf8', 0, HEADER_BYTES)) as Header;
		if (header.system !== system(file)) return undefined;
		const slots = bytes
			.toString('latin1', HEADER_BYTES)
			.split('\n')
			.map(slot => slot.trim());
		const listed = slots.flatMap(slot => {
			const [pid = 0, bornAt = 0] = slot.split(' ').map(Number);
			return Number.isSafeInteger(pid) && pid > 1 ? [[pid, bornAt] as const] : [];
		});
		return {...header, listed: new Map(listed), isStarting: slots.includes(STARTING)};
	} catch {
		return undefined;
	} finally {
		if (file !== undefined) closeSync(file);
	}
}

/** This system since it was started, of its containers this one, and the list's file: a copy of it, beside that of a queue, lists nothing of its own. */
function system(file: number): string {
	const {ino} = fstatSync(file);
	try {
		return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${readlinkSync('/proc/self/ns/pid')} ${ino}`;
	} catch {
		return `${hostname()} ${ino}`;
	}
}
