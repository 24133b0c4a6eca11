import type {JobId} from './job.ts';

const IDS_PER_PAGE = 4096;

/** A set of job ids as pages of bits: ten million ids that lie close together take little more than a megabyte. */
export class IdSet {
	readonly #pages = new Map<number, Uint8Array>();

	add(id: JobId): void {
		const page = Math.floor(id / IDS_PER_PAGE);
		const bits = this.#pages.get(page) ?? new Uint8Array(IDS_PER_PAGE / 8);
		this.#pages.set(page, bits);
		const bit = id % IDS_PER_PAGE;
		bits[bit >> 3] = (bits[bit >> 3] as number) | (1 << (bit & 7));
	}

	has(id: JobId): boolean {
		const bit = id % IDS_PER_PAGE;
		const byte = this.#pages.get(Math.floor(id / IDS_PER_PAGE))?.[bit >> 3] ?? 0;
		return (byte & (1 << (bit & 7))) !== 0;
	}
}
