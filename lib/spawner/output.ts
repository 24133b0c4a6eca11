import {StringDecoder} from 'node:string_decoder';

/** The part of a command's output that is kept: at most so many bytes, from the beginning or from the end. */
export class KeptOutput {
	readonly #maxBytes: number;
	readonly #keeps: 'first' | 'last';
	readonly #parts: Buffer[] = [];
	#size = 0;
	/** Bytes that were left out. */
	cut = 0;

	constructor(maxBytes: number, keeps: 'first' | 'last') {
		this.#maxBytes = maxBytes;
		this.#keeps = keeps;
	}

	add(part: Buffer): void {
		const room = this.#maxBytes - this.#size;
		const kept = this.#keeps === 'first' ? part.subarray(0, room) : part.subarray(Math.max(0, part.length - this.#maxBytes));
		this.cut += part.length - kept.length;
		if (kept.length === 0) return;
		this.#parts.push(kept);
		this.#size += kept.length;
		while (this.#size > this.#maxBytes) this.#dropFirst(this.#size - this.#maxBytes);
	}

	#dropFirst(bytes: number): void {
		const [first] = this.#parts as [Buffer];
		const dropped = Math.min(bytes, first.length);
		if (dropped === first.length) this.#parts.shift();
		else this.#parts[0] = first.subarray(dropped);
		this.#size -= dropped;
		this.cut += dropped;
	}

	/** Without the part of a character at which the output was cut. */
	get text(): string {
		const all = this.bytes;
		if (this.cut === 0) return all.toString();
		if (this.#keeps === 'first') return new StringDecoder('utf8').write(all);
		let start = 0;
		// Later bytes of a character in UTF-8 begin with the bits 10.
		while (start < 3 && ((all[start] ?? 0) & 0xc0) === 0x80) start++;
		return all.toString('utf8', start);
	}

	get bytes(): Buffer {
		return this.#parts.length === 1 ? (this.#parts[0] as Buffer) : Buffer.concat(this.#parts);
	}
}

/** Bytes that are kept until lines are made of them: more than a job's log takes of short lines. */
const MAX_WAITING_BYTES = 64 * 1024;

interface Part {
	readonly stream: 'stdout' | 'stderr';
	readonly part: Buffer;
}

/** Makes lines of a command's output. What comes faster than it is taken is left out: of a flood it keeps the last lines. */
export class OutputLines {
	#waiting: Part[] = [];
	#size = 0;
	readonly #texts = {stdout: new LineText(), stderr: new LineText()};

	add(stream: 'stdout' | 'stderr', part: Buffer): void {
		this.#waiting.push({stream, part});
		this.#size += part.length;
		while (this.#size > MAX_WAITING_BYTES && this.#waiting.length > 1) {
			const {stream, part} = this.#waiting.shift() as Part;
			this.#size -= part.length;
			// What comes next is no part of the line that has begun.
			this.#texts[stream].end();
		}
	}

	/** The complete lines since the last call; at the end also what is left. */
	take(isEnd: boolean): {readonly stream: 'stdout' | 'stderr'; readonly text: string}[] {
		const waiting = this.#waiting;
		this.#waiting = [];
		this.#size = 0;
		const lines = waiting.flatMap(({stream, part}) => this.#texts[stream].add(part).map(text => ({stream, text})));
		if (isEnd) for (const stream of ['stdout', 'stderr'] as const) lines.push(...this.#texts[stream].end().map(text => ({stream, text})));
		return lines;
	}
}

/** The longest line that is waited for; more of it makes another line. */
const MAX_LINE_CHARACTERS = 4096;

class LineText {
	readonly #decoder = new StringDecoder('utf8');
	#rest = '';

	add(part: Buffer): string[] {
		const lines = (this.#rest + this.#decoder.write(part)).split('\n');
		this.#rest = lines.pop() as string;
		if (this.#rest.length > MAX_LINE_CHARACTERS) {
			lines.push(this.#rest);
			this.#rest = '';
		}
		return lines.map(shown).filter(isFilled);
	}

	end(): string[] {
		const rest = this.#rest + this.#decoder.end();
		this.#rest = '';
		return [shown(rest)].filter(isFilled);
	}
}

/** What a terminal would show of the line: a carriage return begins it again, as programs do that show their progress. */
function shown(line: string): string {
	const text = line.replace(/\r+$/, '');
	return text.slice(text.lastIndexOf('\r') + 1);
}

function isFilled(line: string): boolean {
	return line.trim() !== '';
}
