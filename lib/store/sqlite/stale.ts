import type {JobId, Staleness} from '../../job/job.ts';
import {edgesFrom, statesIn} from './edges.ts';
import type {Range} from './packed-rows.ts';
import type {Statements} from './statements.sql.ts';

/** The completed jobs that were made from results which are no longer the last ones, and those that were made from theirs. */
export function staleJobs(statements: Statements): ReadonlyMap<JobId, Staleness> {
	const found = new Map<JobId, Staleness>();
	let ranges = statements.staleRanges.all() as Range[];
	for (let how: Staleness = 'direct'; ranges.length > 0; how = 'through') {
		const added = ranges.flatMap(range => {
			const completed = [...statesIn({statements}, range, Infinity)].filter(([, , state]) => state === 'completed');
			return completed.filter(([first, last]) => add(found, first, last, how));
		});
		ranges = added.flatMap(([first, last]) => edgesFrom(statements, [first, last]).map(({children}) => children));
	}
	return found;
}

/** Returns whether one of these was not known. */
function add(found: Map<JobId, Staleness>, first: JobId, last: JobId, how: Staleness): boolean {
	const before = found.size;
	for (let id = first; id <= last; id++) if (!found.has(id)) found.set(id, how);
	return found.size > before;
}
