import type Database from 'better-sqlite3';
import {FaenaError} from '../../../support/errors.ts';
import {failpoint} from '../../../support/failpoint.ts';
import {isInUse} from '../../owners/owner-lock.ts';
import {refuseNewer} from './file-guard.ts';
import {unfrozen} from './frozen.ts';
import {APPLICATION_ID, MIGRATIONS} from './schema.sql.ts';
import {prepare, type Statements} from './statements.sql.ts';

/** The version of the schema from which on a queue can be one that moves. */
const FROZEN_SINCE = 14;

/** Upgrades the schema in one transaction: all of it or nothing. It makes indexes of the jobs that have ended: some seconds per million rows. */
export function migrate(db: Database.Database, path: string): Statements {
	const run = db.transaction(() => {
		const version = refuseNewer(db, path);
		if (version > 0 && version < MIGRATIONS.length) refuseInUse(db, path, version);
		// A queue that has moved is upgraded too, so that it can still be read.
		const change = version < FROZEN_SINCE ? (upgrade: () => void) => upgrade() : (upgrade: () => void) => unfrozen(db, upgrade);
		change(() => {
			for (const step of MIGRATIONS.slice(version)) {
				db.exec(step);
				failpoint('migration:step');
			}
		});
		db.pragma(`application_id = ${APPLICATION_ID}`);
		db.pragma(`user_version = ${MIGRATIONS.length}`);
		failpoint('migration:written');
	});
	run.immediate();
	failpoint('migration:committed');
	return prepare(db);
}

/** An engine of an older schema could not go on after the upgrade. */
function refuseInUse(db: Database.Database, path: string, version: number): void {
	if (!isInUse(path, db.prepare('select name from owner').pluck().all() as string[])) return;
	throw new FaenaError(
		'DatabaseBusy',
		`${path} is in use by an engine of an older Faena (schema ${version}; this one has ${MIGRATIONS.length}). It was left untouched. Close every engine on it, then open it again: that upgrades it.`,
	);
}
