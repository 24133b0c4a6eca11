import assert from 'node:assert/strict';
import {inspect} from 'node:util';
import {runInNewContext} from 'node:vm';
import test from 'ava';
import {decode, type Encoded, encode, sameValue, sizeBytes, unreadable} from '../../lib/job/encoding.ts';
import {FaenaError} from '../../lib/support/errors.ts';
import fc from '../fixtures/property.ts';
import {anything, bytes, damaged, json, packed, record, rich, text, wild} from '../fixtures/values.ts';

const IS_NODE_22 = process.versions.node.startsWith('22.');

test('a decoded value equals the encoded one, for all values that can be encoded', t => {
	fc.assert(
		fc.property(anything, value => {
			const back = decode(encode(value, 'payload'));
			// Node 22 takes two invalid dates for different values.
			if (!(IS_NODE_22 && inspect(value, {depth: Infinity}).includes('Invalid Date'))) assert.deepStrictEqual(back, value);
			assert.deepStrictEqual(encode(back, 'payload'), encode(value, 'payload'));
		}),
		{numRuns: 2000},
	);
	t.pass();
});

test('a plain value is stored as its JSON', t => {
	const plain = json.filter(value => !/"\$":|\\|\p{Cc}/u.test(JSON.stringify(value)) && !hasMinusZero(value));
	fc.assert(fc.property(plain, value => encode(value, 'payload') === JSON.stringify(value)));
	t.is(encode({file: 'a.png', width: 320}, 'payload'), '{"file":"a.png","width":320}');
});

test('digits are decoded as JSON would decode them, and refused if JSON refuses them', t => {
	fc.assert(
		fc.property(fc.stringMatching(/^[0-9]{0,3}[0-9 .:/eE+-]{0,8}$/), text => {
			let expected: unknown;
			try {
				expected = JSON.parse(text);
			} catch {
				return assert.throws(() => decode(text), {code: 'NotEncodable'});
			}
			assert.deepStrictEqual(decode(text), expected);
		}),
		{numRuns: 2000},
	);
	t.is(decode('0'), 0);
	t.throws(() => decode('00'), {code: 'NotEncodable'});
	t.is(decode('999999999'), 999_999_999);
});

test('bytes are stored as they are after a format byte, and undefined as null', t => {
	fc.assert(fc.property(bytes, content => Buffer.compare(encode(content, 'payload') as Uint8Array, Buffer.from([1, ...content])) === 0));
	t.is(encode(undefined, 'payload'), null);
	t.is(decode(null), undefined);
});

test('a Buffer is decoded as a Uint8Array, by itself and in an object', t => {
	const encoded = Buffer.from(encode(Buffer.from('abc'), 'payload') as Uint8Array);
	for (const back of [decode(encoded), (decode(encode({file: Buffer.from('abc')}, 'payload')) as {file: unknown}).file]) {
		t.is(Object.getPrototypeOf(back), Uint8Array.prototype);
		t.deepEqual([...(back as Uint8Array)], [97, 98, 99]);
	}
});

test('errors come back as Errors with name, message, stack, cause and their own properties', t => {
	const properties = record(rich).map(({name: _, message: __, stack: ___, cause: ____, ...own}) => own);
	fc.assert(
		fc.property(text, text, text, anything, properties, (name, message, stack, cause, own) => {
			const error = new Error(message, {cause});
			Object.defineProperties(error, {...describe({name, stack}), ...Object.getOwnPropertyDescriptors(own)});
			const back = decode(encode(error, 'payload')) as Error;
			assert.ok(back instanceof Error);
			assert.equal(Object.getPrototypeOf(back), Error.prototype);
			assert.deepStrictEqual([back.name, back.message, back.stack, back.cause], [name, message, stack, cause]);
			assert.deepStrictEqual(Object.fromEntries(Object.entries(back)), own);
		}),
	);
	const back = decode(encode([new RangeError('far', {cause: 'near'})], 'result')) as [Error];
	t.like(back[0], {name: 'RangeError', message: 'far', cause: 'near'});
	const odd = decode(encode(Object.assign(new Error('odd'), {message: {not: ['text']}}), 'payload')) as Error;
	t.deepEqual(odd.message as unknown, {not: ['text']});
	const several = decode(encode(new AggregateError([new Error('one'), 2], 'all'), 'result')) as AggregateError;
	t.like(several.errors, {0: {message: 'one'}, 1: 2, length: 2});
});

const withProperties: readonly [what: string, value: () => object][] = [
	['a match of a regular expression, with its groups', () => '2026-11'.match(/(?<year>\d+)-(?<month>\d+)/) as object],
	['a match with indices', () => /(a)(b)?/d.exec('xa') as object],
	['an array with a named property', () => Object.assign([1, 2], {total: 3})],
	['an empty array with a named property', () => Object.assign([], {total: 3})],
	[
		'a long array with a named property',
		() =>
			Object.assign(
				Array.from({length: 1000}, (_, index) => index),
				{total: 3},
			),
	],
	[
		'an array with a property of a name that tricks',
		() => Object.defineProperty([1], '__proto__', {value: [2], enumerable: true, configurable: true, writable: true}),
	],
	['an array with a hole', () => new Array(3).fill(1, 1, 2)],
	['a long array with a hole', () => holed(1000, 500)],
	['an array with a hole and a named property', () => Object.assign(holed(3, 1), {total: 3})],
	['a Map with a property', () => Object.assign(new Map([[1, 2]]), {total: 3})],
	['a Set with a property', () => Object.assign(new Set([1]), {total: new Date(3)})],
	['a Date with a property', () => Object.assign(new Date(0), {zone: 'CET'})],
	['bytes with a property', () => Object.assign(new Uint8Array(2), {mime: 'image/png'})],
	['many bytes with a property', () => Object.assign(new Uint8Array(10_000), {mime: 'image/png'})],
	['many floats with a property', () => Object.assign(new Float64Array(1000), {unit: new Uint8Array([1])})],
	['an ArrayBuffer with a property', () => Object.assign(new ArrayBuffer(2), {mime: 'image/png'})],
	['a DataView with a property', () => Object.assign(new DataView(new ArrayBuffer(2)), {mime: 'image/png'})],
];

for (const [what, value] of withProperties) {
	test(`properties by name and holes come back: ${what}`, t => {
		for (const each of [value(), {deep: [value(), 1]}]) {
			const back = decode(encode(each, 'payload'));
			// A match's groups have no prototype, and come back as a plain object.
			t.deepEqual(structuredClone(back), structuredClone(each));
			t.is(inspect(back, SHOWN), inspect(each, SHOWN).replaceAll('[Object: null prototype] ', ''));
		}
	});
}

const SHOWN = {depth: 9, maxArrayLength: 2000};

function holed(length: number, hole: number): number[] {
	const array = new Array<number>(length).fill(7);
	delete array[hole];
	return array;
}

test('the cost of a sparse array depends on its items, not on its length', t => {
	const back = decode(encode(Object.assign([], {4294967293: 'last'}), 'payload')) as unknown[];
	t.is(back.length, 4294967294);
	t.deepEqual(Object.entries(back), [['4294967293', 'last']]);
});

test('binary parts keep their order, also beside properties that are binary', t => {
	const value = [Object.assign([new Uint8Array([1])], {more: new Uint8Array([2])}), new Uint8Array([3])];
	t.deepEqual(decode(encode(value, 'payload')), value);
});

test('an object without a prototype comes back as a plain one', t => {
	t.deepEqual(decode(encode(Object.assign(Object.create(null), {a: 1}), 'payload')), {a: 1});
});

test('an array of another realm comes back as one of this', t => {
	t.deepEqual(decode(encode(runInNewContext('[1, [2]]'), 'payload')), [1, [2]]);
});

test('names are decoded as they are, whatever names this thread has parsed before', t => {
	for (const [index, name] of ['"', '\n', 'a\t', '\ud800', '\\'].entries()) {
		const poison = JSON.stringify({[`p${index}`]: 1, [JSON.stringify(name).slice(1, name.length + 1)]: 2});
		t.deepEqual(Object.keys(JSON.parse(poison)).length, 2);
		const value = {[`p${index}`]: 1, [name]: 2};
		t.deepEqual(decode(encode(value, 'payload')), value);
	}
});

test('an object that occurs twice is stored twice', t => {
	const shared = {when: new Date(5)};
	t.deepEqual(decode(encode([shared, shared], 'payload')), [{when: new Date(5)}, {when: new Date(5)}]);
});

class Point {
	x = 1;
}

const REFUSED: readonly [title: string, value: () => unknown, sentence: string][] = [
	['a function', () => ({resize: () => 1}), 'payload.resize is a function, '],
	['a method of a plain object', () => ({toJSON: () => 1}), 'payload.toJSON is a function, '],
	['a method that only JSON sees', () => ({a: Object.defineProperty({b: 1}, 'toJSON', {value: () => 1})}), 'payload.a.toJSON is a function, '],
	['a method of an array', () => Object.assign([1], {toJSON: () => 1}), 'payload.toJSON is a function, '],
	['a symbol', () => [0, Symbol('a')], 'payload[1] is a symbol, '],
	['an instance of a class', () => ({'the point': new Point()}), 'payload["the point"] is an instance of Point, '],
	['an instance of a class in a Map', () => new Map([['a', new Point()]]), 'payload[1] is an instance of Point, '],
	['an instance of a class without a name', () => new (class {})(), 'payload is an object with a prototype of its own, '],
	['an instance of a subclass of Map', () => ({a: new (class Cache extends Map {})()}), 'payload.a is an instance of Cache, '],
	['an instance of a subclass of Array', () => ({a: new (class List extends Array {})()}), 'payload.a is an instance of List, '],
	['an instance of a subclass of Uint8Array', () => new (class Pixels extends Uint8Array {})(2), 'payload is an instance of Pixels, '],
	['a RegExp', () => ({match: /a/}), 'payload.match is an instance of RegExp, '],
	['a Promise', () => ({body: Promise.resolve(1)}), 'payload.body is an instance of Promise, '],
	['a boxed number', () => Object(5), 'payload is an instance of Number, '],
	['a property named by a symbol', () => ({a: {[Symbol('hidden')]: 1}}), 'payload.a has a property whose name is a symbol, '],
	['a function among the properties of an array', () => ({list: Object.assign([1], {sort2: () => 1})}), 'payload.list.sort2 is a function, '],
	['a function in an array with a hole', () => Object.assign(new Array(2), {2: () => 1}), 'payload[2] is a function, '],
	['a property of a Map named by a symbol', () => Object.assign(new Map(), {[Symbol('a')]: 1}), 'payload has a property whose name is a symbol, '],
	['a cycle', cycle, 'payload.a.list[0] refers back to an object that contains it, '],
	['an error that causes itself', selfCaused, 'payload.cause refers back to an object that contains it, '],
	['a nest too deep', () => nest(501), `payload${'[0]'.repeat(500)} is nested more than 500 levels deep, `],
	['a getter that throws', () => ({a: Object.defineProperty({}, 'b', {enumerable: true, get: fail})}), 'payload.a throws when it is read, '],
	['a revoked proxy', () => ({a: revoked()}), 'payload.a throws when it is read, '],
	['an object that only looks like a Date', () => [Object.create(Date.prototype)], 'payload[0] throws when it is read, '],
];

for (const [title, value, sentence] of REFUSED) {
	test(`refused, with the path to the value: ${title}`, t => {
		const error = t.throws(() => encode(value(), 'payload'), {instanceOf: FaenaError, code: 'NotEncodable'});
		t.true(error?.message.startsWith(sentence), error?.message);
	});
}

test('encoding any value succeeds or throws a FaenaError', t => {
	fc.assert(fc.property(wild, value => returnsOrRefuses(() => encode(value, 'payload'))));
	t.pass();
});

test('a value of 500 levels can be encoded', t => {
	t.deepEqual(decode(encode(nest(500), 'payload')), nest(500));
});

test('a value over the limit is refused, with its size; one at the limit is not', t => {
	fc.assert(
		fc.property(anything, value => {
			const size = sizeBytes(encode(value, 'payload'));
			encode(value, 'payload', size);
			if (size > 0) assert.throws(() => encode(value, 'payload', size - 1), {code: 'TooLarge'});
		}),
	);
	const error = t.throws(() => encode('ää', 'result', 5), {instanceOf: FaenaError, code: 'TooLarge'});
	t.regex(error?.message ?? '', /^The result is 6 bytes long once encoded; the limit is 5 /);
});

test('a size is that of the stored bytes; with a limit, it is on the right side of the limit', t => {
	fc.assert(
		fc.property(anything, fc.nat(200), (value, limit) => {
			const encoded = encode(value, 'payload');
			const exact = encoded === null ? 0 : Buffer.from(encoded as string).byteLength;
			assert.equal(sizeBytes(encoded), exact);
			assert.equal(sizeBytes(encoded, limit) > limit, exact > limit);
		}),
	);
	t.pass();
});

test('two encoded values are the same if their decoded values are equal', t => {
	fc.assert(fc.property(anything, value => sameValue(encode(value, 'payload'), stored(encode(value, 'payload')))));
	fc.assert(fc.property(record(rich), value => sameValue(encode(value, 'payload'), encode(backwards(value), 'payload'))));
	t.false(sameValue(encode({a: 1}, 'payload'), encode({a: 1, b: undefined}, 'payload')));
	t.false(sameValue(encode([1, 2], 'payload'), encode([2, 1], 'payload')));
	t.false(sameValue(encode(0, 'payload'), encode(-0, 'payload')));
	t.false(sameValue(encode(null, 'payload'), encode(undefined, 'payload')));
	t.false(sameValue(encode(new Uint8Array([1]), 'payload'), encode([1], 'payload')));
});

/** Values that the first version encoded. If a test of them fails, stored values are no longer readable: make a new format instead. */
const RELEASED: readonly [Encoded, unknown][] = [
	['{"a":[1,null,"ä"]}', {a: [1, null, 'ä']}],
	[null, undefined],
	[fromHex('01 00ff'), new Uint8Array([0, 255])],
	[packed('{"a":{"$":["undefined"]}}'), {a: undefined}],
	[packed('[{"$":["number","NaN"]},{"$":["number","-0"]},{"$":["bigint","-12"]},{"$":["date",5]}]'), [Number.NaN, -0, -12n, new Date(5)]],
	[packed('[{"$":["map",["a",{"$":["set",[1]]}]]},{"$":["object",[["$",1]]]}]'), [new Map([['a', new Set([1])]]), {$: 1}]],
	[
		packed('[{"$":["Uint8Array",1]},{"$":["Int16Array",2]},{"$":["ArrayBuffer",1]}]', 7, 1, 2, 9),
		[new Uint8Array([7]), new Int16Array([513]), new Uint8Array([9]).buffer],
	],
	[packed('{"$":["with",[{"$":["holes",2]},[["1","a"],["index",0]]]]}'), Object.assign([], {1: 'a', index: 0})],
];

test('values of released formats are readable for ever', t => {
	for (const [encoded, value] of RELEASED) assert.deepStrictEqual(decode(encoded), value);
	t.like(decode(packed('{"$":["error",{"name":"TypeError","message":"m","stack":"s"}]}')), {name: 'TypeError', message: 'm', stack: 's'});
});

const DAMAGED: readonly [title: string, encoded: Encoded, sentence: RegExp][] = [
	['no bytes', new Uint8Array(), /is empty/],
	['an unknown format', new Uint8Array([9, 1, 2]), /format byte 9, which this version of Faena does not know/],
	['no JSON', '{"a":', /can't be read/],
	['the head alone', fromHex('02 ff'), /can't be read/],
	['a text that is longer than the value', packed('[1]').subarray(0, -1), /ends too early/],
	['a binary part that is longer than the value', packed('{"$":["Uint8Array",3]}', 1, 2), /ends before its binary parts/],
	['a binary part of negative length', packed('{"$":["Uint8Array",-1]}', 1), /ends before its binary parts/],
	['a binary part whose length is no multiple', packed('{"$":["Int32Array",3]}', 1, 2, 3), /can't be read/],
	['bytes that nothing names', packed('[1]', 1), /goes on after its end/],
	['an unknown kind', packed('{"$":["Temporal","now"]}'), /holds a "Temporal"/],
	['an endless kind', packed(`{"$":["${'x'.repeat(1000)}",0]}`), /holds a "x{20}", /],
	['a kind that every object has', packed('{"$":["constructor",0]}'), /holds a "constructor"/],
	['a tag that is no list', packed('{"$":5}'), /can't be read/],
	['an array longer than there can be', packed('{"$":["holes",1e10]}'), /can't be read/],
	['properties of a number', packed('{"$":["with",[5,[["a",1]]]]}'), /can't be read/],
	['half an entry', packed('{"$":["map",[1]]}'), /half an entry/],
	['text that is not UTF-8', Buffer.concat([fromHex('02 03000000'), fromHex('22 ff 22')]), /can't be read/],
	['a nest without end', packed(`${'[{"a":'.repeat(20_000)}1${'}]'.repeat(20_000)}`), /can't be read/],
];

for (const [title, encoded, sentence] of DAMAGED) {
	test(`a stored value is refused as damaged or unknown: ${title}`, t => {
		t.throws(() => decode(encoded), {instanceOf: FaenaError, code: 'NotEncodable', message: sentence});
	});
}

test('a rich value cut short anywhere is refused', t => {
	const richValue = anything.map(value => encode([new Date(0), value], 'payload') as Uint8Array);
	fc.assert(
		fc.property(richValue, fc.nat(), (encoded, cut) => {
			assert.throws(() => decode(encoded.subarray(0, cut % encoded.byteLength)), {name: 'FaenaError', code: 'NotEncodable'});
		}),
	);
	t.pass();
});

test('decoding anything returns a value or throws a FaenaError', t => {
	fc.assert(
		fc.property(damaged, encoded => returnsOrRefuses(() => decode(encoded))),
		{numRuns: 3000},
	);
	t.pass();
});

test('decoding a value that stands for an unreadable one throws the reason', t => {
	t.throws(() => decode(unreadable('The file ü is gone.')), {instanceOf: FaenaError, code: 'BadDatabase', message: 'The file ü is gone.'});
});

test('a stored error can not choose its prototype', t => {
	const error = decode(packed('{"$":["error",{"message":"m","__proto__":{"isAdmin":true}}]}'));
	t.is(Object.getPrototypeOf(error), Error.prototype);
	t.false('isAdmin' in (error as object));
});

function returnsOrRefuses(run: () => unknown): void {
	try {
		run();
	} catch (error) {
		if (!(error instanceof FaenaError && ['NotEncodable', 'BadDatabase'].includes(error.code))) throw error;
	}
}

function describe(values: Readonly<Record<string, unknown>>): PropertyDescriptorMap {
	return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, {value, configurable: true, writable: true, enumerable: false}]));
}

/** The value as a database returns it: the same bytes in a Buffer. */
function stored(encoded: Encoded): Encoded {
	return encoded instanceof Uint8Array ? Buffer.from(encoded) : encoded;
}

function backwards(value: object): object {
	return Object.fromEntries(Object.entries(value).reverse());
}

function hasMinusZero(value: unknown): boolean {
	if (typeof value !== 'object' || value === null) return Object.is(value, -0);
	return Object.values(value).some(hasMinusZero);
}

function fromHex(hex: string): Buffer {
	return Buffer.from(hex.replaceAll(' ', ''), 'hex');
}

function cycle(): unknown {
	const a: {list: unknown[]} = {list: []};
	a.list.push(a);
	return {a};
}

function selfCaused(): Error {
	const error = new Error('loop');
	error.cause = error;
	return error;
}

function nest(levels: number): unknown {
	return levels === 1 ? [] : [nest(levels - 1)];
}

function revoked(): unknown {
	const {proxy, revoke} = Proxy.revocable({}, {});
	revoke();
	return proxy;
}

function fail(): never {
	throw new Error('not today');
}

test('a Float16Array comes back the same, where Node has it', t => {
	if (typeof Float16Array === 'undefined') return t.pass();
	const halves = new Float16Array([1.5, -2, Infinity]);
	t.deepEqual(decode(encode(halves, 'payload')), halves);
	t.deepEqual(decode(encode({deep: [halves]}, 'payload')), {deep: [halves]});
});
