import type {BatchOptions, CompletedBatch} from '../job/batch.ts';
import type {OwnerId} from '../job/claim.ts';
import {toEnvelope} from '../job/error-envelope.ts';
import type {EventName, SlowStart, WorkerLoss} from '../job/events.ts';
import {type FailureRecord, toFailure} from '../job/failure.ts';
import type {BatchId} from '../job/job.ts';
import {type JobId, mostTogether} from '../job/job.ts';
import {JobList} from '../job/job-list.ts';
import type {Note, Settlement} from '../job/outcome.ts';
import {expandSettling, isReturnedRun, MAX_RUN_JOBS, type Settling, workOf} from '../job/runs.ts';
import type {TaskInfo} from '../job/task.ts';
import type {Chunk, Lane, Pool, PoolListener} from '../pool/pool.ts';
import type {Demand, JobQueue, MovedPage, TaskDemand, TurnResult} from '../store/store.ts';
import {type Clock, sleep, systemClock} from '../support/clock.ts';
import {FaenaError} from '../support/errors.ts';
import {failpoint} from '../support/failpoint.ts';
import {WakeUp} from '../support/wake-up.ts';
import {type Call, type DispatcherMessage, type EnqueueCall, VERBS, type Verbs} from '../transport/messages.ts';
import {isRefusal} from './bisection.ts';
import {Clients} from './clients.ts';
import {HeldBatches} from './held-batches.ts';
import {Maintenance, type MaintenanceResult, NOTHING} from './maintenance.ts';
import {RetryState} from './retry-state.ts';
import {ChunkSizer} from './sizing.ts';
import {Statistics} from './statistics.ts';
import {isSteering, Steering} from './steering.ts';
import {makesJobs, type Written} from './turn-parts.ts';
import {type Refused, Turns} from './turns.ts';

export interface DispatcherOptions {
	readonly owner: OwnerId;
	readonly leaseMs: number;
	/** Default: the system's. Its `now` is to be the queue's. */
	readonly clock?: Clock;
	/** What its callers want to hear of from the start. */
	readonly events?: readonly EventName[] | undefined;
	/** Its caller closes it on signals: before it settles what threw, it asks whether one has come. */
	readonly asksForSignals?: boolean;
	/** Takes what the dispatcher has to say to its callers. */
	readonly output: (message: DispatcherMessage) => void;
}

/** No further call joins a transaction that enqueues so many jobs: that lets two whole runs in. */
const ENQUEUED_PER_TURN = MAX_RUN_JOBS + 1;
/** Payload bytes dequeued in one transaction. */
const BYTES_PER_TURN = 64 * 1024 * 1024;
/** How long other calls are performed before the next turn. */
const CALLS_MS = 20;
/**
 * Notes of running jobs wait this long for company. Their worker has kept them back for up to 50 ms by then; together with the commit
 * that is to be at most 100 ms, so that no more work than that is lost with a checkpoint.
 */
const NOTE_DELAY_MS = 20;
/** A batch that is in use is asked for again for so long, and so often. */
const OWNER_DYING_MS = 1000;
const LOOK_AT_OWNER_MS = 50;
/** A caller that computes for longer is not waited for to say whether a signal has come. */
const ASKING_MS = 1000;
const NO_PLACES = {idle: 0, second: 0};
/** Each task has a lane of suspects and one of other jobs. */
const LANES_OF_TASK = 2;

/**
 * The loop between queue and pool. Everything that happens — a call, an outcome, a place in the pool, the time, another
 * process — only stores and wakes the loop, which then does one turn: settle what ended, enqueue what waits, dequeue
 * what the pool can take, in one transaction, and only after its commit start the new jobs and tell the callers.
 *
 * Phases: `running`; `draining` from the first `close` call, when nothing is dequeued and what has not started goes back;
 * `interrupting` once the time to drain is over, when running jobs are stopped; `closed`. It never runs a task itself.
 */
export class Dispatcher implements PoolListener {
	readonly #queue: JobQueue;
	readonly #pool: Pool | undefined;
	readonly #owner: OwnerId;
	readonly #leaseMs: number;
	readonly #clock: Clock;
	readonly #output: DispatcherOptions['output'];
	readonly #clients: Clients;
	readonly #wakeUp: WakeUp;
	readonly #sizer = new ChunkSizer(task => this.#maxJobs(task));
	readonly #statistics: Statistics;
	#phase: 'running' | 'draining' | 'interrupting' | 'closed' = 'running';
	/** By name. */
	#tasks: ReadonlyMap<string, TaskInfo['options']> = new Map();
	#maintenance: Maintenance | undefined;
	/** In order. */
	#calls: OtherCall[] = [];
	/** Calls that move more jobs than a page; each round of the loop moves a page for one of them. */
	#steerings: Steering[] = [];
	#idleCalls: (Call & {type: 'idle'})[] = [];
	/** Watched jobs to look up: they may have ended before they were watched, or without this dispatcher. */
	readonly #inquiries: {readonly ids: readonly JobId[]; readonly earlier: boolean}[] = [];
	#closeCalls: number[] = [];
	#outbox: Settling[] = [];
	#notes: Note[] = [];
	/** When they must be written at the latest. */
	#notesBy = Infinity;
	/** Chunks that have no place in the pool yet. A dequeue of several tasks may give more than there are places. */
	#chunks: Chunk[] = [];
	/** There may be jobs to dequeue. */
	#mayHaveReadyJobs = true;
	#nextRunAt: number | null = null;
	#drainUntil = Infinity;
	/** It closes for a signal, which commands of its jobs may have got, too: a terminal sends Ctrl-C to all. */
	#isSignalled = false;
	readonly #asksForSignals: boolean;
	/** Called with the answers to its questions, in order. */
	readonly #questions: (() => void)[] = [];
	/** Jobs that threw and wait for an answer. */
	#thrown = 0;
	#turnedAt = 0;
	/** Expected run time of the shortest chunk in the last dispatch. */
	#shortestChunkMs = 0;
	/** Of the turns; and of what the maintenance does beside them, and of batches that are to be left. */
	readonly #retries: Readonly<Record<'turn' | 'care' | 'batches', RetryState>>;
	readonly #turns: Turns;
	readonly #batches: HeldBatches;

	constructor(
		queue: JobQueue,
		makePool: ((listener: PoolListener) => Pool) | undefined,
		{owner, leaseMs, clock = systemClock, events, asksForSignals = false, output}: DispatcherOptions,
	) {
		this.#queue = queue;
		this.#pool = makePool?.(this);
		this.#statistics = new Statistics(this.#pool?.slots ?? 0, clock.steadyMs);
		this.#owner = owner;
		this.#leaseMs = leaseMs;
		this.#asksForSignals = asksForSignals;
		this.#clock = clock;
		this.#wakeUp = new WakeUp(clock);
		this.#retries = {turn: new RetryState(clock), care: new RetryState(clock), batches: new RetryState(clock)};
		this.#output = output;
		this.#clients = new Clients(output, events);
		this.#turns = new Turns(queue, owner, clock, {
			leftOut: (what, refusal) => this.#tellRefused(what, refusal),
			refuse: (call, refusal) => this.#clients.refuse(call, refusal),
			meanwhile: () => this.#maintainMeanwhile(),
		});
		this.#batches = new HeldBatches(queue, owner);
		queue.onBatchCompleted(batch => this.#batchCompleted(batch));
	}

	/** Loads the tasks and begins. Resolves with the tasks it can run. */
	async start(): Promise<readonly TaskInfo[]> {
		const [infos] = await Promise.all([this.#load(), this.#recover()]);
		failpoint('pool:loaded');
		this.#tasks = new Map(infos.map(({name, options}) => [name, options]));
		this.#maintenance = new Maintenance(this.#queue, this.#owner, this.#leaseMs, this.#clock, () => this.#wakeUp.set());
		void this.#run();
		return infos;
	}

	async #load(): Promise<readonly TaskInfo[]> {
		try {
			return (await this.#pool?.load()) ?? [];
		} catch (error) {
			await this.#pool?.close();
			throw error;
		}
	}

	/** The first recovery, while the workers start. If it fails, the maintenance tries again, and tells. */
	async #recover(): Promise<void> {
		try {
			const jobs = await this.#queue.recover();
			if (jobs > 0) this.#clients.tell({type: 'recovered', jobs});
		} catch {
			// See above.
		}
	}

	receive(calls: readonly Call[]): void {
		for (const call of calls) {
			if (call.type === 'signalsTold') this.#questions.shift()?.();
			else if (this.#phase !== 'running' && call.type !== 'close') this.#clients.refuse(call.call, new FaenaError('Closed', 'This engine is closed.'));
			else if (call.type === 'enqueue') this.#clients.add(call);
			else if (call.type === 'close') this.#beginClose(call);
			else this.#calls.push(call);
		}
		this.#wakeUp.set();
	}

	/** Its job, if it has one for that, came into the queue with it. */
	#batchCompleted(batch: CompletedBatch): void {
		this.#clients.tell({type: 'batchCompleted', ...batch});
		this.#mayHaveReadyJobs = true;
		this.#wakeUp.set();
	}

	// ——— what the pool tells ———

	ended(task: string, settling: readonly Settling[]): void {
		const thrown = this.#asksForSignals ? settling.filter(hasThrown) : [];
		for (const each of settling) if (thrown.length === 0 || !hasThrown(each)) this.#outbox.push(each);
		if (thrown.length > 0) void this.#settleThrown(thrown);
		const {jobs, totalMs} = workOf(settling);
		if (jobs > 0) this.#sizer.observe(task, jobs, totalMs);
		this.#statistics.ended(task, settling);
		// There is room for the next.
		if (this.#tasks.get(task)?.concurrency !== undefined) this.#mayHaveReadyJobs = true;
		this.#wakeUp.set();
	}

	/** Ctrl-C in a terminal ends the commands of tasks, too: that they threw may be known here before their caller has told of the signal. */
	async #settleThrown(thrown: readonly Settling[]): Promise<void> {
		this.#thrown += thrown.length;
		this.#output({type: 'signals'});
		await Promise.race([new Promise<void>(resolve => void this.#questions.push(resolve)), sleep(this.#clock, ASKING_MS)]);
		this.#thrown -= thrown.length;
		this.#outbox.push(...thrown);
		this.#wakeUp.set();
	}

	noted(note: Note): void {
		if (this.#notes.push(note) > 1) return;
		this.#notesBy = this.#clock.steadyMs() + NOTE_DELAY_MS;
		this.#clock.after(NOTE_DELAY_MS, () => this.#wakeUp.set());
	}

	freed(): void {
		this.#feed();
		this.#wakeUp.set();
	}

	lost(loss: WorkerLoss): void {
		this.#statistics.workerLost(loss);
		this.#clients.tell({type: 'workerLost', ...loss});
		this.#wakeUp.set();
	}

	/** Told at once: it may be what a start waits for. */
	startsSlowly(slow: SlowStart): void {
		this.#clients.tell({type: 'slowStart', ...slow});
		this.#clients.flush();
	}

	memoryShort(id: JobId): void {
		this.#clients.tell({type: 'memoryShort', id});
	}

	// ——— the loop ———

	async #run(): Promise<void> {
		while (this.#phase !== 'closed') {
			await this.#wakeUp.wait(this.#sleepMs());
			// While all workers are busy, most outcomes can wait.
			if (this.#restMs() > 0 && !this.#maintenance?.isOverdue) continue;
			// Whatever else has arrived by now shares the transaction.
			await this.#clock.nextTurn();
			try {
				await this.#maintain();
				await this.#leaveBatches();
				if (this.#restMs() > 0) continue;
				await this.#performSome();
				await this.#turn();
				await this.#answerIdle();
				if (this.#phase !== 'running') await this.#shutDown();
				this.#clients.flush();
			} catch (error) {
				this.#fail(error);
			}
		}
	}

	#sleepMs(): number {
		if (this.#calls.length + this.#steerings.length > 0) return 0;
		if (this.#retries.turn.count > 0) return this.#retries.turn.restMs;
		if (this.#outbox.length > 0) return Math.max(0, this.#restMs());
		if (this.#phase === 'draining') return Math.max(0, this.#drainUntil - this.#clock.steadyMs());
		// While lanes rest, the maintenance's timer wakes it often enough.
		if (this.#phase !== 'running' || this.#nextRunAt === null || this.#turns.leavesLanesOut || !this.#hasPlace()) return Infinity;
		return Math.max(0, this.#restMs(), this.#nextRunAt - this.#clock.now());
	}

	/**
	 * How long the next turn can wait for company: while every worker has its next chunk already and no caller waits, it
	 * would only cost an fsync; and where a worker could take another chunk, until shortly before it ends the one it has. Notes
	 * wait for less.
	 */
	#restMs(): number {
		if (this.#phase !== 'running' || !this.#pool || this.#retries.turn.count > 0 || this.#hasCalls) return 0;
		const {idle, second} = this.#pool.places();
		if (idle > 0) return 0;
		const {workMs} = this.#sizer;
		const turnAt = this.#turnedAt + (second > 0 ? Math.min(workMs, this.#sizer.patienceMs(this.#shortestChunkMs)) : workMs);
		return Math.min(turnAt, this.#notesBy) - this.#clock.steadyMs();
	}

	get #hasCalls(): boolean {
		return this.#calls.length + this.#steerings.length > 0 || this.#clients.hasEnqueues;
	}

	async #maintain(): Promise<void> {
		if (this.#retries.care.restMs > 0) return;
		await this.#carefully(async () => {
			const findings = (await this.#maintenance?.tick()) ?? NOTHING;
			if (findings === NOTHING) return;
			this.#heed(findings);
			await this.#clients.inquireSome(this.#queue, findings.changed);
			await this.#answerInquiries();
			this.#retries.care.clear();
		});
	}

	/** For what is done between turns. A failure is told; the work is then tried again after a while. */
	async #carefully(work: () => Promise<void>): Promise<void> {
		try {
			await work();
		} catch (error) {
			this.#setBack('care', error);
		}
	}

	#heed({changed, stops, recovered, isOwnerLost, logBytes, secondLibrary, refusal}: MaintenanceResult): void {
		if (isOwnerLost) {
			void this.#recall();
			// Other engines have these jobs now. Their results here would be refused.
			this.#pool?.interrupt();
			this.#clients.tell({type: 'ownerLost'});
		}
		if (recovered > 0) this.#clients.tell({type: 'recovered', jobs: recovered});
		if (refusal) this.#tellRefused({}, refusal);
		if (logBytes !== undefined) this.#clients.tell({type: 'logGrown', logBytes});
		if (secondLibrary) this.#clients.tell({type: 'secondLibrary', ...secondLibrary});
		if (changed || recovered > 0) this.#mayHaveReadyJobs = true;
		for (const {id} of stops) this.#stop(id);
	}

	/** Looks up whether these watched jobs have ended: now or, if that fails, later. */
	async #inquire(ids: readonly JobId[], earlier = false): Promise<void> {
		if (ids.length === 0) return;
		this.#inquiries.push({ids, earlier});
		if (this.#retries.care.restMs === 0) await this.#carefully(() => this.#answerInquiries());
	}

	async #answerInquiries(): Promise<void> {
		for (let next = this.#inquiries[0]; next; next = this.#inquiries[0]) {
			await this.#clients.inquire(this.#queue, next.ids, next.earlier);
			this.#inquiries.shift();
		}
	}

	/** What can't be written at the end needs not be: the owner's end frees its batches. */
	async #leaveBatches(): Promise<void> {
		if (this.#phase !== 'running' || this.#retries.batches.restMs > 0) return;
		try {
			await this.#batches.leaveRest();
			this.#retries.batches.clear();
		} catch (error) {
			this.#setBack('batches', error);
		}
	}

	/** Keeps the heartbeat going during many transactions in a row. */
	async #maintainMeanwhile(): Promise<void> {
		// Transactions that do not wait keep the event loop from turning, and timers from ringing.
		await this.#clock.nextTurn();
		await this.#maintain();
	}

	/** One transaction: settle, enqueue, dequeue. */
	async #turn(): Promise<void> {
		if (this.#retries.turn.restMs > 0) return;
		const enqueues = this.#clients.takeEnqueues(ENQUEUED_PER_TURN);
		const outcomes = this.#outbox.splice(0);
		if (outcomes.length > 0) failpoint('outcome:received');
		const settle = this.#isSignalled ? outcomes.map(uncharged) : outcomes;
		const notes = this.#notes.splice(0);
		this.#notesBy = Infinity;
		const demand = this.#demand(enqueues.length > 0 || settle.some(makesJobs));
		if (settle.length + notes.length + enqueues.length === 0 && !demand) return this.#retries.turn.clear();
		const begunAt = this.#clock.steadyMs();
		const written = {settle, notes, enqueues};
		let result: TurnResult;
		try {
			result = await this.#turns.turn(written, demand);
		} catch (error) {
			return this.#rescue(error, written, demand);
		}
		this.#turnedAt = this.#clock.steadyMs();
		this.#sizer.observeTurn(this.#turnedAt - begunAt);
		this.#statistics.committed(this.#turnedAt - begunAt);
		this.#retries.turn.clear();
		// The transaction is committed: an error from here on must not refuse or settle anything again.
		if (enqueues.length > 0) failpoint('enqueue:committed');
		if (settle.length > 0) failpoint('settle:committed');
		if (notes.length > 0) failpoint('notes:committed');
		if (result.dequeued.jobs.length > 0) failpoint('dequeue:committed');
		await this.#apply(result, written, demand);
		if (this.#clients.hasEnqueues) this.#wakeUp.set();
	}

	async #apply(result: TurnResult, {settle, notes, enqueues}: Written, demand: Demand | undefined): Promise<void> {
		this.#nextRunAt = result.nextRunAt;
		const arrived = enqueues.length > 0 || result.settled.includes('pending') || settle.some(makesJobs);
		// If the demand left lanes out, these may have jobs.
		const asksAll = demand?.tasks.length === LANES_OF_TASK * this.#tasks.size;
		this.#mayHaveReadyJobs = demand ? result.backlog > 0 || !asksAll : this.#mayHaveReadyJobs || arrived;
		this.#dispatch(result.dequeued, result.backlog);
		for (const id of result.dequeued.passedOver ?? []) this.#tellRefused({id}, passedOver(id));
		for (const note of notes) this.#clients.noted(note);
		await this.#inquire(this.#clients.enqueued(enqueues, result.enqueued), true);
		await this.#tellSettled(settle, result);
		// If the tally says more than there is, asking again at once would never end.
		const isFruitless = demand !== undefined && result.dequeued.jobs.length === 0;
		if (this.#mayHaveReadyJobs && !isFruitless && this.#hasPlace()) this.#wakeUp.set();
	}

	async #tellSettled(settling: readonly Settling[], result: TurnResult): Promise<void> {
		this.#statistics.settled(result.settled);
		// Usually nobody waits for any of them.
		if (!this.#clients.awaitsCompleted && result.settled.every(status => status === 'completed')) return;
		const settle = expandSettling(settling);
		this.#clients.settled(settle, await this.#withPoison(settle, result));
		// These were settled before: by another engine, or by a turn of ours that reported an error and took effect. So how they ended is looked up.
		const lost = settle.filter((_, index) => result.settled[index] === 'lost' || result.settled[index] === 'withdrawn');
		await this.#inquire(lost.map(({id}) => id));
	}

	/** Adds the error that the queue keeps for jobs that killed their workers too often, if it can be read. */
	async #withPoison(settle: readonly Settlement[], {settled, refused}: TurnResult): Promise<Pick<TurnResult, 'settled' | 'refused'>> {
		const lost = [...settle.entries()].filter(([index, {outcome}]) => outcome.type === 'lostWorker' && settled[index] === 'dead');
		if (lost.length === 0) return {settled, ...(refused && {refused})};
		const ends = new Map<JobId, FailureRecord | undefined>();
		await this.#carefully(async () => {
			for (const {id, error} of await this.#queue.ends(lost.map(([, {id}]) => id))) ends.set(id, error);
		});
		const errors = lost.flatMap(([index, {id}]) => (ends.get(id) ? [[index, ends.get(id) as FailureRecord] as const] : []));
		return {settled, refused: new Map([...(refused ?? []), ...errors])};
	}

	/**
	 * Goes on after a transaction that failed. If it was refused, it is written in parts, so that only what is refused is left out. Otherwise
	 * its enqueue calls are refused, and the rest is tried again without them, since finished work must not be done again. Notes are kept
	 * with the outcomes, since a checkpoint that comes with an outcome is the last one.
	 */
	async #rescue(error: unknown, written: Written, demand: Demand | undefined): Promise<void> {
		this.#statistics.failedToCommit();
		const isRefused = isRefusal(error);
		const {enqueues} = written;
		if (!isRefused) for (const {call} of enqueues) this.#clients.refuse(call, error);
		const {refusals, stopped} = await this.#turns.inParts(isRefused ? written : {...written, enqueues: []}, (result, part) =>
			this.#apply(result, part, undefined),
		);
		if (stopped) this.#putBack(stopped.left, stopped.error);
		// The calls were the cause, and their callers were told.
		if (!isRefused && !stopped && enqueues.length > 0) this.#retries.turn.clear();
		if (stopped || !isRefused) return this.#setBack('turn', isRefused ? stopped?.error : error);
		this.#retries.turn.clear();
		if (demand && refusals === 0) this.#turns.dequeueRefused(demand, error);
		this.#wakeUp.set();
	}

	#putBack({settle, notes, enqueues}: Written, error: unknown): void {
		this.#outbox = [...settle, ...this.#outbox];
		this.#notes = [...notes, ...this.#notes];
		for (const {call} of enqueues) this.#clients.refuse(call, error);
	}

	#tellRefused(what: Refused, refusal: FaenaError): void {
		this.#clients.tell({type: 'refused', ...what, error: toFailure(refusal)});
	}

	/** Tells and waits; or fails, if there is no hope. */
	#setBack(what: 'turn' | 'care' | 'batches', error: unknown): void {
		const isRefused = isRefusal(error);
		const waitMs = this.#retries[what].add(error, isRefused ? Infinity : this.#drainUntil);
		const {count} = this.#retries[what];
		// A damaged row may stay for ever: it is told once.
		if (!isRefused || count === 1) this.#clients.tell({type: 'setBack', setbacks: count, waitMs, error: toFailure(error)});
	}

	// ——— dequeuing ———

	#hasPlace(): boolean {
		return [...this.#tasks.keys()].some(task => this.#placesFor({task, solo: false}) > 0);
	}

	/** What the pool can take: for each task as many jobs as make chunks for its free places. */
	#demand(arrives: boolean): Demand | undefined {
		const isDue = this.#nextRunAt !== null && this.#nextRunAt <= this.#clock.now();
		if (this.#phase !== 'running' || this.#chunks.length > 0 || !(this.#mayHaveReadyJobs || arrives || isDue)) return undefined;
		const lanes = [...this.#tasks].flatMap(([task, {concurrency}]) => this.#demandOf(task, concurrency));
		const {tasks, ...rest} = this.#turns.askable({owner: this.#owner, tasks: lanes, limit: 0, maxBytes: BYTES_PER_TURN});
		const limit = Math.max(0, ...tasks.map(each => each.limit));
		return limit === 0 ? undefined : {...rest, tasks, limit};
	}

	#demandOf(task: string, concurrency: number | undefined): TaskDemand[] {
		const demand = {task, limit: this.#sizeOf(task) * this.#placesFor({task, solo: false}), ...(concurrency !== undefined && {concurrency})};
		const {idle} = this.#pool?.places({task, solo: true}) ?? NO_PLACES;
		// Not more than other jobs of the task either: what has ended is reported only once a long job after it has ended, too.
		const suspects = idle > 0 ? Math.min(mostTogether(1), this.#sizeOf(task)) : 0;
		return [demand, {...demand, limit: suspects, suspects: true}];
	}

	/** Jobs in a chunk. What is claimed counts as running, so that jobs of a task with a limit, also of memory, go one by one. */
	#sizeOf(task: string): number {
		const {concurrency, memoryBytes, batchSize = 1} = this.#tasks.get(task) ?? {};
		const most = this.#maxJobs(task);
		const together = Math.min(batchSize, most);
		if (concurrency !== undefined || memoryBytes !== undefined) return together;
		return Math.min(Math.ceil(this.#sizer.size(task) / together), Math.floor(most / together)) * together;
	}

	/** What the pool takes in a chunk of the task. */
	#maxJobs(task: string): number {
		return this.#pool?.maxJobs({task, solo: false}) ?? 1;
	}

	/** Chunks of this kind that the pool can take now: a second one in a worker only while the task's jobs are short. */
	#placesFor(lane: Lane): number {
		const {idle, second} = this.#pool?.places(lane) ?? NO_PLACES;
		return idle + (this.#sizer.isShort(lane.task) ? second : 0);
	}

	/**
	 * Cuts what was dequeued into chunks and starts them. A chunk is at most an even share of the free places, and of twice as
	 * many as there are slots of what is left: so the last ones are small, and all workers are done at about the same time.
	 */
	#dispatch({lease, jobs}: TurnResult['dequeued'], backlog: number): void {
		if (jobs.length === 0) return;
		const suspects = jobs.filter(job => isSuspect(job));
		for (const [task, together] of Map.groupBy(suspects, job => job.task)) this.#chunks.push({task, solo: true, lease, jobs: new JobList(together)});
		for (const [task, parts] of Map.groupBy(
			jobs.filter(job => !isSuspect(job)),
			job => job.task,
		)) {
			const lane = {task, solo: false};
			const own = new JobList(parts);
			const most = Math.min(this.#sizeOf(task), Math.ceil(own.length / Math.max(1, this.#placesFor(lane))));
			const least = Math.min(most, Math.max(this.#sizer.leastSize(task), this.#tasks.get(task)?.batchSize ?? 1));
			for (let start = 0; start < own.length; ) {
				const share = Math.ceil((own.length - start + backlog) / (2 * (this.#pool?.slots ?? 1)));
				const size = Math.max(least, Math.min(most, share));
				const chunk = own.take(start, size);
				this.#chunks.push({...lane, lease, jobs: chunk});
				start += chunk.length;
			}
		}
		this.#shortestChunkMs = Math.min(...this.#chunks.map(chunk => this.#sizer.expectedMs(chunk.task, chunk.jobs.length)));
		this.#feed();
		failpoint('chunk:given');
	}

	/** A timeout that is a share of the median becomes one in milliseconds when the job is started. */
	#withTimeout<Part extends JobList['parts'][number]>(job: Part): Part {
		const {timeoutPercent} = job.policy;
		if (timeoutPercent === undefined) return job;
		return {...job, policy: {...job.policy, timeoutMs: this.#statistics.timeoutMs(job.task, timeoutPercent)}};
	}

	#feed(): void {
		this.#chunks = this.#chunks.filter(chunk => {
			const {idle, second} = this.#pool?.places(chunk) ?? NO_PLACES;
			if (idle + second === 0) return true;
			this.#statistics.dispatched(chunk.jobs.length);
			const {parts} = chunk.jobs;
			const isRelative = parts.some(({policy}) => policy.timeoutPercent !== undefined);
			this.#pool?.run(isRelative ? {...chunk, jobs: new JobList(parts.map(part => this.#withTimeout(part)))} : chunk);
			return false;
		});
	}

	/** Gives back what has not started. */
	async #recall(task?: string): Promise<void> {
		this.#release(({task: own}) => task === undefined || own === task);
		await this.#pool?.recall(task);
	}

	#release(isMeant: (chunk: Chunk) => boolean): void {
		const released = this.#chunks.filter(isMeant);
		this.#chunks = this.#chunks.filter(chunk => !isMeant(chunk));
		for (const {lease, jobs} of released) {
			for (const {id, execution} of jobs.all) this.#outbox.push({id, lease, execution, outcome: {type: 'released'}});
		}
	}

	/** Stops one job of ours, wherever it is; a job that only waits here is settled with its chunk's release. */
	#stop(id: JobId): void {
		if (this.#pool?.stop(id, 'cancelled')) return;
		this.#release(({jobs}) => jobs.indexOf(id) >= 0);
	}

	// ——— calls ———

	/** A page of one long call, and of the other calls as many as there is time for: settling, the heartbeat and the time of running jobs don't wait for all of them. */
	async #performSome(): Promise<void> {
		const until = this.#clock.steadyMs() + CALLS_MS;
		const steering = this.#steerings.shift();
		if (steering) await this.#steer(steering);
		const calls = this.#calls.splice(0);
		let performed = 0;
		while (performed < calls.length && (performed === 0 || this.#clock.steadyMs() < until)) await this.#perform(calls[performed++] as OtherCall);
		this.#calls.unshift(...calls.slice(performed));
	}

	async #perform(call: OtherCall): Promise<void> {
		try {
			switch (call.type) {
				case 'verb':
					if (isSteering(call)) await this.#steer(new Steering(this.#queue, call));
					else await this.#performVerb(call);
					break;
				case 'watch':
					this.#clients.watch(call.ids);
					await this.#inquire(call.ids);
					this.#clients.reply(call.call, undefined);
					break;
				case 'unwatch':
					this.#clients.unwatch(call.ids);
					this.#clients.reply(call.call, undefined);
					break;
				case 'subscribe':
					this.#clients.subscribe(call.events);
					this.#clients.reply(call.call, undefined);
					break;
				case 'stats':
					this.#clients.reply(call.call, this.#statistics.report());
					break;
				case 'idle':
					this.#idleCalls.push(call);
			}
		} catch (error) {
			this.#clients.refuse(call.call, error);
		}
	}

	async #performVerb({call, verb, args}: OtherCall & {type: 'verb'}): Promise<void> {
		if (!VERBS.has(verb)) throw new FaenaError('BadOption', `There is no verb ${String(verb)}.`);
		if (verb === 'openBatch') return void this.#openBatch(call, ...(args as Parameters<Verbs['openBatch']>));
		const result = await this.#ask(verb, args);
		failpoint('verb:committed');
		// Callers may wait for a job that was deleted.
		if (verb === 'deleteBatch') await this.#carefully(() => this.#clients.inquireSome(this.#queue, true));
		if (verb === 'resume') this.#mayHaveReadyJobs = true;
		if (verb === 'pause') void this.#paused(call, args[0] as readonly string[]);
		else this.#clients.reply(call, result);
	}

	/** Answers once nothing of the tasks can start any more. A child process may take a while to hear of that, and the loop does not wait. */
	async #paused(call: number, tasks: readonly string[]): Promise<void> {
		await Promise.all(tasks.map(task => this.#recall(task)));
		this.#clients.reply(call, undefined);
		this.#clients.flush();
	}

	#ask(verb: Exclude<keyof Verbs, 'openBatch'>, args: readonly unknown[]): unknown {
		if (verb === 'closeBatch' || verb === 'leaveBatch') return this.#batches.leave(verb, args[0] as BatchId);
		const all = verb === 'endInput' ? [...args, this.#owner] : args;
		return (this.#queue[verb] as (...args: readonly unknown[]) => unknown).apply(this.#queue, all as unknown[]);
	}

	/** Beside the loop, since it may take a while. */
	async #openBatch(call: number, name: string, task: string, options?: BatchOptions): Promise<void> {
		try {
			const batch = await this.#openOnceFree(name, task, options);
			failpoint('verb:committed');
			this.#clients.reply(call, batch);
		} catch (error) {
			this.#clients.refuse(call, error);
		}
		this.#clients.flush();
		this.#wakeUp.set();
	}

	/**
	 * A batch of an owner that has died is free once the death is seen. The owner's child processes may take a moment to die, so
	 * this tries for a while; not where a map of this dispatcher has the batch.
	 */
	async #openOnceFree(name: string, task: string, options?: BatchOptions): Promise<BatchId> {
		for (const until = this.#clock.steadyMs() + OWNER_DYING_MS; ; ) {
			try {
				return await this.#batches.open(name, task, options);
			} catch (error) {
				const isInUse = error instanceof FaenaError && error.code === 'BatchInUse';
				if (!isInUse || this.#batches.has(name) || this.#clock.steadyMs() >= until) throw error;
			}
			if (!(await this.#maintenance?.recover())) await sleep(this.#clock, LOOK_AT_OWNER_MS);
		}
	}

	/** Moves one page of jobs. The last one answers the call; one that fails refuses it, and what was moved before stays so. */
	async #steer(steering: Steering): Promise<void> {
		try {
			const page = await steering.move();
			failpoint('verb:committed');
			await this.#moved(steering, page);
			if (page.isLast) void this.#steered(steering);
			else this.#steerings.push(steering);
		} catch (error) {
			this.#clients.refuse(steering.call, error);
		}
	}

	/** Answers once no job that is to be stopped can start any more, as {@link #paused}. */
	async #steered({call, result, hasAsked}: Steering): Promise<void> {
		if (hasAsked) await this.#pool?.heard();
		this.#clients.reply(call, result);
		if (hasAsked) this.#clients.flush();
	}

	async #moved({to, stops}: Steering, {ids, asked}: MovedPage): Promise<void> {
		if (to === 'pending') {
			this.#mayHaveReadyJobs = true;
			return;
		}
		if (stops) for (const id of asked) this.#stop(id);
		// What runs goes on; what has not started comes back, and is gone when that is settled.
		else if (asked.length > 0) void this.#recall();
		if (to === 'cancelled') this.#clients.cancelled(ids);
		await this.#inquire(ids);
	}

	/** Idle means that no job of our tasks, here or in another process, can still run by itself. With `waiting`, delayed jobs count, too. */
	async #answerIdle(): Promise<void> {
		if (this.#idleCalls.length === 0 || (this.#pool?.size ?? 0) + this.#thrown + this.#outbox.length > 0 || this.#clients.hasEnqueues) return;
		if (this.#retries.care.restMs > 0) return;
		const isDue = this.#tasks.size > 0 && this.#nextRunAt !== null && this.#nextRunAt <= this.#clock.now();
		await this.#carefully(async () => {
			for (const idle of [...this.#idleCalls]) {
				const {call, waiting} = idle;
				const jobs = await this.#queue.outstanding([...this.#tasks.keys()], {waiting});
				if (jobs > 0 || (isDue && !waiting)) continue;
				this.#idleCalls.splice(this.#idleCalls.indexOf(idle), 1);
				this.#clients.reply(call, undefined);
			}
		});
	}

	// ——— the end ———

	#beginClose({call, drainMs, isSignalled = false}: CloseCall): void {
		this.#closeCalls.push(call);
		this.#isSignalled ||= isSignalled;
		this.#drainUntil = Math.min(this.#drainUntil, this.#clock.steadyMs() + drainMs);
		if (this.#phase !== 'running') return;
		this.#phase = 'draining';
		void this.#recall();
		this.#wakeUp.set();
	}

	async #shutDown(): Promise<void> {
		if (this.#phase === 'closed' || this.#clients.hasEnqueues || this.#calls.length > 0) return;
		if (this.#steerings.length > 0 && this.#clock.steadyMs() < this.#drainUntil) return;
		for (const {call, interruption} of this.#steerings.splice(0)) this.#clients.refuse(call, interruption);
		if ((this.#pool?.size ?? 0) > 0) {
			if (this.#phase === 'draining' && this.#clock.steadyMs() >= this.#drainUntil) {
				this.#phase = 'interrupting';
				this.#pool?.interrupt();
			}
			return;
		}
		if (this.#thrown + this.#outbox.length > 0) return;
		this.#maintenance?.stop();
		await this.#pool?.close();
		failpoint('close:drained');
		await this.#leave();
		failpoint('close:left');
		await this.#queue.close();
		failpoint('close:closed');
		this.#phase = 'closed';
		for (const {call} of this.#idleCalls.splice(0)) this.#clients.refuse(call, new FaenaError('Closed', 'The engine was closed while idle() waited.'));
		for (const call of this.#closeCalls.splice(0)) this.#clients.reply(call, undefined);
	}

	/** Nothing is left to give back. If this can't be written, it is enough that the owner drops its lock. */
	async #leave(): Promise<void> {
		try {
			await this.#queue.leave(this.#owner);
		} catch (error) {
			this.#clients.tell({type: 'setBack', setbacks: 1, waitMs: 0, error: toFailure(error)});
		}
	}

	/** Ends the dispatcher after an error that nothing else handles. The jobs are safe in the queue, and the callers are told. */
	#fail(error: unknown): void {
		if (this.#phase === 'closed') return;
		this.#phase = 'closed';
		this.#maintenance?.stop();
		this.#clients.flush();
		this.#output({type: 'failed', error: toEnvelope(error)});
		void this.#pool?.close();
		this.#wakeUp.set();
	}
}

/** Enqueues wait at the clients; a close works at once, so that nothing after it is taken any more. */
type OtherCall = Exclude<Call, EnqueueCall | CloseCall | {type: 'signalsTold'}>;
type CloseCall = Call & {type: 'close'};

function passedOver(id: JobId): FaenaError {
	return new FaenaError('BadRow', `Job ${id} was ready and running at once, which Faena never writes. It stays as it was running, and is not started again.`);
}

function isSuspect(job: JobList['parts'][number]): boolean {
	return 'isSuspect' in job;
}

function uncharged(settling: Settling): Settling {
	if (!hasThrown(settling)) return settling;
	const {type: _, error: __, ...timing} = settling.outcome;
	return {...settling, outcome: {type: 'released', ...timing}};
}

function hasThrown(settling: Settling): settling is Settlement & {readonly outcome: {readonly type: 'threw'}} {
	return !isReturnedRun(settling) && settling.outcome.type === 'threw';
}
