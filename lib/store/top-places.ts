import type {JobId} from '../job/job.ts';
import type {Place} from '../job/search.ts';

/** A place in a sorted list. */
export type SortedPlace = Exclude<Place, JobId>;

/** A page of a sorted list. */
export interface SortedFound {
	readonly places: readonly SortedPlace[];
	/** `null` at the end. */
	readonly next: SortedPlace | null;
}

/** The first places of those that are added, in the order of the list. */
export class TopPlaces {
	/** The last of them, once there are enough. */
	last: SortedPlace | undefined;
	readonly #from: SortedPlace | undefined;
	readonly #least: number;
	readonly #limit: number;
	#places: SortedPlace[] = [];

	/** @param from only places after this one, with at least this value */
	constructor(from: SortedPlace | undefined, least: number, limit: number) {
		this.#from = from;
		this.#least = least;
		this.#limit = limit;
	}

	add(value: number, id: JobId): void {
		if (!(value >= this.#least) || (this.#from && !isAfter(this.#from, value, id))) return;
		if (this.last && isAfter(this.last, value, id)) return;
		if (this.#places.push({value, id}) >= 2 * this.#limit + 16) this.#cut();
	}

	/** True if there are enough, all before this place. */
	isFullBefore({value, id}: SortedPlace): boolean {
		if (this.last ? this.#places.length >= 1.25 * this.#limit + 16 : this.#places.length >= this.#limit) this.#cut();
		return this.last !== undefined && isAfter(this.last, value, id);
	}

	all(): readonly SortedPlace[] {
		this.#cut();
		return this.#places;
	}

	/** @param end where the list goes on if there are not enough */
	page(end: SortedPlace | null = null): SortedFound {
		return {places: this.all(), next: this.last ?? end};
	}

	/** Leaves out what is too much. A job that moved between two pages may be there twice. */
	#cut(): void {
		const sorted = this.#places.sort((a, b) => b.value - a.value || b.id - a.id).filter((place, index, all) => place.id !== all[index - 1]?.id);
		this.#places = sorted.slice(0, this.#limit);
		if (this.#places.length === this.#limit) this.last = this.#places.at(-1);
	}
}

/** True if the one comes earlier in the list than the other. */
export function isBefore(one: SortedPlace, {value, id}: SortedPlace): boolean {
	return isAfter(one, value, id);
}

/** True if this value and id come later in the list than the place. */
function isAfter(place: SortedPlace, value: number, id: JobId): boolean {
	return place.value > value || (place.value === value && place.id > id);
}
