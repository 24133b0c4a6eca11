import {realpathSync} from 'node:fs';
import {basename, dirname, join, resolve} from 'node:path';
import {fileURLToPath} from 'node:url';
import {bad} from '../job/checks.ts';

/**
 * The absolute path of a database, from which the paths of all its other files are made. A later `process.chdir()` does not
 * change it. Its folder has no links and no `..`, so that every path to the database leads to the same lock and blob files.
 * @throws FaenaError `BadOption` if SQLite could not open a file of this name
 */
export function queuePath(where: string, location: string | URL): string {
	const path = location instanceof URL ? fileURLToPath(location) : location;
	// better-sqlite3 would trim the name, and open another file.
	if (path.trimEnd() !== path) throw bad(`${where} expects as queue a path that does not end with white space; it got ${JSON.stringify(path)}`);
	try {
		// The native version resolves `..` after a link from the link's target, as the system does.
		return join(realpathSync.native(dirname(path)), basename(path));
	} catch {
		// The folder does not exist or can't be entered. Opening the database will fail with a message that says so.
		return absolutePath(path);
	}
}

/** Whether a path leads to a file of the queue in this file: the database, one that SQLite or an engine keeps beside it, or a large result. */
export function isOwnFile(location: string): (path: string) => boolean {
	const [database, name] = [queuePath('open()', location), basename(location)];
	return path => {
		if (!path.includes(name)) return false;
		const whole = join(realpathSync.native(dirname(path)), basename(path));
		return whole.startsWith(database) && /^(-wal|-shm|-journal|-owner-.*|-blobs[/\\].*)?$/s.test(whole.slice(database.length));
	};
}

/** Like `resolve`. If the working directory was deleted, the path stays as it is, and opening it fails. */
function absolutePath(path: string): string {
	try {
		return resolve(path);
	} catch {
		return path;
	}
}
