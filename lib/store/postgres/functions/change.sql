-- Jobs that are taken out of their state: to delete them, to cancel them, or for a new round.

-- Takes jobs with consecutive ids out of the row that has their state. The others of the row keep it.
create function take_out(p place, its_first bigint, its_last bigint) returns void language plpgsql as $$
declare
	c claimed;
	o outcome;
begin
	case
		when p.state in (@READY@, @QUARANTINED@) then
			with gone as (delete from ready where first = p.first returning *)
				insert into ready select part.first, part.last, lane, rank, batch, executions from gone, rest_of(gone.first, gone.last, its_first, its_last) part;
		when p.state in (@DELAYED@, @FAILED@, @PARKED@, @HELD@) then
			with gone as (delete from waiting where first = p.first returning *)
				insert into waiting select part.first, part.last, task, rank, batch, executions, run_at, failed from gone, rest_of(gone.first, gone.last, its_first, its_last) part;
		when p.state = @BLOCKED@ then
			perform take_blocked(its_first, its_last);
		when p.state = @RUNNING@ then
			select * into c from claimed where first = p.first;
			perform take_claimed(c, its_first, its_last);
		else
			delete from outcome where first = p.first returning * into o;
			perform insert_part(o, first, last) from rest_of(o.first, o.last, its_first, its_last);
	end case;
end $$;

-- Inserts the part of an outcome that some of its jobs have. Its other columns stay, also those that a later version has added, whose programs use it too.
create function insert_part(o outcome, its_first bigint, its_last bigint) returns void language plpgsql as $$
begin
	o.times := cut_times(o.times, (its_first - o.first)::integer, (its_last - its_first + 1)::integer);
	o.text_value := cut_lines(o.text_value, its_first - o.first + 1, its_last - o.first + 1);
	o.first := its_first;
	o.last := its_last;
	insert into outcome values (o.*);
end $$;

-- Deletes all rows of jobs with consecutive ids but those of their states.
create function delete_jobs(its_first bigint, its_last bigint) returns void language plpgsql as $$
declare
	j job;
begin
	delete from failure_state where id between its_first and its_last;
	delete from execution where id between its_first and its_last;
	delete from progress where id between its_first and its_last;
	delete from checkpoint where id between its_first and its_last;
	delete from log where id between its_first and its_last;
	delete from fingerprint where id between its_first and its_last;
	delete from scheduled where id between its_first and its_last;
	perform end_expiry(its_first, its_last);
	-- Those that wait for these can't run any more, and the edges to them are not needed.
	perform parents_changed(its_first, its_last, 'deleted');
	for j in delete from job where first >= (select max(first) from job where first <= its_first and first > its_first - @MAX_GROUP_JOBS@) and first <= its_last and last >= its_first returning * loop
		perform free_keys(j, greatest(j.first, its_first), least(j.last, its_last));
		perform insert_job_part(j, first, last) from rest_of(j.first, j.last, its_first, its_last);
	end loop;
	perform delete_edges_to(its_first, its_last);
end $$;

create function insert_job_part(j job, its_first bigint, its_last bigint) returns void language plpgsql as $$
begin
	j.keys := cut_lines(j.keys, its_first - j.first + 1, its_last - j.first + 1);
	j.text_value := cut_lines(j.text_value, its_first - j.first + 1, its_last - j.first + 1);
	j.first_number := j.first_number + its_first - j.first;
	j.first := its_first;
	j.last := its_last;
	insert into job values (j.*);
end $$;

-- Gives a job a row of its own in the table job, to change it.
create function isolate_job(its_id bigint) returns void language plpgsql as $$
declare
	j job;
begin
	select * into j from job_row(its_id);
	if j.first = j.last then return; end if;
	delete from job where first = j.first;
	perform insert_job_part(j, first, last) from rest_of(j.first, j.last, its_id, its_id);
	perform insert_job_part(j, its_id, its_id);
end $$;

-- Cancels jobs that are not running, which share the row of their state.
create function cancel_jobs(p place, its_first bigint, its_last bigint, its_execution integer) returns void language plpgsql as $$
begin
	perform take_out(p, its_first, its_last);
	insert into outcome values (its_first, its_last, p.task, p.rank, p.batch, its_execution, @CANCELLED@, now_ms(), null, null, null, null);
	perform end_expiry(its_first, its_last);
	perform count_change(p.task, p.batch, p.state, @CANCELLED@, its_last - its_first + 1);
	perform parents_changed(its_first, its_last, 'dead');
end $$;

-- A failure whose message is about these: its template has %s for each.
create function failure_about(template text, variadic about text[]) returns text language sql immutable as $$
	select jsonb_set(template::jsonb, '{message}', to_jsonb(format(template::jsonb->>'message', variadic about)))::text
$$;

-- Cancels a job that is not running, and keeps why. Attempts that it has made still count, and an execution that failed is in its history.
create function cancel_because(p place, its_id bigint, its_failure text) returns void language plpgsql as $$
declare
	-- Its history has each number once.
	its_execution integer := p.executions + 1;
begin
	if p.executions > 0 then perform keep_failure(its_id); end if;
	perform cancel_jobs(p, its_id, its_id, its_execution);
	insert into failure_state (id, attempts, execution, ended_at, failure) values (its_id, 0, its_execution, now_ms(), its_failure)
		on conflict (id) do update set execution = its_execution, ended_at = now_ms(), failure = its_failure,
			times = null, worker = null, started_at = null, duration_ms = null;
end $$;

-- Ends the round of a job: of its state only the number of executions is left. A new state must follow.
create function end_round(its_id bigint, p place) returns void language plpgsql as $$
declare
	its_digest text;
begin
	if exists (select from edges_from(its_id, its_id, 0)) then its_digest := digest_of(its_id); end if;
	if p.executions > 0 then
		perform keep_failure(its_id);
		insert into execution select its_id, o.execution, o.status, o.ended_at, cut_times(o.times, (its_id - o.first)::integer, 1), o.worker, null from outcome o
			where o.first = p.first and p.state in (@COMPLETED@, @CANCELLED@) and has_run(o, its_id) on conflict do nothing;
		if found then perform trim_executions(its_id); end if;
	end if;
	perform take_out(p, its_id, its_id);
	delete from failure_state where id = its_id;
	delete from progress where id = its_id;
	perform end_expiry(its_id, its_id);
	if p.state in (@COMPLETED@, @DEAD@, @CANCELLED@) then
		perform parents_changed(its_id, its_id, 'reopened', its_digest);
	end if;
end $$;

-- True if an ended job has run: it completed, or its start is known. The execution of a dead one is that of its failure.
create function has_run(o outcome, its_id bigint) returns boolean language sql immutable as $$
	select o.status = @COMPLETED@ or o.status = @CANCELLED@ and o.latest_start is not null
$$;

create function begin_round(its_id bigint, p place, its_rank integer, due bigint) returns void language plpgsql as $$
declare
	unmet integer := unmet_parents_of(its_id);
begin
	if unmet > 0 then
		insert into blocked values (its_id, its_id, p.task, its_rank, p.batch, p.executions, case when due > now_ms() then due end, unmet);
		perform count_change(p.task, p.batch, p.state, @BLOCKED@, 1);
	else
		perform make_ready(its_id, its_id, p.task, its_rank, p.batch, p.executions, p.state, due);
	end if;
end $$;

-- Begins a new round of a job in one of these states. Returns false if it is in none, or another job has its key.
create function retry_job(its_id bigint, states integer[]) returns boolean language plpgsql as $$
declare
	p place := place_of(its_id);
	j job;
begin
	if p.state is null or p.state <> all (states) then return false; end if;
	perform reach_children(null);
	p := place_of(its_id);
	-- A job whose parent is dead can't run before that has a new round, too.
	if lost_parent_of(its_id) is not null then return false; end if;
	select * into j from job_row(its_id);
	if j.keys is not null and j.batch is null then
		-- If the job that took the key was deleted, the key is this job's again.
		insert into key values (key_space(j.task, null), key_in(j, its_id), its_id) on conflict do nothing;
		if (select id from key where space = key_space(j.task, null) and key = key_in(j, its_id)) <> its_id then return false; end if;
	end if;
	perform end_round(its_id, p);
	perform begin_round(its_id, p, -j.priority, null);
	-- Before the next job is moved, which may wait for this one.
	perform reach_children(null);
	return true;
end $$;

-- True if jobs that share this row of an end need not be retried one by one: none has run, and none may find its key taken by another job.
create function can_retry_together(p place) returns boolean language plpgsql stable as $$
begin
	return p.executions = 0 and p.state = @CANCELLED@ and (p.batch is not null or not exists (
		select from job where first > p.first - @MAX_GROUP_JOBS@ and first <= p.last and last >= p.first and keys is not null
	));
end $$;

create function retry_range(p place, its_first bigint, its_last bigint) returns void language plpgsql as $$
begin
	perform take_out(p, its_first, its_last);
	delete from failure_state where id between its_first and its_last;
	delete from progress where id between its_first and its_last;
	perform end_expiry(its_first, its_last);
	perform make_ready(its_first, its_last, p.task, p.rank, p.batch, 0, p.state);
end $$;

create function key_in(j job, its_id bigint) returns text language sql immutable as $$
	select coalesce((j.first_number + its_id - j.first)::text, line_of(j.keys, j.first, j.last, its_id))
$$;

-- Begins a new round of a job that is enqueued again, with all that it is given now. Place: in its new group, from 1. Not is_changed: only if it has failed,
-- and with the payload and checkpoint that it has. Returns false, with no change, if it can't begin: the job runs, would
-- wait for itself, or would give up a result for a dead parent.
create function rerun_job(its_id bigint, g jsonb, place integer, is_changed boolean, its_text text, its_bytes bytea) returns boolean language plpgsql as $$
declare
	p place := place_of(its_id);
	j job;
	due bigint := due_of(g);
	lost bigint := g->'lost'->>(place - 1);
begin
	if p.state is null or p.state = @RUNNING@ then return false; end if;
	perform reach_children(null);
	p := place_of(its_id);
	if not is_changed and p.state not in (@FAILED@, @PARKED@, @DEAD@, @CANCELLED@) then return false; end if;
	if lost is not null and (not is_changed or p.state = @COMPLETED@) or g ? 'links' and is_ancestor(its_id, g) then return false; end if;
	perform end_round(its_id, p);
	-- The checkpoint belongs to the old payload.
	if is_changed then delete from checkpoint where id = its_id; end if;
	select * into j from job_row(its_id);
	if is_changed or (j.policy, j.priority) <> ((g->>'policy')::integer, (g->>'priority')::integer) then
		perform isolate_job(its_id);
		update job set policy = (g->>'policy')::integer, priority = (g->>'priority')::integer where first = its_id;
		if is_changed then update job set text_value = its_text, byte_value = its_bytes where first = its_id; end if;
	end if;
	if g ? 'links' or exists (select from edges_to(its_id, its_id)) then
		perform require_alone();
		perform delete_edges_to(its_id, its_id);
		perform insert_edges(g, place, 1, its_id);
	end if;
	p := rescope(its_id, p, (g->>'task')::bigint);
	perform begin_round(its_id, p, -(g->>'priority')::integer, due);
	perform set_expiry(its_id, its_id, (g->>'expires')::bigint, due);
	if exists (select from blocked where first = its_id) then update expiry set expires_at = -1 where id = its_id; end if;
	if lost is not null then perform cancel_child(its_id, lost); end if;
	perform reach_children(null);
	return true;
end $$;

-- Changes a pending or failed job. Attempts, failure and the number of executions stay.
create function edit_job(edit jsonb, texts text[], bytes bytea[]) returns jsonb language plpgsql as $$
declare
	its_id bigint := edit->>'id';
	p place := place_of(its_id);
	its_rank integer;
	due bigint := due_of(edit);
	has_time boolean := edit ? 'at' or edit ? 'delay';
begin
	if p.state is null then
		perform take_over(array(select id from arrived where id = its_id for update));
		p := place_of(its_id);
	end if;
	if p.state is null then return '"missing"'; end if;
	if p.state = @BLOCKED@ then
		-- Before parents are counted, their changes have been passed on.
		perform reach_children(null);
		p := place_of(its_id);
	end if;
	if p.state between @RUNNING@ and @CANCELLED@ then return to_jsonb(p.state); end if;
	its_rank := coalesce(-(edit->>'priority')::integer, p.rank);
	if has_time or its_rank <> p.rank then
		perform take_out(p, its_id, its_id);
		if has_time then update expiry set expires_at = greatest(due, now_ms()) + expires_ms where id = its_id; end if;
		if p.state = @BLOCKED@ then
			insert into blocked values (its_id, its_id, p.task, its_rank, p.batch, p.executions,
				case when not has_time then p.run_at when due > now_ms() then due end, unmet_parents_of(its_id));
			update expiry set expires_at = -1 where id = its_id;
		elsif p.state = @HELD@ then
			perform insert_held(p, its_id, its_id, its_rank, case when not has_time then nullif(-p.run_at, 1) when due > now_ms() then due end);
		elsif p.state in (@DELAYED@, @FAILED@, @PARKED@) and not has_time or has_time and due > now_ms() then
			insert into waiting values (its_id, its_id, p.task, its_rank, p.batch, p.executions, case when has_time then due else p.run_at end,
				p.state in (@FAILED@, @PARKED@));
			perform count_change(p.task, p.batch, p.state, case when p.state in (@FAILED@, @PARKED@)
				then case when has_time or p.run_at is not null then @FAILED@ else @PARKED@ end else @DELAYED@ end, 1);
		else
			perform make_ready(its_id, its_id, p.task, its_rank, p.batch, p.executions, p.state);
		end if;
	end if;
	if edit ? 'priority' or edit ? 'values' then perform isolate_job(its_id); end if;
	if edit ? 'priority' then update job set priority = -its_rank where first = its_id; end if;
	if edit ? 'values' then
		update job set text_value = texts[(edit->>'values')::integer], byte_value = bytes[(edit->>'values')::integer] where first = its_id;
		delete from checkpoint where id = its_id;
	end if;
	return '"edited"';
end $$;
