import type {JobId} from '../../../job/job.ts';
import type {Statements} from '../connection/statements.sql.ts';
import {keySpaceOf} from './tx.ts';

/** Consecutive numbers that are keys of a batch, and the first of the jobs with consecutive ids that have them. A row of `key_run`. */
export interface NumberRun {
	readonly batch: number;
	readonly first: number;
	readonly last: number;
	readonly firstId: JobId;
}

/** A key that may be a number in `key_run`. */
const NUMBER = /^(0|[1-9]\d{0,14})$/;

/** The number that the key is; `undefined` if it is another text, also one like `007`. */
export function numberOfKey(key: string): number | undefined {
	return NUMBER.test(key) ? Number(key) : undefined;
}

export function hasNumber({first, last}: NumberRun, number: number): boolean {
	return number >= first && number <= last;
}

export function idOfNumber({first, firstId}: NumberRun, number: number): JobId {
	return firstId + number - first;
}

/** The row that has this number. */
export function numbersWith({numbersOf}: Statements, batch: number, number: number): NumberRun | undefined {
	const run = numbersOf.get({batch, number}) as NumberRun | undefined;
	return run && hasNumber(run, number) ? run : undefined;
}

/** Frees the key of a job that is deleted. Another job may have taken it. */
export function freeKey(statements: Statements, task: number, batch: number | null, key: string, id: JobId): void {
	const number = batch === null ? undefined : numberOfKey(key);
	const {changes} = statements.deleteKey.run(keySpaceOf(task, batch), key, id);
	if (changes === 0 && number !== undefined) freeNumbers(statements, batch as number, number, number);
}

/** Frees consecutive numbers, which may be in several rows. */
export function freeNumbers(statements: Statements, batch: number, first: number, last: number): void {
	for (let next = first; next <= last; next++) {
		const run = numbersWith(statements, batch, next);
		if (!run) continue;
		const end = Math.min(last, run.last);
		statements.deleteNumbers.run(batch, run.first);
		if (run.first < next) statements.insertNumbers.run(batch, run.first, next - 1, run.firstId);
		if (end < run.last) statements.insertNumbers.run(batch, end + 1, run.last, idOfNumber(run, end + 1));
		next = end;
	}
}

/** Frees the keys of jobs with consecutive ids that have rows of their own. */
export function freeKeys(statements: Statements, from: JobId, to: JobId): void {
	statements.deleteKeysOfJobs.run(from, to);
	let freed: {batch: number; first: number; last: number} | undefined;
	const free = () => freed && freeNumbers(statements, freed.batch, freed.first, freed.last);
	for (const [batch, key] of statements.batchKeysOfJobs.all(from, to) as [number, string][]) {
		const number = numberOfKey(key);
		if (number === undefined) continue;
		if (freed?.batch === batch && freed.last + 1 === number) freed.last = number;
		else {
			free();
			freed = {batch, first: number, last: number};
		}
	}
	free();
}
