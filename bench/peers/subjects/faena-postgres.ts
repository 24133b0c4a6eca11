import {open} from '../../../lib/index.ts';
import {TASKS, type Tasks} from '../../measure/engine.ts';
import type {Place, PlaceUse} from '../../measure/place.ts';
import {type Case, FAILING_EVERY, type Surroundings} from '../../plan/suite.ts';
import {FaenaRunning} from '../../subjects/faena.ts';
import type {Subject, Sums} from '../../subjects/subject.ts';
import {createDatabase, type OwnDatabase} from './database.ts';

/** Faena with default settings on the server of the peers. */
export const subject: Subject = {
	async open(given, surroundings) {
		const database = await createDatabase(given, surroundings);
		const faena = await open<Tasks>({queue: database.url, tasks: TASKS, workers: given.workers});
		const execution = given.intake === 'failures' ? `case value::float8::bigint % ${FAILING_EVERY} when 0 then 2 else 1 end` : '1';
		return new FaenaRunning(
			faena,
			() => sumsOf(database, 'value::float8', execution),
			async () => {
				await faena.close();
				await database.drop();
			},
		);
	},
};

/** Calls `use` with a new database of the server. */
export async function withDatabase<Result>(given: Case, surroundings: Surroundings, use: PlaceUse<Result>): Promise<Result> {
	const database = await createDatabase(given, surroundings);
	const place: Place = {
		queue: database.url,
		sums: (numberIn = 'result') => sumsOf(database, numberIn === 'list' ? '(value::jsonb->>0)::float8' : 'value::float8', '1'),
		async bytes() {
			const {rows} = await database.client.query('select pg_database_size(current_database()) as bytes');
			return {database: Number((rows as readonly {bytes: string}[])[0]?.bytes), log: 0};
		},
	};
	try {
		return await use(place);
	} finally {
		await database.drop();
	}
}

/**
 * Each row has the results of jobs with consecutive ids, a line each.
 * @param result the SQL expression for the number in a result
 * @param execution the SQL expression for the only execution that may complete the job
 */
async function sumsOf({client}: OwnDatabase, result: string, execution: string): Promise<Sums> {
	const {rows} = await client.query(`
		select count(*) as completed, coalesce(sum(${result}), 0) as results
		from faena.outcome cross join lateral unnest(string_to_array(text_value, E'\\n')) value where status = 6 and execution = ${execution}`);
	const [{completed, results}] = rows as [{completed: string; results: string}];
	return {completed: Number(completed), results: Number(results)};
}
