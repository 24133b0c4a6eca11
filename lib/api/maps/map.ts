import type {OpenFreshness} from '../../freshness/open-freshness.ts';
import {bad, checkIterable} from '../../job/checks.ts';
import {decode, type Encoded} from '../../job/encoding.ts';
import {MAX_GROUP_JOBS} from '../../job/groups/group.ts';
import type {JobId} from '../../job/job.ts';
import {WakeUp} from '../../support/clock.ts';
import {FaenaError} from '../../support/errors.ts';
import type {DispatcherClient} from '../../transport/client.ts';
import type {Notice} from '../../transport/messages.ts';
import type {JobOutcome} from '../handles.ts';
import {countFresh, NOTHING_FRESH} from './map-freshness.ts';
import type {ItemGroup, MapResult} from './map-items.ts';
import {MapJobs} from './map-jobs.ts';
import type {MapPlan} from './map-options.ts';

/** How far a map is: numbers of items. */
export interface MapProgress {
	/** Items read from the input. */
	readonly read: number;
	/** Items in the input, if it is an array or has ended. */
	readonly total: number | undefined;
	/** Items whose jobs completed. */
	readonly completed: number;
	/** Items whose jobs are dead. */
	readonly dead: number;
	/** Items whose jobs were cancelled. */
	readonly cancelled: number;
	/** Of the items that have ended, those whose job had ended before this map began. */
	readonly reused: number;
	/** Unfinished jobs of earlier maps of the batch whose items the input has not had so far (see the option `missing`). */
	readonly missing: number;
	/** With the option `fresh`, other than `'payload'`: items that no earlier map had. */
	readonly added: number;
	/** Of these maps: items that ran again, since something has changed. */
	readonly changed: number;
	/** Of these maps: completed items that do not run again, though other code has made their results. */
	readonly byOtherCode: number;
	/** Of these maps: completed items of which a file is absent that was there. They keep their results, and run once it is back and has changed. */
	readonly absent: number;
	/** Of these maps, with a batch: jobs whose items are not in the input, ended ones included; 0 until the input has ended. */
	readonly gone: number;
}

/** How often a map that waits for its input checks that its batch still exists. */
const CHECK_BATCH_EVERY_MS = 1000;
/** Groups that may be under way to the queue. */
const MAX_GROUPS_UNDER_WAY = 3;
/** Results that are yielded together at most: the map counts them as consumed. */
const MAX_PART = 100;
/** Once the window was full, the map reads on when this share of it is free: it would send groups of one item otherwise. */
const MIN_ROOM_SHARE = 1 / 8;

/**
 * A map under way: an async iterable of how each item's job ended. It reads the input as its results are consumed, at most
 * `window` items ahead. If the loop is left early, nothing more is enqueued. The jobs that are enqueued run on, and a map with a
 * `batch` can be resumed.
 *
 * Two activities share the state: the feeder reads, encodes and enqueues while the window has room; the consumer takes results
 * and so makes room. Phases: `new`; `reading`; `fed`: the input has ended or the map was cancelled, perhaps before its loop, and nothing more
 * will be enqueued; `halted`: nothing more will be enqueued, and jobs that have not ended are discarded; `over`: the loop has ended or was left.
 */
export class JobMap<Item, Result> implements AsyncIterable<MapResult<Item, Result>> {
	readonly #client: DispatcherClient;
	readonly #plan: MapPlan<Item>;
	#source: ReturnType<typeof openSource<Item>>;
	readonly #items: Iterable<Item> | AsyncIterable<Item>;
	/** The indexes of all items, the longest first, if they are known. */
	#longestFirst: readonly number[] | undefined;
	readonly #jobs: MapJobs<Item>;
	/** Removes it from the list of maps that have not begun. */
	readonly #removeFromUnread: () => void;
	/** Resolves once the jobs of an aborted map are cancelled. */
	#aborted: Promise<void> | undefined;
	readonly #opened = Promise.withResolvers<number>();
	readonly #feeder = new WakeUp();
	readonly #consumer = new WakeUp();
	/** Items that were read and not sent. */
	#unsent: Item[] = [];
	/** True if the unsent items are sent in this turn of the event loop. */
	#willSend = false;
	/** In order of their ends, parts of groups that have ended and were not yielded; not used in order of the input. */
	readonly #ended: {readonly group: ItemGroup<Item>; next: number; end: number}[] = [];
	/** In order of the input, by their indexes, items whose jobs have ended. */
	readonly #byIndex = new Map<number, readonly [group: ItemGroup<Item>, offset: number]>();
	readonly #progress = {read: 0, total: undefined as number | undefined, completed: 0, dead: 0, cancelled: 0, reused: 0, ...NOTHING_FRESH, gone: 0};
	#hasBegun = false;
	#phase: 'new' | 'reading' | 'fed' | 'halted' | 'over' = 'new';
	#failure: {readonly error: unknown} | undefined;
	/** Items that were yielded, or will not be. */
	#yielded = 0;
	/** Makes what is yielded of the result of a job. */
	#read: (result: Encoded) => Result = result => decode(result) as Result;

	/** @internal Use `engine.map`. */
	constructor(client: DispatcherClient, plan: MapPlan<Item>, items: Iterable<Item> | AsyncIterable<Item>, freshness?: OpenFreshness) {
		checkIterable('map()', items);
		this.#client = client;
		this.#plan = plan;
		this.#items = items;
		if (Array.isArray(items)) this.#progress.total = items.length;
		this.#source = openSource(items);
		this.#jobs = new MapJobs(client, plan, plan.isChecked ? freshness : undefined, {
			checked: verdicts => countFresh(this.#progress, verdicts),
			completed: (group, from, to) => this.#complete(group, from, to),
			ended: (group, offset, status, isReused) => this.#end(group, offset, status, isReused),
			answered: () => {
				this.#feeder.set();
				this.#consumer.set();
			},
			failed: error => this.#fail(error),
		});
		const dismiss = () => {
			this.#fail(new FaenaError('Closed', 'The engine was closed before the loop of this map began.'));
			this.#dismiss();
		};
		this.#removeFromUnread = addUnread({client, task: plan.group.task, batch: plan.batch, what: plan.pipe ? 'pipe' : 'map', dismiss});
	}

	/** How far the map is, at this moment. */
	progress(): MapProgress {
		return {...this.#progress, missing: this.#jobs.missing};
	}

	/**
	 * Cancels the map's jobs that have not ended, and enqueues nothing more. Without a batch, a job that existed before the map
	 * enqueued its item is not the map's, and runs on. The loop yields all jobs but those, and ends.
	 */
	async cancel(): Promise<void> {
		if (this.#phase === 'new') this.#dismiss();
		if (this.#phase === 'reading') this.#phase = 'fed';
		await this.#endOwnJobs(ids => this.#client.verb('cancel', {ids}));
	}

	/** @internal Resolves once the batch is open: with the number of items that earlier maps left unfinished, and that are held now. */
	get opened(): Promise<number> {
		return this.#opened.promise;
	}

	/** @internal Enqueues nothing more, and discards the jobs that have not ended, so that a later map of the batch runs them. Running jobs end. */
	async halt(): Promise<void> {
		this.#phase = 'halted';
		await this.#endOwnJobs(ids => this.#client.verb('discard', ids, {stop: false}));
	}

	#dismiss(): void {
		this.#phase = 'fed';
		this.#removeFromUnread();
		// An error of the source has no reader any more.
		this.#source.end().catch(() => undefined);
	}

	/** Runs the loop and collects its results, for maps whose results fit in memory. It rejects with what the loop would throw. */
	async toArray(): Promise<MapResult<Item, Result>[]> {
		const results: MapResult<Item, Result>[] = [];
		for await (const result of this) results.push(result);
		return results;
	}

	/**
	 * @internal Yields the same in parts, of those results that have arrived: one by one takes longer than it takes to print them.
	 * @param isEncoded for those who only pass the results on
	 */
	parts({isEncoded}: {readonly isEncoded: boolean}): AsyncGenerator<readonly MapResult<Item, Result | Encoded>[], void, undefined> {
		if (isEncoded) this.#read = result => result as Result;
		return this.#iterate(() => this.#nextPart());
	}

	/** Yields a result for each item. It can be iterated once. */
	[Symbol.asyncIterator](): AsyncGenerator<MapResult<Item, Result>, void, undefined> {
		return this.#iterate(() => this.#next());
	}

	/** @param take returns what is yielded next; `undefined` if nothing has arrived */
	async *#iterate<Taken>(take: () => Taken | undefined): AsyncGenerator<Taken, void, undefined> {
		const what = this.#plan.pipe ? 'pipe' : 'map';
		if (this.#hasBegun) throw bad(`This ${what} was iterated already; call ${what}() again, with the same batch to go on`);
		this.#hasBegun = true;
		this.#removeFromUnread();
		const {signal} = this.#plan;
		const onAbort = () => this.#abort(signal?.reason);
		signal?.addEventListener('abort', onAbort);
		if (signal?.aborted) onAbort();
		// Jobs under way report it, too; but while the map waits for its source, there may be none.
		const removeListener = this.#client.onEnd(error => {
			if (this.#phase === 'reading') this.#fail(error);
		});
		this.#client.hold();
		let isDone = false;
		try {
			if (this.#phase === 'new') void this.#feed();
			for (;;) {
				const taken = take();
				if (taken) yield taken;
				else if (this.#failure) throw this.#failure.error;
				else if (this.#hasAllArrived()) break;
				else await this.#wait();
			}
			if (this.#phase === 'halted') this.#plan.halt?.throwIfFailed();
			else isDone = true;
		} finally {
			signal?.removeEventListener('abort', onAbort);
			removeListener();
			// What is still to be enqueued is cancelled, too, once it is.
			await this.#aborted;
			this.#phase = 'over';
			this.#feeder.set();
			const left = this.#jobs.leave({isDone});
			this.#source.end().catch(() => undefined);
			await left;
			this.#client.release();
		}
	}

	/** Reads while the window has room, and enqueues in groups. It sends a group early if the next item is not there yet. */
	async #feed(): Promise<void> {
		this.#phase = 'reading';
		try {
			this.#orderItems();
			// Read before anything is awaited: only from then on does the source listen to a stream, which may fail meanwhile.
			let step = this.#source.next();
			await this.#jobs.open();
			this.#opened.resolve(this.#jobs.missing);
			while (this.#goesOn()) {
				if ('then' in step) {
					this.#sendSoon();
					step = await step;
				}
				if (step.done) {
					await this.#endInput();
					break;
				}
				this.#progress.read++;
				if (this.#unsent.push(step.value) >= this.#groupSize || this.#room() <= 0) {
					this.#sendGroup();
					await this.#hasRoom();
				}
				if (this.#goesOn()) step = this.#source.next();
			}
			await this.#source.end();
			this.#consumer.set();
		} catch (error) {
			this.#fail(error);
		}
	}

	/** Sends what was read by then at the end of this turn of the event loop. */
	#sendSoon(): void {
		if (this.#willSend) return;
		this.#willSend = true;
		setImmediate(() => {
			this.#willSend = false;
			this.#sendGroup();
		});
	}

	/** Orders an array as a whole. In order of the input the map could not yield the first item before it has read all, so that is left out. */
	#orderItems(): void {
		const {weightOf, order} = this.#plan;
		if (!weightOf || order === 'input' || !Array.isArray(this.#items)) return;
		const items: readonly Item[] = this.#items;
		const indexes = longestFirst(items, weightOf, 0);
		this.#longestFirst = indexes;
		this.#source = openSource(indexes.map(index => items[index] as Item));
	}

	/** With weights, as many items as possible are gathered and ordered. */
	get #groupSize(): number {
		const {pipe} = this.#plan;
		// A group of a pipe has at most so many jobs in its first stage.
		if (pipe) return Math.max(1, Math.floor(MAX_GROUP_JOBS / (pipe.stages[0]?.jobs ?? 1)));
		return this.#plan.weightOf && !this.#longestFirst ? Infinity : this.#jobs.groupSize;
	}

	#sendGroup(): void {
		const items = this.#unsent;
		this.#unsent = [];
		try {
			const {weightOf} = this.#plan;
			const start = this.#jobs.sent;
			const known = this.#longestFirst?.slice(start, start + items.length);
			const indexes = known ?? (weightOf && longestFirst(items, weightOf, start));
			const inOrder = indexes && !known ? indexes.map(index => items[index - start] as Item) : items;
			const size = this.#jobs.groupSize;
			for (let from = 0; from < items.length && this.#goesOn(); from += size)
				this.#jobs.enqueue(inOrder.slice(from, from + size), indexes?.slice(from, from + size));
		} catch (error) {
			// Not thrown: the source can be told to end only after its next item, for which the loop may be waiting.
			this.#fail(error);
		}
	}

	/** Resolves once another group may be gathered, or the map does not go on. */
	async #hasRoom(): Promise<void> {
		const least = this.#room() > 0 ? 1 : this.#minRoom();
		while (this.#goesOn() && (this.#room() < least || this.#jobs.unanswered.size >= MAX_GROUPS_UNDER_WAY)) await this.#feeder.wait(Infinity);
	}

	/** The number of items that the window has room for. */
	#room(): number {
		return this.#plan.window - (this.#progress.read - this.#yielded);
	}

	#minRoom(): number {
		return Math.max(1, Math.floor(this.#plan.window * MIN_ROOM_SHARE));
	}

	/** Ends the input once all jobs are in the queue. The batch can then complete even if this program ends. */
	async #endInput(): Promise<void> {
		this.#sendGroup();
		if (!this.#goesOn()) return;
		this.#progress.total = this.#progress.read;
		await this.#jobs.allAnswered();
		if (this.#goesOn()) Object.assign(this.#progress, await this.#jobs.endInput());
		if (this.#goesOn()) this.#phase = 'fed';
	}

	/** False once the map was left, cancelled or halted, or has failed. Each may happen during an await. */
	#goesOn(): boolean {
		return this.#phase === 'reading' && !this.#failure;
	}

	#next(): MapResult<Item, Result> | undefined {
		try {
			return this.#plan.order === 'finished' ? this.#nextEnded() : this.#nextByIndex();
		} catch (error) {
			this.#fail(error);
			return undefined;
		}
	}

	#nextPart(): readonly MapResult<Item, Result>[] | undefined {
		const part: MapResult<Item, Result>[] = [];
		for (let result = this.#next(); result; result = part.length < MAX_PART ? this.#next() : undefined) part.push(result);
		return part.length > 0 ? part : undefined;
	}

	#nextEnded(): MapResult<Item, Result> | undefined {
		const [part] = this.#ended;
		if (!part) return undefined;
		const offset = part.next++;
		if (part.next === part.end) this.#ended.shift();
		this.#countYielded();
		return part.group.resultAt(offset, this.#read);
	}

	#nextByIndex(): MapResult<Item, Result> | undefined {
		// Once all have ended, an item that is not there was dropped.
		while (this.#yielded < this.#jobs.sent && (this.#byIndex.has(this.#yielded) || this.#hasAllArrived())) {
			const [group, offset] = this.#byIndex.get(this.#yielded) ?? [];
			this.#byIndex.delete(this.#yielded);
			this.#countYielded();
			if (group && offset !== undefined) return group.resultAt(offset, this.#read);
		}
		return undefined;
	}

	#countYielded(): void {
		this.#yielded++;
		if (this.#room() >= this.#minRoom()) this.#feeder.set();
	}

	/** Waits for a result, and checks now and then that its batch was not deleted, and is still this map's. */
	async #wait(): Promise<void> {
		const checksBatch = (this.#phase === 'reading' || this.#phase === 'fed') && this.#plan.batch !== undefined;
		const isSet = await this.#consumer.wait(checksBatch ? CHECK_BATCH_EVERY_MS : Infinity);
		if (isSet || !checksBatch) return;
		// A check that fails proves nothing.
		const lost = await this.#jobs.batchLost().catch(() => undefined);
		if (lost) this.#fail(lost);
	}

	#hasAllArrived(): boolean {
		return (this.#phase === 'fed' || this.#phase === 'halted') && this.#jobs.unanswered.size === 0 && this.#jobs.underWay === 0;
	}

	#complete(group: ItemGroup<Item>, from: number, to: number): void {
		this.#progress.completed += to - from;
		if (group.checked) for (let offset = from; offset < to; offset++) if (group.hasOtherPayload(offset)) this.#progress.changed++;
		this.#addEnded(group, from, to);
		if (this.#plan.halt) for (let offset = from; offset < to; offset++) this.#haltIfDue('completed');
	}

	#end(group: ItemGroup<Item>, offset: number, status: Notice['status'], isReused: boolean): void {
		if (status === 'missing' && this.#phase === 'halted') {
			group.drop(offset);
			this.#consumer.set();
			return;
		}
		if (status !== 'missing') this.#progress[status]++;
		if (isReused) this.#progress.reused++;
		else if (group.hasOtherPayload(offset)) this.#progress.changed++;
		this.#addEnded(group, offset, offset + 1);
		if (!isReused && status !== 'missing') this.#haltIfDue(status, group.errorAt(offset));
	}

	#addEnded(group: ItemGroup<Item>, from: number, to: number): void {
		const last = this.#ended.at(-1);
		if (this.#plan.order === 'input') {
			for (let offset = from; offset < to; offset++) this.#byIndex.set(group.indexAt(offset), [group, offset]);
		} else if (last?.group === group && last.end === from) last.end = to;
		else this.#ended.push({group, next: from, end: to});
		this.#consumer.set();
	}

	/** Once enough items have failed or succeeded, asks for a discard of the jobs that have not ended. */
	#haltIfDue(status: JobOutcome['status'], error?: Error): void {
		const {halt} = this.#plan;
		if (!halt?.observe(status, error)) return;
		if (this.#phase === 'halted' || this.#phase === 'over') return;
		this.#phase = 'halted';
		this.#endOwnJobs(ids => this.#client.verb('discard', ids, {stop: halt.option.when === 'now'})).catch(error => this.#fail(error));
	}

	async #endOwnJobs(end: (ids: readonly JobId[]) => Promise<unknown>): Promise<void> {
		this.#feeder.set();
		for (const ids of await this.#jobs.own()) if (ids.length > 0) await end(ids);
		this.#consumer.set();
	}

	#abort(reason: unknown): void {
		this.#fail(reason);
		// After an abort, results that have arrived are not yielded.
		this.#ended.length = 0;
		this.#byIndex.clear();
		// If the queue is closed already, there is nothing to cancel, and the loop ends with the reason all the same.
		this.#aborted = this.cancel().catch(() => undefined);
	}

	/** Ends the loop with this error, unless an earlier one does. */
	#fail(error: unknown): void {
		this.#failure ??= {error};
		this.#consumer.set();
	}
}

/** The indexes of items, from `start` on, by their weights; equal ones in order of the input. */
function longestFirst<Item>(items: readonly Item[], weightOf: (item: Item, index: number) => number, start: number): number[] {
	const weights = items.map((item, offset) => weightOf(item, start + offset));
	const offsets = [...weights.keys()].sort((a, b) => (weights[b] as number) - (weights[a] as number) || a - b);
	return offsets.map(offset => start + offset);
}

/** The iterator of a map's input. It is created with the map: readline, for instance, loses lines that come before its iterator is created. */
function openSource<Item>(items: Iterable<Item> | AsyncIterable<Item>) {
	const iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
	/** False once the iterator has ended or thrown. As in a `for` loop, `return()` is not called then. */
	let isOpen = true;
	const close = () => {
		isOpen = false;
	};
	return {
		/** The next item. If the caller never awaits it, its rejection does not count as unhandled. */
		next(): IteratorResult<Item> | Promise<IteratorResult<Item>> {
			close();
			const step = iterator.next();
			isOpen = 'then' in step || step.done !== true;
			if ('then' in step) step.then(({done}) => done && close(), close);
			return step;
		},
		/** Ends the iterator early, also while its next item is awaited. */
		async end(): Promise<void> {
			if (!isOpen) return;
			close();
			await iterator.return?.();
		},
	};
}

/** A map whose loop has not begun. */
interface UnreadMap {
	readonly client: DispatcherClient;
	readonly task: string;
	readonly batch: string | undefined;
	readonly what: 'map' | 'pipe';
	/** Ends the map and its source, and removes it from {@link unread}. */
	dismiss(): void;
}

/** The unread maps of all engines of this thread. Such a map runs no jobs, and without a warning its user might not notice. */
const unread = new Set<UnreadMap>();

/** Returns a function that removes the map. */
function addUnread(map: UnreadMap): () => void {
	if (unread.size === 0) process.on('exit', warnAtExit);
	unread.add(map);
	return () => {
		if (unread.delete(map) && unread.size === 0) process.off('exit', warnAtExit);
	};
}

/** Warns of the unread maps of an engine, and ends them. */
export function dismissUnread(client: DispatcherClient): void {
	const maps = [...unread].filter(map => map.client === client);
	if (maps.length > 0) process.emitWarning(describe(maps), {type: 'FaenaWarning'});
	for (const map of maps) map.dismiss();
}

/** Emits the warnings directly: `process.emitWarning` would wait for the next turn of the event loop, which never comes. */
function warnAtExit(): void {
	for (const maps of Map.groupBy(unread, ({client}) => client).values())
		process.emit('warning', Object.assign(new Error(describe(maps)), {name: 'FaenaWarning'}));
}

function describe([first, ...others]: readonly UnreadMap[]): string {
	const batch = first?.batch === undefined ? '' : ` with the batch ${JSON.stringify(first.batch)}`;
	const more = others.length === 0 ? '' : ` The same goes for ${others.length} more ${others.length === 1 ? 'map' : 'maps'}.`;
	const what = first?.what ?? 'map';
	return `A ${what}() of the task ${first?.task}${batch} was never iterated, so it ran no jobs. Write: for await (const item of faena.${what}(…)) …, or: await faena.${what}(…).toArray().${more}`;
}
