import {createHash} from 'node:crypto';
import type {Encoded} from '../../job/encoding.ts';
import type {JobId} from '../../job/job.ts';
import {StoredState} from '../stored-state.ts';
import type {Range} from './packed-rows.ts';
import {resultInRun} from './packed-rows.ts';
import {MAX_RUN_JOBS} from './schema.sql.ts';
import type {Statements} from './statements.sql.ts';
import type {Tx} from './tx.ts';

/**
 * Which results of their parents jobs have got, as far as these are not the last ones: a row of `used_result` is written when a parent begins a new
 * round, for those of its children that have started. So jobs whose parents are never run again have no row. It is deleted when the child is claimed
 * again. When the parent has completed, the row is stale if its new result differs.
 */

/** A digest that no result has: the parent had a new round when its child was claimed. */
export const OPEN = 'open';
/** That of a parent that did not complete. */
const NONE = 'none';

/** The digest of what a job gives to those that wait for it; `undefined` if it has not ended. */
export function digestOf(statements: Statements, id: JobId): string | undefined {
	const [state = null, value = null, blob = null] = (statements.jobEnd.get(id) as [StoredState | null, Encoded, string | null] | undefined) ?? [];
	if (state === null) {
		const inRun = resultInRun(statements, id);
		return inRun && hash(inRun.value);
	}
	return state === StoredState.completed ? (blob ?? hash(value)) : NONE;
}

function hash(value: Encoded): string {
	return value === null ? 'null' : createHash('sha256').update(value).digest('hex') + (typeof value === 'string' ? '.text' : '.bytes');
}

type UsedRow = readonly [parent: JobId, first: JobId, last: JobId, digest: string, isStale: number];

/** The child has got this from the parent, unless it is known that it got something before. Call it for children in their order: neighbours share a row. */
export function keepUsed({statements, known}: Tx, parent: JobId, child: JobId, digest: string): void {
	const [, first, last, before, isStale] = (statements.usedBefore.get(parent, child) as UsedRow | undefined) ?? [0, 0, 0, '', 0];
	if (last >= child) return;
	const isNext = last === child - 1 && before === digest && isStale === 0 && child - first < MAX_RUN_JOBS;
	if (isNext) statements.extendUsed.run(child, parent, first);
	else statements.insertUsed.run(parent, child, child, digest, 0);
	known.forget('hasUsed');
}

/** These jobs are claimed, deleted, or get other parents. */
export function forgetUsed({statements, known}: Tx, [first, last]: Range): void {
	if (!known.get('hasUsed')) return;
	for (const [parent, from, to, digest, isStale] of statements.usedBy.all({first, last}) as UsedRow[]) {
		statements.deleteUsed.run(parent, from);
		if (from < first) statements.insertUsed.run(parent, from, first - 1, digest, isStale);
		if (to > last) statements.insertUsed.run(parent, last + 1, to, digest, isStale);
	}
	known.forget('hasUsed');
}

/** These jobs have a new round; or have completed, and their children are stale that got something else. */
export function judgeUsed({statements, known}: Tx, first: JobId, last: JobId): void {
	if (!known.get('hasUsed')) return;
	for (const parent of statements.usedParents.all(first, last) as JobId[]) {
		const digest = digestOf(statements, parent) ?? NONE;
		statements.judgeUsed.run(digest === NONE ? 0 : 1, digest, parent);
	}
}
