import type {Encoded} from '../../../job/encoding.ts';
import {FaenaError} from '../../../support/errors.ts';

/** Bytes come as text with two characters each, and V8 has no text of more than 512 million. */
export const MAX_BYTES = 200 * 1024 ** 2;

/** @throws FaenaError `TooLarge` if a value could be stored and never be read again */
export function assertSize(value: Encoded): void {
	const size = typeof value === 'string' ? value.length : (value?.byteLength ?? 0);
	if (size <= MAX_BYTES) return;
	throw new FaenaError(
		'TooLarge',
		`A value on PostgreSQL has at most ${MAX_BYTES} bytes, encoded; this one has ${size}. Store it elsewhere, and pass its place.`,
	);
}

/** The values of one call. Its JSON names them by their index, from 1. */
export class CallValues {
	readonly texts: (string | null)[] = [];
	readonly bytes: (Uint8Array | null)[] = [];

	/**
	 * Adds values. Returns the index of the first one.
	 * @throws FaenaError `TooLarge`
	 */
	add(...values: readonly Encoded[]): number {
		const index = this.texts.length + 1;
		for (const value of values) {
			assertSize(value);
			this.texts.push(typeof value === 'string' ? value : null);
			this.bytes.push(value instanceof Uint8Array ? value : null);
		}
		return index;
	}
}

/** PostgreSQL has no NUL in a text, and no half of a surrogate pair. Of what is stored, only log lines may have them. */
export function storable(text: string): string {
	return text.replaceAll('\0', '\uFFFD').toWellFormed();
}
