import type {JobId} from '../../job/job.ts';
import type {Tx} from './tx.ts';

/**
 * A row of `expiry` has the time at which its job is cancelled, and exists as long as the job may expire: until it starts, or its round ends. A running
 * job may have been claimed and not have started. So its row stays when its time comes, but is marked, so that it is not looked up again and again.
 */

/** True if some job may expire. Without one, a transaction pays this one look. */
export function mayExpire(tx: Tx): boolean {
	tx.hasExpiries ??= tx.statements.anyExpiry.get() !== undefined;
	return tx.hasExpiries;
}

/** Sets when the new job, or the new round of a job, expires. */
export function setExpiry(tx: Tx, id: JobId, expiresMs: number | undefined, dueAt: number | null): void {
	if (expiresMs === undefined) return;
	tx.statements.insertExpiry.run(id, expiresMs, (dueAt ?? tx.now) + expiresMs);
	tx.hasExpiries = true;
}

/** The job has started, or its round has ended. */
export function endExpiry(tx: Tx, id: JobId): void {
	if (mayExpire(tx)) tx.statements.deleteExpiry.run(id);
}

/** Call it when executions of jobs from one id up to another have ended. */
export function settleExpiries(tx: Tx, low: JobId, high: JobId): void {
	if (!mayExpire(tx)) return;
	tx.statements.deleteExpiriesOfCompleted.run(low, high);
	tx.statements.unmarkExpiries.run(low, high);
}

/** Milliseconds for which no job expires; `undefined` if none may. */
export function expiresInMs(tx: Tx): number | undefined {
	const at = mayExpire(tx) ? (tx.statements.nextExpiry.get() as number | null) : null;
	return at === null ? undefined : Math.max(0, at - tx.now);
}
