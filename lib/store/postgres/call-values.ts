import type {Encoded} from '../../job/encoding.ts';

/** The values of one call: those of its items, one item after the other. The JSON of an item names its own by their index, from 1. */
export class CallValues {
	readonly texts: (string | null)[] = [];
	readonly bytes: (Uint8Array | null)[] = [];
	/** The item of each value. */
	readonly items: number[] = [];
	#item = 0;
	/** The number of values of earlier items. */
	#before = 0;

	/** Begins an item. Returns its number. */
	begin(): number {
		this.#before = this.texts.length;
		return ++this.#item;
	}

	/** Adds values of the current item. Returns the index of the first one. */
	add(...values: readonly Encoded[]): number {
		const index = this.texts.length - this.#before + 1;
		for (const value of values) {
			this.texts.push(typeof value === 'string' ? value : null);
			this.bytes.push(value instanceof Uint8Array ? value : null);
			this.items.push(this.#item);
		}
		return index;
	}
}
