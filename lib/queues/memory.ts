import {backoffMs} from '../backoff.ts';
import {type Encoded, sameValue, sizeBytes} from '../encoding.ts';
import {FaenaError} from '../errors.ts';
import type {FailureRecord} from '../failure.ts';
import type {Counts, Job, JobFilter, JobId, JobStatus, LogLine, Progress} from '../job.ts';
import {STATUSES} from '../job.ts';
import {
	type BatchId,
	type CancelResult,
	type Claim,
	type CleanupOptions,
	type CleanupResult,
	type Demand,
	type Dequeued,
	type DequeuedJob,
	type Enqueued,
	type JobEnd,
	JobQueue,
	type JobValues,
	keyConflict,
	type Lease,
	MAX_LOG_LINES,
	type NewJob,
	type Note,
	type Outcome,
	type OwnerId,
	type Page,
	RETRIED_BY_DEFAULT,
	type Settlement,
	type Turn,
	type TurnResult,
} from '../queue.ts';

export interface MemoryQueueOptions {
	/** The clock, in milliseconds since 1970. */
	readonly now?: () => number;
	/** What backoff is jittered with, in [0, 1). */
	readonly random?: () => number;
	/** How long an owner may be silent before {@link MemoryQueue.recover} takes its jobs back. Default 30,000. */
	readonly leaseMs?: number;
}

/**
 * A queue that forgets: the model the durable queues are tested against, and a queue for tests. Written to be obviously
 * right, so everything that can be derived is looked for among all jobs, and nothing is indexed.
 *
 * A job's state is the one value `place`; its status is that. Only `turn`, `cancel`, `retry` and the end of an owner
 * move a job from one place to another.
 */
export class MemoryQueue extends JobQueue {
	readonly location = ':memory:';
	readonly #now: () => number;
	readonly #random: () => number;
	readonly #leaseMs: number;
	/** In order of arrival, which is the order of ids. */
	readonly #jobs = new Map<JobId, StoredJob>();
	readonly #batches = new Map<BatchId, Batch>();
	/** When each owner was last heard of; `null` once it was given up. */
	readonly #owners = new Map<OwnerId, number | null>();
	readonly #paused = new Set<string>();
	#lastId: JobId = 0;
	#lastLease: Lease = 0;
	#lastBatch: BatchId = 0;
	#isClosed = false;

	constructor({now = Date.now, random = Math.random, leaseMs = 30_000}: MemoryQueueOptions = {}) {
		super();
		this.#now = now;
		this.#random = random;
		this.#leaseMs = leaseMs;
	}

	turn({settle = [], notes = [], enqueue = [], rejectConflicts = false, dequeue}: Turn): TurnResult {
		this.#assertOpen();
		const now = this.#now();
		// First what can fail, so that a turn that fails has changed nothing.
		const {added, enqueued} = this.#admit(enqueue, rejectConflicts, now);
		for (const note of notes) this.#note(note);
		const settled = settle.map(settlement => this.#settle(settlement, now));
		for (const job of added) this.#add(job);
		const dequeued = dequeue ? this.#dequeue(dequeue, now) : {lease: 0, jobs: []};
		const backlog = dequeue ? this.#ready(dequeue).length : 0;
		return {settled, enqueued, dequeued, backlog, nextRunAt: this.#nextRunAt()};
	}

	cancel(filter: JobFilter): CancelResult {
		this.#assertOpen();
		const endedAt = this.#now();
		const cancelled: JobId[] = [];
		const asked: JobId[] = [];
		for (const job of this.#matching(filter)) {
			if (job.place.at === 'ended') continue;
			if (job.place.at === 'running') {
				job.place = {...job.place, cancelAsked: true};
				asked.push(job.id);
			} else {
				job.place = {at: 'ended', status: 'cancelled', endedAt};
				cancelled.push(job.id);
			}
		}
		return {cancelled, asked};
	}

	retry(filter: JobFilter): number {
		this.#assertOpen();
		const isCompletedMeant = filter.status !== undefined || filter.ids !== undefined;
		const retried = this.#matching(filter).filter(({place}) => {
			const status = statusOf(place);
			return RETRIED_BY_DEFAULT.includes(status) || (status === 'completed' && isCompletedMeant);
		});
		for (const job of retried) {
			job.place = READY;
			job.attempts = 0;
			job.error = undefined;
			job.timing = undefined;
			job.progress = undefined;
		}
		return retried.length;
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
		const now = this.#now();
		const silent = [...this.#owners].filter(([, heardAt]) => heardAt !== null && now - heardAt > this.#leaseMs);
		for (const [owner] of silent) this.#owners.set(owner, null);
		return silent.reduce((count, [owner]) => count + this.#takeBack(owner), 0);
	}

	leave(owner: OwnerId): void {
		this.#assertOpen();
		this.#owners.delete(owner);
		this.#takeBack(owner);
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
		const statuses = this.#matching(filter).map(job => statusOf(job.place));
		const entries = STATUSES.map(status => [status, statuses.filter(each => each === status).length]);
		return Object.fromEntries(entries) as Counts;
	}

	outstanding(tasks: readonly string[]): number {
		this.#assertOpen();
		return this.#all().filter(({task, place}) => {
			if (!tasks.includes(task)) return false;
			return place.at === 'running' || (!this.#paused.has(task) && (place.at === 'ready' || runAtOf(place) !== undefined));
		}).length;
	}

	openBatch(name: string, task: string): BatchId {
		this.#assertOpen();
		const known = [...this.#batches].find(([, batch]) => batch.name === name);
		const [id, batch] = known ?? [++this.#lastBatch, {name, task, isOpen: true}];
		if (batch.task !== task)
			throw new FaenaError('BatchConflict', `The batch ${JSON.stringify(name)} belongs to task ${batch.task}, not to ${task}. Give this batch another name.`);
		this.#batches.set(id, {...batch, isOpen: true});
		return id;
	}

	closeBatch(id: BatchId): void {
		this.#assertOpen();
		const batch = this.#batches.get(id);
		if (batch) this.#batches.set(id, {...batch, isOpen: false});
	}

	cleanup({endedBefore, limit = 1000, after = 0}: CleanupOptions): CleanupResult {
		this.#assertOpen();
		const ended = this.#all().filter(job => job.id > after && job.place.at === 'ended');
		const looked = ended.slice(0, limit);
		const old = looked.filter(({place, batch}) => place.at === 'ended' && place.endedAt < endedBefore && !this.#batch(batch)?.isOpen);
		for (const job of old) this.#jobs.delete(job.id);
		const next = looked.length < ended.length ? (looked.at(-1)?.id ?? after) : null;
		if (next === null) this.#forgetBatches();
		return {deleted: old.length, next};
	}

	/** Always false: nobody else can write here. */
	changes(): boolean {
		this.#assertOpen();
		return false;
	}

	stops(owner: OwnerId): readonly Claim[] {
		this.#assertOpen();
		return this.#all().flatMap(({id, executions, place}) =>
			place.at === 'running' && place.owner === owner && place.cancelAsked ? [{id, lease: place.lease, execution: executions}] : [],
		);
	}

	close(): void {
		this.#isClosed = true;
	}

	/** Tells what enqueuing these jobs comes to, without doing it. */
	#admit(jobs: readonly NewJob[], rejectConflicts: boolean, now: number): {added: StoredJob[]; enqueued: Enqueued[]} {
		const added: StoredJob[] = [];
		const enqueued = jobs.map((job): Enqueued => {
			const holder = job.key === undefined ? undefined : [...this.#all(), ...added].find(each => hasSameKey(each, job));
			if (!holder) {
				const id = this.#lastId + added.length + 1;
				added.push(newStoredJob(id, job, now));
				return {id, existing: false, conflict: false};
			}
			const conflict = !sameValue(holder.payload, job.payload);
			if (conflict && rejectConflicts) throw keyConflict(job.task, job.key as string, holder.id);
			return {id: holder.id, existing: !conflict, conflict};
		});
		return {added, enqueued};
	}

	#add(job: StoredJob): void {
		this.#jobs.set(job.id, job);
		this.#lastId = job.id;
	}

	#settle({outcome, ...claim}: Settlement, now: number): JobStatus | 'lost' {
		const job = this.#claimed(claim);
		if (job?.place.at !== 'running') return 'lost';
		const {cancelAsked} = job.place;
		switch (outcome.type) {
			case 'returned':
				job.error = undefined;
				job.checkpoint = undefined;
				job.place = {at: 'ended', status: 'completed', endedAt: now, result: outcome.value};
				break;
			case 'cancelled':
				job.error = outcome.error ?? job.error;
				job.place = {at: 'ended', status: 'cancelled', endedAt: now};
				break;
			case 'released':
				job.place = placeOfReleased(cancelAsked, now);
				break;
			default:
				job.attempts += 1;
				job.error = outcome.error;
				job.place = cancelAsked ? {at: 'ended', status: 'cancelled', endedAt: now} : this.#placeOfFailed(job, now);
		}
		// A released execution leaves no trace but its number.
		if (outcome.type !== 'released') job.timing = present({startedAt: outcome.startedAt, durationMs: outcome.durationMs});
		return statusOf(job.place);
	}

	#placeOfFailed({attempts, policy}: StoredJob, now: number): Place {
		if (attempts >= policy.maxAttempts) return {at: 'ended', status: 'dead', endedAt: now};
		if (policy.retry === 'manual') return {at: 'failed', runAt: null};
		return {at: 'failed', runAt: now + backoffMs(policy.backoff, attempts, this.#random())};
	}

	#note({progress, logs = [], checkpoint, ...claim}: Note): void {
		const job = this.#claimed(claim);
		if (!job) return;
		if (progress) job.progress = progress;
		if (checkpoint) job.checkpoint = {execution: claim.execution, ...checkpoint};
		const lines = logs.map(line => ({execution: claim.execution, ...line}));
		job.logs = [...job.logs, ...lines].slice(-MAX_LOG_LINES);
	}

	#dequeue(demand: Demand, now: number): Dequeued {
		if (typeof this.#owners.get(demand.owner) !== 'number') this.#owners.set(demand.owner, now);
		for (const job of this.#all()) if ((runAtOf(job.place) ?? Infinity) <= now) job.place = READY;
		const chosen = choose(this.#ready(demand), demand);
		if (chosen.length === 0) return {lease: 0, jobs: []};
		const lease = ++this.#lastLease;
		return {lease, jobs: chosen.map(job => claim(job, demand.owner, lease))};
	}

	/** Jobs of the demanded tasks that could be dequeued now. */
	#ready({tasks}: Demand): StoredJob[] {
		return this.#all().filter(({task, place}) => place.at === 'ready' && !this.#paused.has(task) && tasks.some(each => each.task === task));
	}

	#nextRunAt(): number | null {
		const times = this.#all().flatMap(job => runAtOf(job.place) ?? []);
		return times.length === 0 ? null : times.reduce((earliest, time) => Math.min(earliest, time));
	}

	#takeBack(owner: OwnerId): number {
		const now = this.#now();
		const held = this.#all().filter(({place}) => place.at === 'running' && place.owner === owner);
		for (const job of held) job.place = placeOfReleased(job.place.at === 'running' && job.place.cancelAsked, now);
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

	#batch(id: BatchId | undefined): Batch | undefined {
		return id === undefined ? undefined : this.#batches.get(id);
	}

	/** Closed batches of which no job is left. */
	#forgetBatches(): void {
		const needed = new Set(this.#all().map(job => job.batch));
		for (const [id, {isOpen}] of this.#batches) if (!isOpen && !needed.has(id)) this.#batches.delete(id);
	}

	#describe(job: StoredJob): Job {
		const {id, task, place, priority, key, createdAt, attempts, executions, policy, timing, progress, error} = job;
		const {maxAttempts, timeoutMs} = policy;
		const batch = this.#batch(job.batch)?.name;
		const endedAt = place.at === 'ended' ? place.endedAt : undefined;
		return {
			...{id, task, status: statusOf(place), priority, createdAt, attempts, maxAttempts, executions, timeoutMs},
			...present({key, batch, runAt: runAtOf(place), ...timing, endedAt, progress, error}),
		};
	}

	#assertOpen(): void {
		if (this.#isClosed) throw new FaenaError('Closed', 'This queue is closed.');
	}
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
	place: Place;
	attempts: number;
	executions: number;
	timing: Timing | undefined;
	progress: Progress | undefined;
	checkpoint: JobValues['checkpoint'];
	error: FailureRecord | undefined;
	logs: readonly LogLine[];
}

/** Where a job is. A failed one without `runAt` is parked. */
type Place =
	| {readonly at: 'ready'}
	| {readonly at: 'scheduled'; readonly runAt: number}
	| {readonly at: 'failed'; readonly runAt: number | null}
	| {readonly at: 'running'; readonly owner: OwnerId; readonly lease: Lease; readonly cancelAsked: boolean}
	| {readonly at: 'ended'; readonly status: 'completed' | 'dead' | 'cancelled'; readonly endedAt: number; readonly result?: Encoded};

/** How the last execution ran that failed or ended. */
type Timing = Pick<Outcome, 'startedAt' | 'durationMs'>;

interface Batch {
	readonly name: string;
	readonly task: string;
	readonly isOpen: boolean;
}

const READY: Place = {at: 'ready'};

function statusOf(place: Place): JobStatus {
	if (place.at === 'ended') return place.status;
	return place.at === 'ready' || place.at === 'scheduled' ? 'pending' : place.at;
}

function runAtOf(place: Place): number | undefined {
	return place.at === 'scheduled' || place.at === 'failed' ? (place.runAt ?? undefined) : undefined;
}

function placeOfReleased(cancelAsked: boolean, now: number): Place {
	return cancelAsked ? {at: 'ended', status: 'cancelled', endedAt: now} : READY;
}

function newStoredJob(id: JobId, {task, payload, priority, runAt, policy, key, batch}: NewJob, now: number): StoredJob {
	const place: Place = runAt === null || runAt <= now ? READY : {at: 'scheduled', runAt};
	const nothingYet = {attempts: 0, executions: 0, timing: undefined, progress: undefined, checkpoint: undefined, error: undefined, logs: []};
	return {id, task, payload, priority, policy, key, batch, createdAt: now, place, ...nothingYet};
}

/** Keys are unique per batch, or per task outside batches. */
function hasSameKey(a: StoredJob, b: NewJob): boolean {
	return a.key === b.key && a.batch === b.batch && (a.batch !== undefined || a.task === b.task);
}

/** What the demand takes of the ready jobs. */
function choose(ready: readonly StoredJob[], {tasks, limit, maxBytes}: Demand): StoredJob[] {
	const room = new Map(tasks.map(each => [each.task, each.limit]));
	const chosen: StoredJob[] = [];
	let bytes = 0;
	for (const job of ready.toSorted((a, b) => b.priority - a.priority || a.id - b.id)) {
		if (chosen.length >= limit || (chosen.length > 0 && bytes >= maxBytes)) break;
		const left = room.get(job.task) ?? 0;
		if (left <= 0) continue;
		room.set(job.task, left - 1);
		chosen.push(job);
		bytes += sizeBytes(job.payload);
	}
	return chosen;
}

function claim(job: StoredJob, owner: OwnerId, lease: Lease): DequeuedJob {
	job.place = {at: 'running', owner, lease, cancelAsked: false};
	job.executions += 1;
	job.progress = undefined;
	const {id, task, payload, executions: execution, attempts, policy, key} = job;
	return {id, task, payload, execution, attempts, policy, ...present({key, checkpoint: job.checkpoint?.state})};
}

/** The properties that have a value. */
function present<Fields extends object>(fields: Fields): {[Name in keyof Fields]?: Exclude<Fields[Name], undefined>} {
	return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {[Name in keyof Fields]?: Exclude<Fields[Name], undefined>};
}
