import {type Encoded, sizeBytes} from '../job/encoding.ts';

/** True for values of one kind. It checks messages of workers, where a task may have changed what Faena's own code does. */
export type Is = (value: unknown) => boolean;

type Shape = Readonly<Record<string, Is>>;

/** An object that has the properties of `must`, may have those of `may`, and has no others. */
export function shaped(must: Shape, may: Shape = {}): Is {
	const known = {...may, ...must};
	return value =>
		typeof value === 'object' &&
		value !== null &&
		Object.keys(must).every(name => Object.hasOwn(value, name)) &&
		Object.entries(value).every(([name, each]) => Object.hasOwn(known, name) && ((each === undefined && !Object.hasOwn(must, name)) || known[name]?.(each)));
}

export function listOf(is: Is, most: number): Is {
	// every() would skip holes.
	return value => Array.isArray(value) && value.length <= most && value.findIndex(each => !is(each)) < 0;
}

export function mapOf(isKey: Is, is: Is): Is {
	return value => value instanceof Map && [...value].every(([key, each]) => isKey(key) && is(each));
}

export function setOf(is: Is): Is {
	return value => value instanceof Set && [...value].every(is);
}

export function oneOf(...values: readonly unknown[]): Is {
	return value => values.includes(value);
}

export function either(...kinds: readonly Is[]): Is {
	return value => kinds.some(is => is(value));
}

export function text(most: number): Is {
	return value => typeof value === 'string' && value.length <= most;
}

export function integer(least: number, most: number): Is {
	return value => Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most;
}

export function number(least: number, most: number): Is {
	return value => typeof value === 'number' && value >= least && value <= most;
}

/** A number that is finite. */
export const finite: Is = Number.isFinite;

export const isBoolean: Is = value => typeof value === 'boolean';

/** The largest time that a `Date` can have, in milliseconds since 1970. */
const MAX_TIME_MS = 8.64e15;

/** Milliseconds since 1970, whole ones. */
export const isTime: Is = integer(-MAX_TIME_MS, MAX_TIME_MS);

/** Milliseconds that passed, or may pass. */
export const isDuration: Is = number(0, MAX_TIME_MS);

export const isBytes: Is = integer(0, Number.MAX_SAFE_INTEGER);

/** A value that is encoded, in at most so many bytes. */
export function encoded(maxBytes: number): Is {
	return value =>
		value === null || ((typeof value === 'string' || value instanceof Uint8Array) && value.length > 0 && sizeBytes(value as Encoded, maxBytes) <= maxBytes);
}

export const isProgress: Is = shaped({done: finite, at: isTime}, {total: finite});

const MAX_STACK = 2 ** 16;

/** What an examination found of a worker. */
export const isExamination: Is = shaped({}, {heap: shaped({limitBytes: finite}, {usedBytes: finite}), stack: text(MAX_STACK), noStack: text(MAX_STACK)});
