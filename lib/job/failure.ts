import {defined} from '../support/defined.ts';
import {FaenaError} from '../support/errors.ts';
import {defineAll, describeError, type ErrorRecord, isObject, MAX_CAUSES, read, toError} from './error-record.ts';
import {DECISION, toDecision} from './task/task-errors.ts';

/** Why an execution failed, as plain data. */
export interface FailureRecord extends ErrorRecord {
	/** What happened. `expired`: it did not start in time. `parent`: a job for which it waited is dead, cancelled or deleted. `poison`: it killed its worker too often. `badPayload`: the task's schema refuses its payload. `badResult`: its result can't be stored, or the schema refuses it. `unknownTask`: the module has no such task. */
	readonly reason: 'threw' | 'timedOut' | 'lostWorker' | 'poison' | 'cancelled' | 'expired' | 'parent' | 'badPayload' | 'badResult' | 'unknownTask';
	/** The chain of causes, outermost first: at most 8, and none of them twice. */
	readonly causes?: readonly ErrorRecord[];
	/** The number of the attempt, from 1: charged ones, this one included. */
	readonly attempt?: number;
	/** When it happened, in milliseconds since 1970. */
	readonly failedAt?: number;
	/** Where: the worker that ran the job, such as `thread 3 of process 4211 on web-1`. */
	readonly worker?: string;
	/** What the task decided about the next attempt, if it did. */
	readonly retry?: 'never' | {readonly afterMs: number};
	/** Exit code of the lost worker. */
	readonly exitCode?: number;
	/** The signal that ended the lost worker. */
	readonly signal?: string;
	/** The end of the lost worker's output to stderr, if the pool saw it. */
	readonly stderr?: string;
	/** The state of the execution when it was stopped, or its worker ended. Times are milliseconds since 1970. */
	readonly postMortem?: {
		/** The number of the execution. */
		readonly execution: number;
		/** Attempts charged, this one included. A cancellation charges none. */
		readonly attempt: number;
		/** When it started. */
		readonly startedAt: number;
		/** How long it had run. */
		readonly durationMs: number;
		/** Its last `ctx.progress()`. */
		readonly progress?: {readonly done: number; readonly total?: number; readonly at: number};
		/** V8's heap in its worker. */
		readonly heap?: {readonly usedBytes?: number; readonly limitBytes: number};
		/** The task's stack when the pool ended its worker, as lines. Absent if the worker ended by itself. */
		readonly stack?: string;
		/** If the pool ended the worker and could not read the stack: why. */
		readonly noStack?: string;
	};
}

/** The state of an execution when it was stopped or its worker ended. */
export type PostMortem = NonNullable<FailureRecord['postMortem']>;

/** The failure, with what is known of the execution that failed. */
export function withExecution<Failure extends FailureRecord>(
	error: Failure,
	{attempt, at, worker}: {readonly attempt?: number; readonly at: number; readonly worker: string | undefined},
): Failure {
	return {...error, ...defined({attempt, failedAt: Math.round(at), worker})};
}

/** Describes any thrown value as a record. It never throws itself: not for a getter that throws, a revoked proxy, a cycle, `null`, an endless text. */
export function toFailure(thrown: unknown, reason: FailureRecord['reason'] = 'threw'): FailureRecord {
	const seen = new Set<unknown>();
	const chain: ErrorRecord[] = [];
	let each = thrown;
	do {
		seen.add(each);
		chain.push(describeError(each));
		each = isObject(each) ? read(each, 'cause') : undefined;
	} while (each !== undefined && each !== null && !seen.has(each) && chain.length <= MAX_CAUSES);
	const [first, ...causes] = chain;
	const retry = isObject(thrown) ? toDecision(read(thrown, DECISION)) : undefined;
	return {reason, ...(first as ErrorRecord), ...(causes.length > 0 && {causes}), ...(retry && {retry})};
}

export function poison(crashes: number, {builtIn: _, ...last}: FailureRecord): FailureRecord {
	return {...last, reason: 'poison', name: 'Poison', message: `It killed its worker ${crashes} times. The last time: ${last.message}`};
}

/** Why a job was cancelled that had not started this long after it became due. */
export function expiry(seconds: number | string): FailureRecord {
	return {reason: 'expired', name: 'Expired', message: `It had not started ${seconds} s after it became due.`};
}

/** Why a job was cancelled that waited for this one. */
export function parentFailure(parent: number | string, status: 'dead' | 'cancelled' | 'deleted'): FailureRecord {
	return {reason: 'parent', name: 'ParentFailed', message: `It waited for job ${parent}, which ${status === 'dead' ? 'is' : 'was'} ${status}.`};
}

/**
 * Why a job failed, or was cancelled. It is an error of the built-in class of what the task threw (or of `Error`), with its name, message, stack,
 * properties and `cause`; a property of the task's own comes before one of these. As JSON it is a plain object with the same fields.
 * @example const why = ({reason, message}: JobError) => `${reason}: ${message}`;
 */
export interface JobError extends Error, Omit<FailureRecord, 'name' | 'message' | 'stack' | 'builtIn' | 'fields' | 'errors' | 'causes'> {
	/** The error that caused it, if it names one. */
	readonly cause?: Error;
	/** What `JSON.stringify()` prints. */
	toJSON(): FailureRecord;
}

/** Makes an error with all that the record holds. `JobFailed` has it as its `cause`. */
export function fromFailure(record: FailureRecord): JobError {
	const chain = [record, ...(record.causes ?? [])];
	const error = chain.reduceRight<Error | undefined>((cause, each) => toError(each, cause), undefined) as JobError;
	const {reason, attempt, failedAt, worker, retry, exitCode, signal, stderr, postMortem} = record;
	// Fields of the task's own stay.
	defineAll(error, {...defined({attempt, failedAt, worker}), ...record.fields, ...defined({reason, retry, exitCode, signal, stderr, postMortem})}, true);
	defineAll(error, {toJSON: () => record}, false);
	return error;
}

/** A {@link FaenaError} in the form in which it travels to another thread without a loss. */
export type ErrorEnvelope = Pick<FaenaError, 'code' | 'message' | 'cause'>;

/** Packs any error for another thread. An error that is not a {@link FaenaError} becomes the cause of a `DispatcherFailed`. */
export function toEnvelope(error: unknown): ErrorEnvelope {
	if (error instanceof FaenaError) return {code: error.code, message: error.message, cause: carriable(error.cause)};
	const cause = error instanceof Error ? error : new Error(String(error));
	return {code: 'DispatcherFailed', message: `Faena's dispatcher failed: ${cause.message}`, cause: carriable(cause)};
}

/** The cause, or a description of it if structured clone can't copy it: it may be an error of the user's. */
function carriable(cause: unknown): unknown {
	try {
		return structuredClone(cause);
	} catch {
		return fromFailure(toFailure(cause));
	}
}

export function fromEnvelope({code, message, cause}: ErrorEnvelope): FaenaError {
	return new FaenaError(code, message, cause === undefined ? undefined : {cause});
}
