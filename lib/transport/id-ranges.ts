import {MAX_GROUP_JOBS} from '../job/groups/group.ts';
import type {JobId} from '../job/job.ts';
import type {IdRange} from './messages.ts';

export interface OwnedRange<Owner> extends IdRange {
	readonly owner: Owner;
}

/** Ranges of job ids that are watched, each with its owner. They may overlap, since several owners can watch a job. */
export class IdRanges<Owner> {
	/** By their first ids. */
	readonly #ranges: OwnedRange<Owner>[] = [];
	/** The number of ids; an id that has several owners counts for each. */
	size = 0;

	/** Adds a range of at most {@link MAX_GROUP_JOBS} ids. */
	add(first: JobId, last: JobId, owner: Owner): void {
		this.#ranges.splice(this.#indexFrom(first), 0, {first, last, owner});
		this.size += last - first + 1;
	}

	has(id: JobId): boolean {
		for (let index = this.#indexReaching(id); index < this.#ranges.length; index++) {
			const range = this.#ranges[index] as OwnedRange<Owner>;
			if (range.first > id) return false;
			if (range.last >= id) return true;
		}
		return false;
	}

	/** The parts of ranges that have these ids. */
	within(first: JobId, last: JobId): OwnedRange<Owner>[] {
		const parts: OwnedRange<Owner>[] = [];
		if (this.size === 0) return parts;
		for (let index = this.#indexReaching(first); index < this.#ranges.length; index++) {
			const range = this.#ranges[index] as OwnedRange<Owner>;
			if (range.first > last) break;
			if (range.last >= first) parts.push({...range, first: Math.max(first, range.first), last: Math.min(last, range.last)});
		}
		return parts;
	}

	/** True if each of these ids is watched. */
	covers(first: JobId, last: JobId): boolean {
		let next = first;
		for (const part of this.within(first, last)) if (part.first <= next) next = Math.max(next, part.last + 1);
		return next > last;
	}

	/** Removes these ids, of one owner or of all. Returns the parts of ranges that had them. */
	take(first: JobId, last: JobId, owner?: Owner): OwnedRange<Owner>[] {
		if (this.size === 0) return [];
		const [taken, rest]: [OwnedRange<Owner>[], OwnedRange<Owner>[]] = [[], []];
		const start = this.#indexReaching(first);
		let end = start;
		for (let range = this.#ranges[end]; range && range.first <= last; range = this.#ranges[++end]) {
			const isTaken = range.last >= first && (owner === undefined || range.owner === owner);
			if (isTaken) taken.push({...range, first: Math.max(first, range.first), last: Math.min(last, range.last)});
			if (!isTaken) rest.push(range);
			else rest.push(...restOf(range, first, last));
		}
		this.size -= taken.reduce((ids, part) => ids + part.last - part.first + 1, 0);
		if (taken.length > 0) this.#ranges.splice(start, end - start, ...rest.sort((a, b) => a.first - b.first));
		return taken;
	}

	/** Ends one watch of each of these ids, of any owner. */
	takeOnce(first: JobId, last: JobId): void {
		const parts = this.take(first, last);
		let next = first;
		for (const {first: from, last: to, owner} of parts) {
			if (from < next) this.add(from, Math.min(to, next - 1), owner);
			next = Math.max(next, to + 1);
		}
	}

	[Symbol.iterator](): Iterator<OwnedRange<Owner>> {
		return this.#ranges.values();
	}

	clear(): void {
		this.#ranges.length = 0;
		this.size = 0;
	}

	/** The index of the first range that may have this id. */
	#indexReaching(id: JobId): number {
		return this.#indexFrom(id - MAX_GROUP_JOBS + 1);
	}

	/** The index of the first range that begins with this id or a later one. */
	#indexFrom(id: JobId): number {
		let [low, high] = [0, this.#ranges.length];
		while (low < high) {
			const middle = (low + high) >> 1;
			if ((this.#ranges[middle] as OwnedRange<Owner>).first < id) low = middle + 1;
			else high = middle;
		}
		return low;
	}
}

function restOf<Owner>(range: OwnedRange<Owner>, first: JobId, last: JobId): OwnedRange<Owner>[] {
	const before = range.first < first ? [{...range, last: first - 1}] : [];
	return last < range.last ? [...before, {...range, first: last + 1}] : before;
}
