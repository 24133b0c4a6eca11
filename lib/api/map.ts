import {bad, checkIterable} from '../job/checks.ts';
import type {JobId} from '../job/job.ts';
import {WakeUp} from '../support/clock.ts';
import {FaenaError} from '../support/errors.ts';
import type {DispatcherClient} from '../transport/client.ts';
import type {Notice} from '../transport/messages.ts';
import {type JobOutcome, toOutcome} from './job-handle.ts';
import {MapBatch} from './map-batch.ts';
import {MapFeeder, MapSource} from './map-feeder.ts';
import {type MapItem, MapJobs} from './map-jobs.ts';
import {Halt, type HaltOption, type MapPlan} from './map-options.ts';

/** How an item's job ended. */
export type MapResult<Item, Result> = MapItem<Item> & {
	/** True if the job had ended before this map began; without a batch, before the map enqueued the item. Nothing was executed for it. */
	readonly reused: boolean;
} & JobOutcome<Result>;

/** How far a map is: numbers of items. */
export interface MapProgress {
	/** Items read from the input. */
	readonly read: number;
	/** Items in the input, once it has ended. */
	readonly total: number | undefined;
	/** Items whose jobs completed. */
	readonly completed: number;
	/** Items whose jobs are dead. */
	readonly dead: number;
	/** Items whose jobs were cancelled. */
	readonly cancelled: number;
	/** Of the items that have ended, those whose job had ended before this map began. */
	readonly reused: number;
	/**
	 * Unfinished jobs of an earlier map of the batch whose items are not in the input; 0 until the input has ended. The option
	 * `missing` decides what happens to them.
	 */
	readonly missing: number;
}

/** How often a map that waits for its input checks that its batch still exists. */
const CHECK_BATCH_EVERY_MS = 1000;

/**
 * A map under way: an async iterable of how each item's job ended. It reads the input as its results are consumed, at most
 * `window` items ahead. If the loop is left early, nothing more is enqueued. The jobs that are enqueued run on, and a map with a
 * `batch` can be resumed.
 *
 * Two activities share the state: the feeder reads, encodes and enqueues while the window has room; the consumer takes results
 * and so makes room. Phases: `new`; `unwanted`: it was cancelled or dismissed before its loop began; `reading`; `fed`: the
 * input has ended or the map was cancelled, and nothing more will be enqueued; `halted`: nothing more will be enqueued, and jobs
 * that have not ended are discarded; `over`: the loop has ended or was left.
 */
export class JobMap<Item, Result> implements AsyncIterable<MapResult<Item, Result>> {
	readonly #client: DispatcherClient;
	readonly #plan: MapPlan<Item>;
	readonly #source: MapSource<Item>;
	readonly #batch: MapBatch | undefined;
	readonly #jobs: MapJobs<Item>;
	readonly #feeder: MapFeeder<Item>;
	readonly #halt: Halt | undefined;
	/** Called when its loop begins, or never will. */
	readonly #removeFromUnread: () => void;
	readonly #arrived = new Map<number, MapResult<Item, Result>>();
	readonly #consumer = new WakeUp();
	readonly #ends = {completed: 0, dead: 0, cancelled: 0};
	#phase: 'new' | 'unwanted' | 'reading' | 'fed' | 'halted' | 'over' = 'new';
	#failure: {readonly error: unknown} | undefined;
	#reused = 0;
	#missing = 0;
	/** In order of the input: the next index to yield. */
	#cursor = 0;
	/** Number of items in the input, once it has ended. */
	#total: number | undefined;

	/** @internal Use `engine.map`. */
	constructor(client: DispatcherClient, plan: MapPlan<Item>, items: Iterable<Item> | AsyncIterable<Item>, unread: UnreadMaps) {
		checkIterable('map()', items);
		this.#client = client;
		this.#plan = plan;
		this.#source = new MapSource(items);
		const {batch: name, task, onComplete, missing} = plan;
		this.#batch = name === undefined ? undefined : new MapBatch(client, {name, task, onComplete, missing});
		const failed = (error: unknown) => this.#fail(error);
		this.#jobs = new MapJobs(client, plan, this.#batch, {
			ended: (item, end, reused) => this.#ended(item, end, reused),
			answered: () => {
				this.#feeder.wake();
				this.#consumer.set();
			},
			failed,
		});
		this.#feeder = new MapFeeder(this.#source, this.#jobs, plan.window, {goesOn: () => this.#goesOn(), failed});
		this.#halt = plan.halt && new Halt(plan.halt);
		const dismiss = () => {
			this.#fail(new FaenaError('Closed', 'The engine was closed before the loop of this map began.'));
			this.#dismiss();
		};
		this.#removeFromUnread = unread.add({task, batch: name, dismiss});
	}

	/** How far the map is, at this moment. */
	progress(): MapProgress {
		return {read: this.#feeder.read, total: this.#total, reused: this.#reused, missing: this.#missing, ...this.#ends};
	}

	/**
	 * Cancels the map's jobs that have not ended, and enqueues nothing more. Without a batch, a job that existed before the map
	 * enqueued its item is not the map's, and runs on. The loop yields all jobs but those, and ends.
	 */
	async cancel(): Promise<void> {
		if (this.#phase === 'new') this.#dismiss();
		if (this.#phase === 'unwanted') return;
		if (this.#phase === 'reading') this.#phase = 'fed';
		await this.#endOwnJobs(ids => this.#client.verb('cancel', {ids}));
	}

	#dismiss(): void {
		this.#phase = 'unwanted';
		this.#removeFromUnread();
		// An error of the source has no reader any more.
		this.#source.end().catch(() => undefined);
	}

	/** Yields a result for each item. It can be iterated once. */
	async *[Symbol.asyncIterator](): AsyncGenerator<MapResult<Item, Result>, void, undefined> {
		if (!this.#begins()) return;
		const {signal} = this.#plan;
		const onAbort = () => this.#abort(signal?.reason);
		signal?.addEventListener('abort', onAbort);
		// Jobs under way report it, too; but while the map waits for its source, there may be none.
		const removeListener = this.#client.onEnd(error => {
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
				else if (this.#hasAllArrived() && this.#arrived.size === 0) break;
				else await this.#wait();
			}
			if (this.#phase === 'halted') this.#halt?.throwIfFailed();
			else isDone = true;
		} finally {
			signal?.removeEventListener('abort', onAbort);
			removeListener();
			this.#phase = 'over';
			this.#feeder.wake();
			this.#jobs.leave();
			this.#source.end().catch(() => undefined);
			await this.#leaveBatch(isDone);
			this.#client.release();
		}
	}

	/** Returns false if the map was cancelled before its loop. */
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
		this.#removeFromUnread();
		return true;
	}

	/**
	 * Frees the batch, so that the next map of it can begin as soon as this loop is over.
	 * @param isDone true if every item was yielded or cancelled
	 */
	async #leaveBatch(isDone: boolean): Promise<void> {
		if (!this.#batch) return;
		await this.#jobs.allAnswered();
		try {
			await this.#batch.leave({isDone});
		} catch (error) {
			// The dispatcher tries again; or it has ended, which frees the batch, too. The loop's own error tells more.
			if (isDone) throw error;
		}
	}

	// ——— feeder ———

	async #feed(): Promise<void> {
		this.#phase = 'reading';
		try {
			// Read before anything is awaited: only from then on does the source listen to a stream, which may fail meanwhile.
			const first = this.#source.next();
			await this.#batch?.open();
			if (this.#goesOn() && (await this.#feeder.readAll(first))) {
				this.#total = this.#feeder.read;
				await this.#endInput();
			}
			await this.#source.end();
			this.#consumer.set();
		} catch (error) {
			this.#fail(error);
		}
	}

	/** Ends the input once all jobs are in the queue. The batch can then complete even if this program ends. */
	async #endInput(): Promise<void> {
		await this.#jobs.allAnswered();
		if (this.#goesOn() && this.#batch) this.#missing = await this.#batch.endInput(this.#feeder.read);
		if (this.#goesOn()) this.#phase = 'fed';
	}

	/** False once the map was left, cancelled or halted, or has failed. Each may happen during an await. */
	#goesOn(): boolean {
		return this.#phase === 'reading' && !this.#failure;
	}

	// ——— consumer ———

	#next(): MapResult<Item, Result> | undefined {
		const index = this.#plan.order === 'input' ? this.#nextOfInput() : this.#arrived.keys().next().value;
		const result = index === undefined ? undefined : this.#arrived.get(index);
		if (!result) return undefined;
		this.#arrived.delete(result.index);
		this.#cursor = result.index + 1;
		this.#feeder.yielded();
		return result;
	}

	/** The next index. Once all results have arrived, it skips items for which the map waits no longer. */
	#nextOfInput(): number {
		while (this.#hasAllArrived() && this.#cursor < this.#jobs.sent && !this.#arrived.has(this.#cursor)) this.#cursor++;
		return this.#cursor;
	}

	/** Waits for a result. If the map waits for its input, and no job is under way, it also checks that the batch was not deleted. */
	async #wait(): Promise<void> {
		const batch = this.#phase === 'reading' ? this.#batch : undefined;
		const isSet = await this.#consumer.wait(batch ? CHECK_BATCH_EVERY_MS : Infinity);
		if (isSet || !batch || this.#jobs.underWay > 0) return;
		const onChecked = (error: FaenaError | undefined) => error && this.#fail(error);
		// A check that fails proves nothing.
		batch.deleted().then(onChecked, () => undefined);
	}

	#hasAllArrived(): boolean {
		return (this.#phase === 'fed' || this.#phase === 'halted') && this.#jobs.unanswered === 0 && this.#jobs.underWay === 0;
	}

	#ended(item: MapItem<Item>, end: Notice, reused: boolean): void {
		try {
			if (end.status === 'missing' && this.#phase === 'halted') return;
			const outcome = toOutcome(end) as JobOutcome<Result>;
			this.#ends[outcome.status]++;
			if (reused) this.#reused++;
			this.#arrived.set(item.index, {...item, reused, ...outcome});
			if (!reused) this.#haltIfDue(outcome);
		} catch (error) {
			this.#fail(error);
		} finally {
			this.#consumer.set();
		}
	}

	#haltIfDue(outcome: JobOutcome): void {
		if (!this.#halt?.observe(outcome.status, 'error' in outcome ? outcome.error : undefined)) return;
		if (this.#phase !== 'halted' && this.#phase !== 'over') this.#discardRest(this.#halt.option).catch(error => this.#fail(error));
	}

	/** Discards the jobs that have not ended. */
	async #discardRest({when}: HaltOption): Promise<void> {
		this.#phase = 'halted';
		await this.#endOwnJobs(ids => this.#client.verb('discard', ids, {stop: when === 'now'}));
	}

	async #endOwnJobs(end: (ids: readonly JobId[]) => Promise<unknown>): Promise<void> {
		this.#feeder.wake();
		const ids = await this.#jobs.own();
		if (ids.length > 0) await end(ids);
		this.#consumer.set();
	}

	#abort(reason: unknown): void {
		this.#fail(reason);
		// After an abort, results that have arrived are not yielded.
		this.#arrived.clear();
		// If the queue is closed already, there is nothing to cancel, and the loop ends with the reason all the same.
		this.cancel().catch(() => undefined);
	}

	/** Ends the loop with this error, unless an earlier one does. */
	#fail(error: unknown): void {
		this.#failure ??= {error};
		this.#consumer.set();
	}
}

/** A map whose loop has not begun. */
interface UnreadMap {
	readonly task: string;
	readonly batch: string | undefined;
	/** Ends the map and its source, and removes it from this list. */
	dismiss(): void;
}

/** The lists that are not empty, of all engines of this thread: one listener for the program's end serves them all. */
const lists = new Set<UnreadMaps>();

/** An engine's maps whose loops have not begun. Such a map runs no jobs, and without a warning its user might not notice. */
export class UnreadMaps {
	readonly #maps = new Set<UnreadMap>();

	/** Returns a function that removes the map. */
	add(map: UnreadMap): () => void {
		if (lists.size === 0) process.on('exit', warnAtExit);
		lists.add(this);
		this.#maps.add(map);
		return () => this.#delete(map);
	}

	#delete(map: UnreadMap): void {
		this.#maps.delete(map);
		if (this.#maps.size === 0 && lists.delete(this) && lists.size === 0) process.off('exit', warnAtExit);
	}

	/** Warns of the maps, and ends them. */
	dismiss(): void {
		if (this.#maps.size > 0) process.emitWarning(this.describe(), {type: 'FaenaWarning'});
		for (const map of this.#maps) map.dismiss();
	}

	describe(): string {
		const [first, ...others] = this.#maps;
		const batch = first?.batch === undefined ? '' : ` with the batch ${JSON.stringify(first.batch)}`;
		const more = others.length === 0 ? '' : ` The same goes for ${others.length} more ${others.length === 1 ? 'map' : 'maps'}.`;
		return `A map() of the task ${first?.task}${batch} was never iterated, so it ran no jobs. Write: for await (const item of faena.map(…)) …, or: await Array.fromAsync(faena.map(…)).${more}`;
	}
}

/** Emits the warning directly: `process.emitWarning` would wait for the next turn of the event loop, which never comes. */
function warnAtExit(): void {
	for (const each of lists) process.emit('warning', Object.assign(new Error(each.describe()), {name: 'FaenaWarning'}));
}
