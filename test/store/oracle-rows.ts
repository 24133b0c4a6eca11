import {type Batch, type BatchId, type BatchOptions, MARK_EVERY_MS, type Mark, type StoredFlow} from '../../lib/job/batch.ts';
import {type Claim, type ExecutionRecord, type Lease, MAX_EXECUTIONS, type Outcome, type OwnerId, type Timing} from '../../lib/job/claim.ts';
import {type Encoded, sameValue, sizeBytes} from '../../lib/job/encoding.ts';
import {expiry, type FailureRecord, parentFailure, poison} from '../../lib/job/failure.ts';
import {type ClaimedGroup, type EnqueuedGroup, idAt, type NewGroup, toColumn, toIds} from '../../lib/job/groups/group.ts';
import {pack} from '../../lib/job/groups/packed.ts';
import {newJobsOf} from '../../lib/job/groups/single-jobs.ts';
import {
	type Counts,
	type JobEnd,
	type JobId,
	type JobStatus,
	type LogLine,
	MAX_CRASHES,
	MAX_SUSPICION,
	mostTogether,
	type Progress,
	STATUSES,
} from '../../lib/job/job.ts';
import type {ChildJob, NewJob} from '../../lib/job/new-job.ts';
import {backoffMs} from '../../lib/job/next-state.ts';
import {type CheckedOptions, withOwn} from '../../lib/job/options.ts';
import type {OnParentDead, ParentEdge} from '../../lib/job/parents.ts';
import {type JobSearch, type JobValues, type Place, SORTED_BY} from '../../lib/job/search.ts';
import {enqueueFailure, keyConflict, noParent, noParentFailure} from '../../lib/store/conflict-errors.ts';
import type {JobEdges, StoredJob, Wanted} from '../../lib/store/found-jobs.ts';
import type {ClaimRequest, LaneRequest, Settled, SettledGroup, TaskCounts} from '../../lib/store/store.ts';
import {defined} from '../../lib/support/defined.ts';
import type {FaenaError} from '../../lib/support/errors.ts';

/** A job of {@link MemoryStore}. */
export interface JobRow {
	readonly id: JobId;
	readonly task: string;
	scope: string | undefined;
	readonly payload: Encoded;
	readonly priority: number;
	readonly policy: NewJob['policy'];
	readonly key: string | undefined;
	/** False once another job has taken the key. */
	hasKey: boolean;
	readonly batch: BatchId | undefined;
	readonly createdAt: number;
	fingerprint?: string;
	/** The moment for which a schedule has enqueued it. */
	scheduledAt?: number;
	/** The jobs for which it waits. */
	readonly parents: {readonly ids: readonly JobId[]; readonly onParentDead: OnParentDead; readonly areHeld?: boolean} | undefined;
	/** What its last execution has got from each parent: a result as text, or what stands for none. */
	used?: ReadonlyMap<JobId, string | undefined>;
	state: State;
	/** Milliseconds after which the job expires, and when that is; `undefined` if it may not expire, or has started. */
	expires: {readonly ms: number; readonly at: number} | undefined;
	attempts: number;
	/** Executions that asked for a later one, and were not charged. */
	delays: number;
	/** Attempts that killed their worker. */
	crashes: number;
	/** See `MAX_SUSPICION`. */
	suspicion: number;
	executions: number;
	/** Times and resources of the last execution that failed or ended. */
	timing: Timing | undefined;
	progress: Progress | undefined;
	checkpoint: JobValues['checkpoint'];
	error: FailureRecord | undefined;
	logs: readonly LogLine[];
	history: readonly ExecutionRecord[];
}

/** A failed job without `runAt` is parked. */
export type State =
	/** Past: parents that were deleted when the job no longer waited for them, before it was blocked again. */
	| {readonly type: 'blocked'; readonly runAt: number | null; readonly past: readonly JobId[]}
	| {readonly type: 'ready'}
	| {readonly type: 'delayed'; readonly runAt: number}
	| {readonly type: 'failed'; readonly runAt: number | null}
	| {readonly type: 'held'; readonly runAt: number | null}
	| {readonly type: 'running'; readonly owner: OwnerId; readonly lease: Lease; readonly asked: Asked; readonly startedAt?: number}
	| {readonly type: 'ended'; readonly status: 'completed' | 'dead' | 'cancelled'; readonly endedAt: number; readonly result?: Encoded};

/** The request of a move since the job was claimed. */
type Asked = 'cancel' | 'discard' | 'discardNow' | 'hold' | null;

export type RunningJob = JobRow & {readonly state: Extract<State, {type: 'running'}>};

export interface BatchRow {
	readonly id: BatchId;
	readonly name: string;
	readonly task: string | undefined;
	flow: StoredFlow | undefined;
	stages: readonly string[] | undefined;
	renewal: string | undefined;
	run: string | undefined;
	readonly createdAt: number;
	total: number | undefined;
	startedAt: number | undefined;
	completedAt: number | undefined;
	closedAt: number | undefined;
	completionJobId: JobId | undefined;
	owner: OwnerId | undefined;
	onComplete: BatchOptions['onComplete'];
	marks: readonly Mark[];
	/** The number of ended jobs when the marks were last updated. */
	ended: number;
}

export function newBatchRow(id: BatchId, name: string, task: string | undefined, createdAt: number): BatchRow {
	const nothingYet = {total: undefined, startedAt: undefined, completedAt: undefined, closedAt: undefined, completionJobId: undefined};
	const nothingGiven = {owner: undefined, onComplete: undefined, flow: undefined, stages: undefined, renewal: undefined, run: undefined};
	return {id, name, task, createdAt, ...nothingYet, ...nothingGiven, marks: [], ended: 0};
}

export function isOpen(batch: BatchRow | undefined): boolean {
	return batch !== undefined && batch.closedAt === undefined;
}

/** Updates the times and marks of the batch. Returns true if the batch completes now. */
export function completes(batch: BatchRow, counts: Counts, held: number, now: number): boolean {
	const isUnended = counts.blocked + counts.pending - held + counts.running + counts.failed > 0;
	if (counts.running > 0) batch.startedAt ??= now;
	mark(batch, counts, now);
	if (isUnended) batch.completedAt = undefined;
	if (isUnended || batch.total === undefined || batch.completedAt !== undefined) return false;
	batch.completedAt = now;
	return true;
}

function mark(batch: BatchRow, {completed, dead, cancelled}: Counts, now: number): void {
	const ended = completed + dead + cancelled;
	const last = batch.marks.at(-1);
	const isDue = ended > batch.ended && (!last || now - last.at >= MARK_EVERY_MS);
	if (isDue) batch.marks = [...batch.marks.slice(-1), {at: now, ended: batch.ended}];
	batch.ended = ended;
}

export const READY: State = {type: 'ready'};

export function statusOf(state: State): JobStatus {
	if (state.type === 'ended') return state.status;
	return state.type === 'ready' || state.type === 'delayed' || state.type === 'held' ? 'pending' : state.type;
}

export function runAtOf(state: State): number | undefined {
	return state.type === 'blocked' || state.type === 'delayed' || state.type === 'failed' || state.type === 'held' ? (state.runAt ?? undefined) : undefined;
}

export function stateOfNew({runAt, delayMs}: Pick<NewJob, 'runAt' | 'delayMs'>, now: number): State {
	const at = delayMs === undefined ? (runAt ?? now) : now + delayMs;
	return at <= now ? READY : {type: 'delayed', runAt: at};
}

export function beginRound(job: JobRow, state: State): void {
	Object.assign(job, {state, attempts: 0, delays: 0, crashes: 0, suspicion: 0, error: undefined, timing: undefined, progress: undefined, expires: undefined});
}

/** When a new job, or a new round, expires. */
export function expiresOf(ms: number | undefined, state: State, now: number): JobRow['expires'] {
	return ms === undefined ? undefined : {ms, at: (runAtOf(state) ?? now) + ms};
}

/** Cancels a job that has not started in time. */
export function expire(job: JobRow, ms: number, now: number): void {
	cancelFor(job, expiry(ms / 1000), now);
}

/** Cancels a job that waits for a parent that will not complete. */
export function lose(job: JobRow, parent: JobId, status: JobStatus | undefined, now: number): void {
	cancelFor(job, parentFailure(parent, status === 'dead' || status === 'cancelled' ? status : 'deleted'), now);
}

/** The parents of the job at this index of its group. @param first the id of the group's first job */
export function parentIds({kind, parents, start = 0}: ParentEdge, index: number, before: readonly EnqueuedGroup[], first: JobId): JobId[] {
	const idOf = (at: number) => {
		if ('ids' in parents) return idAt(parents.ids, at);
		return parents.groupsBefore === 0 ? first + parents.first + at : idAt((before.at(-parents.groupsBefore) as EnqueuedGroup).ids, parents.first + at);
	};
	if (kind === 'all') return Array.from({length: parents.count}, (_, at) => idOf(at));
	return index >= start && index < start + parents.count ? [idOf(index - start)] : [];
}

function cancelFor(job: JobRow, error: FailureRecord, now: number): void {
	job.executions += 1;
	const record = {execution: job.executions, status: 'cancelled', endedAt: now, error} as const;
	Object.assign(job, {
		state: {type: 'ended', status: 'cancelled', endedAt: now},
		expires: undefined,
		timing: undefined,
		error,
		history: keepEnds([...job.history, record]),
	});
}

function keepEnds(history: readonly ExecutionRecord[]): readonly ExecutionRecord[] {
	return history.length > MAX_EXECUTIONS ? history.toSpliced(MAX_EXECUTIONS / 2, 1) : history;
}

type FailedOutcome = Outcome & {type: 'threw' | 'timedOut' | 'lostWorker'};

/** The state of the job after its execution. Stores the error and the charges of the execution in the job. */
export function stateAfter(job: RunningJob, outcome: Outcome, now: number, random: () => number, own?: CheckedOptions): State {
	const {asked} = job.state;
	const policy = withOwn(job.policy, own);
	const isCancelled = asked === 'cancel';
	const cancelled: State = {type: 'ended', status: 'cancelled', endedAt: now};
	switch (outcome.type) {
		case 'returned':
			Object.assign(job, {error: undefined, checkpoint: undefined, suspicion: 0});
			return {type: 'ended', status: 'completed', endedAt: now, result: outcome.value};
		case 'cancelled':
			job.error = outcome.error ?? job.error;
			return cancelled;
		case 'released':
			if (!isCancelled) job.suspicion = Math.max(job.suspicion, outcome.suspicion ?? 0);
			return isCancelled ? cancelled : READY;
		default:
			if (isDelay({...job, policy}, outcome)) job.delays += 1;
			else job.attempts += 1;
			fail(job, outcome);
			return isCancelled ? cancelled : stateOfFailed({...job, policy}, now, random);
	}
}

function stateOfFailed({attempts, crashes, policy, error}: JobRow, now: number, random: () => number): State {
	const {retry} = error ?? {};
	if (attempts >= policy.maxAttempts || crashes >= MAX_CRASHES || retry === 'never') return {type: 'ended', status: 'dead', endedAt: now};
	const waitMs = retry?.afterMs ?? backoffMs(policy.backoff, attempts, random());
	return {type: 'failed', runAt: policy.retry === 'manual' ? null : now + waitMs};
}

/** True for an execution that asks for a later one, and is not charged. */
function isDelay({delays, policy}: JobRow, {type, error}: FailedOutcome): boolean {
	return type === 'threw' && typeof error.retry === 'object' && delays < (policy.maxDelays ?? 100);
}

function fail(job: JobRow, {type, error}: FailedOutcome): void {
	if (type === 'lostWorker') job.crashes += 1;
	// A job that failed without a loss of its worker is no longer a suspect.
	else job.suspicion = 0;
	job.error = job.crashes >= MAX_CRASHES ? poison(job.crashes, error) : error;
}

/** Keeps an execution that has ended, unless it never started: the first ones and the last ones. Call it once the job has its error. */
export function keepExecution(job: JobRow, outcome: Exclude<Outcome, {readonly type: 'released'}>, worker: string | undefined, endedAt: number): void {
	const {executions: execution, timing} = job;
	const error = outcome.type === 'returned' ? undefined : outcome.type === 'cancelled' ? outcome.error : job.error;
	if (outcome.type === 'cancelled' && !error && outcome.startedAt === undefined) return;
	const ended = outcome.type === 'returned' ? 'completed' : 'cancelled';
	const status = error ? (error.reason === 'cancelled' ? 'cancelled' : 'failed') : ended;
	job.history = keepEnds([...job.history, {execution, status, endedAt, ...timing, ...defined({worker, error})}]);
}

/** The result of a job as text, or a word that stands for none. */
export function givenBy(job: JobRow): string {
	if (job.state.type !== 'ended') return 'open';
	const {status, result = null} = job.state;
	return status !== 'completed' ? 'none' : result instanceof Uint8Array ? `bytes ${result}` : `text ${result}`;
}

export function isRunning(job: JobRow): job is RunningJob {
	return job.state.type === 'running';
}

export function claimOf({id, state, executions}: RunningJob): Claim {
	return {id, lease: state.lease, execution: executions};
}

export function childJobsOf(outcome: Outcome): readonly ChildJob[] | undefined {
	if (outcome.type === 'returned') return outcome.enqueue;
	return 'onDead' in outcome ? [] : undefined;
}

/** The failure of a job that enqueues these jobs, if the key of one belongs to another payload: in the store, or among the jobs before it. */
export function refusalOf(
	children: readonly ChildJob[],
	holderOf: (child: ChildJob) => JobRow | undefined,
	exists: (id: JobId) => boolean,
): FailureRecord | undefined {
	for (const [index, child] of children.entries()) {
		const missing = child.after?.find((parent): parent is JobId => typeof parent === 'number' && !exists(parent));
		if (missing !== undefined) return noParentFailure(child, missing);
		if (child.key === undefined) continue;
		const holder = holderOf(child);
		const held = holder ?? children.slice(0, index).find(({key, task}) => key === child.key && task === child.task);
		if (held && !sameValue(held.payload, child.payload)) return enqueueFailure(child, holder?.id);
	}
	return undefined;
}

/** The result of one settlement. */
export interface End {
	readonly status: Settled;
	readonly refusal?: FailureRecord;
}

export function toSettledGroup(ends: readonly End[]): SettledGroup {
	const others = new Map(ends.flatMap(({status}, index) => (status === 'completed' ? [] : [[index, status] as const])));
	const refusals = new Map(ends.flatMap(({refusal}, index) => (refusal ? [[index, refusal] as const] : [])));
	return {others, ...(refusals.size > 0 && {refusals})};
}

export function findConflict(groups: readonly NewGroup[], enqueued: readonly EnqueuedGroup[]): FaenaError | undefined {
	for (const [index, group] of groups.entries()) {
		const {ids, conflicts = [], missing} = enqueued[index] as EnqueuedGroup;
		if (missing !== undefined) return noParent(group.task, missing);
		const [first] = conflicts;
		if (first !== undefined) return keyConflict([...newJobsOf(group)][first] as NewJob, idAt(ids, first));
	}
	return undefined;
}

export function countStatuses(jobs: readonly JobRow[]): Counts {
	return Object.fromEntries(STATUSES.map(status => [status, jobs.filter(({state}) => statusOf(state) === status).length])) as Counts;
}

export function countStates(jobs: readonly JobRow[]): Omit<TaskCounts, 'task' | 'scope' | 'isPaused'> {
	const count = (isMeant: (job: JobRow) => boolean) => jobs.filter(isMeant).length;
	const {running, completed, dead, cancelled} = countStatuses(jobs);
	return {
		blocked: count(({state}) => state.type === 'blocked'),
		ready: count(({state, suspicion}) => state.type === 'ready' && suspicion === 0),
		quarantined: count(({state, suspicion}) => state.type === 'ready' && suspicion > 0),
		delayed: count(({state}) => state.type === 'delayed'),
		held: count(isHeldNow),
		failed: count(({state}) => state.type === 'failed' && state.runAt !== null),
		parked: count(({state}) => state.type === 'failed' && state.runAt === null),
		...{running, completed, dead, cancelled},
	};
}

/** True for a job that is held, other than one that runs. */
export function isHeldNow({state}: JobRow): boolean {
	return state.type === 'held';
}

/** True unless the job waits for a person anyway, was asked to stop, or is held. */
export function canBeHeld({state}: JobRow): boolean {
	if (state.type === 'running') return state.asked === null;
	return state.type !== 'held' && !(state.type === 'failed' && state.runAt === null);
}

/** True for a job that is held, or will be when its execution ends. */
export function isHeld({state}: JobRow): boolean {
	return state.type === 'held' || (state.type === 'running' && state.asked === 'hold');
}

export function isInLane({task, suspicion}: JobRow, lane: LaneRequest): boolean {
	return task === lane.task && suspicion > 0 === (lane.isQuarantined ?? false);
}

export function quarantineOf(suspicion: number): 'together' | 'alone' | undefined {
	return suspicion === 0 ? undefined : suspicion === MAX_SUSPICION ? 'alone' : 'together';
}

/**
 * The jobs that the request claims.
 * @param rooms the number of jobs of each limited task that may start
 */
export function choose(
	ready: readonly JobRow[],
	{lanes, limit, maxBytes}: ClaimRequest,
	rooms: ReadonlyMap<string, number>,
	bytesOf: (job: JobRow) => number,
): JobRow[] {
	const taken = new Map<LaneRequest | string, number>();
	const take = (what: LaneRequest | string) => taken.set(what, (taken.get(what) ?? 0) + 1);
	const most = new Map(lanes.map(lane => [lane, Math.min(lane.limit, limit)]));
	const chosen: JobRow[] = [];
	let bytes = 0;
	for (const job of ready.toSorted((a, b) => b.priority - a.priority || a.id - b.id)) {
		if (chosen.length >= limit || (chosen.length > 0 && bytes >= maxBytes)) break;
		const lane = lanes.find(each => isInLane(job, each)) as LaneRequest;
		// The job with the highest suspicion limits the number of jobs that run together.
		if (job.suspicion > 0) most.set(lane, Math.min(most.get(lane) as number, mostTogether(job.suspicion)));
		if ((taken.get(lane) ?? 0) >= (most.get(lane) as number)) continue;
		if ((taken.get(job.task) ?? 0) >= (rooms.get(job.task) ?? Infinity)) continue;
		take(lane);
		take(job.task);
		chosen.push(job);
		bytes += bytesOf(job);
	}
	return chosen;
}

export function toClaimedGroup(jobs: readonly JobRow[], lease: Lease): ClaimedGroup {
	const [{task, suspicion}] = jobs as readonly [JobRow];
	const byIndex = <Value>(of: (job: JobRow) => Value | undefined): ReadonlyMap<number, Value> =>
		new Map(jobs.flatMap((job, index) => (of(job) === undefined ? [] : [[index, of(job) as Value] as const])));
	return {
		...{task, lease, quarantine: quarantineOf(suspicion)},
		ids: toIds(jobs.map(({id}) => id)),
		executions: toColumn(jobs.map(({executions}) => executions)),
		createdAt: toColumn(jobs.map(({createdAt}) => createdAt)),
		priorities: toColumn(jobs.map(({priority}) => priority)),
		policies: toColumn(jobs.map(({policy}) => policy)),
		scopes: toColumn(jobs.map(({scope}) => scope)),
		values: pack(jobs.map(({payload}) => payload)),
		attempts: byIndex(({attempts}) => attempts || undefined),
		keys: byIndex(({key}) => key),
		checkpoints: byIndex(({checkpoint}) => checkpoint?.state),
		expiries: byIndex(({expires}) => expires?.at),
		scheduledAt: byIndex(({scheduledAt}) => scheduledAt),
	};
}

export function describeJob(job: JobRow, batch: string | undefined, {values, logs, history}: Wanted, edges?: JobEdges): StoredJob {
	const {id, task, state, priority, key, createdAt, attempts, executions, policy, progress, error} = job;
	// A running job shows the start of this execution, and no figures of the one before.
	const timing: Timing | undefined = state.type === 'running' && state.startedAt !== undefined ? {startedAt: state.startedAt} : job.timing;
	const {maxAttempts, timeoutMs, timeoutPercent} = policy;
	const {endedAt, result} = state.type === 'ended' ? state : {};
	return {
		...{id, task, status: statusOf(state), priority, createdAt, attempts, maxAttempts, executions, timeoutMs, payloadBytes: sizeBytes(job.payload)},
		...defined({scope: job.scope, edges, scheduledAt: job.scheduledAt, timeoutPercent, key, batch, runAt: runAtOf(state), ...timing, endedAt, progress, error}),
		...defined({
			waitMs: timing?.startedAt !== undefined && executions === 1 ? Math.max(0, timing.startedAt - createdAt) : undefined,
			resultBytes: result === undefined ? undefined : sizeBytes(result),
			values: values ? {payload: job.payload, ...(result !== undefined && {result}), ...defined({checkpoint: job.checkpoint})} : undefined,
			logs: logs ? job.logs : undefined,
			history: history ? job.history : undefined,
			held: isHeldNow(job) || undefined,
		}),
	};
}

/** The jobs that have what the search sorts by, and a time in its range, in its order. */
export function listed(jobs: readonly StoredJob[], {sort = 'id', since = -Infinity, until = Infinity}: JobSearch): {job: StoredJob; place: Place}[] {
	const by = SORTED_BY[sort];
	const isTimed = since !== -Infinity || until !== Infinity;
	const matching = jobs.filter(
		job => job[by.value] !== undefined && (!isTimed || ((job[by.time] ?? NaN) >= Number(since) && (job[by.time] ?? NaN) < Number(until))),
	);
	const places = matching.map(job => ({job, place: sort === 'id' ? job.id : {value: job[by.value] as number, id: job.id}}));
	return places.sort((a, b) => (comesBefore(a.place, b.place) ? -1 : 1));
}

export function comesBefore(one: Place, other: Place): boolean {
	if (typeof one === 'number' || typeof other === 'number') return Number(one) < Number(other);
	return one.value > other.value || (one.value === other.value && one.id > other.id);
}

export function outcomeOf(id: JobId, job: JobRow | undefined): JobEnd[] {
	if (!job) return [{id, status: 'missing', result: null}];
	if (job.state.type !== 'ended') return [];
	const {status, result = null} = job.state;
	return [{id, status, result, ...defined({error: job.error})}];
}

export function describeBatch(
	{id, name, task, flow, stages, renewal, run, createdAt, marks, total, startedAt, completedAt, closedAt, completionJobId}: BatchRow,
	jobs: readonly JobRow[],
): Batch {
	const byTask = Map.groupBy(jobs, job => job.task);
	const held = jobs.filter(isHeldNow).length;
	const tasks = task === undefined ? Object.fromEntries([...byTask].map(([name, own]) => [name, countStatuses(own)])) : undefined;
	return {
		id,
		name,
		createdAt,
		marks,
		counts: countStatuses(jobs),
		...defined({held: held === 0 ? undefined : held, task, flow, stages, renewal, run, tasks, total, startedAt, completedAt, closedAt, completionJobId}),
	};
}
