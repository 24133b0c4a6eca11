-- Claims: `{owner, lanes: [{name, scope, limit, quarantined}], limited: {name: concurrency}, from, limit, maxBytes}`. Rows that another call has
-- locked are passed over, so that many dispatchers claim side by side. `from`: by the number of a lane, the rank and the id at which it begins, so
-- far as the caller knows: claimed-from.ts.

create function register_owner(call jsonb, its_name text) returns integer language plpgsql as $$
declare
	its_id integer;
	its_store integer := (call->>'store')::integer;
begin
	select id into its_id from owner where name = its_name and store = its_store and heartbeat_at > 0;
	if not found then
		insert into owner (name, host, store, heartbeat_at) values (its_name, call->>'host', its_store, now_ms())
			on conflict (name) do update set heartbeat_at = excluded.heartbeat_at, host = excluded.host, store = excluded.store
			where owner.store = excluded.store or owner.heartbeat_at = 0 returning id into its_id;
		if its_id is null then raise exception using message = its_name, errcode = '@OWNER_IN_USE@'; end if;
	end if;
	return its_id;
end $$;

-- The owner that claims, which is made if it does not exist. Calls of a store are numbered: one whose connection was lost may still be on its way.
create function owner_of_claim(call jsonb) returns integer language plpgsql as $$
declare
	o owner;
begin
	select * into o from owner where name = call->'claim'->>'owner';
	if o.id is null or o.store <> (call->>'store')::integer or o.heartbeat_at = 0 and o.released_by < (call->>'number')::bigint then
		return register_owner(call, call->'claim'->>'owner');
	end if;
	if o.released_by >= (call->>'number')::bigint then
		raise exception 'a later call has given back the claims of this one' using errcode = '@LATE_CLAIM@';
	end if;
	return o.id;
end $$;

-- Makes delayed and failed jobs ready whose time has come.
create function promote() returns void language plpgsql as $$
declare
	w waiting;
begin
	for w in
		delete from waiting where first in
			(select first from waiting where run_at between 0 and now_ms() order by run_at, first limit @MAX_PROMOTED@ for update skip locked) returning *
	loop
		perform make_ready(w.first, w.last, w.task, w.rank, w.batch, w.executions, case when w.failed then @FAILED@ else @DELAYED@ end);
	end loop;
end $$;

-- Makes jobs of another state ready or, if they are suspects, quarantined; or lets them wait, if they become due later.
create function make_ready(its_first bigint, its_last bigint, its_task bigint, its_rank integer, its_batch bigint, its_executions integer, from_state integer,
	due bigint default null) returns void language plpgsql as $$
declare
	at bigint := its_first;
	suspect bigint;
begin
	if due > now_ms() then
		insert into waiting values (its_first, its_last, its_task, its_rank, its_batch, its_executions, due, false);
		perform count_change(its_task, its_batch, from_state, @DELAYED@, its_last - its_first + 1);
		return;
	end if;
	if its_executions > 0 then
		for suspect in select id from failure_state where id between its_first and its_last and suspicion > 0 order by id loop
			if suspect > at then
				insert into ready values (at, suspect - 1, its_task, its_rank, its_batch, its_executions);
				perform count_change(its_task, its_batch, from_state, @READY@, suspect - at);
			end if;
			insert into ready values (suspect, suspect, -its_task, its_rank, its_batch, its_executions);
			perform count_change(its_task, its_batch, from_state, @QUARANTINED@, 1);
			at := suspect + 1;
		end loop;
	end if;
	if at <= its_last then
		insert into ready values (at, its_last, its_task, its_rank, its_batch, its_executions);
		perform count_change(its_task, its_batch, from_state, @READY@, its_last - at + 1);
	end if;
end $$;

-- The most quarantined jobs of lanes, those of a task in several scopes, that may run together: the suspicion of each limits it.
create function quarantine_limit(lanes bigint[], most integer) returns integer language plpgsql as $$
declare
	together integer[] := @MOST_TOGETHER@;
	allowed integer := least(most, together[1]);
	jobs integer := 0;
	level integer;
begin
	for level in
		select coalesce(f.suspicion, 0) from ready r left join failure_state f on f.id = r.first where r.lane = any (lanes) order by r.rank, r.first limit allowed
	loop
		allowed := least(allowed, together[least(level, @MAX_SUSPICION@)]);
		exit when jobs >= allowed;
		jobs := jobs + 1;
	end loop;
	return jobs;
end $$;

-- The jobs from a ready row that bring their payloads to a size; at least one.
create function jobs_to_size(from_id bigint, to_id bigint, size bigint) returns integer language plpgsql as $$
declare
	jobs integer := 0;
	j job;
	bytes bigint := 0;
	payloads text[];
	id bigint;
begin
	for j in select * from job where first >= (select max(first) from job where first <= from_id and first > from_id - @MAX_GROUP_JOBS@) and first <= to_id order by first loop
		payloads := texts_of(j.text_value, j.first, j.last);
		for id in select generate_series(greatest(from_id, j.first), least(to_id, j.last)) loop
			bytes := bytes + coalesce(octet_length(payloads[id - j.first + 1]), octet_length(j.byte_value), 0) + size_of_results(id, id);
			jobs := jobs + 1;
			if bytes >= size then return jobs; end if;
		end loop;
	end loop;
	return jobs;
end $$;

-- The lanes of a request, but those of unknown and of paused tasks, and of unknown scopes. Task: the number of its name.
create function lanes_of(request jsonb)
	returns table (lane bigint, task bigint, quarantined boolean, most integer, concurrency integer, from_rank integer, from_id bigint)
	language sql stable as $$
	select n, t.id, q.quarantined, q."limit", (request->'limited'->>q.name)::integer, (f->0)::integer, (f->1)::bigint
	from jsonb_to_recordset(request->'lanes') q (name text, scope text, "limit" integer, quarantined boolean)
	join task t on t.name = q.name and not t.paused
	left join scope s on s.name = q.scope
	cross join lateral (select (coalesce(s.id, 0) * @SCOPE_STRIDE@ + t.id) * case when q.quarantined then -1 else 1 end) x (n)
	cross join lateral (select request->'from'->n::text) y (f)
	where q.scope is null or s.id is not null
$$;

-- The tasks whose running jobs are limited, with the number of those that may start. Their rows stay locked, so that calls take turns.
create function limited_tasks(request jsonb) returns table (task bigint, room integer) language plpgsql as $$
begin
	if not request ? 'limited' then return; end if;
	-- In one order, so that two calls can't wait for each other.
	perform from task t where t.name in (select jsonb_object_keys(request->'limited')) order by t.id for update;
	return query
		select t.id::bigint, greatest(0, l.value::integer - (select coalesce(sum(c.last - c.first + 1), 0) from claimed c where name_of(c.task) = t.id))::integer
		from jsonb_each_text(request->'limited') l join task t on t.name = l.key;
end $$;

-- The ready rows of a lane, in order. Those before the place at which it begins were claimed: their entries in the index may stay for long.
create function ready_rows(its_lane bigint, from_rank integer, from_id bigint) returns refcursor language plpgsql as $$
declare
	reader refcursor;
begin
	if from_id is null then
		open reader for select * from ready where lane = its_lane order by rank, first for update skip locked;
	else
		open reader for
			select * from (select * from ready where lane = its_lane and rank < from_rank order by rank, first for update skip locked) sooner
			union all
			select * from (select * from ready where lane = its_lane and rank = from_rank and first >= from_id order by first for update skip locked) same
			union all
			select * from (select * from ready where lane = its_lane and rank > from_rank order by rank, first for update skip locked) later;
	end if;
	return reader;
end $$;

-- The size of the large results that these jobs get from their parents.
create function size_of_results(from_id bigint, to_id bigint) returns bigint language plpgsql stable as $$
begin
	if not exists (select from edge) then return 0; end if;
	return (select coalesce(sum(size), 0)::bigint from (
		select octet_length(line_of(o.text_value, o.first, o.last, p)) + coalesce(octet_length(o.byte_value), 0) as size
		from edges_to(from_id, to_id) e cross join lateral generate_series(greatest(e.parent_first, 1), e.parent_last) p
		cross join lateral (select * from outcome x where x.first <= p and x.first > p - @MAX_GROUP_JOBS@ order by x.first desc limit 1) o where o.last >= p
	) sizes where size >= @MIN_COUNTED_RESULT_BYTES@);
end $$;

-- The size of the payloads of jobs with consecutive ids, and of the large results that they get. At least that, if it need not be exact: a part of a row then
-- counts as the whole, which takes no look at its text.
create function size_of_jobs(from_id bigint, to_id bigint, is_exact boolean) returns bigint language plpgsql stable as $$
begin
	return (select coalesce(sum(case
		when first = last or not is_exact then coalesce(octet_length(text_value), octet_length(byte_value), 0)
		when text_value is null then 0
		when first >= from_id and last <= to_id then octet_length(text_value) - (last - first)
		else octet_length(replace(cut_lines(text_value, greatest(from_id, first) - first + 1, least(to_id, last) - first + 1), E'\n', ''))
	end), 0)
	from job where first >= (select max(first) from job where first <= from_id and first > from_id - @MAX_GROUP_JOBS@) and first <= to_id) + size_of_results(from_id, to_id);
end $$;

-- What is special about claimed jobs; null if nothing is.
create function details_of(its_first bigint, its_last bigint, its_execution integer) returns jsonb language plpgsql as $$
declare
	details jsonb := jsonb_strip_nulls(jsonb_build_object(
		'expiries', (select jsonb_agg(jsonb_build_array(id, expires_at)) from expiry where id between its_first and its_last),
		'scheduled', (select jsonb_agg(jsonb_build_array(id, at)) from scheduled where id between its_first and its_last)
	));
begin
	if its_execution = 1 then return nullif(details, '{}'); end if;
	delete from progress where id between its_first and its_last;
	return details || jsonb_build_object(
		'failures', (select jsonb_agg(jsonb_build_array(id, attempts, crashes, delays, suspicion)) from failure_state where id between its_first and its_last),
		'checkpoints', (select jsonb_agg(jsonb_build_array(id, text_value, encode(byte_value, 'base64'))) from checkpoint where id between its_first and its_last)
	);
end $$;

-- The jobs of a claimed row: a row for each row of jobs.
create function jobs_of(c claimed) returns setof answer language sql as $$
	select case when c.execution > 1 or exists (select from expiry) or exists (select from scheduled) then details_of(c.first, c.last, c.execution) end,
		c.first, c.last, c.task, c.rank, c.execution,
		j.policy, j.created_at, j.first, j.last, j.first_number, j.keys, j.text_value, j.byte_value, c.batch
	from job j where j.first >= (select max(first) from job where first <= c.first and first > c.first - @MAX_GROUP_JOBS@) and j.first <= c.last order by j.first
$$;

-- What a short claim found: a claimed row, or none; and whether the lanes have nothing more.
create type only_row as (claimed answer, is_exhausted boolean);

-- Claims the only ready row of all lanes, which is what engines that have time find, if they find any. Claims nothing if there is more to weigh.
create function claim_only_row(request jsonb, its_owner integer) returns only_row language plpgsql as $$
declare
	begun timestamptz := clock_timestamp();
	one record;
	a answer;
begin
	if request ?| array['from', 'limited'] then return (a, false); end if;
	-- Of one row, each minimum is its own value.
	select count(*) as rows, min(l.lane) as lane, min(r.first) as first, min(r.last) as last, min(r.batch) as batch,
		least(min(l.most), (request->'limit')::integer) as most into one
		from lanes_of(request) l cross join lateral (select first, last, batch from ready where lane = l.lane order by rank, first limit 2) r;
	if one.rows > 1 or clock_timestamp() - begun > interval '@SLOW_LOOK_MS@ ms' then return (a, false); end if;
	if one.rows = 0 or one.lane < 0 or one.last - one.first >= one.most then return (a, one.rows = 0); end if;
	with own as (
		delete from ready where first = (select first from ready where first = one.first and last = one.last and lane = one.lane for update skip locked)
			and exists (
				select from job where first = (select max(first) from job where first <= one.first and first > one.first - @MAX_GROUP_JOBS@) and last >= one.last
					and coalesce(octet_length(text_value), octet_length(byte_value), 0) < least((request->>'maxBytes')::bigint, @MAX_SHORT_BYTES@)
			)
		returning *
	),
	changes as (
		insert into tally_change (batch, task, state, jobs, store)
		select batch, lane, state, sign * (last - first + 1), current_setting('faena.store')::integer
		from own, (values (@READY@, -1), (@RUNNING@, 1)) change (state, sign)
	),
	c as (
		insert into claimed select first, last, lane, rank, batch, executions + 1, nextval('lease_id'), its_owner, null, null from own returning *
	)
	select case when c.execution > 1 or exists (select from expiry) or exists (select from scheduled) then details_of(c.first, c.last, c.execution) end,
		c.first, c.last, c.task, c.rank, c.execution,
		j.policy, j.created_at, j.first, j.last, j.first_number, j.keys, j.text_value, j.byte_value, c.batch into a
		from c, job j where j.first = (select max(first) from job where first <= c.first and first > c.first - @MAX_GROUP_JOBS@);
	if a.first is not null and one.batch is not null then update batch set started_at = now_ms() where id = one.batch and started_at is null; end if;
	return (a, a.first is not null);
end $$;

-- The lanes of a request that have jobs: the number of each, how many jobs may be claimed, the rows after the head, and the head. Rooms: by task, how many
-- more of its jobs may run.
create function open_lanes(request jsonb, out lanes bigint[], out limits integer[], out readers refcursor[], out heads ready[], out rooms jsonb)
	language plpgsql as $$
declare
	l record;
	reader refcursor;
	head ready;
begin
	lanes := '{}';
	rooms := '{}';
	for l in
		select x.*, y.room from lanes_of(request) x left join limited_tasks(request) y on y.task = x.task
		where x.from_id is not null or exists (select from ready where ready.lane = x.lane)
	loop
		reader := ready_rows(l.lane, l.from_rank, l.from_id);
		fetch reader into head;
		continue when not found;
		lanes := lanes || l.lane;
		limits := limits || case when l.quarantined
			then quarantine_limit(array(select a.lane from lanes_of(request) a where a.quarantined and a.task = l.task), least(l.most, (request->'limit')::integer))
			else l.most end;
		readers := readers || reader;
		heads := heads || head;
		if l.room is not null then rooms := rooms || jsonb_build_object(l.task, l.room); end if;
	end loop;
end $$;

-- Claims the first jobs of a ready row.
create function claim_row(r ready, number integer, its_lease bigint, its_owner integer) returns claimed language plpgsql as $$
declare
	c claimed;
begin
	delete from ready where first = r.first;
	insert into claimed values (r.first, r.first + number - 1, abs(r.lane), r.rank, r.batch, r.executions + 1, its_lease, its_owner, null, null)
		returning * into c;
	if number < r.last - r.first + 1 then
		insert into ready values (r.first + number, r.last, r.lane, r.rank, r.batch, r.executions);
	end if;
	perform count_change(c.task, c.batch, case when r.lane < 0 then @QUARANTINED@ else @READY@ end, @RUNNING@, number);
	if c.batch is not null then update batch set started_at = now_ms() where id = c.batch and started_at is null; end if;
	return c;
end $$;

-- Claims the first jobs of all lanes: by rank, then in order of arrival. Seen: how long it looked, and the last row of each lane that it saw, if the look was
-- slow. Is_exhausted: nothing is left of the lanes, unless other calls had it locked.
create function claim(request jsonb, its_owner integer, out rows claimed[], out seen jsonb, out is_exhausted boolean) language plpgsql as $$
declare
	total integer := request->'limit';
	size bigint := request->>'maxBytes';
	begun timestamptz := clock_timestamp();
	looked_ms float8;
	l record;
	last_seen ready[];
	reader refcursor;
	r ready;
	i integer;
	name bigint;
	number integer;
	own_size bigint;
	-- Of the rows so far; more than that, unless it is exact.
	claimed_size bigint := 0;
	is_exact boolean := false;
	its_lease bigint;
begin
	rows := '{}';
	select * into l from open_lanes(request);
	looked_ms := extract(epoch from clock_timestamp() - begun) * 1000;
	last_seen := l.heads;
	while total > 0 and (size is null or claimed_size < size or its_lease is null) loop
		-- Usually one lane has jobs.
		i := case when cardinality(l.heads) = 1 and l.limits[1] > 0 and (l.heads[1]).first is not null and l.rooms = '{}' then 1 else (
			select h.ordinality from unnest(l.heads) with ordinality h
			where h.first is not null and l.limits[h.ordinality] > 0 and coalesce((l.rooms->>name_of(abs(h.lane))::text)::integer, 1) > 0
			order by h.rank, h.first limit 1
		) end;
		exit when i is null;
		r := l.heads[i];
		name := name_of(abs(r.lane));
		number := least(r.last - r.first + 1, total, l.limits[i], case when l.rooms <> '{}' then (l.rooms->>name::text)::integer end);
		if size is not null then
			own_size := size_of_jobs(r.first, r.first + number - 1, is_exact);
			if not is_exact and claimed_size + own_size >= size then
				is_exact := true;
				claimed_size := (select coalesce(sum(size_of_jobs(x.first, x.last, true)), 0) from unnest(rows) x);
				own_size := size_of_jobs(r.first, r.first + number - 1, true);
			end if;
			if claimed_size + own_size >= size then number := jobs_to_size(r.first, r.first + number - 1, size - claimed_size); end if;
			claimed_size := claimed_size + own_size;
		end if;
		its_lease := coalesce(its_lease, nextval('lease_id'));
		rows := rows || claim_row(r, number, its_lease, its_owner);
		total := total - number;
		-- A lane and its like in other scopes share their limit. Only a limit cuts a row, so that nothing more is claimed of its lane.
		for k in 1 .. cardinality(l.lanes) loop
			if k = i or name_of(abs(l.lanes[k])) = name and (l.lanes[k] < 0) = (r.lane < 0) then l.limits[k] := l.limits[k] - number; end if;
		end loop;
		if l.rooms <> '{}' and l.rooms ? name::text then l.rooms := l.rooms || jsonb_build_object(name, (l.rooms->>name::text)::integer - number); end if;
		if number < r.last - r.first + 1 then
			r.first := r.first + number;
			l.limits[i] := 0;
		else
			reader := l.readers[i];
			fetch reader into r;
			if found then last_seen[i] := r; end if;
		end if;
		l.heads[i] := r;
	end loop;
	if looked_ms > @SLOW_LOOK_MS@ or request ? 'from' then
		seen := jsonb_build_object('ms', looked_ms, 'lanes', (select coalesce(jsonb_agg(jsonb_build_array(s.lane, s.rank, s.first)), '[]') from unnest(last_seen) s));
	end if;
	is_exhausted := not exists (select from unnest(l.heads) h where h.first is not null);
	foreach reader in array coalesce(l.readers, '{}') loop
		close reader;
	end loop;
end $$;
