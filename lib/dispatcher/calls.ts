import type {BatchId} from '../job/batch.ts';
import type {EnqueuedGroup, NewGroup} from '../job/groups/group.ts';
import type {DiscardOptions, JobEdit, JobId} from '../job/job.ts';
import type {ScheduleChange, ScheduleResult} from '../job/schedule.ts';
import type {JobFilter, MoveTarget} from '../job/search.ts';
import {isEdited} from '../store/conflict-errors.ts';
import {JobQueue} from '../store/job-queue.ts';
import {type MovedPage, movePages} from '../store/move-pages.ts';
import type {Store} from '../store/store.ts';
import {FaenaError} from '../support/errors.ts';
import {failpoint} from '../support/failpoint.ts';
import type {Call, EnqueueCall, Verbs} from '../transport/messages.ts';
import type {Committer} from './committer.ts';
import type {Context} from './context.ts';
import type {OpenBatches} from './open-batches.ts';
import type {Schedules} from './schedules.ts';

/** The most time for calls between two commits. */
const MAX_PERFORM_MS = 20;

/** Calls that wait for the loop. The dispatcher handles the others at once. */
export type OtherCall = Exclude<Call, EnqueueCall | {type: 'close'} | {type: 'signalAnswered'}>;

/** Performs all calls but enqueues. A call that moves many jobs is performed page by page, between commits. */
export class Calls {
	/** In order. A move that has begun waits again after each page. */
	waiting: (OtherCall | Move)[] = [];
	/** Calls that wait until no job of the engine's tasks, here or in another process, can run by itself. */
	readonly idle: (Call & {readonly type: 'idle'})[] = [];
	readonly #context: Context;
	readonly #committer: Committer;
	readonly #batches: OpenBatches;
	readonly #schedules: Schedules;
	readonly #queue: JobQueue;

	constructor(context: Context, committer: Committer, batches: OpenBatches, schedules: Schedules) {
		this.#context = context;
		this.#committer = committer;
		this.#batches = batches;
		this.#schedules = schedules;
		this.#queue = new JobQueue(context.store);
	}

	/** Performs as many calls as there is time for, but of a move at most one page: commits and the heartbeat don't wait for all of them. */
	async perform(): Promise<void> {
		const {clock} = this.#context;
		const until = clock.steadyMs() + MAX_PERFORM_MS;
		const calls = this.waiting.splice(0);
		let performed = 0;
		while (performed < calls.length && (performed === 0 || clock.steadyMs() < until)) await this.#perform(calls[performed++] as OtherCall | Move);
		this.waiting = [...calls.slice(performed), ...this.waiting];
	}

	get hasVerbs(): boolean {
		return this.waiting.some(({type}) => type === 'verb');
	}

	async #perform(call: OtherCall | Move): Promise<void> {
		const {clients} = this.#context;
		try {
			switch (call.type) {
				case 'verb':
					return await this.#performVerb(call);
				case 'move':
					return await this.#movePage(call);
				case 'idle':
					this.idle.push(call);
					this.#committer.waiting.isIdleAwaited = true;
					return;
				case 'stats':
					return clients.reply(call.call, this.#committer.statistics.report());
				case 'watch':
					clients.watch(call.ids);
					clients.mayHaveEnded(call.ids);
					break;
				case 'unwatch':
					clients.unwatch(call.ids ?? [], call.ranges);
					break;
				case 'stopWaiting':
					for (const waiting of this.#committer.enqueues.takeWaiting(call.waits)) clients.refuseAsClosed(waiting.call);
					break;
				case 'subscribe':
					clients.subscribe(call.events);
			}
			clients.reply(call.call, undefined);
		} catch (error) {
			clients.refuse(call.call, error);
		}
	}

	async #performVerb({call, verb, args}: Call & {readonly type: 'verb'}): Promise<void> {
		const {clients, store, owner} = this.#context;
		if (verb === 'openBatch') return void this.#answerLater(call, () => this.#batches.open(...(args as Parameters<Verbs['openBatch']>)));
		if (verb === 'endHold') {
			const [filter, to] = args as Parameters<Verbs['endHold']>;
			const pages = movePages(store, filter, to, {stop: true, isHeld: true, owner});
			return this.#movePage({type: 'move', call, verb, to, stop: true, pages, ids: [], asked: []});
		}
		if (verb === 'cancel' || verb === 'retry' || verb === 'discard') {
			const [jobs, {stop = verb === 'cancel'} = {}] = args as [readonly JobId[] | JobFilter, Partial<DiscardOptions>?];
			const [filter, to] = [(Array.isArray(jobs) ? {ids: jobs} : jobs) as JobFilter, TARGETS[verb]];
			return this.#movePage({type: 'move', call, verb, to, stop, pages: movePages(store, filter, to, {stop}), ids: [], asked: []});
		}
		const result = await this.#ask(verb, args);
		failpoint('verb:committed');
		if (verb === 'resume' || verb === 'edit' || verb === 'sealFlow') this.#committer.jobsMayBeReady();
		// Callers may watch jobs that were deleted.
		if (verb === 'deleteBatch') clients.allMayHaveEnded();
		if (verb !== 'pause') return clients.reply(call, result);
		// Answered once no job of the tasks can start any more.
		const [tasks] = args as Parameters<Verbs['pause']>;
		void this.#answerLater(call, async () => void (await Promise.all(tasks.map(task => this.#committer.release(task)))));
	}

	#ask(verb: Exclude<keyof Verbs, 'openBatch' | 'endHold' | keyof typeof TARGETS>, args: readonly unknown[]): unknown {
		const {store, owner} = this.#context;
		if (verb === 'addToFlow') return this.#addToFlow(...(args as Parameters<Verbs['addToFlow']>));
		if (verb === 'schedule') return this.#changeSchedule(...(args as Parameters<Verbs['schedule']>));
		if (verb === 'sealFlow') {
			const [batch, total, flowJobs] = args as Parameters<Verbs['sealFlow']>;
			return store.updateBatch(batch, owner, {total, flowJobs});
		}
		if (verb === 'edit') return this.#edit(...(args as Parameters<Verbs['edit']>));
		if (verb === 'closeBatch') return this.#batches.leave(args[0] as BatchId, {isClosed: true});
		if (verb === 'leaveBatch') return this.#batches.leave(args[0] as BatchId, {isLeft: true, isDone: args[1] as boolean | undefined});
		const of = (OF_STORE.has(verb) ? store : this.#queue) as unknown as Readonly<Record<typeof verb, (...args: readonly unknown[]) => unknown>>;
		return of[verb](...args, ...(verb === 'endInput' ? [owner] : []));
	}

	async #addToFlow(groups: readonly NewGroup[], watchFrom = groups.length): Promise<readonly EnqueuedGroup[]> {
		const {enqueued} = await this.#context.store.commit({enqueue: groups});
		for (const [index, each] of enqueued.entries())
			if (index >= watchFrom && each.missing === undefined) this.#context.clients.watchEnqueued(groups[index] as NewGroup, each);
		this.#committer.jobsMayBeReady();
		return enqueued;
	}

	async #edit(id: JobId, changes: Omit<JobEdit, 'id'>): Promise<boolean> {
		const {edited = []} = await this.#context.store.commit({edit: [{id, ...changes}]});
		return isEdited(id, edited[0] ?? 'missing');
	}

	async #changeSchedule(change: ScheduleChange): Promise<ScheduleResult> {
		const {scheduled, momentInMs} = await this.#context.store.commit({schedule: [change]});
		this.#context.agenda.set('moments', momentInMs ?? Infinity);
		this.#committer.jobsMayBeReady();
		return scheduled?.[0] as ScheduleResult;
	}

	/** Answers a call beside the loop, which does not wait: the work may take a while. */
	async #answerLater(call: number, work: () => Promise<unknown>): Promise<void> {
		const {clients, wake} = this.#context;
		try {
			clients.reply(call, await work());
		} catch (error) {
			clients.refuse(call, error);
		}
		clients.flush();
		wake('more to move');
	}

	/** Moves one page of jobs. The last page answers the call. A page that fails refuses it; the pages before stay moved. */
	async #movePage(move: Move): Promise<void> {
		const {clients} = this.#context;
		const {call, verb, to, stop, pages, ids, asked} = move;
		const page = (await pages.next()).value as MovedPage;
		failpoint('verb:committed');
		ids.push(...page.ids);
		asked.push(...page.asked);
		// Also of a cancel: jobs that waited for these may run now.
		this.#committer.jobsMayBeReady();
		this.#committer.mayUnblock = true;
		if (to === 'cancelled' || to === 'discarded') {
			if (to === 'cancelled') clients.cancelled(page.ids);
			else clients.mayHaveEnded(page.ids);
			// Jobs that waited for these may be cancelled, too.
			clients.allMayHaveEnded();
		}
		if (stop) for (const id of page.asked) this.#committer.stop(id);
		// Running jobs go on. Jobs that have not started are released, and are deleted when that is settled.
		else if (page.asked.length > 0) void this.#committer.release();
		if (!page.isLast) return void this.waiting.push(move);
		const result = verb === 'retry' || verb === 'endHold' ? ids.length + asked.length : {[to]: ids, asked};
		if (asked.length === 0) return clients.reply(call, result);
		void this.#answerLater(call, async () => {
			// No job that was asked to stop can start after the answer.
			await this.#committer.pool?.confirmStops();
			return result;
		});
	}

	interrupt(): void {
		const moves = this.waiting.filter(each => each.type === 'move');
		this.waiting = this.waiting.filter(each => each.type !== 'move');
		for (const {call, verb, ids, asked} of moves) {
			const done = `${ids.length + asked.length} jobs are done and stay so; call it again for the others.`;
			this.#context.clients.refuse(call, new FaenaError('Closed', `The engine was closed before ${verb}() was done. ${done}`));
		}
	}

	/** Answers the idle calls if the store has no job to wait for. Call it only while the dispatcher itself has none. */
	async answerIdle(): Promise<void> {
		const {tasks} = this.#committer.demand;
		if (this.#committer.mayUnblock) return this.#unblock();
		const {store, scopes} = this.#context;
		const counts = (await store.counts()).filter(({task, scope}) => tasks.has(task) && (scope === undefined || scopes.includes(scope)));
		if (counts.some(each => each.running > 0 || (!each.isPaused && each.ready + each.quarantined > 0))) return;
		// A schedule that is due enqueues jobs at once.
		if (this.#schedules.isDue) return;
		const isDelayed = counts.some(each => !each.isPaused && each.delayed + each.failed > 0);
		// The next commit makes a delayed job that is due ready.
		const isDue = this.#committer.isDue && tasks.size > 0;
		for (const call of this.idle.splice(0)) {
			if (call.waiting ? isDelayed : isDue) this.idle.push(call);
			else this.#context.clients.reply(call.call, undefined);
		}
		this.#committer.waiting.isIdleAwaited = this.idle.length > 0;
	}

	/** Passes changes of parents on: jobs may be ready then. */
	async #unblock(): Promise<void> {
		const {store, wake} = this.#context;
		const {unblocked = false} = await store.commit({});
		this.#committer.mayUnblock = unblocked;
		this.#committer.jobsMayBeReady();
		wake('changes of parents');
	}
}

/** The verbs that are those of the store. */
const OF_STORE: ReadonlySet<keyof Verbs> = new Set<keyof Verbs & keyof Store>(['jobs', 'holders', 'schedules', 'now', 'counts', 'delete']);

/** The verbs that move jobs, and to which state. */
const TARGETS = {cancel: 'cancelled', retry: 'pending', discard: 'discarded'} as const satisfies Partial<Record<keyof Verbs, MoveTarget>>;

/** A call that moves all jobs of a filter, page by page: between two pages the dispatcher does other things. */
interface Move {
	readonly type: 'move';
	readonly call: number;
	readonly verb: keyof typeof TARGETS | 'endHold';
	readonly to: MoveTarget;
	readonly stop: boolean;
	readonly pages: AsyncGenerator<MovedPage, void, undefined>;
	readonly ids: JobId[];
	/** Running jobs, whose owners were asked to stop them. */
	readonly asked: JobId[];
}
