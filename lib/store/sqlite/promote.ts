import {failpoint} from '../../support/failpoint.ts';
import {makeReady} from './ready.ts';
import {StoredState} from './tally.ts';
import type {Tx} from './tx.ts';

/** The most jobs that one transaction makes ready. The next transaction takes more. */
const MAX_PROMOTED_JOBS = 5000;

/** Makes delayed and failed jobs ready whose time has come. */
export function promote(tx: Tx): void {
	const {statements, now} = tx;
	const due = statements.dueJobs.all(now, MAX_PROMOTED_JOBS) as [
		id: number,
		task: number,
		batch: number | null,
		rank: number,
		failed: number,
		executions: number,
	][];
	for (const [id, task, batch, rank, failed, executions] of due) {
		statements.deleteWaiting.run(id);
		makeReady(tx, {id, task, batch, rank, executions}, failed === 1 ? StoredState.failed : StoredState.delayed);
		failpoint('promotion:written');
	}
}
