-- What a dispatcher does in one transaction.

-- What became of the parents of jobs with consecutive ids: a row for each row of outcomes, and for other parents one each.
create function results_for(its_first bigint, its_last bigint) returns setof answer language plpgsql as $$
declare
	e edge;
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
				order by rank, first limit 1000
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

-- Whether there is anything of what few jobs have.
create function rare() returns table (edges boolean, times boolean, schedules boolean) language sql stable rows 1 as $$
	select exists (select from edge) or exists (select from parent_change) or exists (select from lost_child),
		exists (select from scheduled) or exists (select from expiry), exists (select from schedule)
$$;

create function first_due() returns bigint language plpgsql stable as $$
begin
	return (select min(run_at) from waiting where run_at >= 0);
end $$;

create function are_parents_changed() returns boolean language plpgsql stable as $$
begin
	return exists (select from parent_change);
end $$;

-- Settles executions. Returns an answer for each. Is_plain: no job has edges, a time or a checkpoint.
create function settle_items(items jsonb, texts text[], bytes bytea[], is_plain boolean) returns jsonb[] language plpgsql as $$
declare
	i jsonb;
	ended jsonb[] := '{}';
	has_fingerprints boolean := exists (select from fingerprint);
begin
	foreach i in array elements_of(items) loop
		ended := ended || case i->>'type'
			when 'returned' then complete(i, texts, bytes, is_plain)
			when 'maker' then end_maker(i, texts, bytes)
			when 'settled' then to_jsonb('lost'::text)
			else to_jsonb(end_execution(i, bytes)) end;
		if has_fingerprints and i ? 'code' then perform note_code(i, ended[cardinality(ended)]); end if;
	end loop;
	return ended;
end $$;

-- Enqueues groups. Returns an answer for each.
create function enqueue_items(items jsonb, texts text[], bytes bytea[]) returns jsonb[] language plpgsql as $$
declare
	i jsonb;
	made jsonb[] := '{}';
begin
	foreach i in array elements_of(items) loop
		made := made || enqueue_group(i, texts, bytes, made);
		if i ? 'fingerprints' then perform keep_fingerprints(i->'fingerprints', made[cardinality(made)], texts); end if;
	end loop;
	return made;
end $$;

-- What few jobs have, and what is due: most calls meet none of it, so that it is looked for once. Changes: of counts, which are to be added up.
create type around as (edges boolean, times boolean, schedules boolean, checkpoints boolean, batches boolean, changes bigint, due bigint);

-- What a call did, besides the claimed jobs: lib/store/postgres/commit.ts.
create type summary as (settled jsonb[], edited jsonb[], enqueued jsonb[], scheduled jsonb[], owner integer, lease bigint, backlog bigint,
	"moreArrived" boolean, seen jsonb, completed jsonb, lost jsonb, unblocked boolean, due bigint, expired bigint[], expires bigint, moment bigint, told boolean);

-- Does the items of a call but the updates.
create function do_items(call jsonb, texts text[], bytes bytea[], w around, may_wait boolean) returns summary language plpgsql as $$
declare
	s summary;
begin
	if call ? 'settle' then s.settled := settle_items(call->'settle', texts, bytes, not (w.edges or w.times or w.checkpoints)); end if;
	-- Before anything else: jobs that are no longer blocked count for limits.
	if may_wait then perform reach_children(@MAX_CHANGED_ROWS@); end if;
	if call ? 'edit' then s.edited := array(select edit_job(i, texts, bytes) from jsonb_array_elements(call->'edit') i); end if;
	if call ? 'enqueue' then s.enqueued := enqueue_items(call->'enqueue', texts, bytes); end if;
	if call ? 'schedule' then s.scheduled := array(select change_schedule(i, texts, bytes) from jsonb_array_elements(call->'schedule') i); end if;
	return s;
end $$;

-- A call is JSON: lists of items to do, in this order: update, settle, edit, enqueue, schedule; and what to claim. Items name their values in texts and
-- bytes by index. MayWait: jobs may come to wait for a time that are not those with the first time now; so for mayExpire, and hasBatches.
create function commit(call jsonb, texts text[], bytes bytea[]) returns setof answer language plpgsql as $$
declare
	is_alone boolean := call->'alone';
	may_wait boolean := is_alone or call ? 'mayWait';
	w around;
	s summary;
	short only_row;
	rows claimed[];
	is_exhausted boolean;
	c claimed;
	a answer;
begin
	perform begin_call(call, is_alone);
	if call ? 'update' then perform write_update(i, texts, bytes) from jsonb_array_elements(call->'update') i; end if;
	-- Other calls may meanwhile make what this finds, but nothing of a job that this call settles; and only a call that is alone makes edges and schedules.
	select r.edges, r.times, r.schedules, exists (select from checkpoint), exists (select from batch where completed_at is null),
		numbered.last_value - added.seq, (select min(run_at) from waiting where run_at >= 0)
		into w from rare() r, added_up added, tally_change_seq_seq numbered;
	may_wait := may_wait or w.edges;
	s := do_items(call, texts, bytes, w, may_wait);
	w.times := w.times or call ? 'mayExpire';
	if is_alone then select * into w.edges, w.times, w.schedules from rare(); end if;
	if w.edges then perform reach_children(@MAX_CHANGED_ROWS@); end if;
	if call ? 'claim' then
		s.owner := owner_of_claim(call);
		if w.times then
			s.expired := expire();
			if w.edges then perform reach_children(@MAX_CHANGED_ROWS@); end if;
		end if;
		if may_wait then w.due := first_due(); end if;
		if w.due <= now_ms() then
			perform promote();
			may_wait := true;
		end if;
		-- Otherwise jobs are left that have expired.
		if coalesce(cardinality(s.expired), 0) < @MAX_EXPIRED@ then
			if not w.edges then short := claim_only_row(call->'claim', s.owner); end if;
			a := short.claimed;
			is_exhausted := short.is_exhausted;
			if a.first is not null then
				s.lease := currval('lease_id');
				return next a;
			elsif is_exhausted is not true then
				select * into rows, s.seen, is_exhausted from claim(call->'claim', s.owner);
				foreach c in array rows loop
					s.lease := c.lease;
					if w.edges then return query select * from results_for(c.first, c.last); end if;
					return query select * from jobs_of(c);
				end loop;
			end if;
		end if;
	end if;
	if w.edges then perform reach_children(@MAX_CHANGED_ROWS@); end if;
	if w.schedules then perform update_schedules(); end if;
	s.completed := case when is_alone then fold() when w.batches or call ? 'hasBatches' or w.changes >= @MAX_CHANGES@ then fold_if_possible() else '[]' end;
	-- A batch that completed may have enqueued a job.
	if call ? 'claim' and (s.completed <> '[]' or is_exhausted is not true) then s.backlog := backlog(call->'claim'); end if;
	if w.times then s.expires := (select greatest(0, expires_at - now_ms()) from expiry where expires_at > 0 order by expires_at limit 1); end if;
	s.due := case when may_wait then first_due() else w.due end - now_ms();
	if w.schedules then s.moment := moment_in_ms(); end if;
	if w.edges then s.lost := lost_children(); end if;
	s.unblocked := current_setting('faena.unblocked', true) is not distinct from 'true' or w.edges and are_parents_changed();
	s."moreArrived" := current_setting('faena.more_arrived', true) is not distinct from 'true';
	-- Transactions that notify are committed one after the other, by the whole server: so of those of a queue, one at a time does.
	s.told := call ? 'told' and pg_try_advisory_xact_lock(lock_key(), 3);
	if s.told then perform pg_notify(channel(), call->>'store'); end if;
	a := null;
	a.info := to_jsonb(s);
	return next a;
end $$;
