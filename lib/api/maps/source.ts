export type Source<Item> = ReturnType<typeof openSource<Item>>;

/** The iterator of a map's input. It is created with the map: readline, for instance, loses lines that come before its iterator is created. */
export function openSource<Item>(items: Iterable<Item> | AsyncIterable<Item>) {
	const iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
	/** False once the iterator has ended or thrown. As in a `for` loop, `return()` is not called then. */
	let isOpen = true;
	const close = () => {
		isOpen = false;
	};
	return {
		/** The next item. If the caller never awaits it, its rejection does not count as unhandled. */
		next(): IteratorResult<Item> | Promise<IteratorResult<Item>> {
			close();
			const step = iterator.next();
			isOpen = 'then' in step || step.done !== true;
			if ('then' in step) step.then(({done}) => done && close()).catch(close);
			return step;
		},
		/** Ends the iterator early, also while its next item is awaited. */
		async end(): Promise<void> {
			if (!isOpen) return;
			close();
			await iterator.return?.();
		},
	};
}
