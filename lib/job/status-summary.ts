import {FaenaError} from '../support/errors.ts';
import {type Counts, STATUSES} from './job.ts';

/** One line for people, such as `17 pending, 3 running, 1,204 completed, 2 dead`; `no jobs` if there are none. */
export function statusSummary(counts: Counts): string {
	if (typeof counts?.pending !== 'number') throw new FaenaError('BadOption', 'statusSummary() expects the counts that engine.counts() resolves with.');
	const parts = STATUSES.filter(status => counts[status] > 0).map(status => `${counts[status].toLocaleString('en-US')} ${status}`);
	return parts.join(', ') || 'no jobs';
}
