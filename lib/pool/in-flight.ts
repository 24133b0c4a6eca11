import type {Ending, Outcome, Settlement} from '../job/claim.ts';
import {type FailureRecord, type PostMortem, withExecution} from '../job/failure.ts';
import {executionsOf, pickClaimed} from '../job/groups/cut-and-join.ts';
import {type ClaimedGroup, type EndedGroup, idAt, indexOf, policyAt, sizeOf, toSent} from '../job/groups/group.ts';
import {countOf} from '../job/groups/packed.ts';
import {type JobTimes, PackedTimes} from '../job/groups/packed-times.ts';
import {claimAt, claimedJobAt, pickEnded, toEndedGroup, withEndings} from '../job/groups/single-jobs.ts';
import {type JobId, MAX_SUSPICION, type StopReason} from '../job/job.ts';
import type {Clock} from '../support/clock.ts';
import {trace} from '../support/trace.ts';
import type {FinalMessage, OutcomesMessage} from '../worker/messages.ts';
import {type Examination, PoolChunkState, type PoolListener, type PoolWorker} from './pool.ts';
import {ReportedOutcomes} from './reported-outcomes.ts';
import {type RunningJobs, RunningUpdates} from './running-updates.ts';
import {traceGiven, traceReport, traceSent} from './trace-chunk.ts';

/** A chunk that a worker has, until each of its jobs has exactly one outcome: by a report, by being taken back, or by the loss of the worker. */
export class InFlightChunk {
	readonly number: number;
	readonly worker: PoolWorker;
	readonly givenAt: number;
	group: ClaimedGroup;
	chunkState: PoolChunkState;
	/** Once the worker has it, which is not before that has loaded its tasks: who the worker is, and the code that it has loaded for the task. */
	sent: {readonly worker: string | undefined; readonly code: string | undefined} | undefined;
	/** `released`: jobs that come back go to no other worker. `interrupted`: running jobs are stopped as well. */
	intent: 'run' | 'released' | 'interrupted' = 'run';
	/** Jobs without an outcome. */
	open: number;
	readonly reports = new ReportedOutcomes();
	readonly updates: RunningUpdates;
	/** Indexes of jobs that were taken back, or have expired in the worker. */
	readonly takenBack = new Set<number>();
	/** By index, of jobs that were asked to stop: when their grace ends. */
	readonly deadlines = new Map<number, number>();
	/** The examination of the worker before it was ended for a stuck job. */
	examination: Examination | undefined;
	/** Why a report of the worker can't be true. The worker is ended for it. */
	nonsense: string | undefined;
	/** Called once nothing more comes of this chunk. */
	readonly onEnd: (() => void)[] = [];
	readonly #context: {readonly listener: PoolListener; readonly clock: Clock};

	constructor(number: number, worker: PoolWorker, group: ClaimedGroup, listener: PoolListener, clock: Clock) {
		this.number = number;
		this.worker = worker;
		this.group = group;
		this.open = this.size;
		this.chunkState = PoolChunkState.create(this.size);
		this.givenAt = clock.steadyMs();
		this.#context = {listener, clock};
		this.updates = new RunningUpdates(this, listener, clock);
		if (trace) traceGiven(this);
	}

	/** The index up to which the worker has reported the jobs. */
	get reported(): number {
		return this.reports.upTo;
	}

	get size(): number {
		return sizeOf(this.group);
	}

	/** Those in this range that were not taken back. */
	indexes(from = 0, to = this.size): number[] {
		const indexes: number[] = [];
		for (let index = from; index < to; index++) if (!this.takenBack.has(index)) indexes.push(index);
		return indexes;
	}

	idAt(index: number): JobId {
		return idAt(this.group.ids, index);
	}

	/** A chunk's state may show a job as running for a while after that job was reported. */
	running(): RunningJobs | undefined {
		const running = this.chunkState.running();
		if (!running || running.index + running.count <= this.reported) return undefined;
		return {indexes: this.indexes(running.index, running.index + running.count), since: running.since};
	}

	/** The index of a job without an outcome; -1 if the chunk does not have it. */
	openIndexOf(id: JobId): number {
		const index = indexOf(this.group, id);
		return index < this.reports.confirmedUpTo || this.takenBack.has(index) ? -1 : index;
	}

	/** This share of the jobs that have not started, from the end: the worker comes from the beginning. */
	waiting(share = 1): number[] {
		const waiting = this.indexes().filter(index => this.chunkState.isFree(index));
		return waiting.slice(Math.floor(waiting.length * (1 - share)));
	}

	/** Those of the waiting jobs that have expired. */
	expired(): number[] {
		const {expiries} = this.group;
		return expiries ? this.waiting().filter(index => (expiries.get(index) ?? Infinity) <= this.#context.clock.now()) : [];
	}

	/** @param codes what the worker has loaded, by task */
	send(codes?: ReadonlyMap<string, string>): void {
		const {number, worker} = this;
		if (trace) traceSent(this);
		this.sent = {worker: worker.name, code: codes?.get(this.group.task)};
		if (worker.chunkState) {
			// It has not seen which jobs were taken back while it loaded.
			if (this.takenBack.size > 0) this.group = pickClaimed(this.group, this.indexes());
			this.takenBack.clear();
			this.chunkState = worker.chunkState(this.size);
		}
		// A request that fails is that of a worker that ended.
		void worker.request({type: 'chunk', chunk: number, chunkState: this.chunkState.address, group: toSent(this.group)}).catch(() => undefined);
	}

	/** Keeps reported outcomes until they are confirmed: by the worker or, in a chunk that takes longer than was expected, by a later report. */
	report(message: OutcomesMessage): void {
		if (trace) traceReport(this, message);
		const now = this.#context.clock.steadyMs();
		if (message.late) this.reports.unconfirmed = this.#withFailures(message.late);
		if (this.reports.areOverdue(now)) this.confirm({isLast: false});
		// The store cancels them.
		if (message.expired) this.settleTakenBack([...message.expired], {type: 'released'});
		this.reports.add(reportedBy(this, message), message.first + countOf(message.values), now);
	}

	/** Passes on what was reported. */
	confirm({failures, isLast}: Pick<FinalMessage, 'failures' | 'isLast'>): void {
		if (failures) this.reports.unconfirmed = this.#withFailures(failures);
		const ended = this.reports.confirm();
		if (isLast) this.#end();
		this.#settle(ended);
	}

	/** What is reported, with failures that came to light since. */
	#withFailures(failures: ReadonlyMap<number, FailureRecord>): EndedGroup[] {
		return this.reports.unconfirmed.map(group => withFailures(this, group, failures));
	}

	/** Takes back those of the jobs that have not started, and gives them this outcome. `then` is called once the worker has obeyed. */
	takeBack(indexes: readonly number[], outcome: Outcome, then?: () => void): void {
		this.chunkState.takeBack(indexes, taken => {
			this.settleTakenBack(taken, outcome);
			then?.();
		});
	}

	/** Gives this outcome to jobs that were taken back. */
	settleTakenBack(indexes: readonly number[], outcome: Outcome): void {
		const settlements = this.#markTakenBack(indexes).map(index => this.settlement(index, outcome));
		if (settlements.length === 0) return;
		if (!this.sent && this.takenBack.size === this.size) {
			this.#end();
			this.#context.listener.freed();
		}
		this.#settle([this.#toGroup(settlements)]);
	}

	/** Takes jobs out of the chunk without an outcome, for another worker. */
	remove(indexes: readonly number[]): void {
		this.open -= this.#markTakenBack(indexes).length;
	}

	/** The worker is gone: passes on what it reported, and these outcomes of the other jobs. */
	lose(others: readonly Settlement[]): void {
		this.#end();
		this.#settle(others.length > 0 ? [...this.reports.unconfirmed, this.#toGroup(others)] : this.reports.unconfirmed);
	}

	#toGroup(settlements: readonly Settlement[]): EndedGroup {
		return {...toEndedGroup(settlements), claimed: this.group};
	}

	settlement(index: number, outcome: Outcome): Settlement {
		return {...claimAt(this.group, index), outcome, ...this.sent};
	}

	/** Returns those that were not marked before. */
	#markTakenBack(indexes: readonly number[]): number[] {
		const fresh = indexes.filter(index => !this.takenBack.has(index));
		for (const index of fresh) this.takenBack.add(index);
		return fresh;
	}

	#end(): void {
		for (const call of this.onEnd) call();
	}

	#settle(ended: readonly EndedGroup[]): void {
		this.open -= ended.reduce((jobs, group) => jobs + sizeOf(group), 0);
		if (ended.length > 0) this.#context.listener.ended(this.group.task, ended);
	}
}

/** The times of a job that started. */
type RunTimes = Pick<JobTimes, 'startedAt' | 'durationMs'>;

/** The executions in a worker's message, without those of jobs that were taken back. */
export function reportedBy(chunk: InFlightChunk, message: OutcomesMessage): EndedGroup | undefined {
	const {first, values, times} = message;
	const group = {
		...executionsOf(chunk.group, first, first + countOf(values)),
		values,
		times,
		endings: endingsOf(chunk, message),
		claimed: chunk.group,
		...chunk.sent,
	};
	if (chunk.takenBack.size === 0) return group;
	const left = chunk.indexes(first, first + sizeOf(group)).map(index => index - first);
	return left.length === 0 ? undefined : left.length === sizeOf(group) ? group : pickEnded(group, left);
}

/** The endings of those executions of a message that did not simply return, by index in the message. */
function endingsOf(chunk: InFlightChunk, message: OutcomesMessage): Map<number, Ending> | undefined {
	const {first, values, failures, stops, enqueues} = message;
	const endings = new Map<number, Ending>();
	const timesAt = (index: number) => new PackedTimes(message.times).at(index - first);
	for (const [index, enqueue] of enqueues ?? []) endings.set(index - first, {type: 'returned', enqueue});
	// A job that still runs may have failed already.
	for (const [index, error] of failures ?? [])
		if (index < first + countOf(values)) endings.set(index - first, {type: 'threw', error: located(chunk, index, error, timesAt(index))});
	for (const [index, reason] of stops ?? []) {
		const times = timesAt(index);
		const isSuspect = reason === 'timedOutTogether';
		endings.set(index - first, isSuspect ? {type: 'released', suspicion: MAX_SUSPICION} : stoppedEnding(chunk, index, reason, times, failures?.get(index)));
	}
	return endings.size > 0 ? endings : undefined;
}

/** The group, but for jobs whose failure came to light after they had returned. */
export function withFailures(chunk: InFlightChunk, group: EndedGroup, failures: ReadonlyMap<number, FailureRecord>): EndedGroup {
	const endings = new Map<number, Ending>();
	for (const [of, error] of failures) {
		const index = indexOf(group, chunk.idAt(of));
		const hasReturned = index >= 0 && (group.endings?.get(index)?.type ?? 'returned') === 'returned';
		if (hasReturned) endings.set(index, {type: 'threw', error: located(chunk, of, error, new PackedTimes(group.times).at(index))});
	}
	return endings.size > 0 ? withEndings(group, endings) : group;
}

/** How a job ended that was asked to stop, by itself or with its worker. */
export function stoppedEnding(
	chunk: InFlightChunk,
	index: number,
	reason: StopReason,
	times: RunTimes,
	failure?: FailureRecord,
): Exclude<Ending, {readonly type: 'returned'}> {
	if (reason === 'interrupted') return {type: 'released'};
	const after = `after ${(times.durationMs / 1000).toFixed(3)} s`;
	const detail = {...(failure?.reason === 'threw' && {causes: [failure]}), postMortem: postMortemOf(chunk, index, times, reason !== 'cancelled')};
	if (reason === 'cancelled') {
		const error = {reason, name: 'Cancelled', message: `Cancelled while running, ${after}.`, ...detail};
		return {type: 'cancelled', error: located(chunk, index, error, times, false)};
	}
	const message = `Stopped ${after}: the timeout is ${Math.round(policyAt(chunk.group.policies, index).timeoutMs ?? 0) / 1000} s.`;
	return {type: 'timedOut', error: located(chunk, index, {reason, name: 'TimedOut', message, ...detail}, times)};
}

/** The failure, with its attempt, time and worker. */
export function located(
	chunk: InFlightChunk,
	index: number,
	error: FailureRecord,
	{startedAt, durationMs}: RunTimes,
	isCharged = error.reason !== 'badPayload',
): FailureRecord {
	const {attempts} = claimedJobAt(chunk.group, index);
	return withExecution(error, {attempt: attempts + (isCharged ? 1 : 0), at: startedAt + durationMs, worker: chunk.sent?.worker});
}

export function postMortemOf(chunk: InFlightChunk, index: number, {startedAt, durationMs}: RunTimes, isCharged: boolean): PostMortem {
	const {execution, attempts} = claimedJobAt(chunk.group, index);
	const progress = chunk.updates.progress.get(index);
	return {execution, attempt: attempts + (isCharged ? 1 : 0), startedAt, durationMs, ...(progress && {progress}), ...chunk.examination};
}
