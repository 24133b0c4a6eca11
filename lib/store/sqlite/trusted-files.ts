import {lstatSync, type Stats, statSync} from 'node:fs';
import {dirname} from 'node:path';
import {FaenaError} from '../../support/errors.ts';

/** The database itself, a file that SQLite or Faena keeps beside it, or the folder of large results. */
type Role = 'database' | 'file' | 'folder';

/** What SQLite keeps beside a database. */
const SIDE_FILES = ['-wal', '-shm', '-journal'];

/**
 * Refuses a database, or a file beside it, that another user may have put there: it would be trusted as ours, and what it
 * says would be returned as results. Links are refused in every folder: by two names of one database, two engines would
 * use two logs, and look for each other's locks in two places. Files that are not there yet are not made.
 *
 * Everything else is looked at only where everybody can write to the folder. A folder that only some users can write to is
 * theirs: containers and users that share a volume on purpose go on doing so.
 * @throws FaenaError `BadDatabase`
 */
export function refuseUntrusted(database: string): void {
	const folder = dirname(database);
	const {mode} = statSync(folder);
	if (canAllWrite(mode) && (mode & STICKY) === 0)
		throw refused(`Everybody can replace files in the folder ${folder} of the database; take that away (chmod o-w ${folder}), or name another.`);
	refuseIf(problemOf(database, 'database'));
	for (const suffix of SIDE_FILES) refuseIf(problemOf(database + suffix, 'file'));
	refuseUntrustedFolder(`${database}-blobs`);
}

/** @throws FaenaError `BadDatabase` if the folder is there, and another user may have made it or can write to it */
export function refuseUntrustedFolder(path: string): void {
	refuseIf(problemOf(path, 'folder'));
}

/**
 * A lock is a small database: what another user puts beside it, SQLite would use as its journal.
 * @throws FaenaError `BadDatabase` if another user may have made the lock's file, or one beside it, or can write to it
 */
export function refuseUntrustedLock(path: string): void {
	refuseIf(problemOfLock(path));
}

/** True if the lock's file is there, and no other user can have made it, or one beside it, or can write to it. */
export function isTrustedLock(path: string): boolean {
	return lstatSync(path, {throwIfNoEntry: false}) !== undefined && problemOfLock(path) === undefined;
}

function problemOfLock(path: string): string | undefined {
	return ['', ...SIDE_FILES].map(suffix => problemOf(path + suffix, 'file')).find(problem => problem !== undefined);
}

/** Why the file can't be trusted, as a sentence. */
function problemOf(path: string, role: Role): string | undefined {
	const stat = lstatSync(path, {throwIfNoEntry: false});
	if (!stat) return undefined;
	if (stat.isSymbolicLink()) return `${path} is a symbolic link; ${role === 'database' ? 'name' : 'put in its place'} the ${nounOf(role)} that it leads to.`;
	if (role === 'folder' ? !stat.isDirectory() : !stat.isFile()) return wrongType(path, role);
	if (role !== 'folder' && stat.nlink > 1)
		return `${path} has ${stat.nlink} names (hard links), each of which would have a log of its own beside it. Remove the others, or make a copy and name that.`;
	return isWindows ? undefined : problemOfUsers(path, role, stat);
}

function problemOfUsers(path: string, role: Role, {uid, mode}: Stats): string | undefined {
	const isOpenPlace = canAllWrite(statSync(dirname(path)).mode);
	const remedy = role === 'database' ? 'name another file' : 'remove it, or name another database';
	if (isOpenPlace && uid !== process.geteuid?.() && uid !== ROOT) return `${path} belongs to another user, in a folder that everybody can write to; ${remedy}.`;
	// A folder of results is itself a place where others could put files.
	if (canAllWrite(mode) && (isOpenPlace || role === 'folder')) return `Everybody can write to ${path}; take that away (chmod o-w ${path}).`;
	return undefined;
}

function wrongType(path: string, role: Role): string {
	if (role === 'database') return `${path} is not a file; name a file for the jobs, for instance ${path}/jobs.db.`;
	return `${path} is not a ${role}, which Faena keeps there; move it away.`;
}

function nounOf(role: Role): string {
	return role === 'folder' ? 'folder' : 'file';
}

/** Windows has other permissions, which Node does not tell. */
const isWindows = process.platform === 'win32';
const ROOT = 0;
/** In such a folder only its owner can replace a file: /tmp is one. */
const STICKY = 0o1000;

function canAllWrite(mode: number): boolean {
	return !isWindows && (mode & 0o002) !== 0;
}

function refuseIf(problem: string | undefined): void {
	if (problem !== undefined) throw refused(problem);
}

function refused(problem: string): FaenaError {
	return new FaenaError('BadDatabase', problem);
}
