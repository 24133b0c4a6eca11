import type {Verdict} from '../../freshness/messages.ts';
import type {ExecutionFacts, Timing} from '../../job/claim.ts';
import type {Encoded} from '../../job/encoding.ts';
import {type Ids, idAt} from '../../job/groups/group.ts';
import type {JobId, Staleness} from '../../job/job.ts';
import {type Executions, executionAt, type UnpackedJobs} from '../../transport/client.ts';
import type {Notice} from '../../transport/messages.ts';
import {type JobOutcome, toOutcome} from '../job-handle.ts';
import type {Held, HeldResults} from './held-results.ts';
import type {MapPlan} from './map-options.ts';

/** How an item's job ended. @example const print = (item: MapResult<string, number>) => console.log(item.item, item.status); */
export type MapResult<Item, Result> = {
	/** Index in the input, from 0. */
	readonly index: number;
	/** It names the item in its batch. Default: its index, as a text. */
	readonly key: string;
	/** As the input gave it. */
	readonly item: Item;
	/** Its job. */
	readonly jobId: JobId;
	/** @internal Of a pipe: the ids of its jobs in each stage before the last one. */
	readonly earlier?: readonly (readonly JobId[])[];
	/** True if the job had ended before this map began; without a batch, before the map enqueued the item. Nothing was executed for it. */
	readonly reused: boolean;
	/** Of the execution that ended the job, if that was in this map; as far as they are known. */
	readonly execution?: Timing & {
		/** Its number, from 1. */
		readonly number: number;
	};
} & JobOutcome<Result>;

const State = {open: 0, completed: 1, ended: 2, dropped: 3} as const;

/** Items of a map that are enqueued together, and how their jobs ended. An item is named by its offset in the group. */
export class ItemGroup<Item> {
	/** The number of items that were sent before. */
	readonly start: number;
	/** An item is released once it was yielded. */
	readonly items: (Item | undefined)[];
	/** `undefined` if the items have their indexes as keys. */
	readonly keys: readonly string[] | undefined;
	/** The index of each item in the input, if they are in another order. */
	readonly #indexes: readonly number[] | undefined;
	/** The ids of the jobs, once they are enqueued. */
	ids: Ids = [];
	/** Of a pipe: the ids of the jobs of each stage before the last one, with the number that an item has. */
	earlier: readonly {readonly ids: Ids; readonly count: number; readonly perItem: number}[] = [];
	/** What was known of the items before they were enqueued. */
	checked: {readonly verdicts: readonly Verdict[]; readonly payloads: Encoded[]} | undefined;
	/** Offsets of items whose jobs existed. */
	existing: ReadonlySet<number> = new Set();
	/** Offsets of items whose jobs an earlier map had left unfinished. */
	readonly unfinished = new Set<number>();
	/** The number of items whose jobs have not ended. */
	open: number;
	readonly #states: Uint8Array;
	/** Items that have completed together, and their jobs from the index `start` on. */
	readonly #completed: {readonly from: number; readonly to: number; readonly start: number; readonly jobs: Executions}[] = [];
	/** Of items that ended one by one. `isReused`: the job had ended before this map began. */
	readonly #singles = new Map<number, {readonly isReused: boolean; readonly stale: Staleness | undefined; readonly execution: ExecutionFacts | undefined}>();
	/** The result of each job that completed, the notice of each that ended otherwise, until it is read. */
	readonly #ends: (Held | Notice)[];
	readonly #held: HeldResults;

	/** @param indexes of the items in the input, if they are in another order. */
	constructor({keyOf}: Pick<MapPlan<Item>, 'keyOf'>, start: number, items: Item[], held: HeldResults, indexes?: readonly number[]) {
		this.start = start;
		this.items = items;
		this.#indexes = indexes;
		this.#held = held;
		this.keys = keyOf && items.map((item, offset) => keyOf(item, this.indexAt(offset)));
		this.open = items.length;
		this.#states = new Uint8Array(items.length);
		this.#ends = new Array<Encoded>(items.length).fill(null);
	}

	get size(): number {
		return this.items.length;
	}

	/** The index of an item in the input. */
	indexAt(offset: number): number {
		return this.#indexes ? (this.#indexes[offset] as number) : this.start + offset;
	}

	keyAt(offset: number): string {
		return this.keys ? (this.keys[offset] as string) : `${this.indexAt(offset)}`;
	}

	/** True if the item's job had ended before this map, and its payload has changed: the check before did not know that. */
	hasOtherPayload(offset: number): boolean {
		return !this.unfinished.has(offset) && this.checked?.verdicts[offset]?.reason === null;
	}

	/** True if the check before found a reason to run the item. */
	wasToRun(offset: number): boolean {
		return typeof this.checked?.verdicts[offset]?.reason === 'string';
	}

	/** The items from an offset on have completed: their jobs are those from index `start` up to `end`. */
	complete(from: number, {results, executions, times}: UnpackedJobs, start: number, end: number): void {
		this.open -= end - start;
		for (let index = start; index < end; index++) {
			const offset = from + index - start;
			this.#states[offset] = State.completed;
			this.#ends[offset] = this.#held.keep(results[index] as Encoded);
		}
		this.#completed.push({from, to: from + end - start, start, jobs: {executions, times}});
	}

	end(offset: number, notice: Notice, isReused: boolean): void {
		const isCompleted = notice.status === 'completed';
		this.#singles.set(offset, {isReused, stale: notice.stale, execution: notice.execution});
		this.open--;
		this.#states[offset] = isCompleted ? State.completed : State.ended;
		this.#ends[offset] = isCompleted ? this.#held.keep(notice.result) : notice;
	}

	/** Releases what is held of an item that was yielded, or will not be. */
	#release(offset: number): void {
		this.items[offset] = undefined;
		this.#ends[offset] = null;
		if (this.checked) this.checked.payloads[offset] = null;
	}

	/** The map waits for this item's job no longer, and will not yield it. */
	drop(offset: number): void {
		if (this.isOpen(offset)) this.open--;
		this.#states[offset] = State.dropped;
		this.#release(offset);
	}

	isOpen(offset: number): boolean {
		return this.#states[offset] === State.open;
	}

	/** The ids of an item's jobs in a stage of a pipe before the last one. */
	earlierIdsAt(stage: number, offset: number): JobId[] {
		const {ids, count, perItem} = this.earlier[stage] as (typeof this.earlier)[number];
		const first = offset * perItem;
		return Array.from({length: Math.min(perItem, count - first)}, (_, index) => idAt(ids, first + index));
	}

	/** The error of a job that is dead or was cancelled. */
	errorAt(offset: number): Error | undefined {
		if (this.#states[offset] !== State.ended) return undefined;
		const outcome = toOutcome(this.#ends[offset] as Notice);
		return 'error' in outcome ? outcome.error : undefined;
	}

	/** The execution that ended the item's job; `undefined` if it was not in this map, or there was none. */
	executionAt(offset: number): ExecutionFacts | undefined {
		const single = this.#singles.get(offset);
		if (single) return single.execution;
		const part = this.#completed.find(({from, to}) => offset >= from && offset < to);
		return part && executionAt(part.jobs, part.start + offset - part.from);
	}

	/** What is yielded for an item whose job has ended. It is read once: the group may wait long for its last job. @throws FaenaError */
	resultAt<Result>(offset: number, read: (result: Encoded) => Result): MapResult<Item, Result> {
		const {isReused: reused = false, stale} = this.#singles.get(offset) ?? {};
		const about = {index: this.indexAt(offset), key: this.keyAt(offset), item: this.items[offset] as Item, jobId: idAt(this.ids, offset), reused};
		const end = this.#ends[offset];
		const execution = this.executionAt(offset);
		this.#release(offset);
		if (execution) Object.assign(about, {execution});
		if (this.earlier.length > 0) Object.assign(about, {earlier: this.earlier.map((_, stage) => this.earlierIdsAt(stage, offset))});
		if (this.#states[offset] === State.completed) {
			return {...about, status: 'completed', result: read(this.#held.take(end as Held)), ...(stale && {stale})};
		}
		return {...about, ...(toOutcome(end as Notice) as Exclude<JobOutcome<Result>, {status: 'completed'}>)};
	}
}
