import {isDeepStrictEqual} from 'node:util';
import {FaenaError} from '../support/errors.ts';
import {parse, stringify} from '../support/primordials.ts';
import {EnqueuedChild} from './enqueued-child.ts';
import {
	damaged,
	fromTree,
	isPlainNumber,
	nameOfView,
	namesOfView,
	RESULT,
	type ResultsOfParents,
	refusal,
	refuseDetached,
	toTree,
	unknown,
	type Walk,
} from './value-tree.ts';

/**
 * A payload or result as it travels and is stored. Its sender encodes it once, and its reader decodes it once. Between them only
 * a store decodes payloads, to compare those of two jobs with one key.
 *
 * - `string`: JSON text, for everything JSON can hold; or `=` and JSON with tagged nodes, for a payload made of results;
 * - `Uint8Array`: a format byte and what it announces;
 * - `null`: the value `undefined`.
 */
export type Encoded = string | Uint8Array | null;

/** First byte of a binary value. Values of released formats stay readable for ever. A new format takes a new number. */
const Format = {
	/** The rest is the content of a Uint8Array. */
	bytes: 1,
	/** A u32 (little-endian) length, that much JSON with tagged nodes ({@link TAG}), then the binary parts. */
	rich: 2,
	/** Never stored. The rest is a sentence in UTF-8: why the value can't be read. */
	unreadable: 3,
} as const;

/** Default limit of an encoded payload or result. */
export const DEFAULT_MAX_VALUE_BYTES = 16 * 1024 * 1024;

/** The highest limit of an encoded value that `open()` accepts. It is the limit where the options of `open()` are not known. */
export const MAX_VALUE_LIMIT_BYTES = 1024 ** 3;

/**
 * Encodes a value so that {@link decode} returns an equal one. The value may hold, at any depth: all that JSON holds;
 * undefined, NaN, ±Infinity, -0, BigInt, Date, Map, Set, ArrayBuffer, typed arrays, DataView, Buffer (decoded as a Uint8Array)
 * and Error; the holes of an array; and the named properties of all these, such as the groups of a regular expression's match.
 * @param what names the value in errors, for instance `payload`
 * @param maxBytes limit of the encoded value, in bytes
 * @param option the option of `open()` that sets the limit
 * @throws FaenaError `NotEncodable` for any other value, with the path to it; `TooLarge` over `maxBytes`
 */
export function encode(value: unknown, what: string, maxBytes: number = DEFAULT_MAX_VALUE_BYTES, option = 'maxValue'): Encoded {
	// A task may return what `ctx.enqueue` returned, such as an arrow function without braces.
	if (value === undefined || (what === RESULT && value instanceof EnqueuedChild)) return null;
	return limited(encodeAny(value, what), what, maxBytes, option);
}

function limited(encoded: Encoded, what: string, maxBytes: number, option: string): Encoded {
	const size = sizeBytes(encoded, maxBytes);
	if (size <= maxBytes) return encoded;
	const message = `The ${what} is ${size} bytes long once encoded; the limit is ${maxBytes} (option ${option}).`;
	throw new FaenaError('TooLarge', `${message} Pass a file name or a key instead of the content.`);
}

/**
 * Encodes a payload that is made of results of other jobs.
 * @param placeOf returns, for an object that stands for results, the arguments of {@link ResultsOfParents} by which {@link decode} reads them
 * @throws as {@link encode}
 */
export function encodeWithResults(value: unknown, what: string, maxBytes: number, placeOf: NonNullable<Walk['placeOf']>): Encoded {
	return value === undefined ? null : limited(encodeAny(value, what, placeOf), what, maxBytes, 'maxValue');
}

/**
 * Decodes a value. Builds only the types listed at {@link encode}, and never an instance of a user's class.
 * @param results of a payload that is made of results; by default, a text stands for each
 * @throws FaenaError `NotEncodable` if the value is damaged or of an unknown format; `BadDatabase` if its bytes are not what was stored
 */
export function decode(encoded: Encoded, results?: ResultsOfParents): unknown {
	try {
		if (encoded === null) return undefined;
		if (typeof encoded === 'string') {
			if (encoded.charCodeAt(0) === EQUALS) return fromTree(parse(encoded.slice(1)), {buffer: NO_PARTS, offset: 0, results});
			return toCount(encoded) ?? parse(encoded);
		}
		if (encoded.byteLength === 0) throw damaged('is empty');
		// A store may return a Buffer, whose subarray would be a Buffer too.
		if (encoded[0] === Format.bytes) return new Uint8Array(encoded.buffer, encoded.byteOffset + 1, encoded.byteLength - 1);
		if (encoded[0] === Format.rich) return decodeRich(encoded, results);
		if (encoded[0] === Format.unreadable) throw new FaenaError('BadDatabase', TEXT.decode(encoded.subarray(1)));
		throw unknown(`begins with the format byte ${encoded[0]}`);
	} catch (error) {
		if (error instanceof FaenaError) throw error;
		// The cause is left out: JSON quotes the text that it can't parse, and a value may be a secret.
		throw new FaenaError('NotEncodable', "A stored value can't be read; it is damaged.");
	}
}

/** True if the encoded value is the JSON of the value. */
export function isJson(encoded: Encoded): encoded is string {
	return typeof encoded === 'string' && encoded.charCodeAt(0) !== EQUALS;
}

/** Stands for a value that can't be read: {@link decode} throws `BadDatabase` with this sentence. */
export function unreadable(sentence: string): Encoded {
	return concat(Format.unreadable, Buffer.from(sentence));
}

/** True if both are the same value. Objects may differ in the order of their properties. A value that can't be decoded equals only itself. */
export function sameValue(a: Encoded, b: Encoded): boolean {
	try {
		return a === b || isDeepStrictEqual(decode(a), decode(b));
	} catch {
		return false;
	}
}

/** Size in bytes, as stored. For a string far below `limit` it is the number of its characters, which is cheaper to tell. */
export function sizeBytes(encoded: Encoded, limit = 0): number {
	if (encoded === null) return 0;
	if (typeof encoded !== 'string') return encoded.byteLength;
	return encoded.length * 3 < limit ? encoded.length : Buffer.byteLength(encoded);
}

function encodeAny(value: unknown, what: string, placeOf?: Walk['placeOf']): Encoded {
	// The usual results of small tasks need no walk. For a number, `stringify` would take three times as long.
	if (isPlainNumber(value)) return `${value}`;
	if (typeof value === 'string') return stringify(value);
	const walk: Walk = {path: [what], ancestors: [], parts: [], rich: false, placeOf};
	try {
		if (value instanceof Uint8Array && nameOfView(value) === 'Uint8Array' && namesOfView(value).length === 0) {
			refuseDetached(value.buffer, walk);
			return concat(Format.bytes, value);
		}
		const json = stringify(toTree(value, walk));
		if (placeOf && walk.rich && walk.parts.length === 0) return `=${json}`;
		return walk.rich ? encodeRich(json, walk.parts) : json;
	} catch (error) {
		// Getters, proxies and objects that only pretend to be a Date or Map may throw anything.
		throw error instanceof FaenaError ? error : refusal(walk, 'throws when it is read', error);
	}
}

function encodeRich(json: string, parts: readonly Uint8Array[]): Uint8Array {
	const text = new TextEncoder().encode(json);
	const length = new Uint8Array(4);
	new DataView(length.buffer).setUint32(0, text.byteLength, true);
	return concat(Format.rich, length, text, ...parts);
}

/** It has memory of its own: with a Buffer from Node's shared slab, the whole slab would travel to another thread. */
function concat(format: number, ...parts: readonly Uint8Array[]): Uint8Array {
	let size = 1;
	for (let index = 0; index < parts.length; index++) size += (parts[index] as Uint8Array).byteLength;
	const joined = new Uint8Array(size);
	joined[0] = format;
	let offset = 1;
	for (let index = 0; index < parts.length; index++) {
		const part = parts[index] as Uint8Array;
		joined.set(part, offset);
		offset += part.byteLength;
	}
	return joined;
}

/** The number that at most 15 digits without leading zeros stand for, such as an id or an index. `parse` takes four times as long. */
export function toCount(json: string): number | undefined {
	if (json.length > 15 || json.length === 0 || (json.charCodeAt(0) === ZERO && json.length > 1)) return undefined;
	let count = 0;
	for (let index = 0; index < json.length; index++) {
		const digit = json.charCodeAt(index) - ZERO;
		if (digit < 0 || digit > 9) return undefined;
		count = 10 * count + digit;
	}
	return count;
}

const ZERO = '0'.charCodeAt(0);
const EQUALS = '='.charCodeAt(0);
const NO_PARTS = Buffer.alloc(0);

function decodeRich(encoded: Uint8Array, results: ResultsOfParents | undefined): unknown {
	const buffer = Buffer.from(encoded.buffer, encoded.byteOffset, encoded.byteLength);
	const end = 5 + buffer.readUInt32LE(1);
	if (end > buffer.byteLength) throw damaged('ends too early');
	const parts = {buffer, offset: end, results};
	const value = fromTree(parse(TEXT.decode(buffer.subarray(5, end))), parts);
	if (parts.offset < buffer.byteLength) throw damaged('goes on after its end');
	return value;
}

const TEXT = new TextDecoder('utf-8', {fatal: true, ignoreBOM: true});
