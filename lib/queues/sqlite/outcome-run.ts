import type {JobId} from '../../job.ts';
import type {Outcome, Settlement} from '../../queue.ts';

/** Longer results have rows of their own: who asks for one of a run reads the whole. */
const MAX_RESULT_LENGTH = 256;

/** A row of the statement `outcomeRunOf`. */
export type OutcomeRunRow = readonly [first: JobId, last: JobId, endedAt: number, times: Uint8Array, results: string | null];

/** What a run knows of one of its jobs. */
export interface RunResult {
	readonly id: JobId;
	readonly startedAt: number | null;
	readonly endedAt: number;
	readonly durationMs: number | null;
	readonly cpuMs: number | null;
	readonly value: string | null;
}

/** True if a run can hold all that is known of how this execution ended. A result is a line of the run: so one without line breaks. */
export function fitsInRun(outcome: Outcome): outcome is Outcome & {readonly type: 'returned'; readonly value: string | null} {
	if (outcome.type !== 'returned' || outcome.enqueue || outcome.memoryBytes !== undefined) return false;
	const {value} = outcome;
	return value === null || (typeof value === 'string' && value.length <= MAX_RESULT_LENGTH && value !== '' && !value.includes('\n'));
}

/** The columns `times` and `results` of such outcomes. */
export function writeResults(settlements: readonly Settlement[]): [times: Uint8Array, results: string | null] {
	const times = new Float64Array(TIMES * settlements.length);
	let isEmpty = true;
	const lines = settlements.map(({outcome}, index) => {
		times[TIMES * index] = outcome.startedAt ?? NaN;
		times[TIMES * index + 1] = outcome.durationMs ?? NaN;
		times[TIMES * index + 2] = outcome.cpuMs ?? NaN;
		const value = outcome.type === 'returned' ? outcome.value : null;
		if (value !== null) isEmpty = false;
		return value;
	});
	// What is null becomes an empty line.
	return [new Uint8Array(times.buffer), isEmpty ? null : lines.join('\n')];
}

/** What the run says of each of its jobs; of one that somebody tampered with, what it still does. */
export function readResults([first, last, endedAt, times, results]: OutcomeRunRow): RunResult[] {
	const numbers = new DataView(times.buffer, times.byteOffset, times.byteLength);
	const count = Math.min(last - first + 1, Math.floor(times.byteLength / (TIMES * BYTES)));
	const lines = results?.split('\n') ?? [];
	return Array.from({length: count}, (_, index) => {
		const time = (which: number) => {
			const value = numbers.getFloat64((TIMES * index + which) * BYTES, IS_LITTLE_ENDIAN);
			return Number.isFinite(value) ? value : null;
		};
		return {id: first + index, startedAt: time(0), endedAt, durationMs: time(1), cpuMs: time(2), value: lines[index] || null};
	});
}

const TIMES = 3;
const BYTES = Float64Array.BYTES_PER_ELEMENT;
/** A file is read where it was written. */
const IS_LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
