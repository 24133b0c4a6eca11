import type {Lease, OwnerId} from '../job/claim.ts';
import type {SlowStart, WorkerLoss} from '../job/events.ts';
import {
	type ClaimedGroup,
	type EndedGroup,
	type EnqueuedGroup,
	type FullQueue,
	idAt,
	indexOf,
	type NewGroup,
	type RunningUpdate,
	sizeOf,
} from '../job/groups/group.ts';
import {MAX_COMMIT_BYTES} from '../job/groups/portion.ts';
import {toReleased} from '../job/groups/single-jobs.ts';
import type {JobId} from '../job/job.ts';
import type {Pool, PoolListener} from '../pool/pool.ts';
import type {ClaimRequest, Committed, SettledGroup} from '../store/store.ts';
import {FaenaError} from '../support/errors.ts';
import {failpoint} from '../support/failpoint.ts';
import {trace} from '../support/trace.ts';
import {ChunkFeeder} from './chunk-feeder.ts';
import type {NumberedCall} from './clients.ts';
import {Commits, enqueuesJobs} from './commits.ts';
import type {Context} from './context.ts';
import {Demand} from './demand.ts';
import {EnqueueCalls} from './enqueue-calls.ts';
import {isRefusal} from './retries.ts';
import {SignalGate} from './signal-gate.ts';
import {Statistics} from './statistics.ts';
import {WaitingWrites, type Writes} from './waiting-writes.ts';

/** The least time between two tries of lanes that are left out: the pool may be able to take nothing from them now. */
const MIN_LEFT_OUT_MS = 20;
/** How soon a dispatcher looks whether jobs of other programs expire. */
const EXPIRE_EVERY_MS = 1000;
/** How often calls that wait for room are tried, besides after each claim: other programs may have made room. */
const ROOM_EVERY_MS = 50;
/** How long enqueue calls wait while the server of the database is away. */
const MAX_WAIT_FOR_CONNECTION_MS = 10_000;

/** The jobs on their way between store and pool, and the commits that settle, enqueue and claim them. After a commit it starts the claimed jobs. */
export class Committer implements PoolListener {
	readonly pool: Pool | undefined;
	readonly demand: Demand;
	readonly statistics: Statistics;
	readonly signals: SignalGate;
	/** False once the dispatcher is closing: it then claims nothing. */
	mayClaim = true;
	/** What waits for the next commit. */
	readonly enqueues = new EnqueueCalls();
	readonly waiting: WaitingWrites;
	/** True if a change of a parent may not have reached all jobs that wait for it. The next commits pass it on. */
	mayUnblock = false;
	readonly #context: Context;
	readonly #commits: Commits;
	readonly #feeder: ChunkFeeder;
	#mayHaveReadyJobs = true;
	/** True if the last outcomes made jobs ready that waited for them: the next ones may, too. */
	#unblocks = false;
	/** When the last commit ended, by the steady clock. */
	#committedAt = 0;

	/** @param asksForSignals see {@link SignalGate} */
	constructor(context: Context, makePool: ((listener: PoolListener) => Pool) | undefined, asksForSignals: boolean) {
		const {clock, clients} = context;
		this.#context = context;
		this.pool = makePool?.(this);
		this.demand = new Demand(this.pool);
		this.statistics = new Statistics(this.pool?.slots ?? 0, clock.steadyMs);
		this.signals = new SignalGate(clock, asksForSignals ? () => clients.output({type: 'signalQuery'}) : undefined);
		this.#commits = new Commits(context);
		this.waiting = new WaitingWrites(context);
		this.#feeder = new ChunkFeeder(this.pool, this.demand, this.statistics, clock, jobs => {
			if (jobs.length === 0) return;
			this.waiting.settle(jobs);
			context.wake('jobs that waited for a worker');
		});
	}

	ended(task: string, groups: readonly EndedGroup[]): void {
		const {jobs, totalMs} = this.statistics.countEnded(task, groups);
		if (jobs > 0) this.demand.sizer.observe(task, jobs, totalMs);
		const own = this.demand.tasks.get(task)?.own;
		this.signals.pass(own ? groups.map(group => ({...group, own})) : groups, passed => {
			this.waiting.settle(passed, totalMs / Math.max(1, jobs));
			this.#context.wake('outcomes');
		});
		// When a job of a task with a limit ends, there is room for the next.
		if (this.demand.tasks.get(task)?.concurrency !== undefined) this.jobsMayBeReady();
	}

	updated(update: RunningUpdate): void {
		this.waiting.update(update);
	}

	freed(): void {
		this.#feeder.feed();
		this.#context.wake('a free worker');
	}

	lost(loss: WorkerLoss): void {
		if (loss.reason !== 'stopped') this.statistics.lostWorkers++;
		this.#context.clients.publish({type: 'workerLost', ...loss});
		this.#context.wake('a lost worker');
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
		return (this.pool?.size ?? 0) > 0 || this.waiting.hasOutcomes || this.signals.holding > 0;
	}

	get mustCommit(): boolean {
		return this.waiting.hasOutcomes || this.enqueues.areDue;
	}

	get isDue(): boolean {
		return this.#context.agenda.isDue('dueJobs');
	}

	/** How long until the loop must commit, if nothing happens before. */
	commitDueInMs(): number {
		const {agenda, retries} = this.#context;
		if (retries.commit.count > 0) return retries.commit.waitMs;
		if (this.mustCommit || this.waiting.hasUpdates) return this.lingerMs();
		return this.mayClaim ? Math.max(this.lingerMs(), Math.min(this.dueInMs(), agenda.inMs('expiry'))) : Infinity;
	}

	/** How long the next commit can wait for more to write. Updates make it wait less. */
	lingerMs(): number {
		const {agenda, clock, retries} = this.#context;
		if (!this.pool || !this.mayClaim || this.enqueues.areDue || retries.commit.count > 0) return 0;
		const outcomesInMs = this.#hasOnlyOutcomes ? agenda.inMs('outcomes') : 0;
		const afterLastMs = this.#committedAt + this.demand.sizer.lingerMs(this.pool.capacity(), this.#feeder.shortestChunkMs) - clock.steadyMs();
		return Math.max(0, Math.min(Math.max(outcomesInMs, afterLastMs), agenda.inMs('updates')));
	}

	/** True if the next commit would only settle jobs: there is nothing to claim. */
	get #hasOnlyOutcomes(): boolean {
		return this.waiting.hasOutcomes && !this.#mayHaveReadyJobs && !this.isDue;
	}

	/** How long until there may be jobs that the pool can take: until a delayed job is due, or until a lane that was left out may be tried. */
	dueInMs(): number {
		if (!this.demand.hasCapacity) return Infinity;
		if (this.#commits.leavesLanesOut) return Math.max(MIN_LEFT_OUT_MS, this.#commits.waitMs);
		return this.#context.agenda.inMs('dueJobs');
	}

	jobsMayBeReady(): void {
		this.#mayHaveReadyJobs = true;
	}

	/** Jobs may expire after this time, by default when another program has written. */
	jobsMayExpire(inMs = EXPIRE_EVERY_MS): void {
		this.#context.agenda.bringForward('expiry', inMs);
	}

	/** One transaction: settle, enqueue, unless `enqueues` is false, and claim. */
	async commit({enqueues: takesEnqueues = true} = {}): Promise<void> {
		const {agenda, clock, retries} = this.#context;
		if (trace && retries.commit.count > 0) agenda.wokeFor('another try');
		// What wakes the loop from here on is a reason for the next transaction.
		const why = trace ? agenda.takeReasons() : '';
		const writes = this.#takeWrites(takesEnqueues);
		const {updates, settle, enqueues} = writes;
		const request = this.#request(writes);
		if (settle.length + updates.length + enqueues.length === 0 && !request) return retries.commit.clear();
		// What becomes ready meanwhile counts for the next transaction.
		if (request) this.#mayHaveReadyJobs = false;
		const begunAt = clock.steadyMs();
		const result = await this.#commits.commit(writes, request, why).catch((error: unknown) => {
			if (request) {
				this.jobsMayBeReady();
				// Jobs may have expired in it all the same.
				this.#context.clients.allMayHaveEnded();
				agenda.set('expiry', EXPIRE_EVERY_MS);
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
		if (this.waiting.hasOutcomes) failpoint('outcome:received');
		return {...this.waiting.take(), enqueues: takesEnqueues ? this.enqueues.take() : []};
	}

	#request(writes: Writes): ClaimRequest | undefined {
		const mayHaveJobs = this.#mayHaveReadyJobs || this.isDue || bringsJobs(writes) || (this.#unblocks && writes.settle.length > 0);
		if (!this.mayClaim) return undefined;
		const {agenda, owner, scopes} = this.#context;
		const expiry = agenda.isDue('expiry') ? nothingFor(owner) : undefined;
		if (!mayHaveJobs) return expiry;
		const all = {owner, lanes: this.demand.lanes(), scopes, limit: 0, maxBytes: MAX_COMMIT_BYTES};
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
		clients.cancelled(expired);
		for (const id of claimed.passedOver ?? []) clients.refused({id}, passedOver(id));
		// Without them, events lack the names of batches.
		await this.#context.retries.lookUps.attempt(() => clients.learnBatches([...writes.updates, ...writes.settle]));
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
		if (this.#mayHaveReadyJobs && !isFruitless && this.demand.hasCapacity) this.#context.wake('more jobs');
	}

	#lookAhead(
		{settled, backlog, unblocked = false, dueInMs, expiresInMs = Infinity, momentInMs = Infinity}: Committed,
		writes: Writes,
		request: ClaimRequest | undefined,
	): void {
		const {agenda} = this.#context;
		agenda.set('dueJobs', dueInMs ?? Infinity);
		agenda.set('expiry', expiresInMs);
		agenda.set('moments', momentInMs);
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
					wake('room');
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
			this.waiting.putBack(stopped.left);
			for (const {call} of stopped.left.enqueues) clients.refuse(call, stopped.error);
		}
		// Without `isRefused`, the enqueue calls that were refused were the cause.
		else if (isRefused || hasRefused) retries.commit.clear();
		if (stopped || !isRefused) return void retries.commit.add(isRefused ? stopped?.error : error);
		if (request && refusals === 0) this.#commits.claimRefused(request, error);
		wake('a refusal');
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
		if (this.mayClaim) this.#feeder.start(groups, backlog);
		// A close came during the transaction: no job starts any more.
		else this.waiting.settle(groups.map(toReleased));
	}

	/** Releases jobs that have not started, of one task or all. Resolves once none of them can start any more. */
	async release(task?: string): Promise<void> {
		this.waiting.settle(this.#feeder.takeBack(chunk => task === undefined || chunk.task === task));
		await this.pool?.release(task);
	}

	/** Stops one job of this dispatcher, or only its execution of a lease. If its chunk still waits for the pool, all its jobs are released. */
	stop(id: JobId, lease?: Lease): void {
		if (this.pool?.stop(id, 'cancelled', lease)) return;
		this.waiting.settle(this.#feeder.takeBack(chunk => (lease ?? chunk.lease) === chunk.lease && indexOf(chunk, id) >= 0));
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
