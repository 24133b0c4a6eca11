import type {Encoded} from './encoding.ts';
import {isList, type Values} from './packed-strings.ts';

/** From this size on a transfer costs less than half as much as a copy: 16 KiB 10 instead of 22 µs, 1 MiB 0.3 instead of 0.75 ms. */
const MIN_TRANSFER_BYTES = 16 * 1024;

/**
 * The buffers of the large binary values, for the transfer list of a message to another thread. The sender can't use these values
 * afterwards. A value that shares its buffer with others is left out, and is copied; `encode` and SQLite give each value its own.
 */
export function buffersOf(values: readonly Encoded[]): ArrayBuffer[] {
	const binary = values.filter(value => value instanceof Uint8Array) as Uint8Array<ArrayBuffer>[];
	return binary.filter(({byteLength, buffer}) => byteLength >= MIN_TRANSFER_BYTES && byteLength === buffer.byteLength).map(({buffer}) => buffer);
}

/** The values of a column that is a list. Packed strings are never binary, so they need no transfer. */
export function listOf(values: Values): readonly Encoded[] {
	return isList(values) ? values : [];
}

/** True for a value that was transferred to another thread: no encoded value is empty. */
export function isTransferred(value: Encoded): boolean {
	return value instanceof Uint8Array && value.byteLength === 0;
}
