import test from 'ava';
import type {Encoded} from '../../lib/job/encoding.ts';
import {countOf, isList, joinPacked, pack, readPacked, slicePacked, toPackedStrings, unpack} from '../../lib/job/groups/packed.ts';
import fc from '../fixtures/property.ts';

const short = fc.option(fc.string({minLength: 1, maxLength: 5}).filter(text => !text.includes('\n')));
const shorts = fc.array(short, {minLength: 1, maxLength: 20});

test('packed strings can be unpacked, cut and joined', t => {
	const property = fc.property(shorts, shorts, fc.nat(), fc.nat(), (values, others, a, b) => {
		const lines = toPackedStrings(values);
		t.deepEqual(unpack(lines), values);
		const [start = 0, end = 0] = [a % (values.length + 1), b % (values.length + 1)].sort((x, y) => x - y);
		if (start < end) t.deepEqual(unpack(slicePacked(lines, start, end)), values.slice(start, end));
		t.deepEqual(unpack(joinPacked([lines, toPackedStrings(others)])), [...values, ...others]);
		t.deepEqual(
			values.map((_, index) => readPacked(lines.text)(index)),
			values,
		);
	});
	fc.assert(property, {numRuns: 500});
	t.pass();
});

test('only short texts without line breaks are packed', t => {
	const others: readonly Encoded[] = ['a\nb', '', 'x'.repeat(257), new Uint8Array([1])];
	for (const other of others) {
		const values = ['1', other, null];
		t.true(isList(pack(values)));
		t.is(pack(values), values);
	}
	t.deepEqual(pack(['1', 'x'.repeat(256), null]), {count: 3, text: `1\n${'x'.repeat(256)}\n`});
	t.deepEqual(pack([null, null]), {count: 2, text: null});
	t.deepEqual([countOf(['1', null]), countOf({count: 7, text: null})], [2, 7]);
});

test('lines that are missing from a damaged text are null', t => {
	const lines = {count: 4, text: '1\n2'};
	t.deepEqual(unpack(lines), ['1', '2', null, null]);
	t.deepEqual(unpack(slicePacked(lines, 1, 4)), ['2', null, null]);
	t.deepEqual(unpack(slicePacked(lines, 3, 4)), [null]);
});
