import type {JobId} from '../../job/job.ts';
import {FaenaError} from '../../support/errors.ts';
import type {Tx} from './tx.ts';

/**
 * The id of the next job. The caller then writes the counter.
 * @throws FaenaError `BadRow` if the counter is damaged: a job without a number could not be found again
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

function checked(what: string, number: unknown): number {
	if (Number.isSafeInteger(number)) return number as number;
	throw new FaenaError('BadRow', `The database does not say which numbers of a ${what} were used: another program has written to its table counter.`);
}
