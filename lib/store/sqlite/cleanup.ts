import type {JobId, Page} from '../../job/job.ts';
import {failpoint} from '../../support/failpoint.ts';
import type {Deleted} from '../store.ts';
import {deleteJob, deleteRun} from './delete.ts';
import {lastOfRun, MAX_RUN_JOBS} from './packed-rows.ts';
import type {StoredState} from './tally.ts';
import type {Tx} from './tx.ts';

/** Deletes a page of jobs that ended before a time. Returns the files of results that these jobs named as `unnamed`. */
export function deleteEndedBefore(tx: Tx, endedBefore: number, {after = 0, limit = MAX_RUN_JOBS}: Page): Deleted & {readonly unnamed: readonly string[]} {
	const {page, next} = takePage(endedAfter(tx, after, limit, endedBefore), limit);
	const old = page.filter(({isOld}) => isOld);
	for (const {first, last, row} of old) {
		if (row) deleteEnded(tx, row);
		else for (let id = first; id <= last; ) id = deleteRun(tx, id, last) + 1;
	}
	if (old.length > 0) failpoint('cleanup:written');
	const deleted = old.reduce((jobs, {first, last}) => jobs + last - first + 1, 0);
	return {deleted, next, unnamed: old.flatMap(({row}) => row?.[3] ?? [])};
}

/** An ended job that has a row of its own, or a run of completed jobs. */
interface Ended {
	readonly first: JobId;
	readonly last: JobId;
	readonly row?: OutcomeRow;
	/** True if it may be deleted. */
	readonly isOld: boolean;
}

/** Ended jobs after this one, in order; if there are so many, at least one job more than the limit. */
function endedAfter({statements}: Tx, after: JobId, limit: number, endedBefore: number): Ended[] {
	const isOld = (endedAt: number, isInOpenBatch: number) => endedAt < endedBefore && isInOpenBatch === 0;
	const rows = statements.outcomesToClean.all(after, limit + 1) as OutcomeRow[];
	const ended = rows.map((row): Ended => ({first: row[0], last: row[0], row, isOld: isOld(row[2], row[7])}));
	let jobs = 0;
	const runs = statements.outcomeRunsToClean.iterate(after, after, after) as IterableIterator<[JobId, JobId, endedAt: number, isInOpenBatch: number]>;
	for (const [start, end, endedAt, isInOpenBatch] of runs) {
		const [first, last] = [Math.max(start, after + 1), lastOfRun(start, end)];
		if (first <= last) ended.push({first, last, isOld: isOld(endedAt, isInOpenBatch)});
		jobs += last - first + 1;
		if (jobs > limit) break;
	}
	return ended.sort((a, b) => a.first - b.first);
}

/** The first jobs, up to the limit. A run is cut only if it is longer than the limit, since the rest of a cut run must be written anew. */
function takePage(ended: readonly Ended[], limit: number): {page: Ended[]; next: JobId | null} {
	const page: Ended[] = [];
	let room = limit;
	for (const each of ended) {
		const jobs = each.last - each.first + 1;
		if (jobs > room && page.length > 0) return {page, next: page.at(-1)?.last ?? null};
		const last = Math.min(each.last, each.first + room - 1);
		page.push({...each, last});
		if (last < each.last) return {page, next: last};
		room -= jobs;
	}
	return {page, next: null};
}

/** A row of the statement `outcomesToClean`. */
type OutcomeRow = [
	id: JobId,
	state: StoredState,
	endedAt: number,
	blob: string | null,
	task: number,
	batch: number | null,
	key: string | null,
	isInOpenBatch: number,
];

function deleteEnded(tx: Tx, [id, state, , , task, batch, key]: OutcomeRow): void {
	deleteJob(tx, id, {task, batch, key, state, rank: 0});
}
