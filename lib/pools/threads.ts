import {setTimeout as sleep} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import type {Worker} from 'node:worker_threads';
import {Piscina, queueOptionsSymbol} from 'piscina';
import {Board, monotonicMs, type StopReason} from '../board.ts';
import {FaenaError, fromEnvelope} from '../errors.ts';
import {type FailureRecord, toFailure} from '../failure.ts';
import type {JobId} from '../job.ts';
import type {Chunk, Pool, PoolListener, PoolOptions} from '../pool.ts';
import type {ChunkMessage, FinalMessage, Loaded, NoteMessage, OutcomesMessage, WorkerMessage, WorkerRequest, WorkerStart} from '../protocol.ts';
import type {DequeuedJob, Outcome, Settlement} from '../queue.ts';
import type {TaskInfo} from '../tasks-module.ts';
import {workerUrl} from '../worker-url.ts';

/** How often running jobs are looked at: what a timeout, or a job stuck behind a long one, may be late. */
const WATCH_EVERY_MS = 20;
/** Jobs that have waited in a worker for longer than this are shared with an idle one; */
const STUCK_MS = 20;
/** behind a job that runs for longer than this, and without an idle worker, they go back to the queue, for other processes. */
const STRANDED_MS = 1000;
/** A worker whose job has run for this long gets no second chunk to wait behind it, and what ended before it is settled. */
const LONG_MS = 100;
/** A worker that has a chunk and does not go on with it for 5 s is blocked by what an earlier job left behind, and ended. */
const MAX_QUIET_LOOKS = 5000 / WATCH_EVERY_MS;
/** Wait before a worker whose module could not be loaded again is tried once more. */
const RELOAD_MS = 1000;

/**
 * Tasks in worker threads, by Piscina. One slot per thread, at most two chunks in each: one that runs, one that waits, so
 * that the thread never idles while a commit is under way. Nothing ever waits in Piscina's own queue: the pool names the
 * thread for each chunk (as Piscina's load balancer) and calls `run` only when it has a place.
 *
 * A slot is `loading` (its tasks module), then `ready`; `ending` from the moment its thread is told to terminate, or is
 * seen to fail, until its `exit` event. Only then do its jobs get their outcomes, and Piscina starts another thread.
 */
export class ThreadPool implements Pool {
	readonly #options: PoolOptions;
	readonly #listener: PoolListener;
	readonly #slots = new Map<number, Slot>();
	/** Chunks under way, by number. */
	readonly #chunks = new Map<number, InFlight>();
	readonly #jobs = new Map<JobId, InFlight>();
	#piscina: Piscina | undefined;
	#watch: NodeJS.Timeout | undefined;
	#lastChunk = 0;
	#phase: 'new' | 'open' | 'closing' = 'new';
	#started: PromiseWithResolvers<readonly TaskInfo[]> | undefined;

	constructor(options: PoolOptions, listener: PoolListener) {
		this.#options = options;
		this.#listener = listener;
	}

	load(): Promise<readonly TaskInfo[]> {
		const {tasks, maxValueBytes, taskOutput, workers, resourceLimits} = this.#options;
		this.#phase = 'open';
		this.#started = Promise.withResolvers();
		this.#piscina = new Piscina({
			filename: fileURLToPath(workerUrl('thread-entry')),
			workerData: {tasks, maxValueBytes, taskOutput} satisfies WorkerStart,
			minThreads: workers,
			maxThreads: workers,
			idleTimeout: Infinity,
			concurrentTasksPerWorker: 2,
			recordTiming: false,
			loadBalancer: (request, threads) => threads.find(thread => thread.id === targetOf(request)) ?? null,
			...(resourceLimits && {resourceLimits}),
		});
		// The thread can take a request only after this event.
		this.#piscina.on('workerCreate', ({id}: {id: number}) => queueMicrotask(() => this.#addSlot(id)));
		this.#piscina.on('message', (message: WorkerMessage) => this.#receive(message));
		// A failing thread is dealt with at its exit; without a listener Piscina's event would end the dispatcher.
		this.#piscina.on('error', () => undefined);
		this.#watch = setInterval(() => this.#look(), WATCH_EVERY_MS);
		return this.#started.promise;
	}

	get size(): number {
		return this.#jobs.size;
	}

	places(): {idle: number; second: number} {
		let idle = 0;
		let second = 0;
		const now = monotonicMs();
		for (const slot of this.#slots.values()) {
			if (slot.phase !== 'ready') continue;
			if (slot.chunks.length === 0) idle++;
			else if (slot.chunks.length === 1 && !isLong(slot, now)) second++;
		}
		return {idle, second};
	}

	run({task, lease, jobs}: Chunk): void {
		const slot = this.#pick();
		const flight: InFlight = {
			number: ++this.#lastChunk,
			slot,
			task,
			lease,
			jobs,
			board: Board.create(jobs.length),
			givenAt: monotonicMs(),
			reported: 0,
			held: [],
			taken: new Set(),
			stops: new Map(),
		};
		slot.chunks.push(flight);
		this.#chunks.set(flight.number, flight);
		for (const job of jobs) this.#jobs.set(job.id, flight);
		void this.#request(slot, toMessage(flight)).catch(() => undefined);
	}

	stop(id: JobId, reason: StopReason): boolean {
		const flight = this.#jobs.get(id);
		if (!flight) return false;
		const index = flight.jobs.findIndex(job => job.id === id);
		if (flight.board.take(index)) this.#giveBack(flight, [index], reason === 'cancelled' ? {type: 'cancelled'} : {type: 'released'});
		else this.#stopRunning(flight, index, reason);
		return true;
	}

	recall(task?: string): void {
		for (const flight of this.#chunks.values()) {
			if (task === undefined || flight.task === task) this.#giveBack(flight, takeFree(flight), {type: 'released'});
		}
	}

	interrupt(): void {
		for (const flight of this.#chunks.values()) {
			const running = flight.board.running();
			if (running) this.#stopRunning(flight, running.index, 'interrupted');
		}
	}

	async close(): Promise<void> {
		this.#phase = 'closing';
		this.#started?.reject(new FaenaError('Closed', 'The pool was closed while it loaded its tasks.'));
		clearInterval(this.#watch);
		this.interrupt();
		// Piscina's own close() counts a busy worker several times and ends the others under their jobs; destroy() it is,
		// and what still runs is settled from the boards, as after any loss.
		await this.#piscina?.destroy();
		for (const slot of this.#slots.values()) this.#lose(slot, 0);
	}

	// ——— slots ———

	#addSlot(threadId: number): void {
		const worker = this.#piscina?.threads.find(thread => thread.threadId === threadId);
		if (!worker || this.#phase !== 'open') return;
		const slot: Slot = {threadId, worker, phase: 'loading', chunks: [], quietLooks: 0, error: undefined};
		this.#slots.set(threadId, slot);
		worker.once('error', error => {
			slot.phase = 'ending';
			slot.error = error;
		});
		worker.once('exit', code => this.#lose(slot, code));
		void this.#load(slot);
	}

	async #load(slot: Slot): Promise<void> {
		try {
			const loaded = (await this.#request(slot, {type: 'load'})) as Loaded;
			if ('error' in loaded) throw fromEnvelope(loaded.error);
			if (slot.phase !== 'loading') return;
			slot.phase = 'ready';
			this.#started?.resolve(loaded.tasks);
			this.#listener.freed();
		} catch (error) {
			this.#started?.reject(error);
			// A module that loaded before and now doesn't: its thread is of no use, and neither is trying in a tight loop.
			if (slot.phase === 'loading') await sleep(RELOAD_MS, undefined, {ref: false});
			if (slot.phase === 'loading') this.#end(slot);
		}
	}

	/** The thread that will be free first: an idle one, or else one with room for a second chunk, if possible not behind a long job. */
	#pick(): Slot {
		const now = monotonicMs();
		const ready = [...this.#slots.values()].filter(({phase, chunks}) => phase === 'ready' && chunks.length < 2);
		const slot = ready.find(({chunks}) => chunks.length === 0) ?? ready.find(each => !isLong(each, now)) ?? ready[0];
		if (!slot) throw new Error('The pool was given a chunk and has no place for it.');
		return slot;
	}

	#request(slot: Slot, request: WorkerRequest): Promise<unknown> {
		return (this.#piscina as Piscina).run({...request, [queueOptionsSymbol]: slot.threadId});
	}

	/** Ends the thread. What it posted before still arrives; its `exit` event settles the rest. */
	#end(slot: Slot): void {
		if (slot.phase === 'ending') return;
		slot.phase = 'ending';
		void slot.worker.terminate();
	}

	/** The thread is gone: the job it ran gets its outcome, the others go back untouched. */
	#lose(slot: Slot, exitCode: number): void {
		if (!this.#slots.delete(slot.threadId)) return;
		slot.phase = 'ending';
		this.#started?.reject(this.#unloadable(slot, exitCode));
		for (const flight of slot.chunks.splice(0)) {
			const settlements = flight.held;
			for (let index = flight.reported; index < flight.jobs.length; index++) {
				if (!flight.taken.has(index)) settlements.push(settlementOf(flight, index, lostOutcome(flight, index, slot, exitCode)));
			}
			this.#finish(flight);
			this.#ended(flight, settlements);
		}
		this.#listener.freed();
		this.#replace();
	}

	#unloadable(slot: Slot, exitCode: number): FaenaError {
		const how = howItEnded(slot, exitCode);
		return new FaenaError('BadTasksModule', `The tasks module ${fileURLToPath(this.#options.tasks)} can't be loaded: its worker thread ${how}.`, {
			cause: slot.error,
		});
	}

	/** Piscina stops replacing threads once one failed while starting: then only a new one helps. */
	#replace(): void {
		setImmediate(() => {
			if (this.#phase !== 'open' || (this.#piscina?.threads.length ?? 0) > 0 || this.#slots.size > 0) return;
			this.#listener.failed(new Error('All worker threads ended and could not be replaced.'));
		});
	}

	// ——— messages ———

	#receive(message: WorkerMessage): void {
		const flight = this.#chunks.get(message.chunk);
		if (!flight) return;
		flight.slot.quietLooks = 0;
		if (message.type === 'note') this.#note(flight, message);
		else if (message.type === 'outcomes') this.#hold(flight, message);
		else this.#settle(flight, message);
	}

	#note(flight: InFlight, {index, progress, logs}: NoteMessage): void {
		const {id, execution} = flight.jobs[index] as DequeuedJob;
		this.#listener.noted({id, lease: flight.lease, execution, ...(progress && {progress}), ...(logs && {logs})});
	}

	#hold(flight: InFlight, message: OutcomesMessage): void {
		for (let offset = 0; offset < message.values.length; offset++) {
			const index = message.first + offset;
			if (!flight.taken.has(index)) flight.held.push(settlementOf(flight, index, toOutcome(flight, index, message)));
		}
		flight.reported = message.first + message.values.length;
	}

	#settle(flight: InFlight, {failures, isLast}: FinalMessage): void {
		const settlements = failures ? flight.held.map(each => withFailure(flight, each, failures)) : flight.held;
		flight.held = [];
		if (isLast) {
			flight.slot.chunks.splice(flight.slot.chunks.indexOf(flight), 1);
			this.#finish(flight);
		}
		this.#ended(flight, settlements);
		if (isLast) this.#listener.freed();
	}

	#finish(flight: InFlight): void {
		this.#chunks.delete(flight.number);
	}

	#ended({task}: InFlight, settlements: readonly Settlement[]): void {
		for (const {id} of settlements) this.#jobs.delete(id);
		if (settlements.length > 0) this.#listener.ended(task, settlements);
	}

	#giveBack(flight: InFlight, indexes: readonly number[], outcome: Outcome): void {
		for (const index of indexes) flight.taken.add(index);
		this.#ended(
			flight,
			indexes.map(index => settlementOf(flight, index, outcome)),
		);
	}

	// ——— watching ———

	#look(): void {
		for (const slot of this.#slots.values()) {
			const [flight] = slot.chunks;
			if (flight && slot.phase === 'ready') this.#lookAt(slot, flight, monotonicMs());
		}
	}

	#lookAt(slot: Slot, flight: InFlight, now: number): void {
		const running = flight.board.running();
		if (!running) {
			if (++slot.quietLooks > MAX_QUIET_LOOKS) this.#end(slot);
			return;
		}
		slot.quietLooks = 0;
		const stop = flight.stops.get(running.index);
		if (stop && now > stop.deadline) this.#end(slot);
		const {timeoutMs} = (flight.jobs[running.index] as DequeuedJob).policy;
		if (timeoutMs !== null && now - running.since > timeoutMs) this.#stopRunning(flight, running.index, 'timedOut');
		// What ended before a job that runs for so long need not wait for its end, whatever may still come to light.
		if (now - running.since > LONG_MS) this.#ended(flight, flight.held.splice(0));
		this.#relieve(slot, now, now - running.since);
	}

	#stopRunning(flight: InFlight, index: number, reason: StopReason): void {
		if (flight.board.stop(index, reason)) flight.stops.set(index, {reason, deadline: monotonicMs() + this.#options.graceMs});
	}

	/** Shares what has waited in this worker for long with idle ones, or gives it back to the queue. */
	#relieve(slot: Slot, now: number, runningMs: number): void {
		for (const flight of slot.chunks) {
			const {idle} = this.places();
			if (idle === 0 && runningMs > STRANDED_MS) this.#giveBack(flight, takeFree(flight), {type: 'released'});
			if (idle === 0 || now - flight.givenAt < STUCK_MS) continue;
			// Behind a job that is itself long nothing may stay; otherwise half is as much as the idle worker can do meanwhile.
			const indexes = takeFree(flight, runningMs > STUCK_MS ? 1 : 0.5);
			if (indexes.length === 0) continue;
			for (const index of indexes) flight.taken.add(index);
			this.run({task: flight.task, lease: flight.lease, jobs: indexes.map(index => flight.jobs[index] as DequeuedJob)});
		}
	}
}

interface Slot {
	readonly threadId: number;
	readonly worker: Worker;
	phase: 'loading' | 'ready' | 'ending';
	/** The one that runs, and one that waits. */
	readonly chunks: InFlight[];
	/** So often in a row it was seen to have a chunk, run nothing and say nothing. */
	quietLooks: number;
	error: unknown;
}

/** A chunk in a worker. */
interface InFlight {
	readonly number: number;
	readonly slot: Slot;
	readonly task: string;
	readonly lease: number;
	readonly jobs: readonly DequeuedJob[];
	readonly board: Board;
	readonly givenAt: number;
	/** Jobs before this index have been reported. */
	reported: number;
	/** Of those, the ones that are not final. */
	held: Settlement[];
	/** Indexes of jobs that were taken back. */
	readonly taken: Set<number>;
	/** What was told to stop, by index; it has until the deadline before its thread is ended. */
	readonly stops: Map<number, {readonly reason: StopReason; readonly deadline: number}>;
}

/** Piscina hands to its balancer what a request has under this symbol, which is not cloned with it. */
function targetOf(request: object): number | undefined {
	return (request as {[queueOptionsSymbol]?: number})[queueOptionsSymbol];
}

function isLong({chunks}: Slot, now: number): boolean {
	const running = chunks[0]?.board.running();
	return running !== undefined && now - running.since > LONG_MS;
}

/** Takes back this share of the jobs that have not started, from the end: the worker comes from the beginning. */
function takeFree({board, jobs}: InFlight, share = 1): number[] {
	const free = [...jobs.keys()].filter(index => board.isFree(index));
	return free.slice(Math.floor(free.length * (1 - share))).filter(index => board.take(index));
}

function toMessage({number, task, board, jobs}: InFlight): ChunkMessage {
	const attempts = new Map<number, number>();
	const keys = new Map<number, string>();
	jobs.forEach((job, index) => {
		if (job.attempts > 0) attempts.set(index, job.attempts);
		if (job.key !== undefined) keys.set(index, job.key);
	});
	const first = jobs[0]?.policy.maxAttempts ?? 1;
	return {
		type: 'chunk',
		chunk: number,
		task,
		board: board.buffer,
		ids: jobs.map(job => job.id),
		executions: jobs.map(job => job.execution),
		payloads: jobs.map(job => job.payload),
		attempts,
		keys,
		maxAttempts: jobs.every(job => job.policy.maxAttempts === first) ? first : jobs.map(job => job.policy.maxAttempts),
	};
}

function settlementOf({jobs, lease}: InFlight, index: number, outcome: Outcome): Settlement {
	const {id, execution} = jobs[index] as DequeuedJob;
	return {id, lease, execution, outcome};
}

function toOutcome(flight: InFlight, index: number, {first, values, times, failures}: OutcomesMessage): Outcome {
	const offset = index - first;
	const timing = {startedAt: Math.round(times[2 * offset] as number), durationMs: times[2 * offset + 1] as number};
	const failure = failures?.get(index);
	if (flight.stops.has(index)) return stoppedOutcome(flight, index, timing, failure);
	if (failure) return {type: 'threw', error: failure, ...timing};
	return {type: 'returned', value: values[offset] ?? null, ...timing};
}

/** The settlement, unless a rejection came to light that fails the job after all. */
function withFailure({jobs}: InFlight, settlement: Settlement, failures: ReadonlyMap<number, FailureRecord>): Settlement {
	const {id, outcome} = settlement;
	const error = failures.get(jobs.findIndex(job => job.id === id));
	if (!error || outcome.type !== 'returned') return settlement;
	return {...settlement, outcome: {type: 'threw', error, startedAt: outcome.startedAt as number, durationMs: outcome.durationMs as number}};
}

type Timing = {readonly startedAt: number; readonly durationMs: number};

/** What becomes of a job that was told to stop, whether it did by itself or with its thread. */
function stoppedOutcome({stops, jobs}: InFlight, index: number, timing: Timing, failure?: FailureRecord): Outcome {
	const reason = stops.get(index)?.reason;
	const after = `after ${(timing.durationMs / 1000).toFixed(3)} s`;
	const detail = failure?.reason === 'threw' ? {causes: [failure]} : {};
	if (reason === 'interrupted') return {type: 'released', ...timing};
	if (reason === 'cancelled')
		return {type: 'cancelled', error: {reason: 'cancelled', name: 'Cancelled', message: `Cancelled while running, ${after}.`, ...detail}, ...timing};
	const {timeoutMs} = (jobs[index] as DequeuedJob).policy;
	return {
		type: 'timedOut',
		error: {reason: 'timedOut', name: 'TimedOut', message: `Stopped ${after}: the timeout is ${(timeoutMs ?? 0) / 1000} s.`, ...detail},
		...timing,
	};
}

function lostOutcome(flight: InFlight, index: number, slot: Slot, exitCode: number): Outcome {
	const running = flight.board.running();
	if (running?.index !== index) return {type: 'released'};
	const durationMs = monotonicMs() - running.since;
	const timing = {startedAt: Math.round(Date.now() - durationMs), durationMs};
	if (flight.stops.has(index)) return stoppedOutcome(flight, index, timing);
	const cause = slot.error === undefined ? [] : [toFailure(slot.error)];
	return {
		type: 'lostWorker',
		error: {
			reason: 'lostWorker',
			name: 'LostWorker',
			message: `The worker thread ${howItEnded(slot, exitCode)} while it ran this job.`,
			exitCode,
			causes: cause,
		},
		...timing,
	};
}

function howItEnded({error}: Slot, exitCode: number): string {
	const isOutOfMemory = (error as {code?: unknown} | undefined)?.code === 'ERR_WORKER_OUT_OF_MEMORY';
	return isOutOfMemory ? 'ran out of memory' : `ended with exit code ${exitCode}`;
}
