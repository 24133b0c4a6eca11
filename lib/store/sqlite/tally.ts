import type {Counts, JobStatus} from '../../job/job.ts';

/** The state of a job, with the names of `TaskCounts`. `tally.state`, `batch_tally.state` and `outcome.status` store these numbers: never renumber. */
export const StoredState = {
	ready: 0,
	quarantined: 1,
	delayed: 2,
	failed: 3,
	parked: 4,
	running: 5,
	completed: 6,
	dead: 7,
	cancelled: 8,
} as const;

export type StoredState = (typeof StoredState)[keyof typeof StoredState];

/** A job's status, by its state. */
export const STATUS_OF: Readonly<Record<StoredState, JobStatus>> = {
	[StoredState.ready]: 'pending',
	[StoredState.quarantined]: 'pending',
	[StoredState.delayed]: 'pending',
	[StoredState.failed]: 'failed',
	[StoredState.parked]: 'failed',
	[StoredState.running]: 'running',
	[StoredState.completed]: 'completed',
	[StoredState.dead]: 'dead',
	[StoredState.cancelled]: 'cancelled',
};

/** The number of jobs by status, from their number by state. */
export function toCounts(jobsIn: (state: StoredState) => number): Counts {
	const counts = {pending: 0, running: 0, failed: 0, completed: 0, dead: 0, cancelled: 0};
	for (const state of Object.values(StoredState)) counts[STATUS_OF[state]] += jobsIn(state);
	return counts;
}

/** How the current transaction changes the tallies: the number of jobs per task and state, and per batch and state. */
export class Tally {
	readonly tasks = new TallyChanges();
	readonly batches = new TallyChanges();

	move(task: number, batch: number | null, from: StoredState | null, to: StoredState | null, jobs = 1): void {
		if (from !== null) this.#add(task, batch, from, -jobs);
		if (to !== null) this.#add(task, batch, to, jobs);
	}

	#add(task: number, batch: number | null, state: StoredState, jobs: number): void {
		this.tasks.add(task, state, jobs);
		if (batch !== null) this.batches.add(batch, state, jobs);
	}
}

/** Stride of the key of a cell; must exceed the largest state. */
const STATE_STRIDE = 16;

/** Changes by the number of a task or batch, and by state. */
class TallyChanges {
	/** By `number * STATE_STRIDE + state`. */
	readonly #changes = new Map<number, number>();

	add(number: number, state: StoredState, jobs: number): void {
		this.#changes.set(number * STATE_STRIDE + state, this.get(number, state) + jobs);
	}

	get(number: number, state: StoredState): number {
		return this.#changes.get(number * STATE_STRIDE + state) ?? 0;
	}

	/** Yields the changes and forgets them. */
	*take(): Generator<[number: number, state: StoredState, jobs: number]> {
		for (const [cell, jobs] of this.#changes) {
			if (jobs !== 0) yield [Math.floor(cell / STATE_STRIDE), (cell % STATE_STRIDE) as StoredState, jobs];
		}
		this.#changes.clear();
	}
}
