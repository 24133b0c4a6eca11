import type {Encoded} from '../../job/encoding.ts';

/** The values of one call. Its JSON names them by their index, from 1. */
export class CallValues {
	readonly texts: (string | null)[] = [];
	readonly bytes: (Uint8Array | null)[] = [];

	/** Adds values. Returns the index of the first one. */
	add(...values: readonly Encoded[]): number {
		const index = this.texts.length + 1;
		for (const value of values) {
			this.texts.push(typeof value === 'string' ? value : null);
			this.bytes.push(value instanceof Uint8Array ? value : null);
		}
		return index;
	}
}
