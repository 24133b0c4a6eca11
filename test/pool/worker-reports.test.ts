import type {ExecutionContext} from 'ava';
import test from 'ava';
import fc from 'fast-check';
import {sizeOf} from '../../lib/job/groups/group.ts';
import {packTimes} from '../../lib/job/groups/packed-times.ts';
import type {Examination, PoolWorker, WorkerListener} from '../../lib/pool/pool.ts';
import {WorkerPool} from '../../lib/pool/worker-pool.ts';
import {monotonicMs} from '../../lib/support/clock.ts';
import {ChunkState} from '../../lib/worker/chunk-state.ts';
import type {ChunkMessage, OutcomesMessage, WorkerRequest} from '../../lib/worker/messages.ts';
import {Crew} from './contract.ts';

/** What its worker says after it started the jobs of a chunk. */
type Tell = (chunk: ChunkMessage) => readonly unknown[];

/** Workers that start all jobs of a chunk and say what they are told to say. Those that come after the first say the truth. */
class Told {
	readonly #tell: Tell;
	readonly #answer: unknown;
	#made = 0;

	constructor(tell: Tell, answer: unknown = {tasks: [{name: 'task', options: {}}]}) {
		this.#tell = tell;
		this.#answer = answer;
	}

	readonly make = (listener: WorkerListener) => new ToldWorker(listener, this.#made++ === 0 ? this.#tell : truth, this.#answer);
}

class ToldWorker implements PoolWorker {
	readonly kind = 'thread';
	readonly #listener: WorkerListener;
	readonly #tell: Tell;
	readonly #answer: unknown;

	constructor(listener: WorkerListener, tell: Tell, answer: unknown) {
		this.#listener = listener;
		this.#tell = tell;
		this.#answer = answer;
	}

	async request(request: WorkerRequest): Promise<unknown> {
		if (request.type === 'load') return this.#answer;
		if (request.type !== 'chunk') return undefined;
		const chunkState = new ChunkState(request.chunkState as SharedArrayBuffer);
		for (let index = 0; index < sizeOf(request.group); index++) if (chunkState.start(index, monotonicMs())) chunkState.finish(index);
		for (const message of this.#tell(request)) this.#listener.message(message);
		return undefined;
	}

	async examine(): Promise<Examination> {
		return {};
	}

	async end(): Promise<void> {
		queueMicrotask(() => this.#listener.gone({exitCode: 1}));
	}
}

const JOBS = 3;

function times(jobs: number, more: Partial<Record<'startedAt' | 'durationMs' | 'cpuMs' | 'memoryBytes', number>> = {}): Uint8Array {
	const known = {startedAt: 1_700_000_000_000, durationMs: 1.5, ...more};
	return packTimes(jobs, Object.fromEntries(Object.entries(known).map(([name, value]) => [name, new Float64Array(jobs).fill(value)])));
}

function outcomes({chunk}: ChunkMessage, more: object = {}): OutcomesMessage {
	return {type: 'outcomes', chunk, first: 0, values: {count: JOBS, text: '1\n2\n3'}, times: times(JOBS), ...more};
}

const final = ({chunk}: ChunkMessage, more: object = {}) => ({type: 'final', chunk, isLast: true, memoryBytes: 1, ...more});
const update = ({chunk}: ChunkMessage, more: object) => ({type: 'update', chunk, index: 0, ...more});
const truth: Tell = chunk => [outcomes(chunk, {values: Array(sizeOf(chunk.group)).fill('1'), times: times(sizeOf(chunk.group))}), final(chunk)];

async function load(t: ExecutionContext, tell: Tell): Promise<Crew> {
	// The pool's own timers keep nothing alive.
	const timer = setInterval(() => undefined, 1000);
	t.teardown(() => clearInterval(timer));
	const crew = new Crew(t, (options, listener) => new WorkerPool({thread: new Told(tell).make}, options, listener));
	await crew.load({workers: 1, graceMs: 20, maxValueBytes: 100, maxCheckpointBytes: 100});
	return crew;
}

const FAILURE = {reason: 'threw', name: 'Error', message: 'it failed'};
const MADE = {
	task: 'task',
	payload: '1',
	priority: 0,
	runAt: null,
	policy: {maxAttempts: 1, timeoutMs: null, retry: 'auto', backoff: {baseMs: 0, factor: 1, maxMs: 0, jitter: 0}},
};
const LINE = {at: 1, level: 'info', text: 'x'};

const TRUE: Readonly<Record<string, Tell>> = {
	'all it may say': chunk => [
		update(chunk, {progress: {done: 1, total: 2, at: 1}, logs: [LINE], checkpoint: {at: 1, state: '1'}}),
		outcomes(chunk, {
			values: [null, new Uint8Array([1, 2]), '"x"'],
			times: times(JOBS, {cpuMs: 1.25, memoryBytes: 5}),
			failures: new Map([[0, {...FAILURE, code: 5, stack: 's', causes: [{name: 'Error', message: 'why'}]}]]),
			enqueues: new Map([[1, [MADE, {...MADE, key: 'k', runAt: 5}]]]),
		}),
		final(chunk, {isLast: false, failures: new Map([[2, {...FAILURE, reason: 'badResult'}]])}),
		final(chunk),
	],
	'parts of it one after the other': chunk => [
		outcomes(chunk, {values: ['1'], times: times(1)}),
		outcomes(chunk, {first: 1, values: {count: 2, text: null}, times: times(2)}),
		final(chunk),
	],
};

const UNTRUE: Readonly<Record<string, Tell>> = {
	'an end without its jobs': chunk => [final(chunk)],
	'an end after some of its jobs': chunk => [outcomes(chunk, {values: ['1'], times: times(1)}), final(chunk)],
	'an end with failures of jobs that were not reported': chunk => [final(chunk, {isLast: false, failures: new Map([[0, FAILURE]])})],
	'an end that uses a text of memory': chunk => [outcomes(chunk), final(chunk, {memoryBytes: '1'})],
	'an end of which it does not say whether it is one': chunk => [outcomes(chunk), final(chunk, {isLast: undefined})],
	'no jobs': chunk => [outcomes(chunk, {values: [], times: times(0)}), final(chunk)],
	'more jobs than it has': chunk => [outcomes(chunk, {values: Array(4).fill('1'), times: times(4)})],
	'jobs out of order': chunk => [outcomes(chunk, {first: 1, values: ['1'], times: times(1)})],
	'a job twice': chunk => [outcomes(chunk, {values: ['1'], times: times(1)}), outcomes(chunk, {values: ['1'], times: times(1)})],
	'half a job': chunk => [outcomes(chunk, {first: 0.5})],
	'values that are none': chunk => [outcomes(chunk, {values: ['1', 666, '3']})],
	'values with holes': chunk => [outcomes(chunk, {values: Object.assign(Array(3), {0: '1', 2: '3'})})],
	'empty values': chunk => [outcomes(chunk, {values: ['1', '', '3']})],
	'values of more bytes than are allowed': chunk => [outcomes(chunk, {values: ['1', new Uint8Array(101), '3']})],
	'values of more letters than are allowed': chunk => [outcomes(chunk, {values: ['1', `"${'x'.repeat(100)}"`, '3']})],
	'fewer lines than jobs': chunk => [outcomes(chunk, {values: {count: 3, text: '1\n2'}})],
	'more lines than jobs': chunk => [outcomes(chunk, {values: {count: 3, text: '1\n2\n3\n4'}})],
	'a line that is too long for one': chunk => [outcomes(chunk, {values: {count: 3, text: `${'1'.repeat(2000)}\n2\n3`}})],
	'as many lines as NaN': chunk => [outcomes(chunk, {values: {count: Number.NaN, text: '1\n2\n3'}})],
	'nothing for values': chunk => [outcomes(chunk, {values: undefined})],
	'times of fewer jobs': chunk => [outcomes(chunk, {times: times(2)})],
	'times that are none': chunk => [outcomes(chunk, {times: new Uint8Array(3)})],
	'times as a list': chunk => [outcomes(chunk, {times: [1, 2, 3]})],
	...Object.fromEntries(
		[
			{durationMs: Number.NaN},
			{durationMs: Infinity},
			{durationMs: -1},
			{durationMs: 1e300},
			{startedAt: Number.NaN},
			{startedAt: 1.5},
			{startedAt: 1e17},
			{cpuMs: Infinity},
			{memoryBytes: -1},
			{memoryBytes: 1.5},
		].map(each => [`times of ${Object.entries(each)[0]?.join(' ')}`, (chunk: ChunkMessage) => [outcomes(chunk, {times: times(JOBS, each)})]]),
	),
	'a failure of a job that it does not have': chunk => [outcomes(chunk, {failures: new Map([[3, FAILURE]])})],
	'a failure by a word': chunk => [outcomes(chunk, {failures: new Map([[0, 'failed']])})],
	'failures as an object': chunk => [outcomes(chunk, {failures: {0: FAILURE}})],
	'a failure for a reason of its own': chunk => [outcomes(chunk, {failures: new Map([[0, {...FAILURE, reason: 'poison'}]])})],
	'a failure with more than failures have': chunk => [outcomes(chunk, {failures: new Map([[0, {...FAILURE, big: 1n}]])})],
	'a failure with a code that is no number': chunk => [outcomes(chunk, {failures: new Map([[0, {...FAILURE, code: Number.NaN}]])})],
	'a stop that nobody asked for': chunk => [outcomes(chunk, {stops: new Map([[0, 'timedOut']])})],
	'a stop together with others that nobody asked for': chunk => [outcomes(chunk, {stops: new Map([[0, 'timedOutTogether']])})],
	'jobs left out that nobody took back': chunk => [outcomes(chunk, {skipped: new Set([1])})],
	'jobs expired that may not expire': chunk => [outcomes(chunk, {expired: new Set([1])})],
	'jobs that are none, to be enqueued': chunk => [outcomes(chunk, {enqueues: new Map([[0, [undefined]]])})],
	'a job without a policy, to be enqueued': chunk => [outcomes(chunk, {enqueues: new Map([[0, [{...MADE, policy: undefined}]]])})],
	'a job with a number of attempts that is none, to be enqueued': chunk => [
		outcomes(chunk, {enqueues: new Map([[0, [{...MADE, policy: {...MADE.policy, maxAttempts: 0.5}}]]])}),
	],
	'a job with a batch of its own, to be enqueued': chunk => [outcomes(chunk, {enqueues: new Map([[0, [{...MADE, batch: 1}]]])})],
	'an update for a job that it does not have': chunk => [update(chunk, {index: 3, progress: {done: 1, at: 1}})],
	'an update in the name of another job': chunk => [update(chunk, {id: 1, lease: 9, progress: {done: 1, at: 1}})],
	'log lines that are none': chunk => [update(chunk, {logs: [undefined]})],
	'a log line of no level': chunk => [update(chunk, {logs: [{...LINE, level: 'loud'}]})],
	'a log line at no time': chunk => [update(chunk, {logs: [{...LINE, at: Number.NaN}]})],
	'progress of NaN': chunk => [update(chunk, {progress: {done: Number.NaN, at: 1}})],
	'a checkpoint of more bytes than are allowed': chunk => [update(chunk, {checkpoint: {at: 1, state: new Uint8Array(101)}})],
};

for (const [what, tell] of Object.entries(TRUE)) {
	test(`a worker that says ${what} is believed`, async t => {
		const crew = await load(t, tell);
		const ids = await crew.give('task', Array(JOBS).fill(null));
		for (const outcome of await crew.outcomes(ids)) t.regex(outcome?.type ?? '', /^(returned|threw)$/);
		t.deepEqual(crew.losses, []);
	});
}

for (const [what, tell] of Object.entries(UNTRUE)) {
	test(`a worker that reports ${what} is ended as broken, each of its jobs is settled once, and the pool goes on`, async t => {
		const crew = await load(t, tell);
		const ids = await crew.give('task', Array(JOBS).fill(null));
		await crew.outcomes(ids);
		t.like(crew.losses, [{reason: 'broken'}]);
		t.regex(crew.losses[0]?.error?.message ?? '', /^The worker's report was not believed, since .+\.$/);
		t.true(crew.updates.every(({id, lease}) => ids.includes(id) && lease === 5));
		t.deepEqual(await crew.values(await crew.give('task', [1])), [1]);
		t.is(crew.pool.size, 0);
	});
}

test('the job whose report is not believed is charged where no other can have broken its worker, in a sentence that says why', async t => {
	const crew = await load(t, chunk => [final(chunk)]);
	const [id] = await crew.give('task', [null], {quarantined: true});
	t.like(await crew.failure(id), {
		reason: 'lostWorker',
		message:
			'The worker thread was ended before it reported how this job ended, since it ended its chunk after 0 of 1 jobs. A task may have changed what Faena needs of its worker.',
	});
});

test("a worker's reports about another worker's chunk are ignored", async t => {
	let other: ChunkMessage | undefined;
	const crew = await load(t, chunk => {
		other ??= chunk;
		return [outcomes({...chunk, chunk: chunk.chunk + 1}), ...truth(chunk)];
	});
	await crew.values(await crew.give('task', [1, 2, 3]));
	t.deepEqual(crew.losses, []);
	t.is(other?.chunk, 1);
});

test('whatever a worker says, each of its jobs is settled once, and the pool goes on', async t => {
	const words = fc.record(
		{
			type: fc.constantFrom('outcomes', 'final', 'update'),
			chunk: fc.constant(1),
			first: fc.constantFrom(0, 1, -1, 0.5, Number.NaN),
			index: fc.oneof(fc.integer({min: -1, max: 4}), fc.anything()),
			isLast: fc.oneof(fc.boolean(), fc.anything()),
			values: fc.oneof(fc.array(fc.oneof(fc.string(), fc.constant(null), fc.anything())), fc.record({count: fc.integer(), text: fc.string()}), fc.anything()),
			times: fc.oneof(
				fc.integer({min: 0, max: 4}).map(jobs => times(jobs)),
				fc.uint8Array(),
				fc.anything(),
			),
			failures: fc.anything(),
			stops: fc.anything(),
			skipped: fc.oneof(fc.array(fc.integer({min: 0, max: 3})), fc.anything()),
			expired: fc.oneof(fc.array(fc.integer({min: 0, max: 3})), fc.anything()),
			enqueues: fc.anything(),
			logs: fc.anything(),
			progress: fc.anything(),
			memoryBytes: fc.anything(),
		},
		{requiredKeys: ['type', 'chunk']},
	);
	await fc.assert(
		fc.asyncProperty(fc.array(fc.oneof(words, fc.anything()), {maxLength: 5}), async said => {
			const crew = await load(t, chunk => [...said, final(chunk)]);
			const ids = await crew.give('task', [1, 2, 3]);
			await crew.outcomes(ids);
			await crew.values(await crew.give('task', [1]));
			await crew.pool.close();
		}),
		{numRuns: 200},
	);
	t.pass();
});

for (const [what, answer] of Object.entries({
	'nothing that it should': 5,
	'no list of tasks': {tasks: {}},
	'tasks without names': {tasks: [{options: {}}]},
	'tasks with options that there are not': {tasks: [{name: 'task', options: {speed: 9}}]},
	'no error': {error: 'bad'},
})) {
	test(`a worker that says ${what} when it is to load its tasks fails the load`, async t => {
		const crew = new Crew(t, (options, listener) => new WorkerPool({thread: new Told(truth, answer).make}, options, listener));
		await t.throwsAsync(crew.load({workers: 1}), {message: /tasks module broke its worker|task task has no option "speed"/});
	});
}
