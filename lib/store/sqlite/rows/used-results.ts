import {createHash} from 'node:crypto';
import type {Encoded} from '../../../job/encoding.ts';
import type {JobId} from '../../../job/job.ts';
import {StoredState} from '../../stored-state.ts';
import type {Statements} from '../connection/statements.sql.ts';
import {resultInRun} from './outcome-runs.ts';
import type {Range} from './run-range.ts';
import type {Tx} from './tx.ts';

/**
 * Which results of their parents jobs have got, as far as these are not the last ones: a row of `used_result` is written when a parent begins a new
 * round, for all its children. So jobs whose parents are never run again have no row. It is deleted when the child is claimed again, so that only
 * completed children keep theirs. When the parent has completed, the row is stale if its new result differs.
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

/** These children have got this from the parent; but for those of which it is known that they got something before, or that will be claimed again. */
export function keepUsed({statements, facts}: Tx, parent: JobId, [first, last]: Range, digest: string): void {
	statements.keepUsed.run({parent, first, last, digest});
	facts.forget('hasUsed');
}

/** These jobs are claimed, deleted, or get other parents. */
export function forgetUsed({statements, facts}: Tx, [first, last]: Range): void {
	if (!facts.get('hasUsed')) return;
	for (const name of ['keepUsedAfter', 'keepUsedBefore', 'deleteUsed'] as const) statements[name].run({first, last});
	facts.forget('hasUsed');
}

/** These jobs have a new round; or have completed, and their children are stale that got something else. */
export function judgeUsed({statements, facts}: Tx, first: JobId, last: JobId): void {
	if (!facts.get('hasUsed')) return;
	for (const parent of statements.usedParents.all(first, last) as JobId[]) {
		const digest = digestOf(statements, parent) ?? NONE;
		statements.judgeUsed.run(digest === NONE ? 0 : 1, digest, parent);
	}
}
