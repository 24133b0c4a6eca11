import type {Encoded} from '../../job/encoding.ts';
import {MAX_GROUP_JOBS} from '../../job/groups/group.ts';
import {MANY_BYTES, MAX_GROUPS_UNDER_WAY} from '../../job/groups/portion.ts';
import {WakeUp} from '../../support/clock.ts';
import type {MapJobs} from './map-jobs.ts';
import type {MapPlan} from './map-options.ts';
import {firstPayloads} from './pipe-groups.ts';
import {openSource, type Source} from './source.ts';
import type {Window} from './window.ts';

/** The map, as its feeder sees it. */
interface FedMap<Item> {
	readonly plan: MapPlan<Item>;
	readonly jobs: MapJobs<Item>;
	readonly window: Window<Item>;
	/** False once the map was left, cancelled or halted, or has failed. Each may happen during an await. */
	goesOn(): boolean;
	failed(error: unknown): void;
}

/** Reads the input while the window has room, and has it enqueued in groups. It sends a group early if the next item is not there yet. */
export class Feeder<Item> {
	readonly #map: FedMap<Item>;
	readonly #items: Iterable<Item> | AsyncIterable<Item>;
	#source: Source<Item>;
	#step: ReturnType<Source<Item>['next']> | undefined;
	readonly #wakeUp = new WakeUp();
	/** The indexes of all items, the longest first, if they are known. */
	#longestFirst: readonly number[] | undefined;
	/** Items that were read and not sent, and the payloads of their jobs. */
	#unsent: Item[] = [];
	#payloads: Encoded[] = [];
	#unsentBytes = 0;
	/** True if the unsent items are sent in this turn of the event loop. */
	#willSend = false;

	constructor(items: Iterable<Item> | AsyncIterable<Item>, map: FedMap<Item>) {
		this.#items = items;
		this.#source = openSource(items);
		this.#map = map;
	}

	/** There may be room for another group, or the map does not go on. */
	wake(): void {
		this.#wakeUp.set();
	}

	/** Ends the source early. */
	end(): Promise<void> {
		return this.#source.end();
	}

	/** Asks for the first item. Only from then on does the source listen to a stream, which may fail at any time. */
	begin(): void {
		this.#orderItems();
		this.#step = this.#source.next();
	}

	/** Reads and sends to the end of the input; or until the map does not go on. */
	async run(): Promise<void> {
		let step = this.#step as ReturnType<Source<Item>['next']>;
		while (this.#map.goesOn()) {
			if ('then' in step) {
				this.#sendSoon();
				step = await step;
			}
			if (step.done) return this.#sendGroup();
			this.#add(step.value);
			if (this.#isFull || this.#map.window.room <= 0) {
				this.#sendGroup();
				await this.#hasRoom();
			}
			if (this.#map.goesOn()) step = this.#source.next();
		}
	}

	/** @throws FaenaError `NotEncodable`, `TooLarge`, and errors of the function `payload` */
	#add(item: Item): void {
		const {plan, window} = this.#map;
		const index = this.#longestFirst ? (this.#longestFirst[window.read] as number) : window.read;
		this.#unsent.push(item);
		const before = this.#payloads.length;
		if (plan.pipe) this.#payloads.push(...firstPayloads(plan.pipe, item));
		else this.#payloads.push(plan.encode(item, index));
		let bytes = 0;
		for (let at = before; at < this.#payloads.length; at++) bytes += this.#payloads[at]?.length ?? 0;
		this.#unsentBytes += bytes;
		window.add(index, bytes);
	}

	/** What was read is sent: it is a group. */
	get #isFull(): boolean {
		return this.#unsent.length >= this.#groupSize || this.#unsentBytes >= MANY_BYTES;
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
		const {weightOf, order} = this.#map.plan;
		if (!weightOf || order === 'input' || !Array.isArray(this.#items)) return;
		const items: readonly Item[] = this.#items;
		const indexes = longestFirst(items, weightOf, 0);
		this.#longestFirst = indexes;
		this.#source = openSource(indexes.map(index => items[index] as Item));
	}

	/** With weights, as many items as possible are gathered and ordered. */
	get #groupSize(): number {
		const {pipe, weightOf} = this.#map.plan;
		// A group of a pipe has at most so many jobs in its first stage.
		if (pipe) return Math.max(1, Math.floor(MAX_GROUP_JOBS / (pipe.stages[0]?.jobs ?? 1)));
		return weightOf && !this.#longestFirst ? Infinity : this.#map.jobs.groupSize;
	}

	#sendGroup(): void {
		const [items, payloads] = [this.#unsent, this.#payloads];
		[this.#unsent, this.#payloads, this.#unsentBytes] = [[], [], 0];
		const {plan, jobs} = this.#map;
		try {
			if (items.length === 0 || !this.#map.goesOn()) return;
			if (plan.pipe) return void jobs.enqueue(items, payloads);
			const start = jobs.sent;
			const known = this.#longestFirst?.slice(start, start + items.length);
			const indexes = known ?? (plan.weightOf && longestFirst(items, plan.weightOf, start));
			const inOrder = <Each>(those: Each[]) => (indexes && !known ? indexes.map(index => those[index - start] as Each) : those);
			const [sorted, theirs] = [inOrder(items), inOrder(payloads)];
			const size = jobs.groupSize;
			for (let from = 0; from < items.length && this.#map.goesOn(); from += size)
				jobs.enqueue(sorted.slice(from, from + size), theirs.slice(from, from + size), indexes?.slice(from, from + size));
		} catch (error) {
			// Not thrown: the source can be told to end only after its next item, for which the loop may be waiting.
			this.#map.failed(error);
		}
	}

	/** Resolves once another group may be gathered, or the map does not go on. */
	async #hasRoom(): Promise<void> {
		const {jobs, window} = this.#map;
		const least = window.room > 0 ? 1 : window.minRoom;
		while (this.#map.goesOn() && (window.room < least || jobs.unanswered.size >= MAX_GROUPS_UNDER_WAY)) await this.#wakeUp.wait(Infinity);
	}
}

/** The indexes of items, from `start` on, by their weights; equal ones in order of the input. */
function longestFirst<Item>(items: readonly Item[], weightOf: (item: Item, index: number) => number, start: number): number[] {
	const weights = items.map((item, offset) => weightOf(item, start + offset));
	const offsets = [...weights.keys()].sort((a, b) => (weights[b] as number) - (weights[a] as number) || a - b);
	return offsets.map(offset => start + offset);
}
