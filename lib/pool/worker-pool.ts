import {fileURLToPath} from 'node:url';
import {fromEnvelope} from '../job/error-envelope.ts';
import type {WorkerLoss} from '../job/events.ts';
import {type FailureRecord, toFailure} from '../job/failure.ts';
import type {JobId, StopReason} from '../job/job.ts';
import {JobList, type KnownJob} from '../job/job-list.ts';
import type {Outcome} from '../job/outcome.ts';
import {countOf} from '../job/packed-strings.ts';
import {countSettling, expandSettling, type Settling} from '../job/runs.ts';
import type {TaskInfo} from '../job/task.ts';
import {isHandedOver} from '../job/transfer.ts';
import type {PoolOptions} from '../job/worker-options.ts';
import {type Clock, sleep, systemClock} from '../support/clock.ts';
import {FaenaError} from '../support/errors.ts';
import {
	type ChunkReport,
	type FinalMessage,
	isWorkerMessage,
	type Loaded,
	type NoteMessage,
	type OutcomesMessage,
	type SetupMessage,
} from '../worker/messages.ts';
import {
	howItEnded,
	type InFlightChunk,
	lostSettlements,
	newProgress,
	newStarts,
	noteOf,
	reportedBy,
	runningOf,
	settlementOf,
	toMessage,
	withFailure,
} from './in-flight.ts';
import type {Chunk, Lane, Places, Pool, PoolListener} from './pool.ts';
import {isExamination} from './shapes.ts';
import {problemOf, toLoaded} from './worker-reports.ts';
import {type Ending, type PoolWorker, UNSENT, type WorkerSource} from './worker-source.ts';

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
/** The clocks of two threads differ by less than this: a job that began later than that did not. */
const MAX_AHEAD_MS = 1000;
/** A worker that has to be asked is given this long to answer; to tell a job to stop, besides the grace. */
const MAX_SILENCE_MS = 2000;
/** Wait before a worker whose module could not be loaded again is tried once more. */
const RELOAD_MS = 1000;
/** A worker that loads or sets up for longer than this is told of. */
const SLOW_START_MS = 10_000;

/** Workers that may be busy at the same time, shared by the pools of an engine. */
export interface Budget {
	readonly slots: number;
	busy: number;
}

/**
 * A pool of workers, threads or processes by its {@link WorkerSource}. One slot per worker, at most two chunks in each: one
 * that runs, one that waits, so that the worker never idles while a commit is under way. Nothing ever waits in the queues
 * of the libraries below: the pool names the worker for each chunk and gives it one only when it has a place.
 *
 * A slot is `loading` (its tasks module; a chunk that it was started for stays with the pool until then), then `ready`;
 * `retiring` when its worker has done enough and gets nothing more; `ending` from the moment its worker is told to end, or is
 * seen to fail, until it is gone. Only then do its jobs get their outcomes, and another worker is started.
 */
export class WorkerPool implements Pool {
	readonly slots: number;
	readonly #source: WorkerSource;
	readonly #options: PoolOptions;
	readonly #listener: PoolListener;
	readonly #budget: Budget;
	readonly #clock: Clock;
	readonly #slots = new Map<PoolWorker, Slot>();
	/** Chunks under way, by number. */
	readonly #flights = new Map<number, InFlight>();
	/** Jobs without an outcome. */
	#size = 0;
	#endWatch: (() => void) | undefined;
	#lastChunk = 0;
	#lastWorker = 0;
	/** `lazy`: open, and workers are added when they are needed. */
	#phase: 'new' | 'open' | 'lazy' | 'closing' = 'new';
	#started: PromiseWithResolvers<readonly TaskInfo[]> | undefined;

	constructor(
		source: WorkerSource,
		options: PoolOptions,
		listener: PoolListener,
		budget: Budget = {slots: options.workers, busy: 0},
		clock: Clock = systemClock,
	) {
		this.slots = options.workers;
		this.#source = source;
		this.#options = options;
		this.#listener = listener;
		this.#budget = budget;
		this.#clock = clock;
	}

	load(): Promise<readonly TaskInfo[]> {
		this.#started = Promise.withResolvers();
		this.#open('open', this.#options.workers);
		return this.#started.promise;
	}

	/**
	 * Instead of {@link load}, for tasks that are known to load: starts each worker with its first chunk; but one at once if a
	 * task is going to need it, and resolves when that is ready.
	 * @throws FaenaError `SetupFailed`, `BadTasksModule`
	 */
	async openLazily(isNeeded: boolean): Promise<void> {
		this.#open('lazy', 0);
		if (!isNeeded) return;
		this.#started = Promise.withResolvers();
		this.#source.add?.();
		await this.#started.promise;
	}

	#open(phase: 'open' | 'lazy', workers: number): void {
		this.#phase = phase;
		this.#source.start(workers, {
			joined: worker => this.#addSlot(worker),
			message: (worker, message) => this.#receive(worker, message),
			failing: worker => this.#fail(worker),
			gone: (worker, ending) => void this.#bury(worker, ending),
		});
	}

	get size(): number {
		return this.#size;
	}

	maxJobs(): number {
		return this.#source.maxJobs;
	}

	places(): Places {
		let idle = this.#unstarted;
		let second = 0;
		const now = this.#clock.steadyMs();
		for (const slot of this.#slots.values()) {
			if (slot.phase !== 'ready') continue;
			if (slot.flights.length === 0) idle++;
			else if (slot.flights.length === 1 && !isLong(slot, now)) second++;
		}
		return {idle: Math.min(idle, this.#budget.slots - this.#budget.busy), second};
	}

	run({task, solo, lease, jobs}: Chunk): void {
		if (jobs.length > this.maxJobs()) throw new Error(`The pool takes at most ${this.maxJobs()} jobs in a chunk; it was given ${jobs.length}.`);
		const slot = this.#pick();
		const flight: InFlight = {
			number: ++this.#lastChunk,
			slot,
			task,
			solo,
			lease,
			jobs,
			chunkState: UNSENT,
			givenAt: this.#clock.steadyMs(),
			reported: 0,
			told: 0,
			held: [],
			taken: new Set(),
			deadlines: new Map(),
			shown: -1,
			noted: {index: -1, version: 0},
			said: new Map(),
			examination: undefined,
			nonsense: undefined,
			isShared: false,
			isRecalled: false,
			over: [],
			isInterrupted: false,
		};
		if (slot.flights.push(flight) === 1) this.#budget.busy++;
		slot.jobs += jobs.length;
		this.#flights.set(flight.number, flight);
		this.#endWatch ??= this.#clock.every(WATCH_EVERY_MS, () => this.#look());
		this.#size += jobs.length;
		if (slot.phase !== 'loading') this.#send(flight);
	}

	#send(flight: InFlight): void {
		const {worker} = flight.slot;
		flight.chunkState = worker.chunkState(flight.jobs.length);
		void worker.request(toMessage(flight)).catch(() => undefined);
	}

	stop(id: JobId, reason: StopReason): boolean {
		const flight = this.#flights.values().find(each => indexOf(each, id) >= 0);
		if (!flight) return false;
		const index = indexOf(flight, id);
		this.#take(flight, [index], reason === 'cancelled' ? {type: 'cancelled'} : {type: 'released'});
		if (indexOf(flight, id) < 0) return true;
		// What a micro-batch is to give back, such as memory, only all of its jobs can.
		const running = reason === 'interrupted' ? runningOf(flight)?.indexes : undefined;
		this.#stopRunning(flight, running ?? [index], reason);
		return true;
	}

	/** The jobs that run, and since when on the pool's steady clock, as far as is known. */
	running(): {readonly id: JobId; readonly since: number}[] {
		return [...this.#flights.values()].flatMap(({chunkState, jobs}) => {
			const running = chunkState.running();
			return running ? [{id: (jobs.at(running.index) as KnownJob).id, since: running.since}] : [];
		});
	}

	async recall(task?: string): Promise<void> {
		const flights = [...this.#flights.values()].filter(flight => task === undefined || flight.task === task);
		for (const flight of flights) flight.isRecalled = true;
		await Promise.all(flights.map(flight => this.#askBack(flight, freeOf(flight))));
	}

	async heard(): Promise<void> {
		// The commands to a worker are obeyed in their order.
		await Promise.all([...this.#flights.values()].map(flight => this.#askBack(flight, [])));
	}

	/** Resolves once the worker has heard of it, has no more to do with the chunk, or does not answer: as a process that was stopped by a signal. */
	#askBack(flight: InFlight, indexes: readonly number[]): Promise<void> {
		return new Promise(resolve => {
			flight.over.push(resolve, this.#clock.after(MAX_SILENCE_MS, resolve));
			flight.chunkState.take(indexes, taken => {
				if (taken.length > 0) this.#giveBack(flight, taken, {type: 'released'});
				resolve();
			});
		});
	}

	interrupt(): void {
		for (const flight of this.#flights.values()) {
			// What is between two jobs at this moment is stopped with the next.
			flight.isRecalled = true;
			flight.isInterrupted = true;
			flight.chunkState.refresh();
			this.#stopRunning(flight, runningOf(flight)?.indexes ?? [], 'interrupted');
		}
	}

	async close(): Promise<void> {
		this.#phase = 'closing';
		this.#started?.reject(new FaenaError('Closed', 'The pool was closed while it loaded its tasks.'));
		this.interrupt();
		const idle = [...this.#slots.values()].filter(({phase, flights}) => phase === 'ready' && flights.length === 0);
		await Promise.all([...idle.map(slot => this.#tearDown(slot)), this.#letLoad()]);
		await this.#source.close();
		for (const worker of this.#slots.keys()) this.#lose(worker, {exitCode: 0});
	}

	/** A thread that is ended while it loads a native addon takes the whole process along; it is given the grace for that. */
	async #letLoad(): Promise<void> {
		const loading = [...this.#slots.values()].filter(({worker, phase}) => worker.kind === 'thread' && phase === 'loading');
		if (loading.length === 0) return;
		await Promise.race([Promise.all(loading.map(({loaded}) => loaded)), sleep(this.#clock, this.#options.graceMs)]);
	}

	// ——— slots ———

	/** Workers that may be added. */
	get #unstarted(): number {
		return this.#phase === 'lazy' ? this.#options.workers - this.#slots.size : 0;
	}

	#addSlot(worker: PoolWorker): void {
		if (this.#phase === 'closing') return;
		const slot: Slot = {
			worker,
			number: ++this.#lastWorker,
			cell: this.#freeCell(worker.kind),
			phase: 'loading',
			flights: [],
			jobs: 0,
			since: this.#clock.steadyMs(),
			quietLooks: 0,
			isBroken: false,
			isUnproven: true,
			isExamined: false,
		};
		this.#slots.set(worker, slot);
		void this.#load(slot);
	}

	/** Threads and processes of an owner share the file, so each kind has every second cell. */
	#freeCell(kind: PoolWorker['kind']): number {
		const used = new Set([...this.#slots.values()].map(({cell}) => cell));
		let cell = kind === 'process' ? 1 : 0;
		while (used.has(cell)) cell += 2;
		return cell;
	}

	async #load(slot: Slot): Promise<void> {
		const {tasks, defaults, maxValueBytes, maxCheckpointBytes, taskOutput, isolation, nice, openJobs: path} = this.#options;
		const openJobs = path === undefined ? {} : {openJobs: {path, cell: slot.cell}};
		const request = {type: 'load', worker: slot.number, tasks, defaults, maxValueBytes, maxCheckpointBytes, taskOutput, isolation, nice, ...openJobs} as const;
		this.#awaitReady(slot);
		// A request that is not answered is that of a worker that ended.
		slot.loaded = slot.worker.request(request).then(toLoaded, () => undefined);
		const loaded = await slot.loaded;
		this.#isReady(slot);
		if (!loaded || slot.phase !== 'loading') return;
		if ('tasks' in loaded) {
			slot.phase = 'ready';
			for (const flight of slot.flights) this.#send(flight);
			this.#started?.resolve(loaded.tasks);
			this.#listener.freed();
			return;
		}
		this.#started?.reject(fromEnvelope(loaded.error));
		// A module that loaded before and now doesn't: its worker is of no use, and neither is trying in a tight loop.
		await sleep(this.#clock, RELOAD_MS);
		if (slot.phase === 'loading') this.#end(slot, 'unready', toFailure(fromEnvelope(loaded.error)));
	}

	/** The worker loads, or sets the task up, from now on. */
	#awaitReady(slot: Slot, task?: string): void {
		this.#isReady(slot);
		const slow = {kind: slot.worker.kind, ...(task !== undefined && {task}), durationMs: SLOW_START_MS};
		slot.endPreparing = this.#clock.after(SLOW_START_MS, () => this.#listener.startsSlowly(slow));
	}

	#isReady(slot: Slot): void {
		slot.endPreparing?.();
		slot.endPreparing = undefined;
	}

	/** The worker that will be free first: an idle one, a new one, or one with room for a second chunk, if possible not behind a long job. */
	#pick(): Slot {
		const now = this.#clock.steadyMs();
		const ready = [...this.#slots.values()].filter(({phase, flights}) => phase === 'ready' && flights.length < 2);
		const hasBudget = this.#budget.busy < this.#budget.slots;
		const free = hasBudget ? (ready.find(({flights}) => flights.length === 0) ?? this.#add()) : undefined;
		const busy = ready.filter(({flights}) => flights.length > 0);
		const slot = free ?? busy.find(each => !isLong(each, now)) ?? busy[0];
		if (!slot) throw new Error('The pool was given a chunk and has no place for it.');
		return slot;
	}

	#add(): Slot | undefined {
		if (this.#unstarted === 0) return undefined;
		this.#source.add?.();
		return [...this.#slots.values()].at(-1);
	}

	#retireIfDue(slot: Slot, memoryBytes: number): void {
		const {recycle} = this.#options;
		const isDue = slot.jobs >= recycle.jobs || this.#clock.steadyMs() - slot.since >= recycle.ageMs || memoryBytes >= recycle.memoryBytes;
		if (isDue && slot.phase === 'ready') slot.phase = 'retiring';
		if (slot.phase === 'retiring' && slot.flights.length === 0) void this.#tearDown(slot).then(() => this.#end(slot, 'retired'));
	}

	/** Lets the tasks of an idle worker clean up, as long as the grace lasts. */
	async #tearDown(slot: Slot): Promise<void> {
		const done = slot.worker.request({type: 'teardown'}).catch(() => undefined);
		await Promise.race([done, sleep(this.#clock, this.#options.graceMs)]);
	}

	/** Ends the worker. What it posted before still arrives, unless it is broken; when it is gone, the rest is settled. */
	#end(slot: Slot, reason: EndReason, error?: FailureRecord): void {
		if (slot.phase === 'ending') return;
		// While the commands of its job are killed it would go on with the next job.
		if (slot.worker.kind !== 'caller') for (const flight of [...slot.flights]) this.#take(flight, freeOf(flight), {type: 'released'});
		if (slot.worker.end()) {
			slot.phase = 'ending';
			slot.end = {reason, ...(error && {error})};
		} else if (reason !== 'stopped' || slot.flights[0]?.isInterrupted) this.#forsake(slot);
	}

	/** A caller can't be ended. What it can't run comes back all the same, or the engine could never close. */
	#forsake(slot: Slot): void {
		for (const flight of [...slot.flights]) {
			this.#take(flight, freeOf(flight), {type: 'released'});
			this.#loseFlight(flight, {exitCode: null});
		}
		slot.isBroken = false;
		this.#listener.freed();
	}

	/** The worker said what can't be true of this chunk. */
	#break(flight: InFlight, problem: string): void {
		flight.nonsense = problem;
		const {slot} = flight;
		slot.isBroken = true;
		this.#end(slot, 'broken', toFailure(new Error(`The worker's report was not believed, since ${problem}.`), 'lostWorker'));
	}

	/** Ends the worker of a job that does not heed its stop, after a look at where it is if that is to be told; unless it ends meanwhile. */
	async #endHard(slot: Slot, flight: InFlight, index: number): Promise<void> {
		if (slot.isExamined) return;
		slot.isExamined = true;
		// To be ended it is, whatever the look at it comes to.
		const isTold = flight.chunkState.stopReason(index) !== 'interrupted';
		const examination = isTold ? await slot.worker.examine().catch(() => undefined) : undefined;
		slot.isExamined = false;
		if (!this.#flights.has(flight.number)) return;
		flight.chunkState.refresh();
		if (flight.chunkState.running()?.index !== index) return;
		flight.examination = isExamination(examination) ? examination : undefined;
		this.#end(slot, 'stopped');
	}

	#fail(worker: PoolWorker): void {
		const slot = this.#slots.get(worker);
		// One that loads has no chunk to lose, and is not replaced at once.
		if (slot && slot.phase !== 'loading') slot.phase = 'ending';
	}

	/** A worker that ends while it loads is not replaced in a tight loop, nor are its jobs given back in one. */
	async #bury(worker: PoolWorker, ending: Ending): Promise<void> {
		const slot = this.#slots.get(worker);
		if (slot?.phase === 'loading') {
			const unloadable = this.#unloadable(worker, ending);
			this.#started?.reject(unloadable);
			slot.end = {reason: 'unready', error: toFailure(unloadable)};
			await sleep(this.#clock, RELOAD_MS);
		}
		this.#lose(worker, ending);
	}

	#lose(worker: PoolWorker, ending: Ending): void {
		const slot = this.#slots.get(worker);
		if (!slot || !this.#slots.delete(worker)) return;
		slot.phase = 'ending';
		this.#isReady(slot);
		if (this.#phase !== 'closing' && slot.end?.reason !== 'retired' && worker.kind !== 'caller') this.#listener.lost(lossOf(slot, worker.kind, ending));
		for (const flight of slot.flights) {
			flight.chunkState.refresh();
			// One that has started a job is to blame, and no chunk that waited behind it.
			if (flight.chunkState.lastStarted()) slot.isUnproven = false;
		}
		for (const flight of [...slot.flights]) this.#loseFlight(flight, ending);
		if (this.#phase === 'open') this.#source.add?.();
		this.#listener.freed();
	}

	#loseFlight(flight: InFlight, ending: Ending): void {
		const {worker, end, isUnproven} = flight.slot;
		flight.chunkState.refresh();
		this.#noteProgress(flight);
		const wasEnded = this.#phase === 'closing' || end !== undefined;
		const settlements = lostSettlements(flight, {worker, ending, wasEnded, wasSilent: end?.reason === 'blocked', isUnproven}, this.#clock);
		this.#finish(flight);
		this.#ended(flight, settlements);
	}

	#unloadable({kind}: PoolWorker, ending: Ending): FaenaError {
		if (ending.error instanceof FaenaError) return ending.error;
		const module = fileURLToPath(this.#options.tasks);
		const [, refusal] = /: (bad option: .*)/.exec(ending.stderr ?? '') ?? [];
		if (refusal) return new FaenaError('BadOption', `open() expects as execArgv options of Node's; a worker ${kind} said: ${refusal}`);
		const limit = ending.isOutOfMemory && ending.limitBytes ? ` Its limit was ${ending.limitBytes / 1024 ** 2} MiB (maxOldGenerationSizeMb).` : '';
		const complaint = ending.stderr ? ` It said: ${ending.stderr.trim()}` : '';
		const thrown = ending.error === undefined || ending.exitCode === null || ending.isOutOfMemory ? '' : ` ${toFailure(ending.error).message}`;
		return new FaenaError(
			'BadTasksModule',
			`The tasks module ${module} can't be loaded: its worker ${kind} ${howItEnded(ending)}.${limit}${complaint}${thrown}`,
			{
				cause: ending.error,
			},
		);
	}

	// ——— messages ———

	#receive(worker: PoolWorker, message: unknown): void {
		const slot = this.#slots.get(worker);
		if (!slot || slot.isBroken || !isWorkerMessage(message)) return;
		if (message.type === 'setup') this.#heardOfSetup(slot, message);
		else this.#heardOfChunk(slot, message);
	}

	#heardOfSetup(slot: Slot, {worker, task}: SetupMessage): void {
		if (slot.number !== worker) return;
		if (typeof task === 'string') this.#awaitReady(slot, task);
		else this.#isReady(slot);
	}

	#heardOfChunk(slot: Slot, message: ChunkReport): void {
		const flight = this.#flights.get(message.chunk);
		if (flight?.slot !== slot) return;
		const problem = problemOf(flight, message, this.#options);
		if (problem !== undefined) this.#break(flight, problem);
		else if (message.type === 'note') this.#note(flight, message);
		else if (message.type === 'outcomes') this.#hold(flight, message);
		else this.#settle(flight, message);
	}

	#note(flight: InFlight, {index, progress, logs, checkpoint}: NoteMessage): void {
		if (progress) flight.said.set(index, progress);
		this.#listener.noted(noteOf(flight, index, {...(progress && {progress}), ...(logs && {logs}), ...(checkpoint && {checkpoint})}));
	}

	#hold(flight: InFlight, message: OutcomesMessage): void {
		// A worker that has to be asked may tell of a job that was taken back before its watchdog does.
		if (message.skipped) {
			this.#giveBackCancelled(flight, [...message.skipped]);
			this.#giveBack(flight, [...message.skipped], {type: 'released'});
		}
		for (const settlement of reportedBy(flight, message)) flight.held.push(settlement);
		flight.reported = message.first + countOf(message.values);
		flight.slot.quietLooks = 0;
		flight.slot.isUnproven = false;
	}

	#settle(flight: InFlight, {failures, isLast, memoryBytes = 0}: FinalMessage): void {
		const settling = failures ? expandSettling(flight.held).map(each => withFailure(flight, each, failures)) : flight.held;
		flight.held = [];
		flight.told = flight.reported;
		if (isLast) this.#finish(flight);
		this.#ended(flight, settling);
		if (!isLast) return;
		this.#retireIfDue(flight.slot, memoryBytes);
		this.#listener.freed();
	}

	#finish(flight: InFlight): void {
		const {flights} = flight.slot;
		flights.splice(flights.indexOf(flight), 1);
		if (flights.length === 0) this.#budget.busy--;
		this.#flights.delete(flight.number);
		for (const call of flight.over) call();
		if (this.#flights.size > 0) return;
		this.#endWatch?.();
		this.#endWatch = undefined;
	}

	#ended({task}: InFlight, settling: readonly Settling[]): void {
		this.#size -= countSettling(settling);
		if (settling.length > 0) this.#listener.ended(task, settling);
	}

	/** Takes back those of the jobs that have not started, and gives them this outcome. */
	#take(flight: InFlight, indexes: readonly number[], outcome: Outcome): void {
		flight.chunkState.take(indexes, taken => this.#giveBack(flight, taken, outcome));
	}

	#giveBack(flight: InFlight, indexes: readonly number[], outcome: Outcome): void {
		const fresh = indexes.filter(index => !flight.taken.has(index));
		for (const index of fresh) flight.taken.add(index);
		const settlements = fresh.map(index => settlementOf(flight, index, outcome));
		if (flight.chunkState === UNSENT) this.#shorten(flight);
		this.#ended(flight, settlements);
	}

	/** Of jobs that were taken back, those that were cancelled meanwhile. */
	#giveBackCancelled(flight: InFlight, indexes: readonly number[]): void {
		this.#giveBack(
			flight,
			indexes.filter(index => flight.chunkState.stopReason(index) === 'cancelled'),
			{type: 'cancelled'},
		);
	}

	/** Lets those go that were taken back before the chunk was sent, and all of it if none is left. */
	#shorten(flight: InFlight): void {
		flight.jobs = new JobList(flight.jobs.all.filter((_, index) => !flight.taken.has(index)));
		flight.taken.clear();
		if (flight.jobs.length > 0) return;
		this.#finish(flight);
		this.#listener.freed();
	}

	// ——— watching ———

	#look(): void {
		for (const slot of this.#slots.values()) {
			const [flight] = slot.flights;
			if (!flight || (slot.phase !== 'ready' && slot.phase !== 'retiring')) continue;
			for (const each of [...slot.flights]) each.chunkState.refresh();
			this.#lookAt(slot, flight, this.#clock.steadyMs());
		}
	}

	#lookAt(slot: Slot, flight: InFlight, now: number): void {
		const running = runningOf(flight);
		if (!running || running.since > now + MAX_AHEAD_MS) {
			if (!slot.endPreparing && ++slot.quietLooks > MAX_QUIET_LOOKS) this.#end(slot, 'blocked');
			return;
		}
		slot.quietLooks = 0;
		const {indexes, since} = running;
		this.#noteProgress(flight);
		if (now > least(indexes, index => flight.deadlines.get(index))) void this.#endHard(slot, flight, indexes[0] as number);
		if (flight.isInterrupted) this.#stopRunning(flight, indexes, 'interrupted');
		if (now - since > least(indexes, index => flight.jobs.at(index)?.policy.timeoutMs)) this.#stopRunning(flight, indexes, 'timedOut');
		// What ended before a job that runs for so long need not wait for its end, whatever may still come to light.
		if (now - since > LONG_MS) {
			for (const start of newStarts(flight, running, this.#clock)) this.#listener.noted(start);
			flight.told = flight.reported;
			this.#ended(flight, flight.held.splice(0));
		}
		this.#relieve(slot, now, now - since);
	}

	#noteProgress(flight: InFlight): void {
		const note = newProgress(flight);
		if (note) this.#listener.noted(note);
	}

	#stopRunning({chunkState, deadlines}: InFlight, indexes: readonly number[], reason: StopReason): void {
		const graceEnd = () => this.#clock.steadyMs() + this.#options.graceMs;
		for (const index of indexes) {
			chunkState.stop(index, reason, () => deadlines.set(index, graceEnd()));
			// A process that was stopped by a signal hears nothing.
			if (!deadlines.has(index)) deadlines.set(index, graceEnd() + MAX_SILENCE_MS);
		}
	}

	/** Shares what has waited in this worker for long with idle ones, or gives it back to the queue. */
	#relieve(slot: Slot, now: number, runningMs: number): void {
		for (const flight of [...slot.flights]) {
			const idle = this.places().idle - this.#promised();
			if (idle <= 0 && runningMs > STRANDED_MS) this.#take(flight, freeOf(flight), {type: 'released'});
			if (idle <= 0 || now - flight.givenAt < STUCK_MS) continue;
			// Behind a job that is itself long nothing may stay; otherwise half is as much as the idle worker can do meanwhile.
			const indexes = freeOf(flight, runningMs > STUCK_MS ? 1 : 0.5);
			if (indexes.length === 0) continue;
			flight.isShared = true;
			flight.chunkState.take(indexes, taken => {
				flight.isShared = false;
				this.#move(flight, taken);
			});
		}
	}

	/** Idle workers that will get what others were asked to give back. */
	#promised(): number {
		return [...this.#flights.values()].filter(({isShared}) => isShared).length;
	}

	#move(flight: InFlight, indexes: readonly number[]): void {
		// A job may have been cancelled while the worker was asked for it. Another worker would know nothing of that.
		this.#giveBackCancelled(flight, indexes);
		const fresh = indexes.filter(index => !flight.taken.has(index));
		// A payload whose memory is in the other worker is read again by whoever dequeues its job.
		const isGone = fresh.some(index => isHandedOver(flight.jobs.all[index]?.payload ?? null));
		if (isGone || flight.isRecalled || this.places().idle === 0) this.#giveBack(flight, fresh, {type: 'released'});
		else if (fresh.length > 0) {
			for (const index of fresh) flight.taken.add(index);
			this.#size -= fresh.length;
			this.run({...laneOf(flight), lease: flight.lease, jobs: new JobList(flight.jobs.all.filter((_, index) => fresh.includes(index)))});
		}
	}
}

/** Why the pool ended a worker; `retired` once it had done enough. */
type EndReason = 'stopped' | 'blocked' | 'broken' | 'unready' | 'retired';

interface Slot {
	readonly worker: PoolWorker;
	readonly number: number;
	/** Of the file in which the workers tell which jobs they have open. */
	readonly cell: number;
	phase: 'loading' | 'ready' | 'retiring' | 'ending';
	/** The one that runs, and one that waits. */
	readonly flights: InFlight[];
	/** The answer to its `load`. */
	loaded?: Promise<Loaded | undefined>;
	/** There while the worker loads or sets up: takes back that this is told of as slow. */
	endPreparing?: (() => void) | undefined;
	/** Jobs it was given, and since when it lives: some day it has done enough. */
	jobs: number;
	readonly since: number;
	/** Why it was told to end, if it was. */
	end?: {readonly reason: EndReason; readonly error?: FailureRecord};
	/** It said what can't be true. From then on nothing that it says counts. */
	isBroken: boolean;
	/** It has not told how a job ended yet. */
	isUnproven: boolean;
	/** So often in a row it was seen to have a chunk, run nothing and report nothing. */
	quietLooks: number;
	/** It is being looked at, to be ended then. */
	isExamined: boolean;
}

interface InFlight extends InFlightChunk {
	readonly slot: Slot;
	/** An idle worker waits for what this one was asked to give back. */
	isShared: boolean;
	/** What comes back of it goes to no other worker. */
	isRecalled: boolean;
	/** Called when nothing more comes of it. */
	readonly over: (() => void)[];
	/** Whatever of it runs is to be stopped. */
	isInterrupted: boolean;
}

function lossOf({end, flights: [flight]}: Slot, kind: WorkerLoss['kind'], {exitCode, signal, isOutOfMemory, leavesProcesses}: Ending): WorkerLoss {
	flight?.chunkState.refresh();
	const job = flight?.jobs.at(flight.chunkState.running()?.index ?? -1);
	return {
		kind,
		...((end as Omit<WorkerLoss, 'kind'> | undefined) ?? {reason: isOutOfMemory ? 'outOfMemory' : 'ended'}),
		...(exitCode !== null && {exitCode}),
		...(signal !== undefined && {signal}),
		...(leavesProcesses && {leavesProcesses}),
		...(job && {job: job.id}),
	};
}

function least(indexes: readonly number[], of: (index: number) => number | null | undefined): number {
	return Math.min(...indexes.map(index => of(index) ?? Infinity));
}

function laneOf({task, solo}: InFlightChunk): Lane {
	return {task, solo};
}

function isLong({flights}: Slot, now: number): boolean {
	const running = flights[0]?.chunkState.running();
	return running !== undefined && now - running.since > LONG_MS;
}

/** Of a job without an outcome; -1 if it is not one of this flight's. */
function indexOf({jobs, taken, told}: InFlightChunk, id: JobId): number {
	const index = jobs.indexOf(id);
	return index < told || taken.has(index) ? -1 : index;
}

/** This share of the jobs that have not started, from the end: the worker comes from the beginning. */
function freeOf({chunkState, jobs, taken}: InFlightChunk, share = 1): number[] {
	const free = Array.from({length: jobs.length}, (_, index) => index).filter(index => !taken.has(index) && chunkState.isFree(index));
	return free.slice(Math.floor(free.length * (1 - share)));
}
