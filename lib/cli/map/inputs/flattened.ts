/** What a function makes of each part. What has arrived comes at once: as a promise it would take longer than the rest of an item's way. */
export function flattened<Part, Each>(parts: AsyncIterable<Part>, each: (part: Part) => Iterator<Each>): AsyncIterable<Each> {
	const iterate = () => {
		const iterator = parts[Symbol.asyncIterator]();
		let arrived: Iterator<Each> | undefined;
		const end = async (): Promise<IteratorResult<Each>> => {
			await iterator.return?.();
			return {done: true, value: undefined};
		};
		const nextArrived = (): IteratorResult<Each> | undefined => {
			try {
				return arrived?.next();
			} catch (error) {
				end().catch(() => undefined);
				throw error;
			}
		};
		const nextOfParts = async (): Promise<IteratorResult<Each>> => {
			for (let part = await iterator.next(); !part.done; part = await iterator.next()) {
				arrived = each(part.value);
				const next = nextArrived();
				if (next && !next.done) return next;
			}
			return {done: true, value: undefined};
		};
		const next = () => {
			const first = nextArrived();
			return first && !first.done ? first : nextOfParts();
		};
		return {next, return: end};
	};
	// A `for await` loop and a map take both, though the type has promises only.
	return {[Symbol.asyncIterator]: () => iterate() as unknown as AsyncIterator<Each>};
}
