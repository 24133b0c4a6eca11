import {type Encoded, sameValue} from '../../job/encoding.ts';
import type {FailureRecord} from '../../job/failure.ts';
import {type EnqueuedGroup, idAt, type NewGroup, newJobsOf, toIds, toNewGroups} from '../../job/group.ts';
import type {JobId} from '../../job/job.ts';
import {type ChildJob, dueAtOf, type NewJob} from '../../job/new-job.ts';
import {asPacked, isPackable, type PackedStrings, slicePacked, toPackedStrings} from '../../job/packed.ts';
import {FaenaError} from '../../support/errors.ts';
import {failpoint} from '../../support/failpoint.ts';
import type {Enqueued} from '../job-queue.ts';
import {enqueueFailure, keyConflict} from '../store.ts';
import {Blobs} from './blobs.ts';
import {prepare, type Statements} from './connection.ts';
import {refuseNewer} from './file-guard.ts';
import {replaceJob, retryJob} from './move.ts';
import {type OwnConnection, refuseOtherLibrary} from './one-library.ts';
import {MAX_RUN_JOBS} from './packed-rows.ts';
import {APPLICATION_ID, MIGRATIONS} from './schema.sql.ts';
import {StoredState, Tally} from './tally.ts';
import {checkCounter, Names, scopeOf, type Tx} from './tx.ts';

/** Enqueues jobs with rising ids. For a job whose key exists, the result has the job with that key. */
export function enqueue(tx: Tx, groups: readonly NewGroup[], rejectConflicts: boolean): EnqueuedGroup[] {
	if (groups.length === 0) return [];
	const runs = new RunBuilder(tx);
	const enqueued = groups.map(group => addPacked(tx, group, runs) ?? addJobs(tx, group, runs, rejectConflicts));
	runs.flush();
	if (runs.nextId > runs.firstId) {
		tx.statements.setJobCounter.run(runs.nextId - 1);
		failpoint('enqueue:written');
	}
	return enqueued;
}

/** The failure of a job that enqueues these jobs, if the key of one belongs to another payload: in the store, or among the jobs before it. */
export function findConflict(tx: Tx, jobs: readonly ChildJob[]): FailureRecord | undefined {
	const own = new Map<string, Encoded>();
	for (const job of jobs) {
		if (job.key === undefined) continue;
		const name = JSON.stringify([job.task, job.key]);
		const holder = findByKey(tx, job);
		const held = holder ? holder.payload : own.get(name);
		if (held !== undefined && !sameValue(held, job.payload)) return enqueueFailure(job, holder?.id);
		own.set(name, job.payload);
	}
	return undefined;
}

/** Adds the jobs of a group as runs, if they can be written so. */
function addPacked(tx: Tx, group: NewGroup, runs: RunBuilder): EnqueuedGroup | undefined {
	const payloads = asPacked(group.values);
	if (!payloads || group.keys || group.batch !== undefined || dueAtOf(group, tx.now) !== null) return undefined;
	const key = keyOf(tx, group, false);
	tx.tally.move(key.task, null, null, StoredState.ready, payloads.count);
	return {ids: runs.addPacked(key, payloads)};
}

function keyOf({names}: Tx, {task, policy, priority, batch}: Omit<NewJob, 'payload'>, hasOwnRows: boolean): RunKey {
	return {task: names.task(task), policy: names.policyId(policy), priority, batch: batch ?? null, hasOwnRows};
}

function addJobs(tx: Tx, group: NewGroup, runs: RunBuilder, rejectConflicts: boolean): EnqueuedGroup {
	const [ids, reused, conflicts]: [JobId[], number[], number[]] = [[], [], []];
	const dueAt = dueAtOf(group, tx.now);
	for (const job of newJobsOf(group)) {
		const holder = findByKey(tx, job);
		if (!holder) {
			ids.push(addJob(tx, job, dueAt, runs));
			continue;
		}
		// The job with the key may be one of this transaction, whose rows are not written yet.
		if (holder.id >= runs.firstId) runs.flush();
		const isReused = resolveKeyCollision(tx, job, holder);
		if (!isReused && rejectConflicts) throw keyConflict(job, holder.id);
		(isReused ? reused : conflicts).push(ids.length);
		ids.push(holder.id);
	}
	return {ids: toIds(ids), ...(reused.length > 0 && {reused}), ...(conflicts.length > 0 && {conflicts})};
}

function addJob(tx: Tx, job: NewJob, dueAt: number | null, runs: RunBuilder): JobId {
	const {statements, tally, now} = tx;
	const {payload, priority} = job;
	const isPlain = job.key === undefined && job.batch === undefined && isPackable(payload);
	const key = keyOf(tx, job, dueAt !== null || !isPlain);
	const {task, policy, batch, hasOwnRows} = key;
	const id = runs.nextId++;
	if (hasOwnRows) statements.insertJob.run(id, task, policy, priority, now, batch, job.key ?? null, payload);
	if (job.key !== undefined) statements.insertKey.run(scopeOf(task, job.batch), job.key, id);
	if (dueAt !== null) statements.insertWaiting.run(id, dueAt, 0, 0);
	else runs.add(id, key, hasOwnRows ? null : payload);
	tally.move(task, batch, null, dueAt === null ? StoredState.ready : StoredState.delayed);
	return id;
}

/** The job that has a key. */
interface Holder {
	readonly id: JobId;
	readonly payload: Encoded;
}

function findByKey({statements, names}: Tx, {task, batch, key}: Pick<NewJob, 'task' | 'batch' | 'key'>): Holder | undefined {
	if (key === undefined) return undefined;
	return statements.jobByKey.get(scopeOf(names.task(task), batch), key) as Holder | undefined;
}

/** The key of a new job belongs to an earlier job. Returns false if that job keeps another payload. */
function resolveKeyCollision(tx: Tx, job: NewJob, {id, payload}: Holder): boolean {
	if (!sameValue(payload, job.payload)) return job.rerun?.changed === true && replaceJob(tx, id, job);
	if (job.rerun?.failed) retryJob(tx, id);
	return true;
}

/** The properties that the jobs of a run share. */
interface RunKey {
	readonly task: number;
	readonly policy: number;
	readonly priority: number;
	readonly batch: number | null;
	/** True if the jobs have rows in `job`. */
	readonly hasOwnRows: boolean;
}

interface OpenRun extends RunKey {
	readonly first: JobId;
	readonly payloads: Encoded[];
}

/** Makes new jobs ready. They are added in order of their ids. Neighbours with the same {@link RunKey} become a run. The others get rows in `ready`. */
class RunBuilder {
	/** The first job of this transaction. */
	readonly firstId: JobId;
	nextId: JobId;
	readonly #tx: Tx;
	#run: OpenRun | undefined;
	/** Jobs that are no run, and have no rows in `ready` yet: one statement writes them. */
	#range: {readonly first: JobId; last: JobId} | undefined;

	constructor(tx: Tx) {
		this.#tx = tx;
		this.firstId = checkCounter('job', (tx.statements.jobCounter.get() as number) + 1);
		this.nextId = this.firstId;
	}

	/** Adds a job. The payload is used only if the job has no row in `job`. */
	add(id: JobId, key: RunKey, payload: Encoded): void {
		if (!this.#run || !continues(this.#run, id, key)) {
			this.#endRun();
			this.#run = {...key, first: id, payloads: []};
		}
		this.#run.payloads.push(payload);
	}

	/** Adds jobs that have no rows in `job`. Returns the id of the first. */
	addPacked(key: RunKey, payloads: PackedStrings): JobId {
		const first = this.nextId;
		this.nextId += payloads.count;
		if (payloads.count === 1) {
			this.add(first, key, payloads.text || null);
			return first;
		}
		this.flush();
		for (let start = 0; start < payloads.count; start += MAX_RUN_JOBS) {
			const part = slicePacked(payloads, start, Math.min(payloads.count, start + MAX_RUN_JOBS));
			this.#insertRun(first + start, key, part);
		}
		return first;
	}

	/** Writes all jobs that were added. */
	flush(): void {
		this.#endRun();
		if (this.#range) this.#tx.statements.insertReadyRange.run(this.#range.first, this.#range.last);
		this.#range = undefined;
	}

	#endRun(): void {
		const run = this.#run;
		this.#run = undefined;
		if (!run) return;
		const {task, policy, priority, batch, hasOwnRows, first, payloads} = run;
		if (payloads.length > 1) {
			this.#insertRun(first, run, toPackedStrings(payloads));
			return;
		}
		if (!hasOwnRows) this.#tx.statements.insertJob.run(first, task, policy, priority, this.#tx.now, batch, null, payloads[0] as Encoded);
		if (this.#range?.last !== first - 1) {
			this.flush();
			this.#range = {first, last: first};
		}
		this.#range.last = first;
	}

	#insertRun(first: JobId, {task, policy, priority, batch, hasOwnRows}: RunKey, {count, text}: PackedStrings): void {
		const {statements, now} = this.#tx;
		const last = first + count - 1;
		if (!hasOwnRows) statements.insertJobRun.run(first, last, task, policy, priority, now, text);
		statements.insertReadyRun.run(task, -priority, first, last, batch);
	}
}

function continues(run: OpenRun, id: JobId, {task, policy, priority, batch, hasOwnRows}: RunKey): boolean {
	const isNext = id === run.first + run.payloads.length && run.payloads.length < MAX_RUN_JOBS;
	return isNext && run.task === task && run.policy === policy && run.priority === priority && run.batch === batch && run.hasOwnRows === hasOwnRows;
}

/**
 * Enqueues one job on a connection that the program opened itself: in a savepoint of its transaction, or in a transaction of its own.
 * @throws FaenaError `BadOption`, `BadDatabase`, `NewerDatabase`, `KeyConflict`, with nothing left of the job in the transaction
 */
export function enqueueOn(connection: OwnConnection, job: NewJob, now: number): Enqueued {
	refuseOtherLibrary('enqueueIn()', connection);
	let enqueued: EnqueuedGroup | undefined;
	const run = connection.transaction(() => {
		const statements = lockedStatements(connection);
		const tally = new Tally();
		// Nothing is cached between calls: the program may roll back any savepoint, and Faena would not notice.
		const caches = {names: new Names(statements), blobs: new Blobs(connection.name, Infinity)};
		[enqueued] = enqueue({statements, tally, ...caches, now, random: Math.random, completed: [], unpacked: 0}, toNewGroups([job]), true);
		for (const change of tally.tasks.take()) statements.addToTally.run(...change);
	});
	run.immediate();
	const {ids, reused = []} = enqueued as EnqueuedGroup;
	return {id: idAt(ids, 0), reused: reused.length > 0};
}

/** Prepared once for each connection. */
const prepared = new WeakMap<OwnConnection, Statements>();

/**
 * Takes the write lock, checks the schema, and returns Faena's statements on the connection.
 * @throws FaenaError `BadDatabase` if the database is not Faena's, or has an older schema; `NewerDatabase`
 */
function lockedStatements(connection: OwnConnection): Statements {
	const {name} = connection;
	const statements = prepared.get(connection) ?? prepareOn(connection);
	prepared.set(connection, statements);
	// The first statement is a write: a transaction that has only read gets no write lock once another connection has written.
	statements.takeWriteLock.run();
	// Checked in each call: a newer Faena may have upgraded the file since the last one.
	if (Number(connection.pragma('application_id', {simple: true})) !== APPLICATION_ID) throw foreign(name);
	const version = refuseNewer(connection, name);
	if (version === MIGRATIONS.length) return statements;
	throw new FaenaError(
		'BadDatabase',
		`${name} was last opened by an older Faena (schema ${version}; this one has ${MIGRATIONS.length}). Open it with open() once.`,
	);
}

function prepareOn(connection: OwnConnection): Statements {
	try {
		return prepare(connection as unknown as Parameters<typeof prepare>[0]);
	} catch (error) {
		// A table or a column is missing.
		throw (error as {code?: unknown}).code === 'SQLITE_ERROR' ? foreign(connection.name, error) : error;
	}
}

function foreign(name: string, cause?: unknown): FaenaError {
	const message = `${name} is not a database of this Faena. Connect to the file that open() was given, after open() has created it.`;
	return new FaenaError('BadDatabase', message, {cause});
}
