import type {BatchOptions} from '../job/batch.ts';
import type {OwnerId} from '../job/claim.ts';
import type {BatchId, CancelResult, DiscardOptions, DiscardResult, JobFilter, JobId} from '../job/job.ts';
import {JobQueue, type MovedPage, movePages} from '../store/job-queue.ts';
import type {MoveTarget, Store} from '../store/store.ts';
import {type Clock, sleep} from '../support/clock.ts';
import {FaenaError} from '../support/errors.ts';
import {failpoint} from '../support/failpoint.ts';
import {type Call, type EnqueueCall, VERBS, type Verbs} from '../transport/messages.ts';
import type {Clients} from './clients.ts';
import type {HeldBatches} from './held-batches.ts';

/** The most time for calls between two commits. */
const MAX_PERFORM_MS = 20;
/** Opening a batch that is in use is tried again for this long. */
const MAX_BATCH_WAIT_MS = 1000;
const TRY_BATCH_EVERY_MS = 50;

/** All calls but enqueues, which {@link Clients} collects, and those that the dispatcher handles at once. */
export type OtherCall = Exclude<Call, EnqueueCall | {type: 'close'} | {type: 'signalAnswered'}>;

/** The dispatcher, as calls see it. */
interface CallHost {
	/** Looks up whether watched jobs have ended. */
	lookUp(): Promise<void>;
	statistics(): unknown;
	/** Reclaims jobs of dead owners. Returns their number. */
	reclaim(): Promise<number>;
	jobsMayBeReady(): void;
	stop(id: JobId): void;
	/** Releases jobs that have not started, of one task or all. Resolves once none of them can start any more. */
	release(task?: string): Promise<void>;
	/** Resolves once no job that was told to stop can start any more. */
	confirmStops(): Promise<void>;
	wake(): void;
}

/** Performs all calls but enqueues. A call that moves many jobs is performed page by page, between commits. */
export class Calls {
	readonly #store: Store;
	readonly #queue: JobQueue;
	readonly #owner: OwnerId;
	readonly #clock: Clock;
	readonly #clients: Clients;
	readonly #batches: HeldBatches;
	readonly #idleCalls: IdleCalls;
	readonly #host: CallHost;
	/** Calls that wait, in order. */
	#waiting: OtherCall[] = [];
	/** Moves under way, by turns. Each {@link perform} moves one page. */
	#moves: MoveCall[] = [];

	constructor(store: Store, owner: OwnerId, clock: Clock, clients: Clients, batches: HeldBatches, idleCalls: IdleCalls, host: CallHost) {
		this.#store = store;
		this.#queue = new JobQueue(store);
		this.#owner = owner;
		this.#clock = clock;
		this.#clients = clients;
		this.#batches = batches;
		this.#idleCalls = idleCalls;
		this.#host = host;
	}

	add(call: OtherCall): void {
		this.#waiting.push(call);
	}

	get hasWaiting(): boolean {
		return this.#waiting.length > 0;
	}

	get hasMoves(): boolean {
		return this.#moves.length > 0;
	}

	/** Moves a page of one long call, and performs as many other calls as there is time for: commits and the heartbeat don't wait for all of them. */
	async perform(): Promise<void> {
		const until = this.#clock.steadyMs() + MAX_PERFORM_MS;
		const move = this.#moves.shift();
		if (move) await this.#movePage(move);
		const calls = this.#waiting.splice(0);
		let performed = 0;
		while (performed < calls.length && (performed === 0 || this.#clock.steadyMs() < until)) await this.#perform(calls[performed++] as OtherCall);
		this.#waiting.unshift(...calls.slice(performed));
	}

	/** Refuses the moves under way. */
	interrupt(): void {
		for (const {call, interruption} of this.#moves.splice(0)) this.#clients.refuse(call, interruption);
	}

	async #perform(call: OtherCall): Promise<void> {
		try {
			switch (call.type) {
				case 'verb':
					if (isMoveCall(call)) await this.#movePage(new MoveCall(this.#store, call));
					else await this.#performVerb(call);
					break;
				case 'watch':
					this.#clients.watches.add(call.ids);
					this.#clients.watches.mayHaveEnded(call.ids);
					await this.#host.lookUp();
					this.#clients.reply(call.call, undefined);
					break;
				case 'unwatch':
					this.#clients.watches.remove(call.ids);
					this.#clients.reply(call.call, undefined);
					break;
				case 'subscribe':
					this.#clients.subscribe(call.events);
					this.#clients.reply(call.call, undefined);
					break;
				case 'stats':
					this.#clients.reply(call.call, this.#host.statistics());
					break;
				case 'idle':
					this.#idleCalls.add(call);
			}
		} catch (error) {
			this.#clients.refuse(call.call, error);
		}
	}

	async #performVerb({call, verb, args}: OtherCall & {type: 'verb'}): Promise<void> {
		if (!VERBS.has(verb)) throw new FaenaError('BadOption', `There is no verb ${String(verb)}.`);
		if (verb === 'openBatch') return void this.#openBatch(call, ...(args as Parameters<Verbs['openBatch']>));
		const result = await this.#ask(verb, args);
		failpoint('verb:committed');
		// Callers may watch jobs that were deleted.
		if (verb === 'deleteBatch') this.#clients.watches.allMayHaveEnded();
		if (verb === 'deleteBatch') await this.#host.lookUp();
		if (verb === 'resume') this.#host.jobsMayBeReady();
		if (verb === 'pause') void this.#paused(call, args[0] as readonly string[]);
		else this.#clients.reply(call, result);
	}

	/** Answers once no job of the tasks can start any more. That may take a child process a while, and the loop does not wait for it. */
	async #paused(call: number, tasks: readonly string[]): Promise<void> {
		await Promise.all(tasks.map(task => this.#host.release(task)));
		this.#clients.reply(call, undefined);
		this.#clients.flush();
	}

	#ask(verb: Exclude<keyof Verbs, 'openBatch'>, args: readonly unknown[]): unknown {
		if (verb === 'closeBatch' || verb === 'leaveBatch') return this.#batches.leave(verb, args[0] as BatchId);
		const all = verb === 'endInput' ? [...args, this.#owner] : args;
		return (this.#queue[verb] as (...args: readonly unknown[]) => unknown).apply(this.#queue, all as unknown[]);
	}

	/** Runs beside the loop, since it may take a while. */
	async #openBatch(call: number, name: string, task: string, options?: BatchOptions): Promise<void> {
		try {
			const batch = await this.#openOnceFree(name, task, options);
			failpoint('verb:committed');
			this.#clients.reply(call, batch);
		} catch (error) {
			this.#clients.refuse(call, error);
		}
		this.#clients.flush();
		this.#host.wake();
	}

	/**
	 * Opens a batch. If it is in use, this tries again for a while: its owner may be dead, but the owner's child processes may take a moment
	 * to die, and the batch is free only after that. If a map of this dispatcher has the batch, this does not try again.
	 */
	async #openOnceFree(name: string, task: string, options?: BatchOptions): Promise<BatchId> {
		for (const until = this.#clock.steadyMs() + MAX_BATCH_WAIT_MS; ; ) {
			try {
				return await this.#batches.open(name, task, options);
			} catch (error) {
				const isInUse = error instanceof FaenaError && error.code === 'BatchInUse';
				if (!isInUse || this.#batches.has(name) || this.#clock.steadyMs() >= until) throw error;
			}
			if ((await this.#host.reclaim()) === 0) await sleep(this.#clock, TRY_BATCH_EVERY_MS);
		}
	}

	/** Moves one page of jobs. The last page answers the call. A page that fails refuses it; the pages before stay moved. */
	async #movePage(move: MoveCall): Promise<void> {
		try {
			const page = await move.movePage();
			failpoint('verb:committed');
			await this.#moved(move, page);
			if (page.isLast) void this.#answerMove(move);
			else this.#moves.push(move);
		} catch (error) {
			this.#clients.refuse(move.call, error);
		}
	}

	/** Answers once no job that was told to stop can start any more. */
	async #answerMove({call, result, hasAsked}: MoveCall): Promise<void> {
		if (hasAsked) await this.#host.confirmStops();
		this.#clients.reply(call, result);
		if (hasAsked) this.#clients.flush();
	}

	async #moved({to, stops}: MoveCall, {ids, asked}: MovedPage): Promise<void> {
		if (to === 'pending') return this.#host.jobsMayBeReady();
		if (stops) for (const id of asked) this.#host.stop(id);
		// Running jobs go on. Jobs that have not started are released, and are deleted when that is settled.
		else if (asked.length > 0) void this.#host.release();
		if (to === 'cancelled') this.#clients.cancelled(ids);
		this.#clients.watches.mayHaveEnded(ids);
		await this.#host.lookUp();
	}
}

/** The verbs that move jobs, and to which state. */
const TARGETS = {cancel: 'cancelled', retry: 'pending', discard: 'discarded'} as const satisfies Partial<Record<keyof Verbs, MoveTarget>>;

type MoveVerbCall = Call & {readonly type: 'verb'; readonly verb: keyof typeof TARGETS};

export function isMoveCall(call: Call): call is MoveVerbCall {
	return call.type === 'verb' && Object.hasOwn(TARGETS, call.verb);
}

/** A call that moves all jobs of a filter, page by page: between two pages the dispatcher does other things. */
export class MoveCall {
	readonly call: number;
	readonly to: MoveTarget;
	/** Whether it also stops running jobs. */
	readonly stops: boolean;
	readonly #verb: MoveVerbCall['verb'];
	readonly #pages: AsyncGenerator<MovedPage, void, undefined>;
	readonly #ids: JobId[] = [];
	readonly #asked: JobId[] = [];

	constructor(store: Store, {call, verb, args}: MoveVerbCall) {
		const [jobs, {stop} = {stop: verb === 'cancel'}] = args as [JobFilter | readonly JobId[], DiscardOptions?];
		this.call = call;
		this.to = TARGETS[verb];
		this.stops = stop;
		this.#verb = verb;
		this.#pages = movePages(store, isList(jobs) ? {ids: jobs} : jobs, this.to, {stop});
	}

	/** Moves the next page. Must not be called after the last one. */
	async movePage(): Promise<MovedPage> {
		const page = (await this.#pages.next()).value as MovedPage;
		this.#ids.push(...page.ids);
		this.#asked.push(...page.asked);
		return page;
	}

	/** True if some of the jobs were running: their owners were asked. */
	get hasAsked(): boolean {
		return this.#asked.length > 0;
	}

	/** The result of the verb. */
	get result(): CancelResult | DiscardResult | number {
		const [ids, asked] = [this.#ids, this.#asked];
		return this.#verb === 'retry' ? ids.length : this.#verb === 'cancel' ? {cancelled: ids, asked} : {discarded: ids, asked};
	}

	/** The error for its caller if the engine is closed before the last page. */
	get interruption(): FaenaError {
		const jobs = this.#ids.length + this.#asked.length;
		return new FaenaError(
			'Closed',
			`The engine was closed before ${this.#verb}() was done. It was done for ${jobs} jobs, and that stays so; call it again for the others.`,
		);
	}
}

function isList(jobs: JobFilter | readonly JobId[]): jobs is readonly JobId[] {
	return Array.isArray(jobs);
}

type IdleCall = Call & {readonly type: 'idle'};

/** Calls that wait until no job of the engine's tasks, here or in another process, can run by itself. With `waiting`, delayed jobs count too. */
export class IdleCalls {
	readonly #store: Store;
	readonly #clients: Clients;
	#waiting: IdleCall[] = [];

	constructor(store: Store, clients: Clients) {
		this.#store = store;
		this.#clients = clients;
	}

	add(call: IdleCall): void {
		this.#waiting.push(call);
	}

	get isEmpty(): boolean {
		return this.#waiting.length === 0;
	}

	/**
	 * Answers the calls if the store has no such job. Call it only while the dispatcher itself has none.
	 * @param isDue true if a delayed job has become due: the next commit makes it ready
	 */
	async answer(tasks: readonly string[], isDue: boolean): Promise<void> {
		const counts = (await this.#store.counts()).filter(({task}) => tasks.includes(task));
		const sum = (of: (each: (typeof counts)[number]) => number) => counts.reduce((total, each) => total + of(each), 0);
		if (sum(each => each.running + (each.isPaused ? 0 : each.ready + each.quarantined)) > 0) return;
		const delayed = sum(each => (each.isPaused ? 0 : each.delayed + each.failed));
		for (const call of this.#waiting.splice(0)) {
			if (call.waiting ? delayed > 0 : isDue) this.#waiting.push(call);
			else this.#clients.reply(call.call, undefined);
		}
	}

	refuse(): void {
		for (const {call} of this.#waiting.splice(0)) this.#clients.refuse(call, new FaenaError('Closed', 'The engine was closed while idle() waited.'));
	}
}
