/** Checks a database before it is opened. A database that another program made, that is damaged, or that a newer Faena wrote is left untouched. */

import {existsSync, statSync} from 'node:fs';
import {dirname} from 'node:path';
import Database from 'better-sqlite3';
import {FaenaError} from '../../support/errors.ts';
import type {OwnConnection} from './one-library.ts';
import {APPLICATION_ID, MIGRATIONS} from './schema.sql.ts';
import {NO_WAIT, retryWhileBusy} from './sqlite-errors.ts';
import {createPrivately, refuseUntrusted} from './trusted-files.ts';

/**
 * Checks the file, and creates it if it does not exist.
 * @throws FaenaError `BadDatabase`, `NewerDatabase`
 */
export async function prepareFile(path: string): Promise<void> {
	const folder = dirname(path);
	if (!existsSync(folder)) throw new FaenaError('BadDatabase', `The folder ${folder} of the database does not exist; create it first.`);
	refuseUntrusted(path);
	createPrivately(path);
	// Checked before the size: a new database has its first page before it has a log.
	const hasLog = existsSync(`${path}-wal`);
	if (statSync(path).size > 0) await retryWhileBusy(() => inspectAfterCrash(path));
	else if (hasLog) throw emptied(path);
}

/** SQLite would take the file for a new database, and delete its log. */
function emptied(path: string): FaenaError {
	return new FaenaError(
		'BadDatabase',
		`${path} was emptied: it has no content, but its log is beside it. Both were left untouched. Restore the file from a backup; or move both away to begin anew.`,
	);
}

/** Inspects the database by a read-only connection if possible, since that neither recovers nor moves a log. */
function inspectAfterCrash(path: string): void {
	try {
		inspect(path, {readonly: true});
	} catch (error) {
		// A program died while it created the database, and left a journal. Only a writer can roll that back.
		if (!(error instanceof Database.SqliteError) || error.code !== 'SQLITE_READONLY_ROLLBACK') throw error;
		inspect(path, {readonly: false});
	}
}

/** @throws FaenaError `BadDatabase`, `NewerDatabase` */
export function inspect(path: string, {readonly}: {readonly readonly: boolean}): void {
	const db = new Database(path, {readonly, ...NO_WAIT});
	try {
		// One transaction, since another process may be creating the tables now.
		db.exec('begin');
		const applicationId = db.pragma('application_id', {simple: true});
		const tables = db.prepare("select count(*) from sqlite_schema where type = 'table'").pluck().get();
		if (applicationId !== APPLICATION_ID && tables !== 0) {
			throw new FaenaError('BadDatabase', `${path} is a database of another program; it was left untouched. Name another file.`);
		}
		refuseNewer(db, path);
		refuseTruncated(db, path);
		refuseIfSmallAndDamaged(db, path);
	} finally {
		db.close();
	}
}

/**
 * Reads the whole of a database that is in use, by a new connection, which has no page in its cache.
 * @throws FaenaError `BadDatabase` if it is damaged
 */
export function refuseDamaged(path: string): void {
	const db = new Database(path, {readonly: true, ...NO_WAIT});
	try {
		const damage = damageOf(db);
		if (damage !== undefined) throw new FaenaError('BadDatabase', `${path} was truncated or damaged while it was in use: ${damage}. ${HOW_TO_RESTORE}`);
	} finally {
		db.close();
	}
}

const HOW_TO_RESTORE = 'Restore it from a backup, or recover what is left with the sqlite3 shell (.recover).';

/** The first damage, on one line. */
function damageOf(db: Database.Database): string | undefined {
	try {
		const found = db.pragma('integrity_check(1)', {simple: true}) as string;
		return found === 'ok' ? undefined : found.replace('*** in database main ***\n', '').replace(/\n.*/s, '');
	} catch (error) {
		if (error instanceof Database.SqliteError && /^SQLITE_(CORRUPT|NOTADB)/.test(error.code)) return error.message;
		throw error;
	}
}

/**
 * The largest database that is checked as a whole when it is opened, which takes some hundredths of a second. Damage in a larger one is found when the
 * damaged page is read, and writes until then may make it worse.
 */
const MAX_CHECKED_BYTES = 8 * 1024 * 1024;

function refuseIfSmallAndDamaged(db: Database.Database, path: string): void {
	if (pagesBytes(db) > MAX_CHECKED_BYTES) return;
	const damage = damageOf(db);
	if (damage !== undefined) throw new FaenaError('BadDatabase', `${path} is damaged: ${damage}. It was left untouched. ${HOW_TO_RESTORE}`);
}

function pagesBytes(db: Database.Database): number {
	return Number(db.pragma('page_count', {simple: true})) * Number(db.pragma('page_size', {simple: true}));
}

function refuseTruncated(db: Database.Database, path: string): void {
	const sizeBytes = pagesBytes(db);
	// Pages may still be in the log. Checked before the file's size, since the log is removed only once all pages are in the file.
	if (existsSync(`${path}-wal`)) return;
	const actual = statSync(path).size;
	if (sizeBytes > actual)
		throw new FaenaError('BadDatabase', `${path} is truncated: it should be ${sizeBytes} bytes long and is ${actual}. Restore it from a backup.`);
}

/**
 * @returns the version of the schema
 * @throws FaenaError `NewerDatabase`
 */
export function refuseNewer(db: Pick<OwnConnection, 'pragma'>, path: string): number {
	const version = Number(db.pragma('user_version', {simple: true}));
	if (version > MIGRATIONS.length) {
		throw new FaenaError(
			'NewerDatabase',
			`${path} was written by a newer Faena (schema ${version}; this one knows ${MIGRATIONS.length}); it was left untouched. Update Faena.`,
		);
	}
	return version;
}
