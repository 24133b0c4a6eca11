import {ceil, round} from '../../support/primordials.ts';
import type {Timing} from '../claim.ts';

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
export function packTimes(count: number, times: UnpackedTimes): Uint8Array {
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
export function pickTimes(packed: Uint8Array, indexes: readonly number[]): Uint8Array {
	const times = new PackedTimes(packed);
	const column = (name: keyof JobTimes) => Float64Array.from(indexes, index => times.at(index)[name]);
	return packTimes(indexes.length, columnsBy(column));
}

/** The times of the jobs from `start` up to `end`. */
export function cutTimes(times: PackedTimes, start: number, end: number): Uint8Array {
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
