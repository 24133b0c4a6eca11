import type {FailureRecord} from '../../job/failure.ts';
import type {Settling} from '../../job/runs.ts';
import {failpoint} from '../../support/failpoint.ts';
import type {Settled} from '../store.ts';
import {enqueue, findConflict} from './enqueue.ts';
import {endExecution, settle} from './settle.ts';
import type {Tx} from './tx.ts';

/**
 * Settles, with the jobs that the settlements enqueue: in the order of these, whatever their leases, since that is the order
 * of the new jobs' ids. Tells, by index, which are refused because a key names another payload.
 */
export function settleAll(tx: Tx, settling: readonly Settling[]): {settled: Settled[]; refused: Map<number, FailureRecord>} {
	const {settled, makers} = settle(tx, settling);
	const refused = new Map<number, FailureRecord>();
	for (const {index, claim, outcome, jobs} of makers) {
		const conflict = findConflict(tx, jobs);
		if (conflict) {
			refused.set(index, conflict);
			settled[index] = endExecution(tx, claim, {...outcome, type: 'threw', error: conflict});
		} else {
			enqueue(tx, jobs, false);
			settled[index] = endExecution(tx, claim, outcome);
			tx.statements.deleteCheckpoint.run(claim[0]);
		}
	}
	if (settling.length > 0) failpoint('settle:written');
	return {settled, refused};
}
