/**
 * Why an execution failed, as plain data. Stored with the job and shown to people; never turned back into the class it
 * came from, because what a database holds must not choose code.
 */
export interface FailureRecord {
	/** What happened to the execution. */
	readonly reason: 'threw' | 'timedOut' | 'lostWorker' | 'poison' | 'cancelled' | 'badResult' | 'unknownTask';
	readonly name: string;
	readonly message: string;
	readonly stack?: string;
	readonly code?: string | number;
	/** The chain of causes, outermost first, cut at {@link MAX_CAUSES} and where it bites its own tail. */
	readonly causes?: readonly Omit<FailureRecord, 'reason' | 'causes' | Circumstance>[];
	/** Exit code of the worker that was lost, */
	readonly exitCode?: number;
	/** or the signal that ended it, */
	readonly signal?: string;
	/** and the last it wrote to stderr, where that was seen. */
	readonly stderr?: string;
	/** Of a job that was stopped, or took its worker along. */
	readonly postMortem?: PostMortem;
}

/** What was known of an execution at its unnatural end. Times are milliseconds since 1970. */
export interface PostMortem {
	readonly execution: number;
	/** Attempts charged up to and with this one; a cancellation charges none. */
	readonly attempt: number;
	readonly startedAt: number;
	readonly durationMs: number;
	/** What it had said last. */
	readonly progress?: {readonly done: number; readonly total?: number; readonly at: number};
	/** V8's heap in its worker. */
	readonly heap?: {readonly usedBytes?: number; readonly limitBytes: number};
	/** Where the task was when its worker was ended, as lines of a stack; absent if it ended by itself. */
	readonly stack?: string;
	/** Why there is none, if its worker had to be ended. */
	readonly noStack?: string;
}

export const MAX_CAUSES = 8;
export const MAX_TEXT = 16 * 1024;

/**
 * Makes a record of anything that can be thrown. Total: getters that throw, revoked proxies, cycles, `null` and endless
 * texts all end as a record.
 */
export function toFailure(thrown: unknown, reason: FailureRecord['reason'] = 'threw'): FailureRecord {
	const [first, ...causes] = describeChain(thrown);
	return {reason, ...(first as Described), ...(causes.length > 0 && {causes})};
}

/** The failure of a job that has killed its worker too often. */
export function poison(crashes: number, last: FailureRecord): FailureRecord {
	return {...last, reason: 'poison', name: 'Poison', message: `It killed its worker ${crashes} times. The last time: ${last.message}`};
}

/** Rebuilds an `Error` with the record's name, message, stack, code and causes: what `JobFailed` has as `cause`. */
export function fromFailure(record: FailureRecord): Error {
	const chain = [record, ...(record.causes ?? [])];
	const error = chain.reduceRight<Error | undefined>((cause, each) => toError(each, cause), undefined);
	const {reason, exitCode, signal, stderr, postMortem} = record;
	return Object.assign(error as Error, {
		reason,
		...(exitCode !== undefined && {exitCode}),
		...(signal !== undefined && {signal}),
		...(stderr !== undefined && {stderr}),
		...(postMortem !== undefined && {postMortem}),
	});
}

type Described = Omit<FailureRecord, 'reason' | 'causes' | Circumstance>;

/** What belongs to an execution's end, not to the error. */
type Circumstance = 'exitCode' | 'signal' | 'stderr' | 'postMortem';

function describeChain(thrown: unknown): Described[] {
	const seen = new Set<unknown>();
	const chain: Described[] = [];
	let each = thrown;
	do {
		seen.add(each);
		chain.push(describe(each));
		each = isObject(each) ? read(each, 'cause') : undefined;
	} while (each !== undefined && each !== null && !seen.has(each) && chain.length <= MAX_CAUSES);
	return chain;
}

function describe(value: unknown): Described {
	if (!isObject(value)) return {name: 'Thrown', message: cut(typeof value === 'string' ? value : show(value))};
	const message = text(read(value, 'message'));
	const name = text(read(value, 'name'));
	const stack = text(read(value, 'stack'));
	const code = codeOf(read(value, 'code'));
	return {
		name: name || 'Thrown',
		message: message ?? `a thrown object without a readable message: ${cut(show(value))}`,
		...(stack && {stack: withoutCallers(stack)}),
		...(code !== undefined && {code}),
	};
}

/** Faena's own code, as frames of a stack name it, */
const OWN_FOLDERS = [new URL('../', import.meta.url).pathname, new URL('../../workers/', import.meta.url).pathname];
/** and what calls it. */
const CALLER = /[\\/]node_modules[\\/](?:piscina|tinypool)[\\/]|\(?node:[\w/]+:\d+:\d+\)?$/;

/** The stack up to where Faena called the task; whole if the task is not on it. */
export function withoutCallers(stack: string): string {
	try {
		const lines = stack.split('\n');
		let end = lines.length;
		let isCalled = false;
		for (; end > 0; end--) {
			const line = lines[end - 1] as string;
			if (OWN_FOLDERS.some(folder => line.includes(folder))) isCalled = true;
			else if (!CALLER.test(line)) break;
		}
		return isCalled && /^\s+at /.test(lines[end - 1] ?? '') ? lines.slice(0, end).join('\n') : stack;
	} catch {
		// A task may have replaced what this needs.
		return stack;
	}
}

function toError({name, message, stack, code}: Described, cause: Error | undefined): Error {
	const error = new Error(message, cause && {cause});
	define(error, 'name', name);
	define(error, 'stack', stack ?? `${name}: ${message}`);
	if (code !== undefined) Object.assign(error, {code});
	return error;
}

function define(error: Error, property: string, value: string): void {
	Object.defineProperty(error, property, {value, configurable: true, writable: true, enumerable: false});
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

/** A number that JSON can't hold is no code. */
function codeOf(value: unknown): string | number | undefined {
	return typeof value === 'number' && Number.isFinite(value) ? value : text(value);
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
