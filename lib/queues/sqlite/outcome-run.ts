import type {JobId} from '../../job.ts';
import {isLine, joinLines, type Lines, readLines} from '../../lines.ts';
import type {Outcome} from '../../queue.ts';
import {isReturnedRun, type Settling, TIMES} from '../../runs.ts';

/** A row of the statement `outcomeRunOf`. */
export type OutcomeRunRow = readonly [first: JobId, last: JobId, endedAt: number, times: Uint8Array, results: string | null];

/** What a run knows of one of its jobs. */
export interface RunResult {
	readonly id: JobId;
	readonly startedAt: number | null;
	readonly endedAt: number;
	readonly durationMs: number | null;
	readonly cpuMs: number | null;
	readonly memoryBytes: number | null;
	readonly value: string | null;
}

/** True if a run can hold all that is known of how this execution ended. A result is a line of the run: so one without line breaks. */
export function fitsInRun(outcome: Outcome): outcome is Outcome & {readonly type: 'returned'; readonly value: string | null} {
	return outcome.type === 'returned' && !outcome.enqueue && isLine(outcome.value);
}

/** The columns `times` and `results` of such outcomes, of so many jobs in all. */
export function writeResults(settling: readonly Settling[], jobs: number): [times: Uint8Array, results: string | null] {
	const times = new Float64Array(TIMES * jobs);
	let offset = 0;
	const lines = settling.map((each): Lines => {
		if (isReturnedRun(each)) {
			times.set(each.times, offset);
			offset += each.times.length;
			return each.values;
		}
		const {startedAt = NaN, durationMs = NaN, cpuMs = NaN, memoryBytes = NaN} = each.outcome;
		for (const time of [startedAt, durationMs, cpuMs, memoryBytes]) times[offset++] = time;
		return {count: 1, text: each.outcome.type === 'returned' ? (each.outcome.value as string | null) : null};
	});
	return [new Uint8Array(times.buffer), joinLines(lines).text];
}

/** What the run says of each of its jobs; of one that somebody tampered with, what it still does. */
export function readResults([first, last, endedAt, times, results]: OutcomeRunRow): RunResult[] {
	const numbers = new DataView(times.buffer, times.byteOffset, times.byteLength);
	const count = Math.min(last - first + 1, Math.floor(times.byteLength / (TIMES * BYTES)));
	const valueAt = readLines(results);
	return Array.from({length: count}, (_, index) => {
		const time = (which: number) => {
			const value = numbers.getFloat64((TIMES * index + which) * BYTES, IS_LITTLE_ENDIAN);
			return Number.isFinite(value) ? value : null;
		};
		return {id: first + index, startedAt: time(0), endedAt, durationMs: time(1), cpuMs: time(2), memoryBytes: time(3), value: valueAt(index)};
	});
}

const BYTES = Float64Array.BYTES_PER_ELEMENT;
/** A file is read where it was written. */
const IS_LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
