import {setImmediate as nextTurn} from 'node:timers/promises';

/** The iterator of a map's input. It is created with the map: readline, for instance, loses lines that come before its iterator is created. */
export class MapSource<Item> {
	readonly #iterator: Iterator<Item> | AsyncIterator<Item>;
	/** False once the iterator has ended or thrown. As in a `for` loop, `return()` is not called then. */
	#isOpen = true;

	constructor(items: Iterable<Item> | AsyncIterable<Item>) {
		this.#iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
	}

	/** The next item. If the caller never awaits it, its rejection does not count as unhandled. */
	next(): IteratorResult<Item> | Promise<IteratorResult<Item>> {
		const close = () => {
			this.#isOpen = false;
		};
		close();
		const step = this.#iterator.next();
		this.#isOpen = 'then' in step || step.done !== true;
		if ('then' in step) step.then(({done}) => done && close(), close);
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
