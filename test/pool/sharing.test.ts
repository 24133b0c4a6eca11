import test from 'ava';
import {type ClaimedGroup, listIds} from '../../lib/job/groups/group.ts';
import {InFlightChunk} from '../../lib/pool/in-flight.ts';
import {JobSupervisor} from '../../lib/pool/job-supervisor.ts';
import {Slots} from '../../lib/pool/slots.ts';
import {claimedGroup} from '../fixtures/groups.ts';
import {HandClock} from '../fixtures/hand-clock.ts';
import {HandListener} from '../fixtures/hand-listener.ts';
import {AskedWorker, HandWorker, sideOf} from '../fixtures/hand-worker.ts';

/** Chunks of these sizes in a worker that runs the first of their jobs, and so many idle workers. */
function setUp(sizes: readonly number[], idle: number, parts: Partial<ClaimedGroup> = {}) {
	const [clock, listener, worker] = [new HandClock(), new HandListener(), new AskedWorker()];
	const slots = new Slots(9, clock);
	slots.isClosed = true;
	const slot = slots.add(worker);
	slot.phase = 'ready';
	for (const [index, size] of sizes.entries()) {
		const chunk = new InFlightChunk(index, worker, claimedGroup(size, {ids: 1 + 100 * index, ...parts}), listener, clock);
		slots.assign(slot, chunk);
		chunk.send();
	}
	sideOf(slot.chunks[0] as InFlightChunk).start(0, clock.steadyMs());
	for (let free = 0; free < idle; free++) slots.add(new HandWorker()).phase = 'ready';
	/** What idle workers were given. */
	const shared: InFlightChunk[] = [];
	const run = (group: ClaimedGroup) => {
		const free = slots.pick('thread', () => undefined);
		const chunk = new InFlightChunk(99, free.worker, group, listener, clock);
		slots.assign(free, chunk);
		shared.push(chunk);
	};
	const end = () => {
		throw new Error('No worker is blocked.');
	};
	const watch = new JobSupervisor(slots, 200, clock, {end}, run);
	return {
		...{listener, run, slot, worker},
		/** Jobs without an outcome. */
		open: () => slot.chunks.reduce((jobs, chunk) => jobs + chunk.open, 0),
		/** A look at the worker after so long. */
		look: (ms: number) => {
			clock.pass(ms);
			watch.look();
		},
		/** The ids that were given to idle workers since the last time. The workers are then idle again. */
		takeShared: () =>
			shared.splice(0).map(chunk => {
				chunk.lose([]);
				return [...listIds(chunk.group.ids, chunk.size)];
			}),
	};
}

test('jobs that have waited for 20 ms are shared with an idle worker: half of them, or all behind a job that runs for longer', t => {
	const {look, takeShared, open, listener} = setUp([5], 1);
	look(19);
	t.deepEqual(takeShared(), []);
	look(1);
	t.deepEqual(takeShared(), [[4, 5]]);
	t.is(open(), 3);
	look(1);
	t.deepEqual(takeShared(), [[2, 3]]);
	look(1);
	t.deepEqual(takeShared(), []);
	t.deepEqual(listener.settled, []);
});

test('jobs that expire while they wait behind another one are given back then, though no worker is idle', t => {
	const at = new HandClock().now() + 50;
	const {look, open, listener} = setUp([4], 0, {
		expiries: new Map([
			[0, at],
			[2, at],
			[3, at + 1],
		]),
	});
	look(49);
	t.is(open(), 4);
	look(1);
	t.deepEqual(listener.settled, [[3, {type: 'released'}]]);
	look(1);
	t.is(open(), 2);
});

test('each chunk of a worker is shared with an idle worker of its own', t => {
	const one = setUp([3, 2], 1);
	one.look(30);
	t.deepEqual(one.takeShared(), [[2, 3]]);
	const two = setUp([3, 2], 2);
	two.look(30);
	t.deepEqual(two.takeShared(), [
		[2, 3],
		[101, 102],
	]);
});

test('while no worker is idle, jobs behind one that runs for more than a second are released, and none before', t => {
	const {look, takeShared, listener, open} = setUp([3, 2], 0);
	look(1000);
	t.deepEqual(listener.settled, []);
	look(1);
	t.deepEqual(
		listener.takeSettled(),
		[2, 3, 101, 102].map(id => [id, 'released']),
	);
	t.deepEqual([takeShared(), open()], [[], 1]);
});

test('behind a long job, jobs go to an idle worker rather than back', t => {
	const {look, takeShared, listener} = setUp([3], 1);
	look(2000);
	t.deepEqual([takeShared(), listener.settled], [[[2, 3]], []]);
});

test('an idle worker waits for one answer at a time', t => {
	const {look, takeShared, worker, slot, open} = setUp([5, 3], 1);
	worker.isPrompt = false;
	look(30);
	look(20);
	worker.obey();
	t.deepEqual(takeShared(), [[2, 3, 4, 5]]);
	look(1);
	t.deepEqual(takeShared(), []);
	worker.obey();
	t.deepEqual(takeShared(), [[101, 102, 103]]);
	t.is(slot.chunks.length, 2);
	t.is(open(), 1);
});

test('the idle worker is free for others when the chunk ends without an answer', t => {
	const {look, takeShared, worker, slot} = setUp([2, 3], 1);
	worker.isPrompt = false;
	look(30);
	const [first] = slot.chunks as [InFlightChunk];
	worker.forget();
	first.lose([]);
	sideOf(slot.chunks[0] as InFlightChunk).start(0, 1000);
	look(1);
	worker.obey();
	t.deepEqual(takeShared(), [[102, 103]]);
});

test('a job that was cancelled while its worker was asked goes to no other', t => {
	const {look, takeShared, worker, slot, listener, open} = setUp([4], 1);
	worker.isPrompt = false;
	look(30);
	slot.chunks[0]?.chunkState.tellToStop(2, 'cancelled', () => undefined);
	worker.obey();
	t.deepEqual(listener.takeSettled(), [[3, 'cancelled']]);
	t.deepEqual(takeShared(), [[2, 4]]);
	t.is(open(), 1);
});

test('if all were cancelled or have started meanwhile, the idle worker gets nothing', t => {
	const {look, takeShared, worker, slot, listener} = setUp([2], 1);
	worker.isPrompt = false;
	look(30);
	slot.chunks[0]?.chunkState.tellToStop(1, 'cancelled', () => undefined);
	worker.obey();
	t.deepEqual(listener.takeSettled(), [[2, 'cancelled']]);
	t.deepEqual(takeShared(), []);
	const late = setUp([2], 1);
	late.worker.isPrompt = false;
	late.look(30);
	sideOf(late.slot.chunks[0] as InFlightChunk).start(1, 1000);
	late.worker.obey();
	t.deepEqual([late.takeShared(), late.listener.settled], [[], []]);
});

const OTHER = 900;

for (const [what, prepare] of Object.entries<(own: ReturnType<typeof setUp>) => void>({
	'whose chunk is being released': ({slot}) => {
		(slot.chunks[0] as InFlightChunk).intent = 'released';
	},
	'whose chunk is interrupted': ({slot}) => {
		(slot.chunks[0] as InFlightChunk).intent = 'interrupted';
	},
	'for which no worker is idle any more': ({run}) => run(claimedGroup(1, {ids: OTHER})),
})) {
	test(`jobs ${what} when they come back are released`, t => {
		const own = setUp([3], 1);
		own.worker.isPrompt = false;
		own.look(30);
		prepare(own);
		own.worker.obey();
		t.deepEqual(own.listener.takeSettled(), [
			[2, 'released'],
			[3, 'released'],
		]);
		t.deepEqual(
			own.takeShared().filter(([id]) => id !== OTHER),
			[],
		);
	});
}

test('jobs whose payloads were handed over to the worker are released: they have to be read again', t => {
	const {look, takeShared, listener} = setUp([3], 1, {values: ['1', new Uint8Array(0), '3']});
	look(30);
	t.deepEqual(listener.takeSettled(), [
		[2, 'released'],
		[3, 'released'],
	]);
	t.deepEqual(takeShared(), []);
	const kept = setUp([3], 1, {values: [new Uint8Array(0), new Uint8Array(5), '3']});
	kept.look(30);
	t.deepEqual(kept.takeShared(), [[2, 3]]);
});
