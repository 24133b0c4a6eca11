import type {Place} from './job.ts';

/** Reads page after page, from a place on, until the last one. */
export async function* pages<Page extends {readonly next: Place | null}>(
	read: (after: Place | undefined) => Promise<Page>,
	after?: Place,
): AsyncGenerator<Page, void, undefined> {
	for (let from: Place | null | undefined = after; from !== null; ) {
		const page = await read(from);
		yield page;
		from = page.next;
	}
}
