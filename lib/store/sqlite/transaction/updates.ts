import {type JobUpdate, MAX_LOG_LINES} from '../../../job/claim.ts';
import {failpoint} from '../../../support/failpoint.ts';
import {endExpiry} from '../rows/expiry.ts';
import {claimedRunOf, unpackClaimed} from '../rows/packed-rows.ts';
import type {ClaimRow, Tx} from '../rows/tx.ts';

/** Stores the start, progress, log lines and checkpoint that a running job reports. Stores nothing if its claim was lost. */
export function writeUpdate(tx: Tx, {id, lease, execution, startedAt, progress, logs, checkpoint}: JobUpdate): void {
	const {statements} = tx;
	const claim = statements.claimsOfLease.get(id, id, lease) as ClaimRow | undefined;
	const isInRun = claim?.[1] !== execution;
	if (isInRun && (execution !== 1 || claimedRunOf(statements, id)?.[2] !== lease)) return;
	if (isInRun) unpackClaimed(statements, id);
	if (startedAt !== undefined) {
		statements.setStarted.run(startedAt, id);
		endExpiry(tx, id);
	}
	if (progress) statements.setProgress.run(id, progress.done, progress.total ?? null, progress.at);
	if (checkpoint) {
		statements.setCheckpoint.run(id, execution, checkpoint.at, checkpoint.state);
		tx.facts.forget('hasCheckpoints');
	}
	failpoint('updates:written');
	if (!logs) return;
	for (const {at, level, text} of logs.slice(-MAX_LOG_LINES)) statements.insertLog.run(id, execution, at, level, text);
	statements.trimLog.run(id, id, MAX_LOG_LINES);
}
