-- Edges: which jobs wait for which (I3). A row has a range of parents and one of children. Minus the id of a flow stands for the end of its input. Calls
-- that write edges, or end jobs for which others wait, are alone.

create function require_alone() returns void language plpgsql as $$
begin
	if current_setting('faena.alone', true) is distinct from 'true' then raise exception using errcode = '@MUST_BE_ALONE@', message = 'This call must be alone.'; end if;
end $$;

-- The part of an edge that leads from some parents, or to some children.
create type cut_edge as (id bigint, parent_first bigint, parent_last bigint, child_first bigint, child_last bigint, is_each boolean, runs_on_dead boolean, place bigint);

-- The edges from these parents, each cut to them, in the order in which they were written. After: only those of later places.
create function edges_from(its_first bigint, its_last bigint, after bigint) returns setof cut_edge language sql stable as $$
	select id, greatest(parent_first, its_first), least(parent_last, its_last),
		case when is_each then child_first + greatest(parent_first, its_first) - parent_first else child_first end,
		case when is_each then child_first + least(parent_last, its_last) - parent_first else child_last end, is_each, runs_on_dead, coalesce(place, id)
	from edge where int8range(parent_first, parent_last, '[]') && int8range(its_first, its_last, '[]') and coalesce(place, id) > after order by coalesce(place, id)
$$;

-- The edges to these children, each cut to them, in the order of dependsOn.
create function edges_to(its_first bigint, its_last bigint) returns setof cut_edge language sql stable as $$
	select id, case when is_each then parent_first + greatest(child_first, its_first) - child_first else parent_first end,
		case when is_each then parent_first + least(child_last, its_last) - child_first else parent_last end,
		greatest(child_first, its_first), least(child_last, its_last), is_each, runs_on_dead, coalesce(place, id)
	from edge where int8range(child_first, child_last, '[]') && int8range(its_first, its_last, '[]') order by coalesce(place, id)
$$;

-- Deletes the edges to these jobs. Those of their neighbours stay.
create function delete_edges_to(its_first bigint, its_last bigint) returns void language plpgsql as $$
begin
	perform forget_used(its_first, its_last);
	with gone as (delete from edge where int8range(child_first, child_last, '[]') && int8range(its_first, its_last, '[]') returning *)
		insert into edge (parent_first, parent_last, child_first, child_last, is_each, runs_on_dead, place)
			select case when is_each then parent_first + part.first - child_first else parent_first end,
				case when is_each then parent_first + part.last - child_first else parent_last end,
				part.first, part.last, is_each, runs_on_dead, coalesce(place, id)
			from gone cross join lateral rest_of(child_first, child_last, its_first, its_last) part;
end $$;

-- True if one of the group's parents is this job, or waits for it, or has waited.
create function is_ancestor(its_id bigint, g jsonb) returns boolean language sql stable as $$
	with recursive ancestor (first, last) as (
		select (l->>'first')::bigint, (l->>'last')::bigint from jsonb_array_elements(g->'links') l
		union
		select e.parent_first, e.parent_last from ancestor a cross join lateral edges_to(a.first, a.last) e
	)
	select exists (select from ancestor where its_id between first and last)
$$;

create type part as (first bigint, last bigint, state text);

-- The states of parents, as their children see them: open, completed, dead or missing. Neighbours with the same state are one part.
create function states_in(its_first bigint, its_last bigint) returns setof part language plpgsql stable as $$
declare
	at bigint := its_first;
	p place;
	upto bigint;
begin
	if its_first < 0 then
		return query select its_first, its_last,
			coalesce((select case when shape ? 'jobs' then 'completed' else 'open' end from batch where id = -its_first), 'missing');
		return;
	end if;
	while at <= its_last loop
		p := place_of(at);
		upto := coalesce(least(its_last, p.last), at);
		return query select at, upto, case when p.state is null then 'missing' when p.state = @COMPLETED@ then 'completed'
			when p.state in (@DEAD@, @CANCELLED@) then 'dead' else 'open' end;
		at := upto + 1;
	end loop;
end $$;

create function is_met(state text, runs_on_dead boolean) returns boolean language sql immutable as $$
	select state = 'completed' or state = 'dead' and runs_on_dead
$$;

-- A parent for which a job can't run: the first one that is dead, or the first one that was deleted.
create function lost_parent_of(its_id bigint) returns bigint language sql stable as $$
	select s.first from edges_to(its_id, its_id) e cross join lateral states_in(e.parent_first, e.parent_last) s
	where s.state = 'dead' and not e.runs_on_dead or s.state = 'missing' order by s.state, e.place limit 1
$$;

create function unmet_parents_of(its_id bigint) returns integer language sql stable as $$
	select coalesce(sum(s.last - s.first + 1), 0)::integer from edges_to(its_id, its_id) e cross join lateral states_in(e.parent_first, e.parent_last) s
	where not is_met(s.state, e.runs_on_dead)
$$;

-- True if an unended job has waited for one of these, or waits: it needs their results.
create function is_needed(its_first bigint, its_last bigint) returns boolean language sql stable as $$
	select exists (select from edges_from(its_first, its_last, 0) e cross join lateral states_in(e.child_first, e.child_last) s where s.state = 'open')
$$;

-- The parents of a new group as ranges: JSON edges name ids, or jobs of an earlier group of the same call.
create function links_of(g jsonb, made jsonb[], its_first bigint)
	returns table (first bigint, last bigint, start integer, is_each boolean, is_own boolean) language plpgsql stable as $$
declare
	e jsonb;
	ids bigint[];
	own jsonb;
	at integer;
	n integer;
begin
	for e in select * from jsonb_array_elements(g->'parents'->'edges') loop
		if e ? 'first' and not e ? 'groupsBefore' then
			return query select (e->>'first')::bigint, (e->>'first')::bigint + (e->>'count')::integer - 1,
				coalesce((e->>'start')::integer, 0), e->>'kind' = 'each', false;
			continue;
		end if;
		own := case when (e->>'groupsBefore')::integer > 0 then made[cardinality(made) - (e->>'groupsBefore')::integer + 1]->'ids' else to_jsonb(its_first) end;
		if jsonb_typeof(own) = 'number' then
			return query select own::bigint + (e->>'first')::integer, own::bigint + (e->>'first')::integer + (e->>'count')::integer - 1,
				coalesce((e->>'start')::integer, 0), e->>'kind' = 'each', (e->>'groupsBefore')::integer = 0;
			continue;
		end if;
		ids := array(select x::bigint from jsonb_array_elements_text(own) with ordinality l (x, i) order by i);
		ids := ids[(e->>'first')::integer + 1 : (e->>'first')::integer + (e->>'count')::integer];
		at := 1;
		while at <= cardinality(ids) loop
			n := 1;
			while ids[at + n] = ids[at] + n loop n := n + 1; end loop;
			return query select ids[at], ids[at] + n - 1, coalesce((e->>'start')::integer, 0) + at - 1, e->>'kind' = 'each', false;
			at := at + n;
		end loop;
	end loop;
	if (g->'parents'->>'areHeld')::boolean then return query select -(g->>'batch')::bigint, -(g->>'batch')::bigint, 0, false, false; end if;
end $$;

-- Writes the edges to so many jobs with consecutive ids, of which the first has this place in its group, from 1.
create function insert_edges(g jsonb, place integer, number integer, its_first bigint) returns void language sql as $$
	insert into edge (parent_first, parent_last, child_first, child_last, is_each, runs_on_dead)
	select p, p_last, case when l.is_each then c + p - own.first else c end, case when l.is_each then c + p_last - own.first else least(c + @MAX_GROUP_JOBS@, its_first + number) - 1 end,
		l.is_each, g->'parents'->>'onParentDead' = 'run'
	from jsonb_array_elements(g->'links') with ordinality e (link, i)
	cross join lateral jsonb_to_record(e.link) l (first bigint, last bigint, start integer, is_each boolean)
	-- The parent of the first of these jobs, if each has one. It is before the first of the link, if others of these jobs have that.
	cross join lateral (select case when l.is_each then l.first + place - 1 - l.start else l.first end) own (first)
	cross join lateral generate_series(greatest(l.first, own.first), case when l.is_each then least(l.last, own.first + number - 1) else l.last end, @MAX_GROUP_JOBS@) p
	cross join lateral (select least(case when l.is_each then least(l.last, own.first + number - 1) else l.last end, p + @MAX_GROUP_JOBS@ - 1)) x (p_last)
	cross join lateral generate_series(its_first, case when l.is_each then its_first else its_first + number - 1 end, @MAX_GROUP_JOBS@) c
	order by e.i, p, c
$$;

-- Enqueues jobs that wait for others.
create function enqueue_children(g jsonb, texts text[], bytes bytea[], made jsonb[]) returns jsonb language plpgsql as $$
declare
	number integer := g->>'count';
	runs boolean := g->'parents'->>'onParentDead' = 'run';
	unmet integer[] := array_fill(0, array[number]);
	lost bigint[] := array_fill(null::bigint, array[number]);
	-- Of the first new job. Reserved before anything is made of it: programs take ids in transactions of their own, too.
	next_id bigint;
	made_jobs bigint := 0;
	l record;
	s record;
	low integer;
	high integer;
	result jsonb;
	ids bigint[];
	at integer := 1;
	n integer;
begin
	perform require_alone();
	perform reach_children(null);
	next_id := take_ids(number);
	for l in select * from links_of(g, made, next_id) loop
		for s in
			select l.first, l.last, 'open' as state where l.is_own
			union all select x.first, x.last, x.state from states_in(l.first, l.last) x where not l.is_own
		loop
			if s.state = 'missing' then
				perform give_back_ids(next_id, next_id + number - 1);
				if (g->>'reject')::boolean then raise exception using errcode = '@KEY_CONFLICT@', message = 'no parent', detail = jsonb_build_array(g->'index', null, s.first); end if;
				return jsonb_build_object('missing', s.first);
			end if;
			if is_met(s.state, runs) then continue; end if;
			low := case when l.is_each then l.start + s.first - l.first + 1 else 1 end;
			high := case when l.is_each then least(number, l.start + s.last - l.first + 1) else number end;
			for i in low .. high loop
				unmet[i] := unmet[i] + case when l.is_each then 1 else s.last - s.first + 1 end;
				if s.state = 'dead' and lost[i] is null then lost[i] := case when l.is_each then s.first + i - low else s.first end; end if;
			end loop;
		end loop;
	end loop;
	g := g || jsonb_build_object('unmet', to_jsonb(unmet), 'base', next_id, 'lost', to_jsonb(lost),
		'links', (select coalesce(jsonb_agg(to_jsonb(x)), '[]') from links_of(g, made, next_id) x));
	result := enqueue_plain(g, texts, bytes);
	ids := case when jsonb_typeof(result->'ids') = 'number' then array(select generate_series((result->>'ids')::bigint, (result->>'ids')::bigint + number - 1))
		else array(select x::bigint from jsonb_array_elements_text(result->'ids') with ordinality q (x, i) order by i) end;
	-- Stretches of new jobs: those whose keys exist are not new.
	while at <= number loop
		if ids[at] < next_id or ids[at] = any (ids[1 : at - 1]) then
			at := at + 1;
			continue;
		end if;
		n := 1;
		while at + n <= number and ids[at + n] = ids[at] + n loop n := n + 1; end loop;
		perform insert_edges(g, at, n, ids[at]);
		made_jobs := made_jobs + n;
		for i in at .. at + n - 1 loop
			if lost[i] is not null then perform cancel_child(ids[i], lost[i]); end if;
		end loop;
		at := at + n;
	end loop;
	if made_jobs < number then perform give_back_ids(next_id + made_jobs, next_id + number - 1); end if;
	return result;
end $$;

-- Jobs may wait for these, which have changed.
create function parents_changed(its_first bigint, its_last bigint, its_change text, its_digest text default null) returns void language plpgsql as $$
begin
	if not exists (select from edge where int8range(parent_first, parent_last, '[]') && int8range(its_first, its_last, '[]')) then return; end if;
	perform require_alone();
	insert into parent_change (first, last, change, edge, digest) values (its_first, its_last, its_change, 0, its_digest);
end $$;

-- Passes changes on to the jobs that wait, and those to the jobs that wait for these; until about so many rows have changed. The rest is left to later calls.
create function reach_children(most integer) returns void language plpgsql as $$
declare
	c parent_change;
	e cut_edge;
	rows integer := 0;
	passed bigint;
begin
	while most is null or rows < most loop
		select * into c from parent_change order by id limit 1;
		exit when not found;
		perform require_alone();
		rows := rows + 1;
		delete from parent_change where id = c.id;
		passed := c.edge;
		if c.change <> 'deleted' then perform judge_used(c.first, c.last); end if;
		for e in select * from edges_from(c.first, c.last, c.edge) loop
			-- Parts of an edge that was cut have one place, and are passed together.
			if rows >= most and e.place > passed then
				insert into parent_change overriding system value values (c.id, c.first, c.last, c.change, passed, c.digest);
				exit;
			end if;
			passed := e.place;
			if c.digest is not null then perform keep_used(e.parent_first, e.child_first, e.child_last, c.digest); end if;
			rows := rows + case
				when c.change = 'completed' or c.change = 'dead' and e.runs_on_dead then count_down(e)
				when c.change in ('dead', 'deleted') then cancel_children(e)
				else wait_again(e) end;
		end loop;
	end loop;
end $$;

-- Blocked jobs of these, a row at a time, cut to them, and taken out of their rows.
create function take_blocked(its_first bigint, its_last bigint) returns setof blocked language plpgsql as $$
declare
	b blocked;
begin
	for b in delete from blocked where first > its_first - @MAX_GROUP_JOBS@ and first <= its_last and last >= its_first returning * loop
		insert into blocked select first, last, b.task, b.rank, b.batch, b.executions, b.run_at, b.parents from rest_of(b.first, b.last, its_first, its_last);
		b.first := greatest(b.first, its_first);
		b.last := least(b.last, its_last);
		return next b;
	end loop;
end $$;

create function count_down(e cut_edge) returns integer language plpgsql as $$
declare
	ended integer := case when e.is_each then 1 else e.parent_last - e.parent_first + 1 end;
	b blocked;
	rows integer := 0;
begin
	for b in select * from take_blocked(e.child_first, e.child_last) loop
		rows := rows + 1;
		if b.parents > ended then
			insert into blocked values (b.first, b.last, b.task, b.rank, b.batch, b.executions, b.run_at, b.parents - ended);
		else
			perform set_config('faena.unblocked', 'true', true);
			update expiry set expires_at = greatest(b.run_at, now_ms()) + expires_ms where id between b.first and b.last;
			perform make_ready(b.first, b.last, b.task, b.rank, b.batch, b.executions, @BLOCKED@, b.run_at);
		end if;
	end loop;
	return rows;
end $$;

create function cancel_children(e cut_edge) returns integer language plpgsql as $$
declare
	b blocked;
	its_id bigint;
	rows integer := 0;
begin
	for b in select * from blocked where first > e.child_first - @MAX_GROUP_JOBS@ and first <= e.child_last and last >= e.child_first order by first loop
		for its_id in select generate_series(greatest(b.first, e.child_first), least(b.last, e.child_last)) loop
			perform cancel_child(its_id, case when e.is_each then e.parent_first + its_id - e.child_first else e.parent_first end);
			rows := rows + 1;
		end loop;
	end loop;
	return rows;
end $$;

-- Cancels a blocked job, because it waits for a parent that will not complete.
create function cancel_child(its_id bigint, lost bigint) returns void language plpgsql as $$
declare
	p place := place_of(its_id);
	state integer := (place_of(lost)).state;
begin
	if p.state is distinct from @BLOCKED@ then return; end if;
	perform cancel_because(p, its_id,
		failure_about(case state when @DEAD@ then @PARENT_DEAD@ when @CANCELLED@ then @PARENT_CANCELLED@ else @PARENT_DELETED@ end, lost::text));
	insert into lost_child values (its_id);
end $$;

-- A parent has a new round: its children that have not started wait for it again, and those that were cancelled because of it have a new round, too.
create function wait_again(e cut_edge) returns integer language plpgsql as $$
declare
	its_id bigint;
	p place;
	rows integer := 0;
begin
	for its_id in select generate_series(e.child_first, e.child_last) loop
		p := place_of(its_id);
		rows := rows + (case when p.state = @CANCELLED@ then reopen_child(its_id, p) else block_again(its_id, p) end)::integer;
	end loop;
	return rows;
end $$;

create function reopen_child(its_id bigint, p place) returns boolean language plpgsql as $$
begin
	if lost_parent_of(its_id) is not null
		or coalesce((select failure_json(failure)->>'reason' from failure_state where id = its_id), '') <> 'parent' then return false; end if;
	perform end_round(its_id, p);
	perform begin_round(its_id, p, p.rank, null);
	return true;
end $$;

-- The parents are counted anew, since changes of several may come in one transaction, and one edge after the other.
create function block_again(its_id bigint, p place) returns boolean language plpgsql as $$
declare
	open integer;
	is_lost boolean;
begin
	if p.state is null or p.state not in (@READY@, @QUARANTINED@, @DELAYED@, @BLOCKED@) then return false; end if;
	select sum(s.last - s.first + 1) filter (where s.state = 'open'), bool_or(s.state = 'dead' and not e.runs_on_dead) into open, is_lost
		from edges_to(its_id, its_id) e cross join lateral states_in(e.parent_first, e.parent_last) s;
	-- One that was taken back after a parent died runs without it.
	if open is null or is_lost then return false; end if;
	perform take_out(p, its_id, its_id);
	insert into blocked values (its_id, its_id, p.task, p.rank, p.batch, p.executions, p.run_at, open);
	if p.state <> @BLOCKED@ then
		update expiry set expires_at = -1 where id = its_id;
		perform count_change(p.task, p.batch, p.state, @BLOCKED@, 1);
	end if;
	return true;
end $$;

create function close_flow(its_batch bigint, its_jobs jsonb) returns void language plpgsql as $$
declare
	was_open boolean;
begin
	select not shape ? 'jobs' into was_open from batch where id = its_batch and shape ? 'structure';
	if not found then return; end if;
	update batch set shape = shape || jsonb_build_object('jobs', its_jobs), closed_at = now_ms(), owner = null where id = its_batch;
	if was_open then perform parents_changed(-its_batch, -its_batch, 'completed'); end if;
	perform reach_children(null);
end $$;
