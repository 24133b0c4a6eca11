import {runInNewContext} from 'node:vm';
import type {ErrorCode} from '../../../lib/support/errors.ts';
import {between, pick} from '../../fixtures/random.ts';

/** A value as a program may hand it over, and what is due to it: it comes back as `back`, or is refused. */
export type Specimen = {readonly value: unknown; readonly back: unknown} | {readonly value: unknown; readonly refused: ErrorCode};

/** Encoded values of engines that are given specimens are no longer than this. */
export const MAX_BYTES = 64 * 1024;

type Random = () => number;
type Good = Extract<Specimen, {back: unknown}>;
type Maker<Made> = (random: Random) => Made;
type Container = (random: Random, child: () => Specimen) => Specimen;

/** Of three, two are such as come back. */
export function specimen(random: Random): Specimen {
	return random() < 2 / 3 ? good(random) : bad(random);
}

/** One that comes back. */
export function good(random: Random, depth: number = between(random, 0, 4)): Good {
	if (depth === 0) return pick(random, LEAVES)(random);
	if (random() < 0.01) return deepGood(random);
	return pick(random, CONTAINERS)(random, () => good(random, random() < 0.3 ? 0 : depth - 1)) as Good;
}

/** One that is refused, inside of containers that would not be. */
function bad(random: Random): Specimen {
	let made = pick(random, BAD)(random);
	for (let depth = between(random, 0, 4); depth > 0 && 'refused' in made; depth--) made = around(random, made);
	return made;
}

/** In the container there is this child once, perhaps among others. */
function around(random: Random, child: Specimen): Specimen {
	for (;;) {
		let isIn = false;
		const made = pick(random, CONTAINERS)(random, () => {
			if (isIn) return good(random, 0);
			isIn = true;
			return child;
		});
		if (isIn) return made;
	}
}

/** What is due to something made of parts. */
function made(value: unknown, back: unknown, parts: readonly Specimen[]): Specimen {
	const refused = parts.find(part => 'refused' in part);
	return refused ? {value, refused: (refused as {refused: ErrorCode}).refused} : {value, back};
}

function several(random: Random, child: () => Specimen, most = 4): Specimen[] {
	return Array.from({length: between(random, 0, most)}, child);
}

const values = (parts: readonly Specimen[]) => parts.map(({value}) => value);
const backs = (parts: readonly Specimen[]) => parts.map(part => ('back' in part ? part.back : undefined));

function leaf(value: unknown, back: unknown = value): Good {
	return {value, back};
}

// Texts

const UNITS = ['a', 'ä', '\0', '\n', '"', '\\', '\ud800', '\udfff', '😀', '\u202e', '\u2028', '\u001b', '\ufeff', '\ufffe', '$', '0'];
const NAMES = [
	'__proto__',
	'$',
	'constructor',
	'prototype',
	'toString',
	'valueOf',
	'then',
	'length',
	'name',
	'message',
	'stack',
	'cause',
	'errors',
	'',
	'0',
	'-1',
];

function text(random: Random): string {
	const most = random() < 0.01 ? 2000 : 8;
	return Array.from({length: between(random, 0, most)}, () => (random() < 0.5 ? pick(random, UNITS) : String.fromCharCode(between(random, 0, 0xffff)))).join(
		'',
	);
}

function name(random: Random): string {
	return random() < 0.4 ? pick(random, NAMES) : text(random);
}

// What comes back

const NUMBERS = [0, -0, 1, -1, Number.NaN, Infinity, -Infinity, 2 ** 53, -(2 ** 53) - 2, 5e-324, 1.7976931348623157e308, 0.1, 2 ** 31, 4294967296];
const VIEWS = [
	Int8Array,
	Uint8Array,
	Uint8ClampedArray,
	Int16Array,
	Uint16Array,
	Int32Array,
	Uint32Array,
	Float32Array,
	Float64Array,
	BigInt64Array,
	BigUint64Array,
];

function bytes(random: Random, length = between(random, 0, 20)): Uint8Array<ArrayBuffer> {
	return Uint8Array.from({length}, () => between(random, 0, 255));
}

const LEAVES: readonly Maker<Good>[] = [
	random => leaf(text(random)),
	random => leaf(pick(random, NUMBERS)),
	random => leaf((random() - 0.5) * 10 ** between(random, -300, 300)),
	random => leaf(pick(random, [true, false, null, undefined])),
	random => leaf(BigInt(between(random, -5, 5)) ** BigInt(between(random, 0, 99))),
	random => leaf(new Date(pick(random, [0, Number.NaN, 8.64e15, -8.64e15, between(random, -1e12, 2e12)]))),
	random => leaf(new (pick(random, VIEWS))(bytes(random, 16).buffer)),
	random => leaf(new DataView(bytes(random).buffer)),
	random => leaf(bytes(random).buffer),
	random => leaf(bytes(random)),
	// In the middle of its memory, and at no multiple of anything.
	random => leaf(bytes(random, 40).subarray(3, 3 + between(random, 0, 9))),
	random => {
		const content = bytes(random);
		return leaf(Buffer.from(content), content);
	},
	random => {
		const content = bytes(random);
		const shared = new Uint8Array(new SharedArrayBuffer(content.length));
		shared.set(content);
		return leaf(shared, content);
	},
];

const CONTAINERS: readonly Container[] = [
	(random, child) => {
		const parts = several(random, child);
		return made(values(parts), backs(parts), parts);
	},
	(random, child) => {
		const one = child();
		const place = between(random, 1, 9);
		return made(Object.assign([], {[place]: one.value}), Object.assign([], {[place]: backs([one])[0]}), [one]);
	},
	(random, child) => {
		const parts = [child(), child()];
		const build = pick(random, [
			([item, named]: readonly unknown[]) => Object.assign([item], {named}),
			([item, named]: readonly unknown[]) => Object.assign(new Set([item]), {named}),
		]);
		return made(build(values(parts)), build(backs(parts)), parts);
	},
	(random, child) => {
		const parts = several(random, child);
		return made(new Proxy(values(parts), {}), backs(parts), parts);
	},
	(random, child) => {
		const {names, parts, value, back} = record(random, child);
		// As a class would have it: not seen, and not in the way.
		const methods = random() < 0.2 && names.length > 0 ? {hidden: {value: () => 1, enumerable: false}} : {};
		return made(Object.defineProperties(value, methods), back, parts);
	},
	(random, child) => {
		const {parts, value, back} = record(random, child);
		return made(Object.setPrototypeOf(value, null), back, parts);
	},
	(random, child) => {
		const {parts, value, back} = record(random, child);
		return made(random() < 0.5 ? Object.freeze(value) : new Proxy(value, {}), back, parts);
	},
	(random, child) => {
		const {names, parts, back} = record(random, child);
		const getters = names.map((each, index) => [each, {get: () => parts[index]?.value, enumerable: true, configurable: true}] as const);
		const value = {};
		for (const [each, getter] of getters) Object.defineProperty(value, each, getter);
		return made(value, back, parts);
	},
	(random, child) => {
		const keys = several(random, child);
		const entries = lastOf(values(keys)).map(index => [keys[index] as Specimen, child()] as const);
		const [own, items] = [entries.map(([key]) => key), entries.map(([, item]) => item)];
		return made(new Map(zip(values(own), values(items))), new Map(zip(backs(own), backs(items))), [...own, ...items]);
	},
	(random, child) => {
		const parts = several(random, child);
		return made(new Set(values(parts)), new Set(backs(parts)), parts);
	},
	errorOf,
];

function record(random: Random, child: () => Specimen) {
	const parts = several(random, child);
	const names = parts.map(() => name(random));
	const last = lastOf(names);
	const [ownNames, own] = [last.map(index => names[index] as string), last.map(index => parts[index] as Specimen)];
	return {names: ownNames, parts: own, value: Object.fromEntries(zip(ownNames, values(own))), back: Object.fromEntries(zip(ownNames, backs(own)))};
}

/** Where each key is for the last time: what an earlier one named is not there. */
function lastOf(keys: readonly unknown[]): number[] {
	return [...new Map(keys.map((key, index) => [key, index])).values()];
}

function zip<A, B>(as: readonly A[], bs: readonly B[]): [A, B][] {
	return as.map((a, index) => [a, bs[index] as B]);
}

class Refusal extends RangeError {
	override name = 'Refusal';
}

/** Of any class; a plain one comes back. */
function errorOf(random: Random, child: () => Specimen): Specimen {
	const Class = pick(random, [Error, TypeError, Refusal]);
	const [message, cause, own] = [text(random), child(), child()];
	const [value, back] = [new Class(message, {cause: cause.value}), new Error(message, {cause: backs([cause])[0]})];
	// A cause that is undefined is none.
	if ('back' in cause && cause.back === undefined) delete back.cause;
	const hidden = {enumerable: false, configurable: true, writable: true};
	Object.defineProperties(value, {details: {...hidden, value: own.value, enumerable: true}, stack: {...hidden, value: text(random)}});
	const [details] = backs([own]);
	Object.defineProperties(back, {
		details: {...hidden, value: details, enumerable: true},
		stack: {...hidden, value: value.stack},
		name: {...hidden, value: value.name},
	});
	return made(value, back, [cause, own]);
}

function nest(levels: number, random: Random): unknown {
	let value: unknown = 1;
	const kind = between(random, 0, 2);
	for (let level = 0; level < levels; level++) value = kind === 0 ? [value] : kind === 1 ? {a: value} : new Map([[value, 1]]);
	return value;
}

/** Deep enough for containers around it. */
function deepGood(random: Random): Good {
	const [levels, seed] = [between(random, 100, 480), random()];
	return leaf(
		nest(levels, () => seed),
		nest(levels, () => seed),
	);
}

// What is refused

function fail(): never {
	throw new Error('not to be read');
}

function cycle(): unknown {
	const ring: Record<string, unknown> = {list: [1, new Map()]};
	((ring['list'] as unknown[])[1] as Map<unknown, unknown>).set('back', ring);
	return ring;
}

function revoked(): unknown {
	const {proxy, revoke} = Proxy.revocable({}, {});
	revoke();
	return proxy;
}

function growing(): object {
	return {
		get more() {
			return growing();
		},
	};
}

function detached(): unknown {
	const view = new Uint8Array(8);
	structuredClone(view, {transfer: [view.buffer]});
	return view;
}

class Point {
	x = 1;
}

const TRAPS = ['get', 'ownKeys', 'getPrototypeOf', 'getOwnPropertyDescriptor'] as const;

const REFUSED: readonly Maker<unknown>[] = [
	() => fail,
	() => async () => 1,
	() => class {},
	random => Symbol(text(random)),
	() => Symbol.iterator,
	() => new Point(),
	() => new (class extends Map {})(),
	() => new (class extends Array {})(),
	() => new (class extends Uint8Array {})(3),
	() => Object.create({inherited: 1}),
	() => Object.create(Date.prototype),
	() => ({[Symbol('hidden')]: 1}),
	() => ({toJSON: () => 'something else'}),
	() => Object.defineProperty({a: 1}, 'toJSON', {value: () => 'something else'}),
	() => Object.assign([1], {toJSON: () => 'something else'}),
	() => Object.assign(new Error('odd'), {[Symbol('hidden')]: 1}),
	() => Object.defineProperty({}, 'a', {get: fail, enumerable: true}),
	() => Object.defineProperty(new Error('odd'), 'message', {get: fail}),
	random => new Proxy({a: 1}, {[pick(random, TRAPS)]: fail}),
	() => new Proxy(new Map(), {}),
	() => new Proxy(() => 1, {}),
	revoked,
	cycle,
	growing,
	detached,
	random => nest(between(random, 501, 10_000), random),
	() => /a/,
	() => new WeakMap(),
	() => new WeakRef({}),
	() => Object(1),
	() => Object('text'),
	() => new URL('file:///'),
	() => new SharedArrayBuffer(4),
	() => Promise.withResolvers().promise,
	() => (function* () {})(),
	() => Intl,
	() => globalThis,
	() => runInNewContext('({a: 1})'),
	() => runInNewContext('new Map()'),
	() => JSON,
	() => process,
	(): unknown => arguments_(1, 2),
];

function arguments_(..._: unknown[]): unknown {
	// biome-ignore lint/complexity/noArguments: that is the value
	return arguments;
}

const HUGE: readonly Maker<unknown>[] = [
	() => 'x'.repeat(MAX_BYTES),
	() => 'ä'.repeat(MAX_BYTES / 2),
	() => new Uint8Array(MAX_BYTES),
	() => Array(MAX_BYTES).fill(0),
	() => 2n ** BigInt(MAX_BYTES * 4),
];

const BAD: readonly Maker<Specimen>[] = [
	...REFUSED.map(
		(make): Maker<Specimen> =>
			random => ({value: make(random), refused: 'NotEncodable'}),
	),
	...HUGE.map(
		(make): Maker<Specimen> =>
			random => ({value: make(random), refused: 'TooLarge'}),
	),
];
