import type {BatchId, BatchOptions, CompletedBatch} from '../../lib/job/batch.ts';
import {type Claim, type JobUpdate, type Lease, MAX_LOG_LINES, type Outcome, type OwnerId, type Settlement} from '../../lib/job/claim.ts';
import {sameValue, sizeBytes} from '../../lib/job/encoding.ts';
import {
	type ClaimedGroup,
	type EndedGroup,
	type EnqueuedGroup,
	type FullQueue,
	listIds,
	type NewGroup,
	type ParentResults,
	sizeOf,
	toEnqueuedGroup,
	toIds,
} from '../../lib/job/groups/group.ts';
import {pack, unpack} from '../../lib/job/groups/packed.ts';
import {newJobsOf, settlementsOf} from '../../lib/job/groups/single-jobs.ts';
import {
	type EditResult,
	isTerminal,
	type JobEdit,
	type JobEnd,
	type JobId,
	type JobStatus,
	MAX_SUSPICION,
	RETRIED_BY_DEFAULT,
	STATUSES,
	type Staleness,
} from '../../lib/job/job.ts';
import {type ChildJob, type NewJob, toCompletionJob} from '../../lib/job/new-job.ts';
import type {OpenJobs} from '../../lib/job/open-jobs.ts';
import {isSameSchedule, type Schedule, type ScheduleChange, type ScheduleResult} from '../../lib/job/schedule.ts';
import {type JobFilter, type JobSearch, type MoveTarget, movableStatuses, type Page} from '../../lib/job/search.ts';
import {batchConflict, batchInUse, batchRunning, kindOf} from '../../lib/store/conflict-errors.ts';
import type {BatchDeletion, Deleted, Deletion, EndedDeletion} from '../../lib/store/deletions.ts';
import {endTimeOf, lastUsedAt} from '../../lib/store/deletions.ts';
import type {JobEdges, JobPage, KeyHolders, KeySpace, OutcomePage, SearchPage, Wanted} from '../../lib/store/found-jobs.ts';
import type * as contract from '../../lib/store/store.ts';
import {MIN_COUNTED_RESULT_BYTES} from '../../lib/store/store.ts';
import {type Clock, systemClock} from '../../lib/support/clock.ts';
import {defined} from '../../lib/support/defined.ts';
import {FaenaError} from '../../lib/support/errors.ts';
import {
	type BatchRow,
	beginRound,
	canBeHeld,
	childJobsOf,
	choose,
	claimOf,
	comesBefore,
	completes,
	countStates,
	countStatuses,
	describeBatch,
	describeJob,
	type End,
	expire,
	expiresOf,
	findConflict,
	givenBy,
	isHeld,
	isHeldNow,
	isInLane,
	isOpen,
	isRunning,
	type JobRow,
	keepExecution,
	listed,
	lose,
	newBatchRow,
	outcomeOf,
	parentIds,
	quarantineOf,
	READY,
	type RunningJob,
	refusalOf,
	runAtOf,
	stateAfter,
	stateOfNew,
	statusOf,
	toClaimedGroup,
	toSettledGroup,
} from './oracle-rows.ts';

export interface MemoryStoreOptions {
	readonly clock?: Clock;
	/** A number in [0, 1), for the jitter of the backoff. */
	readonly random?: () => number;
	/** The time without a heartbeat after which {@link MemoryStore.reclaim} takes an owner for dead. Default 30,000. */
	readonly leaseMs?: number;
	/** The jobs that the workers of a dead owner had open. Default none. */
	readonly openJobs?: (owner: OwnerId) => readonly OpenJobs[];
}

/** `isOver`: the next moment would come after `until`. */
type OracleSchedule = Schedule & {readonly isOver: boolean};

/** The default size of a page. */
const DEFAULT_PAGE_JOBS = 1000;
/** A page of outcomes ends with the value that brings it to this size. */
const MAX_PAGE_BYTES = 1024 * 1024;
/** Intervals at which listeners are told of jobs to stop, and of the store's health. */
const POLL_INTERVAL_MS = 20;
const HEALTH_INTERVAL_MS = 1000;

/**
 * The model that stores are tested against. It keeps jobs in memory and forgets them when it is closed. It is written to be obviously right: it has
 * no index, and looks through all jobs to find something.
 *
 * The state of a job is the one value `state`; its status follows from that. Only `commit`, `move`, `release` and `reclaim` change it.
 */
export class MemoryStore implements contract.Store {
	readonly location: string = ':memory:';
	readonly threadLocation = undefined;
	readonly schemaVersion = 0;
	readonly #clock: Clock;
	readonly #random: () => number;
	readonly leaseMs: number;
	readonly #openJobs: NonNullable<MemoryStoreOptions['openJobs']>;
	/** What jobs have given that have completed and have no new round since, also if they were deleted. */
	#given = new Map<JobId, string>();
	/** In order of arrival, which is the order of ids. */
	#jobs = new Map<JobId, JobRow>();
	readonly #batches = new Map<BatchId, BatchRow>();
	readonly #schedules = new Map<string, OracleSchedule>();
	/** The owners that are registered. */
	readonly #owners = new Map<OwnerId, OwnerRow>();
	/** Owners that were taken for dead, and have not heard of it. */
	readonly #fenced = new Set<OwnerId>();
	readonly #paused = new Set<string>();
	/** The scopes that jobs have had. */
	readonly #scopes = new Set<string>();
	/** By listener, the function that removes it. */
	readonly #listeners = new Map<Listener, () => void>();
	/** The jobs that this transaction has cancelled because of a parent, until the listeners are told. */
	#lost: JobId[] = [];
	#lastId: JobId = 0;
	#lastLease: Lease = 0;
	#lastBatch: BatchId = 0;
	/** When {@link reclaim} was last called, by the steady clock. */
	#lookedAt = -Infinity;
	#isClosed = false;

	now(): number {
		return this.#clock.now();
	}

	constructor({clock = systemClock, random = Math.random, leaseMs = 30_000, openJobs = () => []}: MemoryStoreOptions = {}) {
		this.#clock = clock;
		this.#random = random;
		this.leaseMs = leaseMs;
		this.#openJobs = openJobs;
	}

	async commit({update = [], settle = [], edit, enqueue = [], schedule, rejectConflicts = false, claim}: contract.Changes): Promise<contract.Committed> {
		this.#assertOpen();
		const before = {jobs: [...this.#jobs].map(([id, job]) => [id, {...job}] as const), given: new Map(this.#given), lastId: this.#lastId};
		for (const each of update) this.#update(each);
		const settled = this.#settleGroups(settle);
		this.#reachChildren();
		const edited = edit?.map(each => this.#edit(each));
		const enqueued: EnqueuedGroup[] = [];
		for (const group of enqueue) enqueued.push(this.#enqueueGroup(group, enqueued));
		const conflict = rejectConflicts ? findConflict(enqueue, enqueued) : undefined;
		if (conflict) {
			// A transaction that fails must change nothing.
			this.#jobs = new Map(before.jobs);
			this.#given = before.given;
			this.#lastId = before.lastId;
			this.#lost = [];
			throw conflict;
		}
		const scheduled = schedule?.map(change => this.#changeSchedule(change));
		this.#reachChildren();
		const expired = claim ? this.#expire() : [];
		this.#reachChildren();
		const claimed = claim ? this.#claim(claim) : {lease: 0, groups: []};
		this.#updateBatches();
		return {
			settled,
			...(edited && {edited}),
			...(scheduled && {scheduled}),
			...this.#nextMoment(),
			enqueued,
			claimed,
			backlog: claim ? this.#backlog(claim) : 0,
			dueInMs: this.#dueInMs(),
			...this.#expiries(expired),
		};
	}

	async move(filter: JobFilter, to: MoveTarget, given: contract.MovePage = {}): Promise<contract.Moved> {
		this.#assertOpen();
		const {after = 0, upTo = this.#lastId, limit = DEFAULT_PAGE_JOBS, stop = false, isHeld: mustBeHeld = false, owner} = given;
		const statuses = movableStatuses(to, filter);
		const [since, until] = [Number(filter.since ?? -Infinity), Number(filter.until ?? Infinity)];
		const matching = this.#ofOwner(owner, filter)
			.filter(({createdAt}) => createdAt >= since && createdAt < until)
			.filter(({id, state}) => id > after && id <= upTo && statuses.includes(statusOf(state)));
		const page = matching.slice(0, limit);
		const asked: JobId[] = [];
		const moved: JobId[] = [];
		for (const job of page) {
			// It may have been reopened with a parent.
			if (!statuses.includes(statusOf(job.state)) || (mustBeHeld && !isHeld(job)) || !this.#canMove(job, to)) continue;
			(job.state.type === 'running' && to !== 'unheld' ? asked : moved).push(job.id);
			this.#moveJob(job, to, stop);
			if (to === 'pending' || to === 'unheld') this.#reachChildren();
		}
		this.#reachChildren();
		this.#updateBatches();
		const next = page.length < matching.length ? {...given, after: page.at(-1)?.id ?? after, upTo, limit} : null;
		return {ids: moved, asked, next};
	}

	#ofOwner(owner: OwnerId | undefined, filter: JobFilter): readonly JobRow[] {
		const holder = [...this.#batches.values()].find(({name}) => name === filter.batch)?.owner;
		return owner === undefined || holder === undefined || holder === owner ? this.#matching(filter) : [];
	}

	#canMove(job: JobRow, to: MoveTarget): boolean {
		if (to === 'pending') return this.#lostParentOf(job) === undefined && this.#regainsKey(job);
		if (to === 'held') return canBeHeld(job);
		return to !== 'unheld' || isHeld(job);
	}

	/** A job whose key another job has taken gets no new round, unless that one was deleted. */
	#regainsKey(job: JobRow): boolean {
		job.hasKey = job.key !== undefined && [undefined, job].includes(this.#withKey(job));
		return job.key === undefined || job.hasKey;
	}

	#moveJob(job: JobRow, to: MoveTarget, stop: boolean): void {
		const {state} = job;
		const batch = this.#batchOf(job);
		if (to === 'discarded' && batch && !batch.flow) batch.total = undefined;
		if (to === 'pending') this.#beginRound(job, READY);
		else if (to === 'held') this.#hold(job);
		else if (to === 'unheld') this.#unhold(job);
		else if (state.type === 'running' && to === 'cancelled') job.state = {...state, asked: 'cancel'};
		else if (state.type === 'running' && state.asked !== 'cancel') job.state = {...state, asked: stop ? 'discardNow' : 'discard'};
		else if (state.type !== 'running' && to === 'cancelled') job.state = {type: 'ended', status: 'cancelled', endedAt: this.#clock.now()};
		else if (state.type !== 'running') this.#jobs.delete(job.id);
	}

	#hold(job: JobRow): void {
		const {state} = job;
		if (state.type === 'running') {
			job.state = {...state, asked: 'hold'};
			return;
		}
		job.state = {type: 'held', runAt: state.type === 'delayed' || state.type === 'blocked' ? state.runAt : null};
		if (job.expires) job.expires = {...job.expires, at: Infinity};
	}

	#unhold(job: JobRow): void {
		const {state} = job;
		const now = this.#clock.now();
		if (state.type === 'running') job.state = {...state, asked: null};
		if (state.type !== 'held') return;
		job.state = state.runAt !== null && state.runAt > now ? {type: 'delayed', runAt: state.runAt} : READY;
		if (job.expires) job.expires = expiresOf(job.expires.ms, job.state, now);
		if (this.#isBlocked(job)) this.#block(job);
	}

	async adopt(from: string, to: string): Promise<boolean> {
		this.#assertOpen();
		const isKnown = this.#scopes.delete(from);
		if (isKnown) this.#scopes.add(to);
		const schedules = [...this.#schedules.values()].filter(({spec}) => spec.scope === from);
		for (const schedule of schedules) this.#schedules.set(schedule.name, {...schedule, spec: {...schedule.spec, scope: to}});
		const batches = [...this.#batches.values()].filter(({onComplete}) => onComplete?.scope === from);
		for (const batch of batches) batch.onComplete = batch.onComplete && {...batch.onComplete, scope: to};
		for (const job of this.#all()) if (job.scope === from) job.scope = to;
		return isKnown || schedules.length + batches.length > 0;
	}

	async setPaused(tasks: readonly string[], isPaused: boolean): Promise<void> {
		this.#assertOpen();
		for (const task of tasks) isPaused ? this.#paused.add(task) : this.#paused.delete(task);
	}

	async heartbeat(owner: OwnerId): Promise<'alive' | 'fenced'> {
		this.#assertOpen();
		const known = this.#owners.get(owner);
		if (known) known.heartbeatAt = this.#clock.now();
		return this.#fenced.delete(owner) || !known ? 'fenced' : 'alive';
	}

	async release(owner: OwnerId, {after = 0, leave = false}: contract.ReleaseOptions = {}): Promise<contract.Released> {
		this.#assertOpen();
		const held = this.#runningJobs().filter(({state}) => state.owner === owner && state.lease > after);
		const hasMore = held.length > DEFAULT_PAGE_JOBS;
		if (leave && !hasMore) {
			this.#forgetOwner(owner);
			this.#fenced.delete(owner);
		}
		this.#releaseJobs(held.slice(0, DEFAULT_PAGE_JOBS));
		this.#reachChildren();
		this.#updateBatches();
		return {jobs: Math.min(held.length, DEFAULT_PAGE_JOBS), hasMore};
	}

	async reclaim(): Promise<contract.Released> {
		this.#assertOpen();
		this.#forgetSilentOwners();
		const held = this.#runningJobs().filter(({state}) => !this.#owners.has(state.owner));
		const hasMore = held.length > DEFAULT_PAGE_JOBS;
		this.#reclaimJobs(held.slice(0, DEFAULT_PAGE_JOBS));
		this.#reachChildren();
		this.#updateBatches();
		return {jobs: Math.min(held.length, DEFAULT_PAGE_JOBS), hasMore};
	}

	async jobs(search: JobSearch, {after, limit = 100}: SearchPage = {}, want: Wanted = {}): Promise<JobPage> {
		this.#assertOpen();
		const all = this.#matching(search).map(job => ({
			...describeJob(job, this.#batchOf(job)?.name, want, want.edges ? this.#edgesOf(job) : undefined),
			...defined({stale: this.#stalenessOf(job)}),
		}));
		const found = listed(all, search).filter(({place}) => after === undefined || comesBefore(after, place));
		const page = found.slice(0, limit);
		const next = page.length < found.length ? (page.at(-1)?.place ?? after ?? 0) : null;
		return {jobs: want.count ? [] : page.map(({job}) => job), count: page.length, next};
	}

	async outcomes(ids: readonly JobId[], {after = 0}: {readonly after?: number} = {}): Promise<OutcomePage> {
		this.#assertOpen();
		const outcomes: JobEnd[] = [];
		let [end, bytes] = [after, 0];
		while (end < ids.length && bytes < MAX_PAGE_BYTES) {
			const id = ids[end++] as JobId;
			const job = this.#jobs.get(id);
			const found = outcomeOf(id, job);
			outcomes.push(...found.map(end => ({...end, ...(job && defined({stale: this.#stalenessOf(job)}))})));
			bytes += sizeBytes(found[0]?.result ?? null);
		}
		return {outcomes, next: end < ids.length ? end : null};
	}

	async holders({task, batch}: KeySpace, keys: readonly string[]): Promise<KeyHolders> {
		this.#assertOpen();
		const found = keys.map(key => this.#withKey({task, batch, key}));
		return {
			ids: found.map(job => job?.id ?? null),
			statuses: found.map(job => (job ? statusOf(job.state) : null)),
			fingerprints: found.map(job => job?.fingerprint ?? null),
		};
	}

	async counts(): Promise<readonly contract.TaskCounts[]> {
		this.#assertOpen();
		const tasks = new Set([...this.#all().map(({task}) => task), ...this.#paused]);
		return [...tasks].flatMap(task => {
			const own = this.#matching({task});
			const scopes = new Set([undefined, ...own.map(({scope}) => scope)]);
			return [...scopes].map(scope => ({
				...{task, isPaused: this.#paused.has(task), ...countStates(own.filter(job => job.scope === scope))},
				...(scope !== undefined && {scope}),
			}));
		});
	}

	async openBatch(name: string, task: string | undefined, owner: OwnerId, {onComplete, flow, stages, renewal, run}: BatchOptions = {}): Promise<BatchId> {
		this.#assertOpen();
		const known = [...this.#batches.values()].find(batch => batch.name === name);
		const batch = known ?? newBatchRow(this.#lastBatch + 1, name, task, this.#clock.now());
		const isOther = known && kindOf(batch) !== kindOf({task, stages});
		const hasJobs = this.#matching({batch: name}).length > 0;
		if (isOther || (batch.flow?.jobs && hasJobs)) throw batchConflict(name, batch, {task, stages});
		if (batch.owner !== undefined) throw batchInUse(name);
		this.#register(owner);
		this.#lastBatch = Math.max(this.#lastBatch, batch.id);
		const marks = [{at: this.#clock.now(), ended: batch.ended}];
		this.#batches.set(
			batch.id,
			Object.assign(batch, {
				...{total: undefined, closedAt: undefined, marks, onComplete, owner, stages, flow: flow === undefined ? undefined : {structure: flow}},
				renewal: batch.renewal ?? renewal,
				run,
			}),
		);
		return batch.id;
	}

	async updateBatch(id: BatchId, owner: OwnerId, change: contract.BatchChange): Promise<boolean> {
		this.#assertOpen();
		const batch = this.#batches.get(id);
		if ('total' in change) this.#register(owner);
		const holder = 'total' in change ? (batch?.owner ?? owner) : batch?.owner;
		if (!batch || holder !== owner) return false;
		Object.assign(batch, 'total' in change ? {total: change.total, owner} : {owner: undefined}, 'isClosed' in change && {closedAt: this.#clock.now()});
		if ('isClosed' in change || ('isLeft' in change && change.isDone)) batch.renewal = undefined;
		if ('flowJobs' in change && batch.flow) Object.assign(batch, {flow: {...batch.flow, jobs: change.flowJobs}, owner: undefined, closedAt: this.#clock.now()});
		this.#reachChildren();
		this.#updateBatches();
		return true;
	}

	async batches({name}: {readonly name?: string} = {}, {after = 0, limit = 100}: Page = {}): Promise<contract.BatchPage> {
		this.#assertOpen();
		const found = [...this.#batches.values()].filter(batch => batch.id > after && (name === undefined || batch.name === name));
		const page = found.slice(0, limit);
		return {
			batches: page.map(batch => describeBatch(batch, this.#matching({batch: batch.name}))),
			next: page.length < found.length ? (page.at(-1)?.id ?? after) : null,
		};
	}

	async delete(what: Deletion, page: SearchPage = {}): Promise<Deleted> {
		this.#assertOpen();
		return 'batch' in what ? this.#deleteBatch(what, page) : this.#deleteEnded(what, page);
	}

	#deleteBatch({batch: name, unusedSince}: BatchDeletion, {limit = DEFAULT_PAGE_JOBS}: SearchPage): Deleted {
		const batch = [...this.#batches.values()].find(each => each.name === name);
		const jobs = this.#matching({batch: name});
		const isInUse = (each: BatchRow) => this.#owners.has(each.owner ?? '') || lastUsedAt(describeBatch(each, jobs)) >= (unusedSince ?? 0);
		if (!batch || (unusedSince !== undefined && isInUse(batch))) return {deleted: 0, next: null};
		const running = jobs.filter(({state}) => state.type === 'running').length;
		if (running > 0) throw batchRunning(name, running);
		const page = jobs.slice(0, limit);
		// The batch must not complete because its last unended job is deleted.
		batch.total = undefined;
		for (const {id} of page) this.#jobs.delete(id);
		this.#reachChildren();
		this.#updateBatches();
		const isGone = page.length === jobs.length;
		if (isGone) this.#batches.delete(batch.id);
		return {deleted: page.length, next: isGone ? null : (page.at(-1)?.id ?? 0)};
	}

	#deleteEnded(what: EndedDeletion, {after, limit = 2 * DEFAULT_PAGE_JOBS}: SearchPage): Deleted {
		const isAfter = ({id, endedAt}: {id: JobId; endedAt: number}) =>
			typeof after === 'object' ? endedAt > after.value || (endedAt === after.value && id > after.id) : id > (after ?? 0);
		const ended = this.#all()
			.flatMap(job => (job.state.type === 'ended' ? {...job.state, job, id: job.id} : []))
			.filter(({id, job, status, endedAt}) => {
				if ('ids' in what) return what.ids.includes(id);
				return 'endedBefore' in what || endedAt < endTimeOf(what.ended, job.task, status);
			});
		if ('ended' in what) ended.sort((a, b) => a.endedAt - b.endedAt || a.id - b.id);
		const rest = ended.filter(isAfter);
		const page = rest.slice(0, limit);
		const isNeeded = (id: JobId) => this.#all().some(({parents, state}) => parents?.ids.includes(id) && state.type !== 'ended');
		const old = page.filter(({id, job, endedAt}) => !('endedBefore' in what && endedAt >= what.endedBefore) && !isOpen(this.#batchOf(job)) && !isNeeded(id));
		for (const {id} of old) this.#jobs.delete(id);
		this.#updateBatches();
		const last = page.length < rest.length ? page.at(-1) : undefined;
		if (!last && 'endedBefore' in what) this.#deleteEmptyBatches();
		return {deleted: old.length, next: last ? ('ended' in what ? {value: last.endedAt, id: last.id} : last.id) : null};
	}

	#deleteEmptyBatches(): void {
		const needed = new Set(this.#all().map(({batch}) => batch));
		for (const batch of this.#batches.values()) if (!isOpen(batch) && !needed.has(batch.id)) this.#batches.delete(batch.id);
	}

	/** No other program can write to this store. So it reports `changed` only while running jobs of the owner are to be stopped. */
	listen(owner: OwnerId | undefined, listener: Listener): () => void {
		this.#assertOpen();
		let isBusy = false;
		const tell = async (news: contract.News) => {
			if (isBusy) return;
			isBusy = true;
			await listener(news);
			isBusy = false;
		};
		const endLooks = this.#clock.every(POLL_INTERVAL_MS, () => {
			const stop = this.#toStop(owner);
			if (stop.length > 0) void tell({type: 'changed', stop});
		});
		const endHealth = this.#clock.every(HEALTH_INTERVAL_MS, () => void tell({type: 'health', databaseBytes: 0, freeBytes: 0, logBytes: 0}));
		// Each call adds a listener, even if two calls pass the same function.
		const own: Listener = news => listener(news);
		const end = () => {
			endLooks();
			endHealth();
			this.#listeners.delete(own);
		};
		this.#listeners.set(own, end);
		return end;
	}

	#toStop(owner: OwnerId | undefined): Claim[] {
		return this.#runningJobs()
			.filter(({state}) => state.owner === owner && (state.asked === 'cancel' || state.asked === 'discardNow'))
			.map(claimOf);
	}

	ownerFiles(): contract.OwnerFiles {
		return {};
	}

	async close(): Promise<void> {
		for (const owner of [...this.#owners.keys()]) while ((await this.release(owner, {leave: true})).hasMore);
		for (const end of this.#listeners.values()) end();
		this.#isClosed = true;
	}

	#assertOpen(): void {
		if (this.#isClosed) throw new FaenaError('Closed', 'This queue is closed.');
	}

	#edit({id, payload, priority, runAt, delayMs}: JobEdit): EditResult | 'missing' {
		const job = this.#jobs.get(id);
		if (!job) return 'missing';
		const before = job.state;
		const status = statusOf(before);
		if (status !== 'blocked' && status !== 'pending' && status !== 'failed') return status;
		Object.assign(job, defined({priority}));
		if (payload !== undefined) Object.assign(job, {payload, checkpoint: undefined});
		if (runAt === undefined && delayMs === undefined) return 'edited';
		const state = stateOfNew({runAt: runAt ?? null, delayMs}, this.#clock.now());
		if (before.type === 'blocked') {
			job.state = {...before, runAt: runAtOf(state) ?? null};
			return 'edited';
		}
		if (before.type === 'held') {
			job.state = {type: 'held', runAt: runAtOf(state) ?? null};
			return 'edited';
		}
		if (job.expires) job.expires = expiresOf(job.expires.ms, state, this.#clock.now());
		job.state = state.type === 'delayed' ? {...state, type: status === 'failed' ? 'failed' : 'delayed'} : state;
		return 'edited';
	}

	// Enqueuing

	#enqueueGroup({parents, ...group}: NewGroup, before: readonly EnqueuedGroup[]): EnqueuedGroup {
		const batch = group.batch === undefined ? undefined : this.#batches.get(group.batch);
		if (group.batch !== undefined && (!batch || (group.run !== undefined && group.run !== batch.run))) return {ids: [], missing: -group.batch};
		const full = this.#refuse(group);
		if (full) return {ids: [], full};
		const first = this.#lastId + 1;
		const parentsOf = (index: number) => parents && {...parents, ids: parents.edges.flatMap(edge => parentIds(edge, index, before, first))};
		const known = (parents?.edges ?? []).flatMap(({parents: {count, ...of}}) => ('ids' in of ? listIds(of.ids, count) : []));
		const missing = known.find(id => !this.#jobs.has(id));
		if (missing !== undefined) return {ids: [], missing};
		const results = [...newJobsOf(group)].map((job, index) => this.#enqueue(job, parentsOf(index)));
		for (const [index, text] of unpack(group.fingerprints ?? []).entries()) {
			const {type, id} = results[index] as EnqueuedJob;
			if (typeof text === 'string' && (type === 'new' || type === 'reused' || type === 'named')) (this.#jobs.get(id) as JobRow).fingerprint = text;
		}
		if (parents) this.#reachChildren();
		const indexesOf = (...types: EnqueuedJob['type'][]) => results.flatMap((result, index) => (types.includes(result.type) ? index : []));
		const [reused, conflicts, left, named] = [indexesOf('reused', 'left', 'named'), indexesOf('conflict'), indexesOf('left'), indexesOf('named')];
		return toEnqueuedGroup(toIds(results.map(({id}) => id)), {reused, conflicts, left, named});
	}

	/** The limit that the group's new jobs would exceed. */
	#refuse(group: NewGroup): FullQueue | undefined {
		if (!group.maxPending) return undefined;
		const jobs = [...newJobsOf(group)];
		const made = jobs.filter((job, index) => job.key === undefined || (jobs.findIndex(({key}) => key === job.key) === index && !this.#holderOf(job))).length;
		for (const scope of ['task', 'all'] as const) {
			const pending = countStatuses(this.#matching(scope === 'task' ? {task: group.task} : {}).filter(job => !isHeldNow(job))).pending;
			const {[scope]: limit = Infinity} = group.maxPending ?? {};
			if (made > 0 && pending + made > limit) return {of: scope, pending, limit};
		}
		return undefined;
	}

	#enqueue(job: NewJob, parents?: JobRow['parents']): EnqueuedJob {
		const holder = this.#holderOf(job);
		if (!holder) return {type: 'new', id: this.#add(job, this.#clock.now(), parents)};
		const {id, state} = holder;
		const isSame = sameValue(holder.payload, job.payload);
		const wasHeld = isHeld(holder);
		const known = {type: wasHeld ? 'named' : 'reused', id} as const;
		if (job.isOutdated || !isSame) {
			if (job.rerun?.changed && state.type !== 'running' && this.#rerun(holder, job, parents, true)) return known;
			if (!isSame) return {type: 'conflict', id};
			this.#name(holder, job);
			return {type: 'left', id};
		}
		if (job.rerun?.failed && RETRIED_BY_DEFAULT.includes(statusOf(state))) this.#rerun(holder, job, parents, false);
		this.#name(holder, job);
		return known;
	}

	/** Begins a new round of a job that is enqueued again. Returns false if it keeps its end, because it can't have another one. */
	#rerun(holder: JobRow, job: NewJob, parents: JobRow['parents'], isChanged: boolean): boolean {
		const now = this.#clock.now();
		const keepsEnd = !isChanged || statusOf(holder.state) === 'completed';
		if (!this.#canWaitFor(parents, holder.id, keepsEnd)) return false;
		const {scope, priority, policy} = job;
		if (scope !== undefined) this.#scopes.add(scope);
		Object.assign(holder, {scope, priority, policy, parents}, isChanged && {payload: job.payload, checkpoint: undefined});
		this.#beginRound(holder, stateOfNew(job, now));
		holder.expires = expiresOf(job.expiresMs, stateOfNew(job, now), now);
		this.#reachChildren();
		return true;
	}

	/** Ends the hold of a job that is enqueued again: it has the options that it gets now. Returns false if it was not held. */
	#name(held: JobRow, {scope, priority, policy}: NewJob): boolean {
		if (!isHeld(held)) return false;
		Object.assign(held, {priority, policy}, held.state.type === 'held' && {scope});
		if (scope !== undefined) this.#scopes.add(scope);
		this.#unhold(held);
		this.#reachChildren();
		return true;
	}

	/** False if one of these waits for the job, or has waited, through any number of others; or if one is dead, which matters. */
	#canWaitFor(parents: JobRow['parents'], id: JobId, isDeadLoss: boolean): boolean {
		const ancestors = new Set(parents?.ids);
		// Those that are added are visited, too.
		for (const each of ancestors) for (const parent of this.#jobs.get(each)?.parents?.ids ?? []) ancestors.add(parent);
		return !ancestors.has(id) && !(isDeadLoss && this.#lostParentOf({parents, state: READY}) !== undefined);
	}

	/** The job that keeps a new job from its key. */
	#holderOf(job: NewJob): JobRow | undefined {
		const holder = this.#withKey(job);
		return job.unique && holder?.state.type === 'ended' ? undefined : holder;
	}

	/** The job that has the key. Keys are unique per batch, or per task outside batches. */
	#withKey({task, key, batch}: Pick<NewJob, 'task' | 'batch' | 'key'>): JobRow | undefined {
		return key === undefined
			? undefined
			: this.#all().find(job => job.hasKey && job.key === key && job.batch === batch && (batch !== undefined || job.task === task));
	}

	#add({task, scope, payload, priority, policy, key, batch, expiresMs, ...times}: NewJob, now: number, parents?: JobRow['parents']): JobId {
		if (scope !== undefined) this.#scopes.add(scope);
		const before = this.#withKey({task, key, batch});
		if (before) before.hasKey = false;
		const id = ++this.#lastId;
		const counters = {attempts: 0, delays: 0, crashes: 0, suspicion: 0, executions: 0};
		const nothingYet = {timing: undefined, progress: undefined, checkpoint: undefined, error: undefined, logs: [], history: []};
		const state = stateOfNew(times, now);
		this.#jobs.set(id, {
			id,
			task,
			scope,
			payload,
			priority,
			policy,
			key,
			batch,
			hasKey: key !== undefined,
			createdAt: now,
			state,
			expires: expiresOf(expiresMs, state, now),
			parents,
			...counters,
			...nothingYet,
		});
		const job = this.#jobs.get(id) as JobRow;
		if (this.#isBlocked(job)) this.#block(job);
		return id;
	}

	// Jobs that wait for others

	#edgesOf({id, parents}: JobRow): JobEdges {
		const toRange = (each: JobId) => [each, each] as const;
		const children = this.#all().filter(child => child.parents?.ids.includes(id));
		return {parents: (parents?.ids ?? []).map(toRange), children: children.map(child => toRange(child.id))};
	}

	#parentsIn(job: Pick<JobRow, 'parents'>, isMeant: (status: JobStatus | undefined) => boolean): JobId[] {
		return (job.parents?.ids ?? []).filter(id => {
			const parent = this.#jobs.get(id);
			return isMeant(parent && statusOf(parent.state));
		});
	}

	/** The first parent for which the job can't run: it is dead or deleted. Those that were deleted when the job no longer waited for them don't count. */
	#lostParentOf(job: Pick<JobRow, 'parents' | 'state'>, past = job.state.type === 'blocked' ? job.state.past : undefined): JobId | undefined {
		const [dead] = this.#parentsIn(job, status => job.parents?.onParentDead === 'cancel' && (status === 'dead' || status === 'cancelled'));
		return dead ?? this.#parentsIn(job, status => status === undefined).find(id => !past?.includes(id));
	}

	/** Whether a job has completed with something else than its parents give now, or was made from such a job. */
	#stalenessOf({id, parents, state, used}: JobRow, known = new Map<JobId, Staleness | undefined>()): Staleness | undefined {
		if (known.has(id) || statusOf(state) !== 'completed') return known.get(id);
		const ids = parents?.ids ?? [];
		const isDirect = ids.some(parent => this.#given.has(parent) && this.#given.get(parent) !== used?.get(parent));
		const isThrough = () => ids.some(parent => this.#jobs.has(parent) && this.#stalenessOf(this.#jobs.get(parent) as JobRow, known));
		known.set(id, isDirect ? 'direct' : isThrough() ? 'through' : undefined);
		return known.get(id);
	}

	#isBlocked(job: JobRow): boolean {
		if (job.parents?.areHeld && !this.#batchOf(job)?.flow?.jobs) return true;
		return this.#lostParentOf(job) !== undefined || this.#parentsIn(job, status => status !== undefined && !isTerminal(status)).length > 0;
	}

	#block(job: JobRow, past: readonly JobId[] = []): void {
		job.state = {type: 'blocked', runAt: runAtOf(job.state) ?? null, past};
	}

	#beginRound(job: JobRow, state: JobRow['state']): void {
		const hadEnded = job.state.type === 'ended';
		this.#given.delete(job.id);
		beginRound(job, state);
		if (this.#isBlocked(job)) this.#block(job);
		// Its children that have not started wait for it again; one that was taken back while its parent ran already does not.
		if (!hadEnded) return;
		for (const child of this.#all().filter(({parents, state: {type}}) => parents?.ids.includes(job.id) && (type === 'ready' || type === 'delayed'))) {
			const past = this.#parentsIn(child, status => status === undefined);
			if (this.#lostParentOf(child, past) === undefined) this.#block(child, past);
		}
	}

	/** Changes the states of children until nothing changes any more. */
	#reachChildren(): void {
		for (let isChanged = true; isChanged; ) {
			isChanged = false;
			for (const job of this.#all().filter(({parents}) => parents)) {
				const {state} = job;
				this.#reachChild(job);
				isChanged ||= job.state !== state;
				if (state.type === 'blocked' && job.state.type === 'ended') this.#lost.push(job.id);
			}
		}
	}

	#reachChild(job: JobRow): void {
		const {state, expires} = job;
		const now = this.#clock.now();
		const parent = this.#lostParentOf(job);
		if (parent !== undefined) {
			const lost = this.#jobs.get(parent);
			if (state.type === 'blocked') lose(job, parent, lost && statusOf(lost.state), now);
		} else if (state.type === 'blocked' && !this.#isBlocked(job)) {
			job.state = state.runAt !== null && state.runAt > now ? {type: 'delayed', runAt: state.runAt} : READY;
			if (expires) job.expires = expiresOf(expires.ms, job.state, now);
		} else if (statusOf(state) === 'cancelled' && job.error?.reason === 'parent') this.#beginRound(job, READY);
	}

	// Settling

	#settleGroups(groups: readonly EndedGroup[]): contract.SettledGroup[] {
		const settlements = groups.flatMap(group => [...settlementsOf(group)]);
		const ends = this.#settleAll(settlements);
		return groups.map(group => toSettledGroup(ends.splice(0, sizeOf(group))));
	}

	/** Executions that enqueue jobs are settled last, because the others may free a key. If an execution is settled twice, the first counts. */
	#settleAll(settlements: readonly Settlement[]): End[] {
		const ends: End[] = settlements.map(() => ({status: 'lost'}));
		const seen = new Set<string>();
		const firsts = [...settlements.entries()].filter(([, {id, lease, execution}]) => {
			const name = [id, lease, execution].join();
			return !seen.has(name) && seen.add(name);
		});
		for (const isParent of [false, true]) {
			for (const [index, settlement] of firsts) {
				if ((childJobsOf(settlement.outcome) !== undefined) === isParent) ends[index] = this.#settle(settlement);
			}
		}
		return ends;
	}

	#settle({outcome, worker, own, code, ...claim}: Settlement): End {
		const job = this.#claimed(claim);
		if (!job) return {status: 'lost'};
		if (code !== undefined && job.fingerprint !== undefined) job.fingerprint = job.fingerprint.replace(/^[^ ]*/, code);
		const children = childJobsOf(outcome) ?? [];
		const refusal = refusalOf(
			children,
			child => {
				const holder = this.#holderOf(child);
				return child.unique && holder === job ? undefined : holder;
			},
			id => this.#jobs.has(id),
		);
		if (refusal) return {status: this.#end(job, {...outcome, type: 'threw', error: refusal}, {worker, own}), refusal};
		const status = this.#end(job, outcome, {worker, own});
		this.#enqueueChildren(children);
		return {status};
	}

	#enqueueChildren(children: readonly ChildJob[]): void {
		const ids: JobId[] = [];
		for (const {after, onParentDead = 'cancel', ...child} of children) {
			const parents = after?.map(parent => (typeof parent === 'number' ? parent : (ids[parent.index] as JobId)));
			ids.push(this.#enqueue(child, parents && {ids: parents, onParentDead}).id);
			this.#reachChildren();
		}
	}

	#end(job: RunningJob, outcome: Outcome, {worker, own}: Pick<Settlement, 'worker' | 'own'> = {}): contract.Settled {
		const {asked} = job.state;
		const state = stateAfter(job, outcome, this.#clock.now(), this.#random, own);
		const isDiscarded = asked === 'discard' || asked === 'discardNow';
		if (isDiscarded && (outcome.type === 'cancelled' || state.type !== 'ended')) {
			this.#jobs.delete(job.id);
			return 'discarded';
		}
		const isUnstarted = outcome.type === 'released' && outcome.startedAt === undefined && !outcome.suspicion;
		if (!isUnstarted || state.type === 'ended') job.expires = undefined;
		// Of a released execution only the number is kept.
		if (outcome.type !== 'released') {
			const {startedAt, durationMs, cpuMs, memoryBytes} = outcome;
			job.timing = defined({startedAt, durationMs, cpuMs, memoryBytes});
			keepExecution(job, outcome, worker, this.#clock.now());
		}
		const after = asked === 'hold' && state.type !== 'ended' ? ({type: 'held', runAt: null} as const) : state;
		if (after.type === 'held' && job.expires) job.expires = {...job.expires, at: Infinity};
		Object.assign(job, {state: after});
		if (statusOf(after) === 'completed') this.#given.set(job.id, givenBy(job));
		if (statusOf(after) === 'dead' && 'onDead' in outcome && outcome.onDead) this.#enqueueChildren([outcome.onDead]);
		return statusOf(after);
	}

	#update({startedAt, progress, logs = [], checkpoint, ...claim}: JobUpdate): void {
		const job = this.#claimed(claim);
		if (!job) return;
		if (startedAt !== undefined) Object.assign(job, {state: {...job.state, startedAt}, expires: undefined});
		if (progress) job.progress = progress;
		if (checkpoint) job.checkpoint = {execution: claim.execution, ...checkpoint};
		const lines = logs.map(line => ({execution: claim.execution, ...line}));
		job.logs = [...job.logs, ...lines].slice(-MAX_LOG_LINES);
	}

	/** The job, if this claim still holds it. */
	#claimed({id, lease, execution}: Claim): RunningJob | undefined {
		const job = this.#jobs.get(id);
		return job && isRunning(job) && job.state.lease === lease && job.executions === execution ? job : undefined;
	}

	// Claiming

	#claim(request: contract.ClaimRequest): contract.Claimed {
		this.#register(request.owner);
		for (const job of this.#all())
			if (job.state.type !== 'blocked' && job.state.type !== 'held' && (runAtOf(job.state) ?? Infinity) <= this.#clock.now()) job.state = READY;
		const chosen = choose(this.#ready(request), request, this.#rooms(request), job => this.#bytesOf(job));
		if (chosen.length === 0) return {lease: 0, groups: []};
		const lease = ++this.#lastLease;
		for (const job of chosen) {
			job.state = {type: 'running', owner: request.owner, lease, asked: null};
			job.executions += 1;
			job.progress = undefined;
			job.used = new Map((job.parents?.ids ?? []).map(id => [id, this.#jobs.has(id) ? givenBy(this.#jobs.get(id) as JobRow) : this.#given.get(id)]));
		}
		const alike = Map.groupBy(chosen, ({task, suspicion}) => JSON.stringify([task, quarantineOf(suspicion)]));
		return {lease, groups: [...alike.values()].map(jobs => ({...toClaimedGroup(jobs, lease), ...this.#resultsFor(jobs)}))};
	}

	/** The size of a job's payload, and of the large results of its parents. */
	#bytesOf({payload, parents}: JobRow): number {
		const results = (parents?.ids ?? []).map(id => {
			const state = this.#jobs.get(id)?.state;
			return state?.type === 'ended' ? sizeBytes(state.result ?? null) : 0;
		});
		return results.filter(bytes => bytes >= MIN_COUNTED_RESULT_BYTES).reduce((sum, bytes) => sum + bytes, sizeBytes(payload));
	}

	/** What became of the parents of these jobs. */
	#resultsFor(jobs: readonly JobRow[]): {readonly parents?: ClaimedGroup['parents']} {
		const parents = jobs.flatMap(({parents}, start) => (parents?.ids ?? []).map(id => ({start, end: start + 1, isEach: false, ...this.#resultOf(id)})));
		return parents.length > 0 ? {parents} : {};
	}

	#resultOf(id: JobId): Omit<ParentResults, 'start' | 'end' | 'isEach'> {
		const job = this.#jobs.get(id);
		if (job?.state.type === 'ended' && job.state.status === 'completed') return {first: id, values: pack([job.state.result ?? null])};
		const status = job?.state.type === 'ended' ? (job.state.status as 'dead' | 'cancelled') : job ? 'open' : 'missing';
		return {first: id, values: pack([null]), others: new Map([[0, {status, ...defined({error: job?.state.type === 'ended' ? job.error : undefined})}]])};
	}

	/** Cancels jobs that have not started in time. */
	#expire(): JobId[] {
		const now = this.#clock.now();
		const expired = this.#all().filter(({state, expires}) => statusOf(state) === 'pending' && expires && expires.at <= now);
		for (const job of expired) expire(job, job.expires?.ms ?? 0, now);
		return expired.map(({id}) => id);
	}

	#expiries(expired: readonly JobId[]): Pick<contract.Committed, 'expired' | 'expiresInMs'> {
		const times = this.#all().flatMap(({state, expires}) => (statusOf(state) === 'pending' && expires ? expires.at : []));
		const expiresInMs = times.every(time => time === Infinity) ? undefined : Math.max(0, Math.min(...times) - this.#clock.now());
		return {...(expired.length > 0 && {expired}), ...defined({expiresInMs})};
	}

	/** Jobs of the lanes that could be claimed now. */
	#ready({lanes, scopes = []}: contract.ClaimRequest): JobRow[] {
		const ready = this.#all().filter(
			({state, task, scope}) => state.type === 'ready' && !this.#paused.has(task) && (scope === undefined || scopes.includes(scope)),
		);
		return ready.filter(job => lanes.some(lane => isInLane(job, lane)));
	}

	/** The number of jobs of each limited task that may still start. */
	#rooms({lanes}: contract.ClaimRequest): Map<string, number> {
		const limited = lanes.filter(({concurrency}) => concurrency !== undefined);
		return new Map(limited.map(({task, concurrency = 0}) => [task, concurrency - this.#runningJobs().filter(job => job.task === task).length]));
	}

	/** The number of ready jobs in the lanes that may start without exceeding a task's concurrency. */
	#backlog(request: contract.ClaimRequest): number {
		const rooms = this.#rooms(request);
		const ready = Map.groupBy(this.#ready(request), ({task}) => task);
		return [...ready].reduce((sum, [task, jobs]) => sum + Math.min(jobs.length, Math.max(0, rooms.get(task) ?? Infinity)), 0);
	}

	#dueInMs(): number | null {
		const times = this.#all().flatMap(({state}) => (state.type === 'blocked' || state.type === 'held' ? [] : (runAtOf(state) ?? [])));
		return times.length === 0 ? null : Math.max(0, Math.min(...times) - this.#clock.now());
	}

	// Owners

	#register(owner: OwnerId): void {
		if (this.#owners.has(owner)) return;
		// An owner that was taken for dead does not get its old jobs back.
		this.#reclaimJobs(this.#runningJobs().filter(({state}) => state.owner === owner));
		this.#owners.set(owner, {heartbeatAt: this.#clock.now(), seen: undefined, seenSince: 0});
	}

	/** An owner is silent if the same heartbeat was seen for longer than a lease. After half a lease without a look, all begin anew. */
	#forgetSilentOwners(): void {
		const now = this.#clock.steadyMs();
		const beginsAnew = now - this.#lookedAt > this.leaseMs / 2;
		this.#lookedAt = now;
		for (const [name, owner] of [...this.#owners]) {
			if (beginsAnew || owner.seen !== owner.heartbeatAt) Object.assign(owner, {seen: owner.heartbeatAt, seenSince: now});
			if (now - owner.seenSince <= this.leaseMs) continue;
			this.#forgetOwner(name);
			this.#fenced.add(name);
		}
	}

	#forgetOwner(owner: OwnerId): void {
		this.#owners.delete(owner);
		for (const batch of this.#batches.values()) if (batch.owner === owner) batch.owner = undefined;
	}

	/** Releases jobs of dead owners. */
	#reclaimJobs(jobs: readonly RunningJob[]): void {
		for (const job of jobs) {
			const {owner, lease} = job.state;
			const isOpen = this.#openJobs(owner).some(open => open.lease === lease && job.id >= open.first && job.id <= open.last);
			if (isOpen) job.suspicion = Math.min(job.suspicion + 1, MAX_SUSPICION);
			// It may have started.
			job.expires = undefined;
		}
		this.#releaseJobs(jobs);
	}

	#releaseJobs(jobs: readonly RunningJob[]): void {
		for (const job of jobs) this.#end(job, {type: 'released'});
	}

	// Schedules

	async schedules(): Promise<readonly Schedule[]> {
		this.#assertOpen();
		return [...this.#schedules.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1)).map(({isOver: _, ...schedule}) => schedule);
	}

	#changeSchedule(change: ScheduleChange): ScheduleResult {
		const {name, type} = change;
		const none = {isDone: false, jobIds: []};
		const known = this.#schedules.get(name);
		if (type === 'set') return this.#setSchedule(known, change) ? {isDone: true, jobIds: []} : none;
		if (!known) return none;
		if ((type === 'resume' && !known.isPaused) || (type === 'advance' && known.isPaused)) return none;
		if ('at' in change && known.nextAt !== change.at) return none;
		if (type === 'run') return this.#runNow(known);
		if (type === 'advance') return this.#runSchedule(known, change);
		if (type === 'delete') this.#schedules.delete(name);
		else this.#schedules.set(name, {...known, isPaused: type === 'pause', ...(type === 'resume' && {nextAt: change.nextAt})});
		return {isDone: true, jobIds: []};
	}

	#setSchedule(known: OracleSchedule | undefined, {name, spec, nextAt, lastAt}: ScheduleChange & {type: 'set'}): boolean {
		if (known && (known.lastAt !== lastAt || isSameSchedule(known.spec, spec))) return false;
		const fresh = {name, isPaused: false, lastJobId: null, lastAt: null, runs: 0, skipped: 0, missed: 0};
		this.#schedules.set(name, {...(known ?? fresh), spec, createdAt: this.#clock.now(), nextAt, isOver: false});
		return true;
	}

	/** A run beside the moments. */
	#runNow(schedule: OracleSchedule): ScheduleResult {
		const {spec, nextAt, lastAt, skipped} = schedule;
		const result = this.#runSchedule({...schedule, spec: {...spec, jitterMs: 0}}, {moments: [this.#clock.now()], nextAt, missed: 0});
		this.#schedules.set(schedule.name, {...(this.#schedules.get(schedule.name) as OracleSchedule), spec, lastAt, skipped});
		return result;
	}

	#runSchedule(
		schedule: OracleSchedule,
		{moments, nextAt, missed}: {readonly moments: readonly number[]; readonly nextAt: number | null; readonly missed: number},
	): ScheduleResult {
		const {task, scope, payload, priority, policy, overlap, jitterMs, expiresMs} = schedule.spec;
		const isRunning = this.#isUnended(schedule.lastJobId);
		const isSkipped = isRunning && overlap === 'skip';
		const jobIds: JobId[] = [];
		let before = isRunning ? schedule.lastJobId : null;
		for (const moment of isSkipped ? [] : moments) {
			const runAt = jitterMs > 0 ? moment + Math.floor(this.#random() * jitterMs) : null;
			const {id} = this.#enqueue(
				{task, scope, payload, priority, policy, runAt, ...(expiresMs !== null && {expiresMs})},
				before === null ? undefined : {ids: [before], onParentDead: 'run'},
			);
			(this.#jobs.get(id) as JobRow).scheduledAt = moment;
			jobIds.push(id);
			before = id;
		}
		this.#schedules.set(schedule.name, {
			...schedule,
			nextAt,
			lastJobId: jobIds.at(-1) ?? schedule.lastJobId,
			lastAt: isSkipped ? schedule.lastAt : (moments.at(-1) ?? schedule.lastAt),
			runs: schedule.runs + jobIds.length,
			skipped: schedule.skipped + (isSkipped ? moments.length : 0),
			missed: schedule.missed + missed,
		});
		return {isDone: true, jobIds};
	}

	#isUnended(id: JobId | null): boolean {
		const job = id === null ? undefined : this.#jobs.get(id);
		return job !== undefined && job.state.type !== 'ended';
	}

	/** Sets the next moments that count from the end of a job. */
	#updateSchedules(): void {
		for (const [name, schedule] of this.#schedules) {
			const {timing, until} = schedule.spec;
			if (!('from' in timing) || timing.from !== 'end' || schedule.nextAt !== null || schedule.isPaused || schedule.isOver) continue;
			if (this.#isUnended(schedule.lastJobId)) continue;
			const next = this.#clock.now() + timing.everyMs;
			const isOver = until !== null && next > until;
			this.#schedules.set(name, {...schedule, nextAt: isOver ? null : next, isOver});
		}
	}

	#nextMoment(): {readonly momentInMs?: number} {
		const moments = [...this.#schedules.values()].flatMap(({nextAt, isPaused}) => (nextAt === null || isPaused ? [] : nextAt));
		return moments.length > 0 ? {momentInMs: Math.max(0, Math.min(...moments) - this.#clock.now())} : {};
	}

	// Batches

	/** Updates the schedules and the batches. Every verb that changes the states of jobs ends with this. */
	#updateBatches(): void {
		this.#updateSchedules();
		const now = this.#clock.now();
		const completed: CompletedBatch[] = [];
		for (const batch of this.#batches.values()) {
			const counts = countStatuses(this.#matching({batch: batch.name}));
			if (!completes(batch, counts, this.#matching({batch: batch.name}).filter(isHeldNow).length, now)) continue;
			completed.push({batch: batch.name, counts});
			if (batch.onComplete) batch.completionJobId = this.#add(toCompletionJob(batch.onComplete, {batch: batch.name, counts}), now);
		}
		for (const batch of completed) this.#tell({type: 'batchCompleted', ...batch});
		if (this.#lost.length > 0) this.#tell({type: 'childrenCancelled', ids: this.#lost.splice(0)});
	}

	#tell(news: contract.News): void {
		for (const tell of this.#listeners.keys()) void tell(news);
	}

	#batchOf({batch}: JobRow): BatchRow | undefined {
		return batch === undefined ? undefined : this.#batches.get(batch);
	}

	// Reading

	#all(): JobRow[] {
		return [...this.#jobs.values()];
	}

	#runningJobs(): RunningJob[] {
		return this.#all().filter(isRunning);
	}

	#matching({ids, task, status, batch, key, stale}: JobFilter): JobRow[] {
		const statuses = status === undefined ? STATUSES : [status].flat();
		return this.#all().filter(
			job =>
				(ids?.includes(job.id) ?? true) &&
				(task === undefined || job.task === task) &&
				statuses.includes(statusOf(job.state)) &&
				(batch === undefined || this.#batchOf(job)?.name === batch) &&
				(key === undefined || (job.hasKey && job.key === key && (batch !== undefined || job.batch === undefined))) &&
				(stale === undefined || this.#stalenessOf(job) !== undefined),
		);
	}
}

interface OwnerRow {
	heartbeatAt: number;
	/** The heartbeat at the last call of {@link MemoryStore.reclaim}, and since when it was seen there, by the steady clock. */
	seen: number | undefined;
	seenSince: number;
}

type Listener = (news: contract.News) => void | Promise<void>;

type EnqueuedJob = {readonly type: 'new' | 'reused' | 'left' | 'named' | 'conflict'; readonly id: JobId};
