import Database from 'better-sqlite3';
import type {Sums} from '../subjects/subject.ts';
import {RECORDED} from './recorded.ts';

/** Voids a run whose jobs were not each executed and recorded once. */
export function refuseUnlessEqual({completed, results}: Sums, expected: Sums): void {
	if (completed !== expected.completed || results !== expected.results)
		throw new Error(`${completed} jobs completed and their results add up to ${results}; expected were ${expected.completed} and ${expected.results}`);
}

/** What the first `count` whole numbers add up to. */
export function sumBelow(count: number): number {
	return (count * (count - 1)) / 2;
}

/**
 * Jobs that a database of Faena's has as completed by their first execution, and what their results add up to.
 * @param result an expression for the number in a result
 */
export function recordedSums(file: string, result: 'value' | "json_extract(value, '$[0]')" = 'value'): Sums {
	const database = new Database(file, {readonly: true});
	const sql = `select count(*), total(${result}) from ${RECORDED} where execution = 1`;
	const [completed, results] = database.prepare(sql).raw().get() as [number, number];
	database.close();
	return {completed, results};
}
