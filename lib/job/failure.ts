import {defined} from '../support/defined.ts';
import {FaenaError} from '../support/errors.ts';

/** Why an execution failed, as plain data. It is never revived as its original class: a database must not choose which code runs. */
export interface FailureRecord {
	/** What happened. `poison`: it killed its worker too often. `badResult`: its result can't be stored. `unknownTask`: the module has no such task. */
	readonly reason: 'threw' | 'timedOut' | 'lostWorker' | 'poison' | 'cancelled' | 'badResult' | 'unknownTask';
	/** The name of the error's class. */
	readonly name: string;
	/** The error's message. */
	readonly message: string;
	/** The error's stack, if it has one. */
	readonly stack?: string;
	/** The error's `code`, if it has one, such as `ENOENT`. */
	readonly code?: string | number;
	/** The chain of causes, outermost first: at most {@link MAX_CAUSES}, and none of them twice. */
	readonly causes?: readonly Pick<FailureRecord, 'name' | 'message' | 'stack' | 'code'>[];
	/** Exit code of the lost worker. */
	readonly exitCode?: number;
	/** The signal that ended the lost worker. */
	readonly signal?: string;
	/** The end of the lost worker's output to stderr, if the pool saw it. */
	readonly stderr?: string;
	/** Set if the job was stopped, or ended its worker. */
	readonly postMortem?: PostMortem;
}

/** The state of an execution when it was stopped or its worker ended. Times are milliseconds since 1970. */
export interface PostMortem {
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
}

export const MAX_CAUSES = 8;
export const MAX_TEXT = 16 * 1024;

/** Describes any thrown value as a record. It never throws itself: not for a getter that throws, a revoked proxy, a cycle, `null`, an endless text. */
export function toFailure(thrown: unknown, reason: FailureRecord['reason'] = 'threw'): FailureRecord {
	const seen = new Set<unknown>();
	const chain: Described[] = [];
	let each = thrown;
	do {
		seen.add(each);
		chain.push(describe(each));
		each = isObject(each) ? read(each, 'cause') : undefined;
	} while (each !== undefined && each !== null && !seen.has(each) && chain.length <= MAX_CAUSES);
	const [first, ...causes] = chain;
	return {reason, ...(first as Described), ...(causes.length > 0 && {causes})};
}

export function poison(crashes: number, last: FailureRecord): FailureRecord {
	return {...last, reason: 'poison', name: 'Poison', message: `It killed its worker ${crashes} times. The last time: ${last.message}`};
}

/** Makes an `Error` with the record's name, message, stack, code and causes. `JobFailed` has it as its `cause`. */
export function fromFailure(record: FailureRecord): Error {
	const chain = [record, ...(record.causes ?? [])];
	const error = chain.reduceRight<Error | undefined>((cause, each) => toError(each, cause), undefined);
	const {reason, exitCode, signal, stderr, postMortem} = record;
	return Object.assign(error as Error, defined({reason, exitCode, signal, stderr, postMortem}));
}

type Described = Pick<FailureRecord, 'name' | 'message' | 'stack' | 'code'>;

function describe(value: unknown): Described {
	if (!isObject(value)) return {name: 'Thrown', message: cut(typeof value === 'string' ? value : show(value))};
	const [name, message, stack] = ['name', 'message', 'stack'].map(property => text(read(value, property)));
	const code = read(value, 'code');
	// JSON can't hold other numbers.
	const known = typeof code === 'number' && Number.isFinite(code) ? code : text(code);
	return {
		name: name || 'Thrown',
		message: message ?? `a thrown object without a readable message: ${cut(show(value))}`,
		...(stack && {stack: withoutCallers(stack)}),
		...(known !== undefined && {code: known}),
	};
}

/** Folders of Faena's own code, as stack frames name them. */
const OWN_FOLDERS = [new URL('..', import.meta.url).pathname, new URL('../../workers', import.meta.url).pathname];
/** Matches stack frames of the code that calls Faena's. */
const CALLER = /[\\/]node_modules[\\/](?:piscina|tinypool)[\\/]|\(?node:[\w/]+:\d+:\d+\)?$/;

/** The stack without the frames below the task: those of Faena and its callers. All of it if no frame is the task's. */
export function withoutCallers(stack: string): string {
	try {
		const lines = stack.split('\n');
		const isOwn = (line: string) => OWN_FOLDERS.some(folder => line.includes(folder));
		const end = lines.findLastIndex(line => !isOwn(line) && !CALLER.test(line)) + 1;
		return lines.slice(end).some(isOwn) && /^\s+at /.test(lines[end - 1] ?? '') ? lines.slice(0, end).join('\n') : stack;
	} catch {
		// A task may have replaced functions that are used here.
		return stack;
	}
}

function toError({name, message, stack = `${name}: ${message}`, code}: Described, cause: Error | undefined): Error {
	const error = new Error(message, cause && {cause});
	for (const [property, value] of Object.entries({name, stack}))
		Object.defineProperty(error, property, {value, configurable: true, writable: true, enumerable: false});
	return code === undefined ? error : Object.assign(error, {code});
}

function read(object: object, property: string): unknown {
	try {
		return (object as Record<string, unknown>)[property];
	} catch {
		return undefined;
	}
}

function text(value: unknown): string | undefined {
	return typeof value === 'string' ? cut(value) : undefined;
}

function show(value: unknown): string {
	try {
		return isObject(value) ? Object.prototype.toString.call(value) : String(value);
	} catch {
		return typeof value;
	}
}

function cut(value: string): string {
	return value.length <= MAX_TEXT ? value : `${value.slice(0, MAX_TEXT)}… (${value.length - MAX_TEXT} more characters)`;
}

function isObject(value: unknown): value is object {
	return (typeof value === 'object' && value !== null) || typeof value === 'function';
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
