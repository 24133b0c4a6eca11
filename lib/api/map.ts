import type {BatchOptions} from '../job/batch.ts';
import {bad, checkIterable} from '../job/checks.ts';
import type {Encoded} from '../job/encoding.ts';
import type {JobId, Policy} from '../job/job.ts';
import {checkKey} from '../job/options.ts';
import {keyConflict} from '../store/store.ts';
import {FaenaError} from '../support/errors.ts';
import {WakeUp} from '../support/wake-up.ts';
import type {DispatcherClient, Watcher} from '../transport/client.ts';
import {type EnqueueReply, idsOf, type Notice} from '../transport/messages.ts';
import {Halt, type HaltOption} from './halt.ts';
import {IdSet} from './id-set.ts';
import {type JobOutcome, toOutcome} from './job-handle.ts';
import {MapBatch} from './map-batch.ts';
import type {MapSettings} from './map-options.ts';
import {isSoon, Source, type Step} from './source.ts';
import type {UnreadMaps} from './unread-maps.ts';

interface About<Item> {
	/** Place in the input, from 0. */
	readonly index: number;
	readonly key: string;
	readonly item: Item;
	readonly job: JobId;
	/** The job was in the queue already when this map asked for it: an earlier run's, or the same key's. */
	readonly existing: boolean;
}

/** How an item's job ended. */
export type MapResult<Item, Result> = About<Item> & {
	/** It had ended before this map began (without a batch: before this map first asked for it): nothing was executed for this result. */
	readonly earlier: boolean;
} & JobOutcome<Result>;

/** Where a map stands. */
export interface MapProgress {
	/** Items read from the input. */
	readonly read: number;
	/** Items the input has, once it has ended. */
	readonly total: number | undefined;
	readonly completed: number;
	readonly dead: number;
	readonly cancelled: number;
	/** Items whose job was in the queue already. */
	readonly existing: number;
	/** Items whose job had ended before this map began: of all that have ended, those for which nothing was executed. */
	readonly earlier: number;
	/**
	 * Jobs of the batch that were unfinished when this map began and whose items are not in its input, once that has ended: 0 before.
	 * The option `missing` says what becomes of them.
	 */
	readonly missing: number;
}

interface Plan<Item> extends Omit<MapSettings<Item>, 'onComplete'> {
	readonly task: string;
	readonly priority: number;
	readonly runAt: number | null;
	readonly policy: Policy;
	readonly onComplete: BatchOptions['onComplete'];
	readonly encode: (payload: unknown) => Encoded;
}

/** Items that are enqueued in one message, and messages that may be unanswered. */
const GROUP = 512;
const GROUPS_UNDER_WAY = 4;
/** How often a map that waits for its input looks whether its batch is still there. */
const LOOK_AT_BATCH_MS = 1000;
/**
 * A map under way: an async iterable of how each item's job ended. It reads the input as its results are consumed, never
 * more than `window` items ahead. Leaving the loop early enqueues nothing more; what was enqueued runs on, and a named
 * batch can be resumed.
 *
 * Two activities share the state: the feeder reads, encodes and enqueues while the window has room; the consumer takes
 * what has arrived and so makes room. Phases: `new`; `unwanted`, when it was cancelled or dismissed before its loop began; `reading`;
 * `fed`, when nothing more will be enqueued, since the input has ended or the map was cancelled; `halted`, when nothing more
 * will be enqueued and what has not ended is being taken back; `over`, when the loop has ended or was left.
 */
export class JobMap<Item, Result> implements AsyncIterable<MapResult<Item, Result>> {
	readonly #client: DispatcherClient;
	readonly #plan: Plan<Item>;
	readonly #source: Source<Item>;
	readonly #batch: MapBatch | undefined;
	/** To be called when its loop begins, or never will. */
	readonly #isRead: () => void;
	readonly #arrived = new Map<number, MapResult<Item, Result>>();
	/** Enqueued and not ended, by index. */
	readonly #underWay = new Map<number, UnderWay>();
	/** Groups that were sent and not answered. */
	readonly #groups = new Set<Promise<void>>();
	readonly #consumer = new WakeUp();
	readonly #feeder = new WakeUp();
	/** The first job that this map has made; whatever came later had not ended when it began. */
	#firstMade: JobId | undefined;
	/** Of the jobs before that one those that had not ended when this map began, or when it first asked for them. */
	readonly #unended = new IdSet();
	readonly #ends = {completed: 0, dead: 0, cancelled: 0};
	readonly #halt: Halt | undefined;
	#phase: 'new' | 'unwanted' | 'reading' | 'fed' | 'halted' | 'over' = 'new';
	#failure: {readonly error: unknown} | undefined;
	/** Of the item that died last. */
	#lastError: Error | undefined;
	/** Items read, of them enqueued, of them yielded. */
	#read = 0;
	#enqueued = 0;
	#yielded = 0;
	#existing = 0;
	#earlier = 0;
	#missing = 0;
	/** Next index in order of the input. */
	#cursor = 0;
	/** Items of the input, once it has ended. */
	#total: number | undefined;

	/** @internal Use `engine.map`. */
	constructor(client: DispatcherClient, plan: Plan<Item>, items: Iterable<Item> | AsyncIterable<Item>, unread: UnreadMaps) {
		checkIterable('map()', items);
		this.#client = client;
		this.#plan = plan;
		this.#source = new Source(items);
		const {batch: name, task, onComplete, missing} = plan;
		this.#batch = name === undefined ? undefined : new MapBatch(client, {name, task, onComplete, missing});
		this.#halt = plan.halt && new Halt(plan.halt);
		const dismiss = () => {
			this.#fail(new FaenaError('Closed', 'The engine was closed before the loop of this map began.'));
			this.#dismiss();
		};
		this.#isRead = unread.add({task, batch: name, dismiss});
	}

	progress(): MapProgress {
		return {read: this.#read, total: this.#total, existing: this.#existing, earlier: this.#earlier, missing: this.#missing, ...this.#ends};
	}

	/**
	 * Enqueues nothing more, and cancels those jobs of its items that have not ended. Without a batch that is only what it has
	 * enqueued itself: a job that was there already is another's, and runs on. The loop yields the others, and ends.
	 */
	async cancel(): Promise<void> {
		if (this.#phase === 'new') this.#dismiss();
		if (this.#phase === 'unwanted') return;
		if (this.#phase === 'reading') this.#phase = 'fed';
		this.#feeder.set();
		const ids = await this.#ownUnderWay();
		if (ids.length > 0) await this.#client.verb('cancel', {ids});
		this.#consumer.set();
	}

	#dismiss(): void {
		this.#phase = 'unwanted';
		this.#isRead();
		// How the source ends concerns no caller any more.
		this.#source.end().catch(() => undefined);
	}

	async *[Symbol.asyncIterator](): AsyncGenerator<MapResult<Item, Result>, void, undefined> {
		if (!this.#begins()) return;
		const {signal} = this.#plan;
		const onAbort = () => this.#abort(signal?.reason);
		signal?.addEventListener('abort', onAbort);
		// Jobs under way hear of it, too; while the source is waited for there may be none.
		const forget = this.#client.onEnd(error => {
			if (this.#phase === 'reading') this.#fail(error);
		});
		this.#client.hold();
		let isDone = false;
		try {
			void this.#feed();
			for (;;) {
				const result = this.#next();
				if (result) yield result;
				else if (this.#failure) throw this.#failure.error;
				else if (this.#isDone()) break;
				else await this.#wait();
			}
			isDone = this.#end();
		} finally {
			signal?.removeEventListener('abort', onAbort);
			forget();
			this.#phase = 'over';
			this.#feeder.set();
			for (const {job, watcher} of this.#underWay.values()) this.#client.unwatch(job, watcher);
			this.#source.end().catch(() => undefined);
			await this.#leaveBatch(isDone);
			this.#client.release();
		}
	}

	/** False if it was cancelled before. */
	#begins(): boolean {
		const {signal} = this.#plan;
		if (this.#phase === 'new' && signal?.aborted) this.#dismiss();
		if (this.#phase === 'unwanted') {
			signal?.throwIfAborted();
			if (this.#failure) throw this.#failure.error;
			this.#phase = 'over';
			return false;
		}
		if (this.#phase !== 'new') throw bad('This map was iterated already; call map() again, with the same batch to go on');
		this.#isRead();
		return true;
	}

	/** So that the next map of it can begin as soon as this loop is over. */
	async #leaveBatch(isDone: boolean): Promise<void> {
		if (!this.#batch) return;
		await Promise.all(this.#groups);
		try {
			await this.#batch.leave({isDone});
		} catch (error) {
			// The dispatcher tries again, or has ended, which frees the batch, too. The loop's own error says more.
			if (isDone) throw error;
		}
	}

	// ——— consumer ———

	/** True if every item was yielded, or cancelled. */
	#end(): boolean {
		if (this.#phase !== 'halted') return true;
		this.#sayHalted();
		return false;
	}

	#next(): MapResult<Item, Result> | undefined {
		const index = this.#plan.order === 'input' ? this.#nextOfInput() : this.#arrived.keys().next().value;
		const result = index === undefined ? undefined : this.#arrived.get(index);
		if (!result) return undefined;
		this.#arrived.delete(result.index);
		this.#cursor = result.index + 1;
		this.#yielded++;
		this.#feeder.set();
		return result;
	}

	/** Items that are no longer waited for are passed over, once it is sure which. */
	#nextOfInput(): number {
		while (this.#hasAllArrived() && this.#cursor < this.#enqueued && !this.#arrived.has(this.#cursor)) this.#cursor++;
		return this.#cursor;
	}

	/** While the map waits for its input it may have no job whose end would tell that the batch was deleted. */
	async #wait(): Promise<void> {
		const batch = this.#phase === 'reading' ? this.#batch : undefined;
		const isSet = await this.#consumer.wait(batch ? LOOK_AT_BATCH_MS : Infinity);
		if (isSet || !batch || this.#underWay.size > 0) return;
		const onLook = (error: FaenaError | undefined) => error && this.#fail(error);
		// A look that fails tells nothing.
		batch.deleted().then(onLook, () => undefined);
	}

	#isDone(): boolean {
		return this.#hasAllArrived() && this.#arrived.size === 0;
	}

	#hasAllArrived(): boolean {
		return (this.#phase === 'fed' || this.#phase === 'halted') && this.#groups.size === 0 && this.#underWay.size === 0;
	}

	/** Takes back what has not ended. */
	async #takeBack({when}: HaltOption): Promise<void> {
		this.#phase = 'halted';
		this.#feeder.set();
		const ids = await this.#ownUnderWay();
		if (ids.length > 0) await this.#client.verb('withdraw', ids, {stop: when === 'now'});
		this.#consumer.set();
	}

	/** Jobs of this map that have not ended. What was there before and belongs to no batch is another's, and no longer waited for. */
	async #ownUnderWay(): Promise<JobId[]> {
		// What is on its way to the queue must be there first, or it would be missed.
		await Promise.all(this.#groups);
		for (const [index, {job, watcher, existing}] of this.#underWay) {
			if (!existing || this.#batch) continue;
			this.#underWay.delete(index);
			this.#client.unwatch(job, watcher);
		}
		return [...this.#underWay.values()].map(({job}) => job);
	}

	#sayHalted(): void {
		const {option, count = 0} = this.#halt ?? {};
		if (option?.on !== 'fail') return;
		const items = count === 1 ? 'one of its items' : `${count} of its items`;
		throw new FaenaError('Halted', `The map was halted, since ${items} failed; what had not ended was taken back.`, {cause: this.#lastError});
	}

	#abort(reason: unknown): void {
		this.#fail(reason);
		// Who aborts wants no results any more.
		this.#arrived.clear();
		// The queue may be closed already: then there is nothing to cancel, and the loop ends with the reason anyway.
		this.cancel().catch(() => undefined);
	}

	/** The loop throws the first error, whatever comes after it. */
	#fail(error: unknown): void {
		this.#failure ??= {error};
		this.#consumer.set();
	}

	// ——— feeder ———

	async #feed(): Promise<void> {
		this.#phase = 'reading';
		try {
			// Asked for before anything is awaited: only then does the source listen to a stream that may fail meanwhile.
			const first = this.#source.next();
			await this.#batch?.open();
			if (this.#goesOn() && (await this.#readAll(first))) {
				this.#total = this.#read;
				await this.#endInput();
			}
			await this.#source.end();
			this.#consumer.set();
		} catch (error) {
			this.#fail(error);
		}
	}

	/** Once everything is in the queue, so that the batch completes though nobody should hear of it any more. */
	async #endInput(): Promise<void> {
		await Promise.all(this.#groups);
		if (this.#goesOn() && this.#batch) this.#missing = await this.#batch.endInput(this.#read);
		if (this.#goesOn()) this.#phase = 'fed';
	}

	/** False once the map was left, cancelled, halted, or has failed: each may happen while an answer is awaited. */
	#goesOn(): boolean {
		return this.#phase === 'reading' && !this.#failure;
	}

	/** Reads as far as the window has room and enqueues in groups; a group leaves early when the next item is not there yet. */
	async #readAll(first: Step<Item>): Promise<boolean> {
		let group: Item[] = [];
		const enqueueGroup = () => {
			try {
				if (group.length > 0 && this.#goesOn()) this.#enqueue(group);
			} catch (error) {
				// Not thrown: a source that is slow with its next item can only be told to end after it.
				this.#fail(error);
			}
			group = [];
		};
		for (let step = first; ; step = this.#source.next()) {
			if ('then' in step) {
				if (!(await isSoon(step))) enqueueGroup();
				step = await step;
			}
			if (step.done) {
				enqueueGroup();
				return this.#goesOn();
			}
			group.push(step.value);
			this.#read++;
			if (group.length >= GROUP || this.#read - this.#yielded >= this.#plan.window) enqueueGroup();
			if (!(await this.#hasRoom(group.length))) return false;
		}
	}

	/** Waits for room in the window; false if nothing more is to be enqueued. */
	async #hasRoom(gathered: number): Promise<boolean> {
		while (this.#goesOn()) {
			const isFull = this.#read - this.#yielded >= this.#plan.window || (gathered === 0 && this.#groups.size >= GROUPS_UNDER_WAY);
			if (!isFull) return true;
			await this.#feeder.wait(Infinity);
		}
		return false;
	}

	#enqueue(group: readonly Item[]): void {
		const {task, priority, runAt, policy, rerun, toKey, hasKeys, toPayload, encode} = this.#plan;
		const start = this.#enqueued;
		const keys = group.map((item, index) => checkKey('map()', toKey(item, start + index)));
		const payloads = group.map((item, index) => encode(toPayload(item, start + index)));
		this.#enqueued += group.length;
		const {promise, resolve} = Promise.withResolvers<void>();
		this.#groups.add(promise);
		const call = {
			type: 'enqueue' as const,
			task,
			payloads,
			keys: hasKeys ? keys : undefined,
			batch: this.#batch?.id,
			rerun,
			priority,
			runAt,
			policy,
			watch: true,
		};
		const answered = (settle: () => void) => {
			this.#groups.delete(promise);
			settle();
			resolve();
			this.#feeder.set();
			this.#consumer.set();
		};
		this.#client.send(
			call,
			reply => answered(() => this.#watch(group, keys, start, reply as EnqueueReply)),
			error => answered(() => this.#fail(error)),
		);
	}

	#watch(group: readonly Item[], keys: readonly string[], start: number, reply: EnqueueReply): void {
		const ids = idsOf(reply, group.length);
		this.#existing += reply.existing?.length ?? 0;
		if (reply.conflict !== undefined) {
			const {task, batch, rerun} = this.#plan;
			const job = {task, key: keys[reply.conflict] as string, ...(rerun && {rerun})};
			this.#fail(keyConflict(job, ids[reply.conflict] as JobId, adviceFor(batch)));
			return;
		}
		const existing = new Set(reply.existing);
		this.#firstMade ??= ids.find((_, offset) => !existing.has(offset));
		for (const [offset, item] of group.entries()) {
			const id = ids[offset] as JobId;
			if (this.#batch?.meet(id)) this.#unended.add(id);
			const about = {index: start + offset, key: keys[offset] as string, item, job: id, existing: existing.has(offset)};
			const watcher: Watcher = end => this.#ended(about, end);
			this.#underWay.set(about.index, {job: id, watcher, existing: about.existing});
			if (this.#phase !== 'over') this.#client.watch(id, watcher);
		}
		// The loop was left while they were on their way. Should this call fail, the engine is closed, and watches nothing.
		if (this.#phase === 'over') this.#client.call({type: 'unwatch', ids}).catch(() => undefined);
	}

	#ended(about: About<Item>, end: Notice | FaenaError): void {
		this.#underWay.delete(about.index);
		try {
			if (end instanceof FaenaError) throw end;
			if (end.status === 'missing' && this.#phase === 'halted') return;
			const outcome = toOutcome(end) as JobOutcome<Result>;
			this.#ends[outcome.status]++;
			const earlier = end.earlier === true && this.#isEarlier(about.job);
			if (earlier) this.#earlier++;
			else if (about.existing) this.#unended.add(about.job);
			this.#arrived.set(about.index, {...about, earlier, ...outcome});
			if (!earlier) this.#judge(outcome);
		} catch (error) {
			this.#fail(error);
		} finally {
			this.#consumer.set();
		}
	}

	/** Of a job that had ended when it was asked for: also before this map began? */
	#isEarlier(job: JobId): boolean {
		return job < (this.#firstMade ?? Infinity) && !this.#unended.has(job);
	}

	#judge(outcome: JobOutcome): void {
		if (outcome.status === 'dead') this.#lastError = outcome.error;
		if (!this.#halt?.observe(outcome.status) || this.#phase === 'halted' || this.#phase === 'over') return;
		this.#takeBack(this.#halt.option).catch(error => this.#fail(error));
	}
}

interface UnderWay {
	readonly job: JobId;
	readonly watcher: Watcher;
	readonly existing: boolean;
}

function adviceFor(batch: string | undefined): string {
	const other = batch === undefined ? 'use another key' : 'give this map another batch name';
	return `If the input has changed, add the option changed: 'rerun', by which such items run again; or ${other}.`;
}
