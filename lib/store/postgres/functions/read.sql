-- Reading: pages of jobs, how they ended, and their numbers.

-- Ranges of jobs in these states, of this task and batch if they are given, in order. Together they may have more jobs than are asked for. A row has at
-- most @MAX_GROUP_JOBS@ jobs, so that the first one to look at is found by an index.
create function find_ranges(states integer[], its_task bigint, its_batch bigint, after bigint, up_to bigint, most integer)
	returns setof range language sql stable as $$
	select first, last from (
		(
			select first, last from ready
			where first > after - @MAX_GROUP_JOBS@ and last > after and first <= up_to
				and case when lane < 0 then @QUARANTINED@ else @READY@ end = any (states)
				and (its_task is null or name_of(abs(lane)) = its_task) and (its_batch is null or batch = its_batch)
			order by first limit most
		)
		union all (
			select first, last from waiting
			where first > after - @MAX_GROUP_JOBS@ and last > after and first <= up_to
				and waiting_state(run_at, failed) = any (states)
				and (its_task is null or name_of(task) = its_task) and (its_batch is null or batch = its_batch)
			order by first limit most
		)
		union all (
			select first, last from blocked
			where first > after - @MAX_GROUP_JOBS@ and last > after and first <= up_to
				and @BLOCKED@ = any (states)
				and (its_task is null or name_of(task) = its_task) and (its_batch is null or batch = its_batch)
			order by first limit most
		)
		union all (
			select first, last from claimed
			where first > after - @MAX_GROUP_JOBS@ and last > after and first <= up_to
				and @RUNNING@ = any (states)
				and (its_task is null or name_of(task) = its_task) and (its_batch is null or batch = its_batch)
			order by first limit most
		)
		union all (
			select first, last from outcome
			where first > after - @MAX_GROUP_JOBS@ and last > after and first <= up_to
				and @COMPLETED@ = any (states) and status = @COMPLETED@
				and (its_task is null or name_of(task) = its_task) and (its_batch is null or batch = its_batch)
			order by first limit most
		)
		-- By an index of their own: they are few among those that completed.
		union all (
			select first, last from outcome
			where first > after - @MAX_GROUP_JOBS@ and last > after and first <= up_to
				and states && array[@DEAD@, @CANCELLED@] and status <> @COMPLETED@ and status = any (states)
				and (its_task is null or name_of(task) = its_task) and (its_batch is null or batch = its_batch)
			order by first limit most
		)
	) found order by first limit most
$$;

-- The line of one job of a range; null for an empty one. A single job has the whole text.
create function line_of(lines text, its_first bigint, its_last bigint, id bigint) returns text language sql immutable as $$
	select case when its_first = its_last then lines else nullif(split_part(lines, E'\n', (id - its_first + 1)::integer), '') end
$$;

-- The texts of all jobs of a range, as those of one.
create function texts_of(lines text, its_first bigint, its_last bigint) returns text[] language sql immutable as $$
	select case when its_first = its_last then array[lines] else string_to_array(lines, E'\n', '') end
$$;

create type description as (
	id bigint, info jsonb, times bytea,
	payload text, payload_bytes bytea, result text, result_bytes bytea, checkpoint text, checkpoint_bytes bytea
);

-- The jobs that exist of these, in the same order.
-- With their values, the page ends with the job that brings them to a size.
create function describe(ids bigint[], with_values boolean) returns setof description language plpgsql stable as $$
declare
	its_id bigint;
	j job;
	p place;
	o outcome;
	f failure_state;
	k checkpoint;
	d description;
	-- Of rows with several jobs, the texts of each.
	payloads text[];
	keys text[];
	results text[];
	bytes bigint := 0;
	stale jsonb := stale_jobs(ids);
begin
	foreach its_id in array ids loop
		exit when bytes >= @MAX_PAGE_BYTES@;
		-- Neighbours share rows.
		if j.first is null or its_id < j.first or its_id > j.last then
			select * into j from job_row(its_id);
			payloads := texts_of(j.text_value, j.first, j.last);
			keys := texts_of(j.keys, j.first, j.last);
		end if;
		if p.first is null or its_id < p.first or its_id > p.last then
			p := place_of(its_id);
			o := null;
			if p.state between @COMPLETED@ and @CANCELLED@ then select * into o from outcome where first = p.first; end if;
			results := texts_of(o.text_value, o.first, o.last);
		end if;
		if p.state is null or j.first is null or j.last < its_id then continue; end if;
		select * into f from failure_state where id = its_id;
		d := null;
		d.id := its_id;
		d.payload := payloads[its_id - j.first + 1];
		d.result := results[its_id - o.first + 1];
		d.info := info_of(its_id, j, p, o, f, d.payload, d.result)
			|| jsonb_build_object('stale', stale->(its_id::text), 'key', coalesce((j.first_number + its_id - j.first)::text, keys[its_id - j.first + 1]));
		-- A running job shows no figures of the execution before, once its own start is known.
		if d.info->>'startedAt' is null then d.times := coalesce(o.times, f.times); end if;
		if with_values then
			select * into k from checkpoint where id = its_id;
			d.info := d.info || jsonb_build_object('checkpoint', case when k.id is not null then jsonb_build_object('execution', k.execution, 'at', k.at) end);
			d.checkpoint := k.text_value;
			d.checkpoint_bytes := k.byte_value;
			d.payload_bytes := j.byte_value;
			d.result_bytes := o.byte_value;
			bytes := bytes + coalesce(octet_length(d.payload), octet_length(d.payload_bytes), 0) + coalesce(octet_length(d.result), octet_length(d.result_bytes), 0)
				+ coalesce(octet_length(d.checkpoint), octet_length(d.checkpoint_bytes), 0);
		else
			d.payload := null;
			d.result := null;
		end if;
		return next d;
	end loop;
end $$;

create function info_of(its_id bigint, j job, p place, o outcome, f failure_state, payload text, result text) returns jsonb language sql stable as $$
	select jsonb_build_object(
		'state', p.state,
		'task', (select name from task where id = name_of(j.task)),
		'scope', (select name from scope where id = scope_of(j.task)),
		'policy', j.policy,
		'priority', j.priority,
		'batch', (select b.name from batch b where b.id = j.batch),
		'createdAt', j.created_at,
		'scheduledAt', (select x.at from scheduled x where x.id = its_id),
		'runAt', case when abs(p.run_at) > 1 then abs(p.run_at) end,
		'startedAt', case when p.state = @RUNNING@ then (select c.started_at from claimed c where c.first = p.first) end,
		'endedAt', o.ended_at,
		'offset', its_id - o.first,
		'executions', p.executions,
		'attempts', coalesce(f.attempts, 0),
		'failure', f.failure,
		'payloadBytes', coalesce(octet_length(payload), octet_length(j.byte_value), 0),
		'resultBytes', case when p.state = @COMPLETED@ then coalesce(octet_length(result), octet_length(o.byte_value), 0) end,
		'progress', (select jsonb_build_object('done', done, 'total', total, 'at', at) from progress where id = its_id)
	)
$$;

-- How jobs ended. The state is null if a job has not ended. There is no row for a job that does not exist. Place: of the job among the ids, from 1. The
-- page ends with the job that brings the results to a size.
create function ends_of(ids bigint[]) returns table (id bigint, place integer, state smallint, result text, result_bytes bytea, failure text, stale text)
	language plpgsql stable as $$
declare
	o outcome;
	results text[];
	bytes bigint := 0;
	all_stale jsonb := stale_jobs(ids);
begin
	place := 0;
	foreach id in array ids loop
		exit when bytes >= @MAX_PAGE_BYTES@;
		place := place + 1;
		-- Neighbours share the row.
		if o.first is null or id < o.first or id > o.last then
			select * into o from outcome_row(ends_of.id);
			results := texts_of(o.text_value, o.first, o.last);
		end if;
		state := null;
		result := null;
		failure := null;
		stale := all_stale->>(id::text);
		if o.last >= id then
			state := o.status;
			result := results[id - o.first + 1];
			if state <> @COMPLETED@ then failure := (select x.failure from failure_state x where x.id = ends_of.id); end if;
		elsif (select last from job_row(ends_of.id)) >= id or exists (select from arrived a where a.id = ends_of.id) then
			null;
		else
			continue;
		end if;
		result_bytes := case when state is not null then o.byte_value end;
		bytes := bytes + coalesce(octet_length(result), octet_length(result_bytes), 0);
		return next;
	end loop;
end $$;

-- The executions of a job that have ended, in order. One that was kept, and is also the last one, counts once.
create function executions_of(its_id bigint)
	returns table (execution integer, status smallint, ended_at bigint, times bytea, "position" integer, worker text, failure text)
	language sql stable as $$
	select distinct on (1) * from (
		select e.execution, e.status, e.ended_at, e.times, 0, e.worker, e.failure from execution e where e.id = its_id
		union all
		select f.execution, @FAILED@::smallint, coalesce(f.ended_at, 0), f.times, 0, f.worker, f.failure from failure_state f
		where f.id = its_id and f.failure is not null and f.execution is not null
		union all
		select o.execution, o.status, o.ended_at, o.times, (its_id - o.first)::integer, o.worker, null
		from outcome_row(its_id) o
		where o.last >= its_id and has_run(o, its_id)
	) all_of order by 1
$$;

-- Of each task also a row without a scope.
create function counts() returns table (task text, scope text, paused boolean, state smallint, jobs bigint) language sql stable as $$
	select t.name, null, t.paused, null::smallint, 0::bigint from task t
		union all select t.name, s.name, t.paused, c.state, c.jobs
		from (select x.task, x.state, x.jobs from tally x union all select y.task, y.state, y.jobs from new_changes() y) c
		join task t on t.id = name_of(c.task) left join scope s on s.id = scope_of(c.task)
$$;
