import {withOnDead} from '../job/groups/dead-jobs.ts';
import type {EndedGroup, RunningUpdate} from '../job/groups/group.ts';
import type {NumberedCall} from './clients.ts';
import type {Context} from './context.ts';

/** What a transaction writes, besides its claims. */
export interface Writes {
	readonly updates: readonly RunningUpdate[];
	readonly settle: readonly EndedGroup[];
	readonly enqueues: readonly NumberedCall[];
}

/** Updates of running jobs wait at most this long for company. With up to 50 ms in their worker and the commit, a checkpoint loses below 100 ms. */
const MAX_UPDATE_DELAY_MS = 20;
/** The least and the most time that an outcome waits for company, if no caller waits for it. */
const MIN_OUTCOME_DELAY_MS = 2;
const MAX_OUTCOME_DELAY_MS = 50;

/** Outcomes of jobs, and updates of running ones, that wait for the next commit. The agenda has the time until which each can wait for more to write. */
export class WaitingWrites {
	/** True while a caller waits until no job runs. */
	isIdleAwaited = false;
	readonly #context: Pick<Context, 'agenda' | 'clock' | 'clients' | 'wake'>;
	#outcomes: EndedGroup[] = [];
	#updates: RunningUpdate[] = [];

	constructor(context: Pick<Context, 'agenda' | 'clock' | 'clients' | 'wake'>) {
		this.#context = context;
	}

	get hasOutcomes(): boolean {
		return this.#outcomes.length > 0;
	}

	get hasUpdates(): boolean {
		return this.#updates.length > 0;
	}

	/** @param jobMs how long the jobs took, on average; default: the outcomes are due at once */
	settle(groups: readonly EndedGroup[], jobMs = Infinity): void {
		this.#outcomes.push(...groups.map(withOnDead));
		this.#context.agenda.bringForward('outcomes', this.#delayFor(groups, jobMs));
	}

	/** Outcomes of short jobs that no caller waits for can wait for the next enqueue, for about as long as one job took. A long job is too much to repeat. */
	#delayFor(groups: readonly EndedGroup[], jobMs: number): number {
		if (this.isIdleAwaited || jobMs > MAX_OUTCOME_DELAY_MS) return 0;
		const isAwaited = groups.some(group => group.endings !== undefined || this.#context.clients.awaits(group));
		return isAwaited ? 0 : Math.max(MIN_OUTCOME_DELAY_MS, jobMs);
	}

	update(update: RunningUpdate): void {
		if (this.#updates.push(update) > 1) return;
		const {agenda, clock, wake} = this.#context;
		agenda.set('updates', MAX_UPDATE_DELAY_MS);
		clock.after(MAX_UPDATE_DELAY_MS, () => wake('updates'));
	}

	take(): Pick<Writes, 'updates' | 'settle'> {
		for (const item of ['outcomes', 'updates'] as const) this.#context.agenda.set(item, Infinity);
		return {updates: this.#updates.splice(0), settle: this.#outcomes.splice(0)};
	}

	/** What a transaction that failed was to write comes first in the next one, at once. */
	putBack({updates, settle}: Pick<Writes, 'updates' | 'settle'>): void {
		this.#outcomes = [...settle, ...this.#outcomes];
		this.#updates = [...updates, ...this.#updates];
		this.#context.agenda.set('outcomes', 0);
		if (this.hasUpdates) this.#context.agenda.set('updates', 0);
	}
}
