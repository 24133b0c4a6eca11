import type {Clock} from '../support/clock.ts';

/** What the loop has to do at a time, and by which clock. The wall clock may jump; what jobs and schedules wait for is kept by it in the store. */
const CLOCKS = {
	/** Outcomes that wait for company must be committed. */
	outcomes: 'steady',
	/** Updates of running jobs must be committed. */
	updates: 'steady',
	/** A job that waits for its time is due. */
	dueJobs: 'wall',
	/** A job may expire. Jobs expire in a commit with a claim. */
	expiry: 'wall',
	/** The moment of a schedule comes. */
	moments: 'wall',
	/** The next part of the watched jobs may be looked up. */
	verification: 'steady',
	/** The time to drain is over. */
	deadline: 'steady',
} as const;

type Item = keyof typeof CLOCKS;

/** When the loop has to do what. A time that is not set is never. */
export class Agenda {
	readonly #clock: Pick<Clock, 'now' | 'steadyMs'>;
	readonly #at = Object.fromEntries(Object.keys(CLOCKS).map(item => [item, Infinity])) as Record<Item, number>;

	readonly #reasons = new Set<string>();

	constructor(clock: Pick<Clock, 'now' | 'steadyMs'>) {
		this.#clock = clock;
	}

	#now(item: Item): number {
		return CLOCKS[item] === 'wall' ? this.#clock.now() : this.#clock.steadyMs();
	}

	/** For a trace: something has woken the loop. */
	wokeFor(why: string): void {
		this.#reasons.add(why);
	}

	/** Why the loop runs: what has woken it since the last call, and what is due. */
	takeReasons(): string {
		// Verification may be due at any time, and is only done while jobs are watched.
		const due = (Object.keys(CLOCKS) as Item[]).filter(item => item !== 'verification' && this.isDue(item));
		const reasons = [...this.#reasons, ...due.map(item => `due: ${item}`)];
		this.#reasons.clear();
		return reasons.join(', ') || 'nothing';
	}

	/** Sets the time of an item, from now on; `Infinity`: never, `-Infinity`: it is not known, so that it is due. */
	set(item: Item, inMs: number): void {
		this.#at[item] = this.#now(item) + inMs;
	}

	/** Sets it, unless the item comes sooner anyway. */
	bringForward(item: Item, inMs: number): void {
		this.#at[item] = Math.min(this.#at[item], this.#now(item) + inMs);
	}

	/** How long until the item is due; at most 0 if it is. */
	inMs(item: Item): number {
		return this.#at[item] - this.#now(item);
	}

	/** The time, by the clock of the item. */
	at(item: Item): number {
		return this.#at[item];
	}

	isDue(item: Item): boolean {
		return this.inMs(item) <= 0;
	}
}
