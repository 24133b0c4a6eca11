import type {JobStatus} from '../job/job.ts';
import {type JobState, STATUS_OF_STATE} from './store.ts';

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

/** True if a job in this state has ended. */
export function hasEnded(state: StoredState): boolean {
	return state >= StoredState.completed && state <= StoredState.cancelled;
}

/** A job's status, by its state. */
export const STATUS_OF = Object.fromEntries(Object.entries(STATUS_OF_STATE).map(([name, status]) => [StoredState[name as JobState], status])) as Readonly<
	Record<StoredState, JobStatus>
>;

/** Numbers of jobs by the names of their states. */
export function byState(jobsIn: (state: StoredState) => number): Readonly<Record<JobState, number>> {
	return Object.fromEntries(Object.entries(StoredState).map(([name, state]) => [name, jobsIn(state)])) as Record<JobState, number>;
}
