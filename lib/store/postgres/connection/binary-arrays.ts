/** Arrays as PostgreSQL's binary protocol has them: `array_send` in its source. As text, each value would be escaped here and read again there. */

const HEADER_BYTES = 20;
const NULL = -1;

/** The numbers by which PostgreSQL knows the types of elements. */
const Type = {bytea: 17, text: 25} as const;

export function textArray(values: readonly (string | null)[]): Buffer {
	const sizes = values.map(value => (value === null ? NULL : Buffer.byteLength(value)));
	return writeArray(Type.text, sizes, (buffer, at, index) => void buffer.write(values[index] as string, at));
}

export function byteaArray(values: readonly (Uint8Array | null)[]): Buffer {
	const sizes = values.map(value => (value === null ? NULL : value.byteLength));
	return writeArray(Type.bytea, sizes, (buffer, at, index) => buffer.set(values[index] as Uint8Array, at));
}

/** @param sizes of the elements in bytes; -1 for null */
function writeArray(type: number, sizes: readonly number[], write: (buffer: Buffer, at: number, index: number) => void): Buffer {
	const bytes = sizes.reduce((sum, size) => sum + 4 + Math.max(0, size), HEADER_BYTES);
	const buffer = Buffer.allocUnsafe(bytes);
	const dimensions = 1;
	const lowerBound = 1;
	const hasNull = sizes.includes(NULL) ? 1 : 0;
	let at = 0;
	for (const word of [dimensions, hasNull, type, sizes.length, lowerBound]) at = buffer.writeInt32BE(word, at);
	for (const [index, size] of sizes.entries()) {
		at = buffer.writeInt32BE(size, at);
		if (size === NULL) continue;
		write(buffer, at, index);
		at += size;
	}
	return buffer;
}
