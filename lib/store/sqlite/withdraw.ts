import type {JobId, JobStatus} from '../../job/job.ts';
import {eraseJobs} from './erase.ts';
import {locate, look} from './locate.ts';
import {Stop} from './settle.ts';
import {STATUS_OF, StoredState} from './stored-state.ts';
import type {Tx} from './tx.ts';

/**
 * Deletes a job that isn't running, and has a running one deleted when its execution ends. Leaves a job that is in none of these statuses,
 * which must be of jobs that have not ended.
 */
export function withdrawJob(tx: Tx, id: JobId, statuses: readonly JobStatus[], stop: boolean): 'moved' | 'asked' | 'left' {
	const {statements} = tx;
	const job = look(statements, id);
	if (!job || !statuses.includes(STATUS_OF[job.place])) return 'left';
	if (job.batch !== null) statements.endInput.run(null, job.batch);
	if (job.place === StoredState.running) {
		locate(tx, id);
		statements.askToWithdraw.run(stop ? Stop.withdrawNow : Stop.withdraw, id);
		return 'asked';
	}
	eraseJobs(tx, id, id);
	return 'moved';
}
