import {setImmediate as nextTurn} from 'node:timers/promises';
import {WakeUp} from '../support/clock.ts';
import type {MapJobs} from './map-jobs.ts';

/** Items that are enqueued in one group. */
const MAX_GROUP_ITEMS = 512;
const MAX_GROUPS_UNDER_WAY = 4;

/** The map, as its feeder sees it. */
interface FeederHost {
	/** False once the map wants no more of its input. */
	goesOn(): boolean;
	/** An item can't be enqueued. */
	failed(error: unknown): void;
}

/** Reads the input of a map and enqueues it in groups. It reads at most a window of items ahead of the results that were yielded. */
export class MapFeeder<Item> {
	readonly #source: MapSource<Item>;
	readonly #jobs: MapJobs<Item>;
	readonly #window: number;
	readonly #host: FeederHost;
	readonly #wakeUp = new WakeUp();
	#read = 0;
	#yielded = 0;

	constructor(source: MapSource<Item>, jobs: MapJobs<Item>, window: number, host: FeederHost) {
		this.#source = source;
		this.#jobs = jobs;
		this.#window = window;
		this.#host = host;
	}

	/** Number of items read. */
	get read(): number {
		return this.#read;
	}

	/** A result was yielded: there is room for another item. */
	yielded(): void {
		this.#yielded++;
		this.#wakeUp.set();
	}

	/** Makes it check again whether the map goes on, and whether there is room. */
	wake(): void {
		this.#wakeUp.set();
	}

	/**
	 * Reads while the window has room, and enqueues in groups. It sends a group early if the next item is not there yet.
	 * @returns true at the end of the input, false if the map does not go on
	 */
	async readAll(first: Step<Item>): Promise<boolean> {
		let group: Item[] = [];
		const enqueueGroup = () => {
			try {
				if (group.length > 0 && this.#host.goesOn()) this.#jobs.enqueue(group);
			} catch (error) {
				// Not thrown: the source can be told to end only after its next item, for which the loop may be waiting.
				this.#host.failed(error);
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
				return this.#host.goesOn();
			}
			group.push(step.value);
			this.#read++;
			if (group.length >= MAX_GROUP_ITEMS || this.#isFull()) enqueueGroup();
			if (!(await this.#hasRoom(group.length))) return false;
		}
	}

	/** Waits for room in the window. Returns false if the map does not go on. */
	async #hasRoom(gathered: number): Promise<boolean> {
		while (this.#host.goesOn()) {
			if (!this.#isFull() && (gathered > 0 || this.#jobs.unanswered < MAX_GROUPS_UNDER_WAY)) return true;
			await this.#wakeUp.wait(Infinity);
		}
		return false;
	}

	#isFull(): boolean {
		return this.#read - this.#yielded >= this.#window;
	}
}

/** The return value of an iterator's `next()`. */
export type Step<Item> = IteratorResult<Item> | Promise<IteratorResult<Item>>;

/**
 * The iterator of a map's input. It is created with the map: readline, for instance, loses the lines that come before its
 * iterator is created.
 */
export class MapSource<Item> {
	readonly #iterator: Iterator<Item> | AsyncIterator<Item>;
	/** False once the iterator has ended or thrown. As in a `for` loop, `return()` is not called then. */
	#isOpen = true;

	constructor(items: Iterable<Item> | AsyncIterable<Item>) {
		this.#iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
	}

	/** The next item. If the caller never awaits it, its rejection does not count as unhandled. */
	next(): Step<Item> {
		this.#isOpen = false;
		const step = this.#iterator.next();
		if (!('then' in step)) {
			this.#isOpen = step.done !== true;
			return step;
		}
		this.#isOpen = true;
		const closed = () => {
			this.#isOpen = false;
		};
		step.then(({done}) => done && closed(), closed);
		return step;
	}

	/** Ends the iterator early, also while its next item is awaited. */
	async end(): Promise<void> {
		if (!this.#isOpen) return;
		this.#isOpen = false;
		await this.#iterator.return?.();
	}
}

/** True if the promise settles before the event loop's next turn. */
export async function isSoon(step: Promise<unknown>): Promise<boolean> {
	const settled = step.then(
		() => true,
		() => true,
	);
	return Promise.race([settled, nextTurn(false)]);
}
