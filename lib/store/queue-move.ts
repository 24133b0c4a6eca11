import {nanoid} from 'nanoid';
import {bad, show} from '../job/checks.ts';
import type {QueueMoved} from '../job/events.ts';
import {FaenaError} from '../support/errors.ts';
import {failpoint} from '../support/failpoint.ts';
import {isPostgres, postgresParts, queuePath, shownLocation} from './queue-path.ts';
import type {Cursor, JobCount, LastNumbers, MovedRow, TableName} from './queue-rows.ts';
import {IN_MEMORY} from './store.ts';

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
export async function moveQueue(from: string, to: string, {onProgress}: MoveOptions = {}): Promise<QueueMoved> {
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

/** Thrown if programs use a queue that is to move. */
export function inUseToMove(queue: string, owners: readonly string[]): FaenaError {
	const who = `${owners.slice(0, 3).join(', ')}${owners.length > 3 ? ' …' : ''}`;
	const message = `${queue} is in use by ${owners.length === 1 ? 'the program' : 'programs'} ${who}. Close all engines and workers on it; one that was killed counts until its lease is over. Then call faena move again.`;
	return new FaenaError('DatabaseBusy', message);
}

async function openSource(location: string): Promise<MoveSource> {
	if (isPostgres(location)) {
		const {PostgresSource} = await import('./postgres/queue-move.ts');
		const {url, schema} = postgresParts(location);
		return PostgresSource.open(url, schema);
	}
	const {SqliteSource} = await import('./sqlite/queue-move.ts');
	return SqliteSource.open(queuePath('moveQueue()', location));
}

async function openTarget(location: string, from: string): Promise<MoveTarget> {
	if (isPostgres(location)) {
		const {PostgresTarget} = await import('./postgres/queue-move.ts');
		const {url, schema} = postgresParts(location);
		return PostgresTarget.open(url, schema);
	}
	const {FileCopy, SqliteTarget} = await import('./sqlite/queue-move.ts');
	const path = queuePath('moveQueue()', location);
	return isPostgres(from) ? SqliteTarget.open(path) : FileCopy.open(queuePath('moveQueue()', from), path);
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
