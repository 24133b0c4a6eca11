-- What a dispatcher does in one transaction.

-- What became of the parents of jobs with consecutive ids: a row for each row of outcomes, and for other parents one each.
create function results_for(its_first bigint, its_last bigint) returns setof answer language plpgsql as $$
declare
	e cut_edge;
	o outcome;
	p part;
	a answer;
	link jsonb;
begin
	perform forget_used(its_first, its_last);
	for e in select * from edges_to(its_first, its_last) where parent_first > 0 loop
		link := jsonb_build_object('edge', e.id, 'start', e.child_first, 'end', e.child_last, 'isEach', e.is_each, 'first', e.parent_first);
		for p in select * from states_in(e.parent_first, e.parent_last) loop
			a := null;
			if p.state = 'open' then
				perform require_alone();
				perform keep_used(parent, e.child_first + shift, case when e.is_each then e.child_first + shift else e.child_last end, 'open')
					from generate_series(p.first, p.last) parent cross join lateral (select case when e.is_each then parent - e.parent_first else 0 end) x (shift);
			end if;
			if p.state in ('open', 'missing') then
				link := link || jsonb_build_object('status', p.state, 'failure', null);
			else
				select * into o from outcome_row(p.first);
				link := link || jsonb_build_object('status', status_name(o.status),
					'failure', (select f.failure from failure_state f where f.id = p.first and p.state = 'dead'));
				a.job_first := o.first;
				a.job_last := o.last;
				a.text_value := o.text_value;
				a.byte_value := o.byte_value;
			end if;
			a.info := jsonb_build_object('parents', link);
			a.first := p.first;
			a.last := p.last;
			return next a;
		end loop;
	end loop;
end $$;

create function lost_children() returns jsonb language plpgsql as $$
declare
	ids jsonb;
begin
	if not exists (select from lost_child) then return '[]'; end if;
	with gone as (delete from lost_child returning id) select jsonb_agg(id order by id) into ids from gone;
	return ids;
end $$;

-- The number of ready jobs of the lanes that could be claimed; a lower bound if there are very many rows.
create function backlog(request jsonb) returns bigint language plpgsql stable as $$
begin
	return (select coalesce(sum(least(coalesce(jobs, 0), case when room < 0 then 0 else room end)), 0)::bigint from (
		select l.task, sum(r.jobs) as jobs, max(l.concurrency) - (select coalesce(sum(c.last - c.first + 1), 0) from claimed c where name_of(c.task) = l.task) as room
		from lanes_of(request) l cross join lateral (
			select sum(last - first + 1) as jobs from (
				select first, last from ready where lane = l.lane and (rank, first) >= (coalesce(l.from_rank, @FIRST_RANK@), coalesce(l.from_id, 0))
				order by rank, first limit @MAX_COUNTED_ROWS@
			) heads
		) r group by l.task
	) by_task);
end $$;

-- Stores the start, progress, log lines and checkpoint that a running job reports. Stores nothing if its claim was lost.
create function write_update(item jsonb, texts text[], bytes bytea[]) returns void language plpgsql as $$
declare
	its_id bigint := item->>'id';
	c claimed;
begin
	c := take_claim(its_id, item);
	if c.first is null then return; end if;
	if item ? 'startedAt' then
		perform take_claimed(c, its_id, its_id);
		insert into claimed values (its_id, its_id, c.task, c.rank, c.batch, c.execution, c.lease, c.owner, c.stop, (item->>'startedAt')::bigint);
		perform end_expiry(its_id, its_id);
	end if;
	if item ? 'progress' then
		insert into progress values (its_id, (item->'progress'->>'done')::float8, (item->'progress'->>'total')::float8, (item->'progress'->>'at')::bigint)
			on conflict (id) do update set (done, total, at) = (excluded.done, excluded.total, excluded.at);
	end if;
	if item ? 'values' then
		insert into checkpoint values (its_id, c.execution, (item->>'at')::bigint, texts[(item->>'values')::integer], bytes[(item->>'values')::integer])
			on conflict (id) do update set (execution, at, text_value, byte_value) = (excluded.execution, excluded.at, excluded.text_value, excluded.byte_value);
	end if;
	if item ? 'logs' then
		insert into log (id, execution, at, level, text) select its_id, c.execution, l.at, l.level, l.text
			from jsonb_array_elements(item->'logs') with ordinality e (line, i), jsonb_to_record(e.line) l (at bigint, level text, text text) order by e.i;
		delete from log where id = its_id and seq <= (select seq from log where id = its_id order by seq desc limit 1 offset @MAX_LOG_LINES@);
	end if;
end $$;

-- What few jobs have.
create function features_in_use() returns table (edges boolean, times boolean, schedules boolean) language sql stable rows 1 as $$
	select exists (select from edge) or exists (select from parent_change) or exists (select from lost_child),
		exists (select from scheduled) or exists (select from expiry), exists (select from schedule)
$$;

-- What a commit looks for once. Is_plain: no job has edges, a time or a checkpoint. May_wait: other jobs may wait for a time than those that were found.
-- Changes: of counts, which are to be added up. Is_special: do_first is needed.
create function look_around(call jsonb, is_alone boolean)
	returns table (edges boolean, times boolean, schedules boolean, batches boolean, fingerprints boolean, is_plain boolean, arrived boolean, may_wait boolean,
		changes bigint, due bigint, is_special boolean) language sql stable rows 1 as $$
	select r.edges, r.times or n.arrived or call ? 'mayExpire', r.schedules, call ? 'hasBatches' or exists (select from batch where completed_at is null),
		exists (select from fingerprint), not (r.edges or r.times or call ? 'update' or exists (select from checkpoint)), n.arrived,
		is_alone or r.edges or n.arrived or call ? 'mayWait', numbered.last_value - added.seq, (select min(run_at) from waiting where run_at >= 0),
		call ? 'update' or n.arrived or oldest_version() > @VERSION@ or queue_id() <> call->>'queue'
	from features_in_use() r, added_up added, tally_change_seq_seq numbered, lateral (select not call ? 'nothingArrived' and exists (select from arrived)) n (arrived)
$$;

create function first_due() returns bigint language plpgsql stable as $$
begin
	return (select min(run_at) from waiting where run_at >= 0);
end $$;

create function first_expiry() returns bigint language plpgsql stable as $$
begin
	return (select greatest(0, expires_at - now_ms()) from expiry where expires_at > 0 order by expires_at limit 1);
end $$;

-- Wakes the listeners of other stores. Transactions that notify are committed one after the other, by the whole server: so of those of a queue, one at a time
-- does. Returns whether this one does.
create function tell_if_first(its_store text) returns boolean language plpgsql as $$
begin
	if not pg_try_advisory_xact_lock(lock_key(), 3) then return false; end if;
	perform pg_notify(channel(), its_store);
	return true;
end $$;

create function are_parents_changed() returns boolean language plpgsql stable as $$
begin
	return exists (select from parent_change);
end $$;

-- Settles executions. Returns an answer for each. Is_plain: no job has edges, a time or a checkpoint.
create function settle_items(items jsonb, texts text[], bytes bytea[], is_plain boolean, has_fingerprints boolean)
	returns jsonb[] language plpgsql as $$
declare
	i jsonb;
	ended jsonb[];
	answer jsonb;
	-- Items whose facts are others, with these.
	undecided jsonb;
begin
	for n in 0 .. jsonb_array_length(items) - 1 loop
		i := items->n;
		answer := case i->>'type' when 'returned' then complete(i, texts, bytes, is_plain) when 'maker' then end_maker(i, texts, bytes)
			when 'settled' then '"lost"' else end_execution(i, texts, bytes) end;
		ended := ended || answer;
		if jsonb_typeof(answer->0) = 'number' then undecided := coalesce(undecided, '[]') || jsonb_build_array(jsonb_build_array(n, answer));
		elsif has_fingerprints and i ? 'code' then perform note_code(i, answer);
		end if;
	end loop;
	if undecided is not null then raise exception 'facts have changed' using errcode = '@NOT_DECIDED@', detail = undecided; end if;
	return ended;
end $$;

-- Enqueues groups. Returns an answer for each.
create function enqueue_items(items jsonb, texts text[], bytes bytea[]) returns jsonb[] language plpgsql as $$
declare
	made jsonb[] := '{}';
begin
	for n in 0 .. jsonb_array_length(items) - 1 loop
		made := made || enqueue_group(items->n, texts, bytes, made);
		if items->n ? 'fingerprints' then perform keep_fingerprints(items->n->'fingerprints', made[n + 1], texts); end if;
	end loop;
	return made;
end $$;

-- Does what few calls need before anything else: refuses the call, takes over jobs that have arrived, writes updates.
create function do_first(call jsonb, texts text[], bytes bytea[], has_arrived boolean) returns void language plpgsql as $$
begin
	perform refuse_other(call);
	if has_arrived then perform take_over_first(); end if;
	if call ? 'update' then perform write_update(i, texts, bytes) from jsonb_array_elements(call->'update') i; end if;
end $$;

-- A call is JSON: lists of items to do, in this order: update, settle, edit, enqueue, schedule; and what to claim. Items name their values in texts and
-- bytes by index. MayWait: jobs may come to wait for a time that are not those with the first time now; so for mayExpire, and hasBatches.
create function commit(call jsonb, texts text[], bytes bytea[]) returns setof answer language plpgsql as $$
declare
	is_alone boolean := call->'alone';
	claims boolean := call ? 'claim';
	unused text := enter(call, is_alone);
	has_edges boolean; has_times boolean; has_schedules boolean; has_batches boolean; has_fingerprints boolean; has_arrived boolean;
	is_plain boolean; may_wait boolean; is_special boolean; changes bigint; due bigint;
	ended jsonb[]; edited jsonb[]; made jsonb[]; scheduled jsonb[]; completed jsonb;
	its_owner integer; its_lease bigint; expired bigint[]; can_claim boolean;
	short only_row; rows claimed[]; seen jsonb; is_exhausted boolean; c claimed; a answer;
begin
	-- Other calls may meanwhile make what this finds, but nothing of a job that this call settles; and only a call that is alone makes edges and schedules.
	select * into has_edges, has_times, has_schedules, has_batches, has_fingerprints, is_plain, has_arrived, may_wait, changes, due, is_special
		from look_around(call, is_alone);
	if is_special then perform do_first(call, texts, bytes, has_arrived); end if;
	-- Usually there is one item of each kind: then a function less is to be prepared.
	if call ? 'settle' then ended := case when jsonb_array_length(call->'settle') = 1 and call->'settle'->0->>'type' = 'returned' and not has_fingerprints
		then array[complete(call->'settle'->0, texts, bytes, is_plain)] else settle_items(call->'settle', texts, bytes, is_plain, has_fingerprints) end; end if;
	-- Before anything else: jobs that are no longer blocked count for limits.
	if may_wait then perform reach_children(@MAX_CHANGED_ROWS@); end if;
	if is_alone then edited := array(select edit_job(i, texts, bytes) from jsonb_array_elements(call->'edit') i); end if;
	if call ? 'enqueue' then made := case when jsonb_array_length(call->'enqueue') = 1 and not call->'enqueue'->0 ? 'fingerprints'
		then array[enqueue_group(call->'enqueue'->0, texts, bytes, '{}')] else enqueue_items(call->'enqueue', texts, bytes) end; end if;
	if is_alone then
		scheduled := array(select change_schedule(i, texts, bytes) from jsonb_array_elements(call->'schedule') i);
		select * into has_edges, has_times, has_schedules from features_in_use();
	end if;
	if has_edges then perform reach_children(@MAX_CHANGED_ROWS@); end if;
	if claims then
		its_owner := owner_of_claim(call);
		if has_times then expired := expire(); end if;
		if may_wait then
			if has_edges then perform reach_children(@MAX_CHANGED_ROWS@); end if;
			due := first_due();
		end if;
		if due <= now_ms() then
			perform promote();
			may_wait := true;
		end if;
		-- Otherwise jobs are left that have expired.
		can_claim := cardinality(expired) < @MAX_EXPIRED@ is not false;
		if can_claim and not has_edges then short := claim_only_row(call->'claim', its_owner); end if;
		a := short.claimed;
		is_exhausted := short.is_exhausted;
		if a.first is not null then
			its_lease := currval('lease_id');
			return next a;
		elsif can_claim and is_exhausted is not true then
			select * into rows, seen, is_exhausted from claim(call->'claim', its_owner);
			its_lease := (rows[1]).lease;
			foreach c in array rows loop
				if has_edges then return query select * from results_for(c.first, c.last); end if;
				return query select * from jobs_of(c);
			end loop;
		end if;
	end if;
	if has_edges then perform reach_children(@MAX_CHANGED_ROWS@); end if;
	if has_schedules then perform update_schedules(); end if;
	completed := case when is_alone then fold() when has_batches or changes >= @MAX_CHANGES@ then fold_if_possible() else '[]' end;
	a := null;
	a.info := jsonb_build_object('settled', ended, 'edited', edited, 'enqueued', made, 'scheduled', scheduled, 'completed', completed, 'expired', expired,
		'owner', its_owner, 'lease', its_lease, 'seen', seen,
		-- A batch that completed may have enqueued a job.
		'backlog', case when claims and (completed <> '[]' or is_exhausted is not true) then backlog(call->'claim') end,
		'moreArrived', current_setting('faena.more_arrived', true) is not distinct from 'true', 'lost', case when has_edges then lost_children() end,
		'unblocked', current_setting('faena.unblocked', true) is not distinct from 'true' or has_edges and are_parents_changed(),
		'due', case when may_wait then first_due() else due end - now_ms(), 'expires', case when has_times then first_expiry() end,
		'moment', case when has_schedules then moment_in_ms() end, 'told', case when call ? 'told' then tell_if_first(call->>'store') end);
	return next a;
end $$;
