import type {Counts, JobStatus} from '../../job/job.ts';

/** Where a job is: the numbers of `tally.place` and, for the ended ones, of `outcome.status`. Stored: never renumber. */
export const StoredState = {
	ready: 0,
	/** Ready, and to run in a child process, with few others or alone. */
	suspect: 1,
	scheduled: 2,
	failed: 3,
	parked: 4,
	running: 5,
	completed: 6,
	dead: 7,
	cancelled: 8,
} as const;

/** More than there are places. */
const PLACES = 16;

export type StoredState = (typeof StoredState)[keyof typeof StoredState];

/** A job's status, by where it is. */
export const STATUS_OF: Readonly<Record<StoredState, JobStatus>> = {
	[StoredState.ready]: 'pending',
	[StoredState.suspect]: 'pending',
	[StoredState.scheduled]: 'pending',
	[StoredState.failed]: 'failed',
	[StoredState.parked]: 'failed',
	[StoredState.running]: 'running',
	[StoredState.completed]: 'completed',
	[StoredState.dead]: 'dead',
	[StoredState.cancelled]: 'cancelled',
};

/** What the transaction under way changes of the tallies: jobs per task and place, and per batch and place. */
export class Tally {
	readonly tasks = new Changes();
	readonly batches = new Changes();

	move(task: number, batch: number | null, from: StoredState | null, to: StoredState | null, jobs = 1): void {
		this.tasks.move(task, from, to, jobs);
		if (batch !== null) this.batches.move(batch, from, to, jobs);
	}

	forget(): void {
		this.tasks.forget();
		this.batches.forget();
	}
}

class Changes {
	/** By `number * PLACES + place`. */
	readonly #changes = new Map<number, number>();

	move(number: number, from: StoredState | null, to: StoredState | null, jobs: number): void {
		if (from !== null) this.#add(number * PLACES + from, -jobs);
		if (to !== null) this.#add(number * PLACES + to, jobs);
	}

	get(number: number, place: StoredState): number {
		return this.#changes.get(number * PLACES + place) ?? 0;
	}

	/** Hands over the changes and forgets them. */
	*take(): Generator<[number: number, place: StoredState, jobs: number]> {
		for (const [cell, jobs] of this.#changes) {
			if (jobs !== 0) yield [Math.floor(cell / PLACES), (cell % PLACES) as StoredState, jobs];
		}
		this.#changes.clear();
	}

	forget(): void {
		this.#changes.clear();
	}

	#add(cell: number, jobs: number): void {
		this.#changes.set(cell, (this.#changes.get(cell) ?? 0) + jobs);
	}
}

/** Sums places up into statuses. */
export function toCounts(jobs: (place: StoredState) => number): Counts {
	const counts = {pending: 0, running: 0, failed: 0, completed: 0, dead: 0, cancelled: 0};
	for (const place of Object.values(StoredState)) counts[STATUS_OF[place]] += jobs(place);
	return counts;
}
