import {argument, duration, time} from '../job/checks.ts';
import type {Duration} from '../job/job.ts';

/** The wall clock of a test: it stands still until the test moves it. */
export class TestClock {
	#now: number;
	#moved: () => void = () => undefined;

	/**
	 * @param now a Date, or milliseconds since 1970, rounded to whole ones
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
	 * Moves the clock forward, by whole milliseconds. Jobs that become due start to run; await their ends, or `drain()`.
	 * @throws FaenaError `BadOption`
	 */
	advance(by: Duration): void {
		this.#now += argument('clock.advance()', 'time', by, duration);
		this.#moved();
	}

	/** @internal Calls `moved` whenever the clock has moved. */
	listen(moved: () => void): void {
		this.#moved = moved;
	}
}
