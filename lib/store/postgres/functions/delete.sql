-- Deletion of jobs that have ended, and of batches, a page at a time.

create function is_batch_open(its_id bigint) returns boolean language sql stable as $$
	select its_id is not null and exists (select from batch where id = its_id and closed_at is null)
$$;

-- Deletes jobs with consecutive ids, which share the row of their state.
create function delete_range(p place, its_first bigint, its_last bigint) returns void language plpgsql as $$
begin
	perform take_out(p, its_first, its_last);
	perform delete_jobs(its_first, its_last);
	perform count_change(p.task, p.batch, p.state, null, its_last - its_first + 1);
end $$;

-- Deletes those of the jobs at this place for which no unended job has waited: it needs their results. Returns their number.
create function delete_unneeded(p place, its_first bigint, its_last bigint) returns bigint language plpgsql as $$
declare
	its_id bigint;
	deleted bigint := 0;
begin
	if not is_needed(its_first, its_last) then
		perform delete_range(p, its_first, its_last);
		return its_last - its_first + 1;
	end if;
	for its_id in select generate_series(its_first, its_last) loop
		if is_needed(its_id, its_id) then continue; end if;
		perform delete_range(place_of(its_id), its_id, its_id);
		deleted := deleted + 1;
	end loop;
	return deleted;
end $$;

create function place_in(o outcome) returns place language sql immutable as $$
	select (o.status, o.first, o.last, o.task, o.rank, o.batch, o.execution, null, null)::place
$$;

-- The answer of a deletion, whose effects it passes on.
create function deleted(jobs bigint, next jsonb, done jsonb default '[]') returns jsonb language plpgsql as $$
begin
	return jsonb_build_object('deleted', jobs, 'next', next) || end_call(done);
end $$;

create function delete_by_id(call jsonb) returns jsonb language plpgsql as $$
declare
	its_id bigint;
	last_id bigint;
	room integer := call->>'limit';
	jobs bigint := 0;
	p place;
begin
	perform begin_call(call, true);
	for its_id in
		select distinct x::bigint from jsonb_array_elements_text(call->'ids') x where x::bigint > (call->>'after')::bigint order by 1
	loop
		if room = 0 then return deleted(jobs, to_jsonb(last_id)); end if;
		room := room - 1;
		last_id := its_id;
		p := place_of(its_id);
		if p.state between @COMPLETED@ and @CANCELLED@ and not is_batch_open(p.batch) then jobs := jobs + delete_unneeded(p, its_id, its_id); end if;
	end loop;
	return deleted(jobs, null);
end $$;

-- Looks at a page of ended jobs in order of arrival, and deletes those that ended before a time. The last page deletes closed batches without jobs.
create function delete_ended_before(call jsonb) returns jsonb language plpgsql as $$
declare
	o outcome;
	room bigint := call->>'limit';
	after bigint := call->>'after';
	jobs bigint := 0;
	its_first bigint;
	its_last bigint;
begin
	perform begin_call(call, true);
	for o in select * from outcome where first > after - @MAX_GROUP_JOBS@ and last > after order by first loop
		if room = 0 then return deleted(jobs, to_jsonb(after)); end if;
		its_first := greatest(o.first, after + 1);
		its_last := least(o.last, its_first + room - 1);
		if o.ended_at < (call->>'before')::bigint and not is_batch_open(o.batch) then jobs := jobs + delete_unneeded(place_in(o), its_first, its_last); end if;
		room := room - (its_last - its_first + 1);
		after := its_last;
		if its_last < o.last then return deleted(jobs, to_jsonb(after)); end if;
	end loop;
	delete from batch b where closed_at is not null and not exists (select from job where batch = b.id);
	delete from batch_tally t where not exists (select from batch where id = t.batch);
	return deleted(jobs, null);
end $$;

-- Looks at a page of ended jobs in the order of their ends, and deletes those that ended before the time of their task and status.
create function delete_outdated(call jsonb) returns jsonb language plpgsql as $$
declare
	o outcome;
	room bigint := call->>'limit';
	after_value bigint := call->>'afterValue';
	after_id bigint := call->>'afterId';
	jobs bigint := 0;
	its_first bigint;
	its_last bigint;
begin
	perform begin_call(call, true);
	for o in
		select old.* from unnest(array[@COMPLETED@, @DEAD@, @CANCELLED@]) its_status cross join lateral (
			select * from outcome
			where status = its_status and ended_at < (call->'latest'->>status_name(its_status))::bigint
				and ended_at >= after_value and (ended_at, last) > (after_value, after_id)
			order by ended_at, first limit room + 1
		) old order by ended_at, first
	loop
		if room = 0 then return deleted(jobs, jsonb_build_object('value', after_value, 'id', after_id)); end if;
		its_first := case when o.ended_at = after_value then greatest(o.first, after_id + 1) else o.first end;
		its_last := least(o.last, its_first + room - 1);
		if not is_batch_open(o.batch) and o.ended_at < end_time_of(call, o) then jobs := jobs + delete_unneeded(place_in(o), its_first, its_last); end if;
		room := room - (its_last - its_first + 1);
		after_value := o.ended_at;
		after_id := its_last;
	end loop;
	return deleted(jobs, case when room = 0 then jsonb_build_object('value', after_value, 'id', after_id) end);
end $$;

create function status_name(status integer) returns text language sql immutable as $$
	select case status when @COMPLETED@ then 'completed' when @DEAD@ then 'dead' else 'cancelled' end
$$;

-- When a job of this task and status must have ended to be deleted: the time of its task, if that has one.
create function end_time_of(call jsonb, o outcome) returns bigint language sql immutable as $$
	select coalesce((call->'tasks'->(name_of(o.task)::text)->>status_name(o.status))::bigint, (call->'times'->>status_name(o.status))::bigint)
$$;

-- Deletes a page of a batch's jobs, in any states, and with the last of them the batch.
create function delete_batch(call jsonb) returns jsonb language plpgsql as $$
declare
	its_id bigint := call->>'batch';
	room bigint := call->>'limit';
	jobs bigint := 0;
	j job;
	p place;
	at bigint;
	its_last bigint;
	done jsonb;
	number bigint;
begin
	perform begin_call(call, true);
	-- Since the caller has looked, jobs may have been claimed, or the batch may be in use again.
	number := (select sum(last - first + 1) from claimed where batch = its_id);
	if number > 0 then return jsonb_build_object('deleted', 0, 'next', null, 'running', number); end if;
	if call ? 'closedAt' and exists (
		select from batch b where b.id = its_id and (coalesce(b.closed_at, 0) <> (call->>'closedAt')::bigint or exists (select from owner o where o.id = b.owner))
	) then return deleted(0, null); end if;
	-- Otherwise the batch would complete with the deletion of its last unended job.
	update batch set total = null where id = its_id;
	for j in select * from job where batch = its_id order by first loop
		at := j.first;
		while at <= j.last loop
			if room = 0 then return deleted(jobs, to_jsonb(at - 1)); end if;
			p := place_of(at);
			its_last := least(j.last, p.last, at + room - 1);
			perform delete_range(p, at, its_last);
			jobs := jobs + its_last - at + 1;
			room := room - (its_last - at + 1);
			at := its_last + 1;
		end loop;
	end loop;
	done := fold();
	delete from batch where id = its_id;
	delete from batch_tally where batch = its_id;
	delete from key_run where batch = its_id;
	return deleted(jobs, null, done);
end $$;
