-- Rows for lists that are sorted by a time or a duration, the highest first: lib/store/postgres/sorted.ts. The bounds of a row may be those of more jobs,
-- with which its jobs were settled. So a row with one job is a single only if they are equal. Outcomes are of one state, in whose order an index has them.
-- Upper bounds have the type of the column, by which an index finds it.

create type sorted_row as (first bigint, last bigint, upper double precision, times bytea);

-- Runs of outcomes of which a part may come before the place; an index has them apart.
create function outcome_runs(kind text, states integer[], its_task bigint, its_batch bigint, its_value float8, its_upper float8, its_first bigint,
	most integer, since float8, until float8) returns setof sorted_row language plpgsql stable as $$
begin
	case kind
		when 'startedAt' then return query
			select first, last, latest_start::float8 as upper, times from outcome
			where (first < last or earliest_start < latest_start) and earliest_start <= its_value and status = states[1] and latest_start is not null and (latest_start, first) < (least(its_upper, 9e18)::bigint, its_first)
				and (its_task is null or name_of(task) = its_task) and (its_batch is null or batch = its_batch)
				and (since is null or ended_at >= since) and (until is null or ended_at < until)
			order by latest_start desc, first desc limit most;
		when 'duration' then return query
			select first, last, longest_ms::float8 as upper, times from outcome
			where (first < last or shortest_ms < longest_ms) and shortest_ms <= its_value and status = states[1] and longest_ms is not null and (longest_ms, first) < (its_upper, its_first)
				and (its_task is null or name_of(task) = its_task) and (its_batch is null or batch = its_batch)
				and (since is null or ended_at >= since) and (until is null or ended_at < until)
			order by longest_ms desc, first desc limit most;
	end case;
end $$;

-- Rows of outcomes whose jobs have the same value.
create function outcome_singles(kind text, states integer[], its_task bigint, its_batch bigint, its_value float8, its_upper float8, its_first bigint,
	most integer, since float8, until float8) returns setof sorted_row language plpgsql stable as $$
begin
	case kind
		when 'startedAt' then return query
			select first, last, latest_start::float8 as upper, null::bytea from outcome
			where first = last and earliest_start = latest_start and latest_start <= its_value and status = states[1] and latest_start is not null and (latest_start, first) < (least(its_upper, 9e18)::bigint, its_first)
				and (its_task is null or name_of(task) = its_task) and (its_batch is null or batch = its_batch)
				and (since is null or ended_at >= since) and (until is null or ended_at < until)
			order by latest_start desc, first desc limit most;
		when 'endedAt' then return query
			select first, last, ended_at::float8 as upper, null::bytea from outcome
			where ended_at <= its_value and status = states[1] and ended_at is not null and (ended_at, first) < (least(its_upper, 9e18)::bigint, its_first)
				and (its_task is null or name_of(task) = its_task) and (its_batch is null or batch = its_batch)
				and (since is null or ended_at >= since) and (until is null or ended_at < until)
			order by ended_at desc, first desc limit most;
		when 'duration' then return query
			select first, last, longest_ms::float8 as upper, null::bytea from outcome
			where first = last and shortest_ms = longest_ms and longest_ms <= its_value and status = states[1] and longest_ms is not null and (longest_ms, first) < (its_upper, its_first)
				and (its_task is null or name_of(task) = its_task) and (its_batch is null or batch = its_batch)
				and (since is null or ended_at >= since) and (until is null or ended_at < until)
			order by longest_ms desc, first desc limit most;
	end case;
end $$;

-- Jobs that have not completed, and show the figures of their last execution, since their outcome has none.
create function failures(kind text, states integer[], its_task bigint, its_batch bigint, its_value float8, its_upper float8, its_first bigint,
	most integer, since float8, until float8) returns setof sorted_row language plpgsql stable as $$
begin
	case kind
		when 'startedAt' then return query
			select f.id, f.id, f.started_at::float8, null::bytea from failure_state f cross join lateral place_of(f.id) p
			where (f.started_at, f.id) < (least(its_upper, 9e18)::bigint, its_first) and f.started_at <= its_value
				and p.state = any (states) and (
					p.state not between @COMPLETED@ and @CANCELLED@ and since is null and until is null
					or exists (select from outcome o where o.first = p.first and p.state = o.status and o.latest_start is null
						and (since is null or o.ended_at >= since) and (until is null or o.ended_at < until))
				)
				and not exists (select from claimed c where p.state = @RUNNING@ and c.first = p.first and c.started_at is not null)
				and (its_task is null or name_of(p.task) = its_task) and (its_batch is null or p.batch = its_batch)
			order by f.started_at desc, f.id desc limit most;
		when 'duration' then return query
			select f.id, f.id, f.duration_ms::float8, null::bytea from failure_state f cross join lateral place_of(f.id) p
			where (f.duration_ms, f.id) < (its_upper, its_first) and f.duration_ms <= its_value
				and p.state = any (states) and (
					p.state not between @COMPLETED@ and @CANCELLED@ and since is null and until is null
					or exists (select from outcome o where o.first = p.first and p.state = o.status and o.longest_ms is null
						and (since is null or o.ended_at >= since) and (until is null or o.ended_at < until))
				)
				and not exists (select from claimed c where p.state = @RUNNING@ and c.first = p.first and c.started_at is not null)
				and (its_task is null or name_of(p.task) = its_task) and (its_batch is null or p.batch = its_batch)
			order by f.duration_ms desc, f.id desc limit most;
	end case;
end $$;

-- Jobs that run.
create function claims(states integer[], its_task bigint, its_batch bigint, its_value float8, its_upper float8, its_first bigint, most integer) returns setof sorted_row language plpgsql stable as $$
begin
	return query
		select first, last, started_at::float8, null::bytea from claimed
		where (started_at, first) < (its_upper, its_first) and started_at <= its_value and @RUNNING@ = any (states)
			and (its_task is null or name_of(task) = its_task) and (its_batch is null or batch = its_batch)
		order by started_at desc, first desc limit most;
end $$;

-- The next rows of a source, from a place on.
create function sorted_rows(source text, kind text, states integer[], task_name text, batch_name text, its_value float8, its_upper float8,
	its_first bigint, most integer, since float8, until float8) returns setof sorted_row language plpgsql stable as $$
declare
	its_task bigint := (select id from task where name = task_name);
	its_batch bigint := (select id from batch where name = batch_name);
begin
	if task_name is not null and its_task is null or batch_name is not null and its_batch is null then return; end if;
	case source
		when 'runs' then return query select * from outcome_runs(kind, states, its_task, its_batch, its_value, its_upper, its_first, most, since, until);
		when 'singles' then return query select * from outcome_singles(kind, states, its_task, its_batch, its_value, its_upper, its_first, most, since, until);
		when 'failures' then return query select * from failures(kind, states, its_task, its_batch, its_value, its_upper, its_first, most, since, until);
		when 'claims' then return query select * from claims(states, its_task, its_batch, its_value, its_upper, its_first, most);
	end case;
end $$;
