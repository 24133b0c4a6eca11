-- New jobs. A group is JSON: `{task, policy, priority, batch, count, at, values, packed, keys, number, unique}`. Its values are elements of the
-- arrays `texts` and `bytes` from the index `values` on: one element with a line per job if they are packed, otherwise one element for each job.

-- The number of pending jobs of a task, in all scopes, or of all tasks.
create function pending_jobs(its_task bigint) returns bigint language sql stable as $$
	select coalesce(sum(jobs), 0)::bigint + (select count(*) from arrived where its_task is null or task = (select name from task where id = its_task))
	from (select task, state, jobs from tally union all select task, state, jobs from new_changes()) counted
	where (its_task is null or name_of(task) = its_task) and state in (@READY@, @QUARANTINED@, @DELAYED@)
$$;

-- Writes the immutable rows of jobs with consecutive ids.
create function insert_jobs(id bigint, g jsonb, texts text[], bytes bytea[], keys text[]) returns void language plpgsql as $$
declare
	number integer := g->'count';
	at integer := g->'values';
begin
	if number = 1 or (g->'packed')::boolean then
		insert into job select id + i, id + least(i + @MAX_GROUP_JOBS@, number) - 1,
			(g->'task')::bigint, (g->'policy')::integer, (g->'priority')::integer, now_ms(), (g->>'batch')::bigint, (g->>'number')::bigint + i, array_to_string(keys[i + 1 : i + @MAX_GROUP_JOBS@], E'\n'),
			case when number <= @MAX_GROUP_JOBS@ then texts[at] else cut_lines(texts[at], i + 1, i + @MAX_GROUP_JOBS@) end, bytes[at]
			from generate_series(0, number - 1, @MAX_GROUP_JOBS@) i;
	else
		insert into job select id + i, id + i, (g->'task')::bigint, (g->'policy')::integer, (g->'priority')::integer, now_ms(), (g->>'batch')::bigint,
			(g->>'number')::bigint + i, keys[i + 1], texts[at + i], bytes[at + i]
			from generate_series(0, number - 1) i;
	end if;
end $$;

create function due_of(g jsonb) returns bigint language sql stable as $$
	select coalesce(now_ms() + (g->>'delay')::bigint, (g->>'at')::bigint)
$$;

-- Makes new jobs ready, or lets them wait until the time at which they become due.
create function insert_state(id bigint, g jsonb) returns void language plpgsql as $$
declare
	its_task bigint := g->'task';
	its_rank integer := -(g->'priority')::integer;
	its_batch bigint := g->>'batch';
	number integer := g->'count';
	due bigint := due_of(g);
	u record;
begin
	if g ? 'unmet' then
		for u in select min(i) as low, max(i) as high, n::integer as unmet from (
			select n, i, i - row_number() over (partition by n order by i) as island from jsonb_array_elements_text(g->'unmet') with ordinality x (n, i)
		) y group by n, island order by 1 loop
			if u.unmet = 0 then
				perform insert_state(id + u.low - 1, (g - 'unmet') || jsonb_build_object('count', u.high - u.low + 1));
			else
				insert into blocked select id + i, id + least(i + @MAX_GROUP_JOBS@, u.high) - 1, its_task, its_rank, its_batch, 0,
					case when due > now_ms() then due end, u.unmet
					from generate_series(u.low - 1, u.high - 1, @MAX_GROUP_JOBS@) i;
				insert into expiry select e, (g->>'expires')::bigint, -1 from generate_series(id + u.low - 1, id + u.high - 1) e where g->>'expires' is not null;
				perform count_change(its_task, its_batch, null, @BLOCKED@, u.high - u.low + 1);
			end if;
		end loop;
		return;
	end if;
	perform set_expiry(id, id + number - 1, (g->>'expires')::bigint, due);
	if due > now_ms() then
		insert into waiting select id + i, id + least(i + @MAX_GROUP_JOBS@, number) - 1, its_task, its_rank, its_batch, 0, due, false
			from generate_series(0, number - 1, @MAX_GROUP_JOBS@) i;
		perform count_change(its_task, its_batch, null, @DELAYED@, number);
	else
		insert into ready select id + i, id + least(i + @MAX_GROUP_JOBS@, number) - 1, its_task, its_rank, its_batch, 0
			from generate_series(0, number - 1, @MAX_GROUP_JOBS@) i;
		perform count_change(its_task, its_batch, null, @READY@, number);
	end if;
end $$;

-- The keys of a group; null if it has none.
create function keys_of(g jsonb) returns text[] language sql immutable as $$
	select case
		when g->>'number' is not null then array(select ((g->>'number')::bigint + i)::text from generate_series(0, (g->>'count')::integer - 1) i)
		when g ? 'keys' then array(select jsonb_array_elements_text(g->'keys')) end
$$;

-- The number of jobs that the group would make: a key that exists makes none.
create function new_jobs(g jsonb) returns bigint language plpgsql stable as $$
declare
	its_task bigint := g->>'task';
	its_batch bigint := g->>'batch';
begin
	if keys_of(g) is null then return (g->>'count')::bigint; end if;
	return (
		select count(*) from (select distinct holder_of(its_task, its_batch, k) as holder, k from unnest(keys_of(g)) k) held
		where holder is null or g ? 'unique' and has_ended(holder)
	);
end $$;

create function enqueue_group(g jsonb, texts text[], bytes bytea[], made jsonb[]) returns jsonb language plpgsql as $$
declare
	number integer := g->'count';
	whose bigint;
	its_limit bigint;
	pending bigint;
begin
	g := scoped(g);
	-- Nothing would ever delete them with their batch; or another run has it now. Two conditions, since one with a query is a query each time.
	if g->>'batch' is not null then
		if not exists (select from batch where id = (g->>'batch')::bigint and (not g ? 'run' or shape->>'run' = g->>'run')) then
			if (g->>'reject')::boolean then raise exception using errcode = '@KEY_CONFLICT@', message = 'no batch', detail = jsonb_build_array(g->'index', 0, -(g->>'batch')::bigint); end if;
			return jsonb_build_object('missing', -(g->>'batch')::bigint);
		end if;
	end if;
	if g ? 'parents' or g->>'batch' is null and (g ? 'keys' or g->>'number' is not null) then perform take_over_named(g); end if;
	foreach whose in array case when g ? 'max' then array[name_of((g->>'task')::bigint), null] else '{}' end loop
		its_limit := g->'max'->>case when whose is null then 'all' else 'task' end;
		if its_limit is null then continue; end if;
		pending := pending_jobs(whose);
		if pending + number > its_limit and pending + new_jobs(g) > its_limit and new_jobs(g) > 0 then
			return jsonb_build_object('full', jsonb_build_object('of', case when whose is null then 'all' else 'task' end, 'pending', pending, 'limit', its_limit));
		end if;
	end loop;
	if g ? 'parents' then return enqueue_children(g, texts, bytes, made); end if;
	return enqueue_plain(g, texts, bytes);
end $$;

create function enqueue_plain(g jsonb, texts text[], bytes bytea[]) returns jsonb language plpgsql as $$
declare
	number integer := g->'count';
	id bigint;
begin
	if g ? 'keys' or g->>'number' is not null then return enqueue_keyed(g, texts, bytes); end if;
	id := ids_for(g, number);
	-- Usually they are ready, and a row.
	if not g ?| array['expires', 'delay', 'at', 'unmet'] and number <= (case when (g->'packed')::boolean then @MAX_GROUP_JOBS@ else 1 end) then
		insert into job (first, last, task, policy, priority, created_at, batch, text_value, byte_value) values (id, id + number - 1, (g->'task')::bigint,
			(g->'policy')::integer, (g->'priority')::integer, now_ms(), (g->>'batch')::bigint, texts[(g->'values')::integer], bytes[(g->'values')::integer]);
		insert into ready values (id, id + number - 1, (g->'task')::bigint, -(g->'priority')::integer, (g->>'batch')::bigint, 0);
		insert into tally_change (batch, task, state, jobs, store)
			values ((g->>'batch')::bigint, (g->'task')::bigint, @READY@, number, current_setting('faena.store')::integer);
		return jsonb_build_object('ids', id);
	end if;
	perform insert_jobs(id, g, texts, bytes, null);
	perform insert_state(id, g);
	return jsonb_build_object('ids', id);
end $$;
