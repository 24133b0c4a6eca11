import {defined} from '../support/defined.ts';
import {FaenaError} from '../support/errors.ts';
import {withoutCallers} from '../support/stack.ts';
import {decode, type Encoded, encode, sizeBytes} from './encoding.ts';
import {DECISION, type RetryDecision, toDecision} from './task-errors.ts';

/** An error, as plain data. */
export interface ErrorRecord {
	/** The error's `name`, or the name of its class if that gives it none. */
	readonly name: string;
	/** The error's message. */
	readonly message: string;
	/** The error's stack, if it has one. */
	readonly stack?: string;
	/** The error's `code`, if it has one, such as `ENOENT`. */
	readonly code?: string | number;
	/** The built-in class that the error is an instance of, if that is not `Error` itself. */
	readonly builtIn?: BuiltIn;
	/** Other enumerable properties of the error's own, as far as they can be stored: encoded at most 16 KiB. */
	readonly fields?: Readonly<Record<string, unknown>>;
	/** The errors of an `AggregateError`, at most {@link MAX_CAUSES}, without their causes. */
	readonly errors?: readonly ErrorRecord[];
}

/** Why an execution failed, as plain data. */
export interface FailureRecord extends ErrorRecord {
	/** What happened. `poison`: it killed its worker too often. `badResult`: its result can't be stored. `unknownTask`: the module has no such task. */
	readonly reason: 'threw' | 'timedOut' | 'lostWorker' | 'poison' | 'cancelled' | 'badResult' | 'unknownTask';
	/** The chain of causes, outermost first: at most {@link MAX_CAUSES}, and none of them twice. */
	readonly causes?: readonly ErrorRecord[];
	/** What the task decided about the next attempt, if it did. */
	readonly retry?: RetryDecision;
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
/** The most bytes that the fields of one error may take, encoded. */
export const MAX_FIELDS_BYTES = 16 * 1024;

/**
 * The classes as which an error comes back. Only these: a database must not choose which code runs. They are taken when the module loads, since
 * a task may replace them.
 */
const BUILT_IN = {EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError, AggregateError, DOMException};
export type BuiltIn = keyof typeof BUILT_IN;
export const BUILT_INS = Object.keys(BUILT_IN) as BuiltIn[];

/** Describes any thrown value as a record. It never throws itself: not for a getter that throws, a revoked proxy, a cycle, `null`, an endless text. */
export function toFailure(thrown: unknown, reason: FailureRecord['reason'] = 'threw'): FailureRecord {
	const seen = new Set<unknown>();
	const chain: ErrorRecord[] = [];
	let each = thrown;
	do {
		seen.add(each);
		chain.push(describe(each));
		each = isObject(each) ? read(each, 'cause') : undefined;
	} while (each !== undefined && each !== null && !seen.has(each) && chain.length <= MAX_CAUSES);
	const [first, ...causes] = chain;
	const retry = isObject(thrown) ? toDecision(read(thrown, DECISION)) : undefined;
	return {reason, ...(first as ErrorRecord), ...(causes.length > 0 && {causes}), ...(retry && {retry})};
}

export function poison(crashes: number, {builtIn: _, ...last}: FailureRecord): FailureRecord {
	return {...last, reason: 'poison', name: 'Poison', message: `It killed its worker ${crashes} times. The last time: ${last.message}`};
}

/** Makes an error with all that the record holds, of its built-in class. `JobFailed` has it as its `cause`. */
export function fromFailure(record: FailureRecord): Error {
	const chain = [record, ...(record.causes ?? [])];
	const error = chain.reduceRight<Error | undefined>((cause, each) => toError(each, cause), undefined) as Error;
	const {reason, retry, exitCode, signal, stderr, postMortem} = record;
	defineAll(error, defined({reason, retry, exitCode, signal, stderr, postMortem}), true);
	return error;
}

/** @param isInner of an error among the errors of another one: its own are left out */
function describe(value: unknown, isInner = false): ErrorRecord {
	if (!isObject(value)) return {name: 'Thrown', message: cut(typeof value === 'string' ? value : show(value))};
	const [given, message, stack] = ['name', 'message', 'stack'].map(property => text(read(value, property)));
	const name = nameOf(value, given);
	const code = read(value, 'code');
	// JSON can't hold other numbers.
	const known = typeof code === 'number' && Number.isFinite(code) ? code : text(code);
	const builtIn = builtInOf(value);
	const fields = fieldsOf(value);
	const errors = builtIn === 'AggregateError' && !isInner ? read(value, 'errors') : undefined;
	return {
		name: name || 'Thrown',
		message: message ?? `a thrown object without a readable message: ${cut(show(value))}`,
		...(stack && {stack: withName(withoutCallers(stack), given, name)}),
		...(known !== undefined && {code: known}),
		...(builtIn && {builtIn}),
		...(fields && {fields}),
		...(Array.isArray(errors) && {errors: errors.slice(0, MAX_CAUSES).map(each => describe(each, true))}),
	};
}

/** Classes whose subclasses often set no name of their own. */
const NAMED = new Set<string | undefined>(['Error', ...BUILT_INS, 'PermanentError', 'RetryAfter']);

/** The name, or that of its class if it has only inherited the name of one of these classes. */
function nameOf(error: object, name: string | undefined): string | undefined {
	if (!NAMED.has(name) || hasOwn(error, 'name')) return name;
	const ofClass = read(error, 'constructor');
	return (isObject(ofClass) && text(read(ofClass, 'name'))) || name;
}

/** V8 writes the inherited name in the first line. */
function withName(stack: string, inherited: string | undefined, name: string | undefined): string {
	return inherited && name && name !== inherited && stack.startsWith(inherited) ? name + stack.slice(inherited.length) : stack;
}

/** Properties that are no fields: they are described apart, or set by {@link fromFailure}. */
const NO_FIELDS: readonly string[] = ['name', 'message', 'stack', 'code', 'cause', 'errors', 'reason'];

/** Copies of the properties of its own. Those are left out that can't be stored, or for which no room is left. */
function fieldsOf(error: object): ErrorRecord['fields'] {
	let room = MAX_FIELDS_BYTES;
	const fields: [string, unknown][] = [];
	for (const name of namesOf(error)) {
		if (NO_FIELDS.includes(name)) continue;
		const encoded = encodeField(read(error, name), room - name.length);
		if (encoded === null) continue;
		room -= name.length + sizeBytes(encoded);
		fields.push([name, decode(encoded)]);
	}
	return fields.length > 0 ? Object.fromEntries(fields) : undefined;
}

/** `null` for `undefined`, and for a value that can't be stored in so many bytes. */
function encodeField(value: unknown, maxBytes: number): Encoded {
	const size = typeof value === 'string' ? value.length : ArrayBuffer.isView(value) ? value.byteLength : 0;
	try {
		return size > maxBytes ? null : encode(value, 'field', maxBytes);
	} catch {
		return null;
	}
}

/** The enumerable properties of its own; none of an array, which may have any number. */
function namesOf(error: object): readonly string[] {
	try {
		return Array.isArray(error) || ArrayBuffer.isView(error) ? [] : Object.keys(error);
	} catch {
		return [];
	}
}

function hasOwn(object: object, property: string): boolean {
	try {
		return Object.hasOwn(object, property);
	} catch {
		return false;
	}
}

function builtInOf(error: object): BuiltIn | undefined {
	try {
		return BUILT_INS.find(name => error instanceof BUILT_IN[name]);
	} catch {
		return undefined;
	}
}
function toError({name, message, stack = `${name}: ${message}`, code, builtIn, fields, errors = []}: ErrorRecord, cause?: Error): Error {
	const error =
		builtIn === 'AggregateError'
			? new AggregateError(
					errors.map(each => toError(each)),
					message,
				)
			: new (builtIn ? BUILT_IN[builtIn] : Error)(message);
	defineAll(error, {name, stack, ...(cause && {cause})}, false);
	defineAll(error, {...(code !== undefined && {code}), ...fields}, true);
	return error;
}

/** An assignment would call setters of the class, and one to `__proto__` change the prototype. */
function defineAll(error: Error, properties: object, enumerable: boolean): void {
	for (const [name, value] of Object.entries(properties)) Object.defineProperty(error, name, {value, enumerable, configurable: true, writable: true});
}

function read(object: object, property: string | symbol): unknown {
	try {
		return (object as Record<string | symbol, unknown>)[property];
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
