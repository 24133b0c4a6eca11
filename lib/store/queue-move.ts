import {nanoid} from 'nanoid';
import {bad, show} from '../job/checks.ts';
import type {MovedQueue} from '../job/events.ts';
import {FaenaError} from '../support/errors.ts';
import {failpoint} from '../support/failpoint.ts';
import {kindOf, shownLocation} from './kinds.ts';
import {bringRows, type Move, type MoveSource, type MoveTarget} from './moving.ts';
import {IN_MEMORY} from './store-options.ts';

/** Options of {@link moveQueue}. @example const options: MoveOptions = {onProgress: rows => console.log(rows)}; */
export interface MoveOptions {
	/** Called after each page, with the number of rows that have arrived since the call began. */
	readonly onProgress?: ((rows: number) => void) | undefined;
}

/**
 * Moves a queue, with all that is in it: jobs in every state with their ids, attempts, results and logs, batches, schedules, and who waits for whom. Between
 * files, and between a file and PostgreSQL. No program may use it. From the beginning on, every write to the old queue fails with `QueueMoved`; it can still be
 * read, and {@link reopenQueue} allows writes again. A move that was interrupted goes on where it was, when it is called again.
 * @param from the path of an SQLite file, or a PostgreSQL URL
 * @param to a file or a schema that has no queue yet, or one that was never used
 * @throws FaenaError `BadOption`, `BadDatabase`, `StorageFull`, `Unreachable`; `DatabaseBusy` if a program uses the old queue; `QueueMoved` if it has moved
 * @example await moveQueue('jobs.db', 'postgres://localhost/app');
 */
export async function moveQueue(from: string, to: string, {onProgress = () => {}}: MoveOptions = {}): Promise<MovedQueue> {
	const [origin, place] = assertLocations('moveQueue()', from, to) as [string, string];
	const source = await kindOf(from).source(from);
	try {
		const known = await source.move();
		if (known?.isArriving) throw new FaenaError('QueueMoved', `${origin} has not arrived from ${known.place}. Call faena move again, which goes on with it.`);
		if (known && known.place !== place) throw movesElsewhere(known);
		if (!known) await source.settle();
		const target = await kindOf(to).target(to, !known?.isDone);
		try {
			await bring(source, target, known ?? {id: nanoid(), isArriving: false, place, isDone: false, part: null, after: null}, known, {origin, onProgress});
			return {jobs: (await source.counts()).reduce((sum, [, , , jobs]) => sum + jobs, 0)};
		} finally {
			await target.close();
		}
	} finally {
		await source.close();
	}
}

/**
 * Nobody can write to the new queue before the old one knows that it has moved, so that there is one queue to write to at most, whenever the move is interrupted.
 * @param known the move that the old queue knows
 */
async function bring(source: MoveSource, target: MoveTarget, move: Move, known: Move | undefined, {origin, onProgress}: Route): Promise<void> {
	const arrived = await target.move();
	const own = arrived?.isArriving && arrived.id === move.id ? arrived : undefined;
	if (!known?.isDone) {
		if (!own) await assertFree(target, arrived, move.place);
		const begun = own ?? {...move, isArriving: true, place: origin};
		if (!own) await target.begin(begun);
		failpoint('move:begun');
		const sentence = `This queue is moving to ${move.place}, and can't be changed. faena move goes on with it.`;
		while (!(await source.freeze(move, known, sentence))) await source.settle();
		failpoint('move:frozen');
		if (!own?.isDone) await bringRows(source, target, begun, onProgress);
		failpoint('move:arrived');
		const advice = `Use that one. To change this one all the same: faena move --from ${origin} --reopen.`;
		await source.freeze({...move, isDone: true}, move, `This queue has moved to ${move.place}. ${advice}`);
		failpoint('move:told');
	} else if (!own) throw new FaenaError('QueueMoved', `The queue has moved to ${move.place} already.`);
	await target.open();
}

interface Route {
	readonly origin: string;
	readonly onProgress: (rows: number) => void;
}

/** Throws if the target is a queue already, or may become one. */
async function assertFree(target: MoveTarget, arrived: Move | undefined, place: string): Promise<void> {
	const advice = 'A move makes a new one; name another file or schema';
	if (arrived?.isArriving && arrived.isDone)
		throw bad(`${place} has what a move has brought from ${arrived.place}, which has not ended. ${advice}, or delete that one`);
	if (arrived ? !arrived.isArriving : !(await target.isUnused())) throw bad(`The queue ${place} has been used already. ${advice}`);
}

/**
 * Allows writes to a queue that has moved, or that a move has left half-way. The new queue stays as it is.
 * @throws FaenaError `BadOption` if the queue has not moved; `BadDatabase`, `Unreachable`
 * @example await reopenQueue('jobs.db');
 */
export async function reopenQueue(location: string): Promise<void> {
	assertLocations('reopenQueue()', location);
	const source = await kindOf(location).source(location);
	try {
		const move = await source.move();
		if (move?.isArriving) throw bad(`The queue ${shownLocation(location)} has not arrived from ${move.place}. Call faena move for that one again`);
		if (!move) throw bad(`The queue ${shownLocation(location)} has not moved`);
		await source.reopen();
	} finally {
		await source.close();
	}
}

/** Returns them as they may be shown, and so that each has one name. */
function assertLocations(where: string, ...locations: readonly string[]): string[] {
	for (const location of locations) {
		if (typeof location !== 'string' || location === '' || location === IN_MEMORY)
			throw bad(`${where} expects the path of an SQLite file or a PostgreSQL URL; it got ${show(location)}`);
	}
	const shown = locations.map(location => {
		const kind = kindOf(location);
		return kind.shown(kind.locate(where, location));
	});
	if (new Set(shown).size < shown.length) throw bad(`${where} expects two different queues; it got ${shown[0]} twice`);
	return shown;
}

function movesElsewhere({place, isDone}: Move): FaenaError {
	const what = isDone ? `has moved to ${place}` : `is moving to ${place}`;
	const advice = isDone
		? 'Move that one, or open this one again first, with --from and --reopen.'
		: 'Name that as --to, which goes on with it; or give the move up, with --from and --reopen.';
	return new FaenaError('QueueMoved', `The queue ${what} already. ${advice}`);
}
