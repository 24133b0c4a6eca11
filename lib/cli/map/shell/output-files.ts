import {createHash} from 'node:crypto';
import {closeSync, mkdirSync, openSync, rmSync, writeSync} from 'node:fs';
import {dirname, join} from 'node:path';
import type {ShellFlags} from './shell-command.ts';
import {bothOf, type Streams} from './streams.ts';

/**
 * The files for all output of an item's command: as with GNU parallel's `--results`, `FOLDER/1/VALUE/stdout` and `stderr`, and with two values
 * `FOLDER/1/VALUE/2/VALUE/…`; without that flag, those that are there until they are printed. `undefined` if nobody reads all of the output.
 */
export function outputPaths({results, unprinted}: ShellFlags, item: unknown, jobId: number): Streams<string> | undefined {
	if (results !== undefined) return bothOf(stream => join(results, ...placeOf(item), stream));
	return unprinted === undefined ? undefined : bothOf(stream => join(unprinted, `${jobId}.${stream}`));
}

/** The most bytes of each stream that are kept with a job. */
export const MAX_KEPT_BYTES = 4 * 1024 ** 2;

/** Writes all that a command says on a stream to a file. A temporary one is made only if the job keeps less: until then all is in memory. */
export class WholeOutput {
	readonly #path: string;
	readonly #isTemporary: boolean;
	#parts: Buffer[] = [];
	#size = 0;
	#file: number | undefined;
	#hasFailed = false;

	constructor(path: string, isTemporary: boolean) {
		this.#path = path;
		this.#isTemporary = isTemporary;
		if (!isTemporary) this.#write();
	}

	add(part: Buffer): void {
		this.#parts.push(part);
		this.#size += part.length;
		if (!this.#isTemporary || this.#size > MAX_KEPT_BYTES) this.#write();
	}

	/** @param isCut whether the job keeps less than all */
	end(isCut: boolean): void {
		if (isCut) this.#write();
		if (this.#file !== undefined) closeSync(this.#file);
		if (this.#isTemporary && (!isCut || this.#hasFailed)) rmSync(this.#path, {force: true});
	}

	/** A full disk for temporary files is no failure of the command. */
	#write(): void {
		const bytes = Buffer.concat(this.#parts.splice(0));
		if (this.#hasFailed) return;
		try {
			this.#file ??= this.#open();
			for (let written = 0; written < bytes.length; ) written += writeSync(this.#file, bytes, written);
		} catch (error) {
			if (!this.#isTemporary) throw error;
			this.#hasFailed = true;
		}
	}

	#open(): number {
		if (this.#isTemporary) {
			// That of an earlier attempt.
			rmSync(this.#path, {force: true});
			return openSync(this.#path, 'wx', 0o600);
		}
		mkdirSync(dirname(this.#path), {recursive: true});
		return openSync(this.#path, 'w');
	}
}

/** The folders of an item: a name and a value for each of its values. */
function placeOf(item: unknown): readonly string[] {
	const values: readonly (readonly [name: string, value: unknown])[] = Array.isArray(item)
		? item.map((value, index) => [String(index + 1), value])
		: typeof item === 'object' && item !== null
			? Object.entries(item)
			: [['1', item]];
	return values.flatMap(([name, value]) => [folderName(name), folderName(typeof value === 'string' ? value : JSON.stringify(value))]);
}

/** Most file systems allow no longer names. */
const MAX_NAME_BYTES = 200;

/** The text as the name of one folder: as with GNU parallel, a slash becomes `\_`, and a backslash is doubled. */
function folderName(text: string): string {
	const name = text.replaceAll('\\', '\\\\').replaceAll('/', '\\_').replaceAll('\0', '\\0');
	// The names that mean another folder, and the empty one.
	if (/^\.{0,2}$/.test(name)) return `\\${name}`;
	if (Buffer.byteLength(name) <= MAX_NAME_BYTES) return name;
	return `${Buffer.from(name)
		.subarray(0, MAX_NAME_BYTES - 20)
		.toString()
		.replace(/\uFFFD*$/, '')}\\${createHash('sha256').update(name).digest('hex').slice(0, 16)}`;
}
