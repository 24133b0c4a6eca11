import {StoredState} from '../stored-state.ts';
import {nameIn} from '../task-number.ts';

/** The upper bound in the type of the column, by which an index finds it. */
const upperOf = (column: string) => (/ms$/.test(column) ? 'its_upper' : 'least(its_upper, 9e18)::bigint');

/**
 * Rows for lists that are sorted by a time or a duration, the highest first: lib/store/postgres/sorted.ts. The bounds of a row may be those of more jobs, with
 * which its jobs were settled. So a row with one job is a single only if they are equal. Outcomes are of one state, in whose order an index has them.
 */
const outcomes = (highest: string, times: string, condition: string) => `
	select first, last, ${highest}::float8 as upper, ${times} from outcome
	where ${condition} and status = states[1] and ${highest} is not null and (${highest}, first) < (${upperOf(highest)}, its_first) and (its_task is null or ${nameIn('task')} = its_task) and (its_batch is null or batch = its_batch)
		and (since is null or ended_at >= since) and (until is null or ended_at < until)
	order by ${highest} desc, first desc limit most`;

/** Rows of which a part may come before the place; an index has them apart. */
const runs = (highest: string, lowest: string) => outcomes(highest, 'times', `(first < last or ${lowest} < ${highest}) and ${lowest} <= its_value`);

/** Rows whose jobs have the same value. */
const singles = (highest: string, lowest = highest) =>
	outcomes(highest, 'null::bytea', `${lowest === highest ? '' : `first = last and ${lowest} = ${highest} and `}${highest} <= its_value`);

/** Jobs that have not completed, and show the figures of their last execution, since their outcome has none. */
const failures = (column: 'started_at' | 'duration_ms', ofOutcome: 'latest_start' | 'longest_ms') => `
	select f.id, f.id, f.${column}::float8, null::bytea from failure_state f cross join lateral place_of(f.id) p
	where (f.${column}, f.id) < (${upperOf(column)}, its_first) and f.${column} <= its_value
		and p.state = any (states) and (
			p.state not between ${StoredState.completed} and ${StoredState.cancelled} and since is null and until is null
			or exists (select from outcome o where o.first = p.first and p.state = o.status and o.${ofOutcome} is null
				and (since is null or o.ended_at >= since) and (until is null or o.ended_at < until))
		)
		and not exists (select from claimed c where p.state = ${StoredState.running} and c.first = p.first and c.started_at is not null)
		and (its_task is null or ${nameIn('p.task')} = its_task) and (its_batch is null or p.batch = its_batch)
	order by f.${column} desc, f.id desc limit most`;

const CLAIMS = `
	select first, last, started_at::float8, null::bytea from claimed
	where (started_at, first) < (its_upper, its_first) and started_at <= its_value and ${StoredState.running} = any (states)
		and (its_task is null or ${nameIn('task')} = its_task) and (its_batch is null or batch = its_batch)
	order by started_at desc, first desc limit most`;

const KINDS = {
	'startedAt runs': runs('latest_start', 'earliest_start'),
	'startedAt singles': singles('latest_start', 'earliest_start'),
	'startedAt failures': failures('started_at', 'latest_start'),
	'startedAt claims': CLAIMS,
	'endedAt singles': singles('ended_at'),
	'duration runs': runs('longest_ms', 'shortest_ms'),
	'duration singles': singles('longest_ms', 'shortest_ms'),
	'duration failures': failures('duration_ms', 'longest_ms'),
};

export const SORTED = `
	create type sorted_row as (first bigint, last bigint, upper double precision, times bytea);

	create function sorted_rows(kind text, states integer[], task_name text, batch_name text, its_value float8, its_upper float8, its_first bigint,
		most integer, since float8, until float8) returns setof sorted_row language plpgsql stable as $$
	declare
		its_task bigint := (select id from task where name = task_name);
		its_batch bigint := (select id from batch where name = batch_name);
	begin
		if task_name is not null and its_task is null or batch_name is not null and its_batch is null then return; end if;
		case kind
			${Object.entries(KINDS)
				.map(([kind, query]) => `when '${kind}' then return query ${query};`)
				.join('\n')}
		end case;
	end $$;
`;
