import type {JobId} from '../../job/job.ts';
import type {Outcome} from '../../job/outcome.ts';
import {isPackable, joinPacked, type PackedStrings, readPacked, slicePacked} from '../../job/packed-strings.ts';
import {type JobTimes, PackedTimes, packTimes, sliceTimes} from '../../job/packed-times.ts';
import {isReturnedRun, MAX_RUN_JOBS, type Settling} from '../../job/runs.ts';

/** A row of the statement `outcomeRunOf`. */
export type OutcomeRunRow = readonly [first: JobId, last: JobId, batch: number | null, endedAt: number, times: Uint8Array, results: string | null];

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
	return outcome.type === 'returned' && !outcome.enqueue && isPackable(outcome.value);
}

/** The columns `times` and `results` of such outcomes, of so many jobs in all. */
export function writeResults(settling: readonly Settling[], jobs: number): [times: Uint8Array, results: string | null] {
	const [only] = settling;
	if (settling.length === 1 && only && isReturnedRun(only)) return [only.times, only.values.text];
	const lines = settling.map((each): PackedStrings => {
		if (isReturnedRun(each)) return each.values;
		return {count: 1, text: each.outcome.type === 'returned' ? (each.outcome.value as string | null) : null};
	});
	return [joinTimes(settling, jobs), joinPacked(lines).text];
}

function joinTimes(settling: readonly Settling[], jobs: number): Uint8Array {
	const runs = settling.map(each => (isReturnedRun(each) ? new PackedTimes(each.times) : each.outcome));
	const join = (name: keyof JobTimes): Float64Array => {
		const column = new Float64Array(jobs);
		let offset = 0;
		for (const each of runs) {
			if (each instanceof PackedTimes) offset += each.column(name).copyTo(column, offset);
			else column[offset++] = each[name] ?? NaN;
		}
		return column;
	};
	return packTimes(jobs, {startedAt: join('startedAt'), durationMs: join('durationMs'), cpuMs: join('cpuMs'), memoryBytes: join('memoryBytes')});
}

/** What the run says of each of its jobs; of one that somebody tampered with, what it still does. */
export function readResults([first, last, , endedAt, times, results]: OutcomeRunRow): RunResult[] {
	const packed = new PackedTimes(times);
	const count = Math.min(last - first + 1, MAX_RUN_JOBS);
	const valueAt = readPacked(results);
	return Array.from({length: count}, (_, index) => {
		const {startedAt, durationMs, cpuMs, memoryBytes} = packed.at(index);
		return {
			id: first + index,
			startedAt: known(startedAt),
			endedAt,
			durationMs: known(durationMs),
			cpuMs: known(cpuMs),
			memoryBytes: known(memoryBytes),
			value: valueAt(index),
		};
	});
}

/** The row of a part of the run, from one of its jobs up to another. */
export function sliceOutcomeRun([first, last, batch, endedAt, times, results]: OutcomeRunRow, from: JobId, to: JobId): OutcomeRunRow {
	const [start, end] = [from - first, to - first + 1];
	const {text} = slicePacked({count: last - first + 1, text: results}, start, end);
	return [from, to, batch, endedAt, sliceTimes(times, start, end), text];
}

function known(value: number): number | null {
	return Number.isFinite(value) ? value : null;
}
