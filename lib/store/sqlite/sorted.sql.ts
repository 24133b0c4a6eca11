/** The statements of lists that are sorted by a time or a duration. `sorted.ts` binds their parameters. */

import {StoredState} from './schema.sql.ts';

/** The columns, and the bounds of a run as the indexes of the schema have them. */
const ROWS = {
	startedAt: {column: 'started_at', highest: 'coalesce(latest_start, ended_at)', lowest: 'coalesce(earliest_start, 0)'},
	endedAt: {column: 'ended_at', highest: 'ended_at', lowest: 'ended_at'},
	// A run of an older version has no bounds: any duration may be in it.
	duration: {column: 'duration_ms', highest: 'coalesce(longest_ms, 9e999)', lowest: 'coalesce(shortest_ms, 0)'},
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

/** Runs whose highest value is after the place. Runs without any known value are left out. */
function runsBelow({highest}: (typeof ROWS)[Sort]): string {
	return `${runs(`${highest}, last`, `${isAfter(highest, 'first')} and ${highest} >= 0`, highest)} order by ${highest} desc, first desc ${LIMIT}`;
}

/** The other runs of which a job may come after the place; a page of them, from a run on. */
function runsAcross({highest, lowest}: (typeof ROWS)[Sort]): string {
	const from = `${highest} >= (@highest + 0.0) and (${highest} > (@highest + 0.0) or first > cast(@first as integer))`;
	return `${runs(`${VALUE}, ${ID}`, `${from} and ${lowest} <= ${VALUE}`, highest)} order by ${highest}, first ${LIMIT}`;
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
	runsAcrossStart: runsAcross(ROWS.startedAt),
	runsAcrossDuration: runsAcross(ROWS.duration),
	failuresByStart: failures(ROWS.startedAt),
	failuresByDuration: failures(ROWS.duration),
	// There are no more running jobs than the engines can hold.
	claimsByStart: `select c.started_at, c.id, null, c.id, null, ${StoredState.running}, c.task, c.batch from claimed c
		where ${isAfter('c.started_at', 'c.id')} order by c.started_at desc, c.id desc ${LIMIT}`,
	timesOfRun: 'select times from outcome_run where first = ?',
} as const;
