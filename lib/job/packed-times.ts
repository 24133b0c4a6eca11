import {ceil, round} from '../support/primordials.ts';

/** The times of one execution, and what it used; NaN if a value is not known. */
export interface JobTimes {
	/** Milliseconds since 1970. */
	readonly startedAt: number;
	readonly durationMs: number;
	readonly cpuMs: number;
	readonly memoryBytes: number;
}

/** Durations are stored in units of 10 ns. */
const UNITS_PER_MS = 100_000;

/** The columns, and how many units each of their values counts for 1. A column of whole units takes 0, 1, 2 or 4 bytes a job, any other 8. */
const COLUMNS = [
	['startedAt', 1],
	['durationMs', UNITS_PER_MS],
	['cpuMs', UNITS_PER_MS],
	['memoryBytes', 1],
] as const;

/**
 * The head of packed times: a float64 for each column, its base in units; a uint32, the number of jobs; and a byte for each column,
 * the number of its bytes per job.
 */
const COUNT_AT = COLUMNS.length * Float64Array.BYTES_PER_ELEMENT;
const WIDTHS_AT = COUNT_AT + Uint32Array.BYTES_PER_ELEMENT;
const HEAD_BYTES = WIDTHS_AT + COLUMNS.length;

/** How columns are read, by their bytes per job: none if all its values are the same. */
const VIEWS = {0: Uint8Array, 1: Uint8Array, 2: Uint16Array, 4: Uint32Array, 8: Float64Array} as const;
type Width = keyof typeof VIEWS;
type ColumnView = Uint8Array | Uint16Array | Uint32Array | Float64Array;

/** Rounds milliseconds to whole units, which take fewer bytes. */
export function inUnits(ms: number): number {
	return round(ms * UNITS_PER_MS) / UNITS_PER_MS;
}

/** A value for each job. A column is left out if none of its values is known. */
export type UnpackedTimes = {readonly [Name in keyof JobTimes]?: Float64Array | undefined};

/** Packs the times of `count` jobs into a few bytes each, without rounding. They are in the machine's byte order, since a database stays on its machine. */
export function packTimes(count: number, times: UnpackedTimes): Uint8Array<ArrayBuffer> {
	const forms = COLUMNS.map(([name, scale]) => formOf(times[name], scale));
	const packed = new Uint8Array(forms.reduce((bytes, {width}) => bytes + bytesOf(width, count), HEAD_BYTES));
	new Float64Array(packed.buffer).set(forms.map(({base}) => base));
	new Uint32Array(packed.buffer, COUNT_AT)[0] = count;
	let offset = HEAD_BYTES;
	for (const [index, [name, scale]] of COLUMNS.entries()) {
		const {width, base} = forms[index] as Form;
		packed[WIDTHS_AT + index] = width;
		if (width > 0) write(times[name] as Float64Array, new VIEWS[width](packed.buffer, offset, count), base, scale);
		offset += bytesOf(width, count);
	}
	return packed;
}

/** How a column is written. */
interface Form {
	/** Bytes per job. */
	readonly width: Width;
	/** In units. It is subtracted from each value, unless the values are written as doubles. */
	readonly base: number;
}

const DOUBLES: Form = {width: 8, base: 0};
const UNKNOWN: Form = {width: 0, base: NaN};

function formOf(column: Float64Array | undefined, scale: number): Form {
	if (!column?.some(value => !Number.isNaN(value))) return UNKNOWN;
	const [least, most] = rangeOf(column, scale);
	const range = most - least;
	if (!(Number.isSafeInteger(least) && range < 2 ** 32)) return DOUBLES;
	return {width: range === 0 ? 0 : range < 2 ** 8 ? 1 : range < 2 ** 16 ? 2 : 4, base: least};
}

/** The smallest and the largest value of the column, in units. `[0, Infinity]` if not all values are whole units. */
function rangeOf(column: Float64Array, scale: number): [least: number, most: number] {
	let [least, most] = [Infinity, -Infinity];
	for (let job = 0; job < column.length; job++) {
		const value = column[job] as number;
		const units = round(value * scale);
		if (units / scale !== value) return [0, Infinity];
		if (units < least) least = units;
		if (units > most) most = units;
	}
	return [least, most];
}

function write(column: Float64Array, to: ColumnView, base: number, scale: number): void {
	if (to instanceof Float64Array) to.set(column);
	else for (let job = 0; job < to.length; job++) to[job] = round((column[job] as number) * scale) - base;
}

/** Bytes of a column: a multiple of eight, so that the next one is aligned. */
function bytesOf(width: number, count: number): number {
	return ceil((width * count) / 8) * 8;
}

const UNKNOWN_TIMES: JobTimes = {startedAt: NaN, durationMs: NaN, cpuMs: NaN, memoryBytes: NaN};

/** Reads times that {@link packTimes} wrote. Anything else reads as the times of no job. */
export class PackedTimes {
	readonly count: number;
	readonly #columns: readonly TimesColumn[];

	constructor(packed: Uint8Array) {
		const columns = columnsOf(packed.byteOffset % 8 === 0 ? packed : new Uint8Array(packed));
		this.count = columns[0]?.count ?? 0;
		this.#columns = columns;
	}

	/** One column, for all jobs. */
	column(name: keyof JobTimes): TimesColumn {
		return this.#columns[COLUMNS.findIndex(([each]) => each === name)] as TimesColumn;
	}

	at(job: number): JobTimes {
		if (job >= this.count) return UNKNOWN_TIMES;
		const [startedAt, durationMs, cpuMs, memoryBytes] = this.#columns.map(column => column.at(job)) as [number, number, number, number];
		return {startedAt, durationMs, cpuMs, memoryBytes};
	}

	/** The known times of one job. */
	known(job: number): Partial<JobTimes> {
		return Object.fromEntries(Object.entries(this.at(job)).filter(([, value]) => !Number.isNaN(value)));
	}
}

/** The times of the jobs at these indexes. */
export function pickTimes(packed: Uint8Array, indexes: readonly number[]): Uint8Array<ArrayBuffer> {
	const times = new PackedTimes(packed);
	const column = (name: keyof JobTimes) => Float64Array.from(indexes, index => times.at(index)[name]);
	return packTimes(indexes.length, {
		startedAt: column('startedAt'),
		durationMs: column('durationMs'),
		cpuMs: column('cpuMs'),
		memoryBytes: column('memoryBytes'),
	});
}

/** One column of packed times. */
export class TimesColumn {
	readonly count: number;
	readonly #view: ColumnView;
	readonly #base: number;
	readonly #scale: number;

	constructor(count: number, view: ColumnView, base: number, scale: number) {
		this.count = count;
		this.#view = view;
		this.#base = base;
		this.#scale = scale;
	}

	/** NaN if a value is not known. */
	sum(): number {
		let units = this.#base * this.count;
		for (let job = 0; job < this.#view.length; job++) units += this.#view[job] as number;
		return units / this.#scale;
	}

	/**
	 * True if `is` holds for every value. Where values are whole units above a base, only the two ends of what four bytes can hold are checked,
	 * which is cheaper: `is` must be a range.
	 */
	every(is: (value: number) => boolean): boolean {
		if (this.#view instanceof Float64Array) return this.#view.every(is);
		return is(this.#base / this.#scale) && is((this.#base + 2 ** 32 - 1) / this.#scale);
	}

	/** Calls `call` with each value and the number of consecutive jobs that have it. */
	forEach(call: (value: number, jobs: number) => void): void {
		const view = this.#view;
		let start = 0;
		for (let job = 1; job <= this.count; job++) {
			if (job < this.count && view[job] === view[start]) continue;
			call(this.at(start), job - start);
			start = job;
		}
	}

	/** Copies the values to `target` from `offset` on, and returns their number. */
	copyTo(target: Float64Array, offset: number): number {
		for (let job = 0; job < this.count; job++) target[offset + job] = this.at(job);
		return this.count;
	}

	at(job: number): number {
		return (this.#base + (this.#view[job] ?? 0)) / this.#scale;
	}
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
		columns.push(new TimesColumn(count, view, bases[index] as number, width === 8 ? 1 : scale));
		offset = end;
	}
	return columns;
}
