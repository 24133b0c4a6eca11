import {MAX_LOG_LINES} from '../job/claim.ts';
import {withOnDead} from '../job/groups/dead-jobs.ts';
import type {EndedGroup, RunningUpdate} from '../job/groups/group.ts';
import {MAX_COMMIT_BYTES, Portion} from '../job/groups/portion.ts';
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
	/** One for each execution: while the store is away, the last progress, checkpoint and log lines wait. */
	#updates = new Map<string, RunningUpdate>();

	constructor(context: Pick<Context, 'agenda' | 'clock' | 'clients' | 'wake'>) {
		this.#context = context;
	}

	get hasOutcomes(): boolean {
		return this.#outcomes.length > 0;
	}

	get hasUpdates(): boolean {
		return this.#updates.size > 0;
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
		const isFirst = !this.hasUpdates;
		this.#join(update);
		if (!isFirst) return;
		const {agenda, clock, wake} = this.#context;
		agenda.set('updates', MAX_UPDATE_DELAY_MS);
		clock.after(MAX_UPDATE_DELAY_MS, () => wake('updates'));
	}

	/** Takes what one transaction writes. What is left is due at once. An update goes before the outcome of its job. */
	take(): Pick<Writes, 'updates' | 'settle'> {
		const portion = new Portion({jobs: Infinity, bytes: MAX_COMMIT_BYTES});
		const updates: RunningUpdate[] = [];
		for (const [execution, update] of this.#updates) {
			if (portion.isFull) break;
			portion.addAll([update.checkpoint?.state ?? null, ...(update.logs ?? []).map(({text}) => text)]);
			updates.push(update);
			this.#updates.delete(execution);
		}
		let count = 0;
		for (; count < this.#outcomes.length && !portion.isFull; count++) addOutcomes(portion, this.#outcomes[count] as EndedGroup);
		const settle = this.#outcomes.splice(0, count);
		this.#context.agenda.set('outcomes', this.hasOutcomes ? 0 : Infinity);
		this.#context.agenda.set('updates', this.hasUpdates ? 0 : Infinity);
		return {updates, settle};
	}

	#join(update: RunningUpdate): void {
		const key = `${update.id} ${update.lease} ${update.execution}`;
		const earlier = this.#updates.get(key);
		const logs = earlier?.logs && update.logs ? [...earlier.logs, ...update.logs].slice(-MAX_LOG_LINES) : (update.logs ?? earlier?.logs);
		this.#updates.set(key, {...earlier, ...update, ...(logs && {logs})});
	}

	/** What a transaction that failed was to write comes first in the next one, at once. */
	putBack({updates, settle}: Pick<Writes, 'updates' | 'settle'>): void {
		this.#outcomes = [...settle, ...this.#outcomes];
		const later = this.#updates;
		this.#updates = new Map();
		for (const update of [...updates, ...later.values()]) this.#join(update);
		this.#context.agenda.set('outcomes', 0);
		if (this.hasUpdates) this.#context.agenda.set('updates', 0);
	}
}

function addOutcomes(portion: Portion, {values, endings}: EndedGroup): void {
	portion.addAll(values);
	if (!endings) return;
	for (const ending of endings.values()) if (ending.type === 'returned') portion.addAll((ending.enqueue ?? []).map(({payload}) => payload));
}
