import type {Batch} from '../job/batch.ts';
import {type JobState, type JobStatus, STATUS_OF_STATE, type TaskCounts, toCounts} from '../job/job.ts';
import type {NextState, StopRequest} from '../job/next-state.ts';
import {defined} from '../support/defined.ts';
import type {Settled} from './store.ts';

/** The state of a job, with the names of `TaskCounts`. Rows of every store have these numbers: never renumber. */
export const StoredState = {
	...({ready: 0, quarantined: 1, delayed: 2, failed: 3, parked: 4, running: 5, completed: 6, dead: 7, cancelled: 8, blocked: 9} as const),
	...({held: 10} as const),
};

export type StoredState = (typeof StoredState)[keyof typeof StoredState];

/**
 * What a running job is asked, in the column `stop`, besides the time of a cancel: when its execution ends without ending it, it is deleted, or held.
 * With `discardNow` its owner also stops it.
 */
export const Stop = {discard: -1, discardNow: -2, hold: -3} as const;

/** What a number in the column `stop` asks; `undefined` for null. */
export function stopRequest(stop: number | null): StopRequest | undefined {
	if (stop === null) return undefined;
	return stop >= 0 ? 'cancel' : stop === Stop.hold ? 'hold' : 'discard';
}

/** The state of a job that an execution has left, if it is kept, and what its owner hears of it. */
export const LEFT_AS: Readonly<Record<NextState['to'], Settled>> = {
	...{ready: 'pending', held: 'pending', failed: 'failed', parked: 'failed', dead: 'dead', cancelled: 'cancelled', discarded: 'discarded'},
};

/** True if a job in this state has ended. */
export function hasEnded(state: StoredState): boolean {
	return state >= StoredState.completed && state <= StoredState.cancelled;
}

/** A job's status, by its state. */
export const STATUS_OF = Object.fromEntries(Object.entries(STATUS_OF_STATE).map(([name, status]) => [StoredState[name as JobState], status])) as Readonly<
	Record<StoredState, JobStatus>
>;

/** How many jobs of a task, or of a task in a scope, are in a state. There may be several rows for one; the state is null if there are no jobs. */
export interface CountRow {
	readonly task: string;
	readonly scope?: string | null;
	readonly paused?: boolean | number;
	readonly state: StoredState | null;
	readonly jobs: number;
}

/** Numbers of jobs by the names of their states. */
function byState(rows: readonly CountRow[]): Readonly<Record<JobState, number>> {
	const jobsIn = (state: StoredState) => rows.reduce((sum, row) => sum + (row.state === state ? row.jobs : 0), 0);
	return Object.fromEntries(Object.entries(StoredState).map(([name, state]) => [name, jobsIn(state)])) as Record<JobState, number>;
}

/** @param rows of each task also one without a scope */
export function toTaskCounts(rows: readonly CountRow[]): TaskCounts[] {
	return [...Map.groupBy(rows, ({task, scope}) => JSON.stringify([task, scope])).values()].map(own => {
		const {task, scope, paused} = own[0] as CountRow;
		return {task, isPaused: Boolean(paused), ...byState(own), ...defined({scope})};
	});
}

/** @param ofTask whether all jobs of the batch are of one task */
export function toBatchCounts(rows: readonly CountRow[], ofTask: boolean): Pick<Batch, 'counts' | 'held' | 'tasks'> {
	const all = byState(rows);
	const tasks = [...Map.groupBy(rows, ({task}) => task)].map(([task, own]) => [task, toCounts([byState(own)])]);
	return {counts: toCounts([all]), ...(all.held > 0 && {held: all.held}), ...(!ofTask && {tasks: Object.fromEntries(tasks)})};
}
