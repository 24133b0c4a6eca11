import {withoutCallers} from '../support/stack.ts';
import {decode, type Encoded, encode, sizeBytes} from './encoding.ts';

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
	/** The errors of an `AggregateError`, at most 8, without their causes. */
	readonly errors?: readonly ErrorRecord[];
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

/**
 * Describes any value, without its causes. It never throws itself: not for a getter that throws, a revoked proxy, `null`, an endless text.
 * @param isInner of an error among the errors of another one: its own are left out
 */
export function describeError(value: unknown, isInner = false): ErrorRecord {
	if (!isObject(value)) return {name: 'Thrown', message: cut(typeof value === 'string' ? value : show(value))};
	const [given, message, stack] = ['name', 'message', 'stack'].map(property => text(read(value, property)));
	const name = nameOf(value, given);
	const code = read(value, 'code');
	// JSON can't hold other numbers.
	const known = typeof code === 'number' && Number.isFinite(code) ? code : text(code);
	const builtIn = builtInOf(value);
	const fields = fieldsOf(value, builtIn);
	const errors = builtIn === 'AggregateError' && !isInner ? read(value, 'errors') : undefined;
	return {
		name: name || 'Thrown',
		message: message ?? `a thrown object without a readable message: ${cut(show(value))}`,
		...(stack && {stack: withName(withoutCallers(stack), given, name)}),
		...(known !== undefined && {code: known}),
		...(builtIn && {builtIn}),
		...(fields && {fields}),
		...(Array.isArray(errors) && {errors: errors.slice(0, MAX_CAUSES).map(each => describeError(each, true))}),
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
const NO_FIELDS: readonly string[] = ['name', 'message', 'stack', 'code', 'cause', 'reason'];

/** Copies of the properties of its own. Those are left out that can't be stored, or for which no room is left. */
function fieldsOf(error: object, builtIn: BuiltIn | undefined): ErrorRecord['fields'] {
	let room = MAX_FIELDS_BYTES;
	const fields: [string, unknown][] = [];
	for (const name of namesOf(error)) {
		if (NO_FIELDS.includes(name) || (name === 'errors' && builtIn === 'AggregateError')) continue;
		const encoded = encodeField(read(error, name), room - name.length);
		if (encoded === null) continue;
		room -= name.length + sizeBytes(encoded);
		fields.push([name, decode(encoded)]);
	}
	return fields.length > 0 ? Object.fromEntries(fields) : undefined;
}

/** `null` for `undefined`, and for a value that can't be stored in so many bytes. */
function encodeField(value: unknown, maxBytes: number): Encoded {
	try {
		return roomAfter(value, maxBytes) < 0 ? null : encode(value, 'field', maxBytes);
	} catch {
		return null;
	}
}

/**
 * What is left of so many bytes after the least that the value can take; below 0 if that is more. It looks at no more of the value than fits, since an
 * error may carry any number of documents.
 */
function roomAfter(value: unknown, room: number, seen = new Set<unknown>()): number {
	if (typeof value === 'string') return room - value.length;
	if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return room - value.byteLength;
	let left = room - 1;
	if (!isObject(value) || seen.has(value)) return left;
	seen.add(value);
	for (const part of partsOf(value)) {
		left = roomAfter(part, left, seen);
		if (left < 0) break;
	}
	return left;
}

function* partsOf(value: object): Generator<unknown> {
	if (Array.isArray(value) || value instanceof Set) yield* value;
	else if (value instanceof Map) for (const pair of value) yield* pair;
	else for (const name in value) yield read(value, name);
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

/** Makes an error of the record's built-in class. */
export function toError({name, message, stack = `${name}: ${message}`, code, builtIn, fields, errors = []}: ErrorRecord, cause?: Error): Error {
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
export function defineAll(error: Error, properties: object, enumerable: boolean): void {
	for (const [name, value] of Object.entries(properties)) Object.defineProperty(error, name, {value, enumerable, configurable: true, writable: true});
}

export function read(object: object, property: string | symbol): unknown {
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

export function isObject(value: unknown): value is object {
	return (typeof value === 'object' && value !== null) || typeof value === 'function';
}
