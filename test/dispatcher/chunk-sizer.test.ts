import test from 'ava';
import {ChunkSizer} from '../../lib/dispatcher/chunk-sizer.ts';
import {near} from '../fixtures/near.ts';

const makeSizer = () => new ChunkSizer();

test('a task that has not run gets chunks of one job, counts as short, and takes no time', t => {
	const sizer = makeSizer();
	t.deepEqual([sizer.size('count'), sizer.minSize('count'), sizer.expectedMs('count', 10), sizer.isShort('count')], [1, 1, 0, true]);
});

test('a chunk holds a hundred times the work of a commit, from 4 ms to 100 ms', t => {
	const sizer = makeSizer();
	near(t, sizer.workMs, 4);
	sizer.observeCommit(0);
	t.is(sizer.workMs, 4);
	sizer.observeCommit(1);
	near(t, sizer.workMs, 100 * (0.7 * 0.7 * 0.04 + 0.3));
	sizer.observeCommit(10);
	t.is(sizer.workMs, 100);
});

test('a commit waits for nothing while a worker is idle', t => {
	t.is(makeSizer().lingerMs({idle: 1, prefetch: 1}, 50), 0);
});

test('while each worker has two chunks, commits are a chunk of work apart', t => {
	near(t, makeSizer().lingerMs({idle: 0, prefetch: 0}, 2), 4);
});

test('where a worker has room for a second chunk, the commit comes four usual commits before the shortest chunk ends, or after half of it if that is later', t => {
	const sizer = makeSizer();
	const capacity = {idle: 0, prefetch: 1};
	t.is(sizer.lingerMs(capacity, 0), 0);
	near(t, sizer.lingerMs(capacity, 1), 1 - 4 * 0.04);
	near(t, sizer.lingerMs(capacity, 0.2), 0.1);
	near(t, sizer.lingerMs(capacity, 50), 4);
});

test('the size of a chunk grows at most fourfold at a time, to the jobs that fill it, or to those of the largest group', t => {
	const sizer = makeSizer();
	const sizesOf = (task: string, jobMs: number) =>
		Array.from({length: 7}, () => {
			sizer.observe(task, 10, 10 * jobMs);
			return sizer.size(task);
		});
	t.deepEqual(sizesOf('count', 0.1), [4, 16, 40, 40, 40, 40, 40]);
	t.deepEqual(sizesOf('quick', 0.001), [4, 16, 64, 256, 1024, 2000, 2000]);
});

test('jobs that take no measurable time count as a microsecond each', t => {
	const sizer = makeSizer();
	for (let chunk = 0; chunk < 8; chunk++) sizer.observe('count', 10, 0);
	t.deepEqual([sizer.size('count'), sizer.minSize('count')], [2000, 2000]);
});

test('a chunk has one job of a task that is longer than the chunk, and the nearest number of others', t => {
	const sizer = makeSizer();
	sizer.observe('long', 1, 50);
	sizer.observe('count', 2, 3);
	t.deepEqual([sizer.size('long'), sizer.size('count')], [1, 3]);
	t.deepEqual([sizer.minSize('long'), sizer.minSize('count')], [1, 1]);
	sizer.observe('short', 10, 3);
	t.is(sizer.minSize('short'), 6);
});

test('the newest measurement of a task has a weight of 30 %', t => {
	const sizer = makeSizer();
	sizer.observe('count', 10, 10);
	near(t, sizer.expectedMs('count', 10), 10);
	sizer.observe('count', 1, 2);
	near(t, sizer.expectedMs('count', 10), 13);
});

test('a task is short while its jobs take less than 250 ms', t => {
	const sizer = makeSizer();
	sizer.observe('long', 1, 250);
	sizer.observe('short', 1, 249.9);
	t.deepEqual([sizer.isShort('long'), sizer.isShort('short')], [false, true]);
});
