import type {JobId, JobStatus} from '../../job/job.ts';
import {MOST_IN_RUN} from '../../job/runs.ts';
import type {Moved, MoveTarget} from '../store.ts';
import {cancelJob, retryJob} from './control.ts';
import type {Session} from './session.ts';
import {withdrawJob} from './withdraw.ts';

/** No further job is moved in a transaction that gave so many jobs rows of their own: to move one job of a run does that for the whole run. */
const MOST_LOOSENED = 2 * MOST_IN_RUN;

interface Order {
	readonly to: MoveTarget;
	/** Only jobs in one of these. */
	readonly statuses: readonly JobStatus[];
	readonly stop: boolean;
}

/** Moves these jobs, in order, as far as one transaction goes. Tells the last one that it looked at. */
export function moveJobs(session: Session, ids: readonly JobId[], order: Order): Omit<Moved, 'next'> & {readonly last: JobId | undefined} {
	const found = {moved: [] as JobId[], asked: [] as JobId[], left: [] as JobId[]};
	let last: JobId | undefined;
	for (const id of ids) {
		if (session.loosened >= MOST_LOOSENED) break;
		found[moveJob(session, id, order)].push(id);
		last = id;
	}
	return {ids: found.moved, asked: found.asked, last};
}

function moveJob(session: Session, id: JobId, {to, statuses, stop}: Order): 'moved' | 'asked' | 'left' {
	switch (to) {
		case 'cancelled':
			return cancelJob(session, id, statuses);
		case 'pending':
			return retryJob(session, id, statuses);
		case 'discarded':
			return withdrawJob(session, id, statuses, stop);
	}
}
