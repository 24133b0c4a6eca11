import {closeSync, ftruncateSync, openSync, readSync, rmSync, writeSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {nanoid} from 'nanoid';
import type {Encoded} from '../../job/encoding.ts';

/** Results of one map, in bytes, that may wait in memory. */
const MAX_HELD_BYTES = 64 * 1024 ** 2;
/** Shorter results stay in memory in any case: a window of them is small. */
const MIN_FILED_BYTES = 4096;

/** A result that waits in the file. */
class Filed {
	readonly position: number;
	readonly bytes: number;
	readonly isText: boolean;

	constructor(position: number, bytes: number, isText: boolean) {
		this.position = position;
		this.bytes = bytes;
		this.isText = isText;
	}
}

export type Held = Encoded | Filed;

/**
 * Results that have arrived and were not yielded: those behind a slow item in order of the input, or a reader that is slower than the jobs. Beyond
 * {@link MAX_HELD_BYTES} they wait in a file in the temporary folder, which has no name, so that it goes with the process.
 */
export class HeldResults {
	#bytes = 0;
	#file: number | undefined;
	#end = 0;
	/** Results in the file that were not taken. */
	#filed = 0;
	/** Set once the file can't be made or written, and from {@link close} on: then all stay in memory. */
	#isOff = false;

	/** Returns what {@link take} makes the result of. */
	keep(result: Encoded): Held {
		const size = result?.length ?? 0;
		if (size >= MIN_FILED_BYTES && this.#bytes + size > MAX_HELD_BYTES && !this.#isOff) {
			const filed = this.#write(result as string | Uint8Array);
			if (filed) return filed;
		}
		this.#bytes += size;
		return result;
	}

	take(held: Held): Encoded {
		if (!(held instanceof Filed)) {
			this.#bytes -= held?.length ?? 0;
			return held;
		}
		const bytes = new Uint8Array(held.bytes);
		for (let read = 0; read < bytes.length; ) read += readSync(this.#file as number, bytes, read, bytes.length - read, held.position + read);
		if (--this.#filed === 0) {
			ftruncateSync(this.#file as number);
			this.#end = 0;
		}
		return held.isText ? Buffer.from(bytes.buffer).toString() : bytes;
	}

	close(): void {
		this.#isOff = true;
		if (this.#file !== undefined) closeSync(this.#file);
	}

	/** Returns nothing if the disk is full, or there is no such folder. */
	#write(result: string | Uint8Array): Filed | undefined {
		const bytes = typeof result === 'string' ? Buffer.from(result) : result;
		try {
			this.#file ??= openUnnamed();
			for (let written = 0; written < bytes.length; ) written += writeSync(this.#file, bytes, written, bytes.length - written, this.#end + written);
		} catch {
			this.#isOff = true;
			return undefined;
		}
		const filed = new Filed(this.#end, bytes.length, typeof result === 'string');
		this.#end += bytes.length;
		this.#filed++;
		return filed;
	}
}

function openUnnamed(): number {
	const path = join(tmpdir(), `faena-results-${nanoid()}`);
	const file = openSync(path, 'wx+', 0o600);
	rmSync(path);
	return file;
}
