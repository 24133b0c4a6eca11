import type {Encoded} from '../../../job/encoding.ts';
import {listKeys, type NewGroup, sizeOf} from '../../../job/groups/group.ts';
import {isPackable} from '../../../job/groups/packed.ts';
import type {JobId} from '../../../job/job.ts';
import type {NewJob} from '../../../job/new-job.ts';
import {hasEnded, StoredState} from '../../stored-state.ts';
import type {Statements} from '../connection/statements.sql.ts';
import {hasNumber, idOfNumber, type NumberRun, numberOfKey, numbersWith} from './numbered-keys.ts';
import {findJob, type JobRun, jobRunOf, payloadReader} from './packed-rows.ts';
import {keySpaceOf, type Tx} from './tx.ts';

/** The job that has a key. */
export interface Holder {
	readonly id: JobId;
	readonly payload: Encoded;
}

type Keyed = Pick<NewJob, 'task' | 'batch' | 'key' | 'unique'>;

/** Finds the jobs that have keys, as far as they are written. */
export class KeyReader {
	readonly #statements: Statements;
	/** What was read last: a map that is resumed asks for neighbours. */
	#numbers: NumberRun | undefined;

	constructor(statements: Statements) {
		this.#statements = statements;
	}

	/** @param space of {@link keySpaceOf}: that of a batch is its id */
	idOf(space: number, key: string): JobId | undefined {
		const number = space > 0 ? numberOfKey(key) : undefined;
		const byNumber = number === undefined ? undefined : this.#idOfNumber(space, number);
		return byNumber ?? (this.#statements.idOfKey.get(space, key) as JobId | undefined);
	}

	#idOfNumber(batch: number, number: number): JobId | undefined {
		const known = this.#numbers;
		if (known?.batch === batch && hasNumber(known, number)) return idOfNumber(known, number);
		this.#numbers = numbersWith(this.#statements, batch, number);
		return this.#numbers && idOfNumber(this.#numbers, number);
	}
}

/**
 * Finds and takes the keys of new jobs. A key of a batch that is a number is usually in a row of `key_run`, since a map numbers its items. Any other
 * key has a row in `key`.
 */
export class KeyLookup {
	readonly #tx: Tx;
	/** Numbers that were taken one after the other, and are not written yet. */
	#taken: NumberRun | undefined;
	readonly #reader: KeyReader;
	#run: {readonly run: JobRun; readonly payloadAt: (id: JobId) => Encoded} | undefined;

	constructor(tx: Tx) {
		this.#tx = tx;
		this.#reader = new KeyReader(tx.statements);
	}

	/** The job that has the new job's key, unless that job has ended and gives it away. */
	find({task, batch, key, unique}: Keyed): Holder | undefined {
		if (key === undefined) return undefined;
		const {statements, numbers} = this.#tx;
		const id = this.#takenBy(batch, key) ?? this.#reader.idOf(keySpaceOf(numbers.task(task), batch), key);
		if (id === undefined) return undefined;
		const isFree = unique && hasEnded(findJob(statements, id)?.state ?? StoredState.ready);
		const payload = isFree ? undefined : this.#payloadOf(id);
		return payload === undefined ? undefined : {id, payload};
	}

	/** Takes a key that {@link find} has found free, for the new job. */
	take({task, batch, key, unique}: Keyed, id: JobId): void {
		if (key === undefined) return;
		const {statements, numbers} = this.#tx;
		const number = batch === undefined ? undefined : numberOfKey(key);
		if (number === undefined) statements[unique ? 'takeKey' : 'insertKey'].run(keySpaceOf(numbers.task(task), batch), key, id);
		else this.#takeNumber(batch as number, number, id);
	}

	/**
	 * Takes all keys of a group for jobs with consecutive ids, if no job has one of them. Otherwise it takes none.
	 * @returns whether it took them
	 */
	takeAll({task, batch, keys, unique, values}: NewGroup, firstId: JobId): boolean {
		if (keys === undefined) return true;
		if (unique) return false;
		const {statements, numbers} = this.#tx;
		const space = keySpaceOf(numbers.task(task), batch);
		const count = sizeOf({values});
		if (batch === undefined || typeof keys !== 'number') {
			const listed = listKeys(keys, count);
			return !(batch !== undefined && this.#mayBeTaken(batch, listed)) && insertAll(statements, space, listed, firstId);
		}
		const [first, last] = [keys, keys + count - 1];
		this.flush();
		if (statements.anyNumberIn.get({batch, first, last}) !== undefined || statements.anyKey.get(space) !== undefined) return false;
		statements.insertNumbers.run(batch, first, last, firstId);
		return true;
	}

	/** Whether one of the keys may be in a row of `key_run`. */
	#mayBeTaken(batch: number, keys: readonly string[]): boolean {
		const {anyNumber, anyNumberIn} = this.#tx.statements;
		if (anyNumber.get(batch) === undefined) return false;
		let [first, last] = [Infinity, -Infinity];
		for (const key of keys) {
			const number = numberOfKey(key);
			if (number === undefined) continue;
			first = Math.min(first, number);
			last = Math.max(last, number);
		}
		this.flush();
		return first <= last && anyNumberIn.get({batch, first, last}) !== undefined;
	}

	/** Writes the numbers that were taken. */
	flush(): void {
		if (!this.#taken) return;
		const {batch, first, last, firstId} = this.#taken;
		this.#tx.statements.insertNumbers.run(batch, first, last, firstId);
		this.#taken = undefined;
	}

	/** Forgets what was read: the run of a job may have been unpacked. */
	forget(): void {
		this.#run = undefined;
	}

	/** The job of this transaction that has taken the number. */
	#takenBy(batch: number | undefined, key: string): JobId | undefined {
		const taken = this.#taken;
		if (taken?.batch !== batch) return undefined;
		const number = numberOfKey(key);
		return taken && number !== undefined && hasNumber(taken, number) ? idOfNumber(taken, number) : undefined;
	}

	#takeNumber(batch: number, number: number, id: JobId): void {
		const taken = this.#taken;
		const continues = taken?.batch === batch && number === taken.last + 1 && id === idOfNumber(taken, number);
		if (!continues) this.flush();
		this.#taken = continues ? {...taken, last: number} : {batch, first: number, last: number, firstId: id};
	}

	/** `undefined` if another program has deleted the job. */
	#payloadOf(id: JobId): Encoded | undefined {
		const known = this.#run;
		if (known && id >= known.run.first && id <= known.run.last) return known.payloadAt(id);
		const row = this.#tx.statements.payloadOf.get(id) as {readonly payload: Encoded} | undefined;
		if (row) return row.payload;
		const run = jobRunOf(this.#tx.statements, id);
		this.#run = run && {run, payloadAt: payloadReader(run)};
		return this.#run?.payloadAt(id);
	}
}

/** Inserts the keys, or none of them if one exists or is too long for a run. */
function insertAll({insertKeyIfFree, deleteKey}: Statements, space: number, keys: readonly string[], firstId: JobId): boolean {
	for (const [index, key] of keys.entries()) {
		if (isPackable(key) && insertKeyIfFree.run(space, key, firstId + index).changes === 1) continue;
		for (let taken = 0; taken < index; taken++) deleteKey.run(space, keys[taken], firstId + taken);
		return false;
	}
	return true;
}
