import type {JobId} from '../../../job/job.ts';
import type {KeyHolders, KeySpace} from '../../found-jobs.ts';
import {STATUS_OF, StoredState} from '../../stored-state.ts';
import type {Statements} from '../connection/statements.sql.ts';
import {KeyReader} from '../rows/keys.ts';
import {findJob} from '../rows/packed-rows.ts';
import {lastOfRun, type Range} from '../rows/run-range.ts';
import {keySpaceOf, type Tx} from '../rows/tx.ts';

/** The jobs that have these keys. */
export function readHolders({statements, numbers}: Pick<Tx, 'statements' | 'numbers'>, {task, batch}: KeySpace, keys: readonly string[]): KeyHolders {
	const reader = new KeyReader(statements);
	const number = batch === undefined ? numbers.knownTask(task) : 0;
	const idOf = (key: string) => (number === undefined ? null : (reader.idOf(keySpaceOf(number, batch), key) ?? null));
	const states = new StateReader(statements);
	const found = keys.map(key => {
		const id = idOf(key);
		const state = id === null ? undefined : states.stateOf(id);
		// Another program may have deleted the job, and left its key.
		return state !== undefined ? {id, status: STATUS_OF[state], fingerprint: (statements.fingerprintOf.get(id) ?? null) as string | null} : undefined;
	});
	return {
		ids: found.map(each => each?.id ?? null),
		statuses: found.map(each => each?.status ?? null),
		fingerprints: found.map(each => each?.fingerprint ?? null),
	};
}

/** Reads states of jobs. Most have completed, and share a row with their neighbours. */
class StateReader {
	readonly #statements: Statements;
	/** The bounds of the last run of completed jobs. */
	#completed: Range | undefined;

	constructor(statements: Statements) {
		this.#statements = statements;
	}

	stateOf(id: JobId): StoredState | undefined {
		const [first, last] = this.#completed ?? [0, 0];
		if (id >= first && id <= last) return StoredState.completed;
		const run = this.#statements.outcomeRunBounds.get(id, id) as Range | undefined;
		if (!run) return findJob(this.#statements, id)?.state;
		this.#completed = [run[0], lastOfRun(...run)];
		return StoredState.completed;
	}
}
