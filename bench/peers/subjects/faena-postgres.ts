import {open} from '../../../lib/index.ts';
import {TASKS, type Tasks} from '../../measure/engine.ts';
import {FAILING_EVERY} from '../../plan/suite.ts';
import {FaenaRunning} from '../../subjects/faena.ts';
import type {Subject} from '../../subjects/subject.ts';
import {createDatabase} from './database.ts';

/** Faena with default settings on the server of the peers. */
export const subject: Subject = {
	async open(given, surroundings) {
		const database = await createDatabase(given, surroundings);
		const faena = await open<Tasks>({queue: database.url, tasks: TASKS, workers: given.workers});
		const executions = given.intake === 'failures' ? `case value % ${FAILING_EVERY} when 0 then 2 else 1 end` : '1';
		return new FaenaRunning(
			faena,
			async () => {
				const {rows} = await database.client.query(SUMS.replace('EXECUTIONS', executions));
				const [{completed, results}] = rows as [{completed: string; results: string}];
				return {completed: Number(completed), results: Number(results)};
			},
			async () => {
				await faena.close();
				await database.drop();
			},
		);
	},
};

/** Each row has the results of jobs with consecutive ids, a line each. */
const SUMS = `
	with result as (
		select o.execution, v::float8::bigint as value from faena.outcome o cross join lateral unnest(string_to_array(o.text_value, E'\\n')) v
		where o.status = 6
	)
	select count(*) as completed, coalesce(sum(value), 0) as results from result where execution = EXECUTIONS`;
