/**
 * What a function makes of each part. What has arrived comes at once instead of as a promise, which would take longer than the rest of an item's way.
 */
export function flattened<Part, Each>(parts: AsyncIterable<Part>, each: (part: Part) => Iterator<Each>): AsyncIterable<Each> {
	// A `for await` loop and a map take both, though the type has promises only.
	return {[Symbol.asyncIterator]: () => new Flattened(parts[Symbol.asyncIterator](), each) as unknown as AsyncIterator<Each>};
}

class Flattened<Part, Each> {
	readonly #parts: AsyncIterator<Part>;
	readonly #each: (part: Part) => Iterator<Each>;
	#arrived: Iterator<Each> | undefined;

	constructor(parts: AsyncIterator<Part>, each: (part: Part) => Iterator<Each>) {
		this.#parts = parts;
		this.#each = each;
	}

	next(): IteratorResult<Each> | Promise<IteratorResult<Each>> {
		const next = this.#nextArrived();
		return next && !next.done ? next : this.#nextOfParts();
	}

	async return(): Promise<IteratorResult<Each>> {
		await this.#parts.return?.();
		return {done: true, value: undefined};
	}

	#nextArrived(): IteratorResult<Each> | undefined {
		try {
			return this.#arrived?.next();
		} catch (error) {
			this.return().catch(() => undefined);
			throw error;
		}
	}

	async #nextOfParts(): Promise<IteratorResult<Each>> {
		for (let part = await this.#parts.next(); !part.done; part = await this.#parts.next()) {
			this.#arrived = this.#each(part.value);
			const next = this.#nextArrived();
			if (next && !next.done) return next;
		}
		return {done: true, value: undefined};
	}
}
