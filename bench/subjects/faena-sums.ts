import Database from 'better-sqlite3';
import type {Sums} from './subject.ts';

/** What a Faena database has of the jobs that completed at their first execution: how many, and what their results add up to. */
export function sumsOf(file: string): Sums {
	const database = new Database(file, {readonly: true});
	const [completed, results] = database
		.prepare(`
			select sum(jobs), sum(results) from (
				select count(*) as jobs, total(value) as results from outcome where status = 6 and execution = 1
				union all select total(last - first + 1), total((select total(value) from json_each('[' || replace(results, char(10), ',') || ']')))
				from outcome_run)`)
		.raw()
		.get() as [number, number];
	database.close();
	return {completed, results};
}
