import {existsSync, statSync} from 'node:fs';
import type {Case, Surroundings} from '../plan/suite.ts';
import type {Sums} from '../subjects/subject.ts';
import {withFile} from './file.ts';
import {moduleUrl} from './module-url.ts';
import {recordedSums} from './sums.ts';

/** Where a result has the number of its job: it is that number, or a list that begins with it. */
export type NumberIn = 'result' | 'list';

/** The queue of one measurement. */
export interface Place {
	/** Its file or URL. */
	readonly queue: string;
	/** Number of the jobs that their first execution completed, and the sum of their results. */
	sums(numberIn?: NumberIn): Promise<Sums>;
	/** The bytes of the database, and of a log beside it. */
	bytes(): Promise<{readonly database: number; readonly log: number}>;
}

export type PlaceUse<Result> = (place: Place) => Promise<Result>;

/** Calls `use` with a new queue: a file in the measured folder or, for the subject `faena-postgres`, a database of the server. Removes it afterwards. */
export async function withPlace<Result>(
	given: Pick<Case, 'subject' | 'durability'>,
	surroundings: Pick<Surroundings, 'folder' | 'servers'>,
	use: PlaceUse<Result>,
): Promise<Result> {
	if (given.subject === 'faena-postgres') return (await import(moduleUrl('peers/subjects/faena-postgres').href)).withDatabase(given, surroundings, use);
	return withFile(surroundings, file =>
		use({
			queue: file,
			sums: async (numberIn = 'result') => recordedSums(file, numberIn === 'list' ? "json_extract(value, '$[0]')" : 'value'),
			bytes: async () => ({database: sizeOf(file), log: sizeOf(`${file}-wal`)}),
		}),
	);
}

function sizeOf(path: string): number {
	return existsSync(path) ? statSync(path).size : 0;
}
