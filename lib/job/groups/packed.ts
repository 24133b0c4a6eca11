import {join} from '../../support/primordials.ts';
import type {Encoded} from '../encoding.ts';

/** Short texts that travel and are stored as the lines of one text, which costs little more than a single value. */
export interface PackedStrings {
	/** The number of texts. */
	readonly count: number;
	/** One line for each value, an empty one for `null`; `null` if all values are `null`. */
	readonly text: string | null;
}

/** Encoded values, in order. */
export type Values = readonly Encoded[] | PackedStrings;

/** Longer values are not packed: to read one packed value, a store reads all of them. */
const MAX_LINE_LENGTH = 256;

/** The most bytes of a line in UTF-8. */
export const MAX_LINE_BYTES = 3 * MAX_LINE_LENGTH;

/** True for `null`, and for a short text that is not empty and has no line break. */
export function isPackable(value: Encoded): value is string | null {
	return value === null || (typeof value === 'string' && value.length <= MAX_LINE_LENGTH && value !== '' && !value.includes('\n'));
}

/** Packs values, if all of them are packable. */
export function pack(values: readonly Encoded[]): Values {
	// Here and in toPackedStrings(), no method of arrays is called: if a task had replaced one, its worker's results would be lost.
	for (let index = 0; index < values.length; index++) if (!isPackable(values[index] as Encoded)) return values;
	return toPackedStrings(values);
}

/** Packs values that are all packable. */
export function toPackedStrings(values: readonly Encoded[]): PackedStrings {
	for (let index = 0; index < values.length; index++) if (values[index] !== null) return {count: values.length, text: join(values, '\n')};
	return {count: values.length, text: null};
}

export function unpack(values: Values): readonly Encoded[] {
	if (isList(values)) return values;
	const unpacked: Encoded[] = values.text?.split('\n') ?? [];
	unpacked.length = values.count;
	for (let index = 0; index < unpacked.length; index++) unpacked[index] ||= null;
	return unpacked;
}

export function isList(values: Values): values is readonly Encoded[] {
	return Array.isArray(values);
}

/** The values, if they are packed. */
export function asPacked(values: Values): PackedStrings | undefined {
	return isList(values) ? undefined : values;
}

export function countOf(values: Values): number {
	return isList(values) ? values.length : values.count;
}

/** True if the text has `count` lines, and is no longer than so many lines can be. */
export function arePackedStrings({count, text}: PackedStrings): boolean {
	if (text === null) return true;
	if (text.length >= count * (MAX_LINE_LENGTH + 1)) return false;
	const last = startOf(text, count - 1, 0);
	return last <= text.length && !text.includes('\n', last);
}

/** A function that returns the value of each line. */
export function readPacked(text: string | null): (index: number) => string | null {
	const values = text?.split('\n') ?? [];
	return index => values[index] || null;
}

/** The values from `start` up to `end`; those past the last line are `null`. */
export function slicePacked({count, text}: PackedStrings, start: number, end: number): PackedStrings {
	if (text === null || (start === 0 && end === count)) return {count: end - start, text};
	const from = startOf(text, start, 0);
	return {count: end - start, text: text.slice(from, startOf(text, end - start, from) - 1)};
}

/** The values from each bound up to the next one. The bounds rise. */
export function cutPacked({text}: PackedStrings, bounds: readonly number[]): PackedStrings[] {
	let start = text === null ? 0 : startOf(text, bounds[0] as number, 0);
	return bounds.slice(1).map((bound, index) => {
		const count = bound - (bounds[index] as number);
		if (text === null) return {count, text};
		const from = start;
		start = startOf(text, count, from);
		return {count, text: text.slice(from, start - 1)};
	});
}

/** Where a line begins: `lines` lines after the one that begins at `from`. Past the end of the text if there is no such line. */
function startOf(text: string, lines: number, from: number): number {
	let start = from;
	for (let line = 0; line < lines && start <= text.length; line++) {
		const end = text.indexOf('\n', start);
		start = end < 0 ? text.length + 1 : end + 1;
	}
	return start;
}

export function joinPacked(parts: readonly PackedStrings[]): PackedStrings {
	const count = parts.reduce((sum, part) => sum + part.count, 0);
	if (parts.every(({text}) => text === null)) return {count, text: null};
	return {count, text: parts.map(part => part.text ?? '\n'.repeat(part.count - 1)).join('\n')};
}

/** From this size on a transfer costs less than half as much as a copy: 16 KiB 10 instead of 22 µs, 1 MiB 0.3 instead of 0.75 ms. */
const MIN_TRANSFER_BYTES = 16 * 1024;

/**
 * The buffers of the large binary values, for the transfer list of a message. A value that shares its buffer is copied. Who sends a buffer does not keep
 * it: the sender loses these values, so it may have no use for them any more, whatever the answer is.
 */
export function buffersOf(values: Values): ArrayBuffer[] {
	if (!isList(values)) return [];
	const binary = values.filter(value => value instanceof Uint8Array) as Uint8Array<ArrayBuffer>[];
	return binary.filter(({byteLength, buffer}) => byteLength >= MIN_TRANSFER_BYTES && byteLength === buffer.byteLength).map(({buffer}) => buffer);
}

/** True for a value that was transferred to another thread: no encoded value is empty. */
export function isTransferred(value: Encoded): boolean {
	return value instanceof Uint8Array && value.byteLength === 0;
}
