/** The statements of lists that are sorted by a time or a duration. `sorted.ts` binds their parameters. */

import {StoredState} from './schema.sql.ts';

/** Runs whose longest job took less are not in the index of durations. */
export const INDEXED_MS = 10;

// The bounds of a run, as the indexes of the schema have them. A run of an older version has none: any time may be in it.
const LONGEST = 'coalesce(longest_ms, 9e999)';
const SHORTEST = 'coalesce(shortest_ms, 0)';

/** The columns, and the bounds of a run, in its index. Only an index with a condition may be searched for all runs with it. */
const ROWS = {
	// A job starts before it ends, and all jobs of a run have ended at once.
	startedAt: {column: 'started_at', highest: 'ended_at', lowest: 'coalesce(earliest_start, 0)', index: 'true'},
	endedAt: {column: 'ended_at', highest: 'ended_at', lowest: 'ended_at', index: 'true'},
	duration: {column: 'duration_ms', highest: LONGEST, lowest: SHORTEST, index: `${LONGEST} >= ${INDEXED_MS}`},
} as const;

type Sort = keyof typeof ROWS;

/** A sum has no type of its own. SQLite would not use an index of an expression for a value that has one. */
const VALUE = '(@value + 0.0)';
const ID = 'cast(@id as integer)';
const LIMIT = 'limit cast(@limit as integer)';

/** The condition that a row comes after the place. In this form SQLite finds the first such row in an index of the value. */
function isAfter(value: string, id: string): string {
	return `${value} <= ${VALUE} and (${value} < ${VALUE} or ${id} < ${ID})`;
}

/** Jobs that have ended with this status, and have a row of their own. */
function outcomes({column}: (typeof ROWS)[Sort]): string {
	return `select o.${column}, o.id, null, o.id, o.ended_at, o.status, j.task, j.batch from outcome o cross join job j on j.id = o.id
		where o.status = @status and ${isAfter(`o.${column}`, 'o.id')} order by o.${column} desc, o.id desc ${LIMIT}`;
}

/** Runs, each with its jobs' task if that is asked for. */
function runs(place: string, where: string, order: string): string {
	return `select ${place}, first, last, ended_at, ${StoredState.completed}, iif(@task is null, null, coalesce((select task from job where id = outcome_run.first),
			(select task from job_run where job_run.first = (select max(first) from job_run where first <= outcome_run.first)))), batch, ${order}
		from outcome_run where ${where}`;
}

/** Runs whose highest value is after the place. */
function runsBelow({highest, index}: (typeof ROWS)[Sort]): string {
	return `${runs(`${highest}, last`, `${isAfter(highest, 'first')} and ${index}`, highest)} order by ${highest} desc, first desc ${LIMIT}`;
}

/** Other runs of which a job may come after the place: those with this condition, a page of them, after one of them in the order of the index. */
function runsAcross(condition: string, index: string): string {
	const after = `${index} >= (@key + 0.0) and (${index} > (@key + 0.0) or first > cast(@first as integer))`;
	return `${runs(`${VALUE}, ${ID}`, `${after} and ${condition}`, index)} order by ${index}, first ${LIMIT}`;
}

/** Jobs whose last execution failed, and which show its figures. */
function failures({column}: (typeof ROWS)[Sort]): string {
	return `select x.${column}, x.id, null, x.id, o.ended_at, o.status, j.task, j.batch from failure_state x cross join job j on j.id = x.id
		left join outcome o on o.id = x.id left join claimed c on c.id = x.id
		where ${isAfter(`x.${column}`, 'x.id')} and o.${column} is null and c.started_at is null order by x.${column} desc, x.id desc ${LIMIT}`;
}

export const SORTED_SQL = {
	outcomesByStart: outcomes(ROWS.startedAt),
	outcomesByEnd: outcomes(ROWS.endedAt),
	outcomesByDuration: outcomes(ROWS.duration),
	runsByStart: runsBelow(ROWS.startedAt),
	runsByEnd: runsBelow(ROWS.endedAt),
	runsByDuration: runsBelow(ROWS.duration),
	runsAcrossStart: runsAcross(`${ROWS.startedAt.lowest} <= ${VALUE}`, 'ended_at'),
	runsAcrossDuration: runsAcross(`${SHORTEST} <= ${VALUE} and ${ROWS.duration.index}`, LONGEST),
	runsByShortDuration: runsAcross(`${SHORTEST} <= ${VALUE} and ${LONGEST} >= (@least + 0.0)`, 'ended_at'),
	failuresByStart: failures(ROWS.startedAt),
	failuresByDuration: failures(ROWS.duration),
	// There are no more running jobs than the engines can hold.
	claimsByStart: `select c.started_at, c.id, null, c.id, null, ${StoredState.running}, c.task, c.batch from claimed c
		where ${isAfter('c.started_at', 'c.id')} order by c.started_at desc, c.id desc ${LIMIT}`,
	timesOfRun: 'select times from outcome_run where first = ?',
} as const;
