import {setImmediate as nextTurn} from 'node:timers/promises';

/** The return value of an iterator's `next()`. */
export type Step<Item> = IteratorResult<Item> | Promise<IteratorResult<Item>>;

/**
 * The iterator of a map's input. It is created with the map: readline, for instance, loses the lines that come before its
 * iterator is created.
 */
export class MapSource<Item> {
	readonly #iterator: Iterator<Item> | AsyncIterator<Item>;
	/** False once the iterator has ended or thrown. As in a `for` loop, `return()` is not called then. */
	#isOpen = true;

	constructor(items: Iterable<Item> | AsyncIterable<Item>) {
		this.#iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
	}

	/** The next item. If the caller never awaits it, its rejection does not count as unhandled. */
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

	/** Ends the iterator early, also while its next item is awaited. */
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
