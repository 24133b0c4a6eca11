import {inspect} from 'node:util';
import {FaenaError} from '../support/errors.ts';
import {is, isFiniteNumber, stringify} from '../support/primordials.ts';
import {EnqueuedChild} from './enqueued-child.ts';

const MAX_DEPTH = 500;

/** The name of a value that a task returns. What `ctx.enqueue` returns is `undefined` in it; in a payload it is refused. */
export const RESULT = 'result';

/**
 * Reads results of a job's parents, in their order: the one at this index, or if `count` is a number, an array of so many from this index on.
 * `onlyCompleted`: leaves out of the array those of parents that did not complete.
 */
export type ResultsOfParents = (index: number, count: number | null, onlyCompleted?: boolean) => unknown;

export interface Walk {
	/** Where the walk is, for error messages: the name of the value, then property names and indexes. */
	readonly path: (string | number)[];
	readonly ancestors: object[];
	/** Binary contents, in the order in which the tree names them. */
	readonly parts: Uint8Array[];
	/** The walk has met something that JSON can't hold. */
	rich: boolean;
	/** Of a payload that is made of results: where the results are for which this object stands. */
	readonly placeOf?: ((value: object) => Readonly<Parameters<ResultsOfParents>> | undefined) | undefined;
}

/** The property that marks a node of the JSON tree as something else: `{"$": [kind, …]}`. */
export const TAG = '$';

/** Matches names that JSON would escape. V8's `JSON.parse` may take one with a backslash for another that it has parsed before (nodejs/node#63785). */
const ESCAPED = /["\\\p{Cc}\p{Cs}]/u;

/** True if JSON would escape the name. Almost every name is plain ASCII, which the loop finds out faster than the expression. */
function isEscaped(name: string): boolean {
	for (let index = 0; index < name.length; index++) {
		const code = name.charCodeAt(index);
		if (code < 0x23 || code === 0x5c || code > 0x7e) return ESCAPED.test(name);
	}
	return false;
}

/** The JSON tree of a value. A plain value is its own tree, so that the usual payload costs one walk and no copy. */
export function toTree(value: unknown, walk: Walk): unknown {
	if (typeof value === 'object' && value !== null) return objectToTree(value, walk);
	if (isPlainScalar(value)) return value;
	if (typeof value === 'number') return tag(walk, 'number', is(value, -0) ? '-0' : String(value));
	if (typeof value === 'bigint') return tag(walk, 'bigint', String(value));
	if (value === undefined) return tag(walk, 'undefined');
	throw refusal(walk, `is a ${typeof value}`);
}

/** True for a value that JSON can hold and that has no properties. */
function isPlainScalar(value: unknown): boolean {
	return typeof value === 'string' || isPlainNumber(value) || typeof value === 'boolean' || value === null;
}

export function isPlainNumber(value: unknown): value is number {
	return isFiniteNumber(value) && !is(value, -0);
}

function objectToTree(value: object, walk: Walk): unknown {
	const place = walk.placeOf?.(value);
	if (place) return tag(walk, 'results', place);
	if (value instanceof EnqueuedChild && walk.path[0] === RESULT) return tag(walk, 'undefined');
	if (walk.ancestors.includes(value)) throw refusal(walk, 'refers back to an object that contains it');
	if (walk.ancestors.length >= MAX_DEPTH) throw refusal(walk, `is nested more than ${MAX_DEPTH} levels deep`);
	walk.ancestors.push(value);
	const tree = treeOf(value, Object.getPrototypeOf(value), walk);
	walk.ancestors.pop();
	return tree;
}

function treeOf(value: object, prototype: unknown, walk: Walk): unknown {
	// An array of any realm: the prototype of arrays is an array itself, and the prototype of a subclass is not.
	if (Array.isArray(value) && Array.isArray(prototype)) return arrayToTree(value, walk);
	if (prototype === Object.prototype || prototype === null) return plainToTree(value, walk);
	if (value instanceof Error) return tag(walk, 'error', errorToTree(value, walk));
	const tree = contentToTree(value, prototype, walk);
	if (tree === undefined) throw refusal(walk, `is ${describeClass(value)}`);
	return withProperties(tree, value, ArrayBuffer.isView(value) ? namesOfView(value) : Object.keys(value), walk);
}

function arrayToTree(array: readonly unknown[], walk: Walk): unknown {
	refuseToJson(array, walk);
	return isDense(array) ? itemsToTree(array, walk) : withProperties(tag(walk, 'holes', array.length), array, Object.keys(array), walk);
}

/** True if the array has no holes and no named properties. Its keys are its indexes in order, then the names. */
function isDense(array: readonly unknown[]): boolean {
	const {length} = array;
	if (length > MAX_LISTED_ELEMENTS && !array.includes(undefined) && hasOnlyElements(array)) return true;
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

/** Adds properties of these names to the tree of an array, a Map, and so on. */
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

/** JSON would store the result of `toJSON()` instead of the object. */
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

/** `undefined` for a subclass of one of these classes: decoded, it would no longer be one. */
function contentToTree(value: object, prototype: unknown, walk: Walk): unknown {
	if (prototype === Date.prototype) return tag(walk, 'date', toTree((value as Date).getTime(), walk));
	if (prototype === Map.prototype) return tag(walk, 'map', itemsToTree([...(value as Map<unknown, unknown>)].flat(), walk));
	if (prototype === Set.prototype) return tag(walk, 'set', itemsToTree([...(value as Set<unknown>)], walk));
	const view = value instanceof ArrayBuffer ? new Uint8Array(refuseDetached(value, walk)) : value;
	if (!ArrayBuffer.isView(view)) return undefined;
	const kind = view === value ? nameOfView(view) : 'ArrayBuffer';
	if (kind === undefined) return undefined;
	walk.parts.push(new Uint8Array(refuseDetached(view.buffer, walk), view.byteOffset, view.byteLength));
	return tag(walk, kind, view.byteLength);
}

function errorToTree(error: Error, walk: Walk): unknown {
	const {name, message, stack, cause} = error;
	const errors = error instanceof AggregateError && {errors: error.errors};
	return toTree({...errors, ...error, name, message, ...(stack !== undefined && {stack}), ...(cause !== undefined && {cause})}, walk);
}

/** The classes of binary nodes, by name. The names are stored. */
const BINARY: Readonly<Record<string, new (bytes: ArrayBuffer) => ArrayBufferView>> = Object.fromEntries(
	[
		...[Uint8Array, Int8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array, Float64Array, BigInt64Array, BigUint64Array],
		// Not in Node 22.
		...(typeof Float16Array === 'undefined' ? [] : [Float16Array]),
		DataView,
	].map(view => [view.name, view]),
);

/** The buffer, unless it is detached. */
export function refuseDetached<Kind extends ArrayBufferLike>(buffer: Kind, walk: Walk): Kind {
	if ((buffer as {readonly detached?: boolean}).detached) throw refusal(walk, 'is detached: its memory was transferred elsewhere');
	return buffer;
}

/** Its name in {@link BINARY}; `undefined` for a subclass. */
export function nameOfView(view: ArrayBufferView): string | undefined {
	const prototype = Object.getPrototypeOf(view);
	if (prototype === Buffer.prototype) return 'Uint8Array';
	return Object.keys(BINARY).find(name => prototype === BINARY[name]?.prototype);
}

/** With more elements `inspect` is faster than a list of their indexes. */
const MAX_LISTED_ELEMENTS = 50;

/** True if `inspect` shows no property besides the elements. JavaScript lists names only after the indexes of all elements, of which there may be millions. */
function hasOnlyElements(array: object): boolean {
	return /^(\w+\(\d+\) )?(\[\w+\] )?\[ \.\.\. \d+ more items \]$/.test(inspect(array, {maxArrayLength: 0, depth: 0, customInspect: false}));
}

/** Names of the properties that a typed array has besides its elements. */
export function namesOfView(view: ArrayBufferView): string[] {
	const {length = 0} = view as {readonly length?: number};
	return length > MAX_LISTED_ELEMENTS && hasOnlyElements(view) ? [] : Object.keys(view).slice(length);
}

function tag(walk: Walk, kind: string, content?: unknown): unknown {
	walk.rich = true;
	return {[TAG]: content === undefined ? [kind] : [kind, content]};
}

function describeClass(value: object): string {
	if (value instanceof EnqueuedChild) return 'a job that the task has enqueued (name it in dependsOn, and ctx.results has its result)';
	const name = (value as {constructor?: {name?: unknown}}).constructor?.name;
	return typeof name === 'string' && name ? `an instance of ${name}` : 'an object with a prototype of its own';
}

export function refusal({path}: Walk, problem: string, cause?: unknown): FaenaError {
	const steps = path.map((step, index) => (index === 0 ? step : typeof step === 'string' && /^[\w$]+$/.test(step) ? `.${step}` : `[${stringify(step)}]`));
	return new FaenaError(
		'NotEncodable',
		`${steps.join('')} ${problem}, which can't be stored and come back the same. Pass plain objects, arrays, strings, numbers, booleans, null, undefined, BigInt, Date, Map, Set, Error or binary data.`,
		cause === undefined ? undefined : {cause},
	);
}

export function damaged(problem: string): FaenaError {
	return new FaenaError('NotEncodable', `A stored value ${problem}; it is damaged.`);
}

export function unknown(what: string): FaenaError {
	return new FaenaError('NotEncodable', `A stored value ${what}, which this version of Faena does not know; a newer one wrote it, or it is damaged.`);
}

/** The binary parts of a value, read one after the other. */
interface Parts {
	readonly buffer: Buffer;
	offset: number;
	/** Reads the results for which nodes stand. */
	readonly results?: ResultsOfParents | undefined;
}

/** The value of a JSON tree that `toTree` made. */
export function fromTree(tree: unknown, parts: Parts): unknown {
	if (typeof tree !== 'object' || tree === null) return tree;
	if (Array.isArray(tree)) return itemsFrom(tree, parts);
	if (Object.hasOwn(tree, TAG)) return fromTag((tree as {[TAG]: [string, unknown]})[TAG], parts);
	return Object.fromEntries(Object.entries(tree).map(([name, value]) => [name, fromTree(value, parts)]));
}

function fromTag([kind, content]: [string, unknown], parts: Parts): unknown {
	return Object.hasOwn(KINDS, kind) ? KINDS[kind]?.(content, parts) : fromBinary(kind, content as number, parts);
}

/** How values of each kind are made, except binary ones. The names are stored: never rename one. */
const KINDS: Readonly<Record<string, (content: unknown, parts: Parts) => unknown>> = {
	undefined: () => undefined,
	number: content => Number(content),
	bigint: content => BigInt(content as string),
	date: (content, parts) => new Date(fromTree(content, parts) as number),
	map: (content, parts) => new Map(pairs(itemsFrom(content, parts))),
	set: (content, parts) => new Set(itemsFrom(content, parts)),
	object: (content, parts) => Object.fromEntries((content as [string, unknown][]).map(([name, value]) => [name, fromTree(value, parts)])),
	holes: content => new Array(content as number),
	results(content, {results = describeResults}) {
		const [index, count, onlyCompleted] = content as Parameters<ResultsOfParents>;
		// A map without items: its job may have no parents.
		if (count === 0) return [];
		return results(index, count, onlyCompleted);
	},
	with(content, parts) {
		const [tree, properties] = content as [unknown, [string, unknown][]];
		const value = fromTree(tree, parts) as object;
		for (const [name, each] of properties) define(value, name, fromTree(each, parts), true);
		return value;
	},
	error(content, parts) {
		const {name, message, stack, cause, ...own} = fromTree(content, parts) as Record<string, unknown>;
		const error = new Error('', cause === undefined ? undefined : {cause});
		for (const [property, value] of Object.entries({name, message, stack})) define(error, property, value, false);
		for (const [property, value] of Object.entries(own)) define(error, property, value, true);
		return error;
	},
};

function describeResults(index: number, count: number | null): string {
	return count === null ? `(the result of parent ${index + 1})` : `(the results of parents ${index + 1} to ${index + count})`;
}

function itemsFrom(list: unknown, parts: Parts): unknown[] {
	return (list as unknown[]).map(item => fromTree(item, parts));
}

/** An assignment to `__proto__` would change the prototype. */
function define(object: object, property: string, value: unknown, enumerable: boolean): void {
	Object.defineProperty(object, property, {value, enumerable, configurable: true, writable: true});
}

function* pairs(flat: readonly unknown[]): Generator<[unknown, unknown]> {
	if (flat.length % 2 !== 0) throw damaged('holds a Map with half an entry');
	for (let index = 0; index < flat.length; index += 2) yield [flat[index], flat[index + 1]];
}

function fromBinary(kind: string, length: number, parts: Parts): unknown {
	const View = Object.hasOwn(BINARY, kind) ? BINARY[kind] : undefined;
	if (!View && kind !== 'ArrayBuffer') throw unknown(`holds a ${stringify(String(kind).slice(0, 20))}`);
	const {buffer, offset} = parts;
	if (!Number.isSafeInteger(length) || length < 0 || offset + length > buffer.byteLength) throw damaged('ends before its binary parts do');
	parts.offset += length;
	// Copied, since a typed array must begin at a multiple of its element's size.
	const bytes = new Uint8Array(buffer.subarray(offset, offset + length)).buffer;
	return View ? new View(bytes) : bytes;
}
