import type {Counts} from '../../job.ts';

/** Where a job is: the numbers of `tally.place` and, for the ended ones, of `outcome.status`. Stored: never renumber. */
export const Place = {
	ready: 0,
	scheduled: 1,
	failed: 2,
	parked: 3,
	running: 4,
	completed: 5,
	dead: 6,
	cancelled: 7,
} as const;

export type Place = (typeof Place)[keyof typeof Place];

/** The tally of one queue: jobs per task and place, read from SQLite once a transaction and written back with it. */
export class Tally {
	/** Changes of the transaction under way, by `task * 8 + place`. */
	readonly #changes = new Map<number, number>();

	move(task: number, from: Place | null, to: Place | null, jobs = 1): void {
		if (from !== null) this.#add(task, from, -jobs);
		if (to !== null) this.#add(task, to, jobs);
	}

	/** Hands over the changes and forgets them. */
	*take(): Generator<[task: number, place: Place, jobs: number]> {
		for (const [cell, jobs] of this.#changes) {
			if (jobs !== 0) yield [Math.floor(cell / 8), (cell % 8) as Place, jobs];
		}
		this.#changes.clear();
	}

	forget(): void {
		this.#changes.clear();
	}

	#add(task: number, place: Place, jobs: number): void {
		const cell = task * 8 + place;
		this.#changes.set(cell, (this.#changes.get(cell) ?? 0) + jobs);
	}
}

/** Sums places up into statuses. */
export function toCounts(jobs: (place: Place) => number): Counts {
	return {
		pending: jobs(Place.ready) + jobs(Place.scheduled),
		running: jobs(Place.running),
		failed: jobs(Place.failed) + jobs(Place.parked),
		completed: jobs(Place.completed),
		dead: jobs(Place.dead),
		cancelled: jobs(Place.cancelled),
	};
}
