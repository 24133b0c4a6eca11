import {type JobId, mostTogether} from '../../job/job.ts';
import type {ClaimRequest} from '../store.ts';
import {StoredState} from './tally.ts';
import type {Tx} from './tx.ts';

/** A lane that a claim requests: the ready or the quarantined jobs of a task that is not paused. */
export interface RequestedLane {
	readonly name: string;
	readonly task: number;
	readonly state: typeof StoredState.ready | typeof StoredState.quarantined;
	/** The most jobs of the lane to claim. */
	readonly limit: number;
	/** The most jobs of the task that may run at the same time. */
	readonly concurrency: number;
	/** The number of jobs in the lane before this transaction. */
	readonly ready: number;
	/** The number of running jobs of the task before this transaction; 0 if `concurrency` is infinite. */
	readonly running: number;
}

/** A lane from which a claim can take jobs. */
export interface Lane extends Pick<RequestedLane, 'name' | 'task' | 'state'> {
	readonly limit: number;
	/** The number of jobs of the task, in all its lanes, that can be claimed without exceeding its concurrency. */
	readonly room: number;
}

/** Call it before the tally is written. */
export function requestedLanes({statements}: Tx, {lanes}: ClaimRequest): RequestedLane[] {
	// Not cached, since another process may have paused or added a task. One statement, since there may be many tasks.
	const unpaused = new Map(statements.unpausedTasks.all() as [name: string, task: number][]);
	const jobsIn = (task: number, state: StoredState) => (statements.tallyOf.get(task, state) ?? 0) as number;
	return lanes.flatMap(({task: name, limit, isQuarantined, concurrency = Infinity}) => {
		const task = unpaused.get(name);
		if (task === undefined) return [];
		const state = isQuarantined ? StoredState.quarantined : StoredState.ready;
		return {name, task, state, limit, concurrency, ready: jobsIn(task, state), running: concurrency === Infinity ? 0 : jobsIn(task, StoredState.running)};
	});
}

/** The requested lanes that have jobs to claim. */
export function openLanes(tx: Tx, requested: readonly RequestedLane[], limit: number): Lane[] {
	return requested.map(lane => openLane(tx, lane, limit)).filter(lane => lane.limit > 0);
}

function openLane(tx: Tx, lane: RequestedLane, maxJobs: number): Lane {
	const {name, task, state} = lane;
	const room = roomOf(tx, lane);
	const limit = readyIn(tx, lane) === 0 ? 0 : Math.min(lane.limit, maxJobs, room);
	return {name, task, state, limit: state === StoredState.quarantined && limit > 0 ? quarantineLimit(tx, task, limit) : limit, room};
}

/** The number of the task's first quarantined jobs that may run together. The suspicion of each job limits the size of its chunk. */
function quarantineLimit({statements}: Tx, task: number, limit: number): number {
	let [jobs, most] = [0, Math.min(limit, mostTogether(1))];
	for (const suspicion of statements.suspicionsInLane.all(laneOf(task, StoredState.quarantined), most) as number[]) {
		most = Math.min(most, mostTogether(suspicion));
		if (jobs >= most) break;
		jobs++;
	}
	return jobs;
}

function readyIn({tally}: Tx, {task, state, ready}: RequestedLane): number {
	return ready + tally.tasks.get(task, state);
}

function roomOf({tally}: Tx, {task, concurrency, running}: RequestedLane): number {
	return concurrency === Infinity ? Infinity : Math.max(0, concurrency - running - tally.tasks.get(task, StoredState.running));
}

/** The number of jobs in the requested lanes that are still ready and could be claimed. Call it before the tally is written. */
export function backlog(tx: Tx, requested: readonly RequestedLane[]): number {
	let jobs = 0;
	for (const own of Map.groupBy(requested, ({task}) => task).values()) {
		const ready = own.reduce((sum, lane) => sum + readyIn(tx, lane), 0);
		jobs += Math.min(ready, roomOf(tx, own[0] as RequestedLane));
	}
	return jobs;
}

interface ReadyJob {
	readonly id: JobId;
	readonly task: number;
	readonly batch: number | null;
	readonly rank: number;
	readonly executions: number;
}

/** Makes a job of another state ready or quarantined. If another program has made it ready already, that row stays. */
export function makeReady(tx: Tx, {id, task, batch, rank, executions}: ReadyJob, from: StoredState): void {
	const isSuspect = executions > 0 && failureStateOf(tx, id).suspicion > 0;
	const state = isSuspect ? StoredState.quarantined : StoredState.ready;
	tx.statements.insertReady.run(laneOf(task, state), rank, id, executions, batch);
	tx.tally.move(task, batch, from, state);
}

/** The value of `ready.task` for a task's jobs in this state. */
export function laneOf(task: number, state: StoredState): number {
	return state === StoredState.quarantined ? -task : task;
}

/** The attempts charged to a job in this round, and how strongly it is suspected of having killed a process. */
export interface FailureState {
	readonly attempts: number;
	/** A level: see `MAX_SUSPICION`. */
	readonly suspicion: number;
	readonly crashes: number;
}

const NO_FAILURES: FailureState = {attempts: 0, suspicion: 0, crashes: 0};

export function failureStateOf({statements}: Tx, id: JobId): FailureState {
	const row = statements.failureState.get(id) as [number, number, number] | undefined;
	return row ? {attempts: row[0], suspicion: row[1], crashes: row[2]} : NO_FAILURES;
}
