import type {Ending, JobUpdate, OwnerId} from '../job/claim.ts';
import type {WorkerLoss} from '../job/events.ts';
import {type FailureRecord, toFailure} from '../job/failure.ts';
import {type EndedGroup, idAt, indexOf, MAX_GROUP_JOBS, pickEnded, sizeOf} from '../job/group.ts';
import type {JobId} from '../job/job.ts';
import type {EngineStats} from '../job/stats.ts';
import type {TaskInfo} from '../job/task.ts';
import type {Pool} from '../pool/pool.ts';
import type {ClaimRequest, Committed, SettledGroup, Store} from '../store/store.ts';
import {type Clock, sleep} from '../support/clock.ts';
import {FaenaError} from '../support/errors.ts';
import {failpoint} from '../support/failpoint.ts';
import type {Clients} from './clients.ts';
import {Commits, enqueuesJobs, type Refused, type Writes} from './commits.ts';
import {CommitTiming, Demand} from './demand.ts';
import {isRefusal, type Retries} from './retries.ts';
import {Statistics, WaitingChunks} from './statistics.ts';

/** A transaction that enqueues this many jobs takes in no further call. One more than a group, so that two full groups share it. */
const MAX_ENQUEUED_JOBS = MAX_GROUP_JOBS + 1;
/** Payload bytes claimed in one transaction. */
const MAX_CLAIMED_BYTES = 64 * 1024 * 1024;
/** The least time between two tries of lanes that are left out. Without it, a lane from which the pool can take nothing now would be tried at once. */
const MIN_LEFT_OUT_MS = 20;

/** The dispatcher, as its flow of jobs sees it. */
interface FlowHost {
	/** False once the dispatcher is closing: it then claims nothing. */
	mayClaim(): boolean;
	wake(): void;
	/** Looks up whether watched jobs have ended. */
	lookUp(): Promise<void>;
	/** Does maintenance between many transactions in a row. */
	maintain(): Promise<void>;
	/** Asks the caller whether a signal has come. */
	askForSignals(): void;
}

/** The jobs on their way between store and pool, and the commits that settle, enqueue and claim them. After a commit it starts the claimed jobs. */
export class JobFlow {
	readonly #store: Store;
	readonly #pool: Pool | undefined;
	readonly #owner: OwnerId;
	readonly #clock: Clock;
	readonly #clients: Clients;
	readonly #retries: Retries;
	readonly #host: FlowHost;
	readonly #statistics: Statistics;
	readonly #demand: Demand;
	readonly #timing: CommitTiming;
	readonly #chunks: WaitingChunks | undefined;
	readonly #commits: Commits;
	readonly #signals: SignalGate;
	#outbox: EndedGroup[] = [];
	#updates: JobUpdate[] = [];
	#mayHaveReadyJobs = true;
	/** When the next waiting job becomes due, by the wall clock. */
	#dueAt: number | null = null;

	/** @param asksForSignals see {@link SignalGate} */
	constructor({store, pool, owner, clock, clients, retries}: FlowParts, host: FlowHost, asksForSignals: boolean) {
		this.#store = store;
		this.#pool = pool;
		this.#owner = owner;
		this.#clock = clock;
		this.#clients = clients;
		this.#retries = retries;
		this.#host = host;
		this.#statistics = new Statistics(pool?.slots ?? 0, clock.steadyMs);
		this.#demand = new Demand(pool);
		this.#timing = new CommitTiming(pool, this.#demand.sizer, clock);
		this.#chunks = pool && new WaitingChunks(pool, this.#statistics);
		this.#commits = new Commits(store, owner, clock, {
			leftOut: (what, refusal) => this.publishRefusal(what, refusal),
			refuse: (call, refusal) => clients.refuse(call, refusal),
			meanwhile: () => host.maintain(),
		});
		this.#signals = new SignalGate(asksForSignals, clock, () => host.askForSignals());
	}

	setTasks(tasks: readonly TaskInfo[]): void {
		this.#demand.setTasks(tasks);
	}

	get tasks(): string[] {
		return this.#demand.tasks;
	}

	report(): EngineStats {
		return this.#statistics.report();
	}

	// ——— called by the pool ———

	ended(task: string, groups: readonly EndedGroup[]): void {
		this.#signals.pass(groups, passed => {
			this.#outbox.push(...passed);
			this.#host.wake();
		});
		this.#demand.sizer.observeGroups(task, groups);
		this.#statistics.ended(task, groups);
		if (this.#demand.isLimited(task)) this.jobsMayBeReady();
		this.#host.wake();
	}

	updated(update: JobUpdate): void {
		if (this.#updates.push(update) === 1) this.#timing.updateWaits(() => this.#host.wake());
	}

	freed(): void {
		this.#chunks?.feed();
		this.#host.wake();
	}

	workerLost(loss: WorkerLoss): void {
		this.#statistics.workerLost(loss);
	}

	// ——— called by the loop ———

	/** True if jobs of this dispatcher run, or have ended and are not settled yet. */
	get hasJobs(): boolean {
		return (this.#pool?.size ?? 0) > 0 || this.hasOutcomes;
	}

	/** True if jobs have ended and are not settled yet. */
	get hasOutcomes(): boolean {
		return this.#outbox.length + this.#signals.waiting > 0;
	}

	/** True if the next commit has something to settle. */
	get mustCommit(): boolean {
		return this.#outbox.length > 0;
	}

	/** True if a delayed job has become due. */
	get isDue(): boolean {
		return this.#dueAt !== null && this.#dueAt <= this.#clock.now();
	}

	/** How long the next commit can wait for more to write. */
	lingerMs(): number {
		return this.#timing.lingerMs();
	}

	/** How long until there may be jobs that the pool can take: until a delayed job is due, or until a lane that was left out may be tried. */
	dueInMs(): number {
		if (!this.#demand.hasCapacity) return Infinity;
		if (this.#commits.leavesLanesOut) return Math.max(MIN_LEFT_OUT_MS, this.#commits.waitMs);
		return this.#dueAt === null ? Infinity : this.#dueAt - this.#clock.now();
	}

	jobsMayBeReady(): void {
		this.#mayHaveReadyJobs = true;
	}

	/** The caller has answered whether a signal has come. */
	signalAnswered(): void {
		this.#signals.answered();
	}

	/** A signal closes the engine. */
	signalCame(): void {
		this.#signals.signalCame();
	}

	/** One transaction: settle, enqueue, claim. */
	async commit(): Promise<void> {
		const writes = this.#takeWrites();
		const {updates, settle, enqueues} = writes;
		const request = this.#request(enqueues.length > 0 || settle.some(enqueuesJobs));
		if (settle.length + updates.length + enqueues.length === 0 && !request) return this.#retries.clear('commit');
		const begunAt = this.#clock.steadyMs();
		let result: Committed;
		try {
			result = await this.#commits.commit(writes, request);
		} catch (error) {
			return this.#rescue(error, writes, request);
		}
		this.#timing.committed();
		const tookMs = this.#clock.steadyMs() - begunAt;
		this.#demand.sizer.observeCommit(tookMs);
		this.#statistics.committed(tookMs);
		this.#retries.clear('commit');
		// From here on the transaction is committed: after an error it must not be written again.
		if (enqueues.length > 0) failpoint('enqueue:committed');
		if (settle.length > 0) failpoint('settle:committed');
		if (updates.length > 0) failpoint('updates:committed');
		if (result.claimed.groups.length > 0) failpoint('dequeue:committed');
		await this.#apply(result, writes, request);
		if (this.#clients.hasEnqueues) this.#host.wake();
	}

	#takeWrites(): Writes {
		const enqueues = this.#clients.takeEnqueues(MAX_ENQUEUED_JOBS);
		const ended = this.#outbox.splice(0);
		if (ended.length > 0) failpoint('outcome:received');
		const updates = this.#updates.splice(0);
		this.#timing.updatesTaken();
		return {updates, settle: this.#signals.uncharge(ended), enqueues};
	}

	/** @param arrives whether the commit itself may make jobs ready */
	#request(arrives: boolean): ClaimRequest | undefined {
		if (!this.#host.mayClaim() || !this.#chunks?.isEmpty || !(this.#mayHaveReadyJobs || arrives || this.isDue)) return undefined;
		const all = {owner: this.#owner, lanes: this.#demand.lanes(), limit: 0, maxBytes: MAX_CLAIMED_BYTES};
		const request = this.#commits.claimable(all);
		const limit = Math.max(0, ...request.lanes.map(each => each.limit));
		return limit === 0 ? undefined : {...request, limit};
	}

	async #apply(
		{settled, enqueued, claimed, backlog, dueInMs}: Committed,
		{updates, settle, enqueues}: Writes,
		request: ClaimRequest | undefined,
	): Promise<void> {
		this.#dueAt = dueInMs === null ? null : this.#clock.now() + dueInMs;
		const arrived = enqueues.length > 0 || settle.some(enqueuesJobs) || settled.some(({others}) => [...others.values()].includes('pending'));
		// Lanes that the request left out may have jobs.
		const asksAll = request?.lanes.length === this.#demand.laneCount;
		this.#mayHaveReadyJobs = request ? backlog > 0 || !asksAll : this.#mayHaveReadyJobs || arrived;
		if (claimed.groups.length > 0) this.#dispatch(claimed.groups, backlog);
		for (const id of claimed.passedOver ?? []) this.publishRefusal({id}, passedOver(id));
		for (const update of updates) this.#clients.updated(update);
		this.#clients.enqueued(enqueues, enqueued);
		this.#statistics.settled(settle, settled);
		for (const [index, group] of settle.entries()) await this.#settled(group, settled[index] as SettledGroup);
		await this.#host.lookUp();
		// If the store counts more jobs than it has, claiming again at once would never end.
		const isFruitless = request !== undefined && claimed.groups.length === 0;
		if (this.#mayHaveReadyJobs && !isFruitless && this.#demand.hasCapacity) this.#host.wake();
	}

	async #settled(group: EndedGroup, result: SettledGroup): Promise<void> {
		this.#clients.settled(group, await this.#withPoison(group, result));
		// These jobs were settled before: by another engine, or by our own commit that reported an error and took effect. Watches must look up how.
		const lost = [...result.others].flatMap(([index, status]) => (status === 'lost' || status === 'discarded' ? idAt(group.ids, index) : []));
		this.#clients.watches.mayHaveEnded(lost);
	}

	/** Adds the stored errors of jobs that killed their workers too often, if they can be read. */
	async #withPoison({ids, endings}: EndedGroup, result: SettledGroup): Promise<SettledGroup> {
		const lost = [...result.others].filter(([index, status]) => status === 'dead' && endings?.get(index)?.type === 'lostWorker');
		if (lost.length === 0) return result;
		const errors = new Map<number, FailureRecord>(result.refusals);
		await this.#retries.attempt('maintenance', async () => {
			const {outcomes} = await this.#store.outcomes(lost.map(([index]) => idAt(ids, index)));
			for (const [index] of lost) {
				const error = outcomes.find(({id}) => id === idAt(ids, index))?.error;
				if (error) errors.set(index, error);
			}
		});
		return {...result, refusals: errors};
	}

	/**
	 * Goes on after a failed transaction. If the store refused it, it is written in parts, so that only the refused parts are left out. After any
	 * other error its enqueue calls are refused, and the rest is tried again without them, so that no job has to run again. Updates are tried
	 * together with the outcomes, since a checkpoint that comes with an outcome is the job's last one.
	 */
	async #rescue(error: unknown, writes: Writes, request: ClaimRequest | undefined): Promise<void> {
		this.#statistics.failedToCommit();
		const isRefused = isRefusal(error);
		const {enqueues} = writes;
		if (!isRefused) for (const {call} of enqueues) this.#clients.refuse(call, error);
		const {refusals, stopped} = await this.#commits.inParts(isRefused ? writes : {...writes, enqueues: []}, (result, part) =>
			this.#apply(result, part, undefined),
		);
		if (stopped) this.#putBack(stopped.left, stopped.error);
		// The enqueue calls were the cause, and were refused.
		if (!isRefused && !stopped && enqueues.length > 0) this.#retries.clear('commit');
		if (stopped || !isRefused) return this.#retries.add('commit', isRefused ? stopped?.error : error);
		this.#retries.clear('commit');
		if (request && refusals === 0) this.#commits.claimRefused(request, error);
		this.#host.wake();
	}

	#putBack({updates, settle, enqueues}: Writes, error: unknown): void {
		this.#outbox = [...settle, ...this.#outbox];
		this.#updates = [...updates, ...this.#updates];
		for (const {call} of enqueues) this.#clients.refuse(call, error);
	}

	publishRefusal(what: Refused, refusal: FaenaError): void {
		this.#clients.publish({type: 'refused', ...what, error: toFailure(refusal)});
	}

	// ——— starting and stopping jobs ———

	#dispatch(groups: Committed['claimed']['groups'], backlog: number): void {
		const chunks = this.#demand.toChunks(groups, backlog);
		this.#timing.dispatched(Math.min(...chunks.map(chunk => this.#demand.sizer.expectedMs(chunk.task, sizeOf(chunk)))));
		this.#chunks?.add(chunks);
		this.#chunks?.feed();
		failpoint('chunk:given');
	}

	/** Releases jobs that have not started, of one task or all. */
	async release(task?: string): Promise<void> {
		this.#outbox.push(...(this.#chunks?.release(chunk => task === undefined || chunk.task === task) ?? []));
		await this.#pool?.release(task);
	}

	/** Stops one job of this dispatcher. If its chunk still waits for the pool, all its jobs are released. */
	stop(id: JobId): void {
		if (this.#pool?.stop(id, 'cancelled')) return;
		this.#outbox.push(...(this.#chunks?.release(chunk => indexOf(chunk, id) >= 0) ?? []));
	}
}

interface FlowParts {
	readonly store: Store;
	readonly pool: Pool | undefined;
	readonly owner: OwnerId;
	readonly clock: Clock;
	readonly clients: Clients;
	readonly retries: Retries;
}

function passedOver(id: JobId): FaenaError {
	return new FaenaError('BadRow', `Job ${id} was ready and running at once, which Faena never writes. It stays as it was running, and is not started again.`);
}

/** How long the caller has to answer. It may be busy computing. */
const MAX_ANSWER_MS = 1000;

/**
 * Holds executions that threw until the caller has answered whether a signal has come; if one has, they are not charged. The terminal sends
 * Ctrl-C to all processes, also to the commands that tasks run, and then these tasks throw. The caller, which closes its engine on signals,
 * may report the signal only after that.
 */
export class SignalGate {
	readonly #asks: boolean;
	readonly #clock: Clock;
	readonly #ask: () => void;
	/** The open questions, in order: each is called when it is answered. */
	readonly #questions: (() => void)[] = [];
	#hasCome = false;
	#waiting = 0;

	/** @param asks false if the caller does not close its engine on signals */
	constructor(asks: boolean, clock: Clock, ask: () => void) {
		this.#asks = asks;
		this.#clock = clock;
		this.#ask = ask;
	}

	/** The number of jobs that threw and wait for an answer. */
	get waiting(): number {
		return this.#waiting;
	}

	/** The caller has answered a question. */
	answered(): void {
		this.#questions.shift()?.();
	}

	/** A signal closes the engine. */
	signalCame(): void {
		this.#hasCome = true;
	}

	/** Passes executions on: those that threw after the caller has answered, the others at once. */
	pass(groups: readonly EndedGroup[], next: (groups: readonly EndedGroup[]) => void): void {
		if (!this.#asks || !groups.some(hasThrown)) {
			next(groups);
			return;
		}
		const thrown: EndedGroup[] = [];
		const others: EndedGroup[] = [];
		for (const group of groups) {
			const indexes = Array.from({length: sizeOf(group)}, (_, index) => index);
			const {threw = [], rest = []} = Object.groupBy(indexes, index => (group.endings?.get(index)?.type === 'threw' ? 'threw' : 'rest'));
			if (threw.length > 0) thrown.push(pickEnded(group, threw));
			if (rest.length > 0) others.push(pickEnded(group, rest));
		}
		next(others);
		void this.#hold(thrown, next);
	}

	async #hold(thrown: readonly EndedGroup[], next: (groups: readonly EndedGroup[]) => void): Promise<void> {
		const jobs = thrown.reduce((sum, group) => sum + sizeOf(group), 0);
		this.#waiting += jobs;
		this.#ask();
		await Promise.race([new Promise<void>(resolve => void this.#questions.push(resolve)), sleep(this.#clock, MAX_ANSWER_MS)]);
		this.#waiting -= jobs;
		next(thrown);
	}

	/** If a signal has come, executions that threw count as released. */
	uncharge(groups: readonly EndedGroup[]): readonly EndedGroup[] {
		return this.#hasCome ? groups.map(group => (hasThrown(group) ? {...group, endings: new Map([...(group.endings ?? [])].map(released))} : group)) : groups;
	}
}

function hasThrown({endings}: EndedGroup): boolean {
	for (const ending of endings?.values() ?? []) if (ending.type === 'threw') return true;
	return false;
}

function released([index, ending]: readonly [number, Ending]): readonly [number, Ending] {
	return [index, ending.type === 'threw' ? {type: 'released'} : ending];
}
