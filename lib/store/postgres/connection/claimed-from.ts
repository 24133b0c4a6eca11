import {systemClock} from '../../../support/clock.ts';

/** A look that takes longer is slow: through entries of claimed rows, which the server can't free while an older transaction is open. */
export const SLOW_LOOK_MS = 2;

/** After a slow look, the next ones begin where it found the first row, for so many times as long as it took: they take a small part of the time. */
const REST_FACTOR = 20;

/** What the function `claim` saw: how long it looked, and of each lane the last place. */
export interface Seen {
	readonly ms: number;
	readonly lanes: readonly (readonly [lane: number, rank: number, id: number])[];
}

/** From where on claims look, if a look from the start is slow. A job that comes back to a place before it is found when that rests no longer. */
export class ClaimedFrom {
	/** By the number of a lane; until when, by the steady clock. */
	readonly #places = new Map<number, {readonly rank: number; readonly id: number; readonly until: number}>();
	readonly #isOn: boolean;

	/** @param isOn false for tests with a clock of their own: they expect jobs in order however slow the machine is */
	constructor(isOn: boolean) {
		this.#isOn = isOn;
	}

	/** The places at which lanes begin, by their numbers; a lane that is not there begins at its start. `undefined` if all do. */
	get places(): Readonly<Record<number, readonly [rank: number, id: number]>> | undefined {
		const now = systemClock.steadyMs();
		const places = [...this.#places].flatMap(([lane, {rank, id, until}]) => (until > now ? [[lane, [rank, id]] as const] : []));
		return places.length > 0 ? Object.fromEntries(places) : undefined;
	}

	saw({ms, lanes}: Seen): void {
		if (!this.#isOn) return;
		const now = systemClock.steadyMs();
		for (const [lane, {until}] of this.#places) if (until <= now) this.#places.delete(lane);
		for (const [lane, rank, id] of lanes) {
			const until = this.#places.get(lane)?.until ?? now + REST_FACTOR * ms;
			if (ms > SLOW_LOOK_MS || this.#places.has(lane)) this.#places.set(lane, {rank, id, until});
		}
	}

	/** How long until a lane must be looked at from its start; `null` if each one is. */
	get dueInMs(): number | null {
		const now = systemClock.steadyMs();
		const waits = [...this.#places.values()].flatMap(({until}) => (until > now ? [until - now] : []));
		return waits.length > 0 ? Math.min(...waits) : null;
	}
}
