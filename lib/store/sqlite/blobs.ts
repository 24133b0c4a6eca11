import {createHash} from 'node:crypto';
import {
	closeSync,
	existsSync,
	fsyncSync,
	mkdirSync,
	openSync,
	readdirSync,
	readFileSync,
	renameSync,
	rmSync,
	statSync,
	utimesSync,
	writeFileSync,
} from 'node:fs';
import {dirname, join} from 'node:path';
import {nanoid} from 'nanoid';
import {type Encoded, sizeBytes, unreadable} from '../../job/encoding.ts';
import {MAX_LINE_BYTES, type PackedStrings, unpack} from '../../job/packed-strings.ts';
import {expandSettling, isReturnedRun, type Settling} from '../../job/runs.ts';
import {FaenaError} from '../../support/errors.ts';
import {failpoint} from '../../support/failpoint.ts';
import {storageFull} from './private-file.ts';
import {refuseUntrustedFolder} from './trusted-files.ts';

/** A file that no job names may belong to a transaction that has not committed yet, but not for so long. */
const ORPHANED_MS = 3_600_000;
/** Orphans that are looked for in one step, under the lock of a transaction. */
const ORPHANS_AT_ONCE = 1000;

type Content = Exclude<Encoded, null>;

/** As it lies in the row: the value itself, or its size in bytes and the name of the file that has it. */
export type Stored = readonly [value: Encoded | number, blob: string | null];

/**
 * Large results in files of their own, in the folder `DATABASE-blobs`, each named by its content's SHA-256 and its kind.
 *
 * A file is written and fsynced before the transaction that names it, so that this is short; and named or deleted only
 * inside one, so that nobody deletes what another is about to name. A crash between leaves a file without a name.
 */
export class Blobs {
	readonly #folder: string;
	readonly #thresholdBytes: number;
	/** Written for the turn under way. */
	readonly #prepared = new Map<Content, string>();

	constructor(database: string, thresholdBytes: number) {
		this.#folder = `${database}-blobs`;
		this.#thresholdBytes = thresholdBytes;
	}

	/** Before a transaction: writes what is too large for the rows. Gives back what is to be settled, without runs that have something of it. */
	prepare(given: readonly Settling[]): readonly Settling[] {
		this.#prepared.clear();
		if (this.#thresholdBytes === Infinity) return given;
		const settling = given.flatMap(each => (isReturnedRun(each) && this.#hasLarge(each.values) ? expandSettling([each]) : each));
		for (const each of settling) {
			if (isReturnedRun(each)) continue;
			const {outcome} = each;
			const value = outcome.type === 'returned' ? outcome.value : null;
			if (value === null || !this.isLarge(value)) continue;
			this.#prepared.set(value, this.#write(value));
			failpoint('blob:written');
		}
		return settling;
	}

	#hasLarge(values: PackedStrings): boolean {
		return this.#thresholdBytes <= MAX_LINE_BYTES && unpack(values).some(value => this.isLarge(value));
	}

	/** In a transaction: what the row is to hold. */
	store(value: Encoded): Stored {
		const name = value === null ? undefined : this.#prepared.get(value);
		if (value === null || name === undefined) return [value, null];
		// Found by `prepare`, and deleted before this transaction began.
		if (!existsSync(this.#path(name))) this.#write(value);
		return [sizeBytes(value), name];
	}

	/** The value of a row; what can't be read becomes a value that says so when it is decoded. */
	load([value, name]: Stored): Encoded {
		if (name === null) return value as Encoded;
		if (!NAME.test(name)) return unreadable("The file which holds this result can't be read: what the database says is the name of none.");
		try {
			refuseUntrustedFolder(this.#folder);
			return name.endsWith(TEXT) ? readFileSync(this.#path(name), 'utf8') : readFileSync(this.#path(name));
		} catch (error) {
			return unreadable(`The file ${this.#path(name)}, which holds this result, can't be read: ${(error as Error).message}`);
		}
	}

	/** Names in the folder that no job names and that are old enough to be deleted. */
	orphans(now: number, isNamed: (name: string) => boolean): string[] {
		if (!existsSync(this.#folder)) return [];
		refuseUntrustedFolder(this.#folder);
		const orphans: string[] = [];
		for (const name of readdirSync(this.#folder)) {
			const stat = statSync(this.#path(name), {throwIfNoEntry: false});
			const isOld = OWN.test(name) && stat && now - stat.mtimeMs > ORPHANED_MS;
			if (isOld && !isNamed(name) && orphans.push(name) === ORPHANS_AT_ONCE) break;
		}
		return orphans;
	}

	/** In a transaction: deletes the file. */
	delete(name: string): void {
		// What a row names may be anything, also something elsewhere.
		if (!OWN.test(name)) return;
		try {
			refuseUntrustedFolder(this.#folder);
			rmSync(this.#path(name), {force: true});
		} catch {
			// It is an orphan now: a later cleanup tries again.
		}
	}

	/** True if the value lies in a file of its own. */
	isLarge(value: Encoded): boolean {
		return sizeBytes(value, this.#thresholdBytes) > this.#thresholdBytes;
	}

	#write(content: Content): string {
		const name = createHash('sha256').update(content).digest('hex') + (typeof content === 'string' ? TEXT : BYTES);
		const path = this.#path(name);
		try {
			this.#makeFolder();
			// One that is there is young again, so that it stays until it is named.
			if (existsSync(path)) utimesSync(path, new Date(), new Date());
			else this.#create(path, content);
			syncFolder(this.#folder);
			return name;
		} catch (error) {
			if (error instanceof FaenaError) throw error;
			if ((error as NodeJS.ErrnoException).code === 'ENOSPC') throw storageFull(path, error);
			throw new FaenaError('BadDatabase', `A result could not be written to ${path}: ${(error as Error).message}.`, {cause: error});
		}
	}

	/** Also looks at a folder that is there: another user may have made it after the database was opened. */
	#makeFolder(): void {
		if (mkdirSync(this.#folder, {recursive: true, mode: 0o700})) syncFolder(dirname(this.#folder));
		refuseUntrustedFolder(this.#folder);
	}

	#create(path: string, content: Content): void {
		const draft = `${path}-${nanoid()}`;
		const file = openSync(draft, 'wx', 0o600);
		try {
			writeFileSync(file, content);
			fsyncSync(file);
		} finally {
			closeSync(file);
		}
		renameSync(draft, path);
	}

	#path(name: string): string {
		return join(this.#folder, name);
	}
}

const TEXT = '.json';
const BYTES = '.bin';
const NAME = /^[0-9a-f]{64}\.(json|bin)$/;
/** A file that was made here, perhaps not to its end. */
const OWN = /^[0-9a-f]{64}\.(json|bin)(-[\w-]+)?$/;

/** A name is durable with its folder; on Windows with the file. */
function syncFolder(path: string): void {
	if (process.platform === 'win32') return;
	const folder = openSync(path, 'r');
	fsyncSync(folder);
	closeSync(folder);
}
