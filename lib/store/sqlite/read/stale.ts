import type {JobId, Staleness} from '../../../job/job.ts';
import type {Statements} from '../connection/statements.sql.ts';
import {type Edge, reach, statesIn} from '../rows/edges.ts';
import {rangesOf} from '../rows/parent-results.ts';
import type {Range} from '../rows/run-range.ts';

/**
 * The completed jobs that were made from results which are no longer the last ones, and those that were made from theirs.
 * @param ids all of these that are stale, and some others: then it looks only at what these have waited for, however many are stale
 */
export function staleJobs(statements: Statements, ids?: readonly JobId[]): ReadonlyMap<JobId, Staleness> {
	const found = new Map<JobId, Staleness>();
	if (statements.anyStale.get() === undefined) return found;
	const add = (range: Range, how: Staleness) => {
		for (const [first, last, state] of statesIn({statements}, range, Infinity)) {
			for (let id = first; state === 'completed' && id <= last; id++) if (!found.has(id)) found.set(id, how);
		}
	};
	const {ranges, edges} = reachFrom(statements, ids);
	for (const [first, last] of ranges) for (const stale of statements.staleRangesIn.all({first, last}) as Range[]) add(stale, 'direct');
	// Parents come before children as a rule, so that a second pass finds no more.
	for (let before = -1; before < found.size; ) {
		before = found.size;
		for (const edge of edges) for (const children of staleChildren(edge, found)) add(children, 'through');
	}
	return found;
}

/** These jobs, and all for which they have waited; by default those that are stale, and all that have waited for them. */
function reachFrom(statements: Statements, ids: readonly JobId[] | undefined): ReturnType<typeof reach> {
	if (!ids) return reach(statements, statements.staleRanges.all() as Range[], 'children');
	const sorted = ids.toSorted((a, b) => a - b);
	const {ranges, edges} = reach(
		statements,
		rangesOf(sorted, sorted.length).map(([, range]) => range),
		'parents',
	);
	return {ranges, edges: edges.toReversed()};
}

function* staleChildren({parents: [first, last], children, isEach}: Edge, stale: ReadonlyMap<JobId, Staleness>): Generator<Range> {
	const shift = children[0] - first;
	for (let id = first; id <= last; id++) {
		if (!stale.has(id)) continue;
		yield isEach ? [id + shift, id + shift] : children;
		if (!isEach) return;
	}
}
