import type {JobId} from '../job/job.ts';

const IDS_PER_PAGE = 4096;

/** A set of job ids as pages of bits: ten million ids that lie close together take little more than a megabyte. */
export class IdSet {
	readonly #pages = new Map<number, Uint8Array>();
	#size = 0;

	get size(): number {
		return this.#size;
	}

	add(id: JobId): void {
		if (this.has(id)) return;
		const page = Math.floor(id / IDS_PER_PAGE);
		const bits = this.#pages.get(page) ?? new Uint8Array(IDS_PER_PAGE / 8);
		this.#pages.set(page, bits);
		this.#flip(bits, id);
		this.#size++;
	}

	/** Returns false if the set does not have the id. */
	delete(id: JobId): boolean {
		if (!this.has(id)) return false;
		this.#flip(this.#pages.get(Math.floor(id / IDS_PER_PAGE)) as Uint8Array, id);
		this.#size--;
		return true;
	}

	has(id: JobId): boolean {
		const bit = id % IDS_PER_PAGE;
		const byte = this.#pages.get(Math.floor(id / IDS_PER_PAGE))?.[bit >> 3] ?? 0;
		return (byte & (1 << (bit & 7))) !== 0;
	}

	/** The ids, at most {@link IDS_PER_PAGE} at a time. */
	*pages(): Generator<JobId[]> {
		for (const page of this.#pages.keys()) {
			const first = page * IDS_PER_PAGE;
			const ids = Array.from({length: IDS_PER_PAGE}, (_, index) => first + index).filter(id => this.has(id));
			if (ids.length > 0) yield ids;
		}
	}

	#flip(bits: Uint8Array, id: JobId): void {
		const bit = id % IDS_PER_PAGE;
		bits[bit >> 3] = (bits[bit >> 3] as number) ^ (1 << (bit & 7));
	}
}
