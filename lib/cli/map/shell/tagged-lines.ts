import {once} from 'node:events';
import {inLine} from '../../terminal/controls.ts';
import type {Parts, Stream} from './streams.ts';

/** Puts a label and a tab before each line of an output. The bytes stay as they are, also if they are no UTF-8. */
class LineLabels {
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

export async function* tagged(output: Parts, label: string): AsyncGenerator<Buffer> {
	const labels = new LineLabels(label);
	for await (const part of output) yield labels.add(part);
}

/** A longer line is written in parts as it comes. */
const MAX_LINE_BYTES = 1024 ** 2;

/** Writes each line of what a command says on a stream to the same stream as soon as it is whole. */
export class LineWriter {
	readonly #name: Stream;
	readonly #labels: LineLabels | undefined;
	#rest: Buffer[] = [];
	#restBytes = 0;
	/** A part of a line was written, and not its end. */
	#isInLine = false;

	constructor(name: Stream, label: string | undefined) {
		this.#name = name;
		this.#labels = label === undefined ? undefined : new LineLabels(label);
	}

	/** Returns a promise if the reader is slow. */
	add(part: Buffer): Promise<void> | undefined {
		const end = this.#restBytes + part.length > MAX_LINE_BYTES ? part.length : part.lastIndexOf('\n') + 1;
		const lines = end > 0 ? Buffer.concat([...this.#rest, part.subarray(0, end)]) : undefined;
		if (lines) [this.#rest, this.#restBytes] = [[], 0];
		if (end < part.length) this.#rest.push(part.subarray(end));
		this.#restBytes += part.length - end;
		return lines && this.#write(lines);
	}

	end(): void {
		if (this.#restBytes > 0 || this.#isInLine) void this.#write(Buffer.concat([...this.#rest, Buffer.from('\n')]));
	}

	#write(lines: Buffer): Promise<void> | undefined {
		this.#isInLine = lines.at(-1) !== 0x0a;
		const isTaken = process[this.#name].write(this.#labels ? this.#labels.add(lines) : lines);
		return isTaken ? undefined : once(process[this.#name], 'drain').then(() => undefined);
	}
}
