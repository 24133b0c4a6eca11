import {nanoid} from 'nanoid';
import {bad, show} from '../job/checks.ts';
import type {MovedQueue} from '../job/events.ts';
import {FaenaError} from '../support/errors.ts';
import {failpoint} from '../support/failpoint.ts';
import type {Move, MoveSource, MoveTarget} from './moving.ts';
import {withDriver} from './open-store.ts';
import {isPostgres, postgresParts, queuePath, shownLocation} from './queue-path.ts';
import {IN_MEMORY} from './store.ts';

/** Options of {@link moveQueue}. */
export interface MoveOptions {
	/** Called after each page, with the number of rows that have arrived since the call began. */
	readonly onProgress?: ((rows: number) => void) | undefined;
}

/**
 * Moves a queue, with all that is in it: jobs in every state with their ids, attempts, results and logs, batches, schedules, and who waits for whom. Between
 * files, and between a file and PostgreSQL. No program may use it. From the beginning on, every write to the old queue fails with `QueueMoved`; it can still be
 * read, and {@link reopenQueue} allows writes again. A move that was interrupted goes on where it was, when it is called again.
 * @param from the path of an SQLite file, or a PostgreSQL URL
 * @param to a file or a schema that has no queue yet
 * @throws FaenaError `BadOption`, `BadDatabase`, `StorageFull`, `Unreachable`; `DatabaseBusy` if a program uses the old queue; `QueueMoved` if it has moved
 */
export async function moveQueue(from: string, to: string, {onProgress}: MoveOptions = {}): Promise<MovedQueue> {
	const whither = assertLocations('moveQueue()', from, to)[1] as string;
	const source = await openSource(from);
	try {
		const known = await source.move();
		if (known && known.to !== whither) throw movesElsewhere(known);
		if (known?.isDone) throw new FaenaError('QueueMoved', `The queue has moved to ${known.to} already.`);
		const target = await openTarget(to, from);
		try {
			const arrived = await target.arrival();
			const move = known ?? {id: nanoid(), to: whither, isDone: false};
			await source.freeze(move, `This queue is moving to ${move.to}, and can't be changed. faena move goes on with it.`);
			failpoint('move:frozen');
			const own = arrived?.id === move.id ? arrived : undefined;
			try {
				if (!own?.isDone) await target.receive(source, move, own, onProgress ?? (() => {}));
			} catch (error) {
				// The new queue can't be made: then the old one is as it was.
				if (!known && (await target.arrival().catch(() => undefined))?.id !== move.id) await source.reopen().catch(() => {});
				throw error;
			}
			failpoint('move:arrived');
			const advice = 'Use that one. To change this one all the same, call faena move --reopen.';
			await source.freeze({...move, isDone: true}, `This queue has moved to ${move.to}. ${advice}`);
			failpoint('move:told');
			await target.forget();
			return {jobs: (await source.counts()).reduce((sum, [, , , jobs]) => sum + jobs, 0)};
		} catch (error) {
			throw target.explain(error);
		} finally {
			await target.close();
		}
	} catch (error) {
		throw source.explain(error);
	} finally {
		await source.close();
	}
}

/**
 * Allows writes to a queue that has moved, or that a move has left half-way. The new queue stays as it is.
 * @throws FaenaError `BadOption` if the queue has not moved; `BadDatabase`, `Unreachable`
 */
export async function reopenQueue(location: string): Promise<void> {
	assertLocations('reopenQueue()', location);
	const source = await openSource(location);
	try {
		if (!(await source.reopen())) throw bad(`The queue ${shownLocation(location)} has not moved`);
	} catch (error) {
		throw source.explain(error);
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
	const shown = locations.map(location => (isPostgres(location) ? shownLocation(location) : queuePath(where, location)));
	if (new Set(shown).size < shown.length) throw bad(`${where} expects two different queues; it got ${shown[0]} twice`);
	return shown;
}

function movesElsewhere({to, isDone}: Move): FaenaError {
	const what = isDone ? `has moved to ${to}` : `is moving to ${to}`;
	const advice = isDone ? 'Move that one, or call faena move --reopen first.' : 'Name that as --to, which goes on with it; or call faena move --reopen first.';
	return new FaenaError('QueueMoved', `The queue ${what} already. ${advice}`);
}

async function openSource(location: string): Promise<MoveSource> {
	if (isPostgres(location)) {
		const {PostgresSource} = await withDriver(import('./postgres/queue-move.ts'));
		const {url, schema} = postgresParts(location);
		return PostgresSource.open(url, schema);
	}
	const {SqliteSource} = await import('./sqlite/queue-move.ts');
	return SqliteSource.open(queuePath('moveQueue()', location));
}

async function openTarget(location: string, from: string): Promise<MoveTarget> {
	if (isPostgres(location)) {
		const {PostgresTarget} = await withDriver(import('./postgres/queue-move.ts'));
		const {url, schema} = postgresParts(location);
		return PostgresTarget.open(url, schema);
	}
	const {FileCopy, SqliteTarget} = await import('./sqlite/queue-move.ts');
	const path = queuePath('moveQueue()', location);
	return isPostgres(from) ? SqliteTarget.open(path) : FileCopy.open(queuePath('moveQueue()', from), path);
}
