import type {Settlement} from '../../../job/claim.ts';
import {type EndedGroup, sizeOf} from '../../../job/groups/group.ts';
import {asPacked, joinPacked, type PackedStrings, readPacked, slicePacked} from '../../../job/groups/packed.ts';
import {type JobTimes, PackedTimes, packTimes, pickTimes} from '../../../job/groups/packed-times.ts';
import type {JobId} from '../../../job/job.ts';
import {MAX_RUN_JOBS} from '../connection/schema.sql.ts';
import type {Statements} from '../connection/statements.sql.ts';
import {lastOfRun} from './run-range.ts';

/** A row of the statement `outcomeRunOf`. */
export type OutcomeRun = readonly [
	first: JobId,
	last: JobId,
	batch: number | null,
	endedAt: number,
	times: Uint8Array,
	results: string | null,
	workers: string | null,
];

/**
 * Writes a run, with the bounds of its times: lists that are sorted by a time find it by them.
 * @param parts the times of the run
 */
export function insertOutcomeRun({insertOutcomeRun}: Statements, run: OutcomeRun, parts: readonly Timed[]): void {
	insertOutcomeRun.run(...run, ...boundsOf(parts, 'startedAt'), ...boundsOf(parts, 'durationMs'));
}

/** The times of a group, or of one execution. */
type Timed = {readonly times: PackedTimes} | {readonly times?: undefined; readonly settlement: Settlement};

/** The lowest and the highest value; -1 if none is known. */
function boundsOf(parts: readonly Timed[], name: 'startedAt' | 'durationMs'): readonly [lowest: number, highest: number] {
	let [lowest, highest] = [Infinity, -Infinity];
	for (const part of parts) {
		const value = part.times ? undefined : part.settlement.outcome[name];
		const [least = value ?? Infinity, most = value ?? -Infinity] = part.times?.column(name)?.bounds() ?? [];
		lowest = Math.min(lowest, least);
		highest = Math.max(highest, most);
	}
	return Number.isFinite(lowest) && Number.isFinite(highest) ? [lowest, highest] : [-1, -1];
}

/** The run that has this job, if it completed in one. */
export function outcomeRunOf({outcomeRunOf}: Statements, id: JobId): OutcomeRun | undefined {
	return outcomeRunOf.get(id, id) as OutcomeRun | undefined;
}

/** The results of completed jobs of a run, from this job up to `last` at most; `undefined` if the job did not complete in a run. */
export function resultsOfRun(statements: Statements, id: JobId, last: JobId): PackedStrings | undefined {
	const run = outcomeRunOf(statements, id);
	if (!run) return undefined;
	const [first, end, , , , results] = run;
	return slicePacked({count: end - first + 1, text: results}, id - first, Math.min(last, end) - first + 1);
}

/** The part of a run from one job up to another one. */
export function sliceOutcomeRun([first, last, batch, endedAt, times, results, workers]: OutcomeRun, from: JobId, to: JobId): OutcomeRun {
	const [start, end] = [from - first, to - first + 1];
	const {text} = slicePacked({count: last - first + 1, text: results}, start, end);
	const indexes = Array.from({length: end - start}, (_, index) => start + index);
	const ran = readWorkers(workers).slice(start, end);
	return [from, to, batch, endedAt, pickTimes(times, indexes), text, writeWorkers(ran.map(worker => [1, worker]))];
}

/** The run in parts, of which one worker ran each. */
export function byWorker(run: OutcomeRun): (readonly [part: OutcomeRun, worker: string | null])[] {
	const [first, last] = [run[0], lastOfRun(run[0], run[1])];
	const ran = readWorkers(run[6]);
	const parts: [OutcomeRun, string | null][] = [];
	for (let from = first; from <= last; ) {
		const worker = ran[from - first] ?? null;
		let to = from;
		while (to < last && (ran[to + 1 - first] ?? null) === worker) to++;
		parts.push([from === first && to === run[1] ? run : sliceOutcomeRun(run, from, to), worker]);
		from = to + 1;
	}
	return parts;
}

/** Executions that fit in a run: a group, with its times, or a single one. */
export type RunSlice =
	| {readonly group: EndedGroup; readonly times: PackedTimes; readonly settlement?: undefined}
	| {readonly group?: undefined; readonly times?: undefined; readonly settlement: Settlement};

/** The columns `times`, `results` and `workers` of these executions. */
export function writeResults(parts: readonly RunSlice[], jobs: number): [times: Uint8Array, results: string | null, workers: string | null] {
	const [only] = parts;
	const workers = writeWorkers(parts.map(({group, settlement}) => (group ? [sizeOf(group), group.worker] : [1, settlement.worker])));
	if (parts.length === 1 && only?.group) return [only.group.times, valuesOf(only).text, workers];
	return [joinTimes(parts, jobs), joinPacked(parts.map(valuesOf)).text, workers];
}

/** A number of consecutive jobs, and the worker that ran them, if it is known. */
type WorkerOfJobs = readonly [jobs: number, worker: string | null | undefined];

function writeWorkers(all: readonly WorkerOfJobs[]): string | null {
	const joined: [jobs: number, worker: string | null][] = [];
	for (const [jobs, worker = null] of all) {
		const last = joined.at(-1);
		if (last?.[1] === worker) last[0] += jobs;
		else joined.push([jobs, worker]);
	}
	return joined.some(([, worker]) => worker !== null) ? JSON.stringify(joined) : null;
}

/** The worker of each job of a run. If another program wrote the column, what can be read of it. */
function readWorkers(stored: string | null): (string | null)[] {
	try {
		const pairs = JSON.parse(stored ?? '[]') as [unknown, unknown][];
		return pairs.flatMap(([jobs, worker]) => {
			const count = Math.min(Number(jobs), MAX_RUN_JOBS);
			return new Array<string | null>(count).fill(typeof worker === 'string' ? worker : null);
		});
	} catch {
		return [];
	}
}

function valuesOf({group, settlement}: RunSlice): PackedStrings {
	if (group) return asPacked(group.values) as PackedStrings;
	return {count: 1, text: settlement.outcome.type === 'returned' ? (settlement.outcome.value as string | null) : null};
}

function joinTimes(parts: readonly RunSlice[], jobs: number): Uint8Array {
	const all = parts.map(({times, settlement}) => times ?? settlement.outcome);
	const join = (name: keyof JobTimes): Float64Array => {
		const column = new Float64Array(jobs);
		let offset = 0;
		for (const each of all) {
			if (each instanceof PackedTimes) offset += each.column(name).copyTo(column, offset);
			else column[offset++] = each[name] ?? NaN;
		}
		return column;
	};
	return packTimes(jobs, {startedAt: join('startedAt'), durationMs: join('durationMs'), cpuMs: join('cpuMs'), memoryBytes: join('memoryBytes')});
}

/** The outcome of one job of a run. */
type RunResult = {readonly [Name in keyof JobTimes]: number | null} & {
	readonly endedAt: number;
	readonly value: string | null;
	readonly worker: string | null;
};

/** The outcome of each job of the run. Of a damaged row, the values that can still be read. */
export function readResults([first, last, , endedAt, times, results, workers]: OutcomeRun): RunResult[] {
	const packed = new PackedTimes(times);
	const ran = readWorkers(workers);
	const valueAt = readPacked(results);
	const known = (value: number) => (Number.isFinite(value) ? value : null);
	return Array.from({length: lastOfRun(first, last) - first + 1}, (_, index) => {
		const {startedAt, durationMs, cpuMs, memoryBytes} = packed.at(index);
		const times = {startedAt: known(startedAt), durationMs: known(durationMs), cpuMs: known(cpuMs), memoryBytes: known(memoryBytes)};
		return {...times, endedAt, value: valueAt(index), worker: ran[index] ?? null};
	});
}

const MAX_CACHED_RUNS = 8;

const cached = new WeakMap<Statements, Map<JobId, readonly RunResult[]>>();

/**
 * The outcome of this job, if it completed in a run. The last runs are cached, since callers often ask for neighbours. The cache stays valid: a run may
 * be deleted but never changes, and no later run begins with the same job. Don't call this in a transaction that may be rolled back.
 */
export function resultInRun(statements: Statements, id: JobId): RunResult | undefined {
	const found = resultsWith(statements, id);
	return found?.results[id - found.first];
}

/** The outcomes of the run that has this job. */
export function resultsWith(statements: Statements, id: JobId): {readonly first: JobId; readonly results: readonly RunResult[]} | undefined {
	const first = statements.outcomeRunFirst.get(id, id) as JobId | undefined;
	if (first === undefined) return undefined;
	const runs = cached.get(statements) ?? new Map<JobId, readonly RunResult[]>();
	cached.set(statements, runs);
	let results = runs.get(first);
	if (!results) {
		results = readResults(outcomeRunOf(statements, id) as OutcomeRun);
		runs.set(first, results);
		for (const oldest of runs.keys()) if (runs.size > MAX_CACHED_RUNS) runs.delete(oldest);
	}
	return {first, results};
}
