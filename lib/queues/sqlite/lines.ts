import type {Encoded} from '../../encoding.ts';

/** Longer values have rows of their own: who asks for one of a run reads the whole. */
const MAX_LENGTH = 256;

/** True if the value can be a line among others: a short text without a line break. */
export function isLine(value: Encoded): value is string | null {
	return value === null || (typeof value === 'string' && value.length <= MAX_LENGTH && value !== '' && !value.includes('\n'));
}

/** A line for each value, empty for `null`; `null` if they all are. */
export function toLines(values: readonly Encoded[]): string | null {
	return values.every(value => value === null) ? null : values.join('\n');
}

/** Gives the value of each line. */
export function readLines(lines: string | null): (index: number) => string | null {
	const values = lines?.split('\n') ?? [];
	return index => values[index] || null;
}
