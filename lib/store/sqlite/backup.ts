import {closeSync, constants, copyFileSync, existsSync, fsyncSync, mkdirSync, openSync, readdirSync, renameSync, rmSync, statSync} from 'node:fs';
import {basename, dirname, join} from 'node:path';
import type {BackedUp} from '../../job/events.ts';
import {FaenaError} from '../../support/errors.ts';
import {ownerLockAt} from '../owners/owner-files.ts';
import {isFileName} from '../owners/owner-lock.ts';
import {retryWhileBusy, translate, unwritable} from '../sqlite-errors.ts';
import {createPrivately, refuse, refuseUntrusted} from '../trusted-files.ts';
import {blobsAt, isBlobName, syncFolder} from './connection/blobs.ts';
import {connect} from './connection/connection.ts';
import type {OwnerValues} from './connection/statements.sql.ts';
import {SqliteStore} from './sqlite.ts';

/** Programs may delete results while they are copied. Then the database is copied again, which takes less and less time. */
const MAX_ATTEMPTS = 10;

/**
 * Copies a database to a new file: one moment of it, with the large results that it names at that moment. In the copy no program has claimed a job or a
 * batch. The copy gets its name when it is whole.
 */
export async function backUpFile(path: string, target: string): Promise<BackedUp> {
	if (!existsSync(path)) refuse(`There is no database ${path}. Name an existing file.`);
	reserve(target);
	const draft = `${target}-draft`;
	try {
		createPrivately(draft);
		const files = await copyAll(path, draft);
		await endOwners(draft);
		syncFile(draft);
		// The results first: a program that sees the copy of the database finds them there.
		if (existsSync(blobsAt(draft))) renameSync(blobsAt(draft), blobsAt(target));
		renameSync(draft, target);
		syncFolder(dirname(target));
		return {bytes: statSync(target).size, ...files};
	} catch (error) {
		for (const file of filesOf(draft)) rmSync(file, {recursive: true, force: true});
		rmSync(target, {force: true});
		throw isSystemError(error) ? unwritable(target, `The backup ${target} can't be written`, error) : translate(error, target);
	}
}

/** Makes an empty file of this name, so that two backups never write to one. */
function reserve(target: string): void {
	const taken = ['-wal', '-shm', '-journal', '-blobs', '-draft', '-draft-blobs'].map(suffix => target + suffix).find(file => existsSync(file));
	try {
		if (taken !== undefined) throw Object.assign(new Error(), {code: 'EEXIST'});
		closeSync(openSync(target, 'wx', 0o600));
	} catch (cause) {
		const {code} = cause as NodeJS.ErrnoException;
		if (code === 'EEXIST') throw new FaenaError('BadOption', `${taken ?? target} exists already. A backup never writes over a file; name another one.`);
		if (code === 'ENOENT') throw new FaenaError('BadOption', `The folder ${dirname(target)} of the backup does not exist; create it first.`, {cause});
		throw unwritable(target, `The backup ${target} can't be created`, cause);
	}
}

async function copyAll(path: string, draft: string): Promise<Pick<BackedUp, 'results' | 'missingResults'>> {
	let missing = new Set<string>();
	for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
		const names = await copyDatabase(path, draft);
		const before = missing;
		missing = copyResults(blobsAt(path), blobsAt(draft), names);
		// A result that two copies of the database name, and that has no file, was lost long ago.
		if ([...missing].every(name => before.has(name))) {
			removeOthers(blobsAt(draft), names);
			return {results: names.length - missing.size, missingResults: missing.size};
		}
		if (attempt < MAX_ATTEMPTS) for (const suffix of ['', '-wal', '-shm']) rmSync(draft + suffix, {force: true});
		createPrivately(draft);
	}
	throw new FaenaError('DatabaseBusy', `Programs delete the results of ${path} faster than they can be copied. Try again when they delete fewer.`);
}

/** The draft, and what SQLite and Faena may have made beside it. */
function filesOf(draft: string): string[] {
	const [folder, name] = [dirname(draft), basename(draft)];
	const others = readdirSync(folder).filter(each => each.startsWith(name) && /^-(wal|shm|journal|blobs|owner-.+)$/.test(each.slice(name.length)));
	return [draft, ...others.map(each => join(folder, each))];
}

/** Returns the names of the results that the copy names. */
async function copyDatabase(path: string, draft: string): Promise<readonly string[]> {
	const source = await connect(path, 'full', true);
	try {
		await retryWhileBusy(() => source.copyInto(draft));
	} finally {
		source.close();
	}
	const copy = await connect(draft, 'full');
	try {
		return (copy.statements.blobNames.all() as string[]).filter(isBlobName);
	} finally {
		copy.close();
	}
}

/** Returns the names of those that are not there. */
function copyResults(from: string, to: string, names: readonly string[]): Set<string> {
	const missing = new Set<string>();
	if (names.length > 0) mkdirSync(to, {recursive: true, mode: 0o700});
	for (const name of names) {
		const copy = join(to, name);
		if (existsSync(copy)) continue;
		try {
			copyFileSync(join(from, name), copy, constants.COPYFILE_FICLONE);
		} catch (error) {
			if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
			missing.add(name);
			continue;
		}
		syncFile(copy);
	}
	if (names.length > 0) syncFolder(to);
	return missing;
}

/** Removes results that an earlier attempt has copied, and that the copy does not name. */
function removeOthers(folder: string, names: readonly string[]): void {
	if (!existsSync(folder)) return;
	const kept = new Set(names);
	for (const name of readdirSync(folder)) if (!kept.has(name)) rmSync(join(folder, name));
}

/** Makes the running jobs of the copy ready, and frees its batches, as after the death of every program on it. */
async function endOwners(draft: string): Promise<void> {
	refuseUntrusted(draft);
	const copy = await connect(draft, 'full');
	const names = (copy.statements.owners.all() as OwnerValues[]).map(([, name]) => name).filter(isFileName);
	copy.close();
	// A lock file that no process holds shows that its owner has ended.
	for (const name of names) createPrivately(ownerLockAt(draft, name));
	const store = new SqliteStore(draft);
	try {
		while ((await store.reclaim()).hasMore);
	} finally {
		await store.close();
	}
}

function syncFile(path: string): void {
	const file = openSync(path, 'r+');
	try {
		fsyncSync(file);
	} finally {
		closeSync(file);
	}
}

function isSystemError(error: unknown): boolean {
	return error instanceof Error && 'syscall' in error;
}
