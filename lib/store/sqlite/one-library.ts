import {randomInt} from 'node:crypto';
import {readFileSync} from 'node:fs';
import Database from 'better-sqlite3';
import {bad} from '../../job/checks.ts';
import type {Health} from '../../job/events.ts';

/*
 * A process must not open a database by two SQLite libraries. POSIX file locks belong to the process: two libraries in one process both get the
 * write lock at once, and when one of them closes the file, the locks of the other are gone. That destroys the database within milliseconds. All
 * connections of one library, in all threads, see each other's locks.
 */

/** A connection that a program opened itself: a `Database` of the copy of better-sqlite3 that Faena uses. */
export interface OwnConnection {
	/** The path of the database. */
	readonly name: string;
	/** False once it is closed. */
	readonly open: boolean;
	/** True if it can't write. */
	readonly readonly: boolean;
	/** As better-sqlite3's. */
	prepare(sql: string): object;
	/** As better-sqlite3's. */
	pragma(source: string, options: {readonly simple: true}): unknown;
	/** As better-sqlite3's. */
	transaction(run: () => void): {immediate(): void};
}

/** Connections that are of Faena's library. */
const verified = new WeakSet<object>();

/** Throws `BadOption` if the SQLite library of the connection is not the one of Faena's own connections. */
export function refuseOtherLibrary(where: string, connection: OwnConnection): void {
	if (verified.has(connection)) return;
	if (!hasSameLibrary(connection))
		throw bad(
			`${where} got a connection of another copy of better-sqlite3 than Faena's. ${WHY_ONE_LIBRARY} Let both use one copy: "npm ls better-sqlite3" shows ` +
				'the copies, and "npm dedupe", or the version that faena depends on, makes them one. Or use that copy in a process without Faena',
		);
	verified.add(connection);
}

export const WHY_ONE_LIBRARY = "Two SQLite libraries that have one file open in one process don't see each other's locks, and destroy the file.";

/**
 * Compares the soft heap limits, since that limit is one variable of a whole library. The first call sets Faena's to a random number. Classes don't
 * tell libraries apart: in a test runner each test file has classes of its own, from the same library.
 */
function hasSameLibrary(connection: OwnConnection): boolean {
	const own = new Database(':memory:');
	try {
		if (numberOf(own, 'soft_heap_limit') === 0) own.pragma(`soft_heap_limit = ${NO_LIMIT_BYTES + randomInt(2 ** 40)}`);
		// Read twice, since another thread may have set it between the two readings.
		const [before, theirs, after] = [own, connection, own].map(each => numberOf(each, 'soft_heap_limit'));
		return theirs === before || theirs === after;
	} finally {
		own.close();
	}
}

/** A pebibyte: more than any process has. */
const NO_LIMIT_BYTES = 2 ** 50;

/** The value of a pragma. A program that opened the connection itself may have another type for integers. */
export function numberOf(connection: Pick<OwnConnection, 'pragma'>, pragma: string): number {
	return Number(connection.pragma(pragma, {simple: true}));
}

const LIBRARY = /(?:\/better-sqlite3\/.*|sqlite[^/]*)\.(?:node|so[.\d]*)$/;

/**
 * Finds out whether several SQLite libraries of this process have the database open, which is in WAL mode: each library maps the beginning of the
 * database's `-shm` once, with any number of connections. Returns the files of the libraries; Node's own library (node:sqlite) has none. Only Linux
 * shows this.
 */
export function findSecondLibrary(path: string): Health['secondLibrary'] {
	const mapped = mappedFiles();
	if (mapped.filter(file => file === `${path}-shm`).length < 2) return undefined;
	const libraries = [...new Set(mapped.filter(file => LIBRARY.test(file)))].sort();
	const named = [...libraries, ...(libraries.length < 2 ? ['one without a file, such as node:sqlite'] : [])].join('; ');
	const message = `${path} is open by several SQLite libraries of this process: ${named}. ${WHY_ONE_LIBRARY} Close it there, and check it (pragma integrity_check). In this process, open it only by the better-sqlite3 that Faena uses.`;
	return {libraries, message};
}

/** The files whose beginning is mapped into the memory of this process; a file that is mapped several times is there several times. */
function mappedFiles(): string[] {
	try {
		const maps = readFileSync('/proc/self/maps', 'utf8');
		return [...maps.matchAll(/^\S+ \S+ 0+ \S+ \d+ +(\/.*)$/gm)].map(match => match[1] as string);
	} catch {
		// Other systems have no such file, and a sandbox may hide it.
		return [];
	}
}
