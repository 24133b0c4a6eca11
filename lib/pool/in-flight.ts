import type {Encoded} from '../job/encoding.ts';
import {type FailureRecord, type PostMortem, toFailure} from '../job/failure.ts';
import type {StopReason} from '../job/job.ts';
import {MAX_SUSPICION, type Progress, suspicionAmong} from '../job/job.ts';
import type {JobList, KnownJob} from '../job/job-list.ts';
import type {Note, Outcome, Settlement} from '../job/outcome.ts';
import {isList, pack, unpack} from '../job/packed-strings.ts';
import {type JobTimes, PackedTimes} from '../job/packed-times.ts';
import type {ReturnedRun, Settling} from '../job/runs.ts';
import type {Clock} from '../support/clock.ts';
import {BROKEN, type ChunkMessage, type OutcomesMessage} from '../worker/messages.ts';
import type {Lane} from './pool.ts';
import {isProgress} from './shapes.ts';
import type {Ending, Examination, PoolChunkState, PoolWorker} from './worker-source.ts';

/** A chunk in a worker. */
export interface InFlightChunk extends Lane {
	readonly number: number;
	readonly lease: number;
	/** Those that are taken back before it is sent leave it. */
	jobs: JobList;
	/** {@link UNSENT} until its worker has loaded. */
	chunkState: PoolChunkState;
	readonly givenAt: number;
	/** Jobs before this index have been reported. */
	reported: number;
	/** Of those, the ones before this index are final, and their outcomes were passed on; */
	told: number;
	/** the others wait for that. */
	held: Settling[];
	/** Indexes of jobs that were taken back. */
	readonly taken: Set<number>;
	/** When the grace of those that were told to stop is over, by index. */
	readonly deadlines: Map<number, number>;
	/** Whose start was passed on last; of a micro-batch, that of its first job. */
	shown: number;
	/** Which job's progress was passed on last, and which of it. */
	noted: {readonly index: number; readonly version: number};
	/** The progress that was said last, by index. */
	readonly said: Map<number, Progress>;
	/** Of the worker, when the running job had to be stopped hard. */
	examination: Examination | undefined;
	/** What the worker said of it that can't be true, which is why it was ended. */
	nonsense: string | undefined;
}

export function toMessage({number, lease, task, chunkState, jobs}: InFlightChunk): ChunkMessage {
	const {run} = jobs;
	const head = {type: 'chunk', chunk: number, lease, task, chunkState: chunkState.address, jobs: jobs.length} as const;
	if (!run) return {...head, ...columnsOf(jobs)};
	const {first, payloads, policy} = run;
	return {...head, ids: first, executions: 1, payloads, attempts: NONE, keys: NONE, checkpoints: NONE, maxAttempts: policy.maxAttempts};
}

const NONE = new Map<number, never>();

function columnsOf({all: jobs}: JobList): Omit<ChunkMessage, 'type' | 'chunk' | 'lease' | 'task' | 'chunkState' | 'jobs'> {
	const attempts = new Map<number, number>();
	const keys = new Map<number, string>();
	const checkpoints = new Map<number, Encoded>();
	jobs.forEach((job, index) => {
		if (job.attempts > 0) attempts.set(index, job.attempts);
		if (job.key !== undefined) keys.set(index, job.key);
		if (job.checkpoint !== undefined) checkpoints.set(index, job.checkpoint);
	});
	const first = jobs[0]?.id ?? 0;
	return {
		ids: jobs.every(({id}, index) => id === first + index) ? first : jobs.map(({id}) => id),
		executions: column(jobs.map(({execution}) => execution)),
		payloads: pack(jobs.map(({payload}) => payload)),
		attempts,
		keys,
		checkpoints,
		maxAttempts: column(jobs.map(({policy}) => policy.maxAttempts)),
	};
}

function column(numbers: readonly number[]): number | readonly number[] {
	const [first = 0] = numbers;
	return numbers.every(each => each === first) ? first : numbers;
}

/** The jobs that run, one or those of a micro-batch, and since when on the pool's steady clock. */
export interface RunningJobs {
	readonly indexes: readonly number[];
	readonly since: number;
}

/** A chunk's state may say so for a while after that job was reported. */
export function runningOf({chunkState, taken, reported}: InFlightChunk): RunningJobs | undefined {
	const running = chunkState.running();
	if (!running || running.index + running.count <= reported) return undefined;
	const {index: first, count, since} = running;
	return {indexes: Array.from({length: count}, (_, offset) => first + offset).filter(index => !taken.has(index)), since};
}

export function settlementOf({jobs, lease}: InFlightChunk, index: number, outcome: Outcome): Settlement {
	const {id, execution} = jobs.at(index) as KnownJob;
	return {id, lease, execution, outcome};
}

/** What a message says of the jobs it reports, without those that were taken back. */
export function reportedBy(flight: InFlightChunk, message: OutcomesMessage): Settling[] {
	const run = returnedRun(flight, message);
	if (run) return [run];
	const times = new PackedTimes(message.times);
	return unpack(message.values).flatMap((value, offset) => {
		const index = message.first + offset;
		return flight.taken.has(index) ? [] : settlementOf(flight, index, toOutcome(flight, index, message, value, times.at(offset)));
	});
}

/** All of them, if they are a run. */
function returnedRun(flight: InFlightChunk, message: OutcomesMessage): ReturnedRun | undefined {
	const {first, values, times, failures, stops, suspects, skipped, enqueues} = message;
	if (isList(values) || failures || stops || suspects || skipped || enqueues || flight.taken.size > 0) return undefined;
	const head = flight.jobs.alike(first, values.count);
	if (!head) return undefined;
	return {first: head.id, lease: flight.lease, createdAt: head.createdAt, values, times};
}

function toOutcome(flight: InFlightChunk, index: number, message: OutcomesMessage, value: Encoded, times: JobTimes): Outcome {
	const {failures, stops, suspects, enqueues} = message;
	const timing = timingOf(times, flight.jobs.at(index) as KnownJob);
	const failure = failures?.get(index);
	if (suspects?.has(index)) return {type: 'released', suspicion: MAX_SUSPICION, ...timing};
	const reason = stops?.get(index);
	if (reason) return stoppedOutcome(flight, index, reason, timing, failure);
	if (failure) return {type: 'threw', error: failure, ...timing};
	const enqueue = enqueues?.get(index);
	return {type: 'returned', value, ...(enqueue && {enqueue}), ...timing};
}

/** The settlement, unless a rejection came to light that fails the job after all. */
export function withFailure({jobs}: InFlightChunk, settlement: Settlement, failures: ReadonlyMap<number, FailureRecord>): Settlement {
	const {id, outcome} = settlement;
	const error = failures.get(jobs.indexOf(id));
	if (!error || outcome.type !== 'returned') return settlement;
	const {type: _, value: __, enqueue: ___, ...timing} = outcome;
	return {...settlement, outcome: {type: 'threw', error, ...timing}};
}

interface Timing {
	readonly startedAt: number;
	readonly durationMs: number;
	readonly waitMs?: number;
	readonly cpuMs?: number;
	readonly memoryBytes?: number;
}

function timingOf({startedAt, durationMs, cpuMs, memoryBytes}: JobTimes, {createdAt, execution}: KnownJob): Timing {
	return {
		startedAt,
		durationMs,
		...(execution === 1 && {waitMs: Math.max(0, startedAt - createdAt)}),
		...(!Number.isNaN(cpuMs) && {cpuMs}),
		...(!Number.isNaN(memoryBytes) && {memoryBytes}),
	};
}

/** What becomes of a job that was told to stop, whether it did by itself or with its worker. */
function stoppedOutcome(flight: InFlightChunk, index: number, reason: StopReason, timing: Timing, failure?: FailureRecord): Outcome {
	const postMortem = postMortemOf(flight, index, timing, reason !== 'cancelled');
	const after = `after ${(timing.durationMs / 1000).toFixed(3)} s`;
	const detail = failure?.reason === 'threw' ? {causes: [failure]} : {};
	if (reason === 'interrupted') return {type: 'released', ...timing};
	if (reason === 'cancelled')
		return {
			type: 'cancelled',
			error: {reason: 'cancelled', name: 'Cancelled', message: `Cancelled while running, ${after}.`, ...detail, postMortem},
			...timing,
		};
	const {timeoutMs} = (flight.jobs.at(index) as KnownJob).policy;
	return {
		type: 'timedOut',
		error: {reason: 'timedOut', name: 'TimedOut', message: `Stopped ${after}: the timeout is ${(timeoutMs ?? 0) / 1000} s.`, ...detail, postMortem},
		...timing,
	};
}

export interface Loss {
	readonly worker: PoolWorker;
	readonly ending: Ending;
	/** The pool ended the worker: a job that it did not stop had no part in that; */
	readonly wasEnded: boolean;
	/** but one that ended without a word had, if that was since nothing was heard of the worker. */
	readonly wasSilent: boolean;
	/** It never said how a job ended. */
	readonly isUnproven: boolean;
}

/**
 * What becomes of the chunk's jobs when its worker is gone: what ran gets its outcome, or what had run without a word of it;
 * the others go back untouched.
 */
export function lostSettlements(flight: InFlightChunk, loss: Loss, clock: Clock): Settling[] {
	const accused = (isBroken(flight, loss) ? undefined : runningOf(flight)) ?? unreportedOf(flight, loss);
	const settlements = flight.held;
	for (let index = flight.reported; index < flight.jobs.length; index++) {
		if (flight.taken.has(index)) continue;
		const outcome = accused?.indexes.includes(index) ? lostOutcome(flight, index, accused, loss, clock) : untoldOutcome(flight, index, loss, clock);
		settlements.push(settlementOf(flight, index, outcome));
	}
	return settlements;
}

/** A job that was told to stop, and ended before its worker did, is stopped though its worker can't report it any more. Others go back. */
function untoldOutcome(flight: InFlightChunk, index: number, loss: Loss, clock: Clock): Outcome {
	const last = flight.chunkState.lastStarted();
	if (!last || index >= last.index + last.count || flight.chunkState.stopReason(index) === undefined) return {type: 'released'};
	const together = Array.from({length: last.count}, (_, offset) => last.index + offset);
	return lostOutcome(flight, index, {indexes: together.includes(index) ? together : [index], since: last.since}, loss, clock);
}

/** A task broke what the worker's own code needs: which one it was does not follow from which one ran when that showed. */
function isBroken({nonsense}: InFlightChunk, {ending}: Loss): boolean {
	return ending.exitCode === BROKEN || nonsense !== undefined;
}

/**
 * Jobs that started and whose end was not reported: where it is not the one that runs, one of them took the worker along, broke or silenced it.
 * A worker that broke without ever running one would break with the next that it gets: then all of the chunk are accused.
 */
function unreportedOf(flight: InFlightChunk, loss: Loss): AccusedJobs | undefined {
	const {chunkState, reported, taken, givenAt, jobs} = flight;
	const {wasEnded, wasSilent, isUnproven} = loss;
	if (wasEnded && !wasSilent && !isBroken(flight, loss)) return undefined;
	const last = chunkState.lastStarted() ?? (isBroken(flight, loss) && isUnproven ? {index: 0, count: jobs.length, since: givenAt} : undefined);
	if (!last) return undefined;
	const started = Array.from({length: Math.max(0, last.index + last.count - reported)}, (_, offset) => reported + offset);
	return {indexes: started.filter(index => !taken.has(index)), since: last.since, haveEnded: true};
}

interface AccusedJobs extends RunningJobs {
	readonly haveEnded?: true;
}

function lostOutcome(flight: InFlightChunk, index: number, accused: AccusedJobs, loss: Loss, clock: Clock): Outcome {
	const {ending, wasEnded} = loss;
	const durationMs = Math.max(0, clock.steadyMs() - accused.since);
	const timing = {startedAt: Math.round(clock.now() - durationMs), durationMs};
	const reason =
		(flight.deadlines.has(index) ? flight.chunkState.stopReason(index) : undefined) ?? (wasEnded && !accused.haveEnded ? 'interrupted' : undefined);
	// What a cancellation does is no secret; whose fault a timeout or a crash is, may be one.
	const suspicion = suspicionOf(flight, accused, loss);
	if (suspicion > 0 && (reason === undefined || reason === 'timedOut')) return {type: 'released', suspicion, ...timing};
	if (reason) return stoppedOutcome(flight, index, reason, timing);
	const {exitCode, signal, error, stderr, isOutOfMemory, limitBytes} = ending;
	return {
		type: 'lostWorker',
		error: {
			reason: 'lostWorker',
			name: 'LostWorker',
			message: whyLost(flight, loss, accused),
			...(exitCode !== null && {exitCode}),
			...(signal !== undefined && {signal}),
			...(stderr && {stderr}),
			causes: error === undefined ? [] : [toFailure(error)],
			postMortem: {...postMortemOf(flight, index, timing, true), ...(isOutOfMemory && limitBytes !== undefined && {heap: {limitBytes}})},
		},
		...timing,
	};
}

function whyLost({nonsense}: InFlightChunk, {worker: {kind}, ending}: Loss, {haveEnded}: AccusedJobs): string {
	if (nonsense !== undefined)
		return `The worker ${kind} was ended before it told how this job ended, since ${nonsense}. A task may have changed what Faena needs of its worker.`;
	const how = kind === 'caller' ? 'did not go on' : howItEnded(ending);
	return `The worker ${kind} ${how} ${haveEnded ? 'before it could tell how this job ended' : 'while it ran this job'}.`;
}

/** How suspect each of the accused is; 0 where it is known whose fault it was. */
function suspicionOf(flight: InFlightChunk, {indexes, haveEnded}: AccusedJobs, loss: Loss): number {
	const isAlone = flight.solo && flight.jobs.length === 1;
	// What broke may have been broken long before.
	if (indexes.length === 1 && (isAlone || !isBroken(flight, loss))) return 0;
	// Jobs that ran at the same time would do so again in a smaller chunk; of those that ran one after the other each half is tried.
	return haveEnded ? suspicionAmong(indexes.length) : MAX_SUSPICION;
}

function postMortemOf({jobs, said, examination}: InFlightChunk, index: number, {startedAt, durationMs}: Timing, isCharged: boolean): PostMortem {
	const {execution, attempts} = jobs.at(index) as KnownJob;
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

export function howItEnded({isOutOfMemory, signal, exitCode, error}: Ending): string {
	if (isOutOfMemory) return 'ran out of memory';
	if (exitCode === null && signal === undefined) return `could not be started (${toFailure(error).message})`;
	return signal ? `was ended by ${signal}` : `ended with exit code ${exitCode}`;
}

/** That the running jobs run, once they have run for long. */
export function newStarts(flight: InFlightChunk, {indexes, since}: RunningJobs, clock: Clock): Note[] {
	const [first = -1] = indexes;
	if (flight.shown === first) return [];
	flight.shown = first;
	const startedAt = Math.round(clock.now() - (clock.steadyMs() - since));
	return indexes.map(index => noteOf(flight, index, {startedAt}));
}

/** The progress that the running job said since the last time this was asked. */
export function newProgress(flight: InFlightChunk): Note | undefined {
	const index = flight.chunkState.running()?.index;
	const progress = flight.chunkState.progress();
	if (!progress || index === undefined) return undefined;
	const {version, ...said} = progress;
	if (!isProgress(said)) return undefined;
	if (flight.noted.index === index && flight.noted.version === version) return undefined;
	flight.noted = {index, version};
	flight.said.set(index, said);
	return noteOf(flight, index, {progress: said});
}

export function noteOf({jobs, lease}: InFlightChunk, index: number, said: Omit<Note, 'id' | 'lease' | 'execution'>): Note {
	const {id, execution} = jobs.at(index) as KnownJob;
	return {id, lease, execution, ...said};
}
