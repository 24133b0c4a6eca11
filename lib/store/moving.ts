import type {JobFilter, JobStatus} from '../job/job.ts';
import type {Moved, MovePage, MoveTarget, Store} from './store.ts';

/** Jobs in these statuses get a new round if the filter names no status. */
export const RETRIED_BY_DEFAULT: readonly JobStatus[] = ['failed', 'dead', 'cancelled'];

const UNENDED: readonly JobStatus[] = ['pending', 'running', 'failed'];

/** The statuses in which `move` takes jobs of the filter. */
export function movableStatuses(to: MoveTarget, {status, ids}: JobFilter): readonly JobStatus[] {
	const named = status === undefined ? undefined : [status].flat();
	const isCompletedMeant = named?.includes('completed') ?? ids !== undefined;
	const movable = to !== 'pending' ? UNENDED : isCompletedMeant ? [...RETRIED_BY_DEFAULT, 'completed' as const] : RETRIED_BY_DEFAULT;
	return named ? movable.filter(each => named.includes(each)) : movable;
}

/** The most ids of a filter for one call of `move`, since each page looks through all ids of its filter. */
const MAX_PART_IDS = 1000;

/** One page of the jobs that {@link movePages} moves. */
export interface MovedPage extends Omit<Moved, 'next'> {
	readonly isLast: boolean;
}

/** Moves all jobs of the filter, and yields each page once it is moved. The store can do other work between two pages. */
export async function* movePages(
	store: Pick<Store, 'move'>,
	filter: JobFilter,
	to: MoveTarget,
	options: Pick<MovePage, 'stop'> = {},
): AsyncGenerator<MovedPage, void, undefined> {
	const parts = splitFilter(filter);
	for (const [index, part] of parts.entries()) {
		for (let page: MovePage | null = options; page; ) {
			const {next, ...moved}: Moved = await store.move(part, to, page);
			yield {...moved, isLast: next === null && index === parts.length - 1};
			page = next;
		}
	}
}

/** Splits a filter with many ids, the lowest ids last: jobs run in order of arrival, so these are the most likely to start in the meantime. */
function splitFilter(filter: JobFilter): JobFilter[] {
	const ids = filter.ids && Float64Array.from(new Set(filter.ids)).sort();
	if (!ids || ids.length <= MAX_PART_IDS) return [filter];
	const parts = Math.ceil(ids.length / MAX_PART_IDS);
	return Array.from({length: parts}, (_, part) => ({...filter, ids: [...ids.subarray(part * MAX_PART_IDS, (part + 1) * MAX_PART_IDS)]})).reverse();
}
