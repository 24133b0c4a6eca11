/** The lines of a stream of bytes, or what a NUL ends each. */

import {isUtf8} from 'node:buffer';
import {DEFAULT_MAX_VALUE_BYTES} from '../../../internal/words.ts';
import {InputError} from '../../input-error.ts';

/** A stream, and what messages call it: `the input`, or `the file a.txt`. */
export interface ByteSource {
	readonly stream: AsyncIterable<Buffer>;
	readonly name: string;
}

/** What ends a record. `\0` is that of `find -print0`, for names with line feeds. */
export type Separator = '\n' | '\0';

/**
 * The texts of the records, as many at once as have arrived together. A line is without the byte order mark and the carriage return of texts from
 * Windows. Lines are not read by `readline`, which would also end them at U+2028 and U+2029, which may occur in JSON.
 * @throws InputError if the stream fails, or a record is too long or not UTF-8
 */
export async function* recordsOf(source: ByteSource, separator: Separator): AsyncGenerator<readonly string[]> {
	for await (const {bytes, number} of blocksOf(source, separator)) {
		const text = number === 1 && separator === '\n' ? bytes.toString().replace(/^\uFEFF/, '') : bytes.toString();
		const records = text.split(separator);
		// The last one is what follows the last separator.
		if (records.at(-1) === '') records.pop();
		yield separator === '\n' && text.includes('\r') ? records.map(withoutReturn) : records;
	}
}

function withoutReturn(line: string): string {
	return line.endsWith('\r') ? line.slice(0, -1) : line;
}

interface Block {
	/** Whole records with their separators, in UTF-8. The last record of a stream may be without. */
	readonly bytes: Buffer;
	/** That of its first record, from 1. */
	readonly number: number;
}

/** Cuts a stream between records. @throws InputError */
export async function* blocksOf(source: ByteSource, separator: Separator): AsyncGenerator<Block> {
	const byte = separator.charCodeAt(0);
	let number = 1;
	let parts: Buffer[] = [];
	let length = 0;
	for await (const chunk of chunksOf(source)) {
		const end = chunk.lastIndexOf(byte) + 1;
		if (end > 0) {
			const bytes = Buffer.concat([...parts, chunk.subarray(0, end)]);
			refuseOtherEncodings({bytes, number}, separator, source.name);
			yield {bytes, number};
			number += countOf(bytes, byte);
			[parts, length] = [[], 0];
		}
		if (end === chunk.length) continue;
		parts.push(chunk.subarray(end));
		length += chunk.length - end;
		// An input without separators must not fill the memory.
		if (length > 2 * DEFAULT_MAX_VALUE_BYTES)
			throw new InputError(`${recordName(separator, number, source.name)} is too long: a payload has at most ${DEFAULT_MAX_VALUE_BYTES} bytes.`);
	}
	const bytes = Buffer.concat(parts);
	if (bytes.length === 0) return;
	refuseOtherEncodings({bytes, number}, separator, source.name);
	yield {bytes, number};
}

async function* chunksOf({stream, name}: ByteSource): AsyncGenerator<Buffer> {
	try {
		yield* stream;
	} catch (error) {
		throw new InputError(`${atStart(name)} can't be read: ${(error as Error).message}.`, {cause: error});
	}
}

function countOf(bytes: Buffer, byte: number): number {
	let count = 0;
	for (let at = bytes.indexOf(byte); at >= 0; at = bytes.indexOf(byte, at + 1)) count++;
	return count;
}

/** The name of a source at the start of a sentence. */
export function atStart(name: string): string {
	return `T${name.slice(1)}`;
}

/** `Line 2 of the input` */
export function recordName(separator: Separator, number: number, source: string): string {
	return `${separator === '\n' ? 'Line' : 'Item'} ${number} of ${source}`;
}

/** Node would replace other bytes with the same character, so that two texts could become the same. */
function refuseOtherEncodings({bytes, number}: Block, separator: Separator, name: string): void {
	if (isUtf8(bytes)) return;
	const byte = separator.charCodeAt(0);
	let [start, record] = [0, number];
	for (let end = bytes.indexOf(byte); end >= 0 && isUtf8(bytes.subarray(start, end)); end = bytes.indexOf(byte, start)) {
		start = end + 1;
		record++;
	}
	throw new InputError(`${recordName(separator, record, name)} is not UTF-8 text; convert it first, for instance with iconv.`);
}
