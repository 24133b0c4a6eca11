import {setImmediate as nextTurn} from 'node:timers/promises';
import {Bell} from './bell.ts';
import {bad, checkIterable} from './checks.ts';
import type {Encoded} from './encoding.ts';
import {FaenaError} from './errors.ts';
import {Halt, type HaltOption} from './halt.ts';
import {IdSet} from './id-set.ts';
import type {Job, JobId, Policy} from './job.ts';
import {type JobOutcome, toOutcome} from './job-handle.ts';
import type {Link, Watcher} from './link.ts';
import type {MapSettings} from './map-options.ts';
import {checkKey} from './options.ts';
import {type EnqueueReply, idsOf, type Notice} from './protocol.ts';
import {type BatchId, type BatchOptions, keyConflict} from './queue.ts';

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
	/** It had ended before this map asked for it: nothing was executed for this result. */
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
/** Jobs that are looked at in one call: usually all that a window had left. */
const PAGE = 5000;
const UNENDED = ['pending', 'running', 'failed'] as const;

/**
 * A map under way: an async iterable of how each item's job ended. It reads the input as its results are consumed, never
 * more than `window` items ahead. Leaving the loop early enqueues nothing more; what was enqueued runs on, and a named
 * batch can be resumed.
 *
 * Two activities share the state: the feeder reads, encodes and enqueues while the window has room; the consumer takes
 * what has arrived and so makes room. Phases: `new`; `unwanted`, when it was cancelled before its loop began; `reading`;
 * `fed`, when nothing more will be enqueued, since the input has ended or the map was cancelled; `halted`, when nothing more
 * will be enqueued and what has not ended is being taken back; `over`, when the loop has ended or was left.
 */
export class JobMap<Item, Result> implements AsyncIterable<MapResult<Item, Result>> {
	readonly #link: Link;
	readonly #plan: Plan<Item>;
	readonly #items: Iterable<Item> | AsyncIterable<Item>;
	readonly #arrived = new Map<number, MapResult<Item, Result>>();
	/** Enqueued and not ended, by index. */
	readonly #underWay = new Map<number, UnderWay>();
	/** Groups that were sent and not answered. */
	readonly #groups = new Set<Promise<void>>();
	readonly #consumer = new Bell();
	readonly #feeder = new Bell();
	readonly #ends = {completed: 0, dead: 0, cancelled: 0};
	readonly #halt: Halt | undefined;
	#phase: 'new' | 'unwanted' | 'reading' | 'fed' | 'halted' | 'over' = 'new';
	#failure: {readonly error: unknown} | undefined;
	/** Of the item that died last. */
	#lastError: Error | undefined;
	#batch: BatchId | undefined;
	/** Jobs of this input, kept where the batch has unended ones of an earlier run. */
	#seen: IdSet | undefined;
	/** Items read, of them enqueued, of them yielded. */
	#read = 0;
	#enqueued = 0;
	#yielded = 0;
	#existing = 0;
	/** Next index in order of the input. */
	#cursor = 0;
	/** Items of the input, once it has ended. */
	#total: number | undefined;

	/** @internal Use `engine.map`. */
	constructor(link: Link, plan: Plan<Item>, items: Iterable<Item> | AsyncIterable<Item>) {
		checkIterable('map()', items);
		this.#link = link;
		this.#plan = plan;
		this.#items = items;
		this.#halt = plan.halt && new Halt(plan.halt);
	}

	progress(): MapProgress {
		return {read: this.#read, total: this.#total, existing: this.#existing, ...this.#ends};
	}

	/** Cancels what has not ended and enqueues nothing more. The loop still yields what was enqueued. */
	async cancel(): Promise<void> {
		if (this.#phase === 'new') this.#phase = 'unwanted';
		if (this.#phase === 'unwanted') return;
		if (this.#phase === 'reading') this.#phase = 'fed';
		this.#feeder.ring();
		// What is on its way to the queue must be there first, or the cancel would miss it.
		await Promise.all(this.#groups);
		const {batch} = this.#plan;
		await this.#link.verb('cancel', batch === undefined ? {ids: [...this.#underWay.values()].map(({job}) => job)} : {batch});
		this.#consumer.ring();
	}

	async *[Symbol.asyncIterator](): AsyncGenerator<MapResult<Item, Result>, void, undefined> {
		if (this.#phase === 'unwanted') {
			this.#phase = 'over';
			return;
		}
		if (this.#phase !== 'new') throw bad('This map was iterated already; call map() again, with the same batch to go on');
		const {signal} = this.#plan;
		signal?.throwIfAborted();
		const onAbort = () => this.#abort(signal?.reason);
		signal?.addEventListener('abort', onAbort);
		// Jobs under way hear of it, too; while the source is waited for there may be none.
		const forget = this.#link.onEnd(error => {
			if (this.#phase === 'reading') this.#fail(error);
		});
		this.#link.hold();
		try {
			void this.#feed();
			for (;;) {
				const result = this.#next();
				if (result) yield result;
				else if (this.#failure) throw this.#failure.error;
				else if (this.#isDone()) break;
				else await this.#consumer.rung(Infinity);
			}
			await this.#end();
		} finally {
			signal?.removeEventListener('abort', onAbort);
			forget();
			this.#phase = 'over';
			this.#feeder.ring();
			for (const {job, watcher} of this.#underWay.values()) this.#link.unwatch(job, watcher);
			this.#link.release();
		}
	}

	// ——— consumer ———

	async #end(): Promise<void> {
		if (this.#phase === 'halted') this.#sayHalted();
		else if (this.#total !== undefined && this.#batch !== undefined) await this.#link.verb('closeBatch', this.#batch);
	}

	#next(): MapResult<Item, Result> | undefined {
		const index = this.#plan.order === 'input' ? this.#nextOfInput() : this.#arrived.keys().next().value;
		const result = index === undefined ? undefined : this.#arrived.get(index);
		if (!result) return undefined;
		this.#arrived.delete(result.index);
		this.#cursor = result.index + 1;
		this.#yielded++;
		this.#feeder.ring();
		return result;
	}

	/** Items of a halted map that were taken back are passed over, once it is sure which. */
	#nextOfInput(): number {
		const isSure = this.#phase === 'halted' && this.#groups.size === 0 && this.#underWay.size === 0;
		while (isSure && this.#cursor < this.#enqueued && !this.#arrived.has(this.#cursor)) this.#cursor++;
		return this.#cursor;
	}

	#isDone(): boolean {
		if (this.#phase === 'halted') return this.#groups.size === 0 && this.#underWay.size === 0 && this.#arrived.size === 0;
		return this.#phase === 'fed' && this.#groups.size === 0 && this.#yielded === this.#enqueued;
	}

	/** Takes back what has not ended, unless it was there before and belongs to no batch: then it is somebody else's. */
	async #takeBack({when}: HaltOption): Promise<void> {
		this.#phase = 'halted';
		this.#feeder.ring();
		// What is on its way to the queue must be there first, or it would be missed.
		await Promise.all(this.#groups);
		for (const [index, {job, watcher, existing}] of this.#underWay) {
			if (!existing || this.#batch !== undefined) continue;
			this.#underWay.delete(index);
			this.#link.unwatch(job, watcher);
		}
		const ids = [...this.#underWay.values()].map(({job}) => job);
		if (ids.length > 0) await this.#link.verb('withdraw', ids, {stop: when === 'now'});
		this.#consumer.ring();
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
		this.#consumer.ring();
	}

	// ——— feeder ———

	async #feed(): Promise<void> {
		this.#phase = 'reading';
		try {
			await this.#openBatch();
			if (await this.#readAll()) {
				this.#total = this.#read;
				await this.#endInput();
			}
			this.#consumer.ring();
		} catch (error) {
			this.#fail(error);
		}
	}

	async #openBatch(): Promise<void> {
		const {batch, task, onComplete} = this.#plan;
		if (batch === undefined) return;
		const earlier = await this.#link.verb('batch', batch);
		if (earlier && UNENDED.some(status => earlier.counts[status] > 0)) this.#seen = new IdSet();
		this.#batch = await this.#link.verb('openBatch', batch, task, onComplete && {onComplete});
	}

	/** Once everything is in the queue, so that the batch completes though nobody should hear of it any more. */
	async #endInput(): Promise<void> {
		await Promise.all(this.#groups);
		if (this.#goesOn()) await this.#cancelGone();
		if (this.#goesOn() && this.#batch !== undefined && !(await this.#link.verb('endInput', this.#batch, this.#read))) throw this.#batchGone();
		if (this.#goesOn()) this.#phase = 'fed';
	}

	#batchGone(): FaenaError {
		const name = JSON.stringify(this.#plan.batch);
		return new FaenaError('NoSuchBatch', `The batch ${name} was deleted while this map of it was under way. The same map again begins it anew.`);
	}

	/** False once the map was left, cancelled, halted, or has failed: each may happen while an answer is awaited. */
	#goesOn(): boolean {
		return this.#phase === 'reading' && !this.#failure;
	}

	/** Cancels jobs of an earlier run whose items are no longer in the input. */
	async #cancelGone(): Promise<void> {
		const {batch} = this.#plan;
		const seen = this.#seen;
		if (!seen || batch === undefined) return;
		for (let after: JobId | undefined = 0; after !== undefined; ) {
			const page: readonly Job[] = await this.#link.verb('jobs', {batch, status: UNENDED}, {after, limit: PAGE});
			const gone = page.map(({id}) => id).filter(id => !seen.has(id));
			if (gone.length > 0) await this.#link.verb('cancel', {ids: gone});
			after = page.length < PAGE ? undefined : page.at(-1)?.id;
		}
		this.#seen = undefined;
	}

	/** Reads as far as the window has room and enqueues in groups; a group leaves early when the next item is not there yet. */
	async #readAll(): Promise<boolean> {
		const iterator = iteratorOf(this.#items);
		// As for a loop of the language: what has ended or thrown is not told to end.
		let isOpen = true;
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
		try {
			while (await this.#hasRoom(group.length)) {
				isOpen = false;
				let step = iterator.next();
				if ('then' in step) {
					if (!(await isSoon(step))) enqueueGroup();
					step = await step;
				}
				if (step.done) {
					enqueueGroup();
					return this.#goesOn();
				}
				isOpen = true;
				group.push(step.value);
				this.#read++;
				if (group.length >= GROUP || this.#read - this.#yielded >= this.#plan.window) enqueueGroup();
			}
			return false;
		} finally {
			if (isOpen) await iterator.return?.();
		}
	}

	/** Waits for room in the window; false if nothing more is to be enqueued. */
	async #hasRoom(gathered: number): Promise<boolean> {
		while (this.#goesOn()) {
			const isFull = this.#read - this.#yielded >= this.#plan.window || (gathered === 0 && this.#groups.size >= GROUPS_UNDER_WAY);
			if (!isFull) return true;
			await this.#feeder.rung(Infinity);
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
		const call = {type: 'enqueue' as const, task, payloads, keys: hasKeys ? keys : undefined, batch: this.#batch, rerun, priority, runAt, policy, watch: true};
		const answered = (settle: () => void) => {
			this.#groups.delete(promise);
			settle();
			resolve();
			this.#feeder.ring();
			this.#consumer.ring();
		};
		this.#link.send(
			call,
			reply => answered(() => this.#watch(group, keys, start, reply as EnqueueReply)),
			error => answered(() => this.#fail(error)),
		);
	}

	#watch(group: readonly Item[], keys: readonly string[], start: number, reply: EnqueueReply): void {
		const ids = idsOf(reply, group.length);
		this.#existing += reply.existing?.length ?? 0;
		if (reply.conflict !== undefined) {
			const {task, rerun} = this.#plan;
			this.#fail(keyConflict({task, key: keys[reply.conflict] as string, ...(rerun && {rerun})}, ids[reply.conflict] as JobId));
			return;
		}
		const existing = new Set(reply.existing);
		for (const [offset, item] of group.entries()) {
			const id = ids[offset] as JobId;
			this.#seen?.add(id);
			const about = {index: start + offset, key: keys[offset] as string, item, job: id, existing: existing.has(offset)};
			const watcher: Watcher = end => this.#ended(about, end);
			this.#underWay.set(about.index, {job: id, watcher, existing: about.existing});
			if (this.#phase !== 'over') this.#link.watch(id, watcher);
		}
	}

	#ended(about: About<Item>, end: Notice | FaenaError): void {
		this.#underWay.delete(about.index);
		try {
			if (end instanceof FaenaError) throw end;
			if (end.status === 'missing' && this.#phase === 'halted') return;
			const outcome = toOutcome(end) as JobOutcome<Result>;
			this.#ends[outcome.status]++;
			this.#arrived.set(about.index, {...about, earlier: end.earlier === true, ...outcome});
			if (!end.earlier) this.#judge(outcome);
		} catch (error) {
			this.#fail(error);
		} finally {
			this.#consumer.ring();
		}
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

function iteratorOf<Item>(items: Iterable<Item> | AsyncIterable<Item>): Iterator<Item> | AsyncIterator<Item> {
	return Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
}

/** True if the promise settles before the event loop's next turn. */
async function isSoon(step: Promise<unknown>): Promise<boolean> {
	const settled = step.then(
		() => true,
		() => true,
	);
	return Promise.race([settled, nextTurn(false)]);
}
