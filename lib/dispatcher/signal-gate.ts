import {type EndedGroup, sizeOf} from '../job/groups/group.ts';
import {pickEnded} from '../job/groups/single-jobs.ts';
import type {Clock} from '../support/clock.ts';

/** How long the caller has to answer. It may be busy computing. */
const MAX_ANSWER_MS = 1000;

/** Holds executions that threw until the caller says whether a signal has come: a Ctrl-C also reaches their commands. Then they are not charged. */
export class SignalGate {
	/** Questions that still hold executions. */
	holding = 0;
	hasSignalCome = false;
	readonly #clock: Clock;
	readonly #ask: (() => void) | undefined;
	/** What to call with each answer, in the order of the questions. */
	readonly #questions: (() => void)[] = [];

	/** @param ask absent if the caller does not close its engine on signals */
	constructor(clock: Clock, ask?: () => void) {
		this.#clock = clock;
		this.#ask = ask;
	}

	answered(): void {
		this.#questions.shift()?.();
	}

	/** Passes executions on: those that threw after the caller has answered, the others at once. If a signal has come, the former count as released. */
	pass(groups: readonly EndedGroup[], next: (groups: readonly EndedGroup[]) => void): void {
		const thrown = this.#ask || this.hasSignalCome ? groups.flatMap(group => pick(group, 'threw')) : [];
		if (thrown.length === 0) return void next(groups);
		next(groups.flatMap(group => pick(group, 'others')));
		if (!this.#ask) return void next(thrown.map(asReleased));
		const {promise, resolve} = Promise.withResolvers<void>();
		this.#questions.push(resolve);
		this.#clock.after(MAX_ANSWER_MS, resolve);
		this.holding++;
		void promise.then(() => {
			this.holding--;
			next(this.hasSignalCome ? thrown.map(asReleased) : thrown);
		});
		this.#ask();
	}
}

/** A group of the executions that threw, or of the others, if there are some. */
function pick(group: EndedGroup, which: 'threw' | 'others'): EndedGroup[] {
	if (!group.endings) return which === 'others' ? [group] : [];
	const indexes = Array.from({length: sizeOf(group)}, (_, index) => index);
	const picked = indexes.filter(index => (group.endings?.get(index)?.type === 'threw') === (which === 'threw'));
	return picked.length > 0 ? [pickEnded(group, picked)] : [];
}

function asReleased(group: EndedGroup): EndedGroup {
	return {...group, endings: new Map([...(group.endings?.keys() ?? [])].map(index => [index, {type: 'released'}]))};
}
