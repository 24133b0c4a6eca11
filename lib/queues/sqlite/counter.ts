import {FaenaError} from '../../errors.ts';
import type {Session} from './session.ts';

/**
 * The number that comes next: of a job, or of a lease.
 * @throws FaenaError `BadRow` if the database doesn't say; a job without a number would never be heard of again
 */
export function nextOf({statements}: Session, counter: 'job' | 'lease'): number {
	const next = (statements.counter.get(counter) as number) + 1;
	if (Number.isSafeInteger(next)) return next;
	throw new FaenaError('BadRow', `The database does not say how many numbers of a ${counter} were given out: somebody else has written to its table counter.`);
}
