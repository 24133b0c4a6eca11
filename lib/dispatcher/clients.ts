import {toEnvelope} from '../job/error-envelope.ts';
import type {EventName, JobEvent} from '../job/events.ts';
import {type EndedGroup, type EnqueuedGroup, listIds, settlementsOf, sizeOf} from '../job/group.ts';
import {isTerminal, type JobId, type JobStatus} from '../job/job.ts';
import type {JobUpdate, Settlement} from '../job/outcome.ts';
import type {Settled, SettledGroup, Store} from '../store/store.ts';
import {failpoint} from '../support/failpoint.ts';
import type {EnqueueCall, Notice, RepliesMessage, Reply} from '../transport/messages.ts';
import {Watches} from './watches.ts';

type Numbered<Body> = Body & {readonly call: number};

/**
 * The dispatcher's side towards its callers. It collects their enqueue calls, and the replies, notices and events for them, which it
 * sends together, after the commit that made them true.
 */
export class Clients {
	readonly watches: Watches;
	readonly #output: (message: RepliesMessage) => void;
	#enqueues: Numbered<EnqueueCall>[] = [];
	#subscribed: ReadonlySet<EventName>;
	#replies: Reply[] = [];
	#notices: Notice[] = [];
	#events: JobEvent[] = [];

	constructor(store: Store, output: (message: RepliesMessage) => void, events: readonly EventName[] = []) {
		this.watches = new Watches(store, notice => void this.#notices.push(notice));
		this.#output = output;
		this.#subscribed = new Set(events);
	}

	// ——— enqueuing ———

	add(call: Numbered<EnqueueCall>): void {
		this.#enqueues.push(call);
	}

	get hasEnqueues(): boolean {
		return this.#enqueues.length > 0;
	}

	/** Removes and returns calls, in order, until they have `maxJobs` jobs. */
	takeEnqueues(maxJobs: number): Numbered<EnqueueCall>[] {
		let jobs = 0;
		const end = this.#enqueues.findIndex(({group}) => {
			const isFull = jobs >= maxJobs;
			jobs += sizeOf(group);
			return isFull;
		});
		return this.#enqueues.splice(0, end < 0 ? this.#enqueues.length : end);
	}

	/** Answers the calls. Reused jobs that are watched may have ended already, and will be looked up. */
	enqueued(calls: readonly Numbered<EnqueueCall>[], results: readonly EnqueuedGroup[]): void {
		for (const [index, {call, group, watch}] of calls.entries()) {
			const result = results[index] as EnqueuedGroup;
			this.reply(call, result);
			// After a conflict the caller waits for no job of the call.
			if (!watch || result.conflicts) continue;
			const ids = listIds(result.ids, sizeOf(group));
			this.watches.add(ids);
			if (result.reused)
				this.watches.mayHaveEnded(
					result.reused.map(index => ids[index] as JobId),
					true,
				);
		}
	}

	// ——— replies, notices and events ———

	reply(call: number, value: unknown): void {
		this.#replies.push({call, value});
	}

	refuse(call: number, error: unknown): void {
		this.#replies.push({call, error: toEnvelope(error)});
	}

	subscribe(events: readonly EventName[]): void {
		this.#subscribed = new Set(events);
	}

	/** Collects the events and notices of settled executions. */
	settled(group: EndedGroup, {others, refusals}: SettledGroup): void {
		// Usually no caller waits for any of them.
		if (others.size === 0 && this.watches.isEmpty && !this.#subscribed.has('completed')) return;
		let index = 0;
		for (const given of settlementsOf(group)) {
			const status = others.get(index) ?? 'completed';
			const error = refusals?.get(index);
			const settlement: Settlement = error ? {...given, outcome: {type: 'threw', error}} : given;
			const event = toEvent(settlement, status);
			if (event && this.#subscribed.has(event.type)) this.#events.push(event);
			if (isEnd(status)) this.watches.ended(settlement.id, () => toNotice(settlement, status));
			index++;
		}
	}

	updated({id, progress, logs = []}: JobUpdate): void {
		if (progress && this.#subscribed.has('progress')) {
			const {done, total} = progress;
			this.#events.push({type: 'progress', id, done, ...(total !== undefined && {total})});
		}
		if (this.#subscribed.has('log')) for (const line of logs) this.#events.push({type: 'log', id, ...line});
	}

	/** Collects an event, if a caller has subscribed to it. For the ends of jobs use {@link settled}. */
	publish(event: JobEvent): void {
		if (this.#subscribed.has(event.type)) this.#events.push(event);
	}

	cancelled(ids: readonly JobId[]): void {
		if (this.#subscribed.has('cancelled')) for (const id of ids) this.#events.push({type: 'cancelled', id});
	}

	flush(): void {
		if (this.#replies.length + this.#notices.length + this.#events.length === 0) return;
		failpoint('replies:ready');
		this.#output({type: 'replies', replies: this.#replies, notices: this.#notices, events: this.#events});
		this.#replies = [];
		this.#notices = [];
		this.#events = [];
	}
}

function toNotice({id, outcome}: Settlement, status: Notice['status']): Notice {
	return {id, status, result: outcome.type === 'returned' ? outcome.value : null, ...('error' in outcome && outcome.error && {error: outcome.error})};
}

function isEnd(status: Settled): status is Notice['status'] & JobStatus {
	return status !== 'lost' && status !== 'discarded' && isTerminal(status);
}

function toEvent({id, outcome}: Settlement, status: Settled): JobEvent | undefined {
	if (status === 'completed') return {type: status, id, durationMs: outcome.durationMs ?? 0};
	if (status === 'cancelled') return {type: status, id};
	if ((status === 'failed' || status === 'dead') && 'error' in outcome && outcome.error) return {type: status, id, error: outcome.error};
	return undefined;
}
