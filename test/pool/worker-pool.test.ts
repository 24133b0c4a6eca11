import type {ExecutionContext} from 'ava';
import test from 'ava';
import type {StopReason} from '../../lib/job/job.ts';
import {type Examination, PoolChunkState, type PoolWorker, type WorkerListener} from '../../lib/pool/pool.ts';
import {WorkerPool} from '../../lib/pool/worker-pool.ts';
import {type Clock, monotonicMs} from '../../lib/support/clock.ts';
import {ChunkState} from '../../lib/worker/chunk-state.ts';
import type {ChunkMessage, WorkerRequest} from '../../lib/worker/messages.ts';
import {Crew} from './contract.ts';

/** Its one worker starts the first job that it is given, which heeds nothing and never ends. */
class Stuck implements PoolWorker {
	readonly kind = 'process';
	listener: WorkerListener | undefined;
	looks = 0;

	readonly make = (listener: WorkerListener): this => {
		this.listener = listener;
		return this;
	};

	async request(request: WorkerRequest): Promise<unknown> {
		if (request.type === 'chunk') new ChunkState(request.chunkState as SharedArrayBuffer).start(0, 0);
		return {tasks: [{name: 'stuck', options: {}}]};
	}

	async examine(): Promise<Examination> {
		this.looks++;
		return {};
	}

	async end(): Promise<void> {
		queueMicrotask(() => this.listener?.gone({exitCode: null, signal: 'SIGKILL'}));
	}
}

for (const [reason, looks] of [
	['cancelled', 1],
	['interrupted', 0],
] as const) {
	test(`before a worker is ended whose job does not heed that it is ${reason} the job is looked at ${looks} times: a close waits for no look`, async t => {
		const source = new Stuck();
		// The pool's own timers keep nothing alive.
		const timer = setInterval(() => undefined, 1000);
		t.teardown(() => clearInterval(timer));
		const crew = new Crew(t, (options, listener) => new WorkerPool({process: source.make}, options, listener));
		await crew.load({workers: 1, graceMs: 20});
		const [id] = await crew.give('stuck', [null]);
		t.true(crew.pool.stop(id as number, reason));
		await crew.outcomes([id]);
		t.is(source.looks, looks);
	});
}

/** Goes on with its second job while it is being ended: what killed its command may have let the first one end. */
class GoesOn extends Stuck {
	hasGoneOn: boolean | undefined;
	#chunkState: ChunkState | undefined;

	override async request(request: WorkerRequest): Promise<unknown> {
		if (request.type !== 'chunk') return super.request(request);
		this.#chunkState = new ChunkState(request.chunkState as SharedArrayBuffer);
		this.#chunkState.start(0, monotonicMs());
		return undefined;
	}

	override end(): Promise<void> {
		queueMicrotask(() => {
			this.#chunkState?.finish(0);
			this.hasGoneOn = this.#chunkState?.start(1, 0);
		});
		return super.end();
	}
}

test('a worker that is being ended starts no other job: those that wait in it go back first', async t => {
	const source = new GoesOn();
	const timer = setInterval(() => undefined, 1000);
	t.teardown(() => clearInterval(timer));
	const crew = new Crew(t, (options, listener) => new WorkerPool({process: source.make}, options, listener));
	await crew.load({workers: 1, graceMs: 20});
	const ids = await crew.give('stuck', [null, null]);
	t.true(crew.pool.stop(ids[0] as number, 'cancelled'));
	const [, waiting] = await crew.outcomes(ids);
	t.is(source.hasGoneOn, false);
	t.deepEqual(waiting, {type: 'released'});
});

/** A clock whose time passes by hand. */
class HandClock implements Clock {
	#now = 1000;
	readonly #beats = new Map<() => void, {readonly ms: number; next: number}>();

	readonly now = () => this.#now;
	readonly steadyMs = () => this.#now;
	readonly nextTurn = async () => undefined;
	readonly after = (ms: number, call: () => void) => {
		const once = () => {
			this.#beats.delete(once);
			call();
		};
		return this.every(ms, once);
	};
	readonly every = (ms: number, call: () => void) => {
		this.#beats.set(call, {ms, next: this.#now + ms});
		return () => void this.#beats.delete(call);
	};

	pass(ms: number): void {
		for (const end = this.#now + ms; this.#now < end; this.#now++) {
			for (const [call, beat] of this.#beats) {
				if (beat.next > this.#now) continue;
				beat.next += beat.ms;
				call();
			}
		}
	}
}

/** What a worker does with a chunk and its chunk's state. */
type Act = (chunkState: ChunkState, chunk: ChunkMessage, clock: HandClock, say: (message: unknown) => void) => void;

/** Its one worker never ends a chunk. */
class Endless extends Stuck {
	readonly #clock: HandClock;
	readonly #act: Act;

	constructor(clock: HandClock, act: Act) {
		super();
		this.#clock = clock;
		this.#act = act;
	}

	override async request(request: WorkerRequest): Promise<unknown> {
		if (request.type !== 'chunk') return {tasks: [{name: 'stuck', options: {}}]};
		this.#act(new ChunkState(request.chunkState as SharedArrayBuffer), request, this.#clock, message => this.listener?.message(message));
		return new Promise(() => undefined);
	}
}

async function loadEndless(t: ExecutionContext, act: Act): Promise<{readonly crew: Crew; readonly clock: HandClock}> {
	const timer = setInterval(() => undefined, 1000);
	t.teardown(() => clearInterval(timer));
	const clock = new HandClock();
	const crew = new Crew(t, (options, listener) => new WorkerPool({process: new Endless(clock, act).make}, options, listener, clock));
	await crew.load({workers: 1, graceMs: 20});
	return {crew, clock};
}

const NEVER: Readonly<Record<string, readonly [act: Act, outcome: object]>> = {
	'never starts its job': [() => undefined, {type: 'released'}],
	'never starts its job and talks': [
		(_, {chunk}, clock, say) => void clock.every(10, () => say({type: 'update', chunk, index: 0, logs: [{at: 1, level: 'info', text: 'x'}]})),
		{type: 'released'},
	],
	'ends its job and does not say so': [
		chunkState => {
			chunkState.start(0, 1000);
			chunkState.finish(0);
		},
		{type: 'lostWorker'},
	],
	'shows a job that it does not have': [chunkState => new Int32Array(chunkState.buffer).set([9, 1]), {type: 'released'}],
	'shows more jobs than it has': [
		chunkState => {
			chunkState.start(0, 1000);
			new Int32Array(chunkState.buffer).set([1, 9]);
		},
		{type: 'released'},
	],
	'shows a start that is to come': [chunkState => void chunkState.start(0, 1e12), {type: 'released'}],
	'shows a start at no time': [chunkState => void chunkState.start(0, Number.NaN), {type: 'released'}],
};

for (const [what, [act, outcome]] of Object.entries(NEVER)) {
	test(`a worker that ${what} is ended after 5 s, and its jobs are settled`, async t => {
		const {crew, clock} = await loadEndless(t, act);
		const [id] = await crew.give('stuck', [null], {policy: {timeoutMs: 100}});
		// A longer step would be a machine that was suspended.
		const pass = (ms: number) => {
			for (let passed = 0; passed < ms; passed += 100) clock.pass(100);
		};
		pass(4900);
		await new Promise(resolve => setImmediate(resolve));
		t.is(crew.outcome(id), undefined);
		pass(300);
		const [settled] = await crew.outcomes([id]);
		t.like(settled, outcome);
		t.true((settled?.durationMs ?? 0) >= 0 && (settled?.startedAt ?? 0) <= clock.now());
		t.like(crew.losses, [{reason: 'blocked'}]);
	});
}

test('a job that starts after interrupt() has looked is stopped all the same', async t => {
	let start = () => undefined as unknown;
	const {crew, clock} = await loadEndless(t, chunkState => {
		start = () => chunkState.start(0, 1000);
	});
	const [id] = await crew.give('stuck', [null]);
	crew.pool.interrupt();
	start();
	clock.pass(200);
	t.like((await crew.outcomes([id]))[0], {type: 'released'});
});

/** A worker that is asked to give jobs back, and to stop some, and does so when it is told. */
class Slow extends Stuck {
	readonly chunks: ChunkMessage[] = [];
	#obey: (() => void)[] = [];

	chunkState(jobs: number): PoolChunkState {
		const obey = this.#obey;
		return new (class extends PoolChunkState {
			readonly #stops = new Map<number, StopReason>();

			override takeBack(indexes: readonly number[], then: (taken: readonly number[]) => void): void {
				obey.push(() => super.takeBack(indexes, then));
			}
			override tellToStop(index: number, reason: StopReason, then: () => void): void {
				this.#stops.set(index, reason);
				obey.push(() => super.tellToStop(index, reason, then));
			}
			override stopReason(index: number): StopReason | undefined {
				return this.#stops.get(index);
			}
		})(PoolChunkState.create(jobs).buffer);
	}

	override async request(request: WorkerRequest): Promise<unknown> {
		if (request.type !== 'chunk') return super.request(request);
		this.chunks.push(request);
		new ChunkState(request.chunkState as SharedArrayBuffer).start(0, 1000);
		return new Promise(() => undefined);
	}

	obey(): void {
		for (const command of this.#obey.splice(0)) command();
	}
}

test('a job that is cancelled while its worker is asked to share it runs in no other worker', async t => {
	const timer = setInterval(() => undefined, 1000);
	t.teardown(() => clearInterval(timer));
	const clock = new HandClock();
	const workers = [new Slow(), new Slow()] as const;
	let made = 0;
	const make = (listener: WorkerListener) => (workers[made++] as Slow).make(listener);
	const crew = new Crew(t, (options, listener) => new WorkerPool({process: make}, options, listener, clock));
	await crew.load({workers: 2, graceMs: 20});
	const [, waiting] = await crew.give('stuck', [null, null]);
	clock.pass(60);
	t.true(crew.pool.stop(waiting as number, 'cancelled'));
	for (const worker of workers) worker.obey();
	t.is(workers[0].chunks.length + workers[1].chunks.length, 1);
	t.deepEqual((await crew.outcomes([waiting]))[0], {type: 'cancelled'});
});
