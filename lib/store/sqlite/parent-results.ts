import {type ClaimedGroup, idAt, joinValues, type ParentEnd, type ParentResults, sizeOf} from '../../job/group.ts';
import type {JobId} from '../../job/job.ts';
import {pack, type Values} from '../../job/packed.ts';
import {readFailure} from '../stored-json.ts';
import {type Edge, edgesTo} from './edges.ts';
import {findJob, type Range, resultsOfRun} from './packed-rows.ts';
import {hasEnded, STATUS_OF, StoredState} from './schema.sql.ts';
import type {Tx} from './tx.ts';

/** The group, with what became of its jobs' parents, if they have some. Jobs with the same parents share an object. */
export function withParents(tx: Tx, group: ClaimedGroup): ClaimedGroup {
	if (!tx.known.get('hasEdges')) return group;
	const [first, last] = [idAt(group.ids, 0), idAt(group.ids, sizeOf(group) - 1)];
	const edges = edgesTo(tx.statements, [Math.min(first, last), Math.max(first, last)]);
	if (edges.length === 0) return group;
	const known = new Map<string, ParentResults>();
	const read = (parents: Range): ParentResults => {
		const name = parents.join();
		const results = known.get(name) ?? readResults(tx, parents);
		known.set(name, results);
		return results;
	};
	const found = new Map<number, readonly ParentResults[]>();
	for (let index = 0; index < sizeOf(group); index++) {
		const own = edges.flatMap(edge => parentsIn(edge, idAt(group.ids, index)));
		if (own.length > 0) found.set(index, own.map(read));
	}
	return {...group, parents: found};
}

/** The parents of this job by the edge. */
function parentsIn({parents, children, isEach}: Edge, child: JobId): Range[] {
	if (child < children[0] || child > children[1]) return [];
	const parent = parents[0] + child - children[0];
	return [isEach ? [parent, parent] : parents];
}

function readResults(tx: Tx, [first, last]: Range): ParentResults {
	const parts: Values[] = [];
	const others = new Map<number, ParentEnd>();
	for (let id = first; id <= last; ) {
		const run = resultsOfRun(tx.statements, id, last);
		if (run) {
			parts.push(run);
			id += run.count;
			continue;
		}
		const end = readEnd(tx, id);
		if ('status' in end) others.set(id - first, end);
		parts.push(pack(['value' in end ? end.value : null]));
		id++;
	}
	return {first, values: joinValues(parts), ...(others.size > 0 && {others})};
}

function readEnd({statements, blobs}: Tx, id: JobId): ParentEnd | {readonly value: ReturnType<Tx['blobs']['load']>} {
	const job = findJob(statements, id);
	if (!job) return {status: 'missing'};
	if (!hasEnded(job.state)) return {status: 'open'};
	const [, value, blob, failure] = statements.jobEnd.get(id) as [StoredState, Parameters<Tx['blobs']['load']>[0][0], string | null, string | null];
	if (job.state === StoredState.completed) return {value: blobs.load([value, blob])};
	return {status: STATUS_OF[job.state] as 'dead' | 'cancelled', ...(failure !== null && {error: readFailure(failure)})};
}
