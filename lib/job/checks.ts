import {closest, distance} from 'fastest-levenshtein';
import ms, {type StringValue} from 'ms';
import {FaenaError} from '../support/errors.ts';
import {atCaller} from '../support/stack.ts';

/** Checks a value and returns it, perhaps in another form. Throws an {@link expected} error if it is wrong. */
export type Check = (value: unknown) => unknown;
export type Checks = Readonly<Record<string, Check>>;
/** What {@link checked} returns. */
export type Checked<C extends Checks> = {[Name in keyof C]?: ReturnType<C[Name]>};

/** Former options of each function, and what to write instead. */
export const RENAMED_OPTIONS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
	'map()': {maxFailures: "halt: {when: 'soon', on: 'fail', at: maxFailures + 1}", changed: "fresh: 'payload' instead of changed: 'rerun'"},
};

/**
 * Checks options one by one. An option that is `undefined` counts as not given.
 * @param where the function that got them, for messages
 * @throws FaenaError `BadOption`. Its message names the option, what it expects and what it got; for an unknown one, the nearest name
 */
export function checked<C extends Checks>(where: string, options: unknown, checks: C): Checked<C> {
	if (options === undefined) return {};
	if (!isRecord(options)) throw bad(`${where} expects an object of options; it got ${show(options)}`);
	const result: Record<string, unknown> = {};
	for (const name of Object.keys(options)) {
		const value = options[name];
		const check = Object.hasOwn(checks, name) ? checks[name] : undefined;
		if (!check) throw unknownOption(where, name, checks);
		if (value !== undefined) result[name] = argument(where, name, value, check);
	}
	return result as Checked<C>;
}

/** True for an object of options. A promise, for instance, is none: it would pass as options that are all absent. */
function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
	const tag = Object.prototype.toString.call(value);
	return typeof value === 'object' && (tag === '[object Object]' || tag === '[object Module]');
}

function unknownOption(where: string, name: string, checks: Checks): FaenaError {
	const renamed = RENAMED_OPTIONS[where];
	const now = renamed && Object.hasOwn(renamed, name) ? renamed[name] : undefined;
	if (now !== undefined) return bad(`${where} has no option ${JSON.stringify(name)} any more; write ${now}`);
	return bad(`${where} has no option ${JSON.stringify(name)}${nearest(name, Object.keys(checks))}`);
}

/** @throws FaenaError `BadOption` */
export function argument<Value>(where: string, name: string, value: unknown, check: (value: unknown) => Value): Value {
	try {
		return check(value);
	} catch (error) {
		if (error instanceof Expected) throw bad(`${where} expects as ${name} ${error.message}`);
		throw error;
	}
}

/** @throws FaenaError `BadOption` unless it is an iterable object. A text is refused. */
export function checkIterable(where: string, items: unknown): void {
	const isIterable = typeof items === 'object' && items !== null && (Symbol.iterator in items || Symbol.asyncIterator in items);
	if (!isIterable) throw bad(`${where} expects an iterable or async iterable; it got ${show(items)}`);
}

/** The end of a message about an unknown name: `; did you mean "x"?` if one of the names is near it, otherwise all names. */
export function nearest(name: string, names: readonly string[]): string {
	const best = names.length > 0 ? closest(name, [...names]) : undefined;
	if (best !== undefined && distance(name.toLowerCase(), best.toLowerCase()) <= Math.max(2, best.length / 3)) return `; did you mean ${JSON.stringify(best)}?`;
	return names.length > 0 ? `; there is ${names.join(', ')}.` : '';
}

class Expected extends Error {}

/** The error with which a {@link Check} refuses a value. */
export function expected(what: string, value: unknown): Expected {
	return new Expected(`${what}; it got ${show(value)}`);
}

export function bad(message: string): FaenaError {
	return atCaller(new FaenaError('BadOption', /[.?!]$/.test(message) ? message : `${message}.`));
}

/** A value as error messages show it. */
export function show(value: unknown): string {
	if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
	if (typeof value === 'bigint') return `${value}n`;
	if (Array.isArray(value)) return 'an array';
	if (isClass(value)) return 'a class';
	if (value === null || typeof value === 'number' || typeof value === 'boolean' || typeof value === 'undefined') return String(value);
	if (value instanceof Promise) return 'a promise, which has to be awaited';
	if (value instanceof AbortSignal) return 'an AbortSignal';
	return `${/^[aeiou]/.test(typeof value) ? 'an' : 'a'} ${typeof value}`;
}

export function isClass(value: unknown): boolean {
	return typeof value === 'function' && /^class\b/.test(Function.prototype.toString.call(value));
}

/** A check of one kind of values. */
export function kind<Value>(what: string, is: (value: unknown) => boolean): (value: unknown) => Value {
	return value => {
		if (is(value)) return value as Value;
		throw expected(what, value);
	};
}

export const boolean = kind<boolean>('true or false', value => typeof value === 'boolean');
export const string = kind<string>('a text without a NUL character', value => typeof value === 'string' && !value.includes('\0'));
/** Half a surrogate pair would be stored as another character, and two names could become the same. */
export const text = kind<string>(
	'a text that is not empty and has no NUL character or half of a surrogate pair',
	value => typeof value === 'string' && value !== '' && !value.includes('\0') && value.isWellFormed(),
);
/** One text, or a list of them. */
export const texts = (value: unknown): readonly string[] => [value].flat().map(text);
export const finite = kind<number>('a number', Number.isFinite);
export const callable = kind<unknown>('a function', value => typeof value === 'function' && !isClass(value));
export const object = kind<object>('an object', value => typeof value === 'object' && value !== null && !Array.isArray(value));
export const list = kind<unknown[]>('an array', Array.isArray);
export const abortSignal = kind<AbortSignal>('an AbortSignal', value => value instanceof AbortSignal);

export function choice<const Value>(...values: readonly Value[]): (value: unknown) => Value {
	return kind(values.map(each => JSON.stringify(each)).join(' or '), value => values.includes(value as Value));
}

export function number(low: number, high: number): Check {
	return kind(`a number from ${low} to ${high}`, value => typeof value === 'number' && value >= low && value <= high);
}

export function integer(low: number, high: number): (value: unknown) => number {
	const check = kind<number>(
		`a whole number from ${low} to ${high}`,
		value => Number.isInteger(value) && (value as number) >= low && (value as number) <= high,
	);
	return value => whole(check(value));
}

export function url(value: unknown): URL {
	if (value instanceof URL && value.protocol === 'file:') return value;
	// The whole may have a password.
	throw expected('a path or a file: URL', value instanceof URL ? value.protocol : value);
}

export function time(value: unknown): number {
	const at = value instanceof Date ? value.getTime() : value;
	if (typeof at === 'number' && Number.isFinite(at) && Math.abs(at) <= 8.64e15) return whole(at);
	throw expected('a Date or milliseconds since 1970', value instanceof Date ? 'an invalid Date' : value);
}

/** Checks a function, and each value that it returns, since the store writes these into rows. */
export function giving(where: string, name: string, check: Check): Check {
	return value => {
		const call = callable(value) as () => unknown;
		return () => argument(where, `the value of ${name}()`, call(), check);
	};
}

/** Checks a string with the first check, and any other value with the second. */
export function textOr(ofText: Check, ofOther: Check): Check {
	return value => (typeof value === 'string' ? ofText(value) : ofOther(value));
}

type Plural = 'second' | 'minute' | 'hour' | 'day' | 'week' | 'year';
type Unit = 'ms' | 's' | 'sec' | 'm' | 'min' | 'h' | 'd' | 'w' | 'y' | Plural | `${Plural}s`;

/** A number of milliseconds, or a text such as `'500ms'`, `'30s'`, `'10m'`, `'2h'`, `'7d'`, `'2 weeks'`. @example const wait: Duration = '10m'; */
export type Duration = number | `${number}${Unit}` | `${number} ${Unit}`;

/** Ten years. */
export const MAX_DURATION_MS = 10 * 366 * 24 * 3_600_000;
const A_TIME = "a time such as '30s', '10m', '2h' or a number of milliseconds";

/** Checks a duration and returns it in whole milliseconds, the unit of the database and of timers. */
export function duration(value: unknown, what = A_TIME): number {
	const parsed = typeof value === 'string' ? parse(value.trim()) : value;
	if (typeof parsed !== 'number' || !Number.isFinite(parsed) || parsed < 0) throw expected(`${what}, not negative`, value);
	if (parsed > MAX_DURATION_MS) throw expected('a time of at most 10 years', value);
	return whole(parsed);
}

/** A duration of at least `low` milliseconds. */
export function atLeast(low: number, what = A_TIME): (value: unknown) => number {
	return value => {
		const ms = duration(value, what);
		if (ms >= low) return ms;
		throw expected(`at least ${low} ms`, value);
	};
}

/** The nearest whole number, without the sign of a zero. */
function whole(value: number): number {
	return Math.round(value) + 0;
}

/** `ms` throws for texts of no or of more than 100 characters, and takes a number without a unit for milliseconds, where most mean seconds. */
function parse(text: string): number | undefined {
	return text.length <= 100 && /[a-z]$/i.test(text) ? ms(text as StringValue) : undefined;
}

/** A number of bytes, or a text such as `'512b'`, `'64kib'`, `'1.5mib'`, `'1gib'`. @example const most: Size = '64mib'; */
export type Size = number | string;

const UNITS: Readonly<Record<string, number>> = {b: 1, kib: 1024, mib: 1024 ** 2, gib: 1024 ** 3};

/** A check of a size, from 0 or 1 to so many bytes. */
export function sizeIn(low: 0 | 1, high: number): (value: unknown) => number {
	return value => {
		const bytes = low === 0 && value === 0 ? 0 : size(value);
		if (bytes <= high) return bytes;
		throw expected(`a size of at most ${high} bytes`, value);
	};
}

/** Checks a size and returns it in bytes. */
export function size(value: unknown): number {
	const [, count, unit = ''] = (typeof value === 'string' && /^\s*(\d+(?:\.\d+)?)\s*(b|kib|mib|gib)\s*$/i.exec(value)) || [];
	const bytes = count === undefined ? value : Math.ceil(Number(count) * (UNITS[unit.toLowerCase()] as number));
	if (Number.isSafeInteger(bytes) && (bytes as number) > 0) return bytes as number;
	throw expected("a size such as '64kib', '1mib' or a number of bytes, greater than 0", value);
}
