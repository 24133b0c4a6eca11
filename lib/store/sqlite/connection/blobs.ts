import {createHash} from 'node:crypto';
import fs from 'node:fs';
import {dirname, join} from 'node:path';
import {nanoid} from 'nanoid';
import {type Encoded, sizeBytes, unreadable} from '../../../job/encoding.ts';
import type {EndedGroup} from '../../../job/groups/group.ts';
import {asPacked, MAX_LINE_BYTES, unpack, type Values} from '../../../job/groups/packed.ts';
import {FaenaError} from '../../../support/errors.ts';
import {failpoint} from '../../../support/failpoint.ts';
import {unwritable} from '../../sqlite-errors.ts';
import {refuseUntrustedFolder} from '../../trusted-files.ts';

/** A younger file that no job names may belong to a transaction that has not committed yet. */
const MIN_ORPHAN_AGE_MS = 3_600_000;
/** The most orphans of one call, since they are deleted in one transaction. */
const MAX_ORPHANS = 1000;

const TEXT = '.json';
const BYTES = '.bin';
const NAME = /^[0-9a-f]{64}\.(json|bin)$/;
/** A file that Faena made, or a draft of one. */
const OWN = /^[0-9a-f]{64}\.(json|bin)(-[\w-]+)?$/;

/** The folder of a database's large results. */
export function blobsAt(database: string): string {
	return `${database}-blobs`;
}

/** True for a name that a row may have. Another program may have written any name, also the path of a file elsewhere. */
export function isBlobName(name: string): boolean {
	return NAME.test(name);
}

/** A result as its row has it: the value and `null`, or its size in bytes and the name of its file. */
export type StoredResult = readonly [value: Encoded | number, blob: string | null];

/**
 * Large results in files of their own, in the folder `DATABASE-blobs`. A file is named by the SHA-256 of its content and by its type, text or bytes.
 *
 * A file is written and fsynced before the transaction that names it, which keeps transactions short. It is named or deleted only in a transaction, so
 * that no process deletes a file that another is about to name. A crash in between leaves an orphan: a file that no job names.
 */
export class Blobs {
	readonly #folder: string;
	readonly #thresholdBytes: number;
	/** The results that were written for the next transaction, with the names of their files. */
	readonly #prepared = new Map<Encoded, string>();

	constructor(database: string, thresholdBytes: number) {
		this.#folder = blobsAt(database);
		this.#thresholdBytes = thresholdBytes;
	}

	/** Writes the results that are too large for rows. Call it before the transaction. */
	prepare(groups: readonly EndedGroup[]): void {
		this.#prepared.clear();
		for (const {values} of groups) {
			if (!this.hasLarge(values)) continue;
			for (const value of unpack(values)) {
				if (value === null || !this.isLarge(value)) continue;
				this.#prepared.set(value, this.#write(value));
				failpoint('blob:written');
			}
		}
	}

	/** True if some of these results are too large for rows. */
	hasLarge(values: Values): boolean {
		if (this.#thresholdBytes === Infinity || (asPacked(values) && this.#thresholdBytes > MAX_LINE_BYTES)) return false;
		return unpack(values).some(value => this.isLarge(value));
	}

	/** True if the value is too large for a row. */
	isLarge(value: Encoded): boolean {
		return sizeBytes(value, this.#thresholdBytes) > this.#thresholdBytes;
	}

	/** Returns the result as its row must have it. Call it in the transaction. */
	store(value: Encoded): StoredResult {
		const name = this.#prepared.get(value);
		if (value === null || name === undefined) return [value, null];
		// Another process may have deleted the file between `prepare` and this transaction.
		if (!fs.existsSync(this.#path(name))) this.#write(value);
		return [sizeBytes(value), name];
	}

	/** The value of a row. If its file can't be read, decoding the value throws an error that says so. */
	load([value, name]: StoredResult): Encoded {
		if (name === null) return value as Encoded;
		if (!isBlobName(name)) return unreadable("The file of this result can't be read: the database has no valid name for it.");
		try {
			refuseUntrustedFolder(this.#folder);
			return name.endsWith(TEXT) ? fs.readFileSync(this.#path(name), 'utf8') : fs.readFileSync(this.#path(name));
		} catch (error) {
			return unreadable(`The file ${this.#path(name)} of this result can't be read: ${(error as Error).message}`);
		}
	}

	/** The names of orphans that are old enough to be deleted. */
	orphans(now: number, isNamed: (name: string) => boolean): string[] {
		if (!fs.existsSync(this.#folder)) return [];
		refuseUntrustedFolder(this.#folder);
		const orphans: string[] = [];
		for (const name of fs.readdirSync(this.#folder)) {
			const stat = fs.statSync(this.#path(name), {throwIfNoEntry: false});
			const isOld = OWN.test(name) && stat && now - stat.mtimeMs > MIN_ORPHAN_AGE_MS;
			if (isOld && !isNamed(name) && orphans.push(name) === MAX_ORPHANS) break;
		}
		return orphans;
	}

	/** Deletes the file. Call it in a transaction. */
	delete(name: string): void {
		// Another program may have written any name into the row, also the path of a file elsewhere.
		if (!OWN.test(name)) return;
		try {
			refuseUntrustedFolder(this.#folder);
			fs.rmSync(this.#path(name), {force: true});
		} catch {
			// The file is an orphan now. A later cleanup tries again.
		}
	}

	#write(content: Exclude<Encoded, null>): string {
		const name = createHash('sha256').update(content).digest('hex') + (typeof content === 'string' ? TEXT : BYTES);
		const path = this.#path(name);
		try {
			if (fs.mkdirSync(this.#folder, {recursive: true, mode: 0o700})) syncFolder(dirname(this.#folder));
			// Also if it exists: another user may have made it after the database was opened.
			refuseUntrustedFolder(this.#folder);
			// A file that exists becomes young again, so that no cleanup deletes it before this transaction names it.
			if (fs.existsSync(path)) fs.utimesSync(path, new Date(), new Date());
			else {
				const draft = `${path}-${nanoid()}`;
				fs.writeFileSync(draft, content, {flag: 'wx', mode: 0o600, flush: true});
				fs.renameSync(draft, path);
			}
			syncFolder(this.#folder);
			return name;
		} catch (error) {
			throw error instanceof FaenaError ? error : unwritable(path, `A result could not be written to ${path}`, error);
		}
	}

	#path(name: string): string {
		return join(this.#folder, name);
	}
}

/** Makes the names of files durable. On Windows, an fsync of the file does that. */
export function syncFolder(path: string): void {
	if (process.platform === 'win32') return;
	const folder = fs.openSync(path, 'r');
	fs.fsyncSync(folder);
	fs.closeSync(folder);
}
