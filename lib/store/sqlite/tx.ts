import type {CompletedBatch} from '../../job/batch.ts';
import type {Blobs} from './blobs.ts';
import type {Statements} from './database.ts';
import type {Names} from './names.ts';
import type {Tally} from './stored-state.ts';

/** What the parts of a transaction share. */
export interface Tx {
	readonly statements: Statements;
	readonly names: Names;
	readonly tally: Tally;
	readonly blobs: Blobs;
	/** Batches that complete in this transaction. */
	readonly completed: CompletedBatch[];
	/** How many jobs got rows of their own in it so far. */
	loosened: number;
	/** The time of the transaction, in milliseconds since 1970. */
	readonly now: number;
	/** A number in [0, 1). */
	readonly random: () => number;
}

/** A row of `claimed`, as the statements `claimsOf…` give it. */
export type ClaimRow = readonly [id: number, execution: number, task: number, batch: number | null, stop: number | null];
