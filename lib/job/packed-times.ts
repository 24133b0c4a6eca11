import {ceil, round} from '../support/primordials.ts';

/** What is known of when and for how long a job ran; NaN for what isn't. */
export interface JobTimes {
	/** Milliseconds since 1970. */
	readonly startedAt: number;
	readonly durationMs: number;
	readonly cpuMs: number;
	readonly memoryBytes: number;
}

/** Durations are kept in units of 10 ns. */
const UNITS_PER_MS = 100_000;

/** The columns, and how many units are in one of what they hold. Whole units take one, two or four bytes a job, anything else eight. */
const COLUMNS = [
	['startedAt', 1],
	['durationMs', UNITS_PER_MS],
	['cpuMs', UNITS_PER_MS],
	['memoryBytes', 1],
] as const;

/** Of each column a float64, in units: what its values have in common; then how many jobs there are; and a byte of each column, how many bytes of it a job has. */
const COUNT_AT = COLUMNS.length * Float64Array.BYTES_PER_ELEMENT;
const WIDTHS_AT = COUNT_AT + Uint32Array.BYTES_PER_ELEMENT;
const HEAD_BYTES = WIDTHS_AT + COLUMNS.length;

/** Where all of a column are the same, its jobs have no bytes of it. */
const VIEWS = {0: Uint8Array, 1: Uint8Array, 2: Uint16Array, 4: Uint32Array, 8: Float64Array} as const;
type Width = keyof typeof VIEWS;
type ColumnView = Uint8Array | Uint16Array | Uint32Array | Float64Array;

/** The milliseconds in whole units, which takes less room than what a clock says. */
export function inUnits(ms: number): number {
	return round(ms * UNITS_PER_MS) / UNITS_PER_MS;
}

/** Of each job; left out where nothing is known of any. */
export type UnpackedTimes = {readonly [Name in keyof JobTimes]?: Float64Array | undefined};

/** The times of so many jobs, in a few bytes each and exactly as they are, in the machine's own byte order: a file is read where it was written. */
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
	readonly width: Width;
	/** In units; of what is in whole bytes, what is left out of each. */
	readonly base: number;
}

const AS_IT_IS: Form = {width: 8, base: 0};
const UNKNOWN: Form = {width: 0, base: NaN};

function formOf(column: Float64Array | undefined, scale: number): Form {
	if (!column?.some(value => !Number.isNaN(value))) return UNKNOWN;
	const [least, most] = rangeOf(column, scale);
	const range = most - least;
	if (!(Number.isSafeInteger(least) && range < 2 ** 32)) return AS_IT_IS;
	return {width: range === 0 ? 0 : range < 2 ** 8 ? 1 : range < 2 ** 16 ? 2 : 4, base: least};
}

/** From the least of the column to the largest, in units; up to infinity if not all of them are whole ones. */
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

/** A multiple of eight, so that the next column can be read as what it is. */
function bytesOf(width: number, count: number): number {
	return ceil((width * count) / 8) * 8;
}

const NOTHING: JobTimes = {startedAt: NaN, durationMs: NaN, cpuMs: NaN, memoryBytes: NaN};

/** Reads what {@link packTimes} wrote; of anything else, that it tells of no job. */
export class PackedTimes {
	readonly count: number;
	readonly #columns: readonly TimesColumn[];

	constructor(packed: Uint8Array) {
		const columns = columnsOf(packed.byteOffset % 8 === 0 ? packed : new Uint8Array(packed));
		this.count = columns[0]?.count ?? 0;
		this.#columns = columns;
	}

	/** One of the times of all jobs. */
	column(name: keyof JobTimes): TimesColumn {
		return this.#columns[COLUMNS.findIndex(([each]) => each === name)] as TimesColumn;
	}

	at(job: number): JobTimes {
		if (job >= this.count) return NOTHING;
		const [startedAt, durationMs, cpuMs, memoryBytes] = this.#columns.map(column => column.at(job)) as [number, number, number, number];
		return {startedAt, durationMs, cpuMs, memoryBytes};
	}
}

/** The times of the jobs from `start` up to `end`, as exact as they were. */
export function sliceTimes(packed: Uint8Array, start: number, end: number): Uint8Array<ArrayBuffer> {
	const times = new PackedTimes(packed);
	const column = (name: keyof JobTimes) => Float64Array.from({length: end - start}, (_, index) => times.at(start + index)[name]);
	return packTimes(end - start, {startedAt: column('startedAt'), durationMs: column('durationMs'), cpuMs: column('cpuMs'), memoryBytes: column('memoryBytes')});
}

/** A value of each job. */
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

	/** NaN unless it is known of every job. */
	sum(): number {
		let units = this.#base * this.count;
		for (let job = 0; job < this.#view.length; job++) units += this.#view[job] as number;
		return units / this.#scale;
	}

	/** True if `is` holds for every value. Values that are counted from a least one can't be larger than four bytes let them: only the two ends are looked at. */
	every(is: (value: number) => boolean): boolean {
		if (this.#view instanceof Float64Array) return this.#view.every(is);
		return is(this.#base / this.#scale) && is((this.#base + 2 ** 32 - 1) / this.#scale);
	}

	/** Calls with each value and how many jobs in a row have it. */
	forEach(call: (value: number, jobs: number) => void): void {
		const view = this.#view;
		let start = 0;
		for (let job = 1; job <= this.count; job++) {
			if (job < this.count && view[job] === view[start]) continue;
			call(this.at(start), job - start);
			start = job;
		}
	}

	/** Returns how many there are. */
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
