import test, {type ExecutionContext} from 'ava';
import {createRegions, obey, RemoteChunkStates} from '../../lib/pool/processes/chunk-states.ts';
import {NO_ANSWER} from '../../lib/pool/stack-snapshot.ts';
import {systemClock} from '../../lib/support/clock.ts';
import {ChunkState} from '../../lib/worker/chunk-state.ts';
import {makeFolder} from '../fixtures/folder.ts';

/** Chunk states of a process, whose watchdog has `found` something each time it examines the main thread. */
function open(t: ExecutionContext, found: () => {readonly stack: string} = () => ({stack: ''})) {
	const regions = createRegions();
	let last: Promise<void> = Promise.resolve();
	const chunkStates: RemoteChunkStates = new RemoteChunkStates(makeFolder(t), command => {
		last = last.then(() => obey(command, regions, async () => found())).then(answer => chunkStates.receive(answer));
	});
	t.teardown(() => chunkStates.close());
	return {chunkStates, worker: (generation: number) => new ChunkState(regions[generation % 2] as SharedArrayBuffer, generation)};
}

test('the examination of a process is the last one of its watchdog, however long earlier ones were', async t => {
	let found = {stack: ''};
	const {chunkStates} = open(t, () => found);
	for (const stack of ['a long one '.repeat(10_000), 'a short one', 'the last']) {
		found = {stack};
		t.deepEqual(await chunkStates.examine(), found);
	}
});

test('of a process whose watchdog does not answer nothing is found, after 3 s', async t => {
	const waits: number[] = [];
	const after = (ms: number, call: () => void) => {
		waits.push(ms);
		call();
		return () => undefined;
	};
	const chunkStates = new RemoteChunkStates(makeFolder(t), () => undefined, {...systemClock, after});
	t.teardown(() => chunkStates.close());
	t.deepEqual([await chunkStates.examine(), waits], [NO_ANSWER, [3000]]);
});

test('the watchdog takes back jobs that have not started, stops the running ones, and leaves those of an earlier chunk alone', async t => {
	const {chunkStates, worker} = open(t);
	const [first, second] = [chunkStates.open(3), chunkStates.open(3)];
	worker(1).start(0, 5);
	t.deepEqual(await new Promise(resolve => first.takeBack([0, 1], resolve)), [1]);
	t.false(first.isFree(1));
	const stopped = new Promise<void>(resolve => first.tellToStop(0, 'cancelled', resolve));
	t.is(first.stopReason(0), 'cancelled');
	await stopped;
	t.is(worker(1).stopReason(0), 'cancelled');
	t.deepEqual(await new Promise(resolve => second.takeBack([2], resolve)), [2]);
	// The first chunk is over, and the third has its memory.
	worker(3).clear();
	t.deepEqual(await new Promise(resolve => first.takeBack([2], resolve)), []);
	t.true(worker(3).start(2, 6));
});
