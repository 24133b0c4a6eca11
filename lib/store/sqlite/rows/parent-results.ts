import {joinValues} from '../../../job/groups/cut-and-join.ts';
import {type ClaimedGroup, type Ids, idAt, type ParentEnd, type ParentResults, sizeOf} from '../../../job/groups/group.ts';
import {pack, type Values} from '../../../job/groups/packed.ts';
import type {JobId} from '../../../job/job.ts';
import {readFailure} from '../../stored-json.ts';
import {hasEnded, STATUS_OF, StoredState} from '../../stored-state.ts';
import {edgesTo} from './edges.ts';
import {resultsOfRun} from './outcome-runs.ts';
import {findJob} from './packed-rows.ts';
import type {Range} from './run-range.ts';
import type {Tx} from './tx.ts';
import {forgetUsed, keepUsed, OPEN} from './used-results.ts';

/** The group, with what became of its jobs' parents, if they have some. */
export function withParents(tx: Tx, group: ClaimedGroup): ClaimedGroup {
	if (!tx.facts.get('hasEdges')) return group;
	const parents = rangesOf(group.ids, sizeOf(group)).flatMap(([start, jobs]) => {
		forgetUsed(tx, jobs);
		return edgesTo(tx.statements, jobs).flatMap(({parents, children, isEach}) => {
			// The end of a flow's input has no result.
			if (parents[0] < 0) return [];
			const from = start + children[0] - jobs[0];
			const results = readResults(tx, parents);
			const open = [...(results.others ?? [])].flatMap(([at, {status}]) => (status === 'open' ? at : []));
			for (const at of open) keepUsed(tx, parents[0] + at, isEach ? [children[0] + at, children[0] + at] : children, OPEN);
			return {start: from, end: from + children[1] - children[0] + 1, isEach, ...results};
		});
	});
	return parents.length > 0 ? {...group, parents} : group;
}

/**
 * The sizes of the results that each of these jobs gets, in bytes; `undefined` if all are small. A result that several get counts for the first, since
 * it travels once.
 */
export function sizesOfResults({statements}: Tx, jobs: Range): readonly number[] | undefined {
	let sizes: number[] | undefined;
	for (const {parents, children, isEach} of edgesTo(statements, jobs)) {
		for (const [id, bytes] of statements.resultSizes.iterate(...parents) as IterableIterator<[JobId, number]>) {
			sizes ??= new Array<number>(jobs[1] - jobs[0] + 1).fill(0);
			const index = children[0] - jobs[0] + (isEach ? id - parents[0] : 0);
			sizes[index] = (sizes[index] as number) + bytes;
		}
	}
	return sizes;
}

/** The ranges of consecutive ids, each with the index of its first job. */
export function rangesOf(ids: Ids, count: number): [start: number, jobs: Range][] {
	const ranges: [start: number, jobs: Range][] = [];
	for (let start = 0; start < count; ) {
		const first = idAt(ids, start);
		let end = typeof ids === 'number' ? count : start + 1;
		while (end < count && idAt(ids, end) === first + end - start) end++;
		ranges.push([start, [first, first + end - start - 1]]);
		start = end;
	}
	return ranges;
}

function readResults(tx: Tx, [first, last]: Range): Pick<ParentResults, 'first' | 'values' | 'others'> {
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
