import {type ClaimedGroup, sizeOf} from '../../../job/groups/group.ts';
import type {JobId} from '../../../job/job.ts';
import type {Tx} from './tx.ts';

/**
 * A row of `expiry` has the time at which its job is cancelled, and exists as long as the job may expire: until it starts, or its round ends. A running
 * job may have been claimed and not have started. So its row stays when its time comes, but is marked, so that it is not looked up again and again.
 */

/** True if some job may expire. */
export function mayExpire({facts}: Tx): boolean {
	return facts.get('hasExpiries');
}

/** Sets when the new job, or the new round of a job, expires. */
export function setExpiry(tx: Tx, id: JobId, expiresMs: number | undefined, dueAt: number | null): void {
	if (expiresMs === undefined) return;
	tx.statements.insertExpiry.run(id, expiresMs, (dueAt ?? tx.now) + expiresMs);
	tx.facts.forget('hasExpiries');
}

/** The job waits for others, and does not expire before they have ended: `renewExpiry` sets the time then. */
export function holdExpiry(tx: Tx, id: JobId, expiresMs?: number): void {
	if (expiresMs !== undefined) tx.statements.insertExpiry.run(id, expiresMs, HELD);
	else if (mayExpire(tx)) tx.statements.holdExpiry.run(HELD, id);
	tx.facts.forget('hasExpiries');
}

/** A time that never comes. */
const HELD = -1;

/** The job, or each job from this one up to `last`, has started or is deleted, or its round has ended. */
export function endExpiry(tx: Tx, id: JobId, last = id): void {
	if (!mayExpire(tx)) return;
	tx.statements.deleteExpiries.run(id, last);
	tx.facts.forget('hasExpiries');
}

/** The job was claimed and comes back without having started: the next claim looks whether its time is over. */
export function resumeExpiry(tx: Tx, id: JobId): void {
	if (mayExpire(tx)) tx.statements.unmarkExpiry.run(id);
}

/** The group, with the times at which its jobs expire, if they may. */
export function withExpiries(tx: Tx, group: ClaimedGroup): ClaimedGroup {
	if (!mayExpire(tx)) return group;
	const {ids} = group;
	const read = (first: JobId, last: JobId, index: number) =>
		(tx.statements.expiriesOf.all(first, last) as [JobId, number][]).map(([id, at]) => [index + id - first, at] as const);
	const found = typeof ids === 'number' ? read(ids, ids + sizeOf(group) - 1, 0) : ids.flatMap((id, index) => read(id, id, index));
	return found.length > 0 ? {...group, expiries: new Map(found)} : group;
}

/** Milliseconds for which no job expires; `undefined` if none may. */
export function expiresInMs(tx: Tx): number | undefined {
	const at = mayExpire(tx) ? (tx.statements.nextExpiry.get() as number | null) : null;
	return at === null ? undefined : Math.max(0, at - tx.now);
}
