import type {Ending, Outcome, Settlement} from '../job/claim.ts';
import {type FailureRecord, type PostMortem, toFailure} from '../job/failure.ts';
import {claimedJobAt, type EndedGroup, executionsOf, indexOf, pickEnded, sizeOf, withEndings} from '../job/group.ts';
import {MAX_SUSPICION, type StopReason, suspicionAmong} from '../job/job.ts';
import {countOf, type JobTimes, PackedTimes} from '../job/packed.ts';
import type {Clock} from '../support/clock.ts';
import {BROKEN, type OutcomesMessage} from '../worker/messages.ts';
import type {InFlightChunk, RunningJobs} from './in-flight.ts';
import type {WorkerEnd} from './worker-source.ts';

/** The times of a job that started. */
export type RunTimes = Pick<JobTimes, 'startedAt' | 'durationMs'>;

/** The executions in a worker's message, without those of jobs that were taken back. */
export function reportedBy(chunk: InFlightChunk, message: OutcomesMessage): EndedGroup | undefined {
	const {first, values, times} = message;
	const group = {...executionsOf(chunk.group, first, first + countOf(values)), values, times, endings: endingsOf(chunk, message)};
	if (chunk.takenBack.size === 0) return group;
	const left = Array.from({length: sizeOf(group)}, (_, index) => index).filter(index => !chunk.takenBack.has(first + index));
	return left.length === 0 ? undefined : left.length === sizeOf(group) ? group : pickEnded(group, left);
}

/** How the executions of a message ended that did not simply return, by index in the message. */
function endingsOf(chunk: InFlightChunk, message: OutcomesMessage): Map<number, Ending> | undefined {
	const {first, values, failures, stops, suspects, enqueues} = message;
	if (!failures && !stops && !suspects && !enqueues) return undefined;
	const times = new PackedTimes(message.times);
	const endings = new Map<number, Ending>();
	for (let offset = 0; offset < countOf(values); offset++) {
		const ending = toEnding(chunk, first + offset, message, times.at(offset));
		if (ending) endings.set(offset, ending);
	}
	return endings.size > 0 ? endings : undefined;
}

function toEnding(chunk: InFlightChunk, index: number, {failures, stops, suspects, enqueues}: OutcomesMessage, times: RunTimes): Ending | undefined {
	if (suspects?.has(index)) return {type: 'released', suspicion: MAX_SUSPICION};
	const failure = failures?.get(index);
	const reason = stops?.get(index);
	if (reason) return stoppedEnding(chunk, index, reason, times, failure);
	if (failure) return {type: 'threw', error: failure};
	const enqueue = enqueues?.get(index);
	return enqueue && {type: 'returned', enqueue};
}

/** The group, but for jobs whose failure came to light after they had returned. */
export function withFailures(chunk: InFlightChunk, group: EndedGroup, failures: ReadonlyMap<number, FailureRecord>): EndedGroup {
	const endings = new Map<number, Ending>();
	for (const [of, error] of failures) {
		const index = indexOf(group, chunk.idAt(of));
		const hasReturned = index >= 0 && (group.endings?.get(index)?.type ?? 'returned') === 'returned';
		if (hasReturned) endings.set(index, {type: 'threw', error});
	}
	return endings.size > 0 ? withEndings(group, endings) : group;
}

/** How a job can end that was told to stop. */
export type StoppedEnding = Exclude<Ending, {readonly type: 'returned'}>;

/** How a job ended that was told to stop, by itself or with its worker. */
export function stoppedEnding(chunk: InFlightChunk, index: number, reason: StopReason, times: RunTimes, failure?: FailureRecord): StoppedEnding {
	if (reason === 'interrupted') return {type: 'released'};
	const after = `after ${(times.durationMs / 1000).toFixed(3)} s`;
	const detail = {...(failure?.reason === 'threw' && {causes: [failure]}), postMortem: postMortemOf(chunk, index, times, reason !== 'cancelled')};
	if (reason === 'cancelled') return {type: 'cancelled', error: {reason, name: 'Cancelled', message: `Cancelled while running, ${after}.`, ...detail}};
	const message = `Stopped ${after}: the timeout is ${(chunk.group.policy.timeoutMs ?? 0) / 1000} s.`;
	return {type: 'timedOut', error: {reason, name: 'TimedOut', message, ...detail}};
}

export function postMortemOf(
	{group, progress: said, examination}: InFlightChunk,
	index: number,
	{startedAt, durationMs}: RunTimes,
	isCharged: boolean,
): PostMortem {
	const {execution, attempts} = claimedJobAt(group, index);
	const progress = said.get(index);
	return {
		execution,
		attempt: attempts + (isCharged ? 1 : 0),
		startedAt,
		durationMs,
		...(progress && {progress}),
		...examination,
	};
}

/** How a chunk's worker was lost. */
export interface Loss {
	readonly ending: WorkerEnd;
	/** The pool ended the worker. A job that it had not told to stop is not to blame, */
	readonly wasEnded: boolean;
	/** unless the pool ended it because it was silent: then a job that ended without a report is to blame. */
	readonly wasSilent: boolean;
	/** It never reported a job. */
	readonly isUnproven: boolean;
}

/** Jobs of which one or all took the worker along. */
interface AccusedJobs extends RunningJobs {
	/** They ended before their worker did, and were not reported. */
	readonly haveEnded?: true;
}

/** The outcomes of jobs that a lost worker did not report: jobs that ran, or had run without a report, get theirs; the others go back untouched. */
export function lostJobs(chunk: InFlightChunk, loss: Loss, clock: Clock): Settlement[] {
	const accused = (isBroken(chunk, loss) ? undefined : chunk.running()) ?? unreportedOf(chunk, loss);
	const settlements: Settlement[] = [];
	for (let index = chunk.reported; index < chunk.size; index++) {
		if (chunk.takenBack.has(index)) continue;
		const outcome = accused?.indexes.includes(index) ? lostOutcome(chunk, index, accused, loss, clock) : spareOutcome(chunk, index, loss, clock);
		settlements.push(chunk.settlement(index, outcome));
	}
	return settlements;
}

/** A job that was told to stop, and ended before its worker did, counts as stopped though it was not reported. Others go back. */
function spareOutcome(chunk: InFlightChunk, index: number, loss: Loss, clock: Clock): Outcome {
	const last = chunk.chunkState.lastStarted();
	if (!last || index >= last.index + last.count || chunk.chunkState.stopReason(index) === undefined) return {type: 'released'};
	const together = Array.from({length: last.count}, (_, offset) => last.index + offset);
	return lostOutcome(chunk, index, {indexes: together.includes(index) ? together : [index], since: last.since}, loss, clock);
}

/** A task broke what the worker's own code needs. Which task that was does not follow from which one ran when it showed. */
function isBroken({nonsense}: InFlightChunk, {ending}: Loss): boolean {
	return ending.exitCode === BROKEN || nonsense !== undefined;
}

/**
 * Jobs that started and were not reported: where none of them runs, one of them took the worker along, broke or silenced it.
 * A worker that broke before it ran any job would break with the next chunk, too: then all jobs of the chunk are accused.
 */
function unreportedOf(chunk: InFlightChunk, loss: Loss): AccusedJobs | undefined {
	const {chunkState, reported, takenBack, givenAt, size} = chunk;
	if (loss.wasEnded && !loss.wasSilent && !isBroken(chunk, loss)) return undefined;
	const last = chunkState.lastStarted() ?? (isBroken(chunk, loss) && loss.isUnproven ? {index: 0, count: size, since: givenAt} : undefined);
	if (!last) return undefined;
	const started = Array.from({length: Math.max(0, last.index + last.count - reported)}, (_, offset) => reported + offset);
	return {indexes: started.filter(index => !takenBack.has(index)), since: last.since, haveEnded: true};
}

function lostOutcome(chunk: InFlightChunk, index: number, accused: AccusedJobs, loss: Loss, clock: Clock): Outcome {
	const {ending, wasEnded} = loss;
	const durationMs = Math.max(0, clock.steadyMs() - accused.since);
	const timing = {startedAt: Math.round(clock.now() - durationMs), durationMs};
	const reason = (chunk.deadlines.has(index) ? chunk.chunkState.stopReason(index) : undefined) ?? (wasEnded && !accused.haveEnded ? 'interrupted' : undefined);
	// A cancellation says whose job ended; a timeout or a crash of several jobs does not.
	const suspicion = suspicionOf(chunk, accused, loss);
	if (suspicion > 0 && (reason === undefined || reason === 'timedOut')) return {type: 'released', suspicion, ...timing};
	if (reason) return {...stoppedEnding(chunk, index, reason, timing), ...timing};
	const {exitCode, signal, error, stderr, isOutOfMemory, limitBytes} = ending;
	return {
		type: 'lostWorker',
		error: {
			reason: 'lostWorker',
			name: 'LostWorker',
			message: whyLost(chunk, loss, accused),
			...(exitCode !== null && {exitCode}),
			...(signal !== undefined && {signal}),
			...(stderr && {stderr}),
			causes: error === undefined ? [] : [toFailure(error)],
			postMortem: {...postMortemOf(chunk, index, timing, true), ...(isOutOfMemory && limitBytes !== undefined && {heap: {limitBytes}})},
		},
		...timing,
	};
}

function whyLost({nonsense, worker: {kind}}: InFlightChunk, {ending}: Loss, {haveEnded}: AccusedJobs): string {
	if (nonsense !== undefined)
		return `The worker ${kind} was ended before it told how this job ended, since ${nonsense}. A task may have changed what Faena needs of its worker.`;
	const how = kind === 'caller' ? 'did not go on' : howItEnded(ending);
	return `The worker ${kind} ${how} ${haveEnded ? 'before it could tell how this job ended' : 'while it ran this job'}.`;
}

/** How suspect each of the accused is; 0 where it is known whose fault it was. */
function suspicionOf(chunk: InFlightChunk, {indexes, haveEnded}: AccusedJobs, loss: Loss): number {
	const isAlone = chunk.group.quarantine !== undefined && chunk.size === 1;
	// A worker that broke may have been broken long before.
	if (indexes.length === 1 && (isAlone || !isBroken(chunk, loss))) return 0;
	// Jobs that ran at the same time would do so again in a smaller chunk; of those that ran one after the other each half is tried.
	return haveEnded ? suspicionAmong(indexes.length) : MAX_SUSPICION;
}

export function howItEnded({isOutOfMemory, signal, exitCode, error}: WorkerEnd): string {
	if (isOutOfMemory) return 'ran out of memory';
	if (exitCode === null && signal === undefined) return `could not be started (${toFailure(error).message})`;
	return signal ? `was ended by ${signal}` : `ended with exit code ${exitCode}`;
}
