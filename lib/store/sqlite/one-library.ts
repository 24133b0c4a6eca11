import {randomInt} from 'node:crypto';
import {readFileSync} from 'node:fs';
import Database from 'better-sqlite3';
import {bad} from '../../job/checks.ts';
import type {OwnConnection} from './own-connection.ts';

/*
 * A process may have a database open by one SQLite library only. POSIX gives locks to processes: two libraries in one
 * process both get the write lock at once, and one that closes a file takes the locks of the other. The database is
 * destroyed within milliseconds. All connections of one library, in all threads, know of each other.
 */

/** Connections that were found to be of our library. */
const ours = new WeakSet<object>();

/**
 * @param connection a Database of some copy of better-sqlite3
 * @throws FaenaError `BadOption` if it is of another SQLite library than Faena's own connections
 */
export function refuseOtherLibrary(where: string, connection: OwnConnection): void {
	if (ours.has(connection)) return;
	if (!isOfOurLibrary(connection)) {
		throw bad(
			`${where} got a connection of another copy of better-sqlite3 than Faena's. ${WHY_ONE} Let both use one copy: "npm ls better-sqlite3" shows ` +
				'which there are, and "npm dedupe", or the version that faena depends on, makes them one. Or use that copy in a process without Faena',
		);
	}
	ours.add(connection);
}

export const WHY_ONE = "Two SQLite libraries that have one file open in one process don't see each other's locks, and destroy it.";

/**
 * The soft heap limit is one variable of a whole library, so it tells libraries apart whatever their classes are: a test
 * runner gives each test file classes of its own, from the same library. The first to ask sets ours to a random number.
 */
function isOfOurLibrary(connection: OwnConnection): boolean {
	const own = new Database(':memory:');
	try {
		if (softHeapLimit(own) === 0) own.pragma(`soft_heap_limit = ${NO_LIMIT_BYTES + randomInt(2 ** 40)}`);
		// Asked twice, since another thread may have been the first between the two questions.
		const [before, theirs, after] = [own, connection, own].map(softHeapLimit);
		return theirs === before || theirs === after;
	} finally {
		own.close();
	}
}

function softHeapLimit(connection: Pick<OwnConnection, 'pragma'>): number {
	return Number(connection.pragma('soft_heap_limit', {simple: true}));
}

/** A pebibyte, which no process has. */
const NO_LIMIT_BYTES = 2 ** 50;

/** The libraries' names in a sentence; Node's own has no file. */
export function severalLibraries(path: string, libraries: readonly string[]): string {
	const named = [...libraries, ...(libraries.length < 2 ? ['one without a file, such as node:sqlite'] : [])];
	return `${path} is open by several SQLite libraries of this process: ${named.join('; ')}. ${WHY_ONE} Close it there, and check it (pragma integrity_check). Open it in this process by the better-sqlite3 that Faena uses, and by nothing else.`;
}

/**
 * The SQLite libraries of this process, if several have the database open: each maps the beginning of its `-shm` once,
 * however many connections it has. On Linux; elsewhere always `undefined`.
 * @param path of a database in WAL mode
 * @returns the libraries' files, as far as their names tell: Node's own (node:sqlite) is no file
 */
export function severalLibrariesOn(path: string): readonly string[] | undefined {
	if (process.platform !== 'linux') return undefined;
	const mapped = mappedFiles();
	if (mapped.filter(file => file === `${path}-shm`).length < 2) return undefined;
	return [...new Set(mapped.filter(file => LIBRARY.test(file)))].sort();
}

/** Files whose beginning is mapped into the memory of this process, once for each time that it is. */
function mappedFiles(): string[] {
	try {
		const maps = readFileSync('/proc/self/maps', 'utf8');
		return [...maps.matchAll(/^\S+ \S+ 0+ \S+ \d+ +(\/.*)$/gm)].map(match => match[1] as string);
	} catch {
		// A sandbox may hide it.
		return [];
	}
}

const LIBRARY = /(?:\/better-sqlite3\/.*|sqlite[^/]*)\.(?:node|so[.\d]*)$/;
