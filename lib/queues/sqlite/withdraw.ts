import type {JobId} from '../../job.ts';
import {deleteJob, locate} from './control.ts';
import {Place} from './places.ts';
import type {Session} from './session.ts';
import {Stop} from './settle.ts';

/** Deletes a job that isn't running, and has a running one deleted when its execution ends. */
export function withdrawJob(session: Session, id: JobId, {stop}: {readonly stop: boolean}): 'withdrawn' | 'asked' | 'ended' {
	const {statements} = session;
	const job = locate(session, id);
	if (!job || job.place >= Place.completed) return 'ended';
	if (job.batch !== null) statements.endInput.run(null, job.batch);
	if (job.place === Place.running) {
		statements.askToWithdraw.run(stop ? Stop.withdrawNow : Stop.withdraw, id);
		return 'asked';
	}
	deleteJob(session, id, job);
	return 'withdrawn';
}
