import {InputError} from '../../input-error.ts';
import {flattened} from './flattened.ts';
import {Keys} from './keys.ts';

export interface Item {
	readonly key: string;
	readonly payload: unknown;
	/** Its place in the input, from 1. */
	readonly sequence: number;
}

/** What an input has for an item. */
export interface Entry {
	readonly values: readonly unknown[];
	/** A text that is the same for the same values. */
	readonly content: string;
	/** The name that the item has in itself. */
	readonly key?: string;
	/** What messages call the item, if it may have the key of another. */
	readonly where?: string;
}

/** How many entries make an item. Without a number it is one, and the payload of one value is that value. */
type Count = number | undefined;

/** Its iterator throws an InputError if two items have the same name in themselves. */
export function itemsOf(entries: AsyncIterable<Iterable<Entry>>, count: Count): AsyncIterable<Item> {
	const keys = new Keys();
	let sequence = 0;
	return flattened(count === undefined ? entries : together(entries, count), function* (some) {
		for (const {values, content, key, where} of some) {
			if (key !== undefined && where !== undefined && !keys.isNew(key))
				throw new InputError(`${where} has the key ${JSON.stringify(key)} of a line before. --key expects a field that names one item.`);
			const payload = count === undefined && values.length === 1 ? values[0] : values;
			yield {key: key ?? keys.keyOf(content), payload, sequence: ++sequence};
		}
	});
}

/** The last one may have fewer. */
async function* together(entries: AsyncIterable<Iterable<Entry>>, count: number): AsyncGenerator<Iterable<Entry>> {
	let open: Entry[] = [];
	function* full(some: Iterable<Entry>): Generator<Entry> {
		for (const entry of some) {
			open.push(entry);
			if (open.length < count) continue;
			yield join(open);
			open = [];
		}
	}
	for await (const some of entries) yield full(some);
	if (open.length > 0) yield [join(open)];
}

function join(entries: readonly Entry[]): Entry {
	return {values: entries.flatMap(({values}) => values), content: JSON.stringify(entries.map(({content}) => content))};
}

/** All items in another order. They are held in memory. */
export async function shuffle(items: Iterable<Item> | AsyncIterable<Item>): Promise<readonly Item[]> {
	const all = await Array.fromAsync(items);
	for (let left = all.length; left > 1; left--) {
		const at = Math.floor(Math.random() * left);
		[all[left - 1], all[at]] = [all[at] as Item, all[left - 1] as Item];
	}
	return all;
}
