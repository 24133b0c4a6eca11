-- Rows for lists that are sorted by a time or a duration, the highest first: lib/store/postgres/sorted.ts. The bounds of a row may be those of more jobs,
-- with which its jobs were settled. So a row with one job is a single only if they are equal. Outcomes are of one state, in whose order an index has them.
-- Upper bounds have the type of the column, by which an index finds it.

create type sorted_row as (first bigint, last bigint, upper double precision, times bytea);

-- The next rows of a source, from a place on. Its query names the column by which it is sorted, whose index has the rows in this order:
-- "order by" would take that of a result with the same name.
create function sorted_rows(source text, kind text, states integer[], task_name text, batch_name text, its_value float8, its_upper float8,
	its_first bigint, most integer, since float8, until float8) returns setof sorted_row language plpgsql stable as $$
declare
	its_task bigint := (select id from task where name = task_name);
	its_batch bigint := (select id from batch where name = batch_name);
	-- Of outcomes, the columns with the lowest and the highest value; of others, the one with the value.
	low text := case kind when 'startedAt' then 'earliest_start' when 'duration' then 'shortest_ms' else 'ended_at' end;
	high text := case kind when 'startedAt' then 'latest_start' when 'duration' then 'longest_ms' else 'ended_at' end;
	own text := case kind when 'startedAt' then 'started_at' else 'duration_ms' end;
	upper text := case kind when 'duration' then '$5' else 'least($5, 9e18)::bigint' end;
begin
	if task_name is not null and its_task is null or batch_name is not null and its_batch is null then return; end if;
	return query execute format(case source
		-- Jobs that run.
		when 'claims' then $q$
			select first, last, %3$I::float8 as upper, null::bytea from claimed
			where (%3$I, first) < (%4$s, $6) and %3$I <= $4 and @RUNNING@ = any ($1)
				and ($2 is null or name_of(task) = $2) and ($3 is null or batch = $3)
			order by %3$I desc, first desc limit $7$q$
		-- Jobs that have not completed, and show the figures of their last execution, since their outcome has none.
		when 'failures' then $q$
			select f.id, f.id, f.%3$I::float8, null::bytea from failure_state f cross join lateral place_of(f.id) p
			where (f.%3$I, f.id) < (%4$s, $6) and f.%3$I <= $4
				and p.state = any ($1) and (
					p.state not between @COMPLETED@ and @CANCELLED@ and $8 is null and $9 is null
					or exists (select from outcome o where o.first = p.first and p.state = o.status and o.%2$I is null
						and ($8 is null or o.ended_at >= $8) and ($9 is null or o.ended_at < $9))
				)
				and not exists (select from claimed c where p.state = @RUNNING@ and c.first = p.first and c.started_at is not null)
				and ($2 is null or name_of(p.task) = $2) and ($3 is null or p.batch = $3)
			order by f.%3$I desc, f.id desc limit $7$q$
		-- Runs of outcomes of which a part may come before the place, which an index has apart; and singles, rows whose jobs have the same value.
		else 'select first, last, %2$I::float8 as upper, ' || case source when 'runs' then 'times' else 'null::bytea' end || $q$ from outcome where $q$
			|| case when source = 'runs' then '(first < last or %1$I < %2$I) and %1$I <= $4'
				when kind = 'endedAt' then '%2$I <= $4' else 'first = last and %1$I = %2$I and %2$I <= $4' end || $q$
				and status = $1[1] and %2$I is not null and (%2$I, first) < (%4$s, $6)
				and ($2 is null or name_of(task) = $2) and ($3 is null or batch = $3)
				and ($8 is null or ended_at >= $8) and ($9 is null or ended_at < $9)
			order by %2$I desc, first desc limit $7$q$ end, low, high, own, upper)
		using states, its_task, its_batch, its_value, its_upper, its_first, most, since, until;
end $$;
