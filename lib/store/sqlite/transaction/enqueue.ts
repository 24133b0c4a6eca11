import {type Encoded, sameValue} from '../../../job/encoding.ts';
import type {FailureRecord} from '../../../job/failure.ts';
import {type EnqueuedGroup, idAt, keyAt, listKeys, type NewGroup, sizeOf, toEnqueuedGroup, toIds} from '../../../job/groups/group.ts';
import {asPacked, countOf, isPackable, joinPacked, type PackedStrings, pack, slicePacked, toPackedStrings} from '../../../job/groups/packed.ts';
import {newFingerprintsOf, newJobsOf} from '../../../job/groups/single-jobs.ts';
import type {JobId} from '../../../job/job.ts';
import {type ChildJob, dueAtOf, type NewJob} from '../../../job/new-job.ts';
import {failpoint} from '../../../support/failpoint.ts';
import {enqueueFailure, keyConflict, noParent, noParentFailure} from '../../conflict-errors.ts';
import {StoredState} from '../../stored-state.ts';
import {MAX_RUN_JOBS} from '../connection/schema.sql.ts';
import {insertBlocked} from '../rows/blocked.ts';
import {insertEdges, missingParent, resolveParents, type Waits} from '../rows/edges.ts';
import {holdExpiry, setExpiry} from '../rows/expiry.ts';
import {type Holder, KeyLookup} from '../rows/keys.ts';
import {insertJobRun} from '../rows/packed-rows.ts';
import {giveNumbers, lastNumber, type Tx} from '../rows/tx.ts';
import {cancelChild, reachChildren} from './children.ts';
import type {DirectClaim, NewRun} from './direct-claim.ts';
import {findHeld, unhold} from './held.ts';
import {type Renewal, rerunJob} from './move.ts';

/**
 * Enqueues jobs with rising ids. For a job whose key exists, the result has the job with that key.
 * @param direct claims the jobs at once
 */
export function enqueue(tx: Tx, groups: readonly NewGroup[], rejectConflicts: boolean, direct?: DirectClaim): EnqueuedGroup[] {
	if (groups.length === 0) return [];
	const runs = new RunBuilder(tx, direct);
	const lookup = new KeyLookup(tx);
	const enqueued: EnqueuedGroup[] = [];
	for (const group of groups) {
		const refused = refuseWithoutBatch(tx, group, rejectConflicts) ?? refuseIfFull(tx, group, lookup, direct);
		const result =
			refused ?? (group.parents ? addChildren(tx, group, {runs, lookup}, rejectConflicts, enqueued) : add(tx, group, {runs, lookup}, rejectConflicts));
		enqueued.push(result);
		for (const [id, value] of newFingerprintsOf(group, result)) tx.statements.setFingerprint.run(id, value);
		if (group.fingerprints) tx.facts.forget('hasFingerprints');
	}
	lookup.flush();
	runs.flush();
	if (runs.nextId > runs.firstId) {
		giveNumbers(tx, 'job', runs.nextId - runs.firstId);
		failpoint('enqueue:written');
	}
	return enqueued;
}

/**
 * The failure of a job that enqueues these jobs, if the key of one belongs to another payload: in the store, or among the jobs before it.
 * @param parent the job itself, which ends before these jobs are enqueued
 */
export function findConflict(tx: Tx, jobs: readonly ChildJob[], parent: JobId): FailureRecord | undefined {
	const own = new Map<string, Encoded>();
	const keys = new KeyLookup(tx);
	for (const job of jobs) {
		const missing = missingParent(tx, job);
		if (missing !== undefined) return noParentFailure(job, missing);
		if (job.key === undefined) continue;
		const name = JSON.stringify([job.task, job.key]);
		const found = keys.find(job);
		const holder = job.unique && found?.id === parent ? undefined : found;
		const held = holder ? holder.payload : own.get(name);
		if (held !== undefined && !sameValue(held, job.payload)) return enqueueFailure(job, holder?.id);
		own.set(name, job.payload);
	}
	return undefined;
}

/** Refuses the group if its batch was deleted, or never was: nothing would ever delete its jobs with it; or if another run has it now. */
function refuseWithoutBatch({statements}: Tx, {batch, run, task}: NewGroup, rejects: boolean): EnqueuedGroup | undefined {
	if (batch === undefined || statements.hasBatch.get(batch, run ?? null) !== undefined) return undefined;
	if (rejects) throw noParent(task, -batch);
	return {ids: [], missing: -batch};
}

/** Refuses the group if its new jobs would exceed a limit of pending jobs. */
function refuseIfFull(tx: Tx, group: NewGroup, lookup: KeyLookup, direct?: DirectClaim): EnqueuedGroup | undefined {
	if (!group.maxPending) return undefined;
	for (const whose of ['task', 'all'] as const) {
		const {[whose]: limit = Infinity} = group.maxPending;
		if (limit === Infinity) continue;
		const task = whose === 'task' ? group.task : undefined;
		const pending = countPending(tx, task === undefined ? null : tx.numbers.task(task)) + (direct?.claimedOf(task) ?? 0);
		// Keys are looked up only if they matter.
		const made = pending + sizeOf(group) > limit ? countNew(group, lookup) : 0;
		if (made > 0 && pending + made > limit) return {ids: [], full: {of: whose, pending, limit}};
	}
	return undefined;
}

const PENDING = [StoredState.ready, StoredState.quarantined, StoredState.delayed];

/** The number of pending jobs at this moment of the transaction, of a task or of all. */
function countPending({facts, tally}: Tx, task: number | null): number {
	return PENDING.reduce((jobs, state) => jobs + tally.tasks.sum(state, task), facts.sumOf(task, PENDING));
}

/** The number of jobs that the group would make: a key that exists makes none. */
function countNew(group: NewGroup, lookup: KeyLookup): number {
	if (group.keys === undefined) return sizeOf(group);
	return [...new Set(listKeys(group.keys, sizeOf(group)))].filter(key => !lookup.find({...group, key})).length;
}

/** Adds jobs that wait for others. @param before the groups that were enqueued before this one */
function addChildren(tx: Tx, group: NewGroup, {runs, lookup}: Writers, rejectConflicts: boolean, before: readonly EnqueuedGroup[]): EnqueuedGroup {
	runs.flush();
	reachChildren(tx, Infinity);
	const waits = resolveParents(tx, group, before, runs.nextId, runs.firstId);
	if ('missing' in waits) {
		if (rejectConflicts) throw noParent(group.task, waits.missing);
		return {ids: [], missing: waits.missing};
	}
	const {parents: _, ...plain} = group;
	const first = runs.nextId;
	const enqueued = addAlike(tx, plain, {runs, lookup}, waits) ?? addWithKeys(tx, plain, {runs, lookup}, rejectConflicts, waits);
	runs.flush();
	const made = runs.nextId - first;
	// By index, since jobs whose keys exist are not new.
	for (let index = 0, next = first; next < first + made; ) {
		while (idAt(enqueued.ids, index) !== next) index++;
		let count = 1;
		while (next + count < first + made && idAt(enqueued.ids, index + count) === next + count) count++;
		insertEdges(tx, waits, index, [next, next + count - 1]);
		for (let at = index; at < index + count; at++) {
			const lost = waits.lost.get(at);
			if (lost !== undefined) cancelChild(tx, next + at - index, lost);
		}
		index += count;
		next += count;
	}
	return enqueued;
}

/** Adds jobs that wait for the same number of parents, as runs; `undefined` if these are none, or some exist. */
function addAlike(tx: Tx, group: NewGroup, {runs, lookup}: Writers, {parents}: Waits): EnqueuedGroup | undefined {
	const payloads = sizeOf(group) > 1 && dueAtOf(group, tx.now) === null ? asPacked(group.values) : undefined;
	if (!payloads || parents.some(each => each !== parents[0]) || !lookup.takeAll(group, runs.nextId)) return undefined;
	const ids = runs.nextId;
	addPacked(tx, group, payloads, runs, parents[0]);
	return {ids};
}

/** What the groups of a transaction share. */
interface Writers {
	readonly runs: RunBuilder;
	readonly lookup: KeyLookup;
}

function add(tx: Tx, group: NewGroup, {runs, lookup}: Writers, rejectConflicts: boolean): EnqueuedGroup {
	if (!lookup.takeAll(group, runs.nextId)) return addWithKeys(tx, group, {runs, lookup}, rejectConflicts);
	const dueAt = dueAtOf(group, tx.now);
	// A single job with a key has rows of its own, which can join those of its neighbours.
	const isRun = dueAt === null && (group.keys === undefined || sizeOf(group) > 1);
	const payloads = isRun ? asPacked(group.values) : undefined;
	const ids = runs.nextId;
	if (payloads) addPacked(tx, group, payloads, runs);
	else for (const job of newJobsOf(group)) addJob(tx, job, dueAt, runs);
	return {ids};
}

/** Adds new jobs as runs. @param parents the number of parents for which each waits */
function addPacked(tx: Tx, group: NewGroup, payloads: PackedStrings, runs: RunBuilder, parents = 0): void {
	const key = {...keyOf(tx, group, false), parents};
	tx.tally.move(key.task, key.batch, null, parents > 0 ? StoredState.blocked : StoredState.ready, payloads.count);
	const first = runs.nextId;
	if (group.expiresMs !== undefined) {
		for (let id = first; id < first + payloads.count; id++) {
			if (parents > 0) holdExpiry(tx, id, group.expiresMs);
			else setExpiry(tx, id, group.expiresMs, null);
		}
	}
	for (let start = 0; start < payloads.count; start += MAX_RUN_JOBS) {
		const end = Math.min(payloads.count, start + MAX_RUN_JOBS);
		runs.add(key, slicePacked(payloads, start, end), keysOfRun(group, start, end));
	}
}

/** The keys of a part of the group, as a run has them. Consecutive numbers are known only within a batch. */
function keysOfRun({keys, batch, values}: NewGroup, start: number, end: number): OpenRun['keys'] {
	if (keys === undefined) return undefined;
	if (typeof keys === 'number' && batch !== undefined) return keys + start;
	return slicePacked(toPackedStrings(listKeys(keys, countOf(values))), start, end);
}

function keyOf({numbers}: Tx, {task, scope, policy, priority, batch}: Omit<NewJob, 'payload'>, hasOwnRows: boolean): RunKey {
	return {task: numbers.task(task, scope), policy: numbers.policyId(policy), priority, batch: batch ?? null, hasOwnRows};
}

/** Adds jobs of which some may exist, or wait for others. */
function addWithKeys(tx: Tx, group: NewGroup, {runs, lookup}: Writers, rejectConflicts: boolean, waits?: Waits): EnqueuedGroup {
	const [ids, reused, conflicts, left, named]: [JobId[], number[], number[], number[], number[]] = [[], [], [], [], []];
	const dueAt = dueAtOf(group, tx.now);
	for (const job of newJobsOf(group)) {
		// The job with the key may be one of this transaction, whose rows are not written yet.
		const holder = lookup.find(job);
		if (!holder) {
			lookup.take(job, runs.nextId);
			ids.push(addJob(tx, job, dueAt, runs, waits?.parents[ids.length]));
			continue;
		}
		if (holder.id >= runs.firstId) runs.flush();
		const became = resolveKeyCollision(tx, job, holder, lookup, {waits, index: ids.length});
		if (became === 'named') named.push(ids.length);
		if (became === 'conflict' && rejectConflicts) throw keyConflict(job, holder.id);
		if (became === 'left') left.push(ids.length);
		(became === 'conflict' ? conflicts : reused).push(ids.length);
		ids.push(holder.id);
	}
	return toEnqueuedGroup(toIds(ids), {reused, conflicts, left, named});
}

/** @param parents the number of parents for which it waits */
function addJob(tx: Tx, job: NewJob, dueAt: number | null, runs: RunBuilder, parents = 0): JobId {
	const {statements, tally, now} = tx;
	const {payload, priority} = job;
	const isPlain = job.key === undefined && isPackable(payload);
	const key = {...keyOf(tx, job, dueAt !== null || !isPlain), parents, runAt: parents > 0 ? dueAt : null};
	const {task, policy, batch, hasOwnRows} = key;
	const id = runs.nextId;
	if (hasOwnRows) statements.insertJob.run(id, task, policy, priority, now, batch, job.key ?? null, payload);
	if (dueAt === null || parents > 0) runs.add(key, hasOwnRows ? job : {count: 1, text: payload as string | null});
	else {
		statements.insertWaiting.run(id, dueAt, 0, 0);
		tx.facts.forget('nextRunAt');
		runs.nextId++;
	}
	if (parents > 0) holdExpiry(tx, id, job.expiresMs);
	else setExpiry(tx, id, job.expiresMs, dueAt);
	tally.move(task, batch, null, parents > 0 ? StoredState.blocked : dueAt === null ? StoredState.ready : StoredState.delayed);
	return id;
}

type Became = 'reused' | 'left' | 'conflict' | 'named';

/**
 * The key of a new job belongs to an earlier job. What becomes of that: `conflict` if it keeps another payload; `left` if it was to run again, and runs
 * already, or its new round can't begin; `named` if it was held.
 */
function resolveKeyCollision(tx: Tx, job: NewJob, {id, payload}: Holder, lookup: KeyLookup, how: Omit<Renewal, 'isChanged'>): Became {
	const isSame = sameValue(payload, job.payload);
	if (job.isOutdated || !isSame) {
		lookup.forget();
		const isNamed = findHeld(tx, id) !== undefined;
		if (job.rerun?.changed && rerunJob(tx, id, job, {...how, isChanged: true})) return isNamed ? 'named' : 'reused';
		if (!isSame) return 'conflict';
		unhold(tx, id, job);
		return 'left';
	}
	if (job.rerun?.failed) rerunJob(tx, id, {...job, payload}, {...how, isChanged: false});
	if (!unhold(tx, id, job)) return 'reused';
	lookup.forget();
	return 'named';
}

/** The properties that the jobs of a run share. */
interface RunKey {
	readonly task: number;
	readonly policy: number;
	readonly priority: number;
	readonly batch: number | null;
	/** True if the jobs have rows in `job`. */
	readonly hasOwnRows: boolean;
	/** The number of parents for which each waits; default 0. */
	readonly parents?: number;
	/** When jobs that wait for parents become due. */
	readonly runAt?: number | null;
}

interface OpenRun extends RunKey {
	readonly first: JobId;
	count: number;
	/** Of jobs that have no rows in `job`. */
	readonly payloads: PackedStrings[];
	/** The others. */
	readonly jobs: Pick<NewJob, 'payload' | 'key'>[];
	readonly keys: number | PackedStrings | undefined;
}

/** Makes new jobs ready, in order. A packed group becomes a run, and so do neighbours with the same {@link RunKey}. Others get rows in `ready`. */
class RunBuilder {
	/** The first job of this transaction. */
	readonly firstId: JobId;
	/** The id of the next job. */
	nextId: JobId;
	readonly #tx: Tx;
	readonly #direct: DirectClaim | undefined;
	#run: OpenRun | undefined;
	/** Jobs that are no run, and have no rows in `ready` yet: one statement writes them. `run` has the first of them. */
	#range: {readonly run: OpenRun; last: JobId} | undefined;

	constructor(tx: Tx, direct: DirectClaim | undefined) {
		this.#tx = tx;
		this.#direct = direct;
		this.firstId = lastNumber(tx, 'job') + 1;
		this.nextId = this.firstId;
	}

	/** Adds the next jobs: packed ones, or one that has a row in `job`. Jobs with keys are written at once, so that they are found by these. */
	add(key: RunKey, added: PackedStrings | NewJob, keys?: OpenRun['keys']): void {
		const count = 'count' in added ? added.count : 1;
		if (!this.#run || keys !== undefined || !continues(this.#run, this.nextId, key, count)) {
			this.#endRun();
			this.#run = {...key, first: this.nextId, count: 0, payloads: [], jobs: [], keys};
		}
		this.#run.count += count;
		if ('count' in added) this.#run.payloads.push(added);
		else this.#run.jobs.push(added);
		this.nextId += count;
		if (keys !== undefined) this.#endRun();
	}

	/** Writes all jobs that were added. */
	flush(): void {
		this.#endRun();
		if (!this.#range) return;
		const {run, last} = this.#range;
		const {insertReady, insertReadyRange} = this.#tx.statements;
		// For a single job, to read its row again would take as long as to write it.
		if (run.first === last) insertReady.run(run.task, -run.priority, last, 0, run.batch);
		else insertReadyRange.run(run.first, last);
		this.#range = undefined;
	}

	#endRun(): void {
		const run = this.#run;
		this.#run = undefined;
		if (!run) return;
		const values = joinPacked(run.payloads);
		if (!run.hasOwnRows) this.#writeJobs(run, values);
		const {task, priority, batch, first, count, parents = 0, runAt = null} = run;
		if (parents > 0) {
			insertBlocked(this.#tx.statements, {first, last: first + count - 1, task, rank: -priority, batch, runAt, executions: 0, parents});
			return;
		}
		if (!this.#direct?.take({...run, ...(run.hasOwnRows ? columnsOf(run.jobs) : {values})})) this.#makeReady(run);
	}

	#writeJobs({task, policy, priority, batch, first, count, keys}: OpenRun, payloads: PackedStrings): void {
		const {statements, now} = this.#tx;
		if (count === 1) {
			statements.insertJob.run(first, task, policy, priority, now, batch, keyAt(keys, 0) ?? null, payloads.text || null);
			return;
		}
		const firstNumber = typeof keys === 'number' ? keys : null;
		const columns = {first, last: first + count - 1, task, policy, priority, createdAt: now, batch, firstNumber};
		insertJobRun(statements, {...columns, keys: typeof keys === 'object' ? keys.text : null, payloads: payloads.text});
	}

	#makeReady(run: OpenRun): void {
		const {task, priority, batch, first, count} = run;
		if (count > 1) {
			this.#tx.statements.insertReadyRun.run(task, -priority, first, first + count - 1, batch);
			return;
		}
		if (this.#range?.last !== first - 1) {
			this.flush();
			this.#range = {run, last: first};
		}
		this.#range.last = first;
	}
}

/** The payloads and keys of jobs that have rows in `job`, as a claim returns them. */
function columnsOf(jobs: OpenRun['jobs']): Pick<NewRun, 'values' | 'keys'> {
	const keys = new Map(jobs.flatMap(({key}, index) => (key === undefined ? [] : [[index, key] as const])));
	return {values: pack(jobs.map(({payload}) => payload)), keys: keys.size > 0 ? keys : undefined};
}

function continues(run: OpenRun, id: JobId, key: RunKey, count: number): boolean {
	const {task, policy, priority, batch, hasOwnRows, parents = 0, runAt = null} = key;
	const isNext = id === run.first + run.count && count === 1 && run.count < MAX_RUN_JOBS;
	const waitAlike = (run.parents ?? 0) === parents && (run.runAt ?? null) === runAt;
	return isNext && waitAlike && run.task === task && run.policy === policy && run.priority === priority && run.batch === batch && run.hasOwnRows === hasOwnRows;
}
