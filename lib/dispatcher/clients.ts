import {toEnvelope} from '../job/error-envelope.ts';
import type {EventName, JobEvent} from '../job/events.ts';
import {isTerminal, type JobId, type JobStatus} from '../job/job.ts';
import type {NewJob} from '../job/new-job.ts';
import type {Note, Settlement} from '../job/outcome.ts';
import {countOf, isList, unpack} from '../job/packed-strings.ts';
import type {NewRun} from '../job/runs.ts';
import type {Enqueued, JobQueue, Settled, TurnResult} from '../store/store.ts';
import {failpoint} from '../support/failpoint.ts';
import type {EnqueueCall, EnqueueReply, Notice, RepliesMessage, Reply} from '../transport/messages.ts';

/** Jobs looked up after another process wrote: a millisecond's worth. */
const INQUIRED_AT_ONCE = 200;

type Numbered<Body> = Body & {readonly call: number};

/**
 * The side of the dispatcher that faces its callers: collects what they want enqueued, remembers what they watch, and
 * gathers replies, notices and events, which leave together, after the commit that made them true.
 */
export class Clients {
	readonly #output: (message: RepliesMessage) => void;
	/** How many callers watch each job: one that gives up must not unwatch it for another. */
	readonly #watched = new Map<JobId, number>();
	/** How many watched jobs were not looked up since another process wrote. */
	#doubtful = 0;
	#enqueues: Numbered<EnqueueCall>[] = [];
	#subscribed: ReadonlySet<EventName>;
	#replies: Reply[] = [];
	#notices: Notice[] = [];
	#events: JobEvent[] = [];

	constructor(output: (message: RepliesMessage) => void, events: readonly EventName[] = []) {
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

	/** Whole calls, in order, until they have `maxJobs` jobs. */
	takeEnqueues(maxJobs: number): Numbered<EnqueueCall>[] {
		let jobs = 0;
		const end = this.#enqueues.findIndex(({payloads}) => {
			const isFull = jobs >= maxJobs;
			jobs += countOf(payloads);
			return isFull;
		});
		return this.#enqueues.splice(0, end < 0 ? this.#enqueues.length : end);
	}

	/** Answers the calls. Returns the watched jobs among them that existed before, and may have ended. */
	enqueued(calls: readonly Numbered<EnqueueCall>[], results: readonly Enqueued[]): JobId[] {
		const existing: JobId[] = [];
		let start = 0;
		for (const each of calls) {
			const made = isRun(each) ? 1 : countOf(each.payloads);
			const own = results.slice(start, start + made);
			start += made;
			this.reply(each.call, toReply(own));
			// After a conflict the caller waits for none of the call's jobs.
			if (!each.watch || own.some(({conflict}) => conflict)) continue;
			for (const {id, existing: wasThere} of own) {
				this.#addWatch(id);
				if (wasThere) existing.push(id);
			}
		}
		return existing;
	}

	// ——— what callers hear ———

	reply(call: number, value: unknown): void {
		this.#replies.push({call, value});
	}

	refuse(call: number, error: unknown): void {
		this.#replies.push({call, error: toEnvelope(error)});
	}

	subscribe(events: readonly EventName[]): void {
		this.#subscribed = new Set(events);
	}

	watch(ids: readonly JobId[]): void {
		for (const id of ids) this.#addWatch(id);
	}

	#addWatch(id: JobId): void {
		this.#watched.set(id, (this.#watched.get(id) ?? 0) + 1);
	}

	/** Undoes one {@link watch}. */
	unwatch(ids: readonly JobId[]): void {
		for (const id of ids) {
			const others = (this.#watched.get(id) ?? 0) - 1;
			if (others > 0) this.#watched.set(id, others);
			else this.#watched.delete(id);
		}
	}

	/** True if somebody waits for jobs that complete, or listens for them. */
	get awaitsCompleted(): boolean {
		return this.#watched.size > 0 || this.#subscribed.has('completed');
	}

	/** Collects events and notices of settlements that were committed. */
	settled(settlements: readonly Settlement[], {settled, refused}: Pick<TurnResult, 'settled' | 'refused'>): void {
		settlements.forEach((given, index) => {
			const status = settled[index] as Settled;
			const error = refused?.get(index);
			const settlement: Settlement = error ? {...given, outcome: {type: 'threw', error}} : given;
			const event = toEvent(settlement, status);
			if (event && this.#subscribed.has(event.type)) this.#events.push(event);
			if (isEnd(status) && this.#watched.delete(settlement.id)) this.#notices.push(toNotice(settlement, status));
		});
	}

	noted({id, progress, logs = []}: Note): void {
		if (progress && this.#subscribed.has('progress')) {
			const {done, total} = progress;
			this.#events.push({type: 'progress', id, done, ...(total !== undefined && {total})});
		}
		if (this.#subscribed.has('log')) for (const line of logs) this.#events.push({type: 'log', id, ...line});
	}

	/** Looks up watched jobs that may have ended without this dispatcher: settled before, elsewhere, or cancelled. */
	async inquire(queue: JobQueue, ids: Iterable<JobId>, earlier = false): Promise<void> {
		const watched = [...ids].filter(id => this.#watched.has(id));
		if (watched.length === 0) return;
		for (const end of await queue.ends(watched)) {
			this.#watched.delete(end.id);
			this.#notices.push(earlier ? {...end, earlier} : end);
		}
	}

	/**
	 * To be called from time to time. After a write of another process any watched job may have ended. Looks up some of them in each call,
	 * beginning with those that were looked up longest ago.
	 */
	async inquireSome(queue: JobQueue, hasChanged: boolean): Promise<void> {
		if (hasChanged) this.#doubtful = this.#watched.size;
		if (this.#doubtful <= 0) return;
		const some = [...this.#watched.keys().take(INQUIRED_AT_ONCE)];
		await this.inquire(queue, some);
		this.#doubtful -= INQUIRED_AT_ONCE;
		for (const id of some) {
			const times = this.#watched.get(id);
			if (times === undefined) continue;
			this.#watched.delete(id);
			this.#watched.set(id, times);
		}
	}

	/** Passes an event on, if somebody listens. Not for each job: use {@link settled}. */
	tell(event: JobEvent): void {
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

/** The queue's form of what the calls want. */
export function toNewJobs(calls: readonly EnqueueCall[]): (NewJob | NewRun)[] {
	return calls.flatMap((call): (NewJob | NewRun) | NewJob[] => {
		const {task, payloads, keys, batch, rerun, priority, runAt, policy} = call;
		if (isRun(call)) return {task, payloads: call.payloads, priority, runAt, policy};
		return unpack(payloads).map((payload, index) => {
			const key = keys?.[index];
			return {task, payload, priority, runAt, policy, ...(key !== undefined && {key}), ...(batch !== undefined && {batch}), ...(rerun && {rerun})};
		});
	});
}

/** True for a call whose jobs are enqueued as one run. Nobody watches such jobs. */
function isRun(call: EnqueueCall): call is EnqueueCall & Pick<NewRun, 'payloads'> {
	return !isList(call.payloads) && call.keys === undefined && call.batch === undefined && !call.watch;
}

function toReply(results: readonly Enqueued[]): EnqueueReply {
	const first = results[0]?.id ?? 0;
	const existing = results.flatMap((result, index) => (result.existing ? [index] : []));
	const conflict = results.findIndex(result => result.conflict);
	const isRange = results.every(({id}, index) => id === first + index);
	return {
		first,
		...(!isRange && {ids: results.map(({id}) => id)}),
		...(existing.length > 0 && {existing}),
		...(conflict >= 0 && {conflict}),
	};
}

function toNotice({id, outcome}: Settlement, status: Notice['status']): Notice {
	return {id, status, value: outcome.type === 'returned' ? outcome.value : null, ...('error' in outcome && outcome.error && {error: outcome.error})};
}

function isEnd(status: Settled): status is Notice['status'] & JobStatus {
	return status !== 'lost' && status !== 'withdrawn' && isTerminal(status);
}

function toEvent({id, outcome}: Settlement, status: Settled): JobEvent | undefined {
	if (status === 'completed') return {type: status, id, durationMs: outcome.durationMs ?? 0};
	if (status === 'cancelled') return {type: status, id};
	if ((status === 'failed' || status === 'dead') && 'error' in outcome && outcome.error) return {type: status, id, error: outcome.error};
	return undefined;
}
