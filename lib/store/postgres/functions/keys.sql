-- Keys: which job has one (I4), and what a new job with the key of another does.

-- In a batch, the key as a number if it is one: those are in key_run.
create function number_of(its_batch bigint, its_key text) returns bigint language sql immutable as $$
	select case when its_batch is not null and its_key ~ '^(0|[1-9][0-9]{0,14})$' then its_key::bigint end
$$;

-- Where keys are unique: the value of key.space.
create function key_space(its_task bigint, its_batch bigint) returns bigint language sql immutable as $$
	select coalesce(its_batch, -name_of(its_task))
$$;

-- The job that has the key: one row, with null if there is none.
create function held_by(its_space bigint, its_batch bigint, its_key text) returns table (held bigint) language sql stable rows 1 as $$
	select coalesce(h.id, r.first_id + own - r.first) from number_of(its_batch, its_key) own
	left join lateral (select id from key where space = its_space and key = its_key limit 1) h on true
	left join lateral (select * from key_run where batch = its_batch and first <= own order by first desc limit 1) r on r.last >= own
$$;

create function holder_of(its_task bigint, its_batch bigint, its_key text) returns bigint language plpgsql stable as $$
begin
	return (select held from held_by(key_space(its_task, its_batch), its_batch, its_key));
end $$;

-- Frees those keys of deleted jobs that no other job has taken.
create function free_keys(j job, its_first bigint, its_last bigint) returns void language plpgsql as $$
declare
	r key_run;
begin
	if j.keys is null and j.first_number is null then return; end if;
	delete from key where space = key_space(j.task, j.batch) and id between its_first and its_last
		and key = any (case when j.first = j.last then array[j.keys] else string_to_array(j.keys, E'\n') end);
	if j.batch is null then return; end if;
	for r in
		delete from key_run k where batch = j.batch and first_id <= its_last and first_id + last - first >= its_first
			-- The runs before this one have earlier jobs.
			and first_id >= coalesce((select max(x.first_id) from key_run x where x.batch = j.batch and x.first_id <= its_first), its_first) returning *
	loop
		if r.first_id < its_first then insert into key_run values (r.batch, r.first, r.first + its_first - 1 - r.first_id, r.first_id); end if;
		if r.first_id + r.last - r.first > its_last then
			insert into key_run values (r.batch, r.first + its_last + 1 - r.first_id, r.last, its_last + 1);
		end if;
	end loop;
end $$;

create function same_value(a text, a_bytes bytea, b text, b_bytes bytea) returns boolean language plpgsql immutable as $$
begin
	if a_bytes is not null or b_bytes is not null or a is null or b is null then return (a, a_bytes) is not distinct from (b, b_bytes); end if;
	return a = b or a::jsonb = b::jsonb;
exception when others then
	return false;
end $$;

create function has_ended(id bigint) returns boolean language sql stable as $$
	select coalesce((place_of(id)).state between @COMPLETED@ and @CANCELLED@, false)
$$;

-- A job of a group with keys. Index: in the group, from 1. Holder: the job that has its key, and keeps it; ended: the one that gives it away. Leader:
-- the index of the first job of the group with its key. Place: among those that are new, from 1; null for the others.
create type keyed as (index integer, key text, text_value text, byte_value bytea, holder bigint, ended bigint, leader integer, place integer);

create function keyed_jobs(g jsonb, texts text[], bytes bytea[]) returns keyed[] language plpgsql stable as $$
declare
	number integer := g->'count';
	its_task bigint := g->'task';
	its_batch bigint := g->>'batch';
	at integer := g->'values';
	is_packed boolean := g->'packed';
	own_texts text[] := case when is_packed then string_to_array(texts[at], E'\n', '') else texts[at : at + number - 1] end;
	own_bytes bytea[] := case when not is_packed then bytes[at : at + number - 1] end;
begin
	return (
		select array_agg((i, k, t, b, case when not is_free then held end, case when is_free then held end, leader, case when is_new then place end)::keyed order by i)
		from (
			select *, sum(is_new::integer) over (order by i)::integer as place from (
				select *, (held is null or is_free) and i = leader as is_new from (
					select k, t, b, i::integer, held, coalesce(g ? 'unique' and has_ended(held), false) as is_free, (min(i) over (partition by k))::integer as leader
					from unnest(keys_of(g), own_texts, own_bytes) with ordinality j (k, t, b, i)
					cross join lateral held_by(key_space(its_task, its_batch), its_batch, k)
				) found
			) told
		) placed
	);
end $$;

-- Jobs with these keys, in the order of the keys.
create function holders(call jsonb) returns table (id bigint, state smallint, fingerprint text) language plpgsql stable as $$
declare
	its_batch bigint := call->>'batch';
	its_space bigint := coalesce(its_batch, -(select t.id from task t where t.name = call->>'task'));
begin
	return query
		select held, coalesce(o.status, (place_of(held)).state), f.value
		from jsonb_array_elements_text(call->'keys') with ordinality k (name, i)
		cross join lateral held_by(its_space, its_batch, k.name)
		left join lateral outcome_row(held) o on o.last >= held
		left join fingerprint f on f.id = held
		order by k.i;
end $$;

-- Keeps the fingerprints of the jobs of a group, except of those that were refused.
create function keep_fingerprints(given jsonb, made jsonb, texts text[]) returns void language plpgsql as $$
declare
	at integer := given->'values';
	lines text[] := case when (given->'packed')::boolean then string_to_array(texts[at], E'\n', '') else texts[at : at + (given->'count')::integer - 1] end;
	base bigint := case jsonb_typeof(made->'ids') when 'number' then (made->>'ids')::bigint - 1 end;
	ids bigint[] := case when base is null then array(select jsonb_array_elements_text(made->'ids')::bigint) end;
	others bigint[] := array(select jsonb_array_elements_text(coalesce(made->'conflicts', '[]') || coalesce(made->'left', '[]'))::bigint);
begin
	if made->'ids' is null then return; end if;
	-- Two jobs of the group may have one key.
	insert into fingerprint
		select distinct on (id) id, line from (
			select coalesce(base + i, ids[i::integer]) as id, i, line
			from unnest(lines) with ordinality l (line, i)
			where line is not null and not exists (select from unnest(others) other where other = i - 1)
		) kept order by id, i desc
		on conflict (id) do update set value = excluded.value;
end $$;

-- Puts the code by which the jobs of an ended item ran into their fingerprints, but for those whose claim was lost.
create function note_code(item jsonb, answer jsonb) returns void language sql as $$
	update fingerprint set value = (item->>'code') || substr(value, strpos(value, ' '))
		where id between (item->'first')::bigint and (item->'last')::bigint and split_part(value, ' ', 1) <> item->>'code' and answer <> '"lost"'
			and not exists (select from jsonb_array_elements(case jsonb_typeof(answer) when 'array' then answer else '[]' end) lost
				where id between (lost->0)::bigint and (lost->1)::bigint)
$$;

-- The values of jobs that exist.
create function values_of(ids bigint[]) returns table (id bigint, text_value text, byte_value bytea) language plpgsql stable as $$
declare
	j job;
	lines text[];
begin
	foreach id in array ids loop
		-- Neighbours share the row.
		if j.first is null or id < j.first or id > j.last then
			select * into j from job x where x.first <= values_of.id and x.first > values_of.id - @MAX_GROUP_JOBS@ order by x.first desc limit 1;
			lines := case when j.first < j.last then string_to_array(j.text_value, E'\n', '') end;
		end if;
		text_value := case when j.first = j.last then j.text_value else lines[id - j.first + 1] end;
		byte_value := j.byte_value;
		return next;
	end loop;
end $$;

-- Enqueues a group with keys. A job whose key exists is that job, or a conflict.
create function enqueue_keyed(g jsonb, texts text[], bytes bytea[]) returns jsonb language plpgsql as $$
declare
	number integer := g->'count';
	its_batch bigint := g->>'batch';
	first_number bigint := g->>'number';
	jobs keyed[];
	k record;
	reused integer[] := '{}';
	conflicts integer[] := '{}';
	base bigint;
	became text;
	was_held boolean;
	outdated integer[] := array(select jsonb_array_elements(g->'outdated'));
	lefts integer[] := '{}';
	named integer[] := '{}';
	may_be_held boolean := its_batch is not null and are_some_held();
begin
	-- Two ranges of numbers that overlap would not collide.
	if its_batch is not null then perform pg_advisory_xact_lock(batches_lock_key(), its_batch::integer); end if;
	if first_number is not null and its_batch is not null
		and not exists (select from key_run where batch = its_batch and first < first_number + number and last >= first_number) then
		base := ids_for(g, number);
		insert into key_run values (its_batch, first_number, first_number + number - 1, base);
		perform insert_jobs(base, g, texts, bytes, null);
		perform insert_state(base, g);
		return jsonb_build_object('ids', base);
	end if;
	jobs := keyed_jobs(g, texts, bytes);
	-- Before any number is taken, since a conflict may undo the call.
	for k in
		select j.*, l.text_value as its_leaders_text, l.byte_value as its_leaders_bytes, v.text_value as old_text, v.byte_value as old_bytes
		from unnest(jobs) j join unnest(jobs) l on l.index = j.leader
		left join values_of(array(select holder from unnest(jobs) where holder is not null)) v on v.id = j.holder
		where j.place is null order by j.index
	loop
		if k.holder is null then
			became := case when same_value(k.its_leaders_text, k.its_leaders_bytes, k.text_value, k.byte_value) then 'reused' else 'conflict' end;
		else
			-- The leader may have replaced the job.
			if k.index <> k.leader then select text_value, byte_value into k.old_text, k.old_bytes from values_of(array[k.holder]) where id = k.holder; end if;
			was_held := may_be_held and is_held(place_of(k.holder));
			became := resolve_collision(k.holder, k.old_text, k.old_bytes, g, k.text_value, k.byte_value, k.index, k.index - 1 = any (outdated));
		end if;
		if became = 'left' then lefts := lefts || k.index - 1; end if;
		if k.holder is not null and was_held and became <> 'conflict' then
			perform unhold(k.holder, g);
			if became <> 'left' then named := named || k.index - 1; end if;
		end if;
		if became <> 'conflict' then
			reused := reused || k.index - 1;
		elsif (g->>'reject')::boolean then
			raise exception using errcode = '@KEY_CONFLICT@', message = 'key conflict', detail = jsonb_build_array(g->'index', k.index - 1, k.holder);
		else
			conflicts := conflicts || k.index - 1;
		end if;
	end loop;
	base := enqueue_new(g, array(select j from unnest(jobs) j where place is not null order by place), texts, bytes);
	return jsonb_build_object(
		'ids', (select jsonb_agg(coalesce(j.holder, base + l.place - 1) order by j.index) from unnest(jobs) j join unnest(jobs) l on l.index = j.leader),
		'reused', to_jsonb(reused),
		'conflicts', to_jsonb(conflicts),
		'left', to_jsonb(lefts),
		'named', to_jsonb(named)
	);
end $$;

-- Enqueues those jobs of a group that are new, with their keys. Returns the id of the first one.
create function enqueue_new(g jsonb, news keyed[], texts text[], bytes bytea[]) returns bigint language plpgsql as $$
declare
	keys text[] := array(select key from unnest(news) order by place);
	made jsonb := g || jsonb_build_object('count', cardinality(news), 'packed', false, 'values', 1, 'number', null);
	base bigint;
begin
	if cardinality(news) = 0 then return null; end if;
	base := ids_for(g, cardinality(news));
	if g ? 'unmet' then
		made := made || jsonb_build_object('unmet', (select jsonb_agg(g->'unmet'->(index - 1) order by place) from unnest(news)));
	end if;
	if (g->'packed')::boolean and cardinality(news) = (g->'count')::integer and not exists (select from unnest(keys) k where k = '' or strpos(k, E'\n') > 0) then
		perform insert_jobs(base, g || '{"number": null}', texts, bytes, keys);
	else
		perform insert_jobs(base, made, array(select text_value from unnest(news) order by place), array(select byte_value from unnest(news) order by place), keys);
	end if;
	perform insert_state(base, made);
	perform take_keys((g->'task')::bigint, (g->>'batch')::bigint, news, base);
	return base;
end $$;

-- Gives new jobs their keys, which no job had, or one that has ended. If another call has taken one meanwhile, this call begins again.
create function take_keys(its_task bigint, its_batch bigint, news keyed[], base bigint) returns void language plpgsql as $$
declare
	taken bigint;
begin
	insert into key_run
		select its_batch, min(number), max(number), base + min(place) - 1
		from (select number, place, row_number() over (order by number) as rank from unnest(news), number_of(its_batch, key) number where number is not null) ranked
		-- Neighbours by key and by job.
		group by number - rank, place - rank;
	-- In one order, so that two calls that take the same keys can't wait for each other.
	insert into key (space, key, id)
		select key_space(its_task, its_batch), n.key, base + n.place - 1 from unnest(news) n where number_of(its_batch, n.key) is null order by n.key
		on conflict (space, key) do update set id = excluded.id where key.id in (select ended from unnest(news));
	get diagnostics taken = row_count;
	if taken < (select count(*) from unnest(news) n where number_of(its_batch, n.key) is null) then
		raise serialization_failure using message = 'Another call has taken the key.';
	end if;
end $$;

-- The key of a new job belongs to another one. What becomes of that: conflict if it keeps another payload; left if it was to run again, and runs already,
-- or its new round can't begin.
create function resolve_collision(its_id bigint, old_text text, old_bytes bytea, g jsonb, its_text text, its_bytes bytea, place integer, is_outdated boolean)
	returns text language plpgsql as $$
declare
	is_same boolean := same_value(old_text, old_bytes, its_text, its_bytes);
begin
	if is_same and not is_outdated then
		if (g->'rerun'->>'failed')::boolean then perform rerun_job(its_id, g, place, false, null, null); end if;
		return 'reused';
	end if;
	return case
		when case when (g->'rerun'->>'changed')::boolean then rerun_job(its_id, g, place, true, its_text, its_bytes) end then 'reused'
		when is_same then 'left' else 'conflict' end;
end $$;
