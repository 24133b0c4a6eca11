import {availableParallelism} from 'node:os';
import type {Encoded} from '../../job/encoding.ts';
import type {ItemGroup, MapResult} from './map-items.ts';

/** Once the window was full, the map reads on when this share of it is free: it would send groups of one item otherwise. */
const MIN_ROOM_SHARE = 1 / 8;

/** So many items are under way in any case. */
const MIN_ITEMS = 2 * availableParallelism();
/** Smaller payloads are not counted: a window of them is small. */
const MIN_COUNTED_BYTES = 1024;

/** Items that were read and not yielded: how many more there may be, and the results that have arrived, in the order of the map. */
export class Window<Item> {
	/** Items that were read. */
	read = 0;
	/** The payloads of items that were read and not yielded. */
	#bytes = 0;
	/** By the index of an item in the input; those that are counted. */
	readonly #payloadBytes = new Map<number, number>();
	readonly #size: number;
	readonly #maxBytes: number;
	readonly #isInOrder: boolean;
	readonly #onRoom: () => void;
	/** In order of their ends, parts of groups that have ended and were not yielded; not used in order of the input. */
	readonly #ended: {readonly group: ItemGroup<Item>; next: number; end: number}[] = [];
	/** In order of the input, by their indexes, items whose jobs have ended. */
	readonly #byIndex = new Map<number, readonly [group: ItemGroup<Item>, offset: number]>();
	/** Items that were yielded, or will not be. */
	#yielded = 0;

	/** @param size in items. @param maxBytes of their payloads. @param isInOrder true to yield in order of the input. @param onRoom called when there is room for a group */
	constructor(size: number, maxBytes: number, isInOrder: boolean, onRoom: () => void) {
		this.#size = size;
		this.#maxBytes = maxBytes;
		this.#isInOrder = isInOrder;
		this.#onRoom = onRoom;
	}

	/** The number of items for which there is room. */
	get room(): number {
		const size = this.#bytes < this.#maxBytes ? this.#size : Math.min(this.#size, MIN_ITEMS);
		return size - (this.read - this.#yielded);
	}

	/** An item was read. @param index in the input */
	add(index: number, payloadBytes: number): void {
		this.read++;
		if (payloadBytes < MIN_COUNTED_BYTES) return;
		this.#bytes += payloadBytes;
		this.#payloadBytes.set(index, payloadBytes);
	}

	/** The room for which a map waits whose window was full. */
	get minRoom(): number {
		return Math.max(1, Math.floor(this.#size * MIN_ROOM_SHARE));
	}

	/** The items from one offset up to another have ended. */
	addEnded(group: ItemGroup<Item>, from: number, to: number): void {
		const last = this.#ended.at(-1);
		if (this.#isInOrder) {
			for (let offset = from; offset < to; offset++) this.#byIndex.set(group.indexAt(offset), [group, offset]);
		} else if (last?.group === group && last.end === from) last.end = to;
		else this.#ended.push({group, next: from, end: to});
	}

	/** Results that have arrived are not to be yielded. */
	clear(): void {
		this.#ended.length = 0;
		this.#byIndex.clear();
	}

	/** The next result, if it has arrived. @param sent the number of sent items. @param hasAll whether all have arrived: then one not there was dropped */
	next<Result>(read: (result: Encoded) => Result, sent: number, hasAll: () => boolean): MapResult<Item, Result> | undefined {
		return this.#isInOrder ? this.#nextByIndex(read, sent, hasAll) : this.#nextEnded(read);
	}

	#nextEnded<Result>(read: (result: Encoded) => Result): MapResult<Item, Result> | undefined {
		const [part] = this.#ended;
		if (!part) return undefined;
		const offset = part.next++;
		if (part.next === part.end) this.#ended.shift();
		this.#countYielded(part.group.indexAt(offset));
		return part.group.resultAt(offset, read);
	}

	#nextByIndex<Result>(read: (result: Encoded) => Result, sent: number, hasAll: () => boolean): MapResult<Item, Result> | undefined {
		while (this.#yielded < sent && (this.#byIndex.has(this.#yielded) || hasAll())) {
			const [group, offset] = this.#byIndex.get(this.#yielded) ?? [];
			this.#byIndex.delete(this.#yielded);
			this.#countYielded(this.#yielded);
			if (group && offset !== undefined) return group.resultAt(offset, read);
		}
		return undefined;
	}

	#countYielded(index: number): void {
		this.#yielded++;
		this.#bytes -= this.#payloadBytes.get(index) ?? 0;
		this.#payloadBytes.delete(index);
		if (this.room >= this.minRoom) this.#onRoom();
	}
}
