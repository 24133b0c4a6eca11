/** What a store does for a move of its queue, and how rows go from one to the other: `queue-move.ts` says when. */

import {FaenaError} from '../support/errors.ts';
import {failpoint} from '../support/failpoint.ts';
import type {Cursor, JobCount, LastNumbers, MovedRow, TableName} from './queue-rows.ts';

/** A move of a queue, as the queue that it leaves knows it. From its beginning on, nothing can be written there. */
export interface Move {
	readonly id: string;
	/** Where the queue goes, as it may be shown. */
	readonly to: string;
	readonly isDone: boolean;
}

/** What a half-made queue knows of its move: what it has, up to the last page that was written. */
export interface Arrival {
	readonly id: string;
	/** The part of the source that was read last, and where in it. */
	readonly part: string | null;
	readonly after: Cursor | null;
	/** True once it is whole, and may be used. */
	readonly isDone: boolean;
}

/** A page of rows for one table. */
export interface MovedPage {
	readonly rows: readonly MovedRow[];
	/** Where the last row is; `null` if there is none any more. */
	readonly last: Cursor | null;
}

/** The queue that is left. */
export interface MoveSource {
	/** The move that has begun. */
	move(): Promise<Move | undefined>;
	/**
	 * Refuses all writes from now on, once nobody uses the queue, and nothing is under way in it.
	 * @throws FaenaError `DatabaseBusy` if a program uses it
	 */
	freeze(move: Move, sentence: string): Promise<void>;
	/** Allows writes again. Returns false if nothing has refused them. */
	reopen(): Promise<boolean>;
	/** What is read one after the other, each for a table. */
	readonly parts: readonly {readonly name: string; readonly table: TableName}[];
	read(part: string, after: Cursor | null): Promise<MovedPage>;
	lastNumbers(): Promise<LastNumbers>;
	counts(): Promise<readonly JobCount[]>;
	/** The error of Faena that an error of the database stands for. */
	explain(error: unknown): unknown;
	close(): Promise<void>;
}

/** The queue that is made. */
export interface MoveTarget {
	/**
	 * What has arrived; `undefined` if the queue is new.
	 * @throws FaenaError `BadOption` if it is another queue
	 */
	arrival(): Promise<Arrival | undefined>;
	/**
	 * Brings what has not arrived yet, and makes it a queue like any other, but for the note that it has arrived.
	 * @param arrived what has arrived of this move
	 */
	receive(source: MoveSource, move: Move, arrived: Arrival | undefined, onProgress: (rows: number) => void): Promise<void>;
	/** Forgets that it has arrived. */
	forget(): Promise<void>;
	/** As that of the source. */
	explain(error: unknown): unknown;
	close(): Promise<void>;
}

/** A target that takes rows. */
export interface RowTarget extends MoveTarget {
	/** Begins the arrival anew: nobody else can write there until it is done. */
	begin(id: string): Promise<void>;
	/** Writes a page, and with it how far the move has come. */
	write(table: TableName, rows: readonly MovedRow[], arrival: Arrival): Promise<void>;
	counts(): Promise<readonly JobCount[]>;
	/** Writes what follows from the rows, and that all have arrived. */
	finish(arrival: Arrival, numbers: LastNumbers): Promise<void>;
}

/** Thrown if programs use a queue that is to move. */
export function inUseToMove(queue: string, owners: readonly string[]): FaenaError {
	const who = `${owners.slice(0, 3).join(', ')}${owners.length > 3 ? ' …' : ''}`;
	const message = `${queue} is in use by ${owners.length === 1 ? 'the program' : 'programs'} ${who}. Close all engines and workers on it; one that was killed counts until its lease is over. Then call faena move again.`;
	return new FaenaError('DatabaseBusy', message);
}

/** As {@link MoveTarget.receive}, page by page. */
export async function receiveRows(
	source: MoveSource,
	target: RowTarget,
	{id}: Move,
	arrived: Arrival | undefined,
	onProgress: (rows: number) => void,
): Promise<void> {
	if (!arrived) await target.begin(id);
	failpoint('move:begun');
	let arrival: Arrival = arrived ?? {id, part: null, after: null, isDone: false};
	let rows = 0;
	const begun = source.parts.findIndex(({name}) => name === arrival.part);
	for (const {name, table} of source.parts.slice(Math.max(0, begun))) {
		for (;;) {
			const page: MovedPage = await source.read(name, name === arrival.part ? arrival.after : null);
			if (page.last === null) break;
			arrival = {id, part: name, after: page.last, isDone: false};
			await target.write(table, page.rows, arrival);
			failpoint('move:page');
			rows += page.rows.length;
			onProgress(rows);
		}
	}
	if (!sameCounts(await source.counts(), await target.counts())) {
		const message = 'The new queue has other numbers of jobs than the old one, which has all of them. Please report this; faena move --reopen lets you use it.';
		throw new FaenaError('BadDatabase', message);
	}
	await target.finish({...arrival, isDone: true}, await source.lastNumbers());
}

function sameCounts(a: readonly JobCount[], b: readonly JobCount[]): boolean {
	const text = (counts: readonly JobCount[]) =>
		counts
			.map(count => count.join())
			.sort()
			.join('\n');
	return text(a) === text(b);
}
