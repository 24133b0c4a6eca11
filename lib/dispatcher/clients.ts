import type {JobUpdate, Settlement} from '../job/claim.ts';
import type {EventName, JobEvent} from '../job/events.ts';
import {toEnvelope, toFailure} from '../job/failure.ts';
import {type EndedGroup, listIds, settlementsOf, sizeOf} from '../job/group.ts';
import {isTerminal, type JobId} from '../job/job.ts';
import type {Settled, SettledGroup, Store} from '../store/store.ts';
import {FaenaError} from '../support/errors.ts';
import {failpoint} from '../support/failpoint.ts';
import type {DispatcherMessage, EnqueueCall, EnqueueReply, Notice, Reply} from '../transport/messages.ts';

export type NumberedCall = EnqueueCall & {readonly call: number};

/** What the store refused: a write of this job, or claims of this task. Both are absent if that is not known. */
export interface Refused {
	readonly id?: JobId;
	readonly task?: string;
}

/** Jobs looked up at once after another process has written. This many take about a millisecond. */
const MAX_LOOKED_UP_JOBS = 200;

/**
 * The dispatcher's side towards its callers: collects replies, events, and notices of the ends of watched jobs, and sends these together,
 * after the commit that made them true.
 */
export class Clients {
	/** The number of callers that watch each job: when one gives up, the others still watch it. */
	readonly watched = new Map<JobId, number>();
	readonly output: (message: DispatcherMessage) => void;
	readonly #store: Store;
	#subscribed: ReadonlySet<EventName>;
	readonly #replies: Reply[] = [];
	readonly #notices: Notice[] = [];
	readonly #events: JobEvent[] = [];
	/** Jobs to look up. They may have ended before they were watched, or in another dispatcher. */
	readonly #lookUps: {readonly ids: readonly JobId[]; readonly earlier: boolean}[] = [];
	/** The number of watched jobs that were not looked up since another process wrote. */
	#unverified = 0;

	constructor(store: Store, output: (message: DispatcherMessage) => void, events: readonly EventName[] = []) {
		this.#store = store;
		this.output = output;
		this.#subscribed = new Set(events);
	}

	reply(call: number, value: unknown): void {
		this.#replies.push({call, value});
	}

	refuse(call: number, error: unknown): void {
		this.#replies.push({call, error: toEnvelope(error)});
	}

	/** Refuses a call that came too late, or waited too long. */
	refuseAsClosed(call: number): void {
		this.refuse(call, new FaenaError('Closed', 'This engine is closed; open() another one.'));
	}

	subscribe(events: readonly EventName[]): void {
		this.#subscribed = new Set(events);
	}

	/** Answers an enqueue call. Reused jobs that are watched may have ended already, and will be looked up. */
	enqueued({call, group, watch}: NumberedCall, result: EnqueueReply): void {
		this.reply(call, result);
		// Otherwise the caller waits for no job of the call.
		if (!watch || result.conflicts || result.full) return;
		const ids = listIds(result.ids, sizeOf(group));
		this.watch(ids);
		const reused = result.reused?.map(index => ids[index] as JobId) ?? [];
		this.mayHaveEnded(reused, true);
	}

	/** Collects the events and notices of settled executions. */
	settled(group: EndedGroup, {others, refusals}: SettledGroup): void {
		// Usually no caller waits for any of them.
		if (others.size === 0 && this.watched.size === 0 && !this.#subscribed.has('completed')) return;
		// By another engine, or by our own commit that reported an error and took effect. Watches must look up how.
		const settledBefore: JobId[] = [];
		let index = 0;
		for (const given of settlementsOf(group)) {
			const status = others.get(index) ?? 'completed';
			const error = refusals?.get(index);
			const settlement: Settlement = error ? {...given, outcome: {type: 'threw', error}} : given;
			const event = toEvent(settlement, status);
			if (event) this.publish(event);
			if (status === 'lost' || status === 'discarded') settledBefore.push(settlement.id);
			else if (isTerminal(status)) this.notifyEnd(settlement.id, () => toNotice(settlement, status as Notice['status']));
			index++;
		}
		this.mayHaveEnded(settledBefore);
	}

	updated({id, progress, logs = []}: JobUpdate): void {
		if (progress) this.publish({type: 'progress', id, done: progress.done, ...(progress.total !== undefined && {total: progress.total})});
		for (const line of logs) this.publish({type: 'log', id, ...line});
	}

	/** The store has cancelled these jobs, because they had not started in time. */
	expired(ids: readonly JobId[] = []): void {
		for (const id of ids) this.publish({type: 'cancelled', id});
		this.mayHaveEnded(ids);
	}

	/** Collects an event, if a caller has subscribed to it. For the ends of jobs use {@link settled}. */
	publish(event: JobEvent): void {
		if (this.#subscribed.has(event.type)) this.#events.push(event);
	}

	/** The store refused something, and the dispatcher goes on without it. Reported once, however often the store refuses it. */
	refused(what: Refused, refusal: FaenaError): void {
		this.publish({type: 'refused', ...what, error: toFailure(refusal)});
	}

	flush(): void {
		if (this.#replies.length + this.#notices.length + this.#events.length === 0) return;
		failpoint('replies:ready');
		this.output({type: 'replies', replies: this.#replies.splice(0), notices: this.#notices.splice(0), events: this.#events.splice(0)});
	}

	watch(ids: readonly JobId[]): void {
		for (const id of ids) this.watched.set(id, (this.watched.get(id) ?? 0) + 1);
	}

	/** Undoes one {@link watch}. */
	unwatch(ids: readonly JobId[]): void {
		for (const id of ids) {
			const others = (this.watched.get(id) ?? 0) - 1;
			if (others > 0) this.watched.set(id, others);
			else this.watched.delete(id);
		}
	}

	/** The job has ended: notifies its watchers, if there are any. */
	notifyEnd(id: JobId, toNotice: () => Notice): void {
		if (this.watched.delete(id)) this.#notices.push(toNotice());
	}

	/** True if there are jobs to look up by {@link mayHaveEnded}. */
	get hasLookUps(): boolean {
		return this.#lookUps.length > 0;
	}

	/** True if there are jobs to look up by {@link allMayHaveEnded}. */
	get isUnverified(): boolean {
		return this.#unverified > 0;
	}

	/** These jobs will be looked up. `earlier`: they existed before they were watched. */
	mayHaveEnded(ids: readonly JobId[], earlier = false): void {
		if (ids.length > 0) this.#lookUps.push({ids, earlier});
	}

	/** Another process has written, so any watched job may have ended: all will be looked up. */
	allMayHaveEnded(): void {
		this.#unverified = this.watched.size;
	}

	/** Looks up all of {@link mayHaveEnded} and, if it verifies, a part of {@link allMayHaveEnded}, first those looked up longest ago. */
	async lookUp(verifies = true): Promise<void> {
		for (let next = this.#lookUps[0]; next; next = this.#lookUps[0]) {
			await this.#lookUp(next.ids, next.earlier);
			this.#lookUps.shift();
		}
		if (!verifies || this.#unverified <= 0) return;
		const some = [...this.watched.keys().take(MAX_LOOKED_UP_JOBS)];
		await this.#lookUp(some, false);
		this.#unverified -= MAX_LOOKED_UP_JOBS;
		for (const id of some) {
			const callers = this.watched.get(id);
			this.watched.delete(id);
			if (callers !== undefined) this.watched.set(id, callers);
		}
	}

	async #lookUp(ids: readonly JobId[], earlier: boolean): Promise<void> {
		const watched = ids.filter(id => this.watched.has(id));
		for (let after: number | null = 0; after !== null && watched.length > 0; ) {
			const {outcomes, next} = await this.#store.outcomes(watched, {after});
			for (const outcome of outcomes) this.notifyEnd(outcome.id, () => (earlier ? {...outcome, earlier} : outcome));
			after = next;
		}
	}
}

function toNotice({id, outcome}: Settlement, status: Notice['status']): Notice {
	return {id, status, result: outcome.type === 'returned' ? outcome.value : null, ...('error' in outcome && outcome.error && {error: outcome.error})};
}

function toEvent({id, outcome}: Settlement, status: Settled): JobEvent | undefined {
	if (status === 'completed') return {type: status, id, durationMs: outcome.durationMs ?? 0};
	if (status === 'cancelled') return {type: status, id};
	if ((status === 'failed' || status === 'dead') && 'error' in outcome && outcome.error) return {type: status, id, error: outcome.error};
	return undefined;
}
