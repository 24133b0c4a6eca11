import test from 'ava';
import {inUnits, type JobTimes, PackedTimes, packTimes, type UnpackedTimes} from '../../lib/job/groups/packed-times.ts';
import fc from '../fixtures/property.ts';

const NAMES = ['startedAt', 'durationMs', 'cpuMs', 'memoryBytes'] as const;
const HEAD_BYTES = 40;

function read(packed: Uint8Array): JobTimes[] {
	const times = new PackedTimes(packed);
	return Array.from({length: times.count}, (_, job) => times.at(job));
}

test('all times are packed exactly', t => {
	const whole = (range: number) =>
		fc
			.tuple(fc.constantFrom(0, 1, 1_763_000_000_000), fc.array(fc.nat(range), {minLength: 3, maxLength: 3}))
			.map(([base, each]) => [0, range, ...each].map(value => base + value));
	const column = fc.oneof(
		fc.constant(undefined),
		fc.oneof(...[0, 2 ** 8 - 1, 2 ** 8, 2 ** 16 - 1, 2 ** 16, 2 ** 31 - 1].map(whole)),
		whole(1000).map(units => units.map(each => each / 1e5)),
		fc.array(
			fc.double().map(value => value + 0),
			{minLength: 5, maxLength: 5},
		),
		fc.array(fc.constantFrom(NaN, 1, 2 ** 53, 2 ** 32 - 1, 2 ** 32, Infinity), {minLength: 5, maxLength: 5}),
	);
	fc.assert(
		fc.property(column, column, column, column, (...columns) => {
			const times = Object.fromEntries(NAMES.map((name, index) => [name, columns[index] && Float64Array.from(columns[index])])) as UnpackedTimes;
			const expected = Array.from({length: 5}, (_, job) => Object.fromEntries(NAMES.map((name, index) => [name, columns[index]?.[job] ?? NaN])));
			const packed = packTimes(5, times);
			t.deepEqual(read(packed), expected as unknown as JobTimes[]);
			// Also if it begins in the middle of a buffer.
			const shifted = Buffer.alloc(packed.byteLength + 3);
			shifted.set(packed, 3);
			t.deepEqual(read(shifted.subarray(3)), expected as unknown as JobTimes[]);
		}),
	);
});

test('whole units take one, two or four bytes a job, and none if all are the same', t => {
	const bytes = (...column: number[]) => packTimes(column.length, {durationMs: Float64Array.from(column)}).byteLength - HEAD_BYTES;
	t.is(bytes(7, 7, 7, 7, 7, 7, 7, 7), 0);
	t.is(bytes(...Array.from({length: 8}, (_, job) => inUnits(900 + job / 1000))), 16);
	t.is(bytes(...Array.from({length: 8}, (_, job) => inUnits(900 + job / 10_000))), 8);
	t.is(bytes(...Array.from({length: 8}, (_, job) => inUnits(900 + job))), 32);
	t.is(bytes(...Array.from({length: 8}, (_, job) => 900 + job / 3)), 64);
	t.is(bytes(NaN, NaN, NaN), 0);
});

test('bytes that are not packed times, or only a part of them, have no known times', t => {
	const packed = packTimes(9, {startedAt: Float64Array.from({length: 9}, (_, job) => job)});
	t.is(new PackedTimes(packed).count, 9);
	t.is(new PackedTimes(packed.subarray(0, -1)).count, 0);
	t.is(new PackedTimes(packed.subarray(0, HEAD_BYTES - 1)).count, 0);
	t.is(new PackedTimes(new Uint8Array()).count, 0);
	t.deepEqual(new PackedTimes(new Uint8Array()).at(0), {startedAt: NaN, durationMs: NaN, cpuMs: NaN, memoryBytes: NaN});
	packed[HEAD_BYTES - 1] = 3;
	t.is(new PackedTimes(packed).count, 0);
});
