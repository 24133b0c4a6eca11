import type {JobId} from '../../job/job.ts';
import {FaenaError} from '../../support/errors.ts';
import type {Tx} from './tx.ts';

/**
 * The id of the next job; the counter is the caller's to set.
 * @throws FaenaError `BadRow` if the database doesn't say; a job without a number would never be heard of again
 */
export function nextJobId({statements}: Tx): JobId {
	return checked('job', (statements.jobCounter.get() as number) + 1);
}

/**
 * The next lease.
 * @throws FaenaError as {@link nextJobId}
 */
export function nextLease({statements}: Tx): number {
	return checked('lease', statements.nextLease.get());
}

function checked(of: string, number: unknown): number {
	if (Number.isSafeInteger(number)) return number as number;
	throw new FaenaError('BadRow', `The database does not say how many numbers of a ${of} were given out: somebody else has written to its table counter.`);
}
