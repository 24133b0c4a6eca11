import type {KeyHolders, KeyScope} from '../store.ts';
import {STATUS_OF} from '../stored-state.ts';
import {KeyReader} from './keys.ts';
import {findJob} from './packed-rows.ts';
import {scopeOf, type Tx} from './tx.ts';

/** The jobs that have these keys. */
export function readHolders({statements, names}: Pick<Tx, 'statements' | 'names'>, {task, batch}: KeyScope, keys: readonly string[]): KeyHolders {
	const reader = new KeyReader(statements);
	const number = batch === undefined ? names.knownTask(task) : 0;
	const idOf = (key: string) => (number === undefined ? null : (reader.idOf(scopeOf(number, batch), key) ?? null));
	const found = keys.map(key => {
		const id = idOf(key);
		const job = id === null ? undefined : findJob(statements, id);
		// Another program may have deleted the job, and left its key.
		return job ? {id, status: STATUS_OF[job.state], fingerprint: (statements.fingerprintOf.get(id) ?? null) as string | null} : undefined;
	});
	return {
		ids: found.map(each => each?.id ?? null),
		statuses: found.map(each => each?.status ?? null),
		fingerprints: found.map(each => each?.fingerprint ?? null),
	};
}
