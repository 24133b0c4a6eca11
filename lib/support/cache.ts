/** Keeps at least the entries that were used last, this many of them, and at most twice as many. */
export class Cache<Key, Value> {
	readonly #most: number;
	#young = new Map<Key, Value>();
	#old = new Map<Key, Value>();

	constructor(most = 10_000) {
		this.#most = most;
	}

	get(key: Key): Value | undefined {
		const value = this.#young.get(key);
		if (value !== undefined) return value;
		const old = this.#old.get(key);
		if (old !== undefined) this.set(key, old);
		return old;
	}

	set(key: Key, value: Value): Value {
		if (this.#young.size >= this.#most) {
			this.#old = this.#young;
			this.#young = new Map();
		}
		this.#young.set(key, value);
		return value;
	}

	clear(): void {
		this.#young.clear();
		this.#old.clear();
	}
}
