import {type Encoded, sizeBytes} from '../../job/encoding.ts';
import type {JobId} from '../../job/job.ts';
import {type PackedStrings, slicePacked, unpack} from '../../job/packed.ts';
import type {ClaimRequest} from '../store.ts';
import type {Statements} from './connection.ts';
import {type Lane, laneOf} from './lanes.ts';
import {jobRunOf} from './packed-rows.ts';
import {StoredState} from './tally.ts';

/** A row of the statements `readyJobs` and `newJobs`. */
export type ReadyRow = [
	rank: number,
	id: number,
	executions: number,
	batch: number | null,
	policy: number,
	createdAt: number,
	key: string | null,
	payload: Encoded,
];

/** Jobs of a run that share a row in `job_run`. */
export type PackedHead = readonly [rank: number, first: JobId, jobs: {readonly policy: number; readonly createdAt: number; readonly payloads: PackedStrings}];

/** A job with a row in `job`, or packed jobs. */
export type Head = ReadyRow | PackedHead;

export function isPacked(head: Head): head is PackedHead {
	return typeof head[2] === 'object';
}

/** The head of a lane: its first jobs, in the order of claiming. */
export interface Heads {
	readonly heads: readonly Head[];
	readonly jobs: number;
	/** The last of these jobs that has a row in `ready`. */
	readonly lastRow: ReadyRow | undefined;
	/** The runs of these jobs. `upTo` is the last job taken from a run. */
	readonly runs: readonly (ReadyRun & {readonly upTo: JobId})[];
}

interface ReadyRun {
	readonly rank: number;
	readonly first: JobId;
	readonly last: JobId;
	readonly batch: number | null;
}

/** The order of claiming: by rank, then by id. */
export function byOrder([rank, id]: readonly [number, number, ...unknown[]], [otherRank, otherId]: readonly [number, number, ...unknown[]]): number {
	return rank - otherRank || id - otherId;
}

/** Limits each lane to its share of the first jobs of all lanes. Reads the ranks, ids and sizes of jobs only. */
export function limitLanes(statements: Statements, lanes: readonly Lane[], {limit, maxBytes}: ClaimRequest): Lane[] {
	const heads = lanes.flatMap((lane, index) => sizedHeads(statements, lane).map(head => [...head, index] as const));
	heads.sort(byOrder);
	const limits = lanes.map(() => 0);
	const rooms = new Map(lanes.map(({task, room}) => [task, room]));
	let [jobs, bytes] = [0, 0];
	for (const [, , size, index] of heads) {
		if (jobs >= limit || (jobs > 0 && bytes >= maxBytes)) break;
		const {task} = lanes[index] as Lane;
		const room = rooms.get(task) as number;
		if (room === 0) continue;
		rooms.set(task, room - 1);
		(limits[index] as number)++;
		jobs++;
		bytes += size ?? 0;
	}
	return lanes.map((lane, index) => ({...lane, limit: limits[index] as number})).filter(lane => lane.limit > 0);
}

type SizedHead = [rank: number, id: JobId, sizeBytes: number | null];

function sizedHeads(statements: Statements, lane: Lane): SizedHead[] {
	const heads = statements.readyHeads.all(laneOf(lane.task, lane.state), lane.limit) as SizedHead[];
	let room = lane.limit;
	for (const {first, last} of readyRuns(statements, lane)) {
		if (room <= 0) break;
		const upTo = Math.min(last, first + room - 1);
		const run = jobRunOf(statements, first);
		if (!run) heads.push(...(statements.newHeads.all(first, upTo) as SizedHead[]));
		else for (let id = first; id <= upTo; id++) heads.push([-run.priority, id, sizeBytes(run.payloadOf(id))]);
		room -= upTo - first + 1;
	}
	return room === lane.limit ? heads : heads.sort(byOrder).slice(0, lane.limit);
}

/** Reads the first jobs of a lane, up to its limit and to this size of payloads; at least one. */
export function readHeads(statements: Statements, lane: Lane, maxBytes: number): Heads {
	const reader = new HeadReader(statements, lane, maxBytes);
	const runs = readyRuns(statements, lane);
	let run = runs.next();
	const takeRuns = (before?: ReadyRow) => {
		for (; !run.done && !reader.isFull && (!before || isBefore(run.value, before)); run = runs.next()) reader.takeRun(run.value);
	};
	// No row lies inside a run, so that runs and rows can be merged by their first jobs.
	for (const row of statements.readyJobs.iterate(laneOf(lane.task, lane.state), lane.limit) as IterableIterator<ReadyRow>) {
		takeRuns(row);
		if (reader.isFull) break;
		reader.takeRow(row);
		if (reader.isFull) break;
	}
	takeRuns();
	// Ends the statement, which must not be read while the transaction writes.
	runs.return();
	return reader;
}

/** Collects jobs until they reach the lane's limit or the size. */
class HeadReader implements Heads {
	readonly heads: Head[] = [];
	readonly runs: (ReadyRun & {readonly upTo: JobId})[] = [];
	jobs = 0;
	lastRow: ReadyRow | undefined;
	readonly #statements: Statements;
	readonly #maxJobs: number;
	readonly #maxBytes: number;
	#bytes = 0;

	constructor(statements: Statements, {limit}: Lane, maxBytes: number) {
		this.#statements = statements;
		this.#maxJobs = limit;
		this.#maxBytes = maxBytes;
	}

	get isFull(): boolean {
		return this.jobs >= this.#maxJobs || (this.jobs > 0 && this.#bytes >= this.#maxBytes);
	}

	takeRow(row: ReadyRow): void {
		this.#take(row);
		this.lastRow = row;
	}

	takeRun(run: ReadyRun): void {
		this.runs.push({...run, upTo: this.#takeJobs(run)});
	}

	#takeJobs({rank, first, last}: ReadyRun): JobId {
		const run = jobRunOf(this.#statements, first);
		if (run) {
			const to = Math.min(last, first + this.#maxJobs - this.jobs - 1);
			const payloads = sliceToSize(run.payloadsOf(first, to), this.#maxBytes - this.#bytes);
			this.heads.push([rank, first, {policy: run.policy, createdAt: run.createdAt, payloads}]);
			this.jobs += payloads.count;
			this.#bytes += sizeOf(payloads);
			return first + payloads.count - 1;
		}
		for (const row of this.#statements.newJobs.iterate(first, last) as IterableIterator<ReadyRow>) {
			this.#take(row);
			if (this.isFull) return row[1];
		}
		return last;
	}

	#take(row: ReadyRow): void {
		this.heads.push(row);
		this.jobs++;
		this.#bytes += sizeBytes(row[7]);
	}
}

/** The ready runs of the lane, in the order of claiming. Quarantined jobs are in no run. */
function* readyRuns(statements: Statements, {task, state, limit}: Lane): Generator<ReadyRun, void> {
	if (state !== StoredState.ready) return;
	const rows = statements.readyRuns.iterate(task, limit) as IterableIterator<[rank: number, first: JobId, last: JobId, batch: number | null]>;
	for (const [rank, first, last, batch] of rows) yield {rank, first, last, batch};
}

/** The first payloads, up to the one that brings them to this size; at least one. */
function sliceToSize(payloads: PackedStrings, bytes: number): PackedStrings {
	if (sizeOf(payloads) < bytes) return payloads;
	const values = unpack(payloads);
	let [count, size] = [0, 0];
	do size += sizeBytes(values[count++] as Encoded);
	while (count < values.length && size < bytes);
	return slicePacked(payloads, 0, count);
}

/** The size of the payloads, without the line breaks between them. */
function sizeOf({count, text}: PackedStrings): number {
	return text === null ? 0 : sizeBytes(text) - (count - 1);
}

function isBefore({rank, first}: ReadyRun, [otherRank, id]: ReadyRow): boolean {
	return rank < otherRank || (rank === otherRank && first < id);
}
