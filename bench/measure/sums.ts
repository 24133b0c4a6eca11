import Database from 'better-sqlite3';
import type {Sums} from '../subjects/subject.ts';
import {RECORDED} from './recorded.ts';

/** Throws, and so voids the run, unless each job was executed and recorded once. */
export function refuseUnlessEqual({completed, results}: Sums, expected: Sums): void {
	if (completed !== expected.completed || results !== expected.results)
		throw new Error(`${completed} jobs completed and their results add up to ${results}; expected were ${expected.completed} and ${expected.results}`);
}

/** Sum of the whole numbers below `count`. */
export function sumBelow(count: number): number {
	return (count * (count - 1)) / 2;
}

/**
 * Number of the jobs in a Faena database that their first execution completed, and the sum of their results.
 * @param result the SQL expression for the number in a result
 * @param execution the SQL expression for the only execution that may complete the job
 */
export function recordedSums(file: string, result: 'value' | "json_extract(value, '$[0]')" = 'value', execution = '1'): Sums {
	const database = new Database(file, {readonly: true});
	const sql = `select count(*), total(${result}) from ${RECORDED} where execution = ${execution}`;
	const [completed, results] = database.prepare(sql).raw().get() as [number, number];
	database.close();
	return {completed, results};
}
