import type Database from 'better-sqlite3';
import type {CompletedBatch} from '../../lib/job/batch.ts';
import type {ClaimedJob, Lease, Outcome, Settlement} from '../../lib/job/claim.ts';
import type {Encoded} from '../../lib/job/encoding.ts';
import {type EnqueuedGroup, idAt, type NewGroup} from '../../lib/job/groups/group.ts';
import {newJobsOf, settlementsOf} from '../../lib/job/groups/single-jobs.ts';
import {type CancelResult, type JobStatus, MAX_CRASHES, MAX_SUSPICION, mostTogether} from '../../lib/job/job.ts';
import type {NewJob} from '../../lib/job/new-job.ts';
import {backoffMs} from '../../lib/job/next-state.ts';
import type {OnParentDead} from '../../lib/job/parents.ts';
import type {Policy} from '../../lib/job/policy.ts';
import {type ScheduleChange, type ScheduleSpec, waitsForEnd} from '../../lib/job/schedule.ts';
import {type JobFilter, type MoveTarget, movableStatuses} from '../../lib/job/search.ts';
import type {RetryDecision} from '../../lib/job/task/task-errors.ts';
import type {Changes, ClaimRequest, Committed, Moved, MovePage, Settled} from '../../lib/store/store.ts';
import type {Notice} from '../../lib/transport/messages.ts';
import {type PlainCommitted, type PlainEnqueued, toPlain} from '../fixtures/plain.ts';
import {jobsOf, outcomesOf} from '../fixtures/stored.ts';
import {type Execution, Executions} from './executions.ts';
import type {Actor, Scheduler} from './scheduler.ts';
import type {Result} from './workers.ts';

interface Claim {
	readonly lease: Lease;
	readonly execution: number;
	readonly actor: Actor;
}

/** What is known of a job from what was written and said. */
interface Entry {
	readonly id: number;
	readonly task: string;
	readonly key: string | undefined;
	readonly scope: string;
	readonly batch: number | undefined;
	payload: Encoded;
	policy: Policy;
	state: 'pending' | 'failed' | 'running' | 'completed' | 'dead' | 'cancelled' | 'gone';
	/** On the wall clock; `null` for parked. */
	notBefore: number | null;
	claim: Claim | undefined;
	executions: number;
	attempts: number;
	delays: number;
	crashes: number;
	suspicion: number;
	/** Of the error of its last execution. */
	decision?: RetryDecision | undefined;
	/** `hold`: it is held, or will be once it does not run. */
	stop: 'cancel' | 'discard' | 'hold' | undefined;
	/** Who was told that the cancel of the running job was asked for. */
	toldOfCancel: Actor | undefined;
	result: Encoded;
	isAcknowledged: boolean;
	readonly ends: {readonly status: JobStatus; readonly value: Encoded}[];
	/** The jobs for which it waits. */
	readonly parents: readonly number[];
	readonly onParentDead: OnParentDead;
	/** It also waits for the end of its flow's input. */
	readonly isHeld: boolean;
	/** True once it waits for no other: an execution of its round has begun, or it was ready when a parent was deleted. */
	isFree: boolean;
	/** It was cancelled because of a parent. */
	isLost: boolean;
}

/** How a new job waits. */
type Waits = Pick<Entry, 'parents' | 'onParentDead' | 'isHeld'>;

const WAITS_FOR_NONE: Waits = {parents: [], onParentDead: 'cancel', isHeld: false};

type Broken = (law: string) => void;

/**
 * What must be true, kept apart from the database: written by the workers at each start and end, at each commit by whoever
 * made it, and by callers at each answer. Whatever contradicts it is a broken law.
 */
export class Ledger {
	readonly #scheduler: Scheduler;
	readonly #db: Database.Database;
	readonly #broken: Broken;
	readonly #leaseMs: number;
	readonly #entries = new Map<number, Entry>();
	readonly #executions: Executions;
	/** Jobs whose time has not come, or that are parked. */
	readonly #waiting = new Set<Entry>();
	readonly #running = new Set<Entry>();
	/** Holder by scope and key; 0 while it is not known. */
	readonly #keys = new Map<string, number>();
	/** Jobs that are to appear though no call enqueued them, by payload. */
	readonly #expected = new Map<Encoded, NewJob[]>();
	readonly #paused = new Set<string>();
	readonly #toldOfPause = new Map<string, Set<Actor>>();
	readonly #lastBeats = new Map<string, number>();
	/** What each worker has open, by process and cell. */
	readonly #open = new Map<Actor, Map<number, {readonly lease: Lease; readonly ids: ReadonlySet<number>}>>();
	/** Entries that wait for others. */
	readonly #children = new Set<Entry>();
	/** Flows whose input has ended. */
	readonly #sealed = new Set<number>();
	/** By schedule: its last job, and the moment of that. */
	readonly #schedules = new Map<string, {readonly jobId: number; readonly moment: number}>();
	#lastLease = 0;
	takenBack = 0;

	constructor(scheduler: Scheduler, db: Database.Database, leaseMs: number, broken: Broken) {
		this.#scheduler = scheduler;
		this.#executions = new Executions(scheduler);
		this.#db = db;
		this.#leaseMs = leaseMs;
		this.#broken = broken;
	}

	get executions(): number {
		return this.#executions.count;
	}

	get ids(): number[] {
		return [...this.#entries.keys()];
	}

	/** Jobs that could still run by themselves. */
	get unended(): number {
		return this.#unended().length;
	}

	isParked(id: number): boolean {
		return this.#parked().has(id);
	}

	/** Jobs that are parked, and those that wait for them. */
	#parked(): ReadonlySet<number> {
		const parked = new Set<number>();
		// Each job comes after those for which it waits. One that was claimed before may wait again: its claim was taken back, and then its parent was retried.
		for (const {id, state, notBefore, parents} of this.#entries.values()) {
			const waits = state === 'pending' && parents.some(parent => parked.has(parent));
			if (waits || (state === 'failed' && notBefore === null)) parked.add(id);
		}
		return parked;
	}

	#unended(): Entry[] {
		const parked = this.#parked();
		return [...this.#entries.values()].filter(({id, state}) => ['pending', 'running', 'failed'].includes(state) && !parked.has(id));
	}

	get latestStart(): number {
		return Math.max(0, ...[...this.#entries.values()].filter(({state}) => state === 'pending' || state === 'failed').map(({notBefore}) => notBefore ?? 0));
	}

	// ——— workers ———

	started(id: number, execution: number, actor: Actor, worker: string): Execution {
		const starting = {id, execution, actor, worker};
		const entry = this.#entries.get(id);
		const isOurs = entry?.claim?.actor === actor && entry.claim.execution === execution;
		const broken = entry
			? (this.#executions.contradictionOfStart(starting, !isOurs) ?? (isOurs ? this.#contradictionOfOrders(entry, actor) : undefined))
			: 'every executed job was enqueued';
		if (broken !== undefined) this.#broken(`${broken}: job ${id}.${execution}`);
		return this.#executions.start(starting, !isOurs);
	}

	/** The worker with this cell has these jobs open, whose outcomes are not final. */
	opened(actor: Actor, cell: number, lease: Lease, ids: readonly number[]): void {
		const cells = this.#open.get(actor) ?? new Map();
		this.#open.set(actor, cells.set(cell, {lease, ids: new Set(ids)}));
	}

	ended(execution: Execution, end: NonNullable<Execution['end']>, result?: Result): void {
		this.#executions.end(execution, end, result);
	}

	/** The process is gone, and with it all it ran. */
	died(actor: Actor): void {
		this.#executions.died(actor);
	}

	#contradictionOfOrders(entry: Entry, actor: Actor): string | undefined {
		if (entry.stop === 'cancel' && entry.toldOfCancel === actor) return 'no job starts after its cancel was answered';
		if (this.#paused.has(entry.task) && this.#toldOfPause.get(entry.task)?.has(actor)) return 'no job starts while its task is paused';
		return undefined;
	}

	// ——— commits ———

	/** @param lost the jobs that it cancelled because of a parent */
	committed(actor: Actor, changes: Changes, result: Committed, lost: readonly number[] = []): void {
		const settle = (changes.settle ?? []).flatMap(group => [...settlementsOf(group)]);
		const {settled, refusals, enqueued, claimed} = toPlain(changes, result);
		// Those that enqueue jobs come last.
		const isMaker = (index: number) => settle[index]?.outcome.type === 'returned' && 'enqueue' in settle[index].outcome;
		const [makers = [], others = []] = [true, false].map(wanted => [...settle.keys()].filter(index => isMaker(index) === wanted));
		for (const index of [...others, ...makers]) {
			const {outcome} = settle[index] as Settlement;
			if (isMaker(index) && settled[index] === 'completed') this.#expectMade(outcome);
			this.#settled(settle[index] as Settlement, settled[index] as Settled, refusals?.has(index) ?? false);
		}
		if (makers.length > 0) this.#adopt();
		const jobs = (changes.enqueue ?? []).flatMap((group, at) =>
			[...newJobsOf(group)].map((job, index) => ({job, waits: waitsOf(group, index, result.enqueued, at)})),
		);
		for (const [index, {job, waits}] of jobs.entries()) this.#enqueued(job, enqueued[index] as PlainEnqueued, waits);
		for (const [index, change] of (changes.schedule ?? []).entries()) this.#scheduled(change, result.scheduled?.[index]?.jobIds ?? []);
		this.lost(lost);
		if (!changes.claim) return;
		this.#promote();
		this.registered(actor.name);
		if (claimed.jobs.length > 0) this.#claimedAll(actor, changes.claim, claimed);
	}

	#claimedAll(actor: Actor, {lanes}: ClaimRequest, {lease, jobs}: PlainCommitted['claimed']): void {
		if (lease <= this.#lastLease) this.#broken(`leases rise: ${lease} after ${this.#lastLease}`);
		this.#lastLease = lease;
		for (const job of jobs) this.#claimed(actor, lease, job);
		const quarantined = jobs.filter(({quarantine}) => quarantine);
		for (const [task, suspects] of Map.groupBy(quarantined, job => job.task)) {
			const most = Math.min(...suspects.map(({id}) => mostTogether(this.#entries.get(id)?.suspicion ?? 0)));
			if (suspects.length > most) this.#broken(`the more suspect jobs are, the fewer run together: ${suspects.length} of ${task}, not ${most}`);
		}
		for (const {task, concurrency} of lanes) {
			if (concurrency === undefined) continue;
			const running = [...this.#running].filter(entry => entry.task === task).length;
			if (running > concurrency) this.#broken(`no more than ${concurrency} jobs of ${task} run at the same time: ${running}`);
		}
	}

	/** A page was moved: all that it should have found between where it began and where the next one begins. */
	moved(filter: JobFilter, to: MoveTarget, {after = 0, upTo = Infinity}: MovePage, {ids, asked, next}: Moved): void {
		// A job that is held waits, and by that comes to no end.
		if (to === 'held' || to === 'unheld') {
			this.#held(ids, asked, to);
			return;
		}
		const statuses: readonly string[] = movableStatuses(to, filter);
		const last = next?.after ?? upTo;
		const wanted = this.#matching(filter).filter(({id, state}) => id > after && id <= last && statuses.includes(state));
		const found = ids.length + asked.length;
		// A job whose parent is dead stays. One that comes back with its parent is not counted.
		const moved = wanted
			.sort((a, b) => a.id - b.id)
			.filter(entry => {
				if (to !== 'pending') return true;
				const isMoved = statuses.includes(entry.state) && !this.#hasLostParent(entry);
				if (isMoved) this.#move(entry.id, to);
				return isMoved;
			});
		if (moved.length !== found) this.#broken(`a move to ${to} finds all jobs that match: ${moved.length} jobs, and found ${found}`);
		if (to !== 'pending') for (const id of ids) this.#move(id, to);
		for (const id of asked) this.#ask(this.#entry(id, ['running']), to);
	}

	#held(ids: readonly number[], asked: readonly number[], to: 'held' | 'unheld'): void {
		for (const id of asked) this.#entry(id, ['running']).stop ??= 'hold';
		for (const id of ids) {
			if (to === 'unheld') this.#unhold(this.#entries.get(id));
			else this.#hold(this.#entry(id, ['pending', 'failed']));
		}
	}

	#ask(entry: Entry, to: MoveTarget): void {
		if (to !== 'discarded') {
			entry.stop = 'cancel';
			entry.toldOfCancel = undefined;
		} else if (entry.stop !== 'cancel') entry.stop = 'discard';
	}

	#hold(entry: Entry): void {
		entry.stop = 'hold';
		// One that has failed loses the time of its next attempt.
		if (entry.state === 'failed') this.#wait(Object.assign(entry, {state: 'pending'} as const), 0);
	}

	#unhold(entry: Entry | undefined): void {
		if (entry?.stop === 'hold') entry.stop = undefined;
	}

	#move(id: number, to: MoveTarget): void {
		if (to === 'pending') this.#reopen(this.#entry(id, ['failed', 'completed', 'dead', 'cancelled']));
		else {
			const entry = this.#entry(id, ['pending', 'failed']);
			if (to === 'discarded') this.#forget(entry);
			else this.#end(entry, 'cancelled', null);
		}
	}

	/** Jobs were cancelled because of a parent. Others are ready once theirs have ended, if they are due. */
	lost(ids: readonly number[]): void {
		for (const id of ids) {
			const entry = this.#entry(id, ['pending']);
			if (!this.#hasLostParent(entry)) this.#broken(`a job is cancelled because of a parent only if that will not complete: job ${id}`);
			this.#end(entry, 'cancelled', null);
			entry.isLost = true;
			// The end that it has in its history.
			entry.executions++;
		}
		this.#promote([...this.#children].filter(({state, isFree}) => state === 'pending' && !isFree));
		for (const entry of this.#children)
			if (entry.state === 'pending' && !entry.isFree && this.#hasLostParent(entry))
				this.#broken(`no job waits for a parent that will not complete: job ${entry.id}`);
	}

	/** All jobs of the flow are enqueued. */
	sealed(batch: number): void {
		this.#sealed.add(batch);
	}

	/** The batches of flows whose input has not ended. */
	get unsealed(): number[] {
		const held = [...this.#children].filter(({isHeld, state, batch}) => isHeld && state !== 'gone' && !this.#sealed.has(batch as number));
		return [...new Set(held.map(({batch}) => batch as number))];
	}

	nameOf(batch: number): string {
		return this.#db.prepare('select name from batch where id = ?').pluck().get(batch) as string;
	}

	get schedules(): string[] {
		return this.#db.prepare('select name from schedule').pluck().all() as string[];
	}

	paused(tasks: readonly string[], isPaused: boolean): void {
		for (const task of tasks) {
			if (isPaused) this.#paused.add(task);
			else {
				this.#paused.delete(task);
				this.#toldOfPause.delete(task);
			}
		}
	}

	/** Jobs were deleted by a filter: which? */
	deleted(jobs: number, states: readonly Entry['state'][]): void {
		const present = new Set(jobsOf(this.#db).map(({id}) => id));
		const gone = [...this.#entries.values()].filter(({id, state}) => state !== 'gone' && !present.has(id));
		if (gone.length !== jobs) this.#broken(`a job that is there stays until it is deleted: ${gone.length} are gone, and ${jobs} were deleted`);
		for (const entry of gone) this.#forget(this.#entry(entry.id, states));
		if (states.includes('pending')) return;
		for (const {id, parents, state} of this.#children)
			if (['pending', 'running', 'failed'].includes(state) && gone.some(entry => parents.includes(entry.id)))
				this.#broken(`a job that another one needs is kept: a parent of job ${id}`);
	}

	/** Batches completed in the transaction, and the jobs that are enqueued by that. */
	completed(batches: readonly CompletedBatch[], jobs: readonly NewJob[]): void {
		for (const {batch, counts} of batches) {
			if (counts.pending + counts.running + counts.failed > 0) this.#broken(`a batch is complete once none of its jobs is left unended: ${batch}`);
		}
		for (const job of jobs) this.#expect(job);
		if (jobs.length > 0) this.#adopt();
	}

	/** A claim or a batch made it an owner, if it was none. */
	registered(owner: string): void {
		if (!this.#lastBeats.has(owner)) this.beat(owner);
	}

	beat(owner: string): void {
		this.#lastBeats.set(owner, this.#scheduler.steadyMs);
	}

	get owners(): string[] {
		return this.#db.prepare('select name from owner').pluck().all() as string[];
	}

	/** Owners that were there before are not any more. */
	reclaimed(before: readonly Actor[]): void {
		const present = new Set(this.owners);
		for (const actor of before.filter(({name}) => !present.has(name))) {
			const silentMs = this.#scheduler.steadyMs - (this.#lastBeats.get(actor.name) ?? 0);
			if (!actor.isDead && silentMs <= this.#leaseMs) this.#broken(`no living owner is taken for dead: ${actor.name}, silent for ${silentMs.toFixed(3)} ms`);
			this.#lastBeats.delete(actor.name);
			this.#suspect(actor);
			this.#takeBack(actor, 0);
		}
	}

	/** What it holds by leases after this one. */
	released(actor: Actor, after: Lease): void {
		this.#takeBack(actor, after);
	}

	// ——— callers ———

	acknowledged(ids: readonly number[]): void {
		for (const id of ids) {
			const entry = this.#entries.get(id);
			if (entry) entry.isAcknowledged = true;
			else this.#broken(`a job that was acknowledged is there: job ${id}`);
		}
	}

	toldOfCancel(actor: Actor, {asked}: CancelResult): void {
		for (const id of asked) {
			const entry = this.#entries.get(id);
			if (entry?.claim?.actor === actor && entry.stop === 'cancel') entry.toldOfCancel = actor;
		}
	}

	toldOfPause(actor: Actor, tasks: readonly string[]): void {
		for (const task of tasks) {
			if (!this.#paused.has(task)) continue;
			const told = this.#toldOfPause.get(task);
			if (told) told.add(actor);
			else this.#toldOfPause.set(task, new Set([actor]));
		}
	}

	noticed({id, status, result}: Notice): void {
		const entry = this.#entries.get(id);
		const ends = entry?.ends.filter(end => end.status === status) ?? [];
		const isTrue = status === 'missing' ? !entry || entry.state === 'gone' : ends.some(end => end.value === result);
		if (!isTrue) this.#broken(`a caller that waits for a job learns how it ended: job ${id} was said to be ${status} with ${result}`);
	}

	// ——— the end ———

	/** Compares what should be with what is. */
	compare(): void {
		const present = new Set(jobsOf(this.#db).map(({id}) => id));
		const outcomes = new Map(outcomesOf(this.#db).map(outcome => [outcome.id, outcome]));
		for (const {id, state, result, isAcknowledged} of this.#entries.values()) {
			const name = isAcknowledged ? 'acknowledged job' : 'job';
			if (present.delete(id) !== (state !== 'gone')) this.#broken(`no acknowledged job is lost, and none comes back: ${name} ${id} is ${state}`);
			const outcome = outcomes.get(id);
			const place = {completed: 6, dead: 7, cancelled: 8}[state as string];
			if (outcome?.status !== place) this.#broken(`a job ends once and stays so: ${name} ${id} is ${state}, and its outcome ${outcome?.status}`);
			if (state === 'completed' && outcome?.value !== result) this.#broken(`a result is what its execution returned: ${name} ${id}`);
		}
		if (present.size > 0) this.#broken(`every job was enqueued: jobs ${[...present]}`);
	}

	/** Jobs that have not ended, for people. */
	get stuck(): string {
		return this.#unended()
			.map(({id, task, state, claim}) => `${id} (${task}, ${state}${claim ? ` by ${claim.actor.name}` : ''})`)
			.join(', ');
	}

	// ——— what follows ———

	#settled(settlement: Settlement, status: Settled, isRefused: boolean): void {
		const {id, lease, execution, outcome} = settlement;
		const entry = this.#entries.get(id);
		const name = `job ${id}.${execution}`;
		const holds = entry?.claim?.lease === lease && entry.claim.execution === execution;
		if (!holds) {
			if (status !== 'lost') this.#broken(`a lost lease changes nothing: ${name} became ${status}`);
			return;
		}
		const untrue = this.#executions.contradictionOfOutcome(settlement, entry.policy.timeoutMs);
		if (untrue !== undefined) this.#broken(untrue);
		entry.suspicion = suspicionAfter(outcome, entry.suspicion);
		const expected = isRefused ? this.#chargedStatus(entry, 'threw') : this.#expectedStatus(entry, outcome);
		if (status !== expected) this.#broken(`a job's status follows from its outcome: ${name} ${outcome.type} became ${status}, not ${expected}`);
		entry.claim = undefined;
		this.#running.delete(entry);
		if (status === 'discarded') this.#forget(entry);
		else if (status === 'failed') this.#fail(entry);
		else if (status === 'pending') entry.state = 'pending';
		else if (status === 'completed' || status === 'dead' || status === 'cancelled')
			this.#end(entry, status, outcome.type === 'returned' && !isRefused ? outcome.value : null);
	}

	/** Charges what the outcome charges. */
	#expectedStatus(entry: Entry, outcome: Outcome): Settled {
		const {stop} = entry;
		const {type} = outcome;
		if (type === 'returned') return 'completed';
		if (type === 'released' || type === 'cancelled')
			return stop === 'discard' ? 'discarded' : stop === 'cancel' || type === 'cancelled' ? 'cancelled' : 'pending';
		return this.#chargedStatus(entry, type, outcome.error.retry);
	}

	#chargedStatus(entry: Entry, type: Outcome['type'], decision?: RetryDecision): Settled {
		const {policy, stop} = entry;
		entry.decision = decision;
		if (type === 'threw' && typeof decision === 'object' && entry.delays < (policy.maxDelays ?? 100)) entry.delays++;
		else entry.attempts++;
		if (type === 'lostWorker') entry.crashes++;
		if (stop === 'cancel') return 'cancelled';
		if (entry.attempts >= policy.maxAttempts || entry.crashes >= MAX_CRASHES || decision === 'never') return 'dead';
		return stop === 'discard' ? 'discarded' : stop === 'hold' ? 'pending' : 'failed';
	}

	#scheduled(change: ScheduleChange, jobIds: readonly number[]): void {
		const {name} = change;
		if (change.type === 'delete') this.#schedules.delete(name);
		if (change.type !== 'advance' || jobIds.length === 0) return;
		const {spec, isFromEnd} = this.#scheduleNamed(name);
		for (const [index, id] of jobIds.entries()) {
			const moment = change.moments[index] as number;
			const before = this.#schedules.get(name);
			if (before && moment <= before.moment && !isFromEnd) this.#broken(`no moment of a schedule comes twice: ${name} at ${moment} after ${before.moment}`);
			const isWaiting = before !== undefined && ['pending', 'running', 'failed'].includes(this.#entries.get(before.jobId)?.state ?? 'gone');
			this.#add(id, {...spec, runAt: null}, {parents: isWaiting ? [before.jobId] : [], onParentDead: 'run', isHeld: false});
			this.#schedules.set(name, {jobId: id, moment});
		}
	}

	/** A parent is said to be missing. */
	#refusedFor(parent: number): void {
		const isThere = (this.#entries.get(parent)?.state ?? 'gone') !== 'gone';
		if (isThere) this.#broken(`a job may wait for one that is there: job ${parent}`);
	}

	#enqueued(job: NewJob, enqueued: PlainEnqueued, waits: Waits): void {
		const {id} = enqueued;
		if ('missing' in enqueued && enqueued.missing !== undefined) {
			this.#refusedFor(enqueued.missing);
			return;
		}
		const isConflict = 'conflict' in enqueued;
		const scope = scopeOf(job);
		const holder = job.key === undefined ? undefined : this.#keys.get(scope);
		if (holder === undefined) {
			if (isConflict || enqueued.reused) this.#broken(`a key without a job is free: ${scope}`);
			this.#add(id, job, waits);
			return;
		}
		const entry = this.#entries.get(holder) as Entry;
		if (holder !== id) this.#broken(`one job per key: ${scope} is job ${holder}, and was said to be job ${id}`);
		if (!isConflict) this.#unhold(entry);
		const isSame = entry.payload === job.payload;
		const isReplaced = !isSame && job.rerun?.changed === true && entry.state !== 'running';
		if (isConflict === (isSame || isReplaced)) this.#broken(`a key with another payload is a conflict, and nothing else is: ${scope}`);
		if (isSame && job.rerun?.failed && ['failed', 'dead', 'cancelled'].includes(entry.state)) {
			entry.policy = job.policy;
			this.#reopen(entry);
		}
		if (!isReplaced) return;
		this.#reopen(entry);
		entry.payload = job.payload;
		entry.policy = job.policy;
		this.#wait(entry, this.#startOf(job));
	}

	#expectMade(outcome: Outcome): void {
		if (outcome.type !== 'returned') return;
		for (const job of outcome.enqueue ?? []) {
			if (job.key !== undefined && this.#keys.has(scopeOf(job))) continue;
			this.#expect(job);
			if (job.key !== undefined) this.#keys.set(scopeOf(job), 0);
		}
	}

	#expect(job: NewJob): void {
		const same = this.#expected.get(job.payload);
		if (same) same.push(job);
		else this.#expected.set(job.payload, [job]);
	}

	/** New jobs that no answer told of. The answer of a later commit may come first, so that they can have lower ids than known jobs. */
	#adopt(): void {
		for (const {id, payload} of jobsOf(this.#db)) {
			if (this.#entries.has(id)) continue;
			const job = this.#expected.get(payload)?.shift();
			if (job) this.#add(id, job);
		}
	}

	#add(id: number, job: NewJob, waits: Waits = WAITS_FOR_NONE): void {
		if (this.#entries.has(id)) this.#broken(`an id is never used twice: ${id}`);
		const {task, key, batch, payload, policy} = job;
		const scope = scopeOf(job);
		if (key !== undefined) this.#keys.set(scope, id);
		const entry: Entry = {
			...{id, task, key, scope, batch, payload, policy, state: 'pending', notBefore: 0, claim: undefined, executions: 0, attempts: 0, delays: 0, crashes: 0},
			suspicion: 0,
			...{stop: undefined, toldOfCancel: undefined, result: null, isAcknowledged: false, ends: [], isFree: false, isLost: false},
			...waits,
		};
		if (waits.parents.length > 0 || waits.isHeld) this.#children.add(entry);
		this.#entries.set(id, entry);
		this.#wait(entry, this.#startOf(job));
	}

	/** On the wall clock; a delay counts from the commit, which is now. */
	#startOf({runAt, delayMs}: NewJob): number {
		return delayMs === undefined ? (runAt ?? 0) : this.#scheduler.now + delayMs;
	}

	/** What has come due once stays so, even if the clock is set back; but not while it waits for others, or is held. */
	#promote(entries: Iterable<Entry> = this.#waiting): void {
		for (const entry of entries) {
			if (!this.#waiting.has(entry)) continue;
			if (entry.notBefore === null || entry.notBefore > this.#scheduler.now || entry.stop === 'hold' || this.#isBlocked(entry)) continue;
			entry.state = 'pending';
			entry.notBefore = 0;
			this.#waiting.delete(entry);
		}
	}

	/** @param at on the wall clock; `null` for parked */
	#wait(entry: Entry, at: number | null): void {
		entry.notBefore = at !== null && at <= this.#scheduler.now && entry.state === 'pending' ? 0 : at;
		if (entry.notBefore === 0) this.#waiting.delete(entry);
		else this.#waiting.add(entry);
	}

	#claimed(actor: Actor, lease: Lease, {id, execution, attempts, payload, task, quarantine}: ClaimedJob): void {
		const entry = this.#entry(id, ['pending']);
		const name = `job ${id}.${execution}`;
		this.#scheduler.trace(actor, `claimed ${name} with lease ${lease}`);
		if (execution !== entry.executions + 1) this.#broken(`the numbers of executions rise by one: ${name} after ${entry.executions}`);
		if (attempts !== entry.attempts) this.#broken(`a job knows its attempts: ${name} has ${entry.attempts}, and was told ${attempts}`);
		if ((quarantine !== undefined) !== entry.suspicion > 0) this.#broken(`a job is a suspect if it was open when its process died, and no other is: ${name}`);
		if (payload !== entry.payload) this.#broken(`a job gets its own payload: ${name}`);
		if ((entry.notBefore ?? Infinity) > this.#scheduler.now) this.#broken(`no job starts before its time: ${name}`);
		this.#checkParents(entry);
		if (this.#paused.has(task)) this.#broken(`no job is claimed while its task is paused: ${name}`);
		if (entry.stop === 'hold') this.#broken(`no job is claimed while it is held: ${name}`);
		entry.state = 'running';
		entry.isFree = true;
		entry.executions = execution;
		entry.claim = {lease, execution, actor};
		this.#running.add(entry);
	}

	/** Its process is taken for dead: each job that one of its workers had open may have done it. */
	#suspect(actor: Actor): void {
		const open = [...(this.#open.get(actor)?.values() ?? [])];
		for (const entry of this.#running) {
			const {id, claim} = entry;
			const isOpen = claim?.actor === actor && open.some(({lease, ids}) => lease === claim.lease && ids.has(id));
			if (isOpen) entry.suspicion = Math.min(entry.suspicion + 1, MAX_SUSPICION);
		}
	}

	#takeBack(actor: Actor, after: Lease): void {
		for (const entry of this.#running) {
			if (entry.claim?.actor !== actor || entry.claim.lease <= after) continue;
			this.#running.delete(entry);
			this.takenBack++;
			this.#executions.takenBack(entry.id, entry.claim.execution);
			entry.claim = undefined;
			if (entry.stop === 'cancel') this.#end(entry, 'cancelled', null);
			else if (entry.stop === 'discard') this.#forget(entry);
			else entry.state = 'pending';
		}
	}

	#fail(entry: Entry): void {
		const {id, policy, attempts, decision} = entry;
		entry.state = 'failed';
		const row = this.#db.prepare('select run_at from waiting where id = ? and failed').raw().get(id) as [runAt: number | null] | undefined;
		this.#wait(entry, row ? row[0] : this.#scheduler.now);
		// The same transaction enqueued it anew, with or without a delay, or found it due.
		if (!row) return;
		const backoff = Math.min(backoffMs(policy.backoff, attempts, 0), backoffMs(policy.backoff, attempts, 1));
		const least = typeof decision === 'object' ? decision.afterMs : backoff;
		if ((entry.notBefore === null) !== (policy.retry === 'manual'))
			this.#broken(`a failed job is parked if that was asked for, and else tried again: job ${id}`);
		else if (entry.notBefore !== null && entry.notBefore < this.#scheduler.now + Math.floor(least))
			this.#broken(`a failed job waits for its backoff: job ${id}`);
	}

	#end(entry: Entry, status: 'completed' | 'dead' | 'cancelled', value: Encoded): void {
		entry.state = status;
		entry.stop = undefined;
		this.#waiting.delete(entry);
		entry.result = value;
		entry.ends.push({status, value});
	}

	#reopen(entry: Entry): void {
		const round = {
			state: 'pending',
			attempts: 0,
			delays: 0,
			crashes: 0,
			suspicion: 0,
			stop: undefined,
			notBefore: 0,
			result: null,
			isFree: false,
			isLost: false,
		} as const;
		Object.assign(entry, round satisfies Partial<Entry>);
		this.#waiting.delete(entry);
		// Those that were lost with it come back.
		for (const child of this.#children)
			if (child.isLost && child.state === 'cancelled' && child.parents.includes(entry.id) && !this.#hasLostParent(child)) this.#reopen(child);
	}

	/** Before its first execution of a round. */
	#checkParents(entry: Entry): void {
		const {id, batch, isFree} = entry;
		if (isFree) return;
		if (this.#isHeld(entry)) this.#broken(`no job of a flow starts before its input has ended: job ${id} of batch ${batch}`);
		for (const parent of this.#openParents(entry)) this.#broken(`no job starts before those for which it waits: job ${id} before job ${parent}`);
	}

	#isBlocked(entry: Entry): boolean {
		return !entry.isFree && (this.#isHeld(entry) || this.#openParents(entry).length > 0);
	}

	#isHeld({isHeld, batch}: Entry): boolean {
		return isHeld && !this.#sealed.has(batch as number);
	}

	/** The parents that have not ended as they must. */
	#openParents({parents, onParentDead}: Entry): readonly number[] {
		const ends: readonly Entry['state'][] = onParentDead === 'run' ? ['completed', 'dead', 'cancelled'] : ['completed'];
		return parents.filter(parent => !ends.includes(this.#entries.get(parent)?.state ?? 'gone'));
	}

	#hasLostParent({parents, onParentDead}: Entry): boolean {
		const states = parents.map(parent => this.#entries.get(parent)?.state ?? 'gone');
		return states.some(state => state === 'gone' || (onParentDead === 'cancel' && (state === 'dead' || state === 'cancelled')));
	}

	/** `isFromEnd`: its moments count from the ends of its jobs, by a clock that may be set back. */
	#scheduleNamed(name: string): {readonly spec: NewJob; readonly isFromEnd: boolean} {
		const {spec, payload} = this.#db.prepare('select spec, payload from schedule where name = ?').get(name) as {
			readonly spec: string;
			readonly payload: Encoded;
		};
		const {task, priority, policy, timing} = JSON.parse(spec) as NewJob & {readonly timing: ScheduleSpec['timing']};
		return {spec: {task, priority, policy, payload, runAt: null}, isFromEnd: waitsForEnd({timing})};
	}

	#forget(entry: Entry): void {
		for (const child of this.#children) if (child.state === 'pending' && child.parents.includes(entry.id) && !this.#isBlocked(child)) child.isFree = true;
		entry.state = 'gone';
		entry.claim = undefined;
		this.#waiting.delete(entry);
		if (entry.key !== undefined) this.#keys.delete(entry.scope);
	}

	#entry(id: number, states: readonly Entry['state'][]): Entry {
		const entry = this.#entries.get(id);
		if (!entry) {
			this.#broken(`every job was enqueued: job ${id}`);
			throw new Error('See above.');
		}
		if (!states.includes(entry.state)) this.#broken(`only legal moves: job ${id} is ${entry.state}, not ${states.join(' or ')}`);
		return entry;
	}

	#matching({ids, task, batch}: JobFilter): Entry[] {
		const found = batch === undefined ? undefined : (this.#db.prepare('select id from batch where name = ?').pluck().get(batch) ?? -1);
		const entries = ids ? [...new Set(ids)].flatMap(id => this.#entries.get(id) ?? []) : [...this.#entries.values()];
		return entries.filter(entry => entry.state !== 'gone' && (task === undefined || entry.task === task) && (found === undefined || entry.batch === found));
	}
}

/** How a job of a group waits, by the ids of the groups before it in its transaction. */
function waitsOf({parents}: NewGroup, index: number, enqueued: readonly EnqueuedGroup[], at: number): Waits {
	if (!parents) return WAITS_FOR_NONE;
	const ids = parents.edges.flatMap(({kind, parents, start = 0}) => {
		const all = 'ids' in parents ? parents.ids : (enqueued[at - parents.groupsBefore] as EnqueuedGroup).ids;
		const offset = 'ids' in parents ? 0 : parents.first;
		if (kind === 'each') return index >= start && index < start + parents.count ? [idAt(all, offset + index - start)] : [];
		return Array.from({length: parents.count}, (_, place) => idAt(all, offset + place));
	});
	return {parents: ids, onParentDead: parents.onParentDead, isHeld: parents.areHeld === true};
}

/** What ended by itself has killed nothing. */
function suspicionAfter(outcome: Outcome, before: number): number {
	if (outcome.type === 'released') return Math.max(before, outcome.suspicion ?? 0);
	return outcome.type === 'lostWorker' ? before : 0;
}

function scopeOf({task, batch, key}: Pick<NewJob, 'task' | 'batch' | 'key'>): string {
	return `${batch ?? task}/${key}`;
}
