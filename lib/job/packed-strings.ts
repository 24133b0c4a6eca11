import {join} from '../support/primordials.ts';
import type {Encoded} from './encoding.ts';

/** Short texts that travel and are stored as the lines of one, which costs little more than a single value. */
export interface PackedStrings {
	readonly count: number;
	/** A line for each value, empty for `null`; `null` if they all are. */
	readonly text: string | null;
}

/** Encoded values, in order. */
export type Values = readonly Encoded[] | PackedStrings;

/** Longer values have rows of their own: who asks for one of a run reads the whole. */
const MAX_LENGTH = 256;
/** In UTF-8. */
export const MAX_LINE_BYTES = 3 * MAX_LENGTH;

/** True if the value can be a line among others: a short text without a line break. */
export function isPackable(value: Encoded): value is string | null {
	return value === null || (typeof value === 'string' && value.length <= MAX_LENGTH && value !== '' && !value.includes('\n'));
}

/** Of values that are lines, each of them. */
export function toPackedStrings(values: readonly Encoded[]): PackedStrings {
	// Not by every() and join() of arrays, as in pack(): a worker's results would be lost if a task had replaced them.
	for (let index = 0; index < values.length; index++) if (values[index] !== null) return {count: values.length, text: join(values, '\n')};
	return {count: values.length, text: null};
}

/** True if the text has as many lines as it says, none of them longer than lines are. */
export function arePackedStrings({count, text}: PackedStrings): boolean {
	if (text === null) return true;
	if (text.length >= count * (MAX_LENGTH + 1)) return false;
	let lines = 1;
	for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', end + 1)) lines++;
	return lines === count;
}

/** As lines, where that can be done. */
export function pack(values: readonly Encoded[]): Values {
	for (let index = 0; index < values.length; index++) if (!isPackable(values[index] as Encoded)) return values;
	return toPackedStrings(values);
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

export function countOf(values: Values): number {
	return isList(values) ? values.length : values.count;
}

/** Gives the value of each line. */
export function readPacked(text: string | null): (index: number) => string | null {
	const values = text?.split('\n') ?? [];
	return index => values[index] || null;
}

/** Those from `start` up to `end`; whatever is asked for and not there is `null`. */
export function slicePacked({count, text}: PackedStrings, start: number, end: number): PackedStrings {
	if (text === null || (start === 0 && end === count)) return {count: end - start, text};
	const from = startOf(text, start, 0);
	return {count: end - start, text: text.slice(from, startOf(text, end - start, from) - 1)};
}

/** Where the line begins that is so many lines after the one that begins at `from`; behind the end if there is none. */
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
