import type {Running, StopReason} from '../board.ts';
import type {Clock} from '../clock.ts';
import type {Encoded} from '../encoding.ts';
import {type FailureRecord, type PostMortem, toFailure} from '../failure.ts';
import type {Progress} from '../job.ts';
import type {Lane} from '../pool.ts';
import type {ChunkMessage, OutcomesMessage} from '../protocol.ts';
import type {DequeuedJob, Note, Outcome, Settlement} from '../queue.ts';
import type {Ending, Examination, PoolBoard, PoolWorker} from './worker-source.ts';

/** A chunk in a worker. */
export interface Flight extends Lane {
	readonly number: number;
	readonly lease: number;
	readonly jobs: readonly DequeuedJob[];
	readonly board: PoolBoard;
	readonly givenAt: number;
	/** Jobs before this index have been reported. */
	reported: number;
	/** Of those, the ones that are not final. */
	held: Settlement[];
	/** Indexes of jobs that were taken back. */
	readonly taken: Set<number>;
	/** When the grace of those that were told to stop is over, by index. */
	readonly deadlines: Map<number, number>;
	/** Whose start was passed on last. */
	shown: number;
	/** Which job's progress was passed on last, and which of it. */
	noted: {readonly index: number; readonly version: number};
	/** What was said last, and by which job. */
	said: {readonly index: number; readonly progress: Progress} | undefined;
	/** Of the worker, when the running job had to be stopped hard. */
	examination: Examination | undefined;
}

export function toMessage({number, task, board, jobs}: Flight): ChunkMessage {
	const attempts = new Map<number, number>();
	const keys = new Map<number, string>();
	const checkpoints = new Map<number, Encoded>();
	jobs.forEach((job, index) => {
		if (job.attempts > 0) attempts.set(index, job.attempts);
		if (job.key !== undefined) keys.set(index, job.key);
		if (job.checkpoint !== undefined) checkpoints.set(index, job.checkpoint);
	});
	const first = jobs[0]?.policy.maxAttempts ?? 1;
	return {
		type: 'chunk',
		chunk: number,
		task,
		board: board.address,
		ids: jobs.map(job => job.id),
		executions: jobs.map(job => job.execution),
		payloads: jobs.map(job => job.payload),
		attempts,
		keys,
		checkpoints,
		maxAttempts: jobs.every(job => job.policy.maxAttempts === first) ? first : jobs.map(job => job.policy.maxAttempts),
	};
}

export function settlementOf({jobs, lease}: Flight, index: number, outcome: Outcome): Settlement {
	const {id, execution} = jobs[index] as DequeuedJob;
	return {id, lease, execution, outcome};
}

/** The settlements of the jobs that a message reports, without those that were taken back. */
export function reportedBy(flight: Flight, message: OutcomesMessage): Settlement[] {
	const totalMs = message.times.reduce((sum, time, index) => (index % 2 === 1 ? sum + time : sum), 0);
	return message.values
		.map((_, offset) => message.first + offset)
		.filter(index => !flight.taken.has(index))
		.map(index => settlementOf(flight, index, toOutcome(flight, index, message, totalMs)));
}

function toOutcome(flight: Flight, index: number, message: OutcomesMessage, totalMs: number): Outcome {
	const {first, values, failures, stops, suspects, enqueues} = message;
	const timing = timingOf(message, index, flight.jobs[index] as DequeuedJob, totalMs);
	const failure = failures?.get(index);
	if (suspects?.has(index)) return {type: 'released', isSuspect: true, ...timing};
	const reason = stops?.get(index);
	if (reason) return stoppedOutcome(flight, index, reason, timing, failure);
	if (failure) return {type: 'threw', error: failure, ...timing};
	const enqueue = enqueues?.get(index);
	return {type: 'returned', value: values[index - first] ?? null, ...(enqueue && {enqueue}), ...timing};
}

/** The settlement, unless a rejection came to light that fails the job after all. */
export function withFailure({jobs}: Flight, settlement: Settlement, failures: ReadonlyMap<number, FailureRecord>): Settlement {
	const {id, outcome} = settlement;
	const error = failures.get(jobs.findIndex(job => job.id === id));
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

function timingOf({first, times, cpuMs, memoryBytes}: OutcomesMessage, index: number, {createdAt, execution}: DequeuedJob, totalMs: number): Timing {
	const offset = 2 * (index - first);
	const startedAt = Math.round(times[offset] as number);
	const durationMs = times[offset + 1] as number;
	return {
		startedAt,
		durationMs,
		...(execution === 1 && {waitMs: Math.max(0, startedAt - createdAt)}),
		...(cpuMs !== undefined && {cpuMs: totalMs > 0 ? (cpuMs * durationMs) / totalMs : 0}),
		...(memoryBytes !== undefined && {memoryBytes}),
	};
}

/** What becomes of a job that was told to stop, whether it did by itself or with its worker. */
function stoppedOutcome(flight: Flight, index: number, reason: StopReason, timing: Timing, failure?: FailureRecord): Outcome {
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
	const {timeoutMs} = (flight.jobs[index] as DequeuedJob).policy;
	return {
		type: 'timedOut',
		error: {reason: 'timedOut', name: 'TimedOut', message: `Stopped ${after}: the timeout is ${(timeoutMs ?? 0) / 1000} s.`, ...detail, postMortem},
		...timing,
	};
}

/**
 * What becomes of the chunk's jobs when its worker is gone: the one that ran gets its outcome, the others go back untouched.
 * @param isClosing the pool ended the worker, through no fault of the job
 */
export function lostSettlements(flight: Flight, worker: PoolWorker, ending: Ending, isClosing: boolean, clock: Clock): Settlement[] {
	flight.board.refresh();
	const settlements = flight.held;
	for (let index = flight.reported; index < flight.jobs.length; index++) {
		if (!flight.taken.has(index)) settlements.push(settlementOf(flight, index, lostOutcome(flight, index, worker, ending, isClosing, clock)));
	}
	return settlements;
}

function lostOutcome(flight: Flight, index: number, worker: PoolWorker, ending: Ending, isClosing: boolean, clock: Clock): Outcome {
	const {board} = flight;
	const running = board.running();
	if (!running || index < running.index || index >= running.index + running.count) return {type: 'released'};
	const durationMs = clock.steadyMs() - running.since;
	const timing = {startedAt: Math.round(clock.now() - durationMs), durationMs};
	const reason = board.stopReason(index) ?? (isClosing ? 'interrupted' : undefined);
	if (running.count > 1 && reason !== 'interrupted') return {type: 'released', isSuspect: true, ...timing};
	if (reason) return stoppedOutcome(flight, index, reason, timing);
	const {exitCode, signal, error, stderr, isOutOfMemory, limitBytes} = ending;
	return {
		type: 'lostWorker',
		error: {
			reason: 'lostWorker',
			name: 'LostWorker',
			message: `The worker ${worker.kind} ${howItEnded(ending)} while it ran this job.`,
			...(exitCode !== null && {exitCode}),
			...(signal !== undefined && {signal}),
			...(stderr && {stderr}),
			causes: error === undefined ? [] : [toFailure(error)],
			postMortem: {...postMortemOf(flight, index, timing, true), ...(isOutOfMemory && limitBytes !== undefined && {heap: {limitBytes}})},
		},
		...timing,
	};
}

function postMortemOf({jobs, said, examination}: Flight, index: number, {startedAt, durationMs}: Timing, isCharged: boolean): PostMortem {
	const {execution, attempts} = jobs[index] as DequeuedJob;
	return {
		execution,
		attempt: attempts + (isCharged ? 1 : 0),
		startedAt,
		durationMs,
		...(said?.index === index && {progress: said.progress}),
		...examination,
	};
}

export function howItEnded({isOutOfMemory, signal, exitCode}: Ending): string {
	if (isOutOfMemory) return 'ran out of memory';
	return signal ? `was ended by ${signal}` : `ended with exit code ${exitCode}`;
}

/** That the running job runs, once it has run for long. */
export function newStart(flight: Flight, {index, since}: Running, clock: Clock): Note | undefined {
	if (flight.shown === index) return undefined;
	flight.shown = index;
	const {id, execution} = flight.jobs[index] as DequeuedJob;
	return {id, lease: flight.lease, execution, startedAt: Math.round(clock.now() - (clock.steadyMs() - since))};
}

/** The progress that the running job said since the last time this was asked. */
export function newProgress(flight: Flight, index: number): Note | undefined {
	const progress = flight.board.progress();
	if (!progress || flight.board.running()?.index !== index) return undefined;
	const {version, ...said} = progress;
	if (flight.noted.index === index && flight.noted.version === version) return undefined;
	flight.noted = {index, version};
	flight.said = {index, progress: said};
	const {id, execution} = flight.jobs[index] as DequeuedJob;
	return {id, lease: flight.lease, execution, progress: said};
}
