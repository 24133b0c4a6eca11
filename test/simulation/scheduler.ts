import type {Clock} from '../../lib/support/clock.ts';
import type {Chance} from './chance.ts';

/** What an event is: a timer fires, a turn of an event loop begins, something is delivered, a worker goes on, or a fault is put in. */
export const EVENT_KINDS = ['timer', 'turn', 'delivery', 'commit', 'work', 'caller', 'fault'] as const;
export type EventKind = (typeof EVENT_KINDS)[number];

/** Whose event it is: nothing more happens to it once it is dead, and nothing for now while it is suspended. */
export interface Actor {
	readonly name: string;
	readonly isDead: boolean;
	readonly isSuspended: boolean;
}

interface Event {
	readonly at: number;
	readonly order: number;
	readonly actor: Actor;
	readonly kind: EventKind;
	readonly what: string;
	readonly act: () => void;
}

/** Lines of the trace that are kept. */
const TRACE_LINES = 80;
const T0 = 1_700_000_000_000;

/**
 * The simulated world's time and the order in which things happen in it: one event at a time, each at its own moment of the
 * steady clock, which moves from event to event. The wall clock goes along, and jumps when it is told to.
 */
export class Scheduler {
	readonly chance: Chance;
	readonly counts: Record<EventKind, number> = {timer: 0, turn: 0, delivery: 0, commit: 0, work: 0, caller: 0, fault: 0};
	/** Later ones first. */
	readonly #events: Event[] = [];
	/** What was to happen to those who are suspended. */
	#held: Event[] = [];
	readonly #onLine: ((line: string) => void) | undefined;
	readonly #trace: string[] = [];
	#steadyMs = 0;
	#wallMs = T0;
	#order = 0;
	#happened = 0;

	/** @param onLine hears every line of the trace */
	constructor(chance: Chance, onLine?: (line: string) => void) {
		this.chance = chance;
		this.#onLine = onLine;
	}

	get steadyMs(): number {
		return this.#steadyMs;
	}

	/** Milliseconds since 1970. */
	get now(): number {
		return Math.floor(this.#wallMs + this.#steadyMs);
	}

	get happened(): number {
		return this.#happened;
	}

	jump(ms: number): void {
		this.#wallMs += ms;
	}

	/** Returns a function that takes it back. */
	schedule(actor: Actor, delayMs: number, kind: EventKind, what: string, act: () => void): () => void {
		const event = {at: this.#steadyMs + Math.max(0, delayMs), order: this.#order++, actor, kind, what, act};
		this.#insert(event);
		return () => {
			const index = this.#events.indexOf(event);
			if (index >= 0) this.#events.splice(index, 1);
		};
	}

	/** The next event, and all that follows from it at once. False if nothing is left to happen. */
	async step(): Promise<boolean> {
		const event = this.#events.pop();
		if (!event) return false;
		this.#steadyMs = Math.max(this.#steadyMs, event.at);
		const {actor, kind, what, act} = event;
		if (actor.isDead) return true;
		if (actor.isSuspended) {
			this.#held.push(event);
			return true;
		}
		this.#happened++;
		this.counts[kind]++;
		if (kind !== 'timer' && kind !== 'turn') this.trace(actor, `${kind}: ${what}`);
		act();
		await new Promise(setImmediate);
		return true;
	}

	/** What was held back while somebody was suspended who is not any more happens now, in its order. */
	resume(): void {
		const held = this.#held;
		this.#held = [];
		for (const event of held) {
			if (event.actor.isSuspended) this.#held.push(event);
			else this.#insert({...event, at: this.#steadyMs});
		}
	}

	trace(actor: Actor | undefined, line: string): void {
		const text = `${(this.#steadyMs / 1000).toFixed(4)} s  ${(actor?.name ?? '').padEnd(4)}  ${line}`;
		this.#onLine?.(text);
		this.#trace.push(text);
		if (this.#trace.length > 2 * TRACE_LINES) this.#trace.splice(0, TRACE_LINES);
	}

	/** The last that happened, a line each. */
	get lastLines(): readonly string[] {
		return this.#trace.slice(-TRACE_LINES);
	}

	/** The actor's clock. Its timers are late by a little, now and then by more. */
	clockOf(actor: Actor): Clock {
		const lateMs = () => (this.chance.is(0.01) ? this.chance.ms(100) : this.chance.ms(1));
		return {
			now: () => this.now,
			steadyMs: () => this.#steadyMs,
			after: (ms, call) => this.schedule(actor, ms + lateMs(), 'timer', '', call),
			every: (ms, call) => {
				let takeBack: () => void;
				const next = () => {
					takeBack = this.schedule(actor, ms + lateMs(), 'timer', '', () => {
						next();
						call();
					});
				};
				next();
				return () => takeBack();
			},
			nextTurn: () => new Promise(resolve => void this.schedule(actor, lateMs(), 'turn', '', resolve)),
		};
	}

	#insert(event: Event): void {
		let index = this.#events.length;
		while (index > 0 && isLater(event, this.#events[index - 1] as Event)) index--;
		this.#events.splice(index, 0, event);
	}
}

function isLater(event: Event, other: Event): boolean {
	return event.at > other.at || (event.at === other.at && event.order > other.order);
}
