import test from 'ava';
import {metg, type Point} from '../../bench/analyse/metg.ts';

/** Of an engine that takes so much CPU for a job besides its work. */
function curveOf(overheadMicros: number, sizes: readonly number[]): Point[] {
	return sizes.map(workMicros => ({workMicros, overheadMicros, efficiency: workMicros / (workMicros + overheadMicros)}));
}

const GRID = Array.from({length: 51}, (_, index) => 10 ** (index / 10));

test('where the curve crosses an efficiency, METG agrees with the overhead', t => {
	const curve = curveOf(10, GRID);
	for (const [share, expected] of [
		[0.5, 10],
		[0.9, 90],
		[0.95, 190],
	] as const) {
		const {kind, workMicros} = metg(curve, share) ?? {};
		t.is(kind, 'measured');
		t.true(Math.abs((workMicros ?? 0) / expected - 1) < 0.01, `${workMicros} for ${share}`);
	}
});

test('between two points it is interpolated over the logarithm of the work', t => {
	const curve = [
		{workMicros: 1000, efficiency: 1},
		{workMicros: 10, efficiency: 0.5},
	];
	t.deepEqual(metg(curve, 0.75), {kind: 'measured', workMicros: 100});
	t.deepEqual(metg(curve, 1), {kind: 'measured', workMicros: 1000});
});

test('noise that makes the curve fall is averaged: neither a peak nor a dip decides', t => {
	const curve = (...efficiencies: readonly number[]) => efficiencies.map((efficiency, index) => ({workMicros: 10 ** index, efficiency}));
	// The pair counts as two of 0.75.
	t.deepEqual(metg(curve(0.5, 1, 0.5, 1), 0.75), {kind: 'measured', workMicros: 10});
	t.true((metg(curve(0.5, 0.96, 0.9, 1), 0.95)?.workMicros ?? 0) > 100);
	t.is(metg(curve(0.5, 1, 0.9, 0.94), 0.93)?.kind, 'measured');
});

test('a curve that stays above says only that it is the smallest job or less', t => {
	t.deepEqual(metg(curveOf(1, [100, 1000]), 0.9), {kind: 'below', workMicros: 100});
});

test('a curve that stays below is continued by the CPU that a job takes', t => {
	const derived = metg(curveOf(10, [1, 10]), 0.95);
	t.is(derived?.kind, 'derived');
	t.true(Math.abs((derived?.workMicros ?? 0) - 190) < 1e-9);
});

test('a derived METG never contradicts a measured one', t => {
	const idle = [{workMicros: 1000, efficiency: 0.5, overheadMicros: 1}];
	t.deepEqual(metg(idle, 0.95), {kind: 'above', workMicros: 1000});
	t.deepEqual(metg([{workMicros: 1000, efficiency: 0.5}], 0.95), {kind: 'above', workMicros: 1000});
});

test('no points, no METG', t => t.is(metg([], 0.95), undefined));
