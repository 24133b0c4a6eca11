import type {CleanupOptions, CleanupResult, JobId} from '../../job/job.ts';
import {MAX_RUN_JOBS} from '../../job/runs.ts';
import {failpoint} from '../../support/failpoint.ts';
import {eraseJobs, eraseRow} from './erase.ts';
import {lastOfRun} from './runs.ts';
import type {StoredState} from './stored-state.ts';
import type {Tx} from './tx.ts';

/** Deletes old jobs, and tells the files of results that they named. */
export function cleanup(tx: Tx, {endedBefore, limit = MAX_RUN_JOBS, after = 0}: CleanupOptions): CleanupResult & {readonly unnamed: readonly string[]} {
	const {looked, next} = upToLimit(endedAfter(tx, after, limit, endedBefore), limit);
	const old = looked.filter(({isOld}) => isOld);
	for (const {first, last, row} of old) {
		if (row) eraseEnded(tx, row);
		else for (let id = first; id <= last; ) id = eraseJobs(tx, id, last) + 1;
	}
	if (old.length > 0) failpoint('cleanup:written');
	return {deleted: countJobs(old), next, unnamed: old.flatMap(({row}) => row?.[3] ?? [])};
}

/** Jobs that have ended: one that has a row of its own, or a run of completed ones. */
interface Ended {
	readonly first: JobId;
	readonly last: JobId;
	readonly row?: OutcomeRow;
	/** It may be deleted. */
	readonly isOld: boolean;
}

/** Those after this one, in order; at least one more job than the limit, if there are so many. */
function endedAfter({statements}: Tx, after: JobId, limit: number, endedBefore: number): Ended[] {
	const isOld = (endedAt: number, isSpared: number) => endedAt < endedBefore && isSpared === 0;
	const rows = statements.outcomesToClean.all(after, limit + 1) as OutcomeRow[];
	const ended = rows.map((row): Ended => ({first: row[0], last: row[0], row, isOld: isOld(row[2], row[7])}));
	let jobs = 0;
	for (const each of statements.outcomeRunsToClean.iterate(after, after, after) as IterableIterator<[JobId, JobId, endedAt: number, isSpared: number]>) {
		const [start, end, endedAt, isSpared] = each;
		const [first, last] = [Math.max(start, after + 1), lastOfRun(start, end)];
		if (first <= last) ended.push({first, last, isOld: isOld(endedAt, isSpared)});
		jobs += last - first + 1;
		if (jobs > limit) break;
	}
	return ended.sort((a, b) => a.first - b.first);
}

/** As many of their jobs as may be looked at, and the last of these if there are more. A run is cut only if it alone is longer: that writes what is left of it anew. */
function upToLimit(ended: readonly Ended[], limit: number): {looked: Ended[]; next: JobId | null} {
	const looked: Ended[] = [];
	let room = limit;
	for (const each of ended) {
		const jobs = each.last - each.first + 1;
		if (jobs > room && looked.length > 0) return {looked, next: looked.at(-1)?.last ?? null};
		const last = Math.min(each.last, each.first + room - 1);
		looked.push({...each, last});
		if (last < each.last) return {looked, next: last};
		room -= jobs;
	}
	return {looked, next: null};
}

function countJobs(ended: readonly Ended[]): number {
	return ended.reduce((jobs, {first, last}) => jobs + last - first + 1, 0);
}

type OutcomeRow = [
	id: JobId,
	place: StoredState,
	endedAt: number,
	blob: string | null,
	task: number,
	batch: number | null,
	key: string | null,
	isSpared: number,
];

function eraseEnded(tx: Tx, [id, place, , , task, batch, key]: OutcomeRow): void {
	eraseRow(tx, id, {task, batch, key, place, rank: 0});
}
