import {inspect, isDeepStrictEqual} from 'node:util';
import {FaenaError} from '../support/errors.ts';
import {is, isFiniteNumber, parse, stringify} from '../support/primordials.ts';

/**
 * A payload or result as it travels and is stored: encoded once by whoever makes it, decoded once by whoever reads it,
 * passed through unopened by everything between.
 *
 * - `string`: JSON text, for everything JSON can hold;
 * - `Uint8Array`: a format byte (see {@link Format}) and what it announces;
 * - `null`: the value `undefined`.
 */
export type Encoded = string | Uint8Array | null;

/** First byte of a binary value. Values of released formats are readable for ever; a new format takes a new number. */
const Format = {
	/** The rest is the content of a Uint8Array. */
	bytes: 1,
	/** A u32 (little-endian) length, that much JSON with tagged nodes ({@link TAG}), then the binary parts. */
	rich: 2,
	/** Never stored: the rest says in UTF-8 why a value can't be had. */
	unreadable: 3,
} as const;

/** Default limit of an encoded payload or result, in bytes. */
export const MAX_VALUE_BYTES = 16 * 1024 * 1024;

/** The highest that a limit of values may be, in bytes: also for what knows no options of `open()`. */
export const LARGEST_VALUE_BYTES = 1024 ** 3;

/** Default limit of an encoded checkpoint, in bytes: it is written again and again. */
export const MAX_CHECKPOINT_BYTES = 1024 * 1024;

const MAX_DEPTH = 500;

/**
 * Encodes a value that {@link decode} gives back equal: what JSON holds, and undefined, NaN, ±Infinity, -0, BigInt, Date,
 * Map, Set, ArrayBuffer, typed arrays, DataView, Buffer (comes back as Uint8Array) and Error, anywhere in it; the holes of an
 * array; and the named properties of all these, such as the groups of a regular expression's match.
 * @param what names the value in errors, for instance `payload`
 * @param option the option of `open()` that sets the limit
 * @throws FaenaError `NotEncodable`, naming the place, for everything else; `TooLarge` over `maxBytes`
 */
export function encode(value: unknown, what: string, maxBytes: number = MAX_VALUE_BYTES, option = 'maxValueBytes'): Encoded {
	if (value === undefined) return null;
	const encoded = encodeAny(value, what);
	const size = sizeBytes(encoded, maxBytes);
	if (size > maxBytes)
		throw new FaenaError(
			'TooLarge',
			`The ${what} is ${size} bytes long once encoded; the limit is ${maxBytes} (option ${option}). Pass a file name or a key instead of the content.`,
		);
	return encoded;
}

/**
 * Gives back the value. Builds only the types listed at {@link encode}; classes are never revived.
 * @throws FaenaError `NotEncodable`, and never anything else, if it is of no known format or damaged; `BadDatabase` for one
 *   that is {@link unreadable}
 */
export function decode(encoded: Encoded): unknown {
	try {
		return decodeAny(encoded);
	} catch (error) {
		if (error instanceof FaenaError) throw error;
		// Without the cause: what JSON complains of it quotes, and a value may be a secret.
		throw new FaenaError('NotEncodable', "A stored value can't be read; it is damaged.");
	}
}

/** Stands for a value that can't be had: {@link decode} throws `BadDatabase` with this sentence. */
export function unreadable(sentence: string): Encoded {
	return Buffer.concat([new Uint8Array([Format.unreadable]), Buffer.from(sentence)]);
}

/** True if both are the same value. Objects may differ in the order of their properties. What can't be read is the same as nothing else. */
export function sameValue(a: Encoded, b: Encoded): boolean {
	try {
		return a === b || isDeepStrictEqual(decode(a), decode(b));
	} catch {
		return false;
	}
}

/** Size in bytes, as stored. Exact where it could matter for `limit`; a string far below it is not counted out. */
export function sizeBytes(encoded: Encoded, limit = 0): number {
	if (encoded === null) return 0;
	if (typeof encoded !== 'string') return encoded.byteLength;
	return encoded.length * 3 < limit ? encoded.length : Buffer.byteLength(encoded);
}

function isBytes(value: unknown): value is Uint8Array {
	return value instanceof Uint8Array && nameOfView(value) === 'Uint8Array';
}

function withFormat(bytes: Uint8Array): Uint8Array {
	const encoded = new Uint8Array(bytes.byteLength + 1);
	encoded[0] = Format.bytes;
	encoded.set(bytes, 1);
	return encoded;
}

function encodeAny(value: unknown, what: string): Encoded {
	// The usual result of a small task needs no walk, and a number no stringify, which takes three times as long.
	if (isPlainNumber(value)) return `${value}`;
	if (typeof value === 'string') return stringify(value);
	const walk: Walk = {path: [what], ancestors: [], parts: [], rich: false};
	try {
		if (isBytes(value) && namesOfView(value).length === 0) {
			refuseDetached(value.buffer, walk);
			return withFormat(value);
		}
		const json = stringify(toTree(value, walk));
		return walk.rich ? packRich(json, walk.parts) : json;
	} catch (error) {
		// Getters, proxies and objects that only pretend to be a Date or Map may throw anything.
		throw error instanceof FaenaError ? error : refusal(walk, 'throws when it is read', error);
	}
}

interface Walk {
	/** Where the walk is, for the sentence of a refusal: what is encoded, then property names and indexes. */
	readonly path: (string | number)[];
	readonly ancestors: object[];
	/** Binary contents, in the order in which the tree names them. */
	readonly parts: Uint8Array[];
	/** Something JSON can't hold was met. */
	rich: boolean;
}

/** The property that marks a node of the JSON tree as something else: `{"$": [kind, …]}`. */
const TAG = '$';

/**
 * Names that JSON would escape. As properties they could come back as others: V8's `JSON.parse` takes such a name, unread, for one
 * that holds a backslash, if it has parsed an object with that before (nodejs/node#63785).
 */
const ESCAPED = /["\\\p{Cc}\p{Cs}]/u;

/** Almost every name is of ASCII alone, which a loop finds out sooner than the expression. */
function isEscaped(name: string): boolean {
	for (let index = 0; index < name.length; index++) {
		const code = name.charCodeAt(index);
		if (code < 0x23 || code === 0x5c || code > 0x7e) return ESCAPED.test(name);
	}
	return false;
}

/** The JSON tree for a value: the value itself where it is plain, so that the usual payload costs one walk and no copy. */
function toTree(value: unknown, walk: Walk): unknown {
	switch (typeof value) {
		case 'string':
		case 'boolean':
			return value;
		case 'number':
			return isPlainNumber(value) ? value : tag(walk, 'number', Object.is(value, -0) ? '-0' : String(value));
		case 'bigint':
			return tag(walk, 'bigint', String(value));
		case 'undefined':
			return tag(walk, 'undefined');
		case 'object':
			return value === null ? null : objectToTree(value, walk);
		default:
			throw refusal(walk, `is a ${typeof value}`);
	}
}

/** One that needs no look inside, and no step of the walk's path. */
function isPlainScalar(value: unknown): boolean {
	return typeof value === 'string' || isPlainNumber(value) || typeof value === 'boolean' || value === null;
}

/** One that JSON can hold. */
function isPlainNumber(value: unknown): value is number {
	return isFiniteNumber(value) && !is(value, -0);
}

function objectToTree(value: object, walk: Walk): unknown {
	if (walk.ancestors.includes(value)) throw refusal(walk, 'refers back to an object that contains it');
	if (walk.ancestors.length >= MAX_DEPTH) throw refusal(walk, `is nested more than ${MAX_DEPTH} levels deep`);
	walk.ancestors.push(value);
	const tree = isPlainArray(value) ? arrayToTree(value, walk) : isPlain(value) ? plainToTree(value, walk) : builtinToTree(value, walk);
	walk.ancestors.pop();
	return tree;
}

function arrayToTree(array: readonly unknown[], walk: Walk): unknown {
	refuseToJson(array, walk);
	if (!isDense(array)) return withProperties(tag(walk, 'holes', array.length), array, Object.keys(array), walk);
	return itemsToTree(array, walk);
}

/** True if the array has all its items and nothing else. Its keys are the indexes in order, then the names. */
function isDense(array: readonly unknown[]): boolean {
	const {length} = array;
	if (length > FEW_ELEMENTS && !array.includes(undefined) && hasElementsAlone(array)) return true;
	const keys = Object.keys(array);
	return keys.length === length && (length === 0 || keys[length - 1] === String(length - 1));
}

function itemsToTree(items: readonly unknown[], walk: Walk): unknown[] {
	let tree: unknown[] | undefined;
	for (let index = 0; index < items.length; index++) {
		const value = items[index];
		const item = isPlainScalar(value) ? value : childToTree(index, value, walk);
		if (item !== value) tree ??= items.slice(0, index);
		tree?.push(item);
	}
	return tree ?? (items as unknown[]);
}

/** The tree of a value that has properties of these names besides what makes it an array, a Map, and so on. */
function withProperties(tree: unknown, value: object, names: readonly string[], walk: Walk): unknown {
	refuseSymbols(value, walk);
	if (names.length === 0) return tree;
	const properties = names.map(name => {
		const index = Number(name);
		return [name, childToTree(String(index) === name ? index : name, (value as Record<string, unknown>)[name], walk)];
	});
	return tag(walk, 'with', [tree, properties]);
}

function plainToTree(object: object, walk: Walk): unknown {
	refuseToJson(object, walk);
	refuseSymbols(object, walk);
	const names = Object.keys(object);
	let copied: [string, unknown][] | undefined;
	let tagged = false;
	for (let index = 0; index < names.length; index++) {
		const name = names[index] as string;
		const value = (object as Record<string, unknown>)[name];
		const item = isPlainScalar(value) ? value : childToTree(name, value, walk);
		if (name === TAG || isEscaped(name)) tagged = true;
		if (item !== value || tagged) copied ??= names.slice(0, index).map(each => [each, (object as Record<string, unknown>)[each]]);
		copied?.push([name, item]);
	}
	if (tagged) return tag(walk, 'object', copied);
	return copied ? Object.fromEntries(copied) : object;
}

function refuseSymbols(value: object, walk: Walk): void {
	if (Object.getOwnPropertySymbols(value).length > 0) throw refusal(walk, 'has a property whose name is a symbol');
}

/** Wherever it comes from, JSON would store what this gives instead. */
function refuseToJson(value: object, walk: Walk): void {
	if (typeof (value as {readonly toJSON?: unknown}).toJSON !== 'function') return;
	walk.path.push('toJSON');
	throw refusal(walk, 'is a function');
}

function childToTree(step: string | number, value: unknown, walk: Walk): unknown {
	walk.path.push(step);
	const tree = toTree(value, walk);
	walk.path.pop();
	return tree;
}

function builtinToTree(value: object, walk: Walk): unknown {
	if (value instanceof Error) return tag(walk, 'error', errorToTree(value, walk));
	const tree = contentToTree(value, walk);
	if (tree === undefined) throw refusal(walk, `is ${describeClass(value)}`);
	return withProperties(tree, value, ArrayBuffer.isView(value) ? namesOfView(value) : Object.keys(value), walk);
}

/** Only of these classes themselves: of a subclass, what makes it one would be lost. */
function contentToTree(value: object, walk: Walk): unknown {
	const prototype = Object.getPrototypeOf(value);
	if (prototype === Date.prototype) return tag(walk, 'date', toTree((value as Date).getTime(), walk));
	if (prototype === Map.prototype) return tag(walk, 'map', itemsToTree([...(value as Map<unknown, unknown>)].flat(), walk));
	if (prototype === Set.prototype) return tag(walk, 'set', itemsToTree([...(value as Set<unknown>)], walk));
	return binaryToTree(value, walk);
}

function errorToTree(error: Error, walk: Walk): unknown {
	const {name, message, stack, cause} = error;
	const errors = error instanceof AggregateError && {errors: error.errors};
	return toTree({...errors, ...error, name, message, ...(stack !== undefined && {stack}), ...(cause !== undefined && {cause})}, walk);
}

/** Of what stands in the place of a kind's name, no more is quoted. */
const MAX_KIND = 20;

/** Kinds of binary nodes. The names are stored: never rename one. */
const BINARY: Readonly<Record<string, new (bytes: ArrayBuffer) => ArrayBufferView>> = {
	Uint8Array,
	Int8Array,
	Uint8ClampedArray,
	Int16Array,
	Uint16Array,
	Int32Array,
	Uint32Array,
	// Not in Node 22.
	...(typeof Float16Array !== 'undefined' && {Float16Array}),
	Float32Array,
	Float64Array,
	BigInt64Array,
	BigUint64Array,
	DataView,
};

function binaryToTree(value: object, walk: Walk): unknown {
	if (value instanceof ArrayBuffer) {
		refuseDetached(value, walk);
		return part(walk, 'ArrayBuffer', new Uint8Array(value));
	}
	if (!ArrayBuffer.isView(value)) return undefined;
	refuseDetached(value.buffer, walk);
	const kind = nameOfView(value);
	return kind && part(walk, kind, new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
}

function refuseDetached(buffer: ArrayBufferLike, walk: Walk): void {
	if ((buffer as {readonly detached?: boolean}).detached) throw refusal(walk, 'is detached: its memory was transferred elsewhere');
}

/** Which of {@link BINARY} this is, if it is one itself and not of a subclass. */
function nameOfView(view: ArrayBufferView): string | undefined {
	const prototype = Object.getPrototypeOf(view);
	if (prototype === Buffer.prototype) return 'Uint8Array';
	return Object.keys(BINARY).find(name => prototype === BINARY[name]?.prototype);
}

/** Above so many elements `inspect` is quicker than a list of their indexes. */
const FEW_ELEMENTS = 50;

/**
 * True if the array or typed array has no property besides its elements. JavaScript lists the names only after the indexes of all
 * elements, of which there may be millions; `inspect` gets them without. Where it says anything else, the list decides.
 */
function hasElementsAlone(array: object): boolean {
	return /^(\w+\(\d+\) )?(\[\w+\] )?\[ \.\.\. \d+ more items \]$/.test(inspect(array, {maxArrayLength: 0, depth: 0, customInspect: false}));
}

/** Names of the properties that a typed array has besides its elements. */
function namesOfView(view: ArrayBufferView): string[] {
	const {length = 0} = view as {readonly length?: number};
	return length > FEW_ELEMENTS && hasElementsAlone(view) ? [] : Object.keys(view).slice(length);
}

function part(walk: Walk, kind: string, bytes: Uint8Array): unknown {
	walk.parts.push(bytes);
	return tag(walk, kind, bytes.byteLength);
}

function tag(walk: Walk, kind: string, content?: unknown): unknown {
	walk.rich = true;
	return {[TAG]: content === undefined ? [kind] : [kind, content]};
}

/** Of whatever realm: the prototype of arrays is an array itself, that of a subclass is none. */
function isPlainArray(value: object): value is unknown[] {
	return Array.isArray(value) && Array.isArray(Object.getPrototypeOf(value));
}

function isPlain(value: object): boolean {
	const prototype = Object.getPrototypeOf(value);
	return prototype === Object.prototype || prototype === null;
}

function describeClass(value: object): string {
	const name = (value as {constructor?: {name?: unknown}}).constructor?.name;
	return typeof name === 'string' && name ? `an instance of ${name}` : 'an object with a prototype of its own';
}

function refusal({path}: Walk, problem: string, cause?: unknown): FaenaError {
	const steps = path.map((step, index) => (index === 0 ? step : typeof step === 'string' && /^[\w$]+$/.test(step) ? `.${step}` : `[${stringify(step)}]`));
	return new FaenaError(
		'NotEncodable',
		`${steps.join('')} ${problem}, which can't be stored and come back the same. Pass plain objects, arrays, strings, numbers, booleans, null, undefined, BigInt, Date, Map, Set, Error or binary data.`,
		cause === undefined ? undefined : {cause},
	);
}

function packRich(json: string, parts: readonly Uint8Array[]): Uint8Array {
	const text = new TextEncoder().encode(json);
	const total = parts.reduce((sum, each) => sum + each.byteLength, 5 + text.byteLength);
	// Memory of its own: a Buffer from Node's shared slab would take the whole slab along to another thread.
	const packed = new Uint8Array(total);
	packed[0] = Format.rich;
	new DataView(packed.buffer).setUint32(1, text.byteLength, true);
	let offset = 5;
	for (const each of [text, ...parts]) {
		packed.set(each, offset);
		offset += each.byteLength;
	}
	return packed;
}

function decodeAny(encoded: Encoded): unknown {
	if (encoded === null) return undefined;
	if (typeof encoded === 'string') return toCount(encoded) ?? parse(encoded);
	if (encoded.byteLength === 0) throw damaged('is empty');
	// A queue may hand over a Buffer, whose subarray would be one too.
	if (encoded[0] === Format.bytes) return new Uint8Array(encoded.buffer, encoded.byteOffset + 1, encoded.byteLength - 1);
	if (encoded[0] === Format.rich) return decodeRich(encoded);
	if (encoded[0] === Format.unreadable) throw new FaenaError('BadDatabase', TEXT.decode(encoded.subarray(1)));
	throw unknown(`begins with the format byte ${encoded[0]}`);
}

/** The number that a few digits are: an id or index, for which `parse` takes four times as long. */
function toCount(json: string): number | undefined {
	if (json.length > 9 || json.length === 0 || (json.charCodeAt(0) === ZERO && json.length > 1)) return undefined;
	let count = 0;
	for (let index = 0; index < json.length; index++) {
		const digit = json.charCodeAt(index) - ZERO;
		if (digit < 0 || digit > 9) return undefined;
		count = 10 * count + digit;
	}
	return count;
}

const ZERO = '0'.charCodeAt(0);

function damaged(problem: string): FaenaError {
	return new FaenaError('NotEncodable', `A stored value ${problem}; it is damaged.`);
}

function unknown(what: string): FaenaError {
	return new FaenaError('NotEncodable', `A stored value ${what}, which this version of Faena does not know; a newer one wrote it, or it is damaged.`);
}

function decodeRich(encoded: Uint8Array): unknown {
	const buffer = Buffer.from(encoded.buffer, encoded.byteOffset, encoded.byteLength);
	const end = 5 + buffer.readUInt32LE(1);
	if (end > buffer.byteLength) throw damaged('ends too early');
	const parts = {buffer, offset: end};
	const value = fromTree(parse(TEXT.decode(buffer.subarray(5, end))), parts);
	if (parts.offset < buffer.byteLength) throw damaged('goes on after its end');
	return value;
}

const TEXT = new TextDecoder('utf-8', {fatal: true, ignoreBOM: true});

interface Parts {
	readonly buffer: Buffer;
	offset: number;
}

function fromTree(tree: unknown, parts: Parts): unknown {
	if (typeof tree !== 'object' || tree === null) return tree;
	if (Array.isArray(tree)) return tree.map(item => fromTree(item, parts));
	if (Object.hasOwn(tree, TAG)) return fromTag((tree as {[TAG]: [string, unknown]})[TAG], parts);
	return Object.fromEntries(Object.entries(tree).map(([name, value]) => [name, fromTree(value, parts)]));
}

function fromTag([kind, content]: [string, unknown], parts: Parts): unknown {
	switch (kind) {
		case 'undefined':
			return undefined;
		case 'number':
			return Number(content);
		case 'bigint':
			return BigInt(content as string);
		case 'date':
			return new Date(fromTree(content, parts) as number);
		case 'map':
			return new Map(pairs((content as unknown[]).map(item => fromTree(item, parts))));
		case 'set':
			return new Set((content as unknown[]).map(item => fromTree(item, parts)));
		case 'object':
			return Object.fromEntries((content as [string, unknown][]).map(([name, value]) => [name, fromTree(value, parts)]));
		case 'holes':
			return new Array(content as number);
		case 'with': {
			const [base, properties] = content as [unknown, [string, unknown][]];
			return addProperties(fromTree(base, parts) as object, properties, parts);
		}
		case 'error':
			return toError(fromTree(content, parts) as Record<string, unknown>);
		default:
			return fromBinary(kind, content as number, parts);
	}
}

/** Not assigned: that would follow a property named `__proto__`. */
function addProperties(value: object, properties: readonly [string, unknown][], parts: Parts): object {
	for (const [name, tree] of properties)
		Object.defineProperty(value, name, {value: fromTree(tree, parts), configurable: true, writable: true, enumerable: true});
	return value;
}

function* pairs(flat: readonly unknown[]): Generator<[unknown, unknown]> {
	if (flat.length % 2 !== 0) throw damaged('holds a Map with half an entry');
	for (let index = 0; index < flat.length; index += 2) yield [flat[index], flat[index + 1]];
}

function toError({name, message, stack, cause, ...own}: Record<string, unknown>): Error {
	const error = new Error('', cause === undefined ? undefined : {cause});
	for (const [property, value] of Object.entries({name, message, stack}))
		Object.defineProperty(error, property, {value, configurable: true, writable: true, enumerable: false});
	// Not assigned: that would follow a property named `__proto__`.
	return Object.defineProperties(error, Object.getOwnPropertyDescriptors(own));
}

function fromBinary(kind: string, length: number, parts: Parts): unknown {
	const View = Object.hasOwn(BINARY, kind) ? BINARY[kind] : undefined;
	if (!View && kind !== 'ArrayBuffer') throw unknown(`holds a ${stringify(String(kind).slice(0, MAX_KIND))}`);
	const {buffer, offset} = parts;
	if (!Number.isSafeInteger(length) || length < 0 || offset + length > buffer.byteLength) throw damaged('ends before its binary parts do');
	parts.offset += length;
	// A copy of its own, since a typed array must begin at a multiple of its element's size.
	const bytes = new Uint8Array(buffer.subarray(offset, offset + length)).buffer;
	return View ? new View(bytes) : bytes;
}
