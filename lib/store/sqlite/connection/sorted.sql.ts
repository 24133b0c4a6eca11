/**
 * The statements of lists that are sorted by a time or a duration. `sorted.ts` binds their parameters. All jobs are in an index of their ends; the other
 * indexes have only jobs for which an entry costs little beside the job itself.
 */

import {StoredState} from '../../stored-state.ts';

/** Jobs that took less are not in the index of durations, and runs all of whose jobs did. */
export const INDEXED_MS = 1;
/** Jobs that started at most this long before they ended are not in the index of starts: they are found by their ends. */
export const QUICK_MS = 1000;

/** The value of a row that another statement finds. It is passed over by the caller: no index knows it, so a statement could read any number of them. */
export const NOT_HERE = -1;

/** The most rows that a page looks at in one scan. Of each run that may have a job of the list, all times are read. */
const MAX_SCANNED_RUNS = 1000;
const MAX_SCANNED_JOBS = 5000;

/** A sum has no type of its own. SQLite would not use an index of an expression for a value that has one. */
const VALUE = '(@value + 0.0)';
const ID = 'cast(@id as integer)';
const LIMIT = 'limit cast(@limit as integer)';

// The bounds of a run, and the conditions of the indexes, as the schema has them. A run of an older version has no bounds: any duration may be in it.
const LATEST = 'coalesce(latest_start, ended_at)';
const EARLIEST = 'coalesce(earliest_start, 0)';
const LONGEST = 'coalesce(longest_ms, 9e999)';
const SHORTEST = 'coalesce(shortest_ms, 0)';
const IS_SLOW_RUN = `(earliest_start is null or (earliest_start >= 0 and earliest_start < ended_at - ${QUICK_MS}) or latest_start > ended_at)`;
const IS_QUICK_RUN = `earliest_start >= ended_at - ${QUICK_MS} and latest_start <= ended_at`;
const IS_LONG_RUN = `${LONGEST} >= ${INDEXED_MS}`;
const IS_SLOW = `(started_at < ended_at - ${QUICK_MS} or started_at > ended_at)`;
const IS_QUICK = `started_at >= ended_at - ${QUICK_MS} and started_at <= ended_at`;
const IS_LONG = `duration_ms >= ${INDEXED_MS}`;
const IS_SHORT = `duration_ms < ${INDEXED_MS}`;

/** The condition that a row comes after the place. In this form SQLite finds the first such row in an index of the value. */
function isAfter(value: string, id: string): string {
	return `${value} <= ${VALUE} and (${value} < ${VALUE} or ${id} < ${ID})`;
}

/**
 * Jobs that have ended with this status, and have a row of their own.
 * @param value of the list, if it is another one than that of the place
 */
function outcomes(place: string, where: string, value = 'null'): string {
	return `select ${place}, o.id, null, o.id, o.ended_at, o.status, j.task, j.batch, ${value} from outcome o cross join job j on j.id = o.id
		where o.status = @status and ${where}`;
}

function outcomesInOrder(place: string, condition: string, value?: string): string {
	return `${outcomes(place, `${isAfter(place, 'o.id')} and ${condition}`, value)} order by ${place} desc, o.id desc ${LIMIT}`;
}

/** Runs, each with its jobs' task if that is asked for. */
function runs(place: string, where: string, value = 'null'): string {
	return `select ${place}, first, last, ended_at, ${StoredState.completed}, iif(@task is null, null, coalesce((select task from job where id = outcome_run.first),
			(select task from job_run where job_run.first = (select max(first) from job_run where first <= outcome_run.first)))), batch, ${value}
		from outcome_run where ${where}`;
}

/** Runs whose highest value is after the place. */
function runsInOrder(highest: string, condition: string, value?: string): string {
	return `${runs(`${highest}, last`, `${isAfter(highest, 'first')} and ${condition}`, value)} order by ${highest} desc, first desc ${LIMIT}`;
}

/** Two statements that look at a limited number of rows, in the order of an index: the place of the last of them; and of all up to it, those that match. */
function scan(rows: (where: string) => string, [key, id, condition]: readonly string[], matches: string, table: string, limit: number) {
	const after = `${key} >= (@key + 0.0) and (${key} > (@key + 0.0) or ${id} > cast(@keyId as integer))`;
	const upTo = `${key} <= (@endKey + 0.0) and (${key} < (@endKey + 0.0) or ${id} <= cast(@endId as integer))`;
	return {
		end: `select ${key}, ${id} from ${table} where ${condition} and ${after} order by ${key}, ${id} limit 1 offset ${limit - 1}`,
		rows: rows(`${condition} and ${after} and ${upTo} and ${matches}`),
	};
}

function scanOfRuns(key: string, condition: string, matches: string) {
	return scan(where => runs(`${VALUE}, ${ID}`, where), [key, 'first', condition], matches, 'outcome_run', MAX_SCANNED_RUNS);
}

// Runs of which a job may come after the place, though another one comes before it.
const RUNS_ACROSS_START = scanOfRuns(LATEST, IS_SLOW_RUN, `${EARLIEST} <= ${VALUE}`);
const RUNS_ACROSS_DURATION = scanOfRuns(LONGEST, IS_LONG_RUN, `${SHORTEST} <= ${VALUE}`);
// What may have jobs of short durations, from `@least` on.
const SHORT_RUNS = scanOfRuns('ended_at', 'true', `${SHORTEST} <= ${VALUE} and ${LONGEST} >= (@least + 0.0)`);
const SHORT_OUTCOMES = scan(
	where => outcomes(VALUE, where, 'o.duration_ms'),
	['o.ended_at', 'o.id', 'o.status = @status'],
	`${IS_SHORT} and duration_ms >= (@least + 0.0)`,
	'outcome o',
	MAX_SCANNED_JOBS,
);

/** Jobs whose last execution failed, and which show its figures. */
function failures(column: string): string {
	const value = `iif(o.${column} is null and c.started_at is null, null, ${NOT_HERE})`;
	return `select x.${column}, x.id, null, x.id, o.ended_at, o.status, j.task, j.batch, ${value} from failure_state x cross join job j on j.id = x.id
		left join outcome o on o.id = x.id left join claimed c on c.id = x.id
		where ${isAfter(`x.${column}`, 'x.id')} order by x.${column} desc, x.id desc ${LIMIT}`;
}

export const SORTED_SQL = {
	outcomesByStart: outcomesInOrder('o.started_at', IS_SLOW),
	outcomesByEnd: outcomesInOrder('o.ended_at', 'true'),
	outcomesByDuration: outcomesInOrder('o.duration_ms', IS_LONG),
	quickOutcomes: outcomesInOrder('o.ended_at', 'true', `iif(${IS_QUICK}, o.started_at, ${NOT_HERE})`),
	runsByStart: runsInOrder(LATEST, IS_SLOW_RUN),
	runsByEnd: runsInOrder('ended_at', 'true'),
	runsByDuration: runsInOrder(LONGEST, IS_LONG_RUN),
	quickRuns: runsInOrder('ended_at', 'true', `iif(${IS_QUICK_RUN}, null, ${NOT_HERE})`),
	runsAcrossStart: RUNS_ACROSS_START.rows,
	runsAcrossStartEnd: RUNS_ACROSS_START.end,
	runsAcrossDuration: RUNS_ACROSS_DURATION.rows,
	runsAcrossDurationEnd: RUNS_ACROSS_DURATION.end,
	shortRuns: SHORT_RUNS.rows,
	shortRunsEnd: SHORT_RUNS.end,
	shortOutcomes: SHORT_OUTCOMES.rows,
	shortOutcomesEnd: SHORT_OUTCOMES.end,
	failuresByStart: failures('started_at'),
	failuresByDuration: failures('duration_ms'),
	// There are no more running jobs than the engines can hold.
	claimsByStart: `select c.started_at, c.id, null, c.id, null, ${StoredState.running}, c.task, c.batch, null from claimed c
		where ${isAfter('c.started_at', 'c.id')} order by c.started_at desc, c.id desc ${LIMIT}`,
	timesOfRun: 'select times from outcome_run where first = ?',
} as const;
