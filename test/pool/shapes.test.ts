import test from 'ava';
import * as shapes from '../../lib/pool/worker-reports.ts';
import {either, encoded, type Is, integer, listOf, mapOf, oneOf, setOf, shaped, text} from '../../lib/pool/worker-reports.ts';

const isOne: Is = value => value === 1;
const MAX_TIME_MS = 8.64e15;

/** What belongs to the kind, and what does not. */
const KINDS: Readonly<Record<string, readonly [is: Is, yes: readonly unknown[], no: readonly unknown[]]>> = {
	'an object with all that it must have and nothing that it may not': [
		shaped({a: isOne}, {b: isOne}),
		[{a: 1}, {a: 1, b: 1}, {a: 1, b: undefined}],
		[null, undefined, 5, 'a', {}, {b: 1}, {a: 2}, {a: 1, b: 2}, {a: 1, c: 1}, {a: undefined}, Object.create({a: 1}), [1]],
	],
	'an object that must have nothing': [shaped({}), [{}, []], [null, {a: 1}, {constructor: 1}]],
	'an object whose property may be undefined, where that must be there': [shaped({a: oneOf(undefined)}), [{a: undefined}], [{}]],
	'a list of at most so many': [
		listOf(isOne, 2),
		[[], [1], [1, 1]],
		[[1, 1, 1], [1, 2], [2], Object.assign(Array(2), {0: 1}), {length: 0}, new Set([1]), null],
	],
	'a map': [mapOf(isOne, oneOf('x')), [new Map(), new Map([[1, 'x']])], [new Map([[2, 'x']]), new Map([[1, 'y']]), {}, [], null]],
	'a set': [setOf(isOne), [new Set(), new Set([1])], [new Set([1, 2]), [1], null]],
	'one of some values': [oneOf('a', null), ['a', null], ['b', undefined]],
	'one of some kinds': [either(isOne, oneOf('a')), [1, 'a'], [2, 'b']],
	'a text of at most so many letters': [text(2), ['', 'ab'], ['abc', 5, null, ['a']]],
	'an integer in a range': [integer(1, 3), [1, 2, 3], [0, 4, 1.5, NaN, '2', 2n, null]],
	'an integer that a double holds exactly': [integer(0, 2 ** 60), [2 ** 53 - 1], [2 ** 53]],
	'a finite number': [shapes.finite, [0, -1.5], [NaN, Infinity, '1', null]],
	'a boolean': [shapes.isBoolean, [true, false], [0, 'true', null]],
	'a time': [shapes.isTime, [0, MAX_TIME_MS, -MAX_TIME_MS], [MAX_TIME_MS + 1, -MAX_TIME_MS - 1, 0.5, NaN]],
	'a duration': [shapes.isDuration, [0, 0.5, MAX_TIME_MS], [-0.1, MAX_TIME_MS + 1, NaN, Infinity, '2', null]],
	'a number of bytes': [shapes.isBytes, [0, 2 ** 53 - 1], [-1, 0.5, 2 ** 53]],
	'an encoded value of at most so many bytes': [
		encoded(4),
		[null, '1', '1234', 'ää', new Uint8Array(1), new Uint8Array(4)],
		['', '12345', 'äää', new Uint8Array(0), new Uint8Array(5), undefined, 5, [1]],
	],
	progress: [
		shapes.isProgress,
		[
			{done: 1, at: 5},
			{done: 1, at: 5, total: 2},
		],
		[{done: 1}, {at: 5}, {done: NaN, at: 5}, {done: 1, at: 0.5}, {done: 1, at: 5, total: NaN}],
	],
	'an examination': [
		shapes.isExamination,
		[{}, {stack: ''}, {stack: 'x'.repeat(2 ** 16)}, {noStack: 'waits'}, {heap: {limitBytes: 5}}, {heap: {limitBytes: 5, usedBytes: 2}}],
		[
			{stack: 5},
			{stack: 'x'.repeat(2 ** 16 + 1)},
			{noStack: null},
			{heap: {}},
			{heap: {limitBytes: '5'}},
			{heap: {limitBytes: 5, usedBytes: NaN}},
			{more: 1},
			null,
		],
	],
};

for (const [what, [is, yes, no]] of Object.entries(KINDS)) {
	test(`${what} is recognised among other values`, t => {
		t.deepEqual(
			yes.filter(value => !is(value)),
			[],
		);
		t.deepEqual(
			no.filter(value => is(value)),
			[],
		);
	});
}
