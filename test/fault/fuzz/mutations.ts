import {between, pick} from '../../fixtures/random.ts';

type Random = () => number;

/** What parsers have tripped over. */
const PIECES: readonly (string | readonly number[])[] = [
	...['{', '[', '"', '\\', ',', ':', 'null', '1e999', '-0', '-1', '"$":', '{"$":["undefined"]}', '"__proto__":', '\\ud800', '9'.repeat(40), '['.repeat(5000)],
	...['"map"', '"set"', '"error"', '"object"', '"number"', '"bigint"', '"date"', '"ArrayBuffer"', '"Float64Array"', '"constructor"'],
	[0],
	[1],
	[2],
	[3],
	[0xff, 0xff, 0xff, 0xff],
	[0xff, 0xff, 0xff, 0x7f],
	[0, 0, 0, 0x80],
	[0xed, 0xa0, 0x80],
	[0xc0, 0x80],
	[0xef, 0xbb, 0xbf],
];

const MUTATIONS: readonly ((bytes: Buffer, random: Random, other: Buffer) => Buffer)[] = [
	(bytes, random) => {
		const changed = Buffer.from(bytes);
		if (changed.length > 0) (changed[between(random, 0, changed.length - 1)] as number) ^= 1 << between(random, 0, 7);
		return changed;
	},
	(bytes, random) => bytes.subarray(0, between(random, 0, bytes.length)),
	(bytes, random) => replaced(bytes, random, Buffer.from(pick(random, PIECES) as string)),
	(bytes, random, other) => {
		const start = between(random, 0, other.length);
		return replaced(bytes, random, other.subarray(start, start + between(random, 0, 50)));
	},
	// One digit or letter becomes another: what a parser hardly sees.
	(bytes, random) => {
		const places = [...bytes.toString('latin1').matchAll(/[\da-z]/g)].map(({index}) => index);
		const changed = Buffer.from(bytes);
		if (places.length > 0) changed[pick(random, places)] = pick(random, [...Buffer.from('0123456789aeinu')]);
		return changed;
	},
	(bytes, random, other) => Buffer.concat([bytes.subarray(0, between(random, 0, bytes.length)), other.subarray(between(random, 0, other.length))]),
];

/** The bytes with a small damage, or a few. */
export function mutated(bytes: Buffer, random: Random, other: Buffer): Buffer {
	let result = bytes;
	for (let count = random() < 0.5 ? 1 : between(random, 2, 4); count > 0; count--) result = pick(random, MUTATIONS)(result, random, other);
	return result;
}

function replaced(bytes: Buffer, random: Random, piece: Buffer): Buffer {
	const start = between(random, 0, bytes.length);
	return Buffer.concat([bytes.subarray(0, start), piece, bytes.subarray(start + between(random, 0, 2) * piece.length)]);
}
