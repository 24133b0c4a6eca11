import {ceil, join, round} from '../support/primordials.ts';
import type {Timing} from './claim.ts';
import type {Encoded} from './encoding.ts';

/** Short texts that travel and are stored as the lines of one text, which costs little more than a single value. */
export interface PackedStrings {
	/** The number of texts. */
	readonly count: number;
	/** One line for each value, an empty one for `null`; `null` if all values are `null`. */
	readonly text: string | null;
}

/** Encoded values, in order. */
export type Values = readonly Encoded[] | PackedStrings;

/** Longer values are not packed: to read one packed value, a store reads all of them. */
const MAX_LINE_LENGTH = 256;
/** The most bytes of a line in UTF-8. */
export const MAX_LINE_BYTES = 3 * MAX_LINE_LENGTH;

/** True for `null`, and for a short text that is not empty and has no line break. */
export function isPackable(value: Encoded): value is string | null {
	return value === null || (typeof value === 'string' && value.length <= MAX_LINE_LENGTH && value !== '' && !value.includes('\n'));
}

/** Packs values, if all of them are packable. */
export function pack(values: readonly Encoded[]): Values {
	// Here and in toPackedStrings(), no method of arrays is called: if a task had replaced one, its worker's results would be lost.
	for (let index = 0; index < values.length; index++) if (!isPackable(values[index] as Encoded)) return values;
	return toPackedStrings(values);
}

/** Packs values that are all packable. */
export function toPackedStrings(values: readonly Encoded[]): PackedStrings {
	for (let index = 0; index < values.length; index++) if (values[index] !== null) return {count: values.length, text: join(values, '\n')};
	return {count: values.length, text: null};
}

export function unpack(values: Values): readonly Encoded[] {
	if (isList(values)) return values;
	const unpacked: Encoded[] = values.text?.split('\n') ?? [];
	unpacked.length = values.count;
	for (let index = 0; index < unpacked.length; index++) unpacked[index] ||= null;
	return unpacked;
}

export function isList(values: Values): values is readonly Encoded[] {
	return Array.isArray(values);
}

/** The values, if they are packed. */
export function asPacked(values: Values): PackedStrings | undefined {
	return isList(values) ? undefined : values;
}

export function countOf(values: Values): number {
	return isList(values) ? values.length : values.count;
}

/** True if the text has `count` lines, and is no longer than so many lines can be. */
export function arePackedStrings({count, text}: PackedStrings): boolean {
	if (text === null) return true;
	if (text.length >= count * (MAX_LINE_LENGTH + 1)) return false;
	const last = startOf(text, count - 1, 0);
	return last <= text.length && !text.includes('\n', last);
}

/** A function that returns the value of each line. */
export function readPacked(text: string | null): (index: number) => string | null {
	const values = text?.split('\n') ?? [];
	return index => values[index] || null;
}

/** The values from `start` up to `end`; those past the last line are `null`. */
export function slicePacked({count, text}: PackedStrings, start: number, end: number): PackedStrings {
	if (text === null || (start === 0 && end === count)) return {count: end - start, text};
	const from = startOf(text, start, 0);
	return {count: end - start, text: text.slice(from, startOf(text, end - start, from) - 1)};
}

/** The values from each bound up to the next one. The bounds rise. */
export function cutPacked({text}: PackedStrings, bounds: readonly number[]): PackedStrings[] {
	let start = text === null ? 0 : startOf(text, bounds[0] as number, 0);
	return bounds.slice(1).map((bound, index) => {
		const count = bound - (bounds[index] as number);
		if (text === null) return {count, text};
		const from = start;
		start = startOf(text, count, from);
		return {count, text: text.slice(from, start - 1)};
	});
}

/** Where a line begins: `lines` lines after the one that begins at `from`. Past the end of the text if there is no such line. */
function startOf(text: string, lines: number, from: number): number {
	let start = from;
	for (let line = 0; line < lines && start <= text.length; line++) {
		const end = text.indexOf('\n', start);
		start = end < 0 ? text.length + 1 : end + 1;
	}
	return start;
}

export function joinPacked(parts: readonly PackedStrings[]): PackedStrings {
	const count = parts.reduce((sum, part) => sum + part.count, 0);
	if (parts.every(({text}) => text === null)) return {count, text: null};
	return {count, text: parts.map(part => part.text ?? '\n'.repeat(part.count - 1)).join('\n')};
}

/** From this size on a transfer costs less than half as much as a copy: 16 KiB 10 instead of 22 µs, 1 MiB 0.3 instead of 0.75 ms. */
const MIN_TRANSFER_BYTES = 16 * 1024;

/**
 * The buffers of the large binary values, for the transfer list of a message. A value that shares its buffer is copied. Who sends a buffer does not keep
 * it: the sender loses these values, so it may have no use for them any more, whatever the answer is.
 */
export function buffersOf(values: Values): ArrayBuffer[] {
	if (!isList(values)) return [];
	const binary = values.filter(value => value instanceof Uint8Array) as Uint8Array<ArrayBuffer>[];
	return binary.filter(({byteLength, buffer}) => byteLength >= MIN_TRANSFER_BYTES && byteLength === buffer.byteLength).map(({buffer}) => buffer);
}

/** True for a value that was transferred to another thread: no encoded value is empty. */
export function isTransferred(value: Encoded): boolean {
	return value instanceof Uint8Array && value.byteLength === 0;
}

/** The times of one execution, and what it used; NaN if a value is not known. */
export type JobTimes = Required<Timing>;

/** A value for each job. A column is left out if none of its values is known. */
export type UnpackedTimes = {readonly [Name in keyof JobTimes]?: Float64Array | undefined};

/** Durations are stored in units of 10 ns. */
const UNITS_PER_MS = 100_000;

/** The columns, each with its number of units per millisecond or byte. A column of whole units takes 0, 1, 2 or 4 bytes a job, any other 8. */
const COLUMNS = [
	['startedAt', 1],
	['durationMs', UNITS_PER_MS],
	['cpuMs', UNITS_PER_MS],
	['memoryBytes', 1],
] as const;

/** The head: a float64 for each column, its base in units; a uint32, the number of jobs; and a byte for each column, its bytes per job. */
const COUNT_AT = COLUMNS.length * Float64Array.BYTES_PER_ELEMENT;
const WIDTHS_AT = COUNT_AT + Uint32Array.BYTES_PER_ELEMENT;
const HEAD_BYTES = WIDTHS_AT + COLUMNS.length;

/** How columns are read, by their bytes per job: none if all values are the same. */
const VIEWS = {0: Uint8Array, 1: Uint8Array, 2: Uint16Array, 4: Uint32Array, 8: Float64Array} as const;
type Width = keyof typeof VIEWS;
type ColumnView = InstanceType<(typeof VIEWS)[Width]>;

/** Rounds milliseconds to whole units, which take fewer bytes. */
export function inUnits(ms: number): number {
	return round(ms * UNITS_PER_MS) / UNITS_PER_MS;
}

/** The columns that `of` makes. */
export function columnsBy(of: (name: keyof JobTimes) => Float64Array): UnpackedTimes {
	return Object.fromEntries(COLUMNS.map(([name]) => [name, of(name)]));
}

/** Packs the times of `count` jobs into a few bytes each, without rounding. They are in the machine's byte order, since a database stays on its machine. */
export function packTimes(count: number, times: UnpackedTimes): Uint8Array<ArrayBuffer> {
	const forms = COLUMNS.map(([name, scale]) => formOf(times[name], scale));
	const packed = new Uint8Array(forms.reduce((bytes, [width]) => bytes + bytesOf(width, count), HEAD_BYTES));
	new Float64Array(packed.buffer).set(forms.map(([, base]) => base));
	new Uint32Array(packed.buffer, COUNT_AT)[0] = count;
	let offset = HEAD_BYTES;
	for (const [index, [name, scale]] of COLUMNS.entries()) {
		const [width, base] = forms[index] as Form;
		packed[WIDTHS_AT + index] = width;
		const [column, view] = [times[name] as Float64Array, new VIEWS[width](packed.buffer, offset, width === 0 ? 0 : count)];
		if (view instanceof Float64Array) view.set(column);
		else for (let job = 0; job < view.length; job++) view[job] = round((column[job] as number) * scale) - base;
		offset += bytesOf(width, count);
	}
	return packed;
}

/** How a column is written: bytes per job; and what is subtracted from each value, in units. */
type Form = readonly [width: Width, base: number];

function formOf(column: Float64Array | undefined, scale: number): Form {
	if (!column?.some(value => !Number.isNaN(value))) return [0, NaN];
	let [least, most] = [Infinity, -Infinity];
	for (let job = 0; job < column.length; job++) {
		const value = column[job] as number;
		const units = round(value * scale);
		if (units / scale !== value) return [8, 0];
		if (units < least) least = units;
		if (units > most) most = units;
	}
	const range = most - least;
	const width = ([0, 1, 2, 4] as const).find(bytes => range < 2 ** (8 * bytes));
	return width === undefined || !Number.isSafeInteger(least) ? [8, 0] : [width, least];
}

/** Bytes of a column: a multiple of eight, so that the next one is aligned. */
function bytesOf(width: number, count: number): number {
	return ceil((width * count) / 8) * 8;
}

/** Reads times that {@link packTimes} wrote. Anything else reads as the times of no job. */
export class PackedTimes {
	readonly count: number;
	readonly #columns: readonly TimesColumn[];

	constructor(packed: Uint8Array) {
		this.#columns = columnsOf(packed.byteOffset % 8 === 0 ? packed : new Uint8Array(packed));
		this.count = this.#columns[0]?.count ?? 0;
	}

	/** One column, for all jobs. */
	column(name: keyof JobTimes): TimesColumn {
		return this.#columns[COLUMNS.findIndex(([each]) => each === name)] as TimesColumn;
	}

	at(job: number): JobTimes {
		const [startedAt = NaN, durationMs = NaN, cpuMs = NaN, memoryBytes = NaN] = this.#columns.map(column => column.at(job));
		return {startedAt, durationMs, cpuMs, memoryBytes};
	}

	/** The known times of one job. */
	known(job: number): Partial<JobTimes> {
		const known: Partial<Record<keyof JobTimes, number>> = {};
		for (let index = 0; index < this.#columns.length; index++) {
			const time = (this.#columns[index] as TimesColumn).at(job);
			if (!Number.isNaN(time)) known[(COLUMNS[index] as (typeof COLUMNS)[number])[0]] = time;
		}
		return known;
	}
}

/** The times of the jobs at these indexes. */
export function pickTimes(packed: Uint8Array, indexes: readonly number[]): Uint8Array<ArrayBuffer> {
	const times = new PackedTimes(packed);
	const column = (name: keyof JobTimes) => Float64Array.from(indexes, index => times.at(index)[name]);
	return packTimes(indexes.length, columnsBy(column));
}

/** The times of the jobs from `start` up to `end`. */
export function cutTimes(times: PackedTimes, start: number, end: number): Uint8Array<ArrayBuffer> {
	const cut = (name: keyof JobTimes) => {
		const [column, part] = [times.column(name), new Float64Array(end - start)];
		for (let job = 0; job < part.length; job++) part[job] = column.at(start + job);
		return part;
	};
	return packTimes(end - start, columnsBy(cut));
}

type TimesColumn = ReturnType<typeof columnOf>;

function columnOf(count: number, view: ColumnView, base: number, scale: number) {
	/** NaN if the job has no known value. */
	const at = (job: number) => (job < count ? (base + (view[job] ?? 0)) / scale : NaN);
	return {
		count,
		at,
		/** True if `is`, a range, holds for every value. Of values above a base only the two ends of what four bytes can hold are checked, which is cheaper. */
		every: (is: (value: number) => boolean) => (view instanceof Float64Array ? view.every(is) : is(base / scale) && is((base + 2 ** 32 - 1) / scale)),
		/** The lowest and the highest known value; Infinity and -Infinity if there is none. */
		bounds(): [least: number, most: number] {
			// A view of no bytes per job is empty: all values are the base.
			if (view.length === 0 && count > 0) return Number.isNaN(base) ? [Infinity, -Infinity] : [base / scale, base / scale];
			let [least, most] = [Infinity, -Infinity];
			// A comparison with NaN is false.
			for (let job = 0; job < view.length; job++) {
				const value = view[job] as number;
				if (value < least) least = value;
				if (value > most) most = value;
			}
			return [(base + least) / scale, (base + most) / scale];
		},
		/** Copies the values to `target` from `offset` on, and returns their number. */
		copyTo(target: Float64Array, offset: number): number {
			for (let job = 0; job < count; job++) target[offset + job] = at(job);
			return count;
		},
	};
}

function columnsOf({buffer, byteOffset, byteLength}: Uint8Array): TimesColumn[] {
	if (byteLength < HEAD_BYTES) return [];
	const bases = new Float64Array(buffer, byteOffset, COLUMNS.length);
	const [count = 0] = new Uint32Array(buffer, byteOffset + COUNT_AT, 1);
	const widths = new Uint8Array(buffer, byteOffset + WIDTHS_AT, COLUMNS.length);
	const columns: TimesColumn[] = [];
	let offset = HEAD_BYTES;
	for (const [index, [, scale]] of COLUMNS.entries()) {
		const width = widths[index] as Width;
		const end = offset + bytesOf(width, count);
		if (!Object.hasOwn(VIEWS, width) || end > byteLength) return [];
		const view: ColumnView = new VIEWS[width](buffer as ArrayBuffer, byteOffset + offset, width === 0 ? 0 : count);
		columns.push(columnOf(count, view, bases[index] as number, width === 8 ? 1 : scale));
		offset = end;
	}
	return columns;
}
