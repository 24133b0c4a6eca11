import type {JobId} from '../../job/job.ts';
import type {Tx} from './tx.ts';

/**
 * A row of `expiry` has the time at which its job is cancelled, and exists as long as the job may expire: until it starts, or its round ends. A running
 * job may have been claimed and not have started. So its row stays when its time comes, but is marked, so that it is not looked up again and again.
 */

/** Sets when the new job, or the new round of a job, expires. */
export function setExpiry({statements, now}: Tx, id: JobId, expiresMs: number | undefined, dueAt: number | null): void {
	if (expiresMs !== undefined) statements.insertExpiry.run(id, expiresMs, (dueAt ?? now) + expiresMs);
}

/** Call it when executions of jobs from one id up to another have ended. It is almost free if none of these jobs may expire. */
export function settleExpiries({statements}: Tx, low: JobId, high: JobId): void {
	if (statements.hasExpiry.get(low, high) === undefined) return;
	statements.deleteExpiriesOfCompleted.run(low, high);
	statements.unmarkExpiries.run(low, high);
}
