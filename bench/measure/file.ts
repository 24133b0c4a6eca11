import {mkdtempSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import type {Surroundings} from '../plan/suite.ts';

/** Calls `use` with the path of a new database in the measured folder, and removes all its files afterwards. */
export async function withFile<Result>({folder}: Pick<Surroundings, 'folder'>, use: (file: string) => Promise<Result>): Promise<Result> {
	const place = mkdtempSync(join(folder, 'faena-bench-'));
	try {
		return await use(join(place, 'jobs.db'));
	} finally {
		rmSync(place, {recursive: true});
	}
}
