import {argument, duration, time} from '../job/checks.ts';
import type {Duration} from '../job/job.ts';

/** The wall clock of a test: it stands still until it is told to go on. */
export class TestClock {
	#now: number;
	#moved: () => void = () => undefined;

	/**
	 * @param now in milliseconds since 1970, rounded to whole ones
	 * @throws FaenaError `BadOption`
	 */
	constructor(now: Date | number) {
		this.#now = argument('new TestClock()', 'now', now, time);
	}

	/** Milliseconds since 1970. */
	get now(): number {
		return this.#now;
	}

	/**
	 * Moves on, by whole milliseconds. What comes due by that begins to run; await its end, or `drain()`.
	 * @throws FaenaError `BadOption`
	 */
	advance(by: Duration): void {
		this.#now += argument('clock.advance()', 'time', by, duration);
		this.#moved();
	}

	/** @internal Whom to tell when it has moved. */
	listen(moved: () => void): void {
		this.#moved = moved;
	}
}
