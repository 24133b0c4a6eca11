import type {CommandOutput} from './output-files.ts';
import {inLine} from './print.ts';

/** Text with a label and a tab before each of its lines. */
export function tagged(text: string, label: string): string {
	const lead = `${inLine(label)}\t`;
	// Not by the flag m, which also takes other characters for the end of a line.
	return text.replace(/(^|\n)(?=[\s\S])/g, (_, end: string) => end + lead);
}

/** Writes each line of a command's output to stdout or stderr as soon as it is whole. */
export class LineWriter implements CommandOutput {
	readonly #label: string | undefined;
	readonly #rest = {stdout: [] as Buffer[], stderr: [] as Buffer[]};

	/** @param label stands before each line */
	constructor(label: string | undefined) {
		this.#label = label;
	}

	add(part: Buffer, stream: 'stdout' | 'stderr'): void {
		const end = part.lastIndexOf('\n') + 1;
		if (end > 0) {
			this.#write(Buffer.concat([...this.#rest[stream], part.subarray(0, end)]), stream);
			this.#rest[stream] = [];
		}
		// The part is used again for other output.
		if (end < part.length) this.#rest[stream].push(Buffer.from(part.subarray(end)));
	}

	end(): void {
		for (const stream of ['stdout', 'stderr'] as const) {
			const rest = Buffer.concat(this.#rest[stream]);
			if (rest.length > 0) this.#write(Buffer.concat([rest, Buffer.from('\n')]), stream);
		}
	}

	#write(lines: Buffer, stream: 'stdout' | 'stderr'): void {
		process[stream].write(this.#label === undefined ? lines : tagged(lines.toString(), this.#label));
	}
}
