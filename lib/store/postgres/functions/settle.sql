-- Ends of executions. take_claim is the fence (I5). An item is JSON: `{first, last, lease, execution, type, values, packed, times, worker, …}`. One of the type `returned` is about
-- jobs with consecutive ids; its values are elements of `texts` and `bytes`, as those of a new group. Any other type is about one job.

-- The times of some of the jobs for which they were packed: lib/job/groups/packed.ts. Their head has four float8, the number of jobs as uint32, and the bytes
-- per job of four columns.
create function cut_times(times bytea, start integer, number integer) returns bytea language plpgsql immutable as $$
declare
	count integer := get_byte(times, 32) + get_byte(times, 33) * 256 + get_byte(times, 34) * 65536;
	at integer := 41;
	cut bytea := substring(times from 1 for 32)
		|| set_byte(set_byte(set_byte('\x00000000', 0, number % 256), 1, number / 256 % 256), 2, number / 65536) || substring(times from 37 for 4);
	width integer;
	own bytea;
begin
	for i in 36 .. 39 loop
		width := get_byte(times, i);
		own := substring(times from at + start * width for number * width);
		cut := cut || own || decode(repeat('00', (8 - length(own) % 8) % 8), 'hex');
		at := at + (count * width + 7) / 8 * 8;
	end loop;
	return cut;
end $$;

-- Keeps how the last execution failed, before another one takes its place.
create function keep_failure(its_id bigint) returns void language plpgsql as $$
begin
	insert into execution select id, execution, @FAILED@, ended_at, times, worker, failure from failure_state
		where id = its_id and failure is not null and execution is not null on conflict do nothing;
	if found then perform trim_executions(its_id); end if;
end $$;

create function trim_executions(its_id bigint) returns void language sql as $$
	delete from execution where id = its_id and (select count(*) from execution where id = its_id) > @MAX_EXECUTIONS@
		and execution = (select execution from execution where id = its_id order by execution limit 1 offset @MAX_EXECUTIONS@ / 2)
$$;

-- The claim of a job, if it is still that of the item: lease and number of the execution are the fence. Null otherwise.
create function take_claim(its_id bigint, item jsonb) returns claimed language plpgsql as $$
declare
	its_lease bigint := item->>'lease';
	its_execution integer := item->>'execution';
	c claimed;
	first_id bigint;
begin
	loop
		select first into first_id from claimed where first <= its_id and first > its_id - @MAX_GROUP_JOBS@ and last >= its_id
			and lease = its_lease and execution = its_execution order by first desc limit 1;
		if not found then return null; end if;
		select * into c from claimed where first = first_id and last >= its_id for update;
		-- Otherwise another call has cut the row just now, and this job is in a new one.
		if found then return c; end if;
	end loop;
end $$;

-- Takes jobs out of a claimed row. The others of it stay claimed.
create function take_claimed(c claimed, its_first bigint, its_last bigint) returns void language plpgsql as $$
begin
	delete from claimed where first = c.first;
	insert into claimed select first, last, c.task, c.rank, c.batch, c.execution, c.lease, c.owner, c.stop, c.started_at
		from rest_of(c.first, c.last, its_first, its_last);
end $$;

-- Completes those jobs of an item that the claim still holds. Returns the ranges of the others. Is_plain: no job has edges, a time or a checkpoint.
create function complete(item jsonb, texts text[], bytes bytea[], is_plain boolean) returns jsonb language plpgsql as $$
begin
	-- Usually they are a claimed row.
	if (item->'packed')::boolean or item->'first' = item->'last' then
		with c as (
			delete from claimed where first = (item->'first')::bigint and last = (item->'last')::bigint
				and lease = (item->'lease')::bigint and execution = (item->'execution')::integer
			returning *
		),
		moved as (
			insert into tally_change (batch, task, state, jobs, store)
			select batch, task, state, sign * (last - first + 1), current_setting('faena.store')::integer
			from c, (values (@RUNNING@, -1), (@COMPLETED@, 1)) change (state, sign)
		)
		insert into outcome select first, last, task, rank, batch, execution, @COMPLETED@, now_ms(), bytes[(item->'times')::integer],
			texts[(item->'values')::integer], bytes[(item->'values')::integer], item->>'worker',
			(item->'bounds'->>0)::bigint, (item->'bounds'->>1)::bigint, (item->'bounds'->>2)::float8, (item->'bounds'->>3)::float8 from c;
		if found then
			if not is_plain or item->'execution' <> '1' then perform clear_completed((item->'first')::bigint, (item->'last')::bigint, (item->'execution')::integer); end if;
			return '[]';
		end if;
	end if;
	return complete_parts(item, texts, bytes);
end $$;

-- The same for jobs that are in several claimed rows, in a part of one, or in none.
create function complete_parts(item jsonb, texts text[], bytes bytea[]) returns jsonb language plpgsql as $$
declare
	its_first bigint := item->'first';
	its_last bigint := item->'last';
	at bigint := its_first;
	upto bigint;
	c claimed;
	lost jsonb := '[]';
	value integer := item->'values';
	its_times bytea := bytes[(item->'times')::integer];
begin
	while at <= its_last loop
		c := take_claim(at, item);
		if c.first is not null then
			upto := least(c.last, its_last);
			perform take_claimed(c, at, upto);
			if (item->'packed')::boolean or its_first = its_last then
				insert into outcome values (at, upto, c.task, c.rank, c.batch, c.execution, @COMPLETED@, now_ms(),
					case when upto - at = its_last - its_first then its_times else cut_times(its_times, (at - its_first)::integer, (upto - at + 1)::integer) end,
					case when upto - at = its_last - its_first then texts[value] else cut_lines(texts[value], at - its_first + 1, upto - its_first + 1) end,
					bytes[value], item->>'worker', (item->'bounds'->>0)::bigint, (item->'bounds'->>1)::bigint, (item->'bounds'->>2)::float8, (item->'bounds'->>3)::float8);
			else
				insert into outcome select id, id, c.task, c.rank, c.batch, c.execution, @COMPLETED@, now_ms(),
					cut_times(its_times, i, 1), texts[value + i], bytes[value + i], item->>'worker',
					(item->'starts'->>i)::bigint, (item->'starts'->>i)::bigint, (item->'durations'->>i)::float8, (item->'durations'->>i)::float8
					from generate_series(at, upto) id cross join lateral (select (id - its_first)::integer) x (i);
			end if;
			perform count_change(c.task, c.batch, @RUNNING@, @COMPLETED@, upto - at + 1);
			perform clear_completed(at, upto, c.execution);
		else
			upto := least(its_last, coalesce((select min(first) from claimed where first > at) - 1, its_last));
			lost := lost || jsonb_build_array(jsonb_build_array(at, upto));
		end if;
		at := upto + 1;
	end loop;
	return lost;
end $$;

-- The jobs have completed: those that wait for them go on, the failures of their earlier executions are history, and there is no state from which to go on.
create function clear_completed(its_first bigint, its_last bigint, its_execution integer) returns void language plpgsql as $$
begin
	perform parents_changed(its_first, its_last, 'completed');
	perform end_expiry(its_first, its_last);
	delete from checkpoint where id between its_first and its_last;
	if its_execution = 1 then return; end if;
	perform keep_failure(id) from failure_state where id between its_first and its_last;
	update failure_state set suspicion = 0, failure = null, times = null, started_at = null, duration_ms = null where id between its_first and its_last;
end $$;

-- What is decided about the end of an execution by: what was charged to the job before, its policy, and what it was asked.
create function facts_of(c claimed, its_id bigint) returns jsonb language sql stable as $$
	select jsonb_build_array(coalesce(f.attempts, 0), coalesce(f.crashes, 0), coalesce(f.delays, 0), coalesce(f.suspicion, 0), j.policy, c.stop)
	from job_row(its_id) j left join failure_state f on f.id = its_id
$$;

-- Ends an execution that has not returned, as its item says, which was decided by its facts: lib/job/next-state.ts. Returns the facts, and does nothing, if
-- they are others; a text otherwise.
create function end_execution(item jsonb, texts text[], bytes bytea[]) returns jsonb language plpgsql as $$
declare
	its_id bigint := item->'first';
	c claimed := take_claim(its_id, item);
	facts jsonb;
	-- A released execution leaves the times of the one before it.
	its_times bytea := case when item->>'type' <> 'released' then bytes[(item->'times')::integer] end;
begin
	if c.first is null then return '"lost"'; end if;
	facts := facts_of(c, its_id);
	if item->'facts' is distinct from facts then return facts; end if;
	perform take_claimed(c, its_id, its_id);
	if item->>'to' <> 'discarded' then
		if c.execution > 1 and item->>'type' <> 'released' then perform keep_failure(its_id); end if;
		perform write_charges(c, its_id, item, its_times);
	end if;
	perform leave(c, its_id, item, its_times);
	if item->>'to' = 'dead' then perform enqueue_group(g, texts, bytes, '{}') from jsonb_array_elements(item->'onDead') g; end if;
	return '"done"';
end $$;

-- Writes what is charged to a job, its last failure, and that it has started.
create function write_charges(c claimed, its_id bigint, item jsonb, its_times bytea) returns void language plpgsql as $$
begin
	if item ? 'failure' then
		insert into failure_state (id, attempts, crashes, delays, suspicion, execution, ended_at, times, worker, failure, started_at, duration_ms)
			values (its_id, (item->'charges'->0)::integer, (item->'charges'->1)::integer, (item->'charges'->2)::integer, (item->'charges'->3)::integer, c.execution,
				now_ms(), its_times, item->>'worker', item->>'failure', (item->'bounds'->>0)::bigint, (item->'bounds'->>2)::float8)
			on conflict (id) do update set (attempts, crashes, delays, suspicion, execution, ended_at, times, worker, failure, started_at, duration_ms) =
				(excluded.attempts, excluded.crashes, excluded.delays, excluded.suspicion, excluded.execution, excluded.ended_at, excluded.times, excluded.worker,
					excluded.failure, excluded.started_at, excluded.duration_ms);
	elsif item->>'type' = 'cancelled' then
		update failure_state set times = null, started_at = null, duration_ms = null where id = its_id;
	elsif item ? 'charges' then
		insert into failure_state (id, attempts, suspicion) values (its_id, 0, (item->'charges'->3)::integer) on conflict (id) do update set suspicion = excluded.suspicion;
	end if;
	if (item->'mayExpire')::boolean then update expiry set expires_at = -expires_at where id = its_id and expires_at < -1;
	else perform end_expiry(its_id, its_id);
	end if;
end $$;

-- A job whose claim was taken becomes what was decided.
create function leave(c claimed, its_id bigint, item jsonb, its_times bytea) returns void language plpgsql as $$
declare
	its_end text := item->>'to';
	its_status integer := case its_end when 'dead' then @DEAD@ when 'cancelled' then @CANCELLED@ end;
begin
	case its_end
		when 'ready' then perform make_ready(its_id, its_id, c.task, c.rank, c.batch, c.execution, @RUNNING@);
		when 'held' then perform insert_held((@RUNNING@, c.first, c.last, c.task, c.rank, c.batch, c.execution, null, null)::place, its_id, its_id, c.rank, null);
		when 'dead', 'cancelled' then
			insert into outcome values (its_id, its_id, c.task, c.rank, c.batch, c.execution, its_status, now_ms(), its_times, null, null, item->>'worker',
				(item->'bounds'->>0)::bigint, (item->'bounds'->>1)::bigint, (item->'bounds'->>2)::float8, (item->'bounds'->>3)::float8);
			perform count_change(c.task, c.batch, @RUNNING@, its_status, 1);
			perform parents_changed(its_id, its_id, 'dead');
		when 'discarded' then
			perform require_alone();
			perform count_change(c.task, c.batch, @RUNNING@, null, 1);
			perform delete_jobs(its_id, its_id);
		else
			insert into waiting values (its_id, its_id, c.task, c.rank, c.batch, c.execution, now_ms() + (item->'waitMs')::bigint, true);
			perform count_change(c.task, c.batch, @RUNNING@, case its_end when 'parked' then @PARKED@ else @FAILED@ end, 1);
	end case;
end $$;
