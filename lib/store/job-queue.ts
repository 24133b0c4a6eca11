import type {Batch, BatchId, CompletedBatch, DeleteResult} from '../job/batch.ts';
import {argument, text} from '../job/checks.ts';
import {type Claim, type ClaimedJob, type JobExecution, type Lease, type OwnerId, type Settlement, toExecution} from '../job/claim.ts';
import {decode, type Encoded, encode, MAX_VALUE_LIMIT_BYTES} from '../job/encoding.ts';
import {toFailure} from '../job/failure.ts';
import {type ClaimedGroup, type EnqueuedGroup, idAt, type NewGroup, numberAt, sizeOf} from '../job/groups/group.ts';
import {unpack} from '../job/groups/packed.ts';
import {claimedJobsOf, toEndedGroup} from '../job/groups/single-jobs.ts';
import {type Counts, type Job, type JobId, type JobRef, type LogLine, toCounts, toJob, UNENDED_STATUSES} from '../job/job.ts';
import {countJobs, JobList, type JobSource, toFilter} from '../job/job-list.ts';
import {JobBuilder, type JobChanges, toEdit} from '../job/new-job.ts';
import {checkId} from '../job/options.ts';
import {listParents, readerOf} from '../job/parent-results.ts';
import type {JobSearch} from '../job/search.ts';
import {defined} from '../support/defined.ts';
import {nameOfProcess} from '../support/node.ts';
import {isEdited, noSuchJob} from './conflict-errors.ts';
import {type Cleanup, cleanUp} from './deletions.ts';
import {allPages, moveAll} from './move-pages.ts';
import {
	type CheckedDequeue,
	checkBatchOptions,
	checkClaim,
	checkDequeue,
	checkPage,
	type Dequeued,
	type DequeuedJob,
	type DequeueOptions,
	type Enqueued,
	idList,
	notNegative,
	positive,
	type QueueEnd,
	type QueueJob,
	type QueueOutcome,
	type QueueValues,
	texts,
	toEnd,
	toGroups,
	toSettlements,
} from './queue-input.ts';
import type {BatchChange, Claimed, ClaimRequest, Released, Store} from './store.ts';

/**
 * A queue of jobs for programs with a loop of their own: everyday verbs over any {@link Store}. `openQueue()` returns one.
 * Verbs for many jobs work page by page. If a page fails, the pages before it stay done.
 * @example const count = (queue: JobQueue) => queue.counts();
 */
export class JobQueue {
	readonly #listeners = new Set<() => void>();
	readonly #builder: JobBuilder;

	/** The store that keeps the jobs. */
	readonly store: Store;

	constructor(store: Store) {
		this.store = store;
		this.#builder = new JobBuilder([], {}, MAX_VALUE_LIMIT_BYTES);
	}

	/** The location of the jobs, as given to `openQueue`. */
	get location(): string {
		return this.store.location;
	}

	/**
	 * Enqueues jobs: all, or none and an error. Resolves once they are durable.
	 * @returns a job for each one given, in order
	 * @throws FaenaError `BadOption`, `NotEncodable`, `TooLarge`; `KeyConflict` if a key belongs to a job with another payload; `NoSuchJob`, `NoSuchBatch`, `BadRow`
	 * @example const [{id}] = await queue.enqueue([{task: 'resize', payload: {file: 'a.png'}, delay: '5m', maxAttempts: 5}]);
	 */
	async enqueue(jobs: readonly QueueJob[]): Promise<readonly Enqueued[]> {
		return enqueueGroups(this, toGroups(this.#builder, jobs));
	}

	/** Calls the listeners of {@link onEnqueue}. For a program that has enqueued jobs by `store.commit()`. */
	announce(): void {
		for (const listener of this.#listeners) listener();
	}

	/** Calls the listener after each {@link enqueue} and {@link announce} on this object. Returns a function that removes the listener. */
	onEnqueue(listener: () => void): () => void {
		this.#listeners.add(listener);
		return () => void this.#listeners.delete(listener);
	}

	/** Calls the listener for each batch that completes in a transaction of this object, after the commit. Returns a function that removes the listener. */
	onBatchCompleted(listener: (batch: CompletedBatch) => void): () => void {
		return this.store.listen(undefined, news => {
			if (news.type === 'batchCompleted') listener({batch: news.batch, counts: news.counts});
		});
	}

	/**
	 * Claims up to `limit` jobs, without a scope or of the given scopes: higher priority first, then in order of arrival. A job whose payload can't be
	 * decoded is dead.
	 * @example const {jobs: [job]} = await queue.dequeue({owner: 'loop-1', tasks: ['resize']});
	 */
	async dequeue(options: DequeueOptions): Promise<Dequeued> {
		const given = checkDequeue(options);
		const {lease, jobs} = await claimJobs(this.store, {...given, tasks: given.tasks ?? (await this.#tasksWithJobs())});
		const decoded: DequeuedJob[] = [];
		const undecodable: Settlement[] = [];
		for (const {payload, checkpoint, policy, ...job} of jobs) {
			const {maxAttempts, timeoutMs, timeoutPercent, onDead} = policy;
			try {
				decoded.push({...job, payload: decode(payload), maxAttempts, timeoutMs, ...defined({timeoutPercent, onDead, checkpoint: decode(checkpoint ?? null)})});
			} catch (error) {
				undecodable.push({...job, outcome: {type: 'threw', error: {...toFailure(error), retry: 'never'}}});
			}
		}
		if (undecodable.length > 0) await this.#settle(undecodable);
		return {lease, jobs: decoded};
	}

	/** Tasks with jobs that have not ended: those of long ago would cost each claim two lanes. */
	async #tasksWithJobs(): Promise<string[]> {
		const open = (await this.store.counts()).filter(jobs => {
			const counts = toCounts([jobs]);
			return UNENDED_STATUSES.some(status => counts[status] > 0);
		});
		return [...new Set(open.map(({task}) => task))];
	}

	/** Records the outcomes of executions: `{...job, outcome}`. One whose lease or execution number no longer matches changes nothing, and counts as lost. */
	async settle(
		lease: Lease,
		outcomes: readonly (Omit<Claim, 'lease'> & Partial<DequeuedJob> & {readonly outcome: QueueOutcome})[],
	): Promise<{accepted: number; lost: number}> {
		return this.#settle(toSettlements(lease, outcomes, {at: this.store.now(), worker: nameOfProcess()}));
	}

	async #settle(settlements: readonly Settlement[]): Promise<{accepted: number; lost: number}> {
		const settle = settlements.length > 0 ? [toEndedGroup(settlements)] : [];
		const {settled} = await this.store.commit({settle});
		const lost = settled.flatMap(({others}) => [...others.values()]).filter(status => status === 'lost').length;
		return {accepted: settlements.length - lost, lost};
	}

	/**
	 * Settles one job as completed. Returns false if the claim was lost: another loop has the job now, or it was cancelled or released.
	 * @throws FaenaError `NoSuchJob` if no job has this id: it was deleted; `NotEncodable`, `TooLarge`
	 */
	async complete(claim: Claim, result?: unknown): Promise<boolean> {
		return this.#settleOne('complete()', claim, {type: 'returned', value: result});
	}

	/**
	 * Settles one job as failed. It is tried again after its backoff, or is dead if no attempts are left. Returns false if the claim was lost,
	 * as {@link complete}.
	 * @param error what was thrown; a `PermanentError` or `RetryAfter` of `faena` counts, too
	 * @throws FaenaError `NoSuchJob` if no job has this id: it was deleted
	 */
	async fail(claim: Claim, error: unknown): Promise<boolean> {
		return this.#settleOne('fail()', claim, {type: 'threw', error});
	}

	async #settleOne(verb: string, claim: Claim, outcome: QueueOutcome): Promise<boolean> {
		const {id, lease} = checkClaim(verb, claim);
		if ((await this.settle(lease, [{...claim, outcome}])).lost === 0) return true;
		if ((await this.job(id)) === undefined) throw noSuchJob(id);
		return false;
	}

	/** Cancels one job, or all that match: pending and failed ones at once; the owners of running ones are asked to stop them. Returns how many. */
	async cancel(jobs: JobRef | JobSearch<JobRef>): Promise<number> {
		const {ids, asked} = await moveAll(this.store, await toFilter('cancelled', 'cancel()', jobs, this.#source), 'cancelled');
		return ids.length + asked.length;
	}

	/** Begins a new round of one job, or of all that match: failed, dead and cancelled ones, and completed ones named by status or id. Returns how many. */
	async retry(jobs: JobRef | JobSearch<JobRef>): Promise<number> {
		return (await moveAll(this.store, await toFilter('pending', 'retry()', jobs, this.#source), 'pending')).ids.length;
	}

	/**
	 * Changes payload, priority or time of a job that is pending or failed.
	 * @returns false if it runs or has ended, and was left as it is
	 * @throws FaenaError `NoSuchJob`, `BadOption`, `NotEncodable`, `TooLarge`
	 * @example await queue.edit(17, {priority: 9, delay: 0});
	 */
	async edit(job: JobRef, changes: JobChanges): Promise<boolean> {
		const id = checkId(job);
		const {edited = []} = await this.store.commit({edit: [{id, ...toEdit(this.#builder, changes)}]});
		this.announce();
		return isEdited(id, edited[0] ?? 'missing');
	}

	/** Pauses a task, or several: their jobs are enqueued but not dequeued. Durable. */
	async pause(task: string | readonly string[]): Promise<void> {
		await this.store.setPaused(argument('pause()', 'task', [task].flat(), texts), true);
	}

	/** Ends the pause of a task, or of several. */
	async resume(task: string | readonly string[]): Promise<void> {
		await this.store.setPaused(argument('resume()', 'task', [task].flat(), texts), false);
	}

	/** Names of the paused tasks. */
	async paused(): Promise<readonly string[]> {
		return [...new Set((await this.store.counts()).flatMap(({task, isPaused}) => (isPaused ? task : [])))].sort();
	}

	/** Gives all jobs and schedules of a scope to another one. Returns false if none ever had the scope `from`. */
	async adopt(from: string, to: string): Promise<boolean> {
		return this.store.adopt(argument('adopt()', 'from', from, text), argument('adopt()', 'to', to, text));
	}

	/** Renews the owner's lease. Returns false if the owner is unknown or was taken for dead: its claims are lost, and its next dequeue registers it again. */
	async heartbeat(owner: OwnerId): Promise<boolean> {
		return (await this.store.heartbeat(argument('heartbeat()', 'owner', owner, text))) === 'alive';
	}

	/** Makes the running jobs of dead owners ready again, uncharged. Call it at least twice per lease. Returns the number of jobs. */
	reclaim(): Promise<number> {
		return releaseAll(() => this.store.reclaim());
	}

	/** Makes the owner's running jobs of leases after this one ready again, uncharged. Returns the number of jobs. */
	async release(owner: OwnerId, after: Lease): Promise<number> {
		argument('release()', 'owner', owner, text);
		argument('release()', 'after', after, notNegative);
		return releaseAll(() => this.store.release(owner, {after}));
	}

	/** Removes an owner. Jobs that it still holds become ready again, uncharged. */
	async leave(owner: OwnerId): Promise<void> {
		argument('leave()', 'owner', owner, text);
		await releaseAll(() => this.store.release(owner, {leave: true}));
	}

	/** @returns `undefined` if there is no such job */
	async job(id: JobRef): Promise<Job | undefined> {
		const [job] = (await this.store.jobs({ids: [checkId(id)]})).jobs;
		return job && toJob(job);
	}

	/** The jobs that match, in order of arrival or sorted: for `for await`, or by its verbs `page()` and `toArray()`. */
	jobs(search: JobSearch<JobRef> = {}, ...more: []): JobList {
		return new JobList(search, this.#source, ...more);
	}

	/** Payload, result and checkpoint of a job; `undefined` if there is no such job. */
	async values(id: JobRef): Promise<QueueValues | undefined> {
		const values = (await this.store.jobs({ids: [checkId(id)]}, {}, {values: true})).jobs[0]?.values;
		if (!values) return undefined;
		const {payload, result, checkpoint} = values;
		return {
			payload: decode(payload),
			...(result !== undefined && {result: decode(result)}),
			...(checkpoint && {checkpoint: {...checkpoint, state: decode(checkpoint.state)}}),
		};
	}

	/** The latest 200 log lines of a job, the oldest first; none if there is no such job. */
	async logs(id: JobRef): Promise<readonly LogLine[]> {
		return (await this.store.jobs({ids: [checkId(id)]}, {}, {logs: true})).jobs[0]?.logs ?? [];
	}

	/** The executions of a job that have ended, in order: at most the first ten and the last ten; none if there is no such job. */
	async history(id: JobRef): Promise<readonly JobExecution[]> {
		return ((await this.store.jobs({ids: [checkId(id)]}, {}, {history: true})).jobs[0]?.history ?? []).map(toExecution);
	}

	/** The ends of jobs. A job that does not exist is `missing`; a job that has not ended is left out. */
	async outcomes(ids: readonly JobId[]): Promise<readonly QueueEnd[]> {
		argument('outcomes()', 'ids', ids, idList);
		return (await allPages(after => this.store.outcomes(ids, {after}))).flatMap(({outcomes}) => outcomes.map(toEnd));
	}

	/** The number of jobs by status, of all jobs or of those that match. */
	async counts(search: JobSearch<JobRef> = {}): Promise<Counts> {
		return countJobs(search, this.#source);
	}

	readonly #source: JobSource = {
		page: (search, page, want) => this.store.jobs(search, page, want),
		counts: () => this.store.counts(),
		batch: name => this.batch(name),
	};

	/** As {@link Store.openBatch}. `onComplete` is the job that is enqueued when the batch completes. */
	async openBatch(name: string, task: string, owner: OwnerId, options?: {readonly onComplete?: Omit<QueueJob, 'payload'>}): Promise<BatchId> {
		for (const [what, value] of Object.entries({name, task, owner})) argument('openBatch()', what, value, text);
		return this.store.openBatch(name, task, owner, checkBatchOptions(options));
	}

	/** Ends the input of the batch at this number of items. Returns false if another owner has the batch, or it does not exist. */
	async endInput(batch: BatchId, total: number, owner: OwnerId): Promise<boolean> {
		return this.#updateBatch('endInput()', batch, owner, {total: argument('endInput()', 'total', total, notNegative)});
	}

	/** The owner has read all results and leaves the batch. `cleanup` may delete it. */
	async closeBatch(batch: BatchId, owner: OwnerId): Promise<void> {
		await this.#updateBatch('closeBatch()', batch, owner, {isClosed: true});
	}

	/** The owner leaves the batch open. Another map may continue it. */
	async leaveBatch(batch: BatchId, owner: OwnerId): Promise<void> {
		await this.#updateBatch('leaveBatch()', batch, owner, {isLeft: true});
	}

	#updateBatch(verb: string, batch: BatchId, owner: OwnerId, change: BatchChange): Promise<boolean> {
		return this.store.updateBatch(argument(verb, 'batch', batch, positive), argument(verb, 'owner', owner, text), change);
	}

	/** @returns `undefined` if no batch has this name */
	async batch(name: string): Promise<Batch | undefined> {
		return (await this.store.batches({name: argument('batch()', 'name', name, text)})).batches[0];
	}

	/** All batches in the order of their creation. */
	async batches(): Promise<readonly Batch[]> {
		return (await allPages(after => this.store.batches({}, {after}))).flatMap(({batches}) => batches);
	}

	/**
	 * Deletes jobs of the batch, and with the last one the batch itself.
	 * @param limit the most jobs to delete in this call, which is one transaction; default 1,000
	 * @throws FaenaError `BatchRunning` if a job of the batch is running; jobs that were deleted before stay deleted
	 */
	async deleteBatch(name: string, limit?: number): Promise<DeleteResult> {
		argument('deleteBatch()', 'name', name, text);
		const {deleted, next} = await this.store.delete({batch: name}, checkPage('deleteBatch()', limit === undefined ? {} : {limit}));
		return {deleted, isGone: next === null};
	}

	/**
	 * Deletes completed, dead and cancelled jobs: one job, jobs by id, or those that ended at least `olderThan` ago. Jobs of open batches are kept.
	 * `olderThan` also deletes the closed batches that then have no jobs. Returns the number of jobs.
	 * @example await queue.cleanup({olderThan: '7d'});
	 */
	async cleanup(jobs: Cleanup): Promise<number> {
		return cleanUp(jobs, this.store);
	}

	/** As {@link Store.close}. */
	close(): Promise<void> {
		return this.store.close();
	}

	/** As {@link close}, for `await using`. */
	[Symbol.asyncDispose](): Promise<void> {
		return this.close();
	}
}

/** Enqueues jobs in one transaction: all, or none and an error. Returns a job for each one given, in order. */
export async function enqueueGroups(queue: JobQueue, groups: readonly NewGroup[]): Promise<Enqueued[]> {
	const {enqueued} = await queue.store.commit({enqueue: groups, rejectConflicts: true});
	queue.announce();
	const made: Enqueued[] = [];
	for (const [index, group] of groups.entries()) {
		const {ids, reused} = enqueued[index] as EnqueuedGroup;
		const known = new Set(reused);
		for (let at = 0; at < sizeOf(group); at++) made.push({id: idAt(ids, at), reused: known.has(at)});
	}
	return made;
}

/** Claims jobs of these tasks. Their payloads are encoded. */
export async function claimJobs(
	store: Store,
	{owner, tasks, scopes, limit = 1, maxBytes = Infinity}: CheckedDequeue & {readonly tasks: readonly string[]},
): Promise<{readonly lease: Lease; readonly jobs: readonly (ClaimedJob & Claim)[]}> {
	const claim = {owner, lanes: lanesOf(tasks, limit), scopes, limit, maxBytes};
	// A commit claims nothing while it has more jobs to expire than it can. An empty answer would look as if no job were ready.
	for (;;) {
		const {claimed, expired, expiresInMs} = await store.commit({claim});
		if (claimed.groups.length > 0 || !expired || expiresInMs !== 0) return {lease: claimed.lease, jobs: inOrder(claimed)};
	}
}

/** Requests quarantined and other jobs of these tasks alike. */
export function lanesOf(tasks: readonly string[], limit: number): ClaimRequest['lanes'] {
	return tasks.flatMap(task => [
		{task, limit},
		{task, limit, isQuarantined: true},
	]);
}

/** The jobs of all groups by priority, then by arrival. A group has the jobs of one task alone. */
function inOrder({groups, lease}: Claimed): (ClaimedJob & Claim)[] {
	const jobs = groups.flatMap(group => [...claimedJobsOf(withPayloads(group))].map((job, index) => ({job, priority: numberAt(group.priorities, index)})));
	if (groups.length > 1) jobs.sort((a, b) => b.priority - a.priority || a.job.id - b.job.id);
	return jobs.map(({job}) => ({...job, lease}));
}

/** The group, with payloads that are made of results made. */
function withPayloads(group: ClaimedGroup): ClaimedGroup {
	if (!group.parents) return group;
	const parents = listParents(group);
	const make = (payload: Encoded, index: number) => encode(decode(payload, readerOf(parents.get(index) ?? [])), 'payload', MAX_VALUE_LIMIT_BYTES);
	return {...group, values: unpack(group.values).map(make)};
}

async function releaseAll(page: () => Promise<Released>): Promise<number> {
	const {jobs, hasMore} = await page();
	return hasMore ? jobs + (await releaseAll(page)) : jobs;
}
