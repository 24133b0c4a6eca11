import type {JobId, Staleness} from '../../job/job.ts';
import {type Edge, edgesFrom, edgesTo, statesIn} from './edges.ts';
import type {Range} from './packed-rows.ts';
import {rangesOf} from './parent-results.ts';
import type {Statements} from './statements.sql.ts';

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
	const {ranges, edges} = ids ? ancestryOf(statements, ids) : descentOf(statements, statements.staleRanges.all() as Range[]);
	for (const [first, last] of ranges) for (const stale of statements.staleRangesIn.all({first, last}) as Range[]) add(stale, 'direct');
	// Parents come before children as a rule, so that a second pass finds no more.
	for (let before = -1; before < found.size; ) {
		before = found.size;
		for (const edge of edges) for (const children of staleChildren(edge, found)) add(children, 'through');
	}
	return found;
}

interface Reached {
	readonly ranges: readonly Range[];
	readonly edges: readonly Edge[];
}

/** These jobs, and all for which they have waited. */
function ancestryOf(statements: Statements, ids: readonly JobId[]): Reached {
	const sorted = ids.toSorted((a, b) => a - b);
	const start = rangesOf(sorted, sorted.length).map(([, range]) => range);
	const {ranges, edges} = reach(start, 'parents', range => edgesTo(statements, range));
	return {ranges, edges: edges.toReversed()};
}

function descentOf(statements: Statements, start: readonly Range[]): Reached {
	return reach(start, 'children', range => edgesFrom(statements, range));
}

function reach(start: readonly Range[], side: 'parents' | 'children', edgesOf: (range: Range) => readonly Edge[]): Reached {
	const reached = new Map(start.map(range => [`${range}`, range]));
	const edges: Edge[] = [];
	// Those that are added are visited, too.
	for (const range of reached.values()) {
		for (const edge of edgesOf(range)) {
			edges.push(edge);
			reached.set(`${edge[side]}`, edge[side]);
		}
	}
	return {ranges: [...reached.values()], edges};
}

function* staleChildren({parents: [first, last], children, isEach}: Edge, stale: ReadonlyMap<JobId, Staleness>): Generator<Range> {
	const shift = children[0] - first;
	for (let id = first; id <= last; id++) {
		if (!stale.has(id)) continue;
		yield isEach ? [id + shift, id + shift] : children;
		if (!isEach) return;
	}
}
