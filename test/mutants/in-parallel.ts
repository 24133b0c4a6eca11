/** Runs each item, so many at a time. */
export async function inParallel<Item>(atOnce: number, items: Iterable<Item>, run: (item: Item) => Promise<void>): Promise<void> {
	const left = Iterator.from(items);
	await Promise.all(
		Array.from({length: atOnce}, async () => {
			for (let next = left.next(); !next.done; next = left.next()) await run(next.value);
		}),
	);
}
