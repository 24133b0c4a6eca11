import type {OpenFreshness} from '../../freshness/open-freshness.ts';
import {bad, checkIterable} from '../../job/checks.ts';
import {decode, type Encoded} from '../../job/encoding.ts';
import type {JobId} from '../../job/job.ts';
import {WakeUp} from '../../support/clock.ts';
import {FaenaError} from '../../support/errors.ts';
import type {DispatcherClient} from '../../transport/client.ts';
import type {Notice} from '../../transport/messages.ts';
import type {JobOutcome} from '../job-handle.ts';
import {Feeder} from './feeder.ts';
import {HeldResults} from './held-results.ts';
import {countFresh, NOTHING_FRESH} from './map-freshness.ts';
import type {ItemGroup, MapResult} from './map-items.ts';
import {MapJobs} from './map-jobs.ts';
import type {MapPlan} from './map-options.ts';
import {addUnread} from './unread-maps.ts';
import {Window} from './window.ts';

/** How far a map is: numbers of items. @example const {completed, total}: MapProgress = map.progress(); */
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
	/** With the option `fresh`, other than `'payload'`: items that ran again, since something has changed. */
	readonly changed: number;
	/** With such a `fresh`: completed items that do not run again, though other code has made their results. */
	readonly byOtherCode: number;
	/** With such a `fresh`: completed items of which a file is absent that was there. They keep their results, and run once it is back and has changed. */
	readonly absent: number;
	/** With such a `fresh` and a batch: jobs whose items are not in the input, ended ones included; 0 until the input has ended. */
	readonly gone: number;
}

/** How often a map that waits for its input checks that its batch still exists. */
const CHECK_BATCH_EVERY_MS = 1000;
/** Results that are yielded together at most: the map counts them as consumed. */
const MAX_PART = 100;

/**
 * A map under way: an async iterable of how each item's job ended. It reads the input as its results are consumed, at most
 * `window` items ahead. If the loop is left early, nothing more is enqueued. The jobs that are enqueued run on, and a map with a
 * `batch` can be resumed.
 *
 * The `Feeder` reads and enqueues while the `Window` has room; the loop takes results and so makes room. Phases: `new`; `reading`;
 * `fed`: the input has ended or the map was cancelled, perhaps before its loop, and nothing more will be enqueued; `halted`: nothing more will be enqueued, and jobs that have not ended are discarded; `over`: the loop has ended or was left.
 * @example const map: JobMap<string, number> = faena.map('size', files);
 */
export class JobMap<Item, Result> implements AsyncIterable<MapResult<Item, Result>> {
	readonly #client: DispatcherClient;
	readonly #plan: MapPlan<Item>;
	readonly #feeder: Feeder<Item>;
	readonly #window: Window<Item>;
	readonly #jobs: MapJobs<Item>;
	readonly #held = new HeldResults();
	/** Removes it from the list of maps that have not begun. */
	readonly #removeFromUnread: () => void;
	/** Resolves once the jobs of an aborted map are cancelled. */
	#aborted: Promise<void> | undefined;
	readonly #opened = Promise.withResolvers<number>();
	readonly #consumer = new WakeUp();
	readonly #progress = {total: undefined as number | undefined, completed: 0, dead: 0, cancelled: 0, reused: 0, ...NOTHING_FRESH, gone: 0};
	#hasBegun = false;
	#phase: 'new' | 'reading' | 'fed' | 'halted' | 'over' = 'new';
	#failure: {readonly error: unknown} | undefined;
	/** Makes what is yielded of the result of a job. */
	#read: (result: Encoded) => Result = result => decode(result) as Result;

	/** @internal Use `engine.map`. */
	constructor(client: DispatcherClient, plan: MapPlan<Item>, items: Iterable<Item> | AsyncIterable<Item>, freshness?: OpenFreshness) {
		checkIterable('map()', items);
		this.#client = client;
		this.#plan = plan;
		if (Array.isArray(items)) this.#progress.total = items.length;
		this.#window = new Window(plan.window, plan.windowBytes, plan.order === 'input', () => this.#feeder.wake());
		this.#jobs = new MapJobs(client, plan, plan.isChecked ? freshness : undefined, this.#held, {
			checked: verdicts => countFresh(this.#progress, verdicts),
			completed: (group, from, to) => this.#complete(group, from, to),
			ended: (group, offset, status, isReused) => this.#end(group, offset, status, isReused),
			answered: () => {
				this.#feeder.wake();
				this.#consumer.set();
			},
			failed: error => this.#fail(error),
		});
		this.#feeder = new Feeder(items, {
			...{plan, jobs: this.#jobs, window: this.#window},
			goesOn: () => this.#goesOn(),
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
		return {read: this.#window.read, ...this.#progress, missing: this.#jobs.batch.earlier.missing};
	}

	/**
	 * The keys of {@link MapProgress.gone}: of jobs whose items are not in the input. Empty until the input has ended; with `missing: 'delete'` also
	 * after the loop, which deletes them.
	 * @throws FaenaError `Closed`
	 * @example for (const key of await map.gone()) await rm(outputOf(key), {force: true});
	 */
	async gone(): Promise<readonly string[]> {
		const keys: string[] = [];
		for await (const jobs of this.#jobs.batch.gone()) for (const {key} of jobs) if (key !== undefined) keys.push(key);
		return keys;
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
		this.#feeder.end().catch(() => undefined);
	}

	/** Runs the loop and collects its results, for maps whose results fit in memory. It rejects with what the loop would throw. */
	async toArray(): Promise<MapResult<Item, Result>[]> {
		return Array.fromAsync(this);
	}

	/** @internal Yields the same in parts of what has arrived: one by one takes longer than to print them. @param isEncoded to pass results on as they are */
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
			this.#feeder.wake();
			const left = this.#jobs.leave({isDone});
			this.#feeder.end().catch(() => undefined);
			await left;
			this.#held.close();
			this.#client.release();
		}
	}

	/** Runs the feeder to the end of the input. */
	async #feed(): Promise<void> {
		this.#phase = 'reading';
		try {
			// Before anything is awaited.
			this.#feeder.begin();
			await this.#jobs.batch.open();
			this.#opened.resolve(this.#jobs.batch.earlier.missing);
			await this.#feeder.run();
			await this.#endInput();
			await this.#feeder.end();
			this.#consumer.set();
		} catch (error) {
			this.#fail(error);
		}
	}

	/** Ends the input once all jobs are in the queue. The batch can then complete even if this program ends. */
	async #endInput(): Promise<void> {
		if (!this.#goesOn()) return;
		this.#progress.total = this.#window.read;
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
			return this.#window.next(this.#read, this.#jobs.sent, () => this.#hasAllArrived());
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

	/** Waits for a result, and checks now and then that its batch was not deleted, and is still this map's. */
	async #wait(): Promise<void> {
		const checksBatch = (this.#phase === 'reading' || this.#phase === 'fed') && this.#plan.batch !== undefined;
		const isSet = await this.#consumer.wait(checksBatch ? CHECK_BATCH_EVERY_MS : Infinity);
		if (isSet || !checksBatch) return;
		// A check that fails proves nothing.
		const lost = await this.#jobs.batch.lost().catch(() => undefined);
		if (lost) this.#fail(lost);
	}

	#hasAllArrived(): boolean {
		return (this.#phase === 'fed' || this.#phase === 'halted') && this.#jobs.unanswered.size === 0 && this.#jobs.underWay === 0;
	}

	#complete(group: ItemGroup<Item>, from: number, to: number): void {
		this.#progress.completed += to - from;
		if (group.checked) for (let offset = from; offset < to; offset++) if (group.hasOtherPayload(offset)) this.#progress.changed++;
		this.#window.addEnded(group, from, to);
		this.#consumer.set();
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
		this.#window.addEnded(group, offset, offset + 1);
		this.#consumer.set();
		if (!isReused && status !== 'missing') this.#haltIfDue(status, group.errorAt(offset));
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
		this.#feeder.wake();
		for (const ids of await this.#jobs.own()) if (ids.length > 0) await end(ids);
		this.#consumer.set();
	}

	#abort(reason: unknown): void {
		this.#fail(reason);
		// After an abort, results that have arrived are not yielded.
		this.#window.clear();
		// If the queue is closed already, there is nothing to cancel, and the loop ends with the reason all the same.
		this.#aborted = this.cancel().catch(() => undefined);
	}

	/** Ends the loop with this error, unless an earlier one does. */
	#fail(error: unknown): void {
		this.#failure ??= {error};
		this.#consumer.set();
	}
}
