import {listRanges} from '../job/groups/group.ts';
import type {JobId} from '../job/job.ts';
import type {JobFilter, MoveTarget, Place} from '../job/search.ts';
import type {JobEdges} from './found-jobs.ts';
import type {Moved, MovePage, Store} from './store.ts';

/** Reads one page after the other. */
export async function allPages<Each extends {readonly next: Place | null}>(read: (after: number) => Promise<Each>): Promise<Each[]> {
	const pages: Each[] = [];
	for (let after: Place | null = 0; after !== null; after = pages.at(-1)?.next ?? null) pages.push(await read(after as number));
	return pages;
}

/** The most ids of a filter for one call of `move`, since each page looks through all ids of its filter. */
const MAX_PART_IDS = 1000;

/** One page of the jobs that {@link movePages} moves. */
export interface MovedPage extends Omit<Moved, 'next'> {
	readonly isLast: boolean;
}

/** Moves all jobs of the filter, and yields each page once it is moved. The store can do other work between two pages. */
export async function* movePages(store: Store, filter: JobFilter, to: MoveTarget, options: MovePage = {}): AsyncGenerator<MovedPage, void> {
	const isStale = filter.stale === true && to === 'pending';
	const parts = isStale ? splitFilter({ids: await staleJobsOf(store, filter)}).reverse() : splitFilter(filter);
	for (const part of parts) {
		for (let page: MovePage | null = options; page; ) {
			const {next, ...moved}: Moved = await store.move(part, to, page);
			yield {...moved, isLast: next === null && part === parts.at(-1)};
			page = next;
		}
	}
}

/** Moves all jobs of the filter. `asked`: running jobs, whose owners were asked to stop them. */
export async function moveAll(store: Store, filter: JobFilter, to: MoveTarget, options?: MovePage): Promise<Pick<Moved, 'ids' | 'asked'>> {
	const all = {ids: [] as JobId[], asked: [] as JobId[]};
	for await (const {ids, asked} of movePages(store, filter, to, options)) {
		all.ids.push(...ids);
		all.asked.push(...asked);
	}
	return all;
}

/**
 * The stale jobs of the filter, those through which they are stale, and those that are stale through them; without those that can't be brought up to date,
 * since a job was deleted. They are found before the first of them runs again, since then what follows is stale no longer.
 */
async function staleJobsOf(store: Store, filter: JobFilter): Promise<JobId[]> {
	const find = async (all: JobFilter) => (await allPages(after => store.jobs(all, {after: after || undefined}, {edges: true}))).flatMap(({jobs}) => jobs);
	const edges = new Map((await find({stale: true})).map(job => [job.id, job.edges]));
	const named = Object.keys(filter).length > 1 ? (await find({...filter, stale: true})).map(({id}) => id) : edges.keys();
	const reached = (side: keyof JobEdges, found: Set<JobId>) => {
		// Those that are added are visited, too.
		for (const each of found)
			for (const [first, last] of edges.get(each)?.[side] ?? []) for (let id = first; id <= last; id++) if (edges.has(id)) found.add(id);
		return found;
	};
	const all = [...named];
	const meant = reached('parents', new Set(all)).union(reached('children', new Set(all)));
	// One that has lost a parent can't run again, so that those that were made from its result would be stale again.
	const stuck = new Set<JobId>();
	for (const siblings of Map.groupBy(edges, ([, its]) => JSON.stringify(its?.parents)).values()) {
		const [[, its] = []] = siblings;
		if (its && (await isOneMissing(store, its.parents))) for (const [id] of siblings) stuck.add(id);
	}
	return [...meant.difference(reached('children', stuck))];
}

async function isOneMissing(store: Store, ranges: JobEdges['parents']): Promise<boolean> {
	const ids = listRanges(ranges);
	const found = await allPages(after => store.jobs({ids}, {after: after || undefined}, {count: true}));
	return found.reduce((jobs, {count = 0}) => jobs + count, 0) < ids.length;
}

/** Splits a filter with many ids, the lowest ids last: jobs run in order of arrival, so these are the most likely to start in the meantime. */
function splitFilter(filter: JobFilter): JobFilter[] {
	const ids = filter.ids && [...new Set(filter.ids)].sort((a, b) => a - b);
	if (!ids || ids.length <= MAX_PART_IDS) return [filter];
	const parts = Math.ceil(ids.length / MAX_PART_IDS);
	return Array.from({length: parts}, (_, part) => ({...filter, ids: ids.slice(part * MAX_PART_IDS, (part + 1) * MAX_PART_IDS)})).reverse();
}
