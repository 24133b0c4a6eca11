import {FaenaError} from '../support/errors.ts';
import {type Counts, STATUSES} from './job.ts';

/** Describes counts in one line, such as `17 pending, 3 running, 1,204 completed, 2 dead`, or `no jobs`. */
export function statusSummary(counts: Counts): string {
	if (typeof counts?.pending !== 'number') throw new FaenaError('BadOption', 'statusSummary() expects the counts that engine.counts() resolves with.');
	const parts = STATUSES.filter(status => counts[status] > 0).map(status => `${counts[status].toLocaleString('en-US')} ${status}`);
	return parts.join(', ') || 'no jobs';
}
