import {closeSync, existsSync, lstatSync, openSync, type Stats, statSync} from 'node:fs';
import {dirname} from 'node:path';
import {FaenaError} from '../support/errors.ts';
import {unwritable} from './sqlite-errors.ts';

/** The database, a file beside it, or the folder of large results. */
type Role = 'database' | 'file' | 'folder';

/** The suffixes of the files that SQLite keeps beside a database. */
const SIDE_FILES = ['-wal', '-shm', '-journal'];

/**
 * Refuses a database, or a file beside it, that another user may have made: Faena would return its content as results. Refuses links in every folder:
 * if one database had two names, two engines would use two logs, and look for each other's locks in two places. Creates no file.
 *
 * Owners and permissions of files are checked only in a folder that everybody can write to. In other folders, users and containers may share a
 * database on purpose.
 */
export function refuseUntrusted(database: string): void {
	const folder = dirname(database);
	const {mode} = statSync(folder);
	if (canAllWrite(mode) && (mode & STICKY) === 0)
		refuse(`Everybody can replace files in the folder ${folder} of the database. Take that permission away (chmod o-w ${folder}), or name another folder.`);
	refuse(problemOf(database, 'database'));
	for (const suffix of SIDE_FILES) refuse(problemOf(database + suffix, 'file'));
	refuseUntrustedFolder(`${database}-blobs`);
}

/** Throws if the folder exists, and another user may have made it or can write to it. */
export function refuseUntrustedFolder(path: string): void {
	refuse(problemOf(path, 'folder'));
}

/** Throws `BadDatabase` with this sentence, if there is one. */
export function refuse(problem: string | undefined): void {
	if (problem !== undefined) throw new FaenaError('BadDatabase', problem);
}

/** As {@link problemOf}, of a lock. It is a small SQLite database, so a file that another user puts beside it may become its journal. */
export function problemOfLock(path: string): string | undefined {
	return ['', ...SIDE_FILES].map(suffix => problemOf(path + suffix, 'file')).find(problem => problem !== undefined);
}

/** The reason why the file can't be trusted, as a sentence; `undefined` if it can, or does not exist. */
function problemOf(path: string, role: Role): string | undefined {
	const stat = lstatSync(path, {throwIfNoEntry: false});
	if (!stat) return undefined;
	const noun = role === 'folder' ? 'folder' : 'file';
	if (stat.isSymbolicLink()) return `${path} is a symbolic link. ${role === 'database' ? 'Name' : 'Replace it by'} the ${noun} that it leads to.`;
	if (noun === 'folder' ? !stat.isDirectory() : !stat.isFile())
		return role === 'database'
			? `${path} is not a file. Name a file for the jobs, for instance ${path}/jobs.db.`
			: `${path} is not a ${noun}, which Faena keeps there. Move it away.`;
	if (noun === 'file' && stat.nlink > 1)
		return `${path} has ${stat.nlink} names (hard links), and each name would have its own log beside it. Remove the other names, or make a copy and name that.`;
	return isWindows ? undefined : problemOfUsers(path, role, stat);
}

function problemOfUsers(path: string, role: Role, {uid, mode}: Stats): string | undefined {
	const isOpenPlace = canAllWrite(statSync(dirname(path)).mode);
	const remedy = role === 'database' ? 'Name another file' : 'Remove it, or name another database';
	if (isOpenPlace && uid !== process.geteuid?.() && uid !== ROOT) return `${path} belongs to another user, in a folder that everybody can write to. ${remedy}.`;
	// Into a folder of results that everybody can write to, another user could put files.
	if (canAllWrite(mode) && (isOpenPlace || role === 'folder')) return `Everybody can write to ${path}. Take that permission away (chmod o-w ${path}).`;
	return undefined;
}

/** Windows has other permissions, which Node does not report. */
const isWindows = process.platform === 'win32';
const ROOT = 0;
/** The mode bit of a folder such as /tmp, in which only the owner of a file can replace it. */
const STICKY = 0o1000;

function canAllWrite(mode: number): boolean {
	return !isWindows && (mode & 0o002) !== 0;
}

/** Creates a file that only its owner can read, unless it exists: payloads may be secrets. SQLite gives its side files the same permissions. */
export function createPrivately(path: string): void {
	if (existsSync(path)) return;
	try {
		closeSync(openSync(path, 'wx', 0o600));
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw unwritable(path, `${path} can't be created`, error);
	}
}
