import {backoffMs} from '../job/backoff.ts';
import type {Batch, BatchOptions, CompletedBatch, DeleteResult, Mark} from '../job/batch.ts';
import type {Claim, DequeuedJob, Lease, OwnerId} from '../job/claim.ts';
import {type Encoded, sameValue, sizeBytes} from '../job/encoding.ts';
import type {Health} from '../job/events.ts';
import {type FailureRecord, poison} from '../job/failure.ts';
import type {BatchId, CleanupOptions, CleanupResult, Counts, Job, JobEnd, JobFilter, JobId, JobStatus, JobValues, LogLine, Page, Progress} from '../job/job.ts';
import {MAX_CRASHES, MAX_SUSPICION, mostTogether, STATUSES} from '../job/job.ts';
import type {ChildJob, NewJob} from '../job/new-job.ts';
import type {OpenJobs} from '../job/open-jobs.ts';
import {MAX_LOG_LINES, type Note, type Outcome, type Settlement} from '../job/outcome.ts';
import {expandNew, expandSettling, MAX_RUN_JOBS} from '../job/runs.ts';
import {monotonicMs} from '../support/clock.ts';
import {FaenaError} from '../support/errors.ts';
import {HeartbeatMonitor} from './heartbeat-monitor.ts';
import {
	batchConflict,
	batchInUse,
	batchRunning,
	type Demand,
	type Dequeued,
	type Enqueued,
	enqueueFailure,
	JobQueue,
	keyConflict,
	MARK_EVERY_MS,
	type Moved,
	type MovePage,
	type MoveTarget,
	movedTo,
	type OutstandingOptions,
	RETRIED_BY_DEFAULT,
	type Settled,
	type TaskDemand,
	type Turn,
	type TurnResult,
	toCompletionJob,
} from './store.ts';

export interface MemoryQueueOptions {
	/** The clock, in milliseconds since 1970. */
	readonly now?: () => number;
	/** What backoff is jittered with, in [0, 1). */
	readonly random?: () => number;
	/** Milliseconds on a clock that never jumps. */
	readonly steadyMs?: () => number;
	/** How long an owner may be silent before {@link MemoryQueue.recover} takes its jobs back. Default 30,000. */
	readonly leaseMs?: number;
	/** Which jobs the workers of an owner that died had open. Default none. */
	readonly openJobs?: (owner: OwnerId) => readonly OpenJobs[];
}

/**
 * A queue that forgets: the model the durable queues are tested against, and a queue for tests. Written to be obviously
 * right, so everything that can be derived is looked for among all jobs, and nothing is indexed.
 *
 * A job's state is the one value `place`; its status is that. Only `turn`, `move` and the end of an owner
 * move a job from one place to another.
 */
export class MemoryQueue extends JobQueue {
	readonly location = ':memory:';
	readonly #now: () => number;
	readonly #random: () => number;
	readonly #heartbeats: HeartbeatMonitor;
	readonly #openJobs: NonNullable<MemoryQueueOptions['openJobs']>;
	/** In order of arrival, which is the order of ids. */
	#jobs = new Map<JobId, StoredJob>();
	readonly #batches = new Map<BatchId, StoredBatch>();
	/** When each owner was last heard of; `null` once it was given up. */
	readonly #owners = new Map<OwnerId, number | null>();
	readonly #paused = new Set<string>();
	#lastId: JobId = 0;
	#lastLease: Lease = 0;
	#lastBatch: BatchId = 0;
	#isClosed = false;

	constructor({now = Date.now, steadyMs = monotonicMs, random = Math.random, leaseMs = 30_000, openJobs = () => []}: MemoryQueueOptions = {}) {
		super();
		this.#now = now;
		this.#random = random;
		this.#heartbeats = new HeartbeatMonitor(leaseMs, steadyMs);
		this.#openJobs = openJobs;
	}

	turn({settle = [], notes = [], enqueue = [], rejectConflicts = false, dequeue}: Turn): TurnResult {
		this.#assertOpen();
		const now = this.#now();
		const before = rejectConflicts ? [...this.#jobs].map(([id, job]) => [id, {...job}] as const) : [];
		const lastId = this.#lastId;
		for (const note of notes) this.#note(note);
		const ends = this.#settleAll(expandSettling(settle), now);
		const enqueued = enqueue.map(job => expandNew([job]).map(each => this.#enqueue(each, now))[0] as Enqueued);
		const conflict = enqueued.findIndex(each => each.conflict);
		if (rejectConflicts && conflict >= 0) {
			// A turn that fails has changed nothing.
			this.#jobs = new Map(before);
			this.#lastId = lastId;
			throw keyConflict(enqueue[conflict] as NewJob, (enqueued[conflict] as Enqueued).id);
		}
		const dequeued = dequeue ? this.#dequeue(dequeue, now) : {lease: 0, jobs: []};
		this.#attendBatches();
		const backlog = dequeue ? this.#backlog(dequeue) : 0;
		const refused = new Map(ends.flatMap(({refusal}, index) => (refusal ? [[index, refusal]] : [])));
		const settled = ends.map(({status}) => status);
		return {settled, enqueued, dequeued, backlog, nextRunAt: this.#nextRunAt(), ...(refused.size > 0 && {refused})};
	}

	move(filter: JobFilter, to: MoveTarget, {after = 0, upTo = this.#lastId, limit = 1000, stop = false}: MovePage = {}): Moved {
		this.#assertOpen();
		const statuses = movedTo(to, filter);
		const matching = this.#matching(filter).filter(({id, place}) => id > after && id <= upTo && statuses.includes(statusOf(place)));
		const page = matching.slice(0, limit);
		const asked = page.filter(({place}) => place.at === 'running').map(({id}) => id);
		for (const job of page) this.#move(job, to, stop);
		this.#attendBatches();
		const next = page.length < matching.length ? {after: page.at(-1)?.id ?? after, upTo, limit, stop} : null;
		return {ids: page.map(({id}) => id).filter(id => !asked.includes(id)), asked, next};
	}

	#move(job: StoredJob, to: MoveTarget, stop: boolean): void {
		const {place} = job;
		if (to === 'discarded') this.#needInput(job.batch);
		if (to === 'pending') newRound(job, READY);
		else if (place.at === 'running' && to === 'cancelled') job.place = {...place, asked: 'cancel'};
		else if (place.at === 'running' && place.asked !== 'cancel') job.place = {...place, asked: stop ? 'withdrawNow' : 'withdraw'};
		else if (place.at !== 'running' && to === 'cancelled') job.place = {at: 'ended', status: 'cancelled', endedAt: this.#now()};
		else if (place.at !== 'running') this.#jobs.delete(job.id);
	}

	pause(tasks: readonly string[]): void {
		this.#assertOpen();
		for (const task of tasks) this.#paused.add(task);
	}

	resume(tasks: readonly string[]): void {
		this.#assertOpen();
		for (const task of tasks) this.#paused.delete(task);
	}

	paused(): readonly string[] {
		this.#assertOpen();
		return [...this.#paused].sort();
	}

	heartbeat(owner: OwnerId): boolean {
		this.#assertOpen();
		const wasGivenUp = this.#owners.get(owner) === null;
		// Whoever begins anew comes last.
		if (wasGivenUp) this.#owners.delete(owner);
		this.#owners.set(owner, this.#now());
		return !wasGivenUp;
	}

	renew(owner: OwnerId): boolean {
		this.#assertOpen();
		const lives = typeof this.#owners.get(owner) === 'number';
		if (lives) this.#owners.set(owner, this.#now());
		return lives;
	}

	recover(): number {
		this.#assertOpen();
		const silent = [...this.#heartbeats.findSilent([...this.#owners].filter((each): each is [OwnerId, number] => each[1] !== null))];
		for (const owner of silent) this.#owners.set(owner, null);
		for (const owner of silent) this.#leaveBatches(owner);
		return silent.reduce((count, owner) => count + this.#takeBack(owner, this.#openJobs(owner)), 0);
	}

	giveBack(owner: OwnerId, after: Lease): number {
		this.#assertOpen();
		return this.#takeBack(owner, [], after);
	}

	leave(owner: OwnerId): void {
		this.#assertOpen();
		this.#owners.delete(owner);
		this.#heartbeats.drop(owner);
		this.#leaveBatches(owner);
		this.#takeBack(owner, []);
	}

	job(id: JobId): Job | undefined {
		this.#assertOpen();
		const job = this.#jobs.get(id);
		return job && this.#describe(job);
	}

	jobs(filter: JobFilter, {after = 0, limit = 100}: Page = {}): readonly Job[] {
		this.#assertOpen();
		const found = this.#matching(filter).filter(job => job.id > after);
		return found.slice(0, limit).map(job => this.#describe(job));
	}

	values(id: JobId): JobValues | undefined {
		this.#assertOpen();
		const job = this.#jobs.get(id);
		return job && {payload: job.payload, ...present({result: job.place.at === 'ended' ? job.place.result : undefined, checkpoint: job.checkpoint})};
	}

	ends(ids: readonly JobId[]): JobEnd[] {
		return ids.flatMap((id): JobEnd[] => {
			const job = this.job(id);
			if (!job) return [{id, status: 'missing', value: null}];
			const {status, error} = job;
			if (status === 'completed') return [{id, status, value: this.values(id)?.result ?? null}];
			return status === 'dead' || status === 'cancelled' ? [{id, status, value: null, ...(error && {error})}] : [];
		});
	}

	logs(id: JobId): readonly LogLine[] {
		this.#assertOpen();
		return this.#jobs.get(id)?.logs ?? [];
	}

	counts(filter: {readonly task?: string} = {}): Counts {
		this.#assertOpen();
		return countsOf(this.#matching(filter));
	}

	outstanding(tasks: readonly string[], {waiting = true}: OutstandingOptions = {}): number {
		this.#assertOpen();
		return this.#all().filter(({task, place}) => {
			if (!tasks.includes(task)) return false;
			return place.at === 'running' || (!this.#paused.has(task) && (place.at === 'ready' || (waiting && runAtOf(place) !== undefined)));
		}).length;
	}

	openBatch(name: string, task: string, owner: OwnerId, {onComplete}: BatchOptions = {}): BatchId {
		this.#assertOpen();
		const known = [...this.#batches].find(([, batch]) => batch.name === name);
		const [id, batch] = known ?? [++this.#lastBatch, newStoredBatch(name, task, this.#now())];
		if (batch.task !== task) throw batchConflict(name, batch.task, task);
		if (batch.owner !== undefined) throw batchInUse(name);
		this.#meet(owner);
		this.#batches.set(id, Object.assign(batch, {total: undefined, closedAt: undefined, marks: [{at: this.#now(), ended: batch.ended}], onComplete, owner}));
		return id;
	}

	endInput(id: BatchId, total: number, owner: OwnerId): boolean {
		this.#assertOpen();
		this.#meet(owner);
		const batch = this.#batches.get(id);
		if (!batch || (batch.owner !== undefined && batch.owner !== owner)) return false;
		Object.assign(batch, {total, owner});
		this.#attendBatches();
		return true;
	}

	closeBatch(id: BatchId, owner: OwnerId): void {
		this.#assertOpen();
		const batch = this.#batches.get(id);
		if (batch?.owner === owner) Object.assign(batch, {closedAt: this.#now(), owner: undefined});
	}

	leaveBatch(id: BatchId, owner: OwnerId): void {
		this.#assertOpen();
		const batch = this.#batches.get(id);
		if (batch?.owner === owner) batch.owner = undefined;
	}

	deleteBatch(name: string, limit = 1000): DeleteResult {
		this.#assertOpen();
		const [id, batch] = [...this.#batches].find(([, each]) => each.name === name) ?? [];
		if (id === undefined || !batch) return {deleted: 0, isGone: true};
		const jobs = this.#matching({batch: name});
		const running = jobs.filter(({place}) => place.at === 'running').length;
		if (running > 0) throw batchRunning(name, running);
		batch.total = undefined;
		for (const job of jobs.slice(0, limit)) this.#jobs.delete(job.id);
		this.#attendBatches();
		if (jobs.length <= limit) this.#batches.delete(id);
		return {deleted: Math.min(limit, jobs.length), isGone: jobs.length <= limit};
	}

	batch(name: string): Batch | undefined {
		return this.batches().find(batch => batch.name === name);
	}

	batches(): readonly Batch[] {
		this.#assertOpen();
		return [...this.#batches].map(([id, {name, task, createdAt, total, startedAt, completedAt, closedAt, marks}]) => ({
			...{id, name, task, createdAt, marks, counts: countsOf(this.#matching({batch: name}))},
			...present({total, startedAt, completedAt, closedAt}),
		}));
	}

	cleanup({endedBefore, limit = MAX_RUN_JOBS, after = 0}: CleanupOptions): CleanupResult {
		this.#assertOpen();
		const ended = this.#all().filter(job => job.id > after && job.place.at === 'ended');
		const looked = ended.slice(0, limit);
		const old = looked.filter(({place, batch}) => place.at === 'ended' && place.endedAt < endedBefore && !this.#isOpen(batch));
		for (const job of old) this.#jobs.delete(job.id);
		const next = looked.length < ended.length ? (looked.at(-1)?.id ?? after) : null;
		this.#attendBatches();
		if (next === null) this.#forgetBatches();
		return {deleted: old.length, next};
	}

	/** Always false: nobody else can write here. */
	changes(): boolean {
		this.#assertOpen();
		return false;
	}

	examine(): Health {
		this.#assertOpen();
		return {logBytes: 0};
	}

	stops(owner: OwnerId): readonly Claim[] {
		this.#assertOpen();
		return this.#all().flatMap(({id, executions, place}) =>
			place.at === 'running' && place.owner === owner && (place.asked === 'cancel' || place.asked === 'withdrawNow')
				? [{id, lease: place.lease, execution: executions}]
				: [],
		);
	}

	close(): void {
		this.#isClosed = true;
	}

	#enqueue(job: NewJob, now: number): Enqueued {
		const holder = job.key === undefined ? undefined : this.#all().find(each => hasSameKey(each, job));
		if (!holder) {
			const id = this.#lastId + 1;
			this.#add(newStoredJob(id, job, now));
			return {id, existing: false, conflict: false};
		}
		const {id, place} = holder;
		if (sameValue(holder.payload, job.payload)) {
			if (job.rerun?.failed && RETRIED_BY_DEFAULT.includes(statusOf(place))) newRound(holder, READY);
			return {id, existing: true, conflict: false};
		}
		if (!job.rerun?.changed || place.at === 'running') return {id, existing: false, conflict: true};
		const {payload, priority, policy} = job;
		newRound(Object.assign(holder, {payload, priority, policy, checkpoint: undefined}), placeOfNew(job, now));
		return {id, existing: true, conflict: false};
	}

	#add(job: StoredJob): void {
		this.#jobs.set(job.id, job);
		this.#lastId = job.id;
	}

	/** Those that make jobs come last: the others may have freed a key. Of two for one execution the first counts. */
	#settleAll(settlements: readonly Settlement[], now: number): End[] {
		const ends: End[] = settlements.map(() => ({status: 'lost'}));
		const seen = new Set<string>();
		const makers: number[] = [];
		for (const [index, settlement] of settlements.entries()) {
			const which = [settlement.id, settlement.lease, settlement.execution].join();
			if (seen.has(which)) continue;
			seen.add(which);
			if (madeBy(settlement.outcome)) makers.push(index);
			else ends[index] = this.#settle(settlement, now);
		}
		for (const index of makers) ends[index] = this.#settle(settlements[index] as Settlement, now);
		return ends;
	}

	#settle({outcome, ...claim}: Settlement, now: number): End {
		const job = this.#claimed(claim);
		if (!job) return {status: 'lost'};
		const jobs = madeBy(outcome) ?? [];
		const refusal = this.#refusal(jobs);
		if (refusal) return {status: this.#end(job, {...outcome, type: 'threw', error: refusal}, now), refusal};
		for (const each of jobs) this.#enqueue(each, now);
		return {status: this.#end(job, outcome, now)};
	}

	/** What the first of the jobs fails its maker with whose key names another payload, here or among those before it. */
	#refusal(jobs: readonly ChildJob[]): FailureRecord | undefined {
		for (const [index, job] of jobs.entries()) {
			if (job.key === undefined) continue;
			const holder = this.#all().find(each => hasSameKey(each, job));
			const held = holder ?? jobs.slice(0, index).find(each => each.key === job.key && each.task === job.task);
			if (held && !sameValue(held.payload, job.payload)) return enqueueFailure(job, holder?.id);
		}
		return undefined;
	}

	#end(job: StoredJob, outcome: Outcome, now: number): Settled {
		const asked = job.place.at === 'running' ? job.place.asked : null;
		switch (outcome.type) {
			case 'returned':
				job.error = undefined;
				job.checkpoint = undefined;
				job.suspicion = 0;
				job.place = {at: 'ended', status: 'completed', endedAt: now, result: outcome.value};
				break;
			case 'cancelled':
				job.error = outcome.error ?? job.error;
				job.place = {at: 'ended', status: 'cancelled', endedAt: now};
				break;
			case 'released':
				if (asked !== 'cancel') job.suspicion = Math.max(job.suspicion, outcome.suspicion ?? 0);
				job.place = asked === 'cancel' ? {at: 'ended', status: 'cancelled', endedAt: now} : READY;
				break;
			default:
				charge(job, outcome);
				job.place = asked === 'cancel' ? {at: 'ended', status: 'cancelled', endedAt: now} : this.#placeOfFailed(job, now);
		}
		if (asked !== null && asked !== 'cancel' && (outcome.type === 'cancelled' || job.place.at !== 'ended')) {
			this.#jobs.delete(job.id);
			return 'withdrawn';
		}
		// A released execution leaves no trace but its number.
		if (outcome.type !== 'released') {
			const {startedAt, durationMs, cpuMs, memoryBytes} = outcome;
			job.timing = present({startedAt, durationMs, cpuMs, memoryBytes});
		}
		return statusOf(job.place);
	}

	#placeOfFailed({attempts, crashes, policy}: StoredJob, now: number): StoredState {
		if (attempts >= policy.maxAttempts || crashes >= MAX_CRASHES) return {at: 'ended', status: 'dead', endedAt: now};
		if (policy.retry === 'manual') return {at: 'failed', runAt: null};
		return {at: 'failed', runAt: now + backoffMs(policy.backoff, attempts, this.#random())};
	}

	#note({startedAt, progress, logs = [], checkpoint, ...claim}: Note): void {
		const job = this.#claimed(claim);
		if (job?.place.at !== 'running') return;
		if (startedAt !== undefined) job.place = {...job.place, startedAt};
		if (progress) job.progress = progress;
		if (checkpoint) job.checkpoint = {execution: claim.execution, ...checkpoint};
		const lines = logs.map(line => ({execution: claim.execution, ...line}));
		job.logs = [...job.logs, ...lines].slice(-MAX_LOG_LINES);
	}

	#dequeue(demand: Demand, now: number): Dequeued {
		this.#meet(demand.owner);
		for (const job of this.#all()) if ((runAtOf(job.place) ?? Infinity) <= now) job.place = READY;
		const chosen = choose(this.#ready(demand), demand, this.#rooms(demand));
		if (chosen.length === 0) return {lease: 0, jobs: []};
		const lease = ++this.#lastLease;
		return {lease, jobs: chosen.map(job => claim(job, demand.owner, lease))};
	}

	/** Makes the owner, if it isn't there or was given up; that comes last then. */
	#meet(owner: OwnerId): void {
		if (typeof this.#owners.get(owner) === 'number') return;
		this.#owners.delete(owner);
		this.#owners.set(owner, this.#now());
	}

	/** Jobs of the demanded tasks that could be dequeued now. */
	#ready({tasks}: Demand): StoredJob[] {
		return this.#all().filter(job => job.place.at === 'ready' && !this.#paused.has(job.task) && tasks.some(each => isMeant(job, each)));
	}

	/** How many more jobs may run of each task that has a limit. */
	#rooms({tasks}: Demand): Map<string, number> {
		const limited = tasks.filter(each => each.concurrency !== undefined);
		return new Map(
			limited.map(({task, concurrency = 0}) => [task, concurrency - this.#all().filter(job => job.task === task && job.place.at === 'running').length]),
		);
	}

	/** Jobs of the demanded tasks that are ready, but for those that would be too many of their task. */
	#backlog(demand: Demand): number {
		const rooms = this.#rooms(demand);
		const ready = Map.groupBy(this.#ready(demand), ({task}) => task);
		return [...ready].reduce((sum, [task, jobs]) => sum + Math.min(jobs.length, Math.max(0, rooms.get(task) ?? Infinity)), 0);
	}

	#nextRunAt(): number | null {
		const times = this.#all().flatMap(job => runAtOf(job.place) ?? []);
		return times.length === 0 ? null : times.reduce((earliest, time) => Math.min(earliest, time));
	}

	#takeBack(owner: OwnerId, open: readonly OpenJobs[], after: Lease = 0): number {
		const now = this.#now();
		const held = this.#all().flatMap(({id, place, executions}) =>
			place.at === 'running' && place.owner === owner && place.lease > after ? [{id, lease: place.lease, execution: executions}] : [],
		);
		for (const claim of held) {
			const job = this.#jobs.get(claim.id) as StoredJob;
			if (open.some(each => each.lease === claim.lease && claim.id >= each.first && claim.id <= each.last)) accuse(job);
			this.#settle({...claim, outcome: {type: 'released'}}, now);
		}
		this.#attendBatches();
		return held.length;
	}

	/** The job, if this claim still holds it. */
	#claimed({id, lease, execution}: Claim): StoredJob | undefined {
		const job = this.#jobs.get(id);
		return job?.place.at === 'running' && job.place.lease === lease && job.executions === execution ? job : undefined;
	}

	#all(): StoredJob[] {
		return [...this.#jobs.values()];
	}

	#matching({ids, task, status, batch}: JobFilter): StoredJob[] {
		const statuses = typeof status === 'string' ? [status] : status;
		return this.#all().filter(
			job =>
				(ids?.includes(job.id) ?? true) &&
				(task === undefined || job.task === task) &&
				(statuses?.includes(statusOf(job.place)) ?? true) &&
				(batch === undefined || this.#batch(job.batch)?.name === batch),
		);
	}

	#batch(id: BatchId | undefined): StoredBatch | undefined {
		return id === undefined ? undefined : this.#batches.get(id);
	}

	#leaveBatches(owner: OwnerId): void {
		for (const batch of this.#batches.values()) if (batch.owner === owner) batch.owner = undefined;
	}

	#needInput(id: BatchId | undefined): void {
		const batch = this.#batch(id);
		if (batch) batch.total = undefined;
	}

	#isOpen(id: BatchId | undefined): boolean {
		const batch = this.#batch(id);
		return batch !== undefined && batch.closedAt === undefined;
	}

	/** What follows for the batches from what was done. Ends everything that moves jobs. */
	#attendBatches(): void {
		const now = this.#now();
		const completed: CompletedBatch[] = [];
		for (const batch of this.#batches.values()) {
			const counts = countsOf(this.#matching({batch: batch.name}));
			const isUnended = counts.pending + counts.running + counts.failed > 0;
			if (counts.running > 0) batch.startedAt ??= now;
			this.#mark(batch, counts, now);
			if (isUnended) batch.completedAt = undefined;
			if (isUnended || batch.total === undefined || batch.completedAt !== undefined) continue;
			batch.completedAt = now;
			completed.push({batch: batch.name, counts});
			if (batch.onComplete) this.#add(newStoredJob(this.#lastId + 1, toCompletionJob(batch.onComplete, {batch: batch.name, counts}), now));
		}
		this.tellCompleted(completed);
	}

	#mark(batch: StoredBatch, {completed, dead, cancelled}: Counts, now: number): void {
		const ended = completed + dead + cancelled;
		const last = batch.marks.at(-1);
		const isDue = ended !== batch.ended && (!last || now - last.at >= MARK_EVERY_MS);
		if (isDue) batch.marks = [...batch.marks.slice(-1), {at: now, ended: batch.ended}];
		batch.ended = ended;
	}

	/** Closed batches of which no job is left. */
	#forgetBatches(): void {
		const needed = new Set(this.#all().map(job => job.batch));
		for (const id of this.#batches.keys()) if (!this.#isOpen(id) && !needed.has(id)) this.#batches.delete(id);
	}

	#describe(job: StoredJob): Job {
		const {id, task, place, priority, key, createdAt, attempts, executions, policy, progress, error} = job;
		// What is known of the execution before is not mixed with the running one.
		const timing: Timing | undefined = place.at === 'running' && place.startedAt !== undefined ? {startedAt: place.startedAt} : job.timing;
		const {maxAttempts, timeoutMs, timeoutPercent} = policy;
		const batch = this.#batch(job.batch)?.name;
		const endedAt = place.at === 'ended' ? place.endedAt : undefined;
		return {
			...{id, task, status: statusOf(place), priority, createdAt, attempts, maxAttempts, executions, timeoutMs, payloadBytes: sizeBytes(job.payload)},
			...present({timeoutPercent, key, batch, runAt: runAtOf(place), ...timing, endedAt, progress, error}),
			...present({
				waitMs: timing?.startedAt !== undefined && executions === 1 ? Math.max(0, timing.startedAt - createdAt) : undefined,
				resultBytes: place.at === 'ended' && place.status === 'completed' ? sizeBytes(place.result ?? null) : undefined,
			}),
		};
	}

	#assertOpen(): void {
		if (this.#isClosed) throw new FaenaError('Closed', 'This queue is closed.');
	}
}

/** What came of a settlement. */
interface End {
	readonly status: Settled;
	readonly refusal?: FailureRecord;
}

interface StoredJob {
	readonly id: JobId;
	readonly task: string;
	readonly payload: Encoded;
	readonly priority: number;
	readonly policy: NewJob['policy'];
	readonly key: string | undefined;
	readonly batch: BatchId | undefined;
	readonly createdAt: number;
	place: StoredState;
	attempts: number;
	/** Attempts in which it killed its worker. */
	crashes: number;
	/** How suspect it is; see `MAX_SUSPICION`. */
	suspicion: number;
	executions: number;
	timing: Timing | undefined;
	progress: Progress | undefined;
	checkpoint: JobValues['checkpoint'];
	error: FailureRecord | undefined;
	logs: readonly LogLine[];
}

/** Where a job is. A failed one without `runAt` is parked. */
type StoredState =
	| {readonly at: 'ready'}
	| {readonly at: 'scheduled'; readonly runAt: number}
	| {readonly at: 'failed'; readonly runAt: number | null}
	| {readonly at: 'running'; readonly owner: OwnerId; readonly lease: Lease; readonly asked: Asked; readonly startedAt?: number}
	| {readonly at: 'ended'; readonly status: 'completed' | 'dead' | 'cancelled'; readonly endedAt: number; readonly result?: Encoded};

/** What was asked since the job was dequeued. */
type Asked = 'cancel' | 'withdraw' | 'withdrawNow' | null;

/** How the last execution ran that failed or ended. */
type Timing = Pick<Outcome, 'startedAt' | 'durationMs' | 'cpuMs' | 'memoryBytes'>;

interface StoredBatch {
	readonly name: string;
	readonly task: string;
	readonly createdAt: number;
	total: number | undefined;
	startedAt: number | undefined;
	completedAt: number | undefined;
	closedAt: number | undefined;
	/** Whose map of it is under way. */
	owner: OwnerId | undefined;
	onComplete: BatchOptions['onComplete'];
	marks: readonly Mark[];
	/** Jobs that had ended when last looked at. */
	ended: number;
}

function newStoredBatch(name: string, task: string, createdAt: number): StoredBatch {
	const nothingYet = {total: undefined, startedAt: undefined, completedAt: undefined, closedAt: undefined, owner: undefined, onComplete: undefined};
	return {name, task, createdAt, ...nothingYet, marks: [], ended: 0};
}

const READY: StoredState = {at: 'ready'};

function statusOf(place: StoredState): JobStatus {
	if (place.at === 'ended') return place.status;
	return place.at === 'ready' || place.at === 'scheduled' ? 'pending' : place.at;
}

function countsOf(jobs: readonly StoredJob[]): Counts {
	const statuses = jobs.map(job => statusOf(job.place));
	return Object.fromEntries(STATUSES.map(status => [status, statuses.filter(each => each === status).length])) as Counts;
}

function runAtOf(place: StoredState): number | undefined {
	return place.at === 'scheduled' || place.at === 'failed' ? (place.runAt ?? undefined) : undefined;
}

function newStoredJob(id: JobId, {task, payload, priority, runAt, policy, key, batch}: NewJob, now: number): StoredJob {
	const place = placeOfNew({runAt}, now);
	const nothingYet = {
		attempts: 0,
		crashes: 0,
		suspicion: 0,
		executions: 0,
		timing: undefined,
		progress: undefined,
		checkpoint: undefined,
		error: undefined,
		logs: [],
	};
	return {id, task, payload, priority, policy, key, batch, createdAt: now, place, ...nothingYet};
}

function placeOfNew({runAt}: Pick<NewJob, 'runAt'>, now: number): StoredState {
	return runAt === null || runAt <= now ? READY : {at: 'scheduled', runAt};
}

function madeBy(outcome: Outcome): readonly ChildJob[] | undefined {
	return outcome.type === 'returned' ? outcome.enqueue : undefined;
}

function newRound(job: StoredJob, place: StoredState): void {
	Object.assign(job, {place, attempts: 0, crashes: 0, suspicion: 0, error: undefined, timing: undefined, progress: undefined});
}

/** Keys are unique per batch, or per task outside batches. */
function hasSameKey(a: StoredJob, b: NewJob): boolean {
	return a.key === b.key && a.batch === b.batch && (a.batch !== undefined || a.task === b.task);
}

function charge(job: StoredJob, {type, error}: Outcome & {type: 'threw' | 'timedOut' | 'lostWorker'}): void {
	job.attempts += 1;
	if (type === 'lostWorker') job.crashes += 1;
	// What failed by itself has killed nothing.
	else job.suspicion = 0;
	job.error = job.crashes >= MAX_CRASHES ? poison(job.crashes, error) : error;
}

function accuse(job: StoredJob): void {
	job.suspicion = Math.min(job.suspicion + 1, MAX_SUSPICION);
}

function isSuspect({suspicion}: StoredJob): boolean {
	return suspicion > 0;
}

function isMeant(job: StoredJob, {task, suspects = false}: TaskDemand): boolean {
	return job.task === task && isSuspect(job) === suspects;
}

/**
 * What the demand takes of the ready jobs.
 * @param rooms how many jobs of limited tasks may be taken
 */
function choose(ready: readonly StoredJob[], {tasks, limit, maxBytes}: Demand, rooms: ReadonlyMap<string, number>): StoredJob[] {
	const taken = new Map<TaskDemand | string, number>();
	const take = (what: TaskDemand | string) => taken.set(what, (taken.get(what) ?? 0) + 1);
	const chosen: StoredJob[] = [];
	let bytes = 0;
	const most = new Map(tasks.map(each => [each, Math.min(each.limit, limit)]));
	for (const job of ready.toSorted((a, b) => b.priority - a.priority || a.id - b.id)) {
		if (chosen.length >= limit || (chosen.length > 0 && bytes >= maxBytes)) break;
		const demanded = tasks.find(each => isMeant(job, each)) as TaskDemand;
		// The most suspect job says how many run together.
		if (isSuspect(job)) most.set(demanded, Math.min(most.get(demanded) as number, mostTogether(job.suspicion)));
		if ((taken.get(demanded) ?? 0) >= (most.get(demanded) as number)) continue;
		if ((taken.get(job.task) ?? 0) >= (rooms.get(job.task) ?? Infinity)) continue;
		take(demanded);
		take(job.task);
		chosen.push(job);
		bytes += sizeBytes(job.payload);
	}
	return chosen;
}

function claim(job: StoredJob, owner: OwnerId, lease: Lease): DequeuedJob {
	job.place = {at: 'running', owner, lease, asked: null};
	job.executions += 1;
	job.progress = undefined;
	const {id, task, payload, createdAt, executions: execution, attempts, policy, key} = job;
	return {
		id,
		task,
		payload,
		createdAt,
		execution,
		attempts,
		policy,
		...present({key, checkpoint: job.checkpoint?.state, isSuspect: isSuspect(job) || undefined, isAlone: job.suspicion === MAX_SUSPICION || undefined}),
	};
}

/** The properties that have a value. */
function present<Fields extends object>(fields: Fields): {[Name in keyof Fields]?: Exclude<Fields[Name], undefined>} {
	return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {[Name in keyof Fields]?: Exclude<Fields[Name], undefined>};
}
