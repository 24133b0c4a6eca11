import {closeSync, constants, fstatSync, openSync, readFileSync, readlinkSync, type Stats, writeSync} from 'node:fs';
import {crc32} from 'node:zlib';
import type {Lease} from './claim.ts';
import {type Ids, idAt} from './groups/group.ts';
import type {JobId} from './job.ts';

/**
 * The file of open jobs. When a process dies, its workers can't tell which jobs they had begun. So each worker keeps a cell in a small
 * file beside its owner's lock: the jobs of its open chunk whose outcomes are not final. The file survives the death of the process,
 * because the system has it in memory. It is never synced: after a loss of power it may be gone, and no job becomes a suspect then.
 *
 * A cell has the size of a page of memory, so that it is written in one step. Its words are doubles:
 *
 *     checksum | words in use | lease | first id, last id | first id, last id | …
 */
const CELL_BYTES = 4096;
const CELL_WORDS = CELL_BYTES / 8;
const Word = {checksum: 0, used: 1, lease: 2, ranges: 3} as const;
/** The checksum covers the bytes from here on. */
const CHECKED_FROM = 8;
/** Faena writes no longer file: this is room for 4,096 workers. */
const MAX_FILE_BYTES = 4096 * CELL_BYTES;
// Where these flags don't exist, no such file exists either.
const {O_NOFOLLOW: NO_FOLLOW = 0, O_NONBLOCK: NO_WAIT = 0} = constants;

/** Jobs of one lease, from one id to another, both included. */
export interface OpenJobs {
	readonly lease: Lease;
	readonly first: JobId;
	readonly last: JobId;
}

/** The cell of one worker. If it can't be written, that is no error: its jobs then don't become suspects, and nothing else depends on it. */
export class OpenJobsCell {
	readonly #path: string;
	readonly #offset: number;
	readonly #words = new Float64Array(CELL_WORDS);
	readonly #bytes = new Uint8Array(this.#words.buffer);
	#file: {readonly descriptor: number; readonly opened: Stats; readonly name: string | undefined} | undefined;

	constructor(path: string, cell: number) {
		this.#path = path;
		this.#offset = cell * CELL_BYTES;
	}

	/** Writes that the chunk of so many jobs is open, and that its first `final` jobs have a final outcome. */
	write({lease, ids, jobs}: {readonly lease: Lease; readonly ids: Ids; readonly jobs: number}, final: number): void {
		try {
			const descriptor = this.#open();
			if (descriptor === undefined) return;
			const words = this.#words;
			const used = writeRanges(words, ids, final, jobs);
			words[Word.used] = used;
			words[Word.lease] = lease;
			words[Word.checksum] = crc32(this.#bytes.subarray(CHECKED_FROM, 8 * used));
			writeSync(descriptor, this.#bytes, 0, 8 * used, this.#offset);
		} catch {
			// See the class.
		}
	}

	close(): void {
		if (this.#file && this.#state !== 'another') closeSync(this.#file.descriptor);
		this.#file = undefined;
	}

	/** The descriptor. It is checked each time: the file is made anew if its owner registers again, and a task may have closed the descriptor. */
	#open(): number | undefined {
		if (this.#file && this.#state === 'ours') return this.#file.descriptor;
		this.close();
		const descriptor = openSync(this.#path, constants.O_RDWR | NO_FOLLOW);
		const opened = fstatSync(descriptor);
		if (isOwnFile(opened)) this.#file = {descriptor, opened, name: nameOf(descriptor)};
		else closeSync(descriptor);
		return this.#file?.descriptor;
	}

	/** Whether the descriptor is still that of the file that was opened, and that file still has its name. */
	get #state(): 'ours' | 'deleted' | 'another' {
		const {descriptor, opened, name} = this.#file ?? {};
		if (descriptor === undefined || !opened) return 'another';
		if (name !== undefined) {
			const now = nameOf(descriptor);
			return now === name ? 'ours' : now === `${name} (deleted)` ? 'deleted' : 'another';
		}
		try {
			const {ino, dev, nlink} = fstatSync(descriptor);
			if (ino !== opened.ino || dev !== opened.dev) return 'another';
			return nlink === 1 ? 'ours' : 'deleted';
		} catch {
			return 'another';
		}
	}
}

/**
 * The name of the descriptor's file as Linux knows it; `undefined` on other systems. The file's attributes would tell the same. But on Linux since
 * 6.13, a file whose times were asked for gets exact times with its next write, and from then on other files get new times, too. Each commit of the
 * database would have to write the new times of its log, one block more and about 0.03 ms.
 */
function nameOf(descriptor: number): string | undefined {
	try {
		return readlinkSync(`/proc/self/fd/${descriptor}`);
	} catch {
		return undefined;
	}
}

/** Writes the ids as ranges, and returns the number of words in use. Ids that have no room widen the last range, which then names some other jobs too. */
function writeRanges(words: Float64Array, ids: Ids, from: number, jobs: number): number {
	let end: number = Word.ranges;
	for (let index = from; index < jobs; index++) {
		const id = idAt(ids, index);
		if (end > Word.ranges && id === (words[end - 1] as JobId) + 1) words[end - 1] = id;
		else if (end + 2 <= CELL_WORDS) {
			words[end++] = id;
			words[end++] = id;
		} else if (id < (words[end - 2] as JobId)) words[end - 2] = id;
		else if (id > (words[end - 1] as JobId)) words[end - 1] = id;
	}
	return end;
}

/** Reads the jobs that the workers of an owner had open, as disjoint ranges. A file that is missing or another user's, and a damaged cell, count as empty. */
export function readOpenJobs(path: string): OpenJobs[] {
	let descriptor: number | undefined;
	try {
		descriptor = openSync(path, constants.O_RDONLY | NO_FOLLOW | NO_WAIT);
		const stat = fstatSync(descriptor);
		return isOwnFile(stat) && stat.size <= MAX_FILE_BYTES ? union(cellsOf(readFileSync(descriptor)).flatMap(openJobsOf)) : [];
	} catch {
		return [];
	} finally {
		if (descriptor !== undefined) closeSync(descriptor);
	}
}

/** True for a plain file of this user that no other user can read or write. */
export function isOwnFile(stat: Stats): boolean {
	const user = process.getuid?.();
	return stat.isFile() && stat.nlink === 1 && (user === undefined || (stat.uid === user && (stat.mode & 0o077) === 0));
}

function cellsOf(bytes: Uint8Array): Float64Array[] {
	// Copied, so that it begins at a multiple of eight.
	const words = new Float64Array(new Uint8Array(bytes).buffer, 0, Math.floor(bytes.length / 8));
	return Array.from({length: Math.ceil(words.length / CELL_WORDS)}, (_, cell) => words.subarray(cell * CELL_WORDS, (cell + 1) * CELL_WORDS));
}

function openJobsOf(words: Float64Array): OpenJobs[] {
	const [checksum, used = 0, lease = 0] = words;
	const isWhole = Number.isInteger(used) && used >= Word.ranges && used <= words.length;
	if (!isWhole || checksum !== crc32(new Uint8Array(words.buffer, words.byteOffset, 8 * used).subarray(CHECKED_FROM))) return [];
	const jobs: OpenJobs[] = [];
	for (let index: number = Word.ranges; index + 1 < used; index += 2) {
		const [first = 0, last = 0] = [words[index], words[index + 1]];
		if ([lease, first, last].every(each => Number.isSafeInteger(each) && each > 0) && first <= last) jobs.push({lease, first, last});
	}
	return jobs;
}

/** Makes the ranges disjoint. Two cells may name the same job, if it was moved from one worker to another. */
function union(all: readonly OpenJobs[]): OpenJobs[] {
	const disjoint: OpenJobs[] = [];
	for (const each of all.toSorted((a, b) => a.lease - b.lease || a.first - b.first)) {
		const before = disjoint.at(-1);
		if (before?.lease !== each.lease || each.first > before.last) disjoint.push(each);
		else disjoint[disjoint.length - 1] = {...before, last: Math.max(before.last, each.last)};
	}
	return disjoint;
}
