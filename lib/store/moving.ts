/** What a store does for a move of its queue, and how rows go from one to the other: `queue-move.ts` says when. */

import {FaenaError} from '../support/errors.ts';
import {failpoint} from '../support/failpoint.ts';
import type {Cursor, JobCount, LastNumbers, MovedRow, TableName} from './queue-rows.ts';

/** A move, as a row of `queue_move` in the queue that is left, and in the one that is made. While there is a row, nobody else can write to the queue. */
export interface Move {
	readonly id: string;
	/** True in the queue that is made. */
	readonly isArriving: boolean;
	/** Where the queue goes, or comes from, as it may be shown. */
	readonly place: string;
	/** The queue that is made has all rows; the one that is left knows it. */
	readonly isDone: boolean;
	/** In the queue that is made: the part of the source that was read last, and where in it. */
	readonly part: string | null;
	readonly after: Cursor | null;
}

/** A page of rows for one table. */
export interface MovedPage {
	readonly rows: readonly MovedRow[];
	/** Where the last row is; `null` if there is none any more. */
	readonly last: Cursor | null;
}

/** A queue that moves. */
interface MoveEnd {
	/** The move that has begun. */
	move(): Promise<Move | undefined>;
	counts(): Promise<readonly JobCount[]>;
	close(): Promise<void>;
}

/** The queue that is left. */
export interface MoveSource extends MoveEnd {
	/**
	 * Ends dead owners, and passes on what is under way.
	 * @throws FaenaError `DatabaseBusy` if a program uses the queue
	 */
	settle(): Promise<void>;
	/**
	 * Writes the move down, and refuses all writes from now on. Returns false if something is under way that {@link settle} passes on.
	 * @param known the move that the queue is to know
	 * @throws FaenaError `DatabaseBusy` if a program uses the queue, or if it knows another move by now
	 */
	freeze(move: Move, known: Move | undefined, sentence: string): Promise<boolean>;
	/** Allows writes again. */
	reopen(): Promise<void>;
	/** What is read one after the other, each for a table. */
	readonly parts: readonly {readonly name: string; readonly table: TableName}[];
	read(part: string, after: Cursor | null): Promise<MovedPage>;
	lastNumbers(): Promise<LastNumbers>;
}

/** The queue that is made. While it is open here, no other move writes to it. */
export interface MoveTarget extends MoveEnd {
	/** True if nothing was ever enqueued. */
	isUnused(): Promise<boolean>;
	/** Begins anew: what is there has come by a move that was given up. */
	begin(move: Move): Promise<void>;
	/** Writes a page, and with it how far the move has come. */
	write(table: TableName, rows: readonly MovedRow[], move: Move): Promise<void>;
	/** Writes what follows from the rows, and that all have arrived. */
	finish(move: Move, numbers: LastNumbers): Promise<void>;
	/** Makes it a queue like any other. */
	open(): Promise<void>;
}

/** Thrown if programs use a queue that is to move. */
export function inUseToMove(queue: string, owners: readonly string[]): FaenaError {
	const who = `${owners.slice(0, 3).join(', ')}${owners.length > 3 ? ' …' : ''}`;
	const message = `${queue} is in use by ${owners.length === 1 ? 'the program' : 'programs'} ${who}. Close all engines and workers on it; one that was killed counts until its lease is over. Then call faena move again.`;
	return new FaenaError('DatabaseBusy', message);
}

/** Throws if the move that a queue knows is not the one that it is to know. */
export function assertKnown(found: Move | undefined, known: Move | undefined, queue: string): void {
	if (found?.id === known?.id) return;
	const message = `${queue} was given to another move, or opened for writing again, while it moved. It has all of its jobs, and what has arrived is no queue: delete that, and call faena move again.`;
	throw new FaenaError('DatabaseBusy', message);
}

/** Brings what has not arrived yet, page by page. */
export async function bringRows(source: MoveSource, target: MoveTarget, begun: Move, onProgress: (rows: number) => void): Promise<void> {
	let move = begun;
	let rows = 0;
	for (const {name, table} of source.parts.slice(
		Math.max(
			0,
			source.parts.findIndex(part => part.name === move.part),
		),
	)) {
		for (;;) {
			const page: MovedPage = await source.read(name, name === move.part ? move.after : null);
			if (page.last === null) break;
			move = {...move, part: name, after: page.last};
			await target.write(table, page.rows, move);
			failpoint('move:page');
			rows += page.rows.length;
			onProgress(rows);
		}
	}
	if (!sameCounts(await source.counts(), await target.counts())) {
		const message =
			'The new queue has other numbers of jobs than the old one, which has all of them. Please report this; --from and --reopen let you use that one again.';
		throw new FaenaError('BadDatabase', message);
	}
	await target.finish({...move, isDone: true}, await source.lastNumbers());
}

function sameCounts(a: readonly JobCount[], b: readonly JobCount[]): boolean {
	const text = (counts: readonly JobCount[]) =>
		counts
			.map(count => count.join())
			.sort()
			.join('\n');
	return text(a) === text(b);
}
