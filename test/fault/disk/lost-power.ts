import {dirname} from 'node:path';
import {between} from '../../fixtures/random.ts';
import type {Call} from './disk.ts';

type Change = {readonly offset: number; readonly data: Buffer} | {readonly size: number};

/** What a file holds: for sure, and what was written since without a sync. */
interface Content {
	synced: Buffer;
	unsynced: Change[];
}

type Entry = {readonly op: 'add'; readonly path: string; readonly content: Content} | {readonly op: 'remove'; readonly path: string};

/** Tear writes where a disk does. */
const SECTOR = 512;

/**
 * What a disk may hold after a loss of power: all that was synced; of what was not, whatever the disk happened to have written. The calls
 * of a run are given to it one by one. Its rules are harder than those of any file system: of a file's unsynced writes any subset, each of them
 * torn; of a folder's entries any number of the first ones, and none for sure before the folder is synced.
 */
export class Disk {
	/** As the program sees it. */
	readonly #seen = new Map<string, Content>();
	readonly #synced = new Map<string, Content>();
	/** By folder, in order. */
	readonly #unsynced = new Map<string, Entry[]>();

	take({op, path, offset, data}: Call): void {
		const content = this.#seen.get(path);
		if (op === 'create') this.#add(path, {synced: Buffer.alloc(0), unsynced: []});
		if (op === 'write') content?.unsynced.push({offset, data});
		if (op === 'truncate') content?.unsynced.push({size: offset});
		if (op === 'unlink' || op === 'rename') this.#remove(path);
		if (op === 'rename' && content) this.#add(data.toString(), content);
		if (op === 'sync') this.#sync(path);
	}

	/** One of the states that are possible now: files by path. */
	afterLoss(random: () => number): Map<string, Buffer> {
		const files = new Map(this.#synced);
		for (const entries of this.#unsynced.values()) for (const entry of entries.slice(0, between(random, 0, entries.length))) apply(files, entry);
		return new Map([...files].map(([path, content]) => [path, chance(content, random)]));
	}

	#add(path: string, content: Content): void {
		this.#seen.set(path, content);
		this.#entriesOf(path).push({op: 'add', path, content});
	}

	#remove(path: string): void {
		this.#seen.delete(path);
		this.#entriesOf(path).push({op: 'remove', path});
	}

	#entriesOf(path: string): Entry[] {
		const folder = dirname(path);
		const entries = this.#unsynced.get(folder) ?? [];
		this.#unsynced.set(folder, entries);
		return entries;
	}

	#sync(path: string): void {
		const content = this.#seen.get(path);
		if (content) {
			content.synced = content.unsynced.reduce(changed, content.synced);
			content.unsynced = [];
			return;
		}
		for (const entry of this.#unsynced.get(path) ?? []) apply(this.#synced, entry);
		this.#unsynced.delete(path);
	}
}

function apply(files: Map<string, Content>, entry: Entry): void {
	if (entry.op === 'add') files.set(entry.path, entry.content);
	else files.delete(entry.path);
}

/** All, nothing, or a random part of what was not synced. */
function chance({synced, unsynced}: Content, random: () => number): Buffer {
	const share = [0, 1, random(), 1 - 1 / (unsynced.length + 1)][between(random, 0, 3)] as number;
	return unsynced.filter(() => random() < share).reduce((file, change) => changed(file, random() < 0.1 ? torn(change, random) : change), synced);
}

function torn(change: Change, random: () => number): Change {
	if ('size' in change) return change;
	return {...change, data: change.data.subarray(0, SECTOR * between(random, 0, Math.floor(change.data.length / SECTOR)))};
}

function changed(file: Buffer, change: Change): Buffer {
	if ('size' in change) return resized(file, change.size);
	const whole = resized(file, Math.max(file.length, change.offset + change.data.length));
	change.data.copy(whole, change.offset);
	return whole;
}

/** A copy of so many bytes. */
function resized(file: Buffer, size: number): Buffer {
	const copy = Buffer.alloc(size);
	file.copy(copy);
	return copy;
}
