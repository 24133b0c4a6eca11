import {hash} from 'node:crypto';
import {toCount} from '../../../internal/words.ts';

/** A longer text is known by its beginning and its hash, as keys are stored. */
const MAX_KEY_LENGTH = 64;
/** So that people know the item, and keys of items that are alike lie together in the database: else each would be written to another page. */
const BEGINNING = 40;
/** Of base64url, with 6 bits each. */
const HASH_LENGTH = 16;

/**
 * Names items by what they are, so that an item that comes in between or goes changes the name of no other. The second of two equal items has a
 * number. Ascending numbers, such as ids, take no memory for each. The table of all other items has at least one and a half places for each, their
 * number is a power of two, and a place takes 12 bytes: 25 MB for a million. Ten million texts take 450 MB of the process; in a `Map` of hashed texts they
 * took 1.4 GB and twice the time, and a `Map` ends at 16.8 million.
 */
export class Keys {
	readonly #runs = new NumberRuns();
	readonly #counts = new Counts();

	/** The key of an item with this content. */
	keyOf(content: string): string {
		const count = this.#count(content);
		return count === 1 ? nameOf(content) : `${nameOf(content)}##${count}`;
	}

	/** Counts a key that the item itself has. Returns whether it is new. */
	isNew(key: string): boolean {
		return this.#count(key) === 1;
	}

	/** How often the text was counted by now. */
	#count(text: string): number {
		const number = toCount(text);
		if (number !== undefined && this.#runs.add(number)) return 1;
		const isInRun = number !== undefined && this.#runs.has(number);
		return this.#counts.add(text) + (isInRun ? 1 : 0);
	}
}

/** Numbers that came in ascending order, as runs without gaps. */
class NumberRuns {
	readonly #firsts: number[] = [];
	readonly #lasts: number[] = [];

	/** Adds a number greater than all before. Returns false if it is not. */
	add(number: number): boolean {
		const last = this.#lasts.at(-1) ?? -1;
		if (number <= last) return false;
		if (number === last + 1 && last >= 0) this.#lasts[this.#lasts.length - 1] = number;
		else {
			this.#firsts.push(number);
			this.#lasts.push(number);
		}
		return true;
	}

	has(number: number): boolean {
		let [low, high] = [0, this.#firsts.length];
		while (low < high) {
			const middle = (low + high) >> 1;
			if ((this.#firsts[middle] as number) <= number) low = middle + 1;
			else high = middle;
		}
		return low > 0 && number <= (this.#lasts[low - 1] as number);
	}
}

/** The text itself, unless it is long, or looks like a key that is made here. */
export function nameOf(content: string): string {
	const isShort = content.length > 0 && content.length <= MAX_KEY_LENGTH;
	if (isShort && !content.includes('\0') && content.isWellFormed() && !/…[\w-]{16}$|##\d+$/.test(content)) return content;
	const beginning = content.slice(0, BEGINNING).replaceAll('\0', '').toWellFormed();
	return `${beginning}…${hash('sha256', content, 'base64url').slice(0, HASH_LENGTH)}`;
}

/**
 * How often each text was added. It knows texts by 64 bits of a hash. Two different texts with the same bits, of which there is one among ten million
 * with a probability of 1 : 400,000, count as the same: the second gets a number, and stays distinct from the first.
 */
class Counts {
	/** Three cells for each text: two of its hash, and the count, which is 0 in a free place. */
	#cells = new Uint32Array(3 * 1024);
	#texts = 0;

	add(text: string): number {
		const [low, high] = hashOf(text);
		const at = this.#placeOf(low, high);
		const count = (this.#cells[at + 2] as number) + 1;
		this.#cells[at + 2] = count;
		if (count > 1) return count;
		this.#cells[at] = low;
		this.#cells[at + 1] = high;
		if (++this.#texts > this.#cells.length / 3 / 1.5) this.#grow();
		return 1;
	}

	#placeOf(low: number, high: number): number {
		const cells = this.#cells;
		const places = cells.length / 3;
		let place = low & (places - 1);
		while (cells[3 * place + 2] !== 0 && (cells[3 * place] !== low || cells[3 * place + 1] !== high)) place = (place + 1) & (places - 1);
		return 3 * place;
	}

	#grow(): void {
		const old = this.#cells;
		this.#cells = new Uint32Array(2 * old.length);
		for (let at = 0; at < old.length; at += 3) {
			if (old[at + 2] !== 0) this.#cells.set(old.subarray(at, at + 3), this.#placeOf(old[at] as number, old[at + 1] as number));
		}
	}
}

/** 64 bits for a text, ten times faster than `node:crypto` for one of a hundred characters. It need not resist attacks: see {@link Counts}. */
function hashOf(text: string): readonly [low: number, high: number] {
	let [low, high] = [0x2545f491, text.length];
	for (let index = 0; index < text.length; index++) {
		const code = text.charCodeAt(index);
		low = Math.imul(low ^ code, 0x85ebca6b);
		high = Math.imul(high ^ code, 0x1b873593);
		low ^= low >>> 15;
		high ^= high >>> 13;
	}
	low = Math.imul(low ^ (high >>> 16), 0xcc9e2d51);
	high = Math.imul(high ^ (low >>> 15), 0xc2b2ae35);
	return [(low ^ (low >>> 16)) >>> 0, (high ^ (high >>> 14)) >>> 0];
}
