import {idAt, listIds, rangeOf} from '../../job/groups/group.ts';
import type {DispatcherClient, RangeWatcher, Watcher} from '../../transport/client.ts';
import type {IdRange, Notice} from '../../transport/messages.ts';
import type {ItemGroup} from './map-items.ts';

/** Gets the ends of watched jobs. The group has noted them before `completed` is called, and not before `ended` is. */
export interface Ends<Item> {
	/** The jobs of the items from one offset up to another have completed. */
	completed(group: ItemGroup<Item>, from: number, to: number): void;
	/** A job has ended otherwise, or before it was watched. */
	ended(group: ItemGroup<Item>, offset: number, end: Notice): void;
	failed(error: unknown): void;
}

/** The jobs of a map that are enqueued, until their ends are heard of. */
export class WatchedJobs<Item> {
	readonly #client: DispatcherClient;
	readonly #ends: Ends<Item>;
	/** Groups that have open jobs, by the watchers of their ranges. */
	readonly #groups = new Map<RangeWatcher, ItemGroup<Item>>();
	/** Open jobs that are watched one by one, since their ids are not consecutive, by their watchers. */
	readonly #singles = new Map<Watcher, {readonly group: ItemGroup<Item>; readonly offset: number}>();

	constructor(client: DispatcherClient, ends: Ends<Item>) {
		this.#client = client;
		this.#ends = ends;
	}

	watch(group: ItemGroup<Item>): void {
		const range = rangeOf(group.ids, group.size);
		if (range) this.#watchRange(group, range);
		else for (let offset = 0; offset < group.size; offset++) this.#watchOne(group, offset);
	}

	/** Stops the watch of a group whose map was left. If the call fails, the engine is closed, and watches no job. */
	unwatch({ids, size}: ItemGroup<Item>): void {
		const range = rangeOf(ids, size);
		const which = range ? {ranges: [range]} : {ids: listIds(ids, size)};
		this.#client.call({type: 'unwatch', ...which}).catch(() => undefined);
	}

	#watchRange(group: ItemGroup<Item>, range: IdRange): void {
		const watcher: RangeWatcher = {
			completed: (first, jobs, start, end) => {
				const from = first - range.first;
				group.complete(from, jobs, start, end);
				if (group.open === 0) this.#groups.delete(watcher);
				this.#ends.completed(group, from, from + end - start);
			},
			ended: end => {
				this.#ends.ended(group, end.id - range.first, end);
				if (group.open === 0) this.#groups.delete(watcher);
			},
			failed: error => this.#ends.failed(error),
		};
		this.#groups.set(watcher, group);
		this.#client.watchRange(range, watcher);
	}

	#watchOne(group: ItemGroup<Item>, offset: number): void {
		const watcher: Watcher = end => {
			this.#singles.delete(watcher);
			if ('status' in end) this.#ends.ended(group, offset, end);
			else this.#ends.failed(end);
		};
		this.#singles.set(watcher, {group, offset});
		this.#client.watch(idAt(group.ids, offset), watcher);
	}

	/** The items whose jobs have not ended. */
	*open(): Generator<readonly [group: ItemGroup<Item>, offset: number]> {
		for (const group of this.#groups.values()) for (let offset = 0; offset < group.size; offset++) if (group.isOpen(offset)) yield [group, offset];
		for (const {group, offset} of this.#singles.values()) yield [group, offset];
	}

	/** Waits no longer for jobs that existed before. Returns their number. */
	dropExisting(): number {
		let dropped = 0;
		for (const [watcher, group] of this.#groups) {
			for (const offset of group.existing) {
				if (!group.isOpen(offset)) continue;
				const id = idAt(group.ids, offset);
				this.#client.unwatchRanges(new Set([watcher]), {first: id, last: id});
				group.drop(offset);
				dropped++;
			}
		}
		for (const [watcher, {group, offset}] of this.#singles) {
			if (!group.existing.has(offset)) continue;
			this.#singles.delete(watcher);
			this.#client.unwatch(idAt(group.ids, offset), watcher);
			group.drop(offset);
			dropped++;
		}
		return dropped;
	}

	/** Waits for none of them any more. */
	leave(): void {
		this.#client.unwatchRanges(new Set(this.#groups.keys()));
		for (const [watcher, {group, offset}] of this.#singles) this.#client.unwatch(idAt(group.ids, offset), watcher);
	}
}
