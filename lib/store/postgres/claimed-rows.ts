import type {BatchId} from '../../job/batch.ts';
import type {Lease} from '../../job/claim.ts';
import type {Encoded} from '../../job/encoding.ts';
import {joinClaimed, joinValues} from '../../job/groups/cut-and-join.ts';
import type {ClaimedGroup, ParentEnd, ParentResults} from '../../job/groups/group.ts';
import {type PackedStrings, pack, slicePacked, type Values} from '../../job/groups/packed.ts';
import {type JobId, MAX_SUSPICION} from '../../job/job.ts';
import {defined} from '../../support/defined.ts';
import {readFailure} from '../stored-json.ts';
import type {Named} from './number-tables.ts';

/** A row of the type `answer`: claimed jobs, from `first` to `last`, and the row of `job` that has some of them. */
export interface ClaimedRow {
	readonly info: (Details & {readonly parents?: ParentLink}) | null;
	readonly first: JobId;
	readonly last: JobId;
	readonly task: number;
	readonly rank: number;
	readonly execution: number;
	readonly policy: number;
	readonly created_at: number;
	readonly job_first: JobId;
	readonly job_last: JobId;
	readonly number: number | null;
	readonly keys: string | null;
	readonly text_value: string | null;
	readonly byte_value: Uint8Array | null;
	readonly batch: BatchId | null;
}

interface Details {
	readonly scheduled?: readonly (readonly [id: JobId, at: number])[] | null;
	readonly expiries?: readonly (readonly [id: JobId, at: number])[] | null;
	readonly failures?: readonly (readonly [id: JobId, attempts: number, crashes: number, delays: number, suspicion: number])[] | null;
	readonly checkpoints?: readonly (readonly [id: JobId, text: string | null, base64: string | null])[] | null;
}

/** What the rows don't say. */
interface ClaimContext {
	readonly lease: Lease;
	readonly named: Named;
	/** How far the server's clock is ahead of this machine's, in milliseconds. */
	readonly aheadMs: number;
}

/** The claimed jobs as groups: one for each range of jobs that share a row, and one for the single jobs between them. */
export function toClaimedGroups(rows: readonly ClaimedRow[], context: ClaimContext): ClaimedGroup[] {
	const groups: ClaimedGroup[] = [];
	let singles: ClaimedGroup[] = [];
	const flush = () => {
		if (singles.length > 0) groups.push(joinClaimed(singles));
		singles = [];
	};
	let parents: ClaimedRow[] = [];
	let isInParents = false;
	for (const row of rows) {
		// The parents' rows of a range come before its own.
		if (row.info?.parents) {
			if (!isInParents) parents = [];
			isInParents = true;
			parents.push(row);
			continue;
		}
		isInParents = false;
		const group = toGroup(row, context, parents);
		const isSingle = row.job_first === row.job_last;
		const [before] = singles;
		if (!isSingle || (before && (before.task !== group.task || before.quarantine !== group.quarantine))) flush();
		if (isSingle) singles.push(group);
		else groups.push(group);
	}
	flush();
	return groups;
}

function toGroup(row: ClaimedRow, {lease, named, aheadMs}: ClaimContext, parentRows: readonly ClaimedRow[]): ClaimedGroup {
	const {job_first, job_last} = row;
	const [first, last] = [Math.max(row.first, job_first), Math.min(row.last, job_last)];
	const {failures, checkpoints, expiries, scheduled} = row.info ?? {};
	const own = (failures ?? []).filter(([id]) => id >= first && id <= last);
	const suspicion = Math.max(0, ...own.map(([, , , , level]) => level));
	const attempts = new Map(own.flatMap(([id, charged]) => (charged > 0 ? [[id - first, charged] as const] : [])));
	const kept = new Map(
		(checkpoints ?? []).filter(([id]) => id >= first && id <= last).map(([id, text, base64]) => [id - first, text ?? fromBase64(base64)] as const),
	);
	const times = new Map((expiries ?? []).filter(([id]) => id >= first && id <= last).map(([id, at]) => [id - first, at - aheadMs] as const));
	const moments = new Map((scheduled ?? []).filter(([id]) => id >= first && id <= last).map(([id, at]) => [id - first, at] as const));
	const parents = parentsFor(parentRows, first, last);
	return {
		task: named.taskName(row.task),
		scopes: named.scopeName(row.task),
		lease,
		ids: first,
		executions: row.execution,
		createdAt: row.created_at,
		priorities: -row.rank,
		policies: named.policy(row.policy),
		batches: row.batch,
		values: valuesOf(row, first, last),
		...defined({
			quarantine: suspicion === 0 ? undefined : suspicion === MAX_SUSPICION ? ('alone' as const) : ('together' as const),
			attempts: attempts.size > 0 ? attempts : undefined,
			checkpoints: kept.size > 0 ? kept : undefined,
			scheduledAt: moments.size > 0 ? moments : undefined,
			parents: parents.length > 0 ? parents : undefined,
			expiries: times.size > 0 ? times : undefined,
			keys: keysOf(row, first, last),
		}),
	};
}

function fromBase64(text: string | null): Encoded {
	return text === null ? null : Buffer.from(text, 'base64');
}

function valuesOf({job_first, job_last, text_value, byte_value}: ClaimedRow, first: JobId, last: JobId): Values {
	if (job_first === job_last) return pack([byte_value ?? text_value]);
	return linesOf(text_value, job_first, job_last, first, last);
}

function keysOf({job_first, job_last, number, keys}: ClaimedRow, first: JobId, last: JobId): ClaimedGroup['keys'] {
	if (number !== null) return number + first - job_first;
	if (keys === null) return undefined;
	return job_first === job_last ? new Map([[0, keys]]) : linesOf(keys, job_first, job_last, first, last);
}

function linesOf(text: string | null, jobFirst: JobId, jobLast: JobId, first: JobId, last: JobId): PackedStrings {
	return slicePacked({count: jobLast - jobFirst + 1, text}, first - jobFirst, last - jobFirst + 1);
}

/** An edge to claimed jobs, and the status of those of its parents that the row is about. */
interface ParentLink {
	readonly edge: number;
	/** The children, from one id to another. */
	readonly start: JobId;
	readonly end: JobId;
	readonly isEach: boolean;
	/** The first parent of the edge. */
	readonly first: JobId;
	readonly status: 'completed' | ParentEnd['status'];
	readonly failure?: string | null;
}

/** What became of the parents of these jobs, which are among those that the rows are about. */
function parentsFor(rows: readonly ClaimedRow[], first: JobId, last: JobId): ParentResults[] {
	const byEdge = Map.groupBy(rows, ({info}) => info?.parents?.edge);
	return [...byEdge.values()].flatMap(own => {
		const {start, end, isEach, first: firstParent} = linkOf(own[0] as ClaimedRow);
		const [from, to] = [Math.max(first, start), Math.min(last, end)];
		if (from > to) return [];
		const low = isEach ? firstParent + from - start : firstParent;
		const high = isEach ? firstParent + to - start : Infinity;
		return {start: from - first, end: to - first + 1, isEach, ...resultsOf(own, low, high)};
	});
}

function linkOf({info}: ClaimedRow): ParentLink {
	return (info as NonNullable<typeof info>).parents as ParentLink;
}

/** The results of the parents from one id to another. */
function resultsOf(rows: readonly ClaimedRow[], low: JobId, high: JobId): Pick<ParentResults, 'first' | 'values' | 'others'> {
	const others = new Map<number, ParentEnd>();
	const values: Values[] = [];
	for (const row of rows) {
		const {status, failure} = linkOf(row);
		const [first, last] = [Math.max(row.first, low), Math.min(row.last, high)];
		if (first > last) continue;
		if (status === 'completed') values.push(valuesOf(row, first, last));
		else {
			values.push({count: last - first + 1, text: null});
			for (let id = first; id <= last; id++) others.set(id - low, {status, ...(failure && {error: readFailure(failure)})});
		}
	}
	return {first: low, values: joinValues(values), ...(others.size > 0 && {others})};
}
