import test from 'ava';
import {MemoryWatch} from '../../lib/pool/memory.ts';

function watch(minFree: number): {memory: MemoryWatch; world: {now: number; free: number}} {
	const world = {now: 0, free: 1000};
	return {
		world,
		memory: new MemoryWatch(
			minFree,
			() => world.now,
			() => world.free,
		),
	};
}

test('without a limit and without a need, memory limits nothing', t => {
	const {memory, world} = watch(0);
	world.free = 0;
	t.is(memory.room(0, 5), Infinity);
	t.false(memory.mustStop(5));
});

test('as many jobs may start as the free memory has room for', t => {
	const {memory} = watch(100);
	t.is(memory.room(300, 1), 3);
	t.is(memory.room(901, 1), 0);
	t.is(memory.room(0, 1), Infinity);
});

test('a started process has a second to take the memory that it was promised', t => {
	const {memory, world} = watch(0);
	memory.started(600);
	t.is(memory.room(300, 1), 1);
	world.now = 1000;
	t.is(memory.room(300, 1), 3);
});

test('while nothing runs one job may start, whatever the memory', t => {
	const {memory, world} = watch(100);
	world.free = 10;
	t.is(memory.room(0, 1), 0);
	t.is(memory.room(0, 0), 1);
	t.is(memory.room(5000, 0), 1);
});

test('below half of the limit one job is to be stopped, then none for a second, and never the last', t => {
	const {memory, world} = watch(100);
	world.free = 50;
	t.false(memory.mustStop(3));
	world.free = 49;
	t.false(memory.mustStop(1));
	t.true(memory.mustStop(3));
	t.false(memory.mustStop(3));
	world.now = 1000;
	t.true(memory.mustStop(2));
});
