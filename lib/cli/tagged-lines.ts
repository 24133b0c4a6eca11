import {once} from 'node:events';
import type {CommandOutput} from './output-files.ts';
import {inLine} from './print.ts';

/** Puts a label and a tab before each line of an output. The bytes stay as they are, also if they are no UTF-8. */
export class LineLabels {
	/** With a character for each byte. */
	readonly #lead: string;
	#isAtStart = true;

	constructor(label: string) {
		this.#lead = Buffer.from(`${inLine(label)}\t`).toString('latin1');
	}

	/** The next part of the output, with labels. */
	add(part: string | Uint8Array): Buffer {
		const text = Buffer.from(part as string).toString('latin1');
		if (text === '') return Buffer.alloc(0);
		const lines = (this.#isAtStart ? this.#lead : '') + text.replace(/\n(?=[\s\S])/g, () => `\n${this.#lead}`);
		this.#isAtStart = text.endsWith('\n');
		return Buffer.from(lines, 'latin1');
	}
}

/** A whole output with labels. */
export function tagged(output: string | Uint8Array, label: string): Buffer {
	return new LineLabels(label).add(output);
}

/** Writes each line of a command's output to stdout or stderr as soon as it is whole. */
export class LineWriter implements CommandOutput {
	readonly #label: string | undefined;
	readonly #rest = {stdout: [] as Buffer[], stderr: [] as Buffer[]};

	/** @param label stands before each line */
	constructor(label: string | undefined) {
		this.#label = label;
	}

	add(part: Buffer, stream: 'stdout' | 'stderr'): Promise<unknown> | undefined {
		const end = part.lastIndexOf('\n') + 1;
		const rest = this.#rest[stream];
		const lines = end > 0 ? Buffer.concat([...rest.splice(0), part.subarray(0, end)]) : undefined;
		// The part is used again for other output.
		if (end < part.length) rest.push(Buffer.from(part.subarray(end)));
		return lines && this.#write(lines, stream);
	}

	end(): void {
		for (const stream of ['stdout', 'stderr'] as const) {
			const rest = Buffer.concat(this.#rest[stream]);
			if (rest.length > 0) void this.#write(Buffer.concat([rest, Buffer.from('\n')]), stream);
		}
	}

	/** Returns a promise if the reader is slow. */
	#write(lines: Buffer, stream: 'stdout' | 'stderr'): Promise<unknown> | undefined {
		const isTaken = process[stream].write(this.#label === undefined ? lines : tagged(lines, this.#label));
		return isTaken ? undefined : once(process[stream], 'drain');
	}
}
