import type {Settlement} from '../job/claim.ts';
import type {Encoded} from '../job/encoding.ts';
import type {EventName, JobEvent} from '../job/events.ts';
import {toEnvelope, toFailure} from '../job/failure.ts';
import {withListedKeys} from '../job/groups/cut-and-join.ts';
import {
	type ClaimedGroup,
	type EndedGroup,
	type EnqueuedGroup,
	idAt,
	listIds,
	type NewGroup,
	numberAt,
	type RunningUpdate,
	rangeOf,
	sizeOf,
	toColumn,
	toIds,
} from '../job/groups/group.ts';
import {pack, unpack} from '../job/groups/packed.ts';
import {pickTimes} from '../job/groups/packed-times.ts';
import {settlementsOf} from '../job/groups/single-jobs.ts';
import {isTerminal, type JobId} from '../job/job.ts';
import type {SettledGroup, Store} from '../store/store.ts';
import {defined} from '../support/defined.ts';
import {FaenaError} from '../support/errors.ts';
import {failpoint} from '../support/failpoint.ts';
import {IdRanges} from '../transport/id-ranges.ts';
import type {CompletedJobs, DispatcherMessage, EnqueueCall, EnqueueReply, IdRange, Notice, Reply} from '../transport/messages.ts';
import {JobEvents} from './job-events.ts';

export type NumberedCall = EnqueueCall & {readonly call: number};

/** What the store refused: a write of this job, or claims of this task. Both are absent if that is not known. */
export interface Refused {
	readonly id?: JobId;
	readonly task?: string;
}

/** The events of which one follows each execution. */
const END_EVENTS = ['completed', 'failed', 'dead', 'cancelled'] as const;
const JOB_EVENTS = [...END_EVENTS, 'progress', 'log'] as const;

/** Jobs looked up at once after another process has written. This many take about a millisecond. */
const MAX_LOOKED_UP_JOBS = 200;

/** The dispatcher's side towards its callers: sends replies, events and notices of ended jobs together, after the commit that made them true. */
export class Clients {
	/** The number of callers that watch each job: when one gives up, the others still watch it. */
	readonly watched = new Map<JobId, number>();
	/** Jobs that were enqueued together by a caller that watches all of them. */
	readonly #ranges = new IdRanges<undefined>();
	readonly output: (message: DispatcherMessage) => void;
	readonly #store: Store;
	#subscribed: ReadonlySet<EventName>;
	readonly #replies: Reply[] = [];
	readonly #completed: CompletedJobs[] = [];
	readonly #notices: Notice[] = [];
	readonly #events: JobEvent[] = [];
	readonly #jobEvents: JobEvents;
	/** Jobs that were cancelled while they did not run, and of which this is to be told. */
	readonly #cancelled: JobId[] = [];
	/** Jobs to look up. They may have ended before they were watched, or in another dispatcher. */
	readonly #lookUps: {readonly ids: readonly JobId[]; readonly earlier: boolean}[] = [];
	/** Watched jobs that were not looked up since another process wrote. */
	#unverified: JobId[] = [];
	/** True if another process has written since these began to be looked up. */
	#isUnverifiedAgain = false;

	constructor(store: Store, output: (message: DispatcherMessage) => void, events: readonly EventName[] = []) {
		this.#store = store;
		this.#jobEvents = new JobEvents(store);
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
		if (watch && !result.full && result.missing === undefined) this.watchEnqueued(group, result);
	}

	watchEnqueued(group: NewGroup, {ids, reused = [], conflicts}: Omit<EnqueuedGroup, 'full'>): void {
		const count = sizeOf(group);
		const range = conflicts ? undefined : rangeOf(ids, count);
		if (range) this.#ranges.add(range.first, range.last, undefined);
		else this.watch(listIds(ids, count).filter((_, index) => !conflicts?.includes(index)));
		this.mayHaveEnded(
			reused.map(index => idAt(ids, index)),
			true,
		);
	}

	/** True if a caller waits to hear of the end of one of these executions. */
	awaits(group: EndedGroup): boolean {
		return this.#tellsOfEnds || (this.#isWatching && this.#watchesAny(group));
	}

	get #tellsOfEnds(): boolean {
		return END_EVENTS.some(event => this.#subscribed.has(event));
	}

	settled(group: EndedGroup, result: SettledGroup): void {
		if (this.#isWatching) this.#notifyCompleted(group, result);
		// Usually no caller waits for any of them.
		if (result.others.size > 0 || this.#subscribed.has('completed')) this.#settledOneByOne(group, result);
	}

	#settledOneByOne(group: EndedGroup, {others, refusals}: SettledGroup): void {
		// By another engine, or by our own commit that reported an error and took effect. Watches must look up how.
		const settledBefore: JobId[] = [];
		const indexes = this.#subscribed.has('completed') ? Array.from({length: sizeOf(group)}, (_, index) => index) : [...others.keys()].sort((a, b) => a - b);
		const settlements = [...settlementsOf(group, indexes)];
		// Usually nobody listens.
		const told = this.#tellsOfEnds ? {...group, claimed: group.claimed && withListedKeys(group.claimed)} : undefined;
		for (const [at, index] of indexes.entries()) {
			const given = settlements[at] as Settlement;
			const status = others.get(index) ?? 'completed';
			const error = refusals?.get(index);
			const settlement: Settlement = error ? {...given, outcome: {type: 'threw', error}} : given;
			this.publish(told && this.#jobEvents.ended(told, settlement.id, settlement.outcome, status));
			if (status === 'lost' || status === 'discarded') settledBefore.push(settlement.id);
			else if (isTerminal(status) && status !== 'completed') this.notifyEnd(settlement.id, () => toNotice(settlement, status as Notice['status']));
		}
		this.mayHaveEnded(settledBefore);
	}

	#notifyCompleted(group: EndedGroup, {others}: SettledGroup): void {
		const {ids, values, executions, times} = group;
		const count = sizeOf(group);
		if (typeof ids === 'number' && others.size === 0 && this.#ranges.covers(ids, ids + count - 1)) {
			this.#ranges.take(ids, ids + count - 1);
			for (let index = 0; index < count && this.watched.size > 0; index++) this.watched.delete(ids + index);
			this.#completed.push({ids, values, executions, times});
			return;
		}
		const watched = this.#watchedIn(group).filter(index => !others.has(index));
		if (watched.length === 0) return;
		const listed = watched.length === count ? undefined : unpack(values);
		for (const index of watched) this.#forget(idAt(ids, index));
		this.#completed.push({
			ids: toIds(watched.map(index => idAt(ids, index))),
			...(listed
				? {
						values: pack(watched.map(index => listed[index] as Encoded)),
						executions: toColumn(watched.map(index => numberAt(executions, index))),
						times: pickTimes(times, watched),
					}
				: {values, executions, times}),
		});
	}

	#watchesAny(group: EndedGroup): boolean {
		const {ids} = group;
		if (typeof ids !== 'number') return ids.some(id => this.#isWatched(id));
		const last = ids + sizeOf(group) - 1;
		return this.#ranges.within(ids, last).length > 0 || this.#singlesIn(ids, last).length > 0;
	}

	/** The indexes of watched jobs, in rising order. */
	#watchedIn(group: EndedGroup): number[] {
		const {ids} = group;
		if (typeof ids !== 'number') return [...ids.keys()].filter(index => this.#isWatched(ids[index] as JobId));
		const last = ids + sizeOf(group) - 1;
		const inRanges = this.#ranges.within(ids, last).flatMap(part => listIds(part.first, part.last - part.first + 1));
		return [...new Set([...this.#singlesIn(ids, last), ...inRanges])].map(id => id - ids).sort((a, b) => a - b);
	}

	/** The jobs of this range that are watched one by one. */
	#singlesIn(first: JobId, last: JobId): JobId[] {
		const {watched} = this;
		if (watched.size < last - first) return [...watched.keys()].filter(id => id >= first && id <= last);
		return listIds(first, last - first + 1).filter(id => watched.has(id));
	}

	get #isWatching(): boolean {
		return this.watched.size > 0 || this.#ranges.size > 0;
	}

	#isWatched(id: JobId): boolean {
		return this.watched.has(id) || this.#ranges.has(id);
	}

	/** Ends the watches of a job. Returns true if there were some. */
	#forget(id: JobId): boolean {
		const wasWatched = this.watched.delete(id);
		return this.#ranges.take(id, id).length > 0 || wasWatched;
	}

	updated(update: RunningUpdate): void {
		if (update.claimed) for (const event of this.#jobEvents.updated(update, update.claimed)) this.publish(event);
	}

	/** The store has cancelled these jobs, which did not run. */
	cancelled(ids: readonly JobId[] = []): void {
		if (this.#subscribed.has('cancelled')) this.#cancelled.push(...ids);
		this.mayHaveEnded(ids);
	}

	/** Reads what events of these jobs will tell of their batches. */
	async learnBatches(jobs: readonly {readonly claimed?: ClaimedGroup | undefined}[]): Promise<void> {
		if (JOB_EVENTS.some(event => this.#subscribed.has(event))) await this.#jobEvents.learn(jobs.map(({claimed}) => claimed));
	}

	/** Collects an event, if a caller has subscribed to it. For the ends of jobs use {@link settled}. */
	publish(event: JobEvent | undefined): void {
		if (event && this.#subscribed.has(event.type)) this.#events.push(event);
	}

	/** The store refused something, and the dispatcher goes on without it. Reported once, however often the store refuses it. */
	refused(what: Refused, refusal: FaenaError): void {
		this.publish({type: 'refused', ...what, error: toFailure(refusal)});
	}

	flush(): void {
		if (this.#replies.length + this.#completed.length + this.#notices.length + this.#events.length === 0) return;
		failpoint('replies:ready');
		this.output({
			type: 'replies',
			replies: this.#replies.splice(0),
			completed: this.#completed.splice(0),
			notices: this.#notices.splice(0),
			events: this.#events.splice(0),
		});
	}

	watch(ids: readonly JobId[]): void {
		for (const id of ids) this.watched.set(id, (this.watched.get(id) ?? 0) + 1);
	}

	/** Undoes one {@link watch}, or the watch of jobs that were enqueued together. */
	unwatch(ids: readonly JobId[], ranges: readonly IdRange[] = []): void {
		for (const {first, last} of ranges) this.#ranges.takeOnce(first, last);
		for (const id of ids) {
			const watches = this.watched.get(id);
			if (watches === undefined) this.#ranges.takeOnce(id, id);
			else if (watches > 1) this.watched.set(id, watches - 1);
			else this.watched.delete(id);
		}
	}

	/** The job has ended: notifies its watchers, if there are any. */
	notifyEnd(id: JobId, toNotice: () => Notice): void {
		if (this.#forget(id)) this.#notices.push(toNotice());
	}

	/** True if there are jobs to look up by {@link mayHaveEnded}. */
	get hasLookUps(): boolean {
		return this.#lookUps.length + this.#cancelled.length > 0;
	}

	/** True if there are jobs to look up by {@link allMayHaveEnded}. */
	get isUnverified(): boolean {
		return this.#unverified.length > 0;
	}

	/** These jobs will be looked up. `earlier`: they existed before they were watched. */
	mayHaveEnded(ids: readonly JobId[], earlier = false): void {
		if (ids.length > 0) this.#lookUps.push({ids, earlier});
	}

	/** Another process has written, so any watched job may have ended: all will be looked up. */
	allMayHaveEnded(): void {
		if (this.#unverified.length > 0) this.#isUnverifiedAgain = true;
		else this.#unverified = [...this.watched.keys(), ...[...this.#ranges].flatMap(({first, last}) => listIds(first, last - first + 1))];
	}

	/** Looks up all of {@link mayHaveEnded} and, if it verifies, a part of {@link allMayHaveEnded}. */
	async lookUp(verifies = true): Promise<void> {
		const ids = [...this.#cancelled];
		for (const event of await this.#jobEvents.cancelled(ids)) this.publish(event);
		this.#cancelled.splice(0, ids.length);
		for (let next = this.#lookUps[0]; next; next = this.#lookUps[0]) {
			await this.#lookUp(next.ids, next.earlier);
			this.#lookUps.shift();
		}
		if (!verifies || !this.isUnverified) return;
		await this.#lookUp(this.#unverified.slice(0, MAX_LOOKED_UP_JOBS), false);
		this.#unverified.splice(0, MAX_LOOKED_UP_JOBS);
		if (this.isUnverified || !this.#isUnverifiedAgain) return;
		this.#isUnverifiedAgain = false;
		this.allMayHaveEnded();
	}

	async #lookUp(ids: readonly JobId[], earlier: boolean): Promise<void> {
		const watched = ids.filter(id => this.#isWatched(id));
		for (let after: number | null = 0; after !== null && watched.length > 0; ) {
			const {outcomes, next} = await this.#store.outcomes(watched, {after});
			for (const outcome of outcomes) this.notifyEnd(outcome.id, () => (earlier ? {...outcome, earlier} : outcome));
			after = next;
		}
	}
}

function toNotice({id, execution, outcome}: Settlement, status: Notice['status']): Notice {
	const {startedAt, durationMs, cpuMs, memoryBytes} = outcome;
	return {
		id,
		status,
		result: outcome.type === 'returned' ? outcome.value : null,
		...('error' in outcome && outcome.error && {error: outcome.error}),
		execution: {number: execution, ...defined({startedAt, durationMs, cpuMs, memoryBytes})},
	};
}
