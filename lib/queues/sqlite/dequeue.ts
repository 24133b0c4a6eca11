import {type Encoded, sizeBytes} from '../../encoding.ts';
import {failpoint} from '../../failpoint.ts';
import type {JobId} from '../../job.ts';
import type {Demand, Dequeued, DequeuedJob} from '../../queue.ts';
import {nextOf} from './counter.ts';
import type {Statements} from './database.ts';
import {jobRunOf} from './job-run.ts';
import {Place} from './places.ts';
import {laneOf, makeReady} from './ready.ts';
import type {Session} from './session.ts';
import {troubleOf} from './trouble.ts';

/** Due jobs made ready in one transaction; the next one takes more. */
const PROMOTED_PER_TURN = 5000;

/** Makes ready what has come due. */
export function promote(session: Session): void {
	const {statements, now} = session;
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
		makeReady(session, {id, task, batch, rank, executions}, failed === 1 ? Place.failed : Place.scheduled);
		failpoint('promotion:written');
	}
}

/** Claims the first jobs of the demanded tasks: by priority, then in order of arrival, across them all. */
export function dequeue(session: Session, demand: Demand, owner: number): Dequeued {
	const lanes = openLanes(session, demand).filter(lane => lane.limit > 0);
	const shares = lanes.length === 1 ? lanes : share(session, lanes, demand);
	const claimed: {readonly row: ReadyRow; readonly lane: Lane}[] = [];
	let lease = 0;
	for (const lane of shares) {
		const heads = read(session, lane, demand.maxBytes);
		if (heads.rows.length + heads.runs.length === 0) continue;
		lease ||= nextLease(session);
		claim(session, lane, heads, lease, owner);
		for (const row of heads.rows) claimed.push({row, lane});
	}
	if (shares.length > 1) claimed.sort((a, b) => byOrder(a.row, b.row));
	return {lease, jobs: claimed.map(({row, lane}) => toDequeued(session, row, lane))};
}

/** A part of `ready` that something may be taken of. */
interface Lane {
	readonly name: string;
	readonly task: number;
	readonly place: typeof Place.ready | typeof Place.suspect;
	readonly limit: number;
	/** Jobs of the task, in whatever lane, that may be taken without too many running. */
	readonly room: number;
}

type ReadyRow = [rank: number, id: number, executions: number, batch: number | null, policy: number, createdAt: number, key: string | null, payload: Encoded];

function openLanes(session: Session, {tasks, limit}: Demand): Lane[] {
	return tasks.flatMap(({task: name, limit: own, suspects, concurrency = Infinity}) => {
		const task = session.names.knownTask(name);
		if (task === undefined || session.names.isPaused(name)) return [];
		const place = suspects ? Place.suspect : Place.ready;
		if (jobsAt(session, task, place) === 0) return [];
		const room = concurrency === Infinity ? Infinity : Math.max(0, concurrency - jobsAt(session, task, Place.running));
		return [{name, task, place, limit: Math.min(own, limit, room), room}];
	});
}

/** By the tally as this transaction has it so far. */
function jobsAt({statements, tally}: Session, task: number, place: Place): number {
	return ((statements.tallyOf.get(task, place) ?? 0) as number) + tally.tasks.get(task, place);
}

/** How many jobs of each lane are among the first of them all. Looks at ranks, ids and sizes only. */
function share({statements}: Session, lanes: readonly Lane[], {limit, maxBytes}: Demand): Lane[] {
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

/** The first jobs of a lane, and of which runs they are. */
interface Heads {
	readonly rows: ReadyRow[];
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
function read({statements}: Session, lane: Lane, maxBytes: number): Heads {
	const heads: Heads = {rows: [], lastRow: undefined, runs: []};
	let bytes = 0;
	const isOver = () => heads.rows.length >= lane.limit || (heads.rows.length > 0 && bytes >= maxBytes);
	const take = (row: ReadyRow) => {
		heads.rows.push(row);
		bytes += sizeBytes(row[7]);
	};
	const runs = readyRuns(statements, lane);
	let run = runs.next();
	const takeRuns = (before?: ReadyRow) => {
		for (; !run.done && !isOver() && (!before || isBefore(run.value, before)); run = runs.next()) {
			const {first, last} = run.value;
			for (const row of newJobs(statements, first, last)) {
				take(row);
				if (isOver()) break;
			}
			heads.runs.push({...run.value, upTo: isOver() ? (heads.rows.at(-1) as ReadyRow)[1] : last});
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
	if (place !== Place.ready) return;
	const rows = statements.readyRuns.iterate(task, limit) as IterableIterator<[rank: number, first: JobId, last: JobId, batch: number | null]>;
	for (const [rank, first, last, batch] of rows) yield {rank, first, last, batch};
}

/** The jobs of a ready run, whether they share a row or have rows of their own. */
function* newJobs(statements: Statements, first: JobId, last: JobId): Generator<ReadyRow> {
	const run = jobRunOf(statements, first);
	if (!run) yield* statements.newJobs.iterate(first, last) as IterableIterator<ReadyRow>;
	else for (let id = first; id <= last; id++) yield [-run.priority, id, 0, null, run.policy, run.createdAt, null, run.payloadOf(id)];
}

function isBefore({rank, first}: ReadyRun, [otherRank, id]: ReadyRow): boolean {
	return rank < otherRank || (rank === otherRank && first < id);
}

/** What was read is the beginning of the task's part of `ready`: two statements move it, however many jobs it is, and two a run. */
function claim({statements, tally}: Session, {task, place}: Lane, {rows, lastRow, runs}: Heads, lease: number, owner: number): void {
	const lane = laneOf(task, place);
	if (lastRow) {
		const [rank, id] = lastRow;
		statements.claimUpTo.run(lease, owner, lane, rank, id);
		statements.deleteReadyUpTo.run(lane, rank, id);
	}
	for (const {rank, first, last, batch, upTo} of runs) {
		statements.deleteReadyRun.run(task, rank, first);
		if (upTo < last) statements.insertReadyRun.run(task, rank, upTo + 1, last, batch);
		statements.insertClaimedRun.run(first, upTo, lease, owner, task, batch);
	}
	failpoint('dequeue:written');
	// Jobs of a batch come in runs, so that this, too, is a step for many.
	for (let start = 0, end = 1; start < rows.length; end++) {
		const batch = rows[start]?.[3] as number | null;
		if (rows[end]?.[3] === batch) continue;
		tally.move(task, batch, place, Place.running, end - start);
		start = end;
	}
}

function nextLease(session: Session): number {
	const lease = nextOf(session, 'lease');
	session.statements.setCounter.run(lease, 'lease');
	return lease;
}

function toDequeued(session: Session, [, id, executions, , policy, createdAt, key, payload]: ReadyRow, {name, place}: Lane): DequeuedJob {
	const job = {id, task: name, payload, createdAt, execution: executions + 1, attempts: 0, policy: session.names.policy(policy), ...(key !== null && {key})};
	if (executions === 0) return job;
	return {...job, ...history(session, id), ...(place === Place.suspect && {isSuspect: true})};
}

/** What is left of a job's earlier executions; their progress is not. */
function history(session: Session, id: JobId): Pick<DequeuedJob, 'attempts' | 'checkpoint'> {
	const {deleteProgress, checkpointState} = session.statements;
	deleteProgress.run(id);
	const checkpoint = checkpointState.get(id) as Encoded | undefined;
	return {attempts: troubleOf(session, id).attempts, ...(checkpoint !== undefined && {checkpoint})};
}

/** Jobs of the demanded tasks that are still ready and would not be too many. */
export function backlog(session: Session, demand: Demand): number {
	const lanes = Map.groupBy(openLanes(session, demand), ({task}) => task);
	let jobs = 0;
	for (const [task, own] of lanes) {
		const ready = own.reduce((sum, {place}) => sum + jobsAt(session, task, place), 0);
		jobs += Math.min(ready, (own[0] as Lane).room);
	}
	return jobs;
}
