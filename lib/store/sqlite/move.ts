import type {JobId, JobStatus} from '../../job/job.ts';
import {MAX_RUN_JOBS} from '../../job/runs.ts';
import type {Moved, MoveTarget} from '../store.ts';
import {cancelJob, retryJob} from './control.ts';
import type {Tx} from './tx.ts';
import {withdrawJob} from './withdraw.ts';

/** No further job is moved in a transaction that gave so many jobs rows of their own: to move one job of a run does that for the whole run. */
const MOST_LOOSENED = 2 * MAX_RUN_JOBS;

interface Order {
	readonly to: MoveTarget;
	/** Only jobs in one of these. */
	readonly statuses: readonly JobStatus[];
	readonly stop: boolean;
}

/** Moves these jobs, in order, as far as one transaction goes. Tells the last one that it looked at. */
export function moveJobs(tx: Tx, ids: readonly JobId[], order: Order): Omit<Moved, 'next'> & {readonly last: JobId | undefined} {
	const found = {moved: [] as JobId[], asked: [] as JobId[], left: [] as JobId[]};
	let last: JobId | undefined;
	for (const id of ids) {
		if (tx.loosened >= MOST_LOOSENED) break;
		found[moveJob(tx, id, order)].push(id);
		last = id;
	}
	return {ids: found.moved, asked: found.asked, last};
}

function moveJob(tx: Tx, id: JobId, {to, statuses, stop}: Order): 'moved' | 'asked' | 'left' {
	switch (to) {
		case 'cancelled':
			return cancelJob(tx, id, statuses);
		case 'pending':
			return retryJob(tx, id, statuses);
		case 'discarded':
			return withdrawJob(tx, id, statuses, stop);
	}
}
