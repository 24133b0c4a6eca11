/** What commands print: text, errors, numbers and values. */

import {CommanderError} from 'commander';
import {count} from '../../internal/words.ts';
import {ExitCode, exitCodeOf} from '../exit-codes.ts';
import {colourStatuses} from './colours.ts';
import {escapeControls} from './controls.ts';

export {clock, count, formatRate, type MapStatus, showBar} from '../../internal/words.ts';
export {ExitCode};

/** Prints a command's output to stdout, or rejects with {@link Unwritable}. @param hasStatuses whether statuses of jobs in it get colours */
export async function print(text: string, {hasStatuses = false} = {}): Promise<void> {
	const {promise, resolve} = Promise.withResolvers<Error | null | undefined>();
	const shown = escapeControls(text);
	process.stdout.write(hasStatuses ? colourStatuses(shown) : shown, resolve);
	const cause = await promise;
	if (cause) throw new Unwritable(`The output can't be written: ${cause.message}.`, {cause});
}

class Unwritable extends Error {}

export function printError(sentence: string): void {
	process.stderr.write(`faena: ${escapeControls(sentence)}\n`);
}

/** Prints an error in one sentence, unless commander has printed it. Returns the exit code. */
export function explain(error: unknown): number {
	// Commander also throws after it has printed help or the version.
	if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.done : ExitCode.refused;
	if (error instanceof Unwritable && (error.cause as NodeJS.ErrnoException).code === 'EPIPE') return ExitCode.noReader;
	printError(error instanceof Error ? error.message : String(error));
	return exitCodeOf(error);
}

/** For instance `1 job` or `1,204 jobs`. */
export function counted(value: number, noun: string): string {
	return `${count(value)} ${noun}${value === 1 ? '' : 's'}`;
}

/** The beginning of a long text. */
export function shorten(text: string, length: number, more = ''): string {
	return text.length <= length ? text : `${text.slice(0, length)}…${more}`;
}

export function megabytes(bytes: number): string {
	return `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
}

/** A date and time. A damaged row may have a number that is not a date, which is shown as it is. */
export function formatTime(at: number): string {
	const date = new Date(at);
	return Number.isNaN(date.getTime()) ? String(at) : date.toISOString();
}

/** JSON of a record of Faena: its times are texts (ISO 8601, UTC). What programs have stored in it stays as it is. */
export function recordJson(record: object): string {
	return toJson(withTimes(record));
}

/** Fields with values of programs. */
const STORED: ReadonlySet<string> = new Set(['payload', 'result', 'state', 'fields']);
const TIME = /^at$|At$/;

function withTimes(value: unknown): unknown {
	if (Array.isArray(value)) return value.map(withTimes);
	// The error of a job.
	if (value instanceof Error && 'toJSON' in value && typeof value.toJSON === 'function') return withTimes(value.toJSON());
	if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
	const toText = ([name, each]: [string, unknown]) => {
		if (STORED.has(name)) return [name, each];
		return [name, typeof each === 'number' && TIME.test(name) ? formatTime(each) : withTimes(each)];
	};
	return Object.fromEntries(Object.entries(value).map(toText));
}

/**
 * JSON for any value that a job can have. Values that JSON can't hold are printed for people and `jq`: BigInt, NaN and the
 * infinities as text, a Map as its entries, a Set and an array of numbers as an array, bytes in base64.
 */
export function toJson(value: unknown): string {
	// Four times faster than with a function.
	if (isPlain(value)) return JSON.stringify(value);
	return JSON.stringify(value === undefined ? null : value, toPlain);
}

function isPlain(value: unknown): boolean {
	if (typeof value === 'string' || typeof value === 'boolean' || value === null) return true;
	if (typeof value === 'number') return Number.isFinite(value);
	if (Array.isArray(value)) return value.every(isPlain);
	if (typeof value !== 'object' || Object.getPrototypeOf(value) !== Object.prototype) return false;
	for (const name in value) {
		const each = (value as Readonly<Record<string, unknown>>)[name];
		if (each !== undefined && !isPlain(each)) return false;
	}
	return true;
}

function toPlain(_name: string, value: unknown): unknown {
	if (typeof value === 'bigint' || (typeof value === 'number' && !Number.isFinite(value))) return String(value);
	if (value instanceof Map || value instanceof Set) return [...value];
	if (value instanceof Error) return {name: value.name, message: value.message};
	if (value instanceof ArrayBuffer) return Buffer.from(value).toString('base64');
	if (!ArrayBuffer.isView(value)) return value;
	return BYTES.some(type => value instanceof type)
		? Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64')
		: [...(value as Float64Array)];
}

const BYTES = [DataView, Uint8Array, Uint8ClampedArray];
