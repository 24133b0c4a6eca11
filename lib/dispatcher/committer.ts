import type {JobUpdate, Lease, OwnerId} from '../job/claim.ts';
import type {SlowStart, WorkerLoss} from '../job/events.ts';
import {type ClaimedGroup, type EndedGroup, type EnqueuedGroup, type FullQueue, idAt, indexOf, type NewGroup, sizeOf, toReleased} from '../job/group.ts';
import type {JobId} from '../job/job.ts';
import {laneOf, type Pool, type PoolListener} from '../pool/pool.ts';
import type {ClaimRequest, Committed, SettledGroup, Store} from '../store/store.ts';
import type {Clock} from '../support/clock.ts';
import {FaenaError} from '../support/errors.ts';
import {failpoint} from '../support/failpoint.ts';
import type {Clients, NumberedCall} from './clients.ts';
import {Commits, enqueuesJobs, type Writes} from './commits.ts';
import {Demand, NO_CAPACITY} from './demand.ts';
import {EnqueueCalls} from './enqueue-calls.ts';
import {isRefusal, type Retries} from './retries.ts';
import {SignalGate} from './signal-gate.ts';
import {Statistics} from './statistics.ts';
import {withPolicies} from './timeouts.ts';

/** Payload bytes claimed in one transaction. */
const MAX_CLAIMED_BYTES = 64 * 1024 * 1024;
/** The least time between two tries of lanes that are left out: the pool may be able to take nothing from them now. */
const MIN_LEFT_OUT_MS = 20;
/** Updates of running jobs wait at most this long for company. With up to 50 ms in their worker and the commit, a checkpoint loses below 100 ms. */
const MAX_UPDATE_DELAY_MS = 20;
/** The least and the most time that an outcome waits for company, if no caller waits for it. */
const MIN_OUTCOME_DELAY_MS = 2;
const MAX_OUTCOME_DELAY_MS = 50;
/** How soon a dispatcher looks whether jobs of other programs expire. */
const EXPIRE_EVERY_MS = 1000;
/** How often calls that wait for room are tried, besides after each claim: other programs may have made room. */
const ROOM_EVERY_MS = 50;
/** How long enqueue calls wait while the server of the database is away. */
const MAX_WAIT_FOR_CONNECTION_MS = 10_000;

/** The dispatcher, as its parts see it. */
export interface Context {
	readonly store: Store;
	readonly owner: OwnerId;
	/** The scopes whose jobs it runs, besides jobs without a scope. */
	readonly scopes: readonly string[];
	readonly clock: Clock;
	readonly clients: Clients;
	readonly retries: Retries;
	wake(): void;
	/** Does maintenance between many transactions in a row. */
	maintain(): Promise<void>;
}

/** The jobs on their way between store and pool, and the commits that settle, enqueue and claim them. After a commit it starts the claimed jobs. */
export class Committer implements PoolListener {
	readonly pool: Pool | undefined;
	readonly demand: Demand;
	readonly statistics: Statistics;
	readonly signals: SignalGate;
	/** False once the dispatcher is closing: it then claims nothing. */
	mayClaim = true;
	/** Calls that wait for the next commit, as {@link #outbox} and {@link #updates} do. */
	readonly enqueues = new EnqueueCalls();
	/** When the next moment of a schedule comes, in milliseconds since 1970; -Infinity while that is not known. */
	momentAt = -Infinity;
	/** True if a change of a parent may not have reached all jobs that wait for it. The next commits pass it on. */
	mayUnblock = false;
	readonly #context: Context;
	readonly #commits: Commits;
	#updates: JobUpdate[] = [];
	#outbox: EndedGroup[] = [];
	/** When the outcomes that wait must be committed, by the steady clock: at once if somebody waits for them. */
	#outboxDueAt = Infinity;
	/** True while a caller waits until no job runs. */
	isIdleAwaited = false;
	/** Claimed chunks for which the pool has no capacity yet. A claim of several tasks may return more chunks than there are idle workers. */
	#chunks: ClaimedGroup[] = [];
	#mayHaveReadyJobs = true;
	/** True if the last outcomes made jobs ready that waited for them: the next ones may, too. */
	#unblocks = false;
	/** When the next waiting job becomes due, by the wall clock. */
	#dueAt = Infinity;
	/** When the next job may expire, by the wall clock. Jobs expire in a commit with a claim. */
	#expiresAt = Infinity;
	/** When the last commit ended, by the steady clock. */
	#committedAt = 0;
	/** When the updates that wait must be written. */
	#updatesDueAt = 0;
	/** Expected run time of the shortest chunk in the last dispatch. */
	#shortestChunkMs = 0;

	/** @param asksForSignals see {@link SignalGate} */
	constructor(context: Context, makePool: ((listener: PoolListener) => Pool) | undefined, asksForSignals: boolean) {
		const {clock, clients} = context;
		this.#context = context;
		this.pool = makePool?.(this);
		this.demand = new Demand(this.pool);
		this.statistics = new Statistics(this.pool?.slots ?? 0, clock.steadyMs);
		this.signals = new SignalGate(clock, asksForSignals ? () => clients.output({type: 'signalQuery'}) : undefined);
		this.#commits = new Commits(context);
	}

	ended(task: string, groups: readonly EndedGroup[]): void {
		const {jobs, totalMs} = this.statistics.countEnded(task, groups);
		if (jobs > 0) this.demand.sizer.observe(task, jobs, totalMs);
		const own = this.demand.tasks.get(task)?.own;
		this.signals.pass(own ? groups.map(group => ({...group, own})) : groups, passed => {
			this.#settleSoon(passed, this.#delayFor(passed, totalMs / Math.max(1, jobs)));
			this.#context.wake();
		});
		// When a job of a task with a limit ends, there is room for the next.
		if (this.demand.tasks.get(task)?.concurrency !== undefined) this.jobsMayBeReady();
	}

	#settleSoon(groups: readonly EndedGroup[], delayMs = 0): void {
		this.#outbox.push(...groups);
		this.#outboxDueAt = Math.min(this.#outboxDueAt, this.#context.clock.steadyMs() + delayMs);
	}

	/** Outcomes of short jobs that no caller waits for can wait for the next enqueue, for about as long as one job took. A long job is too much to repeat. */
	#delayFor(groups: readonly EndedGroup[], jobMs: number): number {
		if (this.isIdleAwaited || jobMs > MAX_OUTCOME_DELAY_MS) return 0;
		const isAwaited = groups.some(group => group.endings !== undefined || this.#context.clients.awaits(group));
		return isAwaited ? 0 : Math.max(MIN_OUTCOME_DELAY_MS, jobMs);
	}

	updated(update: JobUpdate): void {
		const {clock, wake} = this.#context;
		if (this.#updates.push(update) > 1) return;
		this.#updatesDueAt = clock.steadyMs() + MAX_UPDATE_DELAY_MS;
		clock.after(MAX_UPDATE_DELAY_MS, wake);
	}

	freed(): void {
		this.#feed();
		this.#context.wake();
	}

	lost(loss: WorkerLoss): void {
		if (loss.reason !== 'stopped') this.statistics.lostWorkers++;
		this.#context.clients.publish({type: 'workerLost', ...loss});
		this.#context.wake();
	}

	/** Published at once: the engine's start may wait for this worker. */
	startsSlowly(slow: SlowStart): void {
		this.#context.clients.publish({type: 'slowStart', ...slow});
		this.#context.clients.flush();
	}

	memoryShort(id: JobId): void {
		this.#context.clients.publish({type: 'memoryShort', id});
	}

	/** True if jobs of this dispatcher run, or have ended and are not settled yet. */
	get hasJobs(): boolean {
		return (this.pool?.size ?? 0) > 0 || this.#outbox.length > 0 || this.signals.holding > 0;
	}

	/** True if the next commit has something to settle or to enqueue. */
	get mustCommit(): boolean {
		return this.#outbox.length > 0 || this.enqueues.areDue;
	}

	/** The store has said how long it is until the next moment of a schedule. */
	momentIn(ms = Infinity): void {
		this.momentAt = this.#context.clock.now() + ms;
	}

	get isDue(): boolean {
		return this.#dueAt <= this.#context.clock.now();
	}

	/** How long until the loop must commit, if nothing happens before. */
	commitDueInMs(): number {
		const {commit} = this.#context.retries;
		if (commit.count > 0) return commit.waitMs;
		if (this.mustCommit || this.#updates.length > 0) return this.lingerMs();
		const expiresInMs = this.#expiresAt - this.#context.clock.now();
		return this.mayClaim ? Math.max(this.lingerMs(), Math.min(this.dueInMs(), expiresInMs)) : Infinity;
	}

	/** How long the next commit can wait for more to write. Updates make it wait less. */
	lingerMs(): number {
		if (!this.pool || !this.mayClaim || this.enqueues.areDue || this.#context.retries.commit.count > 0) return 0;
		const companyUntil = this.#hasOnlyOutcomes ? this.#outboxDueAt : 0;
		const commitAt = Math.max(companyUntil, this.#committedAt + this.demand.sizer.lingerMs(this.pool.capacity(), this.#shortestChunkMs));
		const updatesDueAt = this.#updates.length > 0 ? this.#updatesDueAt : Infinity;
		return Math.max(0, Math.min(commitAt, updatesDueAt) - this.#context.clock.steadyMs());
	}

	/** True if the next commit would only settle jobs: there is nothing to claim. */
	get #hasOnlyOutcomes(): boolean {
		return this.#outbox.length > 0 && !this.#mayHaveReadyJobs && !this.isDue;
	}

	/** How long until there may be jobs that the pool can take: until a delayed job is due, or until a lane that was left out may be tried. */
	dueInMs(): number {
		if (!this.demand.hasCapacity) return Infinity;
		if (this.#commits.leavesLanesOut) return Math.max(MIN_LEFT_OUT_MS, this.#commits.waitMs);
		return this.#dueAt - this.#context.clock.now();
	}

	jobsMayBeReady(): void {
		this.#mayHaveReadyJobs = true;
	}

	/** Jobs may expire after this time, by default when another program has written. */
	jobsMayExpire(inMs = EXPIRE_EVERY_MS): void {
		this.#expiresAt = Math.min(this.#expiresAt, this.#context.clock.now() + inMs);
	}

	get hasOutcomes(): boolean {
		return this.#outbox.length > 0;
	}

	/**
	 * One transaction: settle, enqueue, claim.
	 * @param enqueues whether to take enqueue calls, too; default true
	 */
	async commit({enqueues: takesEnqueues = true} = {}): Promise<void> {
		const {clock, retries} = this.#context;
		const writes = this.#takeWrites(takesEnqueues);
		const {updates, settle, enqueues} = writes;
		const request = this.#request(writes);
		if (settle.length + updates.length + enqueues.length === 0 && !request) return retries.commit.clear();
		// What becomes ready meanwhile counts for the next transaction.
		if (request) this.#mayHaveReadyJobs = false;
		const begunAt = clock.steadyMs();
		const result = await this.#commits.commit(writes, request).catch((error: unknown) => {
			if (request) {
				this.jobsMayBeReady();
				// Jobs may have expired in it all the same.
				this.#context.clients.allMayHaveEnded();
				this.#expiresAt = clock.now() + EXPIRE_EVERY_MS;
			}
			return this.#rescue(error, writes, request);
		});
		if (!result) return;
		retries.commit.clear();
		this.#committedAt = clock.steadyMs();
		this.demand.sizer.observeCommit(this.#committedAt - begunAt);
		this.statistics.committed(this.#committedAt - begunAt);
		// From here on the transaction is committed: after an error it must not be written again.
		if (enqueues.length > 0) failpoint('enqueue:committed');
		if (settle.length > 0) failpoint('settle:committed');
		if (updates.length > 0) failpoint('updates:committed');
		if (result.claimed.groups.length > 0) failpoint('dequeue:committed');
		await this.#apply(result, writes, request);
	}

	#takeWrites(takesEnqueues: boolean): Writes {
		if (this.#outbox.length > 0) failpoint('outcome:received');
		this.#outboxDueAt = Infinity;
		return {updates: this.#updates.splice(0), settle: this.#outbox.splice(0), enqueues: takesEnqueues ? this.enqueues.take() : []};
	}

	#request(writes: Writes): ClaimRequest | undefined {
		const mayHaveJobs = this.#mayHaveReadyJobs || this.isDue || bringsJobs(writes) || (this.#unblocks && writes.settle.length > 0);
		if (!this.mayClaim) return undefined;
		const expiry = this.#expiresAt <= this.#context.clock.now() ? nothingFor(this.#context.owner) : undefined;
		if (!mayHaveJobs) return expiry;
		const {owner, scopes} = this.#context;
		const all = {owner, lanes: this.demand.lanes(), scopes, limit: 0, maxBytes: MAX_CLAIMED_BYTES};
		const request = this.#commits.claimable(all);
		const limit = Math.max(0, ...request.lanes.map(each => each.limit));
		return limit === 0 ? expiry : {...request, limit};
	}

	async #apply(result: Committed, writes: Writes, request: ClaimRequest | undefined): Promise<void> {
		const {settled, enqueued, claimed, backlog, expired} = result;
		const {clients} = this.#context;
		this.#lookAhead(result, writes, request);
		// A caller that waits for its enqueue goes on while its jobs are sent to workers; a caller that waits for results needs its jobs sent first. If
		// both are in one transaction, all are answered first.
		const answersFirst = writes.enqueues.some(({watch}) => !watch);
		if (!answersFirst) this.#start(claimed.groups, backlog);
		clients.expired(expired);
		for (const id of claimed.passedOver ?? []) clients.refused({id}, passedOver(id));
		for (const update of writes.updates) clients.updated(update);
		this.statistics.settled(writes.settle, settled);
		for (const [index, group] of writes.settle.entries()) clients.settled(group, await this.#withPoison(group, settled[index] as SettledGroup));
		// Afterwards, since an enqueue may begin a new round of a job that this transaction has settled: its watch is for the new round.
		this.#answer(writes.enqueues, {enqueued, claimed});
		if (answersFirst) {
			clients.flush();
			this.#start(claimed.groups, backlog);
		}
		// If the store counts more jobs than it has, claiming again at once would never end.
		const isFruitless = request !== undefined && claimed.groups.length === 0 && !result.unblocked;
		if (this.#mayHaveReadyJobs && !isFruitless && this.demand.hasCapacity) this.#context.wake();
	}

	/** Notes what the transaction says about the next ones. */
	#lookAhead(
		{settled, backlog, unblocked = false, dueInMs, expiresInMs = Infinity, momentInMs}: Committed,
		writes: Writes,
		request: ClaimRequest | undefined,
	): void {
		const {clock} = this.#context;
		this.#dueAt = dueInMs === null ? Infinity : clock.now() + dueInMs;
		this.#expiresAt = clock.now() + expiresInMs;
		this.momentIn(momentInMs);
		this.mayUnblock = unblocked;
		const arrived = bringsJobs(writes) || settled.some(({others}) => [...others.values()].includes('pending'));
		// Lanes that the request left out may have jobs.
		const asksAll = request?.lanes.length === 2 * this.demand.tasks.size;
		if (unblocked || (request ? backlog > 0 || !asksAll : arrived)) this.jobsMayBeReady();
		if (writes.settle.length > 0) this.#unblocks = unblocked;
	}

	/** Answers enqueue calls. Those that wait for room, and found none, wait on, unless a close came during the transaction. */
	#answer(calls: readonly NumberedCall[], {enqueued, claimed}: Pick<Committed, 'enqueued' | 'claimed'>): void {
		const {clock, clients, wake} = this.#context;
		for (const [index, call] of calls.entries()) {
			const {full} = enqueued[index] as EnqueuedGroup;
			// Not taken apart by a spread: each enqueue comes here.
			const result = enqueued[index] as Omit<EnqueuedGroup, 'full'>;
			if (!full) clients.enqueued(call, result);
			else if (call.waits && !this.mayClaim) clients.refuseAsClosed(call.call);
			else if (call.waits) {
				this.enqueues.putBack(call);
				clock.after(ROOM_EVERY_MS, () => {
					this.enqueues.mayHaveRoom();
					wake();
				});
			} else clients.enqueued(call, {...result, full: {...full, retryAfterMs: this.#retryAfterMs(call.group, full)}});
		}
		// The claimed jobs have made room.
		if (claimed.groups.length > 0) this.enqueues.mayHaveRoom();
	}

	#retryAfterMs(group: NewGroup, {of, pending, limit}: FullQueue): number {
		const excess = pending + sizeOf(group) - limit;
		if (of === 'all') return this.statistics.retryAfterMs(excess, undefined);
		return this.statistics.retryAfterMs(excess, group.task, this.demand.tasks.get(group.task)?.concurrency);
	}

	/** Adds the stored errors of jobs that killed their workers too often, if they can be read. */
	async #withPoison(group: EndedGroup, result: SettledGroup): Promise<SettledGroup> {
		const lost = [...result.others].filter(([index, status]) => status === 'dead' && group.endings?.get(index)?.type === 'lostWorker');
		if (lost.length === 0) return result;
		const refusals = new Map(result.refusals);
		await this.#context.retries.lookUps.attempt(async () => {
			const {outcomes} = await this.#context.store.outcomes(lost.map(([index]) => idAt(group.ids, index)));
			for (const {id, error} of outcomes) if (error) refusals.set(indexOf(group, id), error);
		});
		return {...result, refusals};
	}

	/**
	 * Goes on after a failed transaction. If the store refused it, all but the refused parts is written. After any other error its enqueue calls
	 * are refused or wait for a connection, and the rest is tried again without them. Updates stay with the outcomes, since a checkpoint may come
	 * with its job's outcome.
	 */
	async #rescue(error: unknown, writes: Writes, request: ClaimRequest | undefined): Promise<void> {
		const {clients, retries, wake} = this.#context;
		this.statistics.failedCommits++;
		const isRefused = isRefusal(error);
		const hasRefused = !isRefused && this.#refuse(writes.enqueues, error);
		const {refusals, stopped} = await this.#commits.inParts(isRefused ? writes : {...writes, enqueues: []}, (result, part) =>
			this.#apply(result, part, undefined),
		);
		if (stopped) {
			this.#outbox = [...stopped.left.settle, ...this.#outbox];
			this.#outboxDueAt = 0;
			this.#updates = [...stopped.left.updates, ...this.#updates];
			for (const {call} of stopped.left.enqueues) clients.refuse(call, stopped.error);
		}
		// Without `isRefused`, the enqueue calls that were refused were the cause.
		else if (isRefused || hasRefused) retries.commit.clear();
		if (stopped || !isRefused) return void retries.commit.add(isRefused ? stopped?.error : error);
		if (request && refusals === 0) this.#commits.claimRefused(request, error);
		wake();
	}

	/** Refuses enqueue calls, but for those that wait for a connection. Returns true if it has refused some. */
	#refuse(calls: readonly NumberedCall[], error: unknown): boolean {
		const {clients, retries} = this.#context;
		const isPatient = this.mayClaim && retries.commit.failingMs < MAX_WAIT_FOR_CONNECTION_MS;
		const {waiting = [], refused = []} = Object.groupBy(calls, ({group}) => (isPatient && mayRepeat(group, error) ? 'waiting' : 'refused'));
		this.enqueues.takeBack(waiting);
		for (const {call} of refused) clients.refuse(call, error);
		return refused.length > 0;
	}

	#start(groups: readonly ClaimedGroup[], backlog: number): void {
		if (groups.length === 0) return;
		// If a close came during the transaction, no job starts any more.
		if (!this.mayClaim) {
			this.#settleSoon(groups.map(toReleased));
			return;
		}
		const chunks = this.demand.toChunks(groups, backlog);
		this.#shortestChunkMs = Math.min(...chunks.map(chunk => this.demand.sizer.expectedMs(chunk.task, sizeOf(chunk))));
		this.#chunks.push(...chunks);
		this.#feed();
		failpoint('chunk:given');
	}

	#feed(): void {
		this.#chunks = this.#chunks.filter(chunk => {
			const {idle, prefetch} = this.pool?.capacity(laneOf(chunk)) ?? NO_CAPACITY;
			if (idle + prefetch === 0) return true;
			this.statistics.dispatched(sizeOf(chunk));
			this.pool?.run(withPolicies(chunk, this.demand.tasks.get(chunk.task)?.own, task => this.statistics.medianMs(task)));
			return false;
		});
		this.#noteHeld();
	}

	#noteHeld(): void {
		this.demand.held = new Set(this.#chunks.map(({task}) => task));
	}

	/** Releases jobs that have not started, of one task or all. Resolves once none of them can start any more. */
	async release(task?: string): Promise<void> {
		this.#takeBack(chunk => task === undefined || chunk.task === task);
		await this.pool?.release(task);
	}

	/** Stops one job of this dispatcher, or only its execution of a lease. If its chunk still waits for the pool, all its jobs are released. */
	stop(id: JobId, lease?: Lease): void {
		if (!this.pool?.stop(id, 'cancelled', lease)) this.#takeBack(chunk => (lease ?? chunk.lease) === chunk.lease && indexOf(chunk, id) >= 0);
	}

	#takeBack(matches: (chunk: ClaimedGroup) => boolean): void {
		this.#settleSoon(this.#chunks.filter(matches).map(toReleased));
		this.#chunks = this.#chunks.filter(chunk => !matches(chunk));
		this.#noteHeld();
	}
}

/** True if an enqueue that failed is tried again: it stored nothing, or a second try finds the jobs of the first by their keys. */
function mayRepeat({keys, rerun, unique}: NewGroup, error: unknown): boolean {
	const code = error instanceof FaenaError ? error.code : undefined;
	return code === 'Unreachable' || (code === 'OutcomeUnknown' && keys !== undefined && !rerun && !unique);
}

/** True if a transaction with these writes may itself make jobs ready. */
function bringsJobs({settle, enqueues}: Writes): boolean {
	return enqueues.length > 0 || settle.some(enqueuesJobs);
}

/** A claim that claims nothing: it registers the owner, and lets jobs expire. */
export function nothingFor(owner: OwnerId): ClaimRequest {
	return {owner, lanes: [], limit: 0, maxBytes: 0};
}

function passedOver(id: JobId): FaenaError {
	return new FaenaError('BadRow', `Job ${id} was ready and running at once, which Faena never writes. It stays as it was running, and is not started again.`);
}
