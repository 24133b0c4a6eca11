/** Bytes or characters that are written together at most. */
const MAX_SIZE = 64 * 1024;

/** Writes to stdout. What comes in one turn of the event loop is written together. */
export class Output {
	#parts: (string | Uint8Array)[] = [];
	#size = 0;

	add(part: string | Uint8Array): void {
		if (part.length === 0) return;
		if (this.#size === 0) setImmediate(() => this.flush());
		this.#parts.push(part);
		this.#size += part.length;
		if (this.#size >= MAX_SIZE) this.flush();
	}

	flush(): void {
		if (this.#size === 0) return;
		const parts = this.#parts;
		this.#parts = [];
		this.#size = 0;
		const areTexts = parts.every(part => typeof part === 'string');
		process.stdout.write(areTexts ? parts.join('') : Buffer.concat(parts.map(part => Buffer.from(part as string))));
	}
}
