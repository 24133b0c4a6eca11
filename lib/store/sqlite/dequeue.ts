import type {DequeuedJob} from '../../job/claim.ts';
import {type Encoded, sizeBytes} from '../../job/encoding.ts';
import {type JobId, MAX_SUSPICION, mostTogether} from '../../job/job.ts';
import {type PackedStrings, slicePacked, unpack} from '../../job/packed-strings.ts';
import type {DequeuedRun} from '../../job/runs.ts';
import {failpoint} from '../../support/failpoint.ts';
import type {Demand, TurnResult} from '../store.ts';
import {nextLease} from './counter.ts';
import type {Statements} from './database.ts';
import {jobRunOf} from './job-run.ts';
import {laneOf, makeReady} from './ready.ts';
import type {ClaimedRun} from './runs.ts';
import {StoredState} from './stored-state.ts';
import {troubleOf} from './trouble.ts';
import type {ClaimRow, Tx} from './tx.ts';

/** Due jobs made ready in one transaction; the next one takes more. */
const PROMOTED_PER_TURN = 5000;

/** Makes ready what has come due. */
export function promote(tx: Tx): void {
	const {statements, now} = tx;
	const due = statements.dueJobs.all(now, PROMOTED_PER_TURN) as [
		id: number,
		task: number,
		batch: number | null,
		rank: number,
		failed: number,
		executions: number,
	][];
	for (const [id, task, batch, rank, failed, executions] of due) {
		statements.deleteWaiting.run(id);
		makeReady(tx, {id, task, batch, rank, executions}, failed === 1 ? StoredState.failed : StoredState.scheduled);
		failpoint('promotion:written');
	}
}

/** Claims the first jobs of the demanded tasks: by priority, then in order of arrival, across them all. */
export function dequeue(tx: Tx, demand: Demand, demanded: readonly DemandedLane[], owner: number): TurnResult['dequeued'] {
	const lanes = demanded.map(lane => openLane(tx, lane, demand.limit)).filter(({limit}) => limit > 0);
	const shares = lanes.length === 1 ? lanes : share(tx, lanes, demand);
	const claimed: {readonly head: ReadyRow | PackedHead; readonly lane: Lane}[] = [];
	const passedOver: JobId[] = [];
	let lease = 0;
	for (const lane of shares) {
		const heads = read(tx, lane, demand.maxBytes);
		if (heads.jobs === 0) continue;
		lease ||= nextLease(tx);
		const isWhole = claim(tx, lane, heads, lease, owner);
		const unclaimed = isWhole ? NONE : unclaimedOf(tx, heads, lease);
		for (const head of heads.heads) {
			if (unclaimed.has(head)) passedOver.push(head[1]);
			else claimed.push({head, lane});
		}
	}
	if (shares.length > 1) claimed.sort((a, b) => byOrder(a.head, b.head));
	const jobs = claimed.map(({head, lane}) => (isPacked(head) ? toRun(tx, head, lane) : toDequeued(tx, head, lane)));
	return {lease, jobs, ...(passedOver.length > 0 && {passedOver})};
}

/** A part of `ready` that is asked for, of a task that is not paused. */
export interface DemandedLane {
	readonly name: string;
	readonly task: number;
	readonly place: typeof StoredState.ready | typeof StoredState.suspect;
	/** Jobs that are asked for, */
	readonly limit: number;
	/** and that may run. */
	readonly concurrency: number;
	/** What the tally says before this transaction's changes: jobs in the lane, and running ones of the task, if their number matters. */
	readonly ready: number;
	readonly running: number;
}

/** One that something may be taken of. */
interface Lane extends Pick<DemandedLane, 'name' | 'task' | 'place'> {
	readonly limit: number;
	/** Jobs of the task, in whatever lane, that may be taken without too many running. */
	readonly room: number;
}

type ReadyRow = [rank: number, id: number, executions: number, batch: number | null, policy: number, createdAt: number, key: string | null, payload: Encoded];

/** To be asked before the tally is written. */
export function demandedLanes({statements}: Tx, {tasks}: Demand): DemandedLane[] {
	// Asked anew each time, since another process may have paused or made one; at once for all, which may be many.
	const unpaused = new Map(statements.unpausedTasks.all() as [name: string, task: number][]);
	const jobsAt = (task: number, place: StoredState) => (statements.tallyOf.get(task, place) ?? 0) as number;
	return tasks.flatMap(({task: name, limit, suspects, concurrency = Infinity}) => {
		const task = unpaused.get(name);
		if (task === undefined) return [];
		const place = suspects ? StoredState.suspect : StoredState.ready;
		return {name, task, place, limit, concurrency, ready: jobsAt(task, place), running: concurrency === Infinity ? 0 : jobsAt(task, StoredState.running)};
	});
}

function openLane(tx: Tx, lane: DemandedLane, limit: number): Lane {
	const {name, task, place} = lane;
	const room = roomOf(tx, lane);
	const most = readyIn(tx, lane) === 0 ? 0 : Math.min(lane.limit, limit, room);
	return {name, task, place, limit: place === StoredState.suspect && most > 0 ? together(tx, task, most) : most, room};
}

/** How many of the task's first suspects may run together. The level of each limits the chunk that it is in. */
function together({statements}: Tx, task: number, limit: number): number {
	let [jobs, most] = [0, Math.min(limit, mostTogether(1))];
	for (const suspicion of statements.suspicionsInLane.all(laneOf(task, StoredState.suspect), most) as number[]) {
		most = Math.min(most, mostTogether(suspicion));
		if (jobs >= most) break;
		jobs++;
	}
	return jobs;
}

function readyIn({tally}: Tx, {task, place, ready}: DemandedLane): number {
	return ready + tally.tasks.get(task, place);
}

function roomOf({tally}: Tx, {task, concurrency, running}: DemandedLane): number {
	return concurrency === Infinity ? Infinity : Math.max(0, concurrency - running - tally.tasks.get(task, StoredState.running));
}

/** How many jobs of each lane are among the first of them all. Looks at ranks, ids and sizes only. */
function share({statements}: Tx, lanes: readonly Lane[], {limit, maxBytes}: Demand): Lane[] {
	const heads = lanes.flatMap((lane, index) => headsOf(statements, lane).map(head => [...head, index] as const));
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

type Head = [rank: number, id: JobId, sizeBytes: number | null];

function headsOf(statements: Statements, lane: Lane): Head[] {
	const heads = statements.readyHeads.all(laneOf(lane.task, lane.place), lane.limit) as Head[];
	let room = lane.limit;
	for (const {first, last} of readyRuns(statements, lane)) {
		if (room <= 0) break;
		const upTo = Math.min(last, first + room - 1);
		const run = jobRunOf(statements, first);
		if (!run) heads.push(...(statements.newHeads.all(first, upTo) as Head[]));
		else for (let id = first; id <= upTo; id++) heads.push([-run.priority, id, sizeBytes(run.payloadOf(id))]);
		room -= upTo - first + 1;
	}
	return room === lane.limit ? heads : heads.sort(byOrder).slice(0, lane.limit);
}

/** The order of dequeuing. */
function byOrder([rank, id]: readonly [number, number, ...unknown[]], [otherRank, otherId]: readonly [number, number, ...unknown[]]): number {
	return rank - otherRank || id - otherId;
}

/** Jobs that share a row. */
type PackedHead = readonly [rank: number, first: JobId, jobs: {readonly policy: number; readonly createdAt: number; readonly payloads: PackedStrings}];

function isPacked(head: ReadyRow | PackedHead): head is PackedHead {
	return typeof head[2] === 'object';
}

/** The first jobs of a lane, and of which runs they are. */
interface Heads {
	readonly heads: (ReadyRow | PackedHead)[];
	jobs: number;
	/** The last of them that has a row of its own. */
	lastRow: ReadyRow | undefined;
	readonly runs: (ReadyRun & {readonly upTo: JobId})[];
}

interface ReadyRun {
	readonly rank: number;
	readonly first: JobId;
	readonly last: JobId;
	readonly batch: number | null;
}

/** Reads runs and rows as they come in the order of dequeuing: no row lies inside a run. */
function read({statements}: Tx, lane: Lane, maxBytes: number): Heads {
	const heads: Heads = {heads: [], jobs: 0, lastRow: undefined, runs: []};
	let bytes = 0;
	const isOver = () => heads.jobs >= lane.limit || (heads.jobs > 0 && bytes >= maxBytes);
	const take = (row: ReadyRow) => {
		heads.heads.push(row);
		heads.jobs++;
		bytes += sizeBytes(row[7]);
	};
	/** Returns the last job that was taken of the run. */
	const takeRun = ({rank, first, last}: ReadyRun): JobId => {
		const run = jobRunOf(statements, first);
		if (run) {
			const to = Math.min(last, first + lane.limit - heads.jobs - 1);
			const payloads = upTo(run.payloadsOf(first, to), maxBytes - bytes);
			heads.heads.push([rank, first, {policy: run.policy, createdAt: run.createdAt, payloads}]);
			heads.jobs += payloads.count;
			bytes += sizeOf(payloads);
			return first + payloads.count - 1;
		}
		for (const row of statements.newJobs.iterate(first, last) as IterableIterator<ReadyRow>) {
			take(row);
			if (isOver()) return row[1];
		}
		return last;
	};
	const runs = readyRuns(statements, lane);
	let run = runs.next();
	const takeRuns = (before?: ReadyRow) => {
		for (; !run.done && !isOver() && (!before || isBefore(run.value, before)); run = runs.next()) {
			heads.runs.push({...run.value, upTo: takeRun(run.value)});
		}
	};
	for (const row of statements.readyJobs.iterate(laneOf(lane.task, lane.place), lane.limit) as IterableIterator<ReadyRow>) {
		takeRuns(row);
		if (isOver()) break;
		take(row);
		heads.lastRow = row;
		if (isOver()) break;
	}
	takeRuns();
	// Or it would go on reading while something is written.
	runs.return();
	return heads;
}

/** In order. Suspects have rows of their own. */
function* readyRuns(statements: Statements, {task, place, limit}: Lane): Generator<ReadyRun, void> {
	if (place !== StoredState.ready) return;
	const rows = statements.readyRuns.iterate(task, limit) as IterableIterator<[rank: number, first: JobId, last: JobId, batch: number | null]>;
	for (const [rank, first, last, batch] of rows) yield {rank, first, last, batch};
}

/** The payloads until they together reach so many bytes; at least one. */
function upTo(payloads: PackedStrings, bytes: number): PackedStrings {
	if (sizeOf(payloads) < bytes) return payloads;
	const values = unpack(payloads);
	let [count, size] = [0, 0];
	do size += sizeBytes(values[count++] as Encoded);
	while (count < values.length && size < bytes);
	return slicePacked(payloads, 0, count);
}

/** Without the line breaks. */
function sizeOf({count, text}: PackedStrings): number {
	return text === null ? 0 : sizeBytes(text) - (count - 1);
}

function isBefore({rank, first}: ReadyRun, [otherRank, id]: ReadyRow): boolean {
	return rank < otherRank || (rank === otherRank && first < id);
}

/**
 * What was read is the beginning of the task's part of `ready`: two statements move it, however many jobs it is, and two a run.
 * False if some of it could not be claimed, because somebody has written that it is already.
 */
function claim({statements, tally}: Tx, {task, place}: Lane, {heads, lastRow, runs}: Heads, lease: number, owner: number): boolean {
	const lane = laneOf(task, place);
	let isWhole = true;
	if (lastRow) {
		const [rank, id] = lastRow;
		const {changes} = statements.claimUpTo.run(lease, owner, lane, rank, id);
		isWhole = statements.deleteReadyUpTo.run(lane, rank, id).changes === changes;
	}
	for (const {rank, first, last, batch, upTo} of runs) {
		statements.deleteReadyRun.run(task, rank, first);
		if (upTo < last) statements.insertReadyRun.run(task, rank, upTo + 1, last, batch);
		isWhole = statements.insertClaimedRun.run(first, upTo, lease, owner, task, batch).changes > 0 && isWhole;
	}
	failpoint('dequeue:written');
	// Jobs of a batch come in runs, so that this, too, is a step for many.
	let [batch, jobs]: [number | null, number] = [null, 0];
	for (const head of heads) {
		const own = isPacked(head) ? null : head[3];
		if (own !== batch) {
			tally.move(task, batch, place, StoredState.running, jobs);
			[batch, jobs] = [own, 0];
		}
		jobs += isPacked(head) ? head[2].payloads.count : 1;
	}
	tally.move(task, batch, place, StoredState.running, jobs);
	return isWhole;
}

const NONE: ReadonlySet<ReadyRow | PackedHead> = new Set();

/** Those that the lease could not claim. They are not ready any more, and stay as they were claimed before. */
function unclaimedOf({statements}: Tx, {heads}: Heads, lease: number): ReadonlySet<ReadyRow | PackedHead> {
	const claimed = new Set((statements.claimsOfLease.all(0, Number.MAX_SAFE_INTEGER, lease) as ClaimRow[]).map(([id]) => id));
	const runs = statements.claimedRunsOfLease.all(lease, Number.MAX_SAFE_INTEGER, 0) as ClaimedRun[];
	return new Set(heads.filter(([, id]) => !claimed.has(id) && !runs.some(([first, last]) => id >= first && id <= last)));
}

function toRun({names}: Tx, [, first, {policy, createdAt, payloads}]: PackedHead, {name}: Lane): DequeuedRun {
	return {first, task: name, createdAt, policy: names.policy(policy), payloads};
}

function toDequeued(tx: Tx, [, id, executions, , policy, createdAt, key, payload]: ReadyRow, {name, place}: Lane): DequeuedJob {
	const job = {id, task: name, payload, createdAt, execution: executions + 1, attempts: 0, policy: tx.names.policy(policy), ...(key !== null && {key})};
	if (executions === 0) return job;
	return {...job, ...history(tx, id), ...(place === StoredState.suspect && {isSuspect: true})};
}

/** What is left of a job's earlier executions; their progress is not. */
function history(tx: Tx, id: JobId): Pick<DequeuedJob, 'attempts' | 'checkpoint' | 'isAlone'> {
	const {deleteProgress, checkpointState} = tx.statements;
	deleteProgress.run(id);
	const checkpoint = checkpointState.get(id) as Encoded | undefined;
	const {attempts, suspicions} = troubleOf(tx, id);
	return {attempts, ...(suspicions === MAX_SUSPICION && {isAlone: true}), ...(checkpoint !== undefined && {checkpoint})};
}

/** Jobs of the demanded tasks that are still ready and would not be too many. To be asked before the tally is written. */
export function backlog(tx: Tx, demanded: readonly DemandedLane[]): number {
	let jobs = 0;
	for (const own of Map.groupBy(demanded, ({task}) => task).values()) {
		const ready = own.reduce((sum, lane) => sum + readyIn(tx, lane), 0);
		jobs += Math.min(ready, roomOf(tx, own[0] as DemandedLane));
	}
	return jobs;
}
