import type {CompletedBatch} from '../../job/batch.ts';
import type {JobId} from '../../job/job.ts';
import {FaenaError} from '../../support/errors.ts';
import type {Blobs} from './blobs.ts';
import type {Statements} from './connection.ts';
import type {Names} from './names.ts';
import type {Tally} from './tally.ts';

/** The current transaction, as all its steps share it. */
export interface Tx {
	readonly statements: Statements;
	readonly names: Names;
	readonly tally: Tally;
	readonly blobs: Blobs;
	/** Batches that complete in this transaction. */
	readonly completed: CompletedBatch[];
	/** The number of jobs unpacked so far. */
	unpacked: number;
	/** The time of the transaction, in milliseconds since 1970. */
	readonly now: number;
	/** A number in [0, 1). */
	readonly random: () => number;
}

/** A row of the statements `claimsOfLease` and `stoppedClaimsOfOwner`. */
export type ClaimRow = readonly [id: number, execution: number, task: number, batch: number | null, stop: number | null];

/** The values of `claimed.stop` besides the time of a cancel. */
export const Stop = {discard: -1, discardNow: -2} as const;

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
