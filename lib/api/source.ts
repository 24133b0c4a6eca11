import {setImmediate as nextTurn} from 'node:timers/promises';

/** What an iterator's `next()` gives. */
export type Step<Item> = IteratorResult<Item> | Promise<IteratorResult<Item>>;

/**
 * The items of a map. Their iterator is taken when the map is made: readline's, for instance, loses the lines that come
 * before somebody has asked for it.
 */
export class Source<Item> {
	readonly #iterator: Iterator<Item> | AsyncIterator<Item>;
	/** As for a loop of the language: what has ended or thrown is not told to end. */
	#isOpen = true;

	constructor(items: Iterable<Item> | AsyncIterable<Item>) {
		this.#iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
	}

	/** The next item. A rejection that is never awaited is no unhandled one. */
	next(): Step<Item> {
		this.#isOpen = false;
		const step = this.#iterator.next();
		if (!('then' in step)) {
			this.#isOpen = step.done !== true;
			return step;
		}
		this.#isOpen = true;
		const closed = () => {
			this.#isOpen = false;
		};
		step.then(({done}) => done && closed(), closed);
		return step;
	}

	/** Says that no more items are wanted, also to a source whose next one is awaited. */
	async end(): Promise<void> {
		if (!this.#isOpen) return;
		this.#isOpen = false;
		await this.#iterator.return?.();
	}
}

/** True if the promise settles before the event loop's next turn. */
export async function isSoon(step: Promise<unknown>): Promise<boolean> {
	const settled = step.then(
		() => true,
		() => true,
	);
	return Promise.race([settled, nextTurn(false)]);
}
