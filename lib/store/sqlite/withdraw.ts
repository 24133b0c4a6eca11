import type {JobId, JobStatus} from '../../job/job.ts';
import {eraseJobs} from './erase.ts';
import {locate, look} from './locate.ts';
import {Place, STATUS_OF} from './places.ts';
import type {Session} from './session.ts';
import {Stop} from './settle.ts';

/**
 * Deletes a job that isn't running, and has a running one deleted when its execution ends. Leaves a job that is in none of these statuses,
 * which must be of jobs that have not ended.
 */
export function withdrawJob(session: Session, id: JobId, statuses: readonly JobStatus[], stop: boolean): 'moved' | 'asked' | 'left' {
	const {statements} = session;
	const job = look(statements, id);
	if (!job || !statuses.includes(STATUS_OF[job.place])) return 'left';
	if (job.batch !== null) statements.endInput.run(null, job.batch);
	if (job.place === Place.running) {
		locate(session, id);
		statements.askToWithdraw.run(stop ? Stop.withdrawNow : Stop.withdraw, id);
		return 'asked';
	}
	eraseJobs(session, id, id);
	return 'moved';
}
