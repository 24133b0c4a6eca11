/** What commands print: text, errors, numbers and values, and the progress bar. */

import {CommanderError} from 'commander';
import {ExitCode, exitCodeOf} from '../exit-codes.ts';
import {colourStatuses} from './colours.ts';
import {escapeControls} from './controls.ts';
import {canRedraw, showLine} from './status-line.ts';

export {ExitCode};

/**
 * Prints a command's output to stdout, or rejects with {@link Unwritable}.
 * @param hasStatuses whether statuses of jobs in it get colours, on a terminal that has them
 */
export async function print(text: string, {hasStatuses = false} = {}): Promise<void> {
	const {promise, resolve} = Promise.withResolvers<Error | null | undefined>();
	const shown = escapeControls(text);
	process.stdout.write(hasStatuses ? colourStatuses(shown) : shown, resolve);
	const cause = await promise;
	if (cause) throw new Unwritable(`The output can't be written: ${cause.message}.`, {cause});
}

class Unwritable extends Error {}

/** Prints a line to stderr. */
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

/** A number with a comma at each thousand. A damaged row may have another value, which is shown as it is. */
export function count(value: number): string {
	// To load the words and numbers of languages takes longer than a short command.
	return typeof value === 'number' && !(value < 1000) ? value.toLocaleString('en-US') : String(value);
}

/** For instance `1 job` or `1,204 jobs`. */
export function counted(value: number, noun: string): string {
	return `${count(value)} ${noun}${value === 1 ? '' : 's'}`;
}

export function megabytes(bytes: number): string {
	return `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
}

export function formatRate(perSecond: number): string {
	if (perSecond < 0.5) return `${(perSecond * 60).toFixed(1)}/min`;
	return `${perSecond < 10 ? perSecond.toFixed(1) : count(Math.round(perSecond))}/s`;
}

/** A time such as `0:07`, `12:30` or `1:02:30`. */
export function clock(seconds: number): string {
	const whole = Math.ceil(seconds);
	const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
	const two = (value: number) => String(value).padStart(2, '0');
	return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
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

/** Whether JSON can hold the value as it is. */
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

/** How far a run is. */
export interface MapStatus {
	/** Items that have ended. */
	readonly done: number;
	/** Those of them that this run executed. */
	readonly executed: number;
	/** Those of them that died. */
	readonly dead: number;
	/** Items of the input; `undefined` until it has ended. */
	readonly total: number | undefined;
	readonly isStopping: boolean;
	/** The same as `done`, `executed` and `total` in bytes, if the largest items come first: then a number of items says little about the time. */
	readonly bytes?: {readonly done: number; readonly executed: number; readonly total: number} | undefined;
}

/**
 * Shows on stderr how far a run is: a bar on a terminal, elsewhere a line every 2 s.
 * @returns a function that draws the last state and ends the bar
 */
export function showBar(status: () => MapStatus): () => void {
	const {stderr} = process;
	const start = performance.now();
	const line = (width = Infinity) => {
		const current = status();
		const text = describeStatus(current, (performance.now() - start) / 1000);
		return width === Infinity ? text : withBar(current, text, width);
	};
	if (canRedraw(stderr)) return showLine(line);
	const write = () => stderr.write(`${line()}\n`);
	write();
	const timer = setInterval(write, 2000);
	return () => {
		clearInterval(timer);
		write();
	};
}

/** For instance `1,204 of 3,012  40%  112/s  ETA 0:16  2 dead`. Rate and ETA count only items that this run executes. */
export function describeStatus({done, executed, dead, total, isStopping, bytes}: MapStatus, seconds: number): string {
	const rate = executed / seconds;
	const isByBytes = bytes !== undefined && bytes.total > 0;
	const work = isByBytes ? bytes : {done, executed, total};
	const parts = [
		total === undefined ? `${count(done)} done` : `${count(done)} of ${count(total)}`,
		// Rounded down, so that it is 100 only at the end.
		work.total !== undefined && `${work.total === 0 ? 100 : Math.floor((100 * work.done) / work.total)}%${isByBytes ? ' of the bytes' : ''}`,
		executed > 0 && formatRate(rate),
		work.executed > 0 && work.total !== undefined && work.done < work.total && `ETA ${clock((work.total - work.done) / (work.executed / seconds))}`,
		dead > 0 && `${count(dead)} dead`,
		isStopping && 'stopping (Ctrl-C again: at once)',
	];
	return parts.filter(Boolean).join('  ');
}

const MAX_BAR_WIDTH = 40;
const MIN_BAR_WIDTH = 8;

/** The text after a bar, if there is room for one. The text is cut off at the width of the terminal. */
function withBar({done: items, total: allItems, bytes}: MapStatus, text: string, width: number): string {
	const {done, total} = bytes && bytes.total > 0 ? bytes : {done: items, total: allItems};
	const room = Math.min(MAX_BAR_WIDTH, width - text.length - 3);
	if (total === undefined || room < MIN_BAR_WIDTH) return text.slice(0, width - 1);
	const full = total === 0 ? room : Math.floor((room * done) / total);
	return `${'█'.repeat(full)}${'░'.repeat(room - full)}  ${text}`;
}
