import {type Encoded, sizeBytes} from '../../../job/encoding.ts';
import {type PackedStrings, readPacked, slicePacked, unpack} from '../../../job/groups/packed.ts';
import {type JobId, mostTogether} from '../../../job/job.ts';
import {type Charges, NO_CHARGES} from '../../../job/next-state.ts';
import type {ClaimRequest} from '../../store.ts';
import {StoredState} from '../../stored-state.ts';
import {inScope, nameOf} from '../../task-number.ts';
import type {Statements} from '../connection/statements.sql.ts';
import {type FoundJob, type JobRun, jobRunOf, keysOf, payloadsOf} from './packed-rows.ts';
import type {Range} from './run-range.ts';
import type {Tx} from './tx.ts';

/** A requested lane of one scope, whose task is not paused. */
export interface Lane {
	readonly name: string;
	readonly scope: string | undefined;
	readonly task: number;
	/** The most jobs of it and its like in other scopes together. */
	readonly limit: number;
	readonly state: typeof StoredState.ready | typeof StoredState.quarantined;
	readonly concurrency: number;
	/** The number of jobs in the lane before this transaction. */
	readonly ready: number;
	/** The number of running jobs of the task, in all scopes, before this transaction; 0 if `concurrency` is infinite. */
	readonly running: number;
}

/** Call it before the tally is written. */
export function requestedLanes({facts}: Tx, {lanes, scopes = []}: ClaimRequest): Lane[] {
	const unpaused = facts.get('unpaused');
	const numbers = [[undefined, 0] as const, ...scopes.flatMap(scope => (facts.get('scopes').get(scope) ?? []).map(([number]) => [scope, number] as const))];
	return lanes.flatMap(({task: name, limit, isQuarantined, concurrency = Infinity}) => {
		const unscoped = unpaused.get(name);
		if (unscoped === undefined) return [];
		const state = isQuarantined ? StoredState.quarantined : StoredState.ready;
		const running = concurrency === Infinity ? 0 : facts.sumOf(unscoped, [StoredState.running]);
		return numbers.map(([scope, number]) => {
			const task = inScope(unscoped, number);
			return {name, scope, task, state, limit, concurrency, ready: facts.jobsIn(task, state), running};
		});
	});
}

/** The number of jobs in the requested lanes that are still ready and could be claimed. Call it before the tally is written. */
export function backlog(tx: Tx, requested: readonly Lane[]): number {
	let jobs = 0;
	for (const lanes of Map.groupBy(requested, ({name}) => name).values()) {
		const ready = lanes.reduce((sum, lane) => sum + readyIn(tx, lane), 0);
		jobs += Math.min(ready, roomOf(tx, lanes[0] as Lane));
	}
	return jobs;
}

/** The number of ready jobs in the lane, at this moment of the transaction. */
export function readyIn({tally}: Tx, {task, state, ready}: Lane): number {
	return ready + tally.tasks.get(task, state);
}

/** The number of jobs of the task, in all its lanes, that can be claimed without exceeding its concurrency. */
export function roomOf({tally}: Tx, {task, concurrency, running}: Lane): number {
	return concurrency === Infinity ? Infinity : Math.max(0, concurrency - running - tally.tasks.sum(StoredState.running, nameOf(task)));
}

/** The lanes from which the request takes jobs, each limited to its share. */
export function lanesToClaim(tx: Tx, requested: readonly Lane[], request: ClaimRequest): readonly Lane[] {
	const open = requested.map(lane => ({...lane, limit: openLimit(tx, lane, requested, request.limit)})).filter(({limit}) => limit > 0);
	return open.length > 1 ? shareOut(tx, open, request) : open;
}

function openLimit(tx: Tx, lane: Lane, requested: readonly Lane[], maxJobs: number): number {
	if (readyIn(tx, lane) === 0) return 0;
	const limit = Math.min(lane.limit, maxJobs, roomOf(tx, lane));
	if (lane.state !== StoredState.quarantined || limit === 0) return limit;
	const alike = requested.filter(({name, state}) => name === lane.name && state === lane.state);
	return quarantineLimit(tx, alike, limit);
}

/** The number of the task's first quarantined jobs, in all scopes, that may run together. The suspicion of each job limits the size of its chunk. */
function quarantineLimit({statements}: Tx, alike: readonly Lane[], limit: number): number {
	let [jobs, most] = [0, Math.min(limit, mostTogether(1))];
	const first = alike.flatMap(({task, state}) => statements.suspicionsInLane.all(laneKey(task, state), most) as [rank: number, id: JobId, suspicion: number][]);
	for (const [, , suspicion] of first.sort(byOrder)) {
		most = Math.min(most, mostTogether(suspicion));
		if (jobs >= most) break;
		jobs++;
	}
	return jobs;
}

/** Limits each lane to its share of the first jobs of all lanes. Reads the ranks, ids and sizes of jobs only. */
function shareOut(tx: Tx, lanes: readonly Lane[], {limit, maxBytes}: ClaimRequest): Lane[] {
	const spans = lanes.flatMap(lane => spansIn(tx.statements, lane));
	const mayBeLarge = spans.reduce((sum, {maxBytes}) => sum + maxBytes, 0) >= maxBytes;
	const parts = mayBeLarge ? spans.flatMap(toSingles) : spans;
	parts.sort((a, b) => byOrder([a.rank, a.first], [b.rank, b.first]));
	const limits = new Map<Lane, number>();
	// What is left of the concurrency of a task, and of the limit that a lane and its like in other scopes share.
	const left = new Map<string | number, number>();
	const alike = ({task, state}: Lane) => laneKey(nameOf(task), state);
	for (const lane of lanes) left.set(lane.name, roomOf(tx, lane)).set(alike(lane), Math.max(lane.limit, left.get(alike(lane)) ?? 0));
	let [jobs, bytes] = [0, 0];
	for (const {lane, count, maxBytes: size} of parts) {
		if (jobs >= limit || (jobs > 0 && bytes >= maxBytes)) break;
		const [room, share] = [left.get(lane.name) as number, left.get(alike(lane)) as number];
		const taken = Math.min(count, room, share, limit - jobs);
		if (taken === 0) continue;
		left.set(lane.name, room - taken).set(alike(lane), share - taken);
		limits.set(lane, (limits.get(lane) ?? 0) + taken);
		jobs += taken;
		bytes += size;
	}
	return [...limits].map(([lane, limit]) => ({...lane, limit}));
}

/** The order of claiming: by rank, then by id. */
export function byOrder([rank, id]: readonly [number, number, ...unknown[]], [otherRank, otherId]: readonly [number, number, ...unknown[]]): number {
	return rank - otherRank || id - otherId;
}

/** Jobs of a lane with consecutive ids, so that no job of another lane comes between them. */
interface Span {
	readonly lane: Lane;
	readonly rank: number;
	readonly first: JobId;
	readonly count: number;
	/** The size of the payload of a single job. The payloads of several are not larger. */
	readonly maxBytes: number;
	/** They share this row. */
	readonly run?: JobRun;
}

type JobSize = [rank: number, id: JobId, sizeBytes: number | null];

/** The lane's first jobs. */
function spansIn(statements: Statements, lane: Lane): Span[] {
	const {task, state, limit} = lane;
	const spans: Span[] = [];
	let jobs = 0;
	const rows = statements.readySizes.all({lane: laneKey(task, state), limit}) as [...JobSize, last: JobId | null][];
	const addOne = ([rank, first, size]: JobSize) => spans.push({lane, rank, first, count: 1, maxBytes: size ?? 0});
	for (const [rank, first, size, last] of rows) {
		const count = last === null ? 1 : Math.min(last - first + 1, limit - jobs);
		const run = last === null ? undefined : jobRunOf(statements, first);
		// A letter takes at most three bytes.
		if (run) spans.push({lane, rank, first, count, maxBytes: 3 * (run.payloads?.length ?? 0), run});
		else if (last === null) addOne([rank, first, size]);
		else for (const each of statements.newSizes.all(first, first + count - 1) as JobSize[]) addOne(each);
		jobs += count;
		if (jobs >= limit) break;
	}
	return spans;
}

/** The span's jobs, each with its size. */
function toSingles({run, ...span}: Span): readonly Span[] {
	if (!run) return [span];
	const payloadAt = readPacked(run.payloads);
	const sizeOf = (id: JobId) => sizeBytes(payloadAt(id - run.first));
	return Array.from({length: span.count}, (_, index) => ({...span, first: span.first + index, count: 1, maxBytes: sizeOf(span.first + index)}));
}

/** A row of the statements `readyJobs` and `newJobs`: a job with a row in `job`; or a run, with its `last` job, no key and no payload. */
export type ReadyRow = readonly [
	rank: number,
	id: JobId,
	executions: number,
	batch: number | null,
	policy: number,
	createdAt: number,
	key: string | null,
	payload: Encoded,
	last?: JobId | null,
];

/** Jobs of a run that share a row in `job_run`. */
export interface PackedHead extends Pick<JobRun, 'first' | 'policy' | 'createdAt' | 'batch'> {
	readonly rank: number;
	readonly payloads: PackedStrings;
	readonly keys: number | PackedStrings | undefined;
}

/** The head of a lane: its first jobs. */
export interface Head {
	/** In the order of claiming: packed jobs, and the rows between them. */
	readonly parts: readonly (PackedHead | readonly ReadyRow[])[];
	/** The last of these jobs that has a row in `ready`. */
	readonly lastRow: ReadyRow | undefined;
	/** The rows of `ready_run` that have these jobs, with the last job that was taken from each. */
	readonly runs: readonly (readonly [run: ReadyRow, upTo: JobId])[];
}

/**
 * Reads the first jobs of a lane, up to its limit and to this size of payloads; at least one.
 * @param sizesOf the sizes of what comes with the payloads of consecutive jobs; `undefined` for none
 */
export function readHead(
	statements: Statements,
	{task, state, limit}: Lane,
	maxBytes: number,
	sizesOf: (jobs: Range) => readonly number[] | undefined = () => undefined,
): Head {
	const parts: (PackedHead | ReadyRow[])[] = [];
	const runs: [run: ReadyRow, upTo: JobId][] = [];
	let lastRow: ReadyRow | undefined;
	let [jobs, bytes] = [0, 0];
	const isFull = () => jobs >= limit || (jobs > 0 && bytes >= maxBytes);
	const takeRow = (row: ReadyRow) => {
		const rows = parts.at(-1);
		if (Array.isArray(rows)) rows.push(row);
		else parts.push([row]);
		jobs++;
		bytes += sizeBytes(row[7]) + (sizesOf([row[1], row[1]])?.[0] ?? 0);
	};
	/** @returns the last job taken */
	const takeRun = (rank: number, first: JobId, last: JobId): JobId => {
		const run = jobRunOf(statements, first);
		if (run) {
			const upTo = Math.min(last, first + limit - jobs - 1);
			const sizes = sizesOf([first, upTo]);
			const payloads = sliceToSize(payloadsOf(run, first, upTo), maxBytes - bytes, sizes);
			const {policy, createdAt, batch} = run;
			parts.push({rank, first, policy, createdAt, batch, payloads, keys: keysFrom(run, first, payloads.count)});
			jobs += payloads.count;
			bytes += sizeOf(payloads) + (sizes?.slice(0, payloads.count).reduce((sum, size) => sum + size, 0) ?? 0);
			return first + payloads.count - 1;
		}
		for (const row of statements.newJobs.iterate(first, last) as IterableIterator<ReadyRow>) {
			takeRow(row);
			if (isFull()) return row[1];
		}
		return last;
	};
	// No row lies inside a run, so that rows and runs come in the order of claiming.
	for (const row of statements.readyJobs.iterate({lane: laneKey(task, state), limit}) as IterableIterator<ReadyRow>) {
		const [rank, first, , , , , , , last] = row;
		if (last) runs.push([row, takeRun(rank, first, last)]);
		else {
			takeRow(row);
			lastRow = row;
		}
		if (isFull()) break;
	}
	return {parts, lastRow, runs};
}

/** The keys of so many jobs of the run. */
function keysFrom(run: JobRun, first: JobId, count: number): PackedHead['keys'] {
	const keys = keysOf(run);
	if (keys === undefined) return undefined;
	const start = first - run.first;
	return typeof keys === 'number' ? keys + start : slicePacked(keys, start, start + count);
}

/** The first payloads, up to the one that brings them, with what comes with them, to this size; at least one. */
function sliceToSize(payloads: PackedStrings, bytes: number, others?: readonly number[]): PackedStrings {
	if (!others && sizeOf(payloads) < bytes) return payloads;
	const values = unpack(payloads);
	let [count, size] = [0, 0];
	do size += (others?.[count] ?? 0) + sizeBytes(values[count++] as Encoded);
	while (count < values.length && size < bytes);
	return slicePacked(payloads, 0, count);
}

/** The size of the payloads, without the line breaks between them. */
function sizeOf({count, text}: PackedStrings): number {
	return text === null ? 0 : sizeBytes(text) - (count - 1);
}

export type ReadyJob = Pick<FoundJob, 'task' | 'batch' | 'rank' | 'executions'>;

/** Makes a job of another state ready or quarantined. If another program has made it ready already, that row stays. */
export function makeReady(tx: Tx, id: JobId, {task, batch, rank, executions}: ReadyJob, from: StoredState): void {
	const isSuspect = executions > 0 && failureStateOf(tx, id).suspicion > 0;
	const state = isSuspect ? StoredState.quarantined : StoredState.ready;
	tx.statements.insertReady.run(laneKey(task, state), rank, id, executions, batch);
	tx.tally.move(task, batch, from, state);
}

/** The value of `ready.task` for a task's jobs in this state. */
export function laneKey(task: number, state: StoredState): number {
	return state === StoredState.quarantined ? -task : task;
}

/** What is charged to a job in its round. */
export function failureStateOf({statements}: Tx, id: JobId): Charges {
	return (statements.failureState.get(id) as Charges | undefined) ?? NO_CHARGES;
}
