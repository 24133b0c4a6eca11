-- Moves of the jobs of a filter, a page at a time.

-- A page of the filter's jobs in these states. Next is the last job that was looked at; null at the end.
create function find_ids(filter jsonb, states integer[], after bigint, up_to bigint, most integer, out ids bigint[], out next bigint)
	language plpgsql stable as $$
declare
	its_task bigint := (select id from task where name = filter->>'task');
	its_batch bigint := (select b.id from batch b where name = filter->>'batch'
		and not exists (select from owner o where o.id = b.owner and o.name <> filter->>'owner'));
	candidates bigint[];
	r range;
	id bigint;
	j job;
	looked integer := 0;
	is_timed boolean := filter ? 'since' or filter ? 'until';
begin
	ids := '{}';
	if filter ? 'task' and its_task is null or filter ? 'batch' and its_batch is null then return; end if;
	if filter ? 'key' then
		candidates := array_remove(array[holder_of(its_task, its_batch, filter->>'key')], null);
		if filter ? 'ids' then candidates := array(select x from unnest(candidates) x where to_jsonb(x) <@ (filter->'ids')); end if;
	elsif filter ? 'ids' then
		candidates := array(select jsonb_array_elements_text(filter->'ids')::bigint);
	end if;
	if filter ? 'stale' then
		candidates := array(select k::bigint from jsonb_object_keys(stale_jobs(candidates)) k where candidates is null or k::bigint = any (candidates));
	end if;
	for r in
		select x, x from (select distinct x from unnest(candidates) x where x > after and x <= up_to order by x) own cross join lateral place_of(x) p
		where p.state = any (states) and (its_task is null or name_of(p.task) = its_task) and (its_batch is null or p.batch = its_batch)
		union all select * from find_ranges(states, its_task, its_batch, after, up_to, case when is_timed then @MAX_CHECKED@ else most end + 1) where candidates is null
	loop
		for id in select generate_series(greatest(r.first, after + 1), least(r.last, up_to)) loop
			if cardinality(ids) = most then
				next := ids[most];
				return;
			end if;
			if is_timed then
				looked := looked + 1;
				if looked > @MAX_CHECKED@ then
					next := id - 1;
					return;
				end if;
				if j.first is null or id > j.last then select * into j from job_row(id); end if;
				if j.created_at < (filter->>'since')::float8 or j.created_at >= (filter->>'until')::float8 then continue; end if;
			end if;
			ids := ids || id;
		end loop;
	end loop;
end $$;

create function move(call jsonb) returns jsonb language plpgsql as $$
declare
	target text := call->>'to';
	states integer[] := array(select jsonb_array_elements_text(call->'states')::integer);
	up_to bigint;
	found_ids bigint[];
	found_next bigint;
	moved bigint[] := '{}';
	asked bigint[] := '{}';
	id bigint;
	at integer := 1;
	-- The number of neighbours that are moved together: they share the row of their state.
	number integer;
	p place;
	request bigint;
	done jsonb;
	has_no_edges boolean;
begin
	perform begin_call(call, true);
	has_no_edges := not exists (select from edge) and not exists (select from parent_change);
	done := fold();
	up_to := coalesce((call->>'upTo')::bigint, (select last from job order by first desc limit 1), 0);
	select f.ids, f.next into found_ids, found_next from find_ids(call->'filter', states, (call->>'after')::bigint, up_to, (call->>'limit')::integer) f;
	while at <= cardinality(found_ids) loop
		id := found_ids[at];
		p := place_of(id);
		number := 1;
		if p.state <> @RUNNING@ and target <> 'unheld' and (target <> 'pending' or has_no_edges and can_retry_together(p)) then
			while found_ids[at + number] = id + number and id + number <= p.last loop number := number + 1; end loop;
		end if;
		at := at + number;
		if p.state is null or p.state <> all (states) or (call->>'isHeld')::boolean and not is_held(p) then continue; end if;
		-- A flow is not enqueued again, so that its input stays at its end.
		if target = 'discarded' then update batch set total = null where batch.id = p.batch and not coalesce(shape ? 'structure', false); end if;
		if target = 'pending' then
			-- Before parents are counted, their changes have been passed on.
			if number > 1 then
				perform retry_range(p, id, id + number - 1);
				moved := moved || found_ids[at - number : at - 1];
			elsif retry_job(id, states) then
				moved := moved || id;
			end if;
		elsif target = 'unheld' then
			if unhold(id, null) then moved := moved || id; end if;
		elsif target = 'held' then
			if p.state in (@PARKED@, @HELD@) or p.stop is not null then continue; end if;
			if p.state = @RUNNING@ then
				perform set_stop(p, id, @STOP_HOLD@);
				asked := asked || id;
			else
				perform hold_jobs(p, id, id + number - 1);
				moved := moved || found_ids[at - number : at - 1];
			end if;
		elsif p.state = @RUNNING@ then
			request := case when target = 'cancelled' then now_ms() when (call->>'stop')::boolean then @STOP_DISCARD_NOW@ else @STOP_DISCARD@ end;
			perform set_stop(p, id, case when p.stop is null or p.stop < 0 then request else p.stop end);
			asked := asked || id;
		elsif target = 'cancelled' then
			perform cancel_jobs(p, id, id + number - 1, p.executions);
			moved := moved || found_ids[at - number : at - 1];
		else
			perform delete_range(p, id, id + number - 1);
			moved := moved || found_ids[at - number : at - 1];
		end if;
	end loop;
	return jsonb_build_object('ids', to_jsonb(moved), 'asked', to_jsonb(asked), 'next', found_next, 'upTo', up_to) || end_call(done);
end $$;

-- What a running job is asked.
create function set_stop(p place, its_id bigint, request bigint) returns void language plpgsql as $$
declare
	c claimed;
begin
	select * into c from claimed where first = p.first;
	perform take_claimed(c, its_id, its_id);
	insert into claimed values (its_id, its_id, c.task, c.rank, c.batch, c.execution, c.lease, c.owner, request, c.started_at);
end $$;

-- Held jobs: an earlier run of their batch has left them unfinished, and a later one has not named them. Those that do not run have rows in waiting with
-- times less than 0, so that they never become due. A running one is held if its execution does not end it.
create function is_held(p place) returns boolean language sql immutable as $$
	select coalesce(p.state = @HELD@ or p.state = @RUNNING@ and p.stop = @STOP_HOLD@, false)
$$;

create function are_some_held() returns boolean language plpgsql stable as $$
begin
	return exists (select from waiting where run_at < 0) or exists (select from claimed where stop = @STOP_HOLD@);
end $$;

-- Writes that jobs are held, which have no state any more. Due: when they would become due; null for at once.
create function insert_held(p place, its_first bigint, its_last bigint, its_rank integer, due bigint) returns void language plpgsql as $$
begin
	insert into waiting values (its_first, its_last, p.task, its_rank, p.batch, p.executions, -coalesce(due, 1), false);
	update expiry set expires_at = -1 where id between its_first and its_last;
	perform count_change(p.task, p.batch, p.state, @HELD@, its_last - its_first + 1);
end $$;

create function hold_jobs(p place, its_first bigint, its_last bigint) returns void language plpgsql as $$
begin
	perform take_out(p, its_first, its_last);
	perform insert_held(p, its_first, its_last, p.rank, case when p.state in (@DELAYED@, @BLOCKED@) then p.run_at end);
end $$;

-- Ends the hold of a job. It has the options of the group g from now on, or keeps its own. Returns false if it was not held.
create function unhold(its_id bigint, g jsonb) returns boolean language plpgsql as $$
declare
	p place := place_of(its_id);
	due bigint := nullif(-p.run_at, 1);
begin
	if not is_held(p) then return false; end if;
	perform require_alone();
	-- To isolate a job writes the rest of its row anew.
	if g is not null and exists (select from job_row(its_id) j where (j.policy, j.priority) <> ((g->>'policy')::integer, (g->>'priority')::integer)) then
		perform isolate_job(its_id);
		update job set policy = (g->>'policy')::integer, priority = (g->>'priority')::integer where first = its_id;
		p.rank := -(g->>'priority')::integer;
	end if;
	if p.state = @RUNNING@ then
		perform set_stop(p, its_id, null);
		update claimed set rank = p.rank where first = its_id;
		return true;
	end if;
	perform reach_children(null);
	perform take_out(p, its_id, its_id);
	if g is not null then p := rescope(its_id, p, (g->>'task')::bigint); end if;
	update expiry set expires_at = greatest(due, now_ms()) + expires_ms where id = its_id;
	perform begin_round(its_id, p, p.rank, due);
	if exists (select from blocked where first = its_id) then update expiry set expires_at = -1 where id = its_id; end if;
	if lost_parent_of(its_id) is not null then perform cancel_child(its_id, lost_parent_of(its_id)); end if;
	perform reach_children(null);
	return true;
end $$;

-- The job, which has no row of a state, gets the scope of those who name it anew: this changes the number of its task.
create function rescope(its_id bigint, p place, anew bigint) returns place language plpgsql as $$
declare
	its_task bigint := anew - name_of(anew) + name_of(p.task);
begin
	if p.task <> its_task then
		perform isolate_job(its_id);
		update job set task = its_task where first = its_id;
		perform count_change(p.task, p.batch, p.state, null, 1), count_change(its_task, p.batch, null, p.state, 1);
		p.task := its_task;
	end if;
	return p;
end $$;
