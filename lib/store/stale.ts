import type {JobFilter, JobId, Place} from '../job/job.ts';
import type {JobEdges, Store, StoredJob} from './store.ts';

const PAGE_JOBS = 1000;

/**
 * The stale jobs of the filter, those through which they are stale, and those that are stale through them. They are found before the first of them runs
 * again, since then what follows is stale no longer.
 */
export async function staleJobsOf(store: Store, filter: JobFilter): Promise<JobId[]> {
	const edges = new Map((await readAll(store, {stale: true})).map(job => [job.id, job.edges]));
	const named = Object.keys(filter).length > 1 ? (await readAll(store, {...filter, stale: true})).map(({id}) => id) : edges.keys();
	const reached = (side: keyof JobEdges, found: Set<JobId>) => {
		// Those that are added are visited, too.
		for (const each of found)
			for (const [first, last] of edges.get(each)?.[side] ?? []) for (let id = first; id <= last; id++) if (edges.has(id)) found.add(id);
		return found;
	};
	const all = [...named];
	return [...reached('parents', new Set(all)).union(reached('children', new Set(all)))];
}

async function readAll(store: Store, filter: JobFilter): Promise<StoredJob[]> {
	const all: StoredJob[] = [];
	for (let after: Place | null | undefined; after !== null; ) {
		const {jobs, next}: Awaited<ReturnType<Store['jobs']>> = await store.jobs(filter, {after, limit: PAGE_JOBS}, {edges: true});
		all.push(...jobs);
		after = next;
	}
	return all;
}
