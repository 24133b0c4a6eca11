import {FaenaError} from '../support/errors.ts';
import {stringify} from '../support/primordials.ts';
import {BINARY, TAG} from './value-to-tree.ts';

/** Longer names of kinds are cut off in messages. */
const MAX_KIND_LENGTH = 20;

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
}

/** The value of a JSON tree that `toTree` made. */
export function fromTree(tree: unknown, parts: Parts): unknown {
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

/** Defines the properties: an assignment to `__proto__` would change the prototype. */
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
	// Defined, not assigned: an assignment to `__proto__` would change the prototype.
	return Object.defineProperties(error, Object.getOwnPropertyDescriptors(own));
}

function fromBinary(kind: string, length: number, parts: Parts): unknown {
	const View = Object.hasOwn(BINARY, kind) ? BINARY[kind] : undefined;
	if (!View && kind !== 'ArrayBuffer') throw unknown(`holds a ${stringify(String(kind).slice(0, MAX_KIND_LENGTH))}`);
	const {buffer, offset} = parts;
	if (!Number.isSafeInteger(length) || length < 0 || offset + length > buffer.byteLength) throw damaged('ends before its binary parts do');
	parts.offset += length;
	// Copied, since a typed array must begin at a multiple of its element's size.
	const bytes = new Uint8Array(buffer.subarray(offset, offset + length)).buffer;
	return View ? new View(bytes) : bytes;
}
