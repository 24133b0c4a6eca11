import {WakeUp} from '../support/wake-up.ts';
import type {MapJobs} from './map-jobs.ts';
import {isSoon, type MapSource, type Step} from './map-source.ts';

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
