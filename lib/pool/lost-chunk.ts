import type {Outcome, Settlement} from '../job/claim.ts';
import {type FailureRecord, toFailure} from '../job/failure.ts';
import {MAX_SUSPICION, suspicionAmong} from '../job/job.ts';
import {howItEnded} from '../spawner/frames.ts';
import type {Clock} from '../support/clock.ts';
import {BROKEN} from '../worker/messages.ts';
import {type InFlightChunk, located, postMortemOf, stoppedEnding} from './in-flight.ts';
import type {WorkerEnd} from './pool.ts';
import type {RunningJobs} from './running-updates.ts';

/** How a chunk's worker was lost. */
export interface Loss {
	readonly ending: WorkerEnd;
	/** The pool ended the worker. Then a job that it had not asked to stop is not to blame, except as {@link wasSilent} says. */
	readonly wasEnded: boolean;
	/** The pool ended the worker because it was silent. Then a job that ended without a report is to blame. */
	readonly wasSilent: boolean;
	/** It never reported a job. */
	readonly isUnproven: boolean;
}

/** Jobs of which at least one may have ended the worker. */
interface AccusedJobs extends RunningJobs {
	/** They ended before their worker did, and were not reported. */
	readonly haveEnded?: true;
}

/** The outcomes of jobs that a lost worker did not report: jobs that ran, or had run without a report, get theirs; the others go back untouched. */
export function lostJobs(chunk: InFlightChunk, loss: Loss, clock: Clock): Settlement[] {
	const accused = (isBroken(chunk, loss) ? undefined : chunk.running()) ?? unreportedOf(chunk, loss);
	return chunk.indexes(chunk.reported).map(index => {
		const outcome = accused?.indexes.includes(index) ? lostOutcome(chunk, index, accused, loss, clock) : spareOutcome(chunk, index, loss, clock);
		return chunk.settlement(index, outcome);
	});
}

/** A job that was asked to stop, and ended before its worker did, counts as stopped though it was not reported. Others go back. */
function spareOutcome(chunk: InFlightChunk, index: number, loss: Loss, clock: Clock): Outcome {
	const last = chunk.chunkState.lastStarted();
	if (!last || index >= last.index + last.count || chunk.chunkState.stopReason(index) === undefined) return {type: 'released'};
	const indexes = index < last.index ? [index] : chunk.indexes(last.index, last.index + last.count);
	return lostOutcome(chunk, index, {indexes, since: last.since}, loss, clock);
}

/** A task broke functions that the worker's own code needs. It need not be the task that ran when this showed. */
function isBroken({nonsense}: InFlightChunk, {ending}: Loss): boolean {
	return ending.exitCode === BROKEN || nonsense !== undefined;
}

/**
 * Jobs that started and were not reported. If none of them runs, one of them ended, broke or blocked the worker.
 * A worker that broke before it ran any job would break with the next chunk, too: then all jobs of the chunk are accused.
 */
function unreportedOf(chunk: InFlightChunk, loss: Loss): AccusedJobs | undefined {
	const {chunkState, reported, givenAt, size} = chunk;
	if (loss.wasEnded && !loss.wasSilent && !isBroken(chunk, loss)) return undefined;
	const last = chunkState.lastStarted() ?? (isBroken(chunk, loss) && loss.isUnproven ? {index: 0, count: size, since: givenAt} : undefined);
	return last && {indexes: chunk.indexes(reported, last.index + last.count), since: last.since, haveEnded: true};
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
	const failure: FailureRecord = {
		reason: 'lostWorker',
		name: 'LostWorker',
		message: whyLost(chunk, loss, accused),
		...(exitCode !== null && {exitCode}),
		...(signal !== undefined && {signal}),
		...(stderr && {stderr}),
		causes: error === undefined ? [] : [toFailure(error)],
		postMortem: {...postMortemOf(chunk, index, timing, true), ...(isOutOfMemory && limitBytes !== undefined && {heap: {limitBytes}})},
	};
	return {type: 'lostWorker', error: located(chunk, index, failure, timing), ...timing};
}

function whyLost({nonsense, worker: {kind}}: InFlightChunk, {ending}: Loss, {haveEnded}: AccusedJobs): string {
	if (nonsense !== undefined)
		return `The worker ${kind} was ended before it reported how this job ended, since ${nonsense}. A task may have changed what Faena needs of its worker.`;
	const how = kind === 'caller' ? 'did not go on' : howWorkerEnded(ending);
	return `The worker ${kind} ${how} ${haveEnded ? 'before it could tell how this job ended' : 'while it ran this job'}.`;
}

/** The level of suspicion of each accused job; 0 if the pool knows which one is at fault. */
function suspicionOf(chunk: InFlightChunk, {indexes, haveEnded}: AccusedJobs, loss: Loss): number {
	const isAlone = chunk.group.quarantine !== undefined && chunk.size === 1;
	// A worker that broke may have been broken long before.
	if (indexes.length === 1 && (isAlone || !isBroken(chunk, loss))) return 0;
	// Jobs that ran at the same time would do so again in a smaller chunk; of those that ran one after the other each half is tried.
	return haveEnded ? suspicionAmong(indexes.length) : MAX_SUSPICION;
}

export function howWorkerEnded({isOutOfMemory, signal, exitCode, error}: WorkerEnd): string {
	if (isOutOfMemory) return 'ran out of memory';
	if (exitCode === null && signal === undefined) return `could not be started (${toFailure(error).message})`;
	return howItEnded(exitCode, signal);
}
