import type {Ending} from '../job/claim.ts';
import {type EndedGroup, pickEnded, sizeOf} from '../job/group.ts';
import {type Clock, sleep} from '../support/clock.ts';

/** How long the caller has to answer. It may be busy computing. */
const MAX_ANSWER_MS = 1000;

/**
 * Holds executions that threw until the caller has answered whether a signal has come; if one has, they are not charged. The terminal sends
 * Ctrl-C to all processes, also to the commands that tasks run, and then these tasks throw. The caller, which closes its engine on signals,
 * may report the signal only after that.
 */
export class SignalGate {
	readonly #asks: boolean;
	readonly #clock: Clock;
	readonly #ask: () => void;
	/** The open questions, in order: each is called when it is answered. */
	readonly #questions: (() => void)[] = [];
	#hasCome = false;
	#waiting = 0;

	/** @param asks false if the caller does not close its engine on signals */
	constructor(asks: boolean, clock: Clock, ask: () => void) {
		this.#asks = asks;
		this.#clock = clock;
		this.#ask = ask;
	}

	/** The number of jobs that threw and wait for an answer. */
	get waiting(): number {
		return this.#waiting;
	}

	/** The caller has answered a question. */
	answered(): void {
		this.#questions.shift()?.();
	}

	/** A signal closes the engine. */
	signalCame(): void {
		this.#hasCome = true;
	}

	/** Passes executions on: those that threw after the caller has answered, the others at once. */
	pass(groups: readonly EndedGroup[], next: (groups: readonly EndedGroup[]) => void): void {
		if (!this.#asks || !groups.some(hasThrown)) {
			next(groups);
			return;
		}
		const thrown: EndedGroup[] = [];
		const others: EndedGroup[] = [];
		for (const group of groups) {
			const indexes = Array.from({length: sizeOf(group)}, (_, index) => index);
			const {threw = [], rest = []} = Object.groupBy(indexes, index => (group.endings?.get(index)?.type === 'threw' ? 'threw' : 'rest'));
			if (threw.length > 0) thrown.push(pickEnded(group, threw));
			if (rest.length > 0) others.push(pickEnded(group, rest));
		}
		next(others);
		void this.#hold(thrown, next);
	}

	async #hold(thrown: readonly EndedGroup[], next: (groups: readonly EndedGroup[]) => void): Promise<void> {
		const jobs = thrown.reduce((sum, group) => sum + sizeOf(group), 0);
		this.#waiting += jobs;
		this.#ask();
		await Promise.race([new Promise<void>(resolve => void this.#questions.push(resolve)), sleep(this.#clock, MAX_ANSWER_MS)]);
		this.#waiting -= jobs;
		next(thrown);
	}

	/** If a signal has come, executions that threw count as released. */
	uncharge(groups: readonly EndedGroup[]): readonly EndedGroup[] {
		return this.#hasCome ? groups.map(group => (hasThrown(group) ? {...group, endings: new Map([...(group.endings ?? [])].map(released))} : group)) : groups;
	}
}

function hasThrown({endings}: EndedGroup): boolean {
	for (const ending of endings?.values() ?? []) if (ending.type === 'threw') return true;
	return false;
}

function released([index, ending]: readonly [number, Ending]): readonly [number, Ending] {
	return [index, ending.type === 'threw' ? {type: 'released'} : ending];
}
