-- Schedules, and the jobs that they enqueue. A spec is JSON; its task and policy are also given by number.

create function is_unended(id bigint) returns boolean language sql stable as $$
	select coalesce((place_of(id)).state not between @COMPLETED@ and @CANCELLED@, false)
$$;

create function change_schedule(change jsonb, texts text[], bytes bytea[]) returns jsonb language plpgsql as $$
declare
	value integer := change->>'values';
	s schedule;
	is_new boolean;
	moment bigint;
	ids bigint[] := '{}';
	is_running boolean;
	before bigint;
	nothing jsonb := '{"isDone": false, "jobIds": []}';
	done jsonb := '{"isDone": true, "jobIds": []}';
begin
	change := scoped(change);
	select * into s from schedule where name = change->>'name';
	is_new := not found;
	if change->>'type' = 'set' then
		if not is_new and s.last_at is distinct from (change->>'lastAt')::bigint then return nothing; end if;
		if not is_new and s.spec = change->'spec' and same_value(s.text_value, s.byte_value, texts[value], bytes[value]) then return nothing; end if;
		insert into schedule (name, spec, task, policy, text_value, byte_value, created_at, next_at, from_end)
			values (change->>'name', change->'spec', (change->>'task')::bigint, (change->>'policy')::integer, texts[value], bytes[value], now_ms(), (change->>'nextAt')::bigint, coalesce(change->'spec'->'timing'->>'from' = 'end', false))
			on conflict (name) do update set (spec, task, policy, text_value, byte_value, created_at, next_at, from_end) =
				(excluded.spec, excluded.task, excluded.policy, excluded.text_value, excluded.byte_value, excluded.created_at, excluded.next_at, excluded.from_end);
		perform note_change((change->>'task')::bigint);
		return done;
	end if;
	if is_new then return nothing; end if;
	case change->>'type'
		when 'delete' then
			delete from schedule where id = s.id;
			return done;
		when 'pause' then
			update schedule set paused = true where id = s.id;
			return done;
		when 'resume' then
			update schedule set paused = false, next_at = (change->>'nextAt')::bigint where id = s.id;
			perform note_change(s.task);
			return done;
		else
	end case;
	is_running := is_unended(s.last_job);
	if change->>'type' = 'run' then
		if is_running and s.spec->>'overlap' = 'skip' then return done; end if;
		before := enqueue_run(s, now_ms(), case when is_running then s.last_job end, null);
		update schedule set last_job = before, runs = runs + 1 where id = s.id;
		return jsonb_build_object('isDone', true, 'jobIds', jsonb_build_array(before));
	end if;
	if s.paused or s.next_at is distinct from (change->>'at')::bigint then return nothing; end if;
	if is_running and s.spec->>'overlap' = 'skip' then
		update schedule set next_at = (change->>'nextAt')::bigint, skipped = skipped + jsonb_array_length(change->'moments'),
			missed = missed + (change->>'missed')::bigint where id = s.id;
		return done;
	end if;
	before := case when is_running then s.last_job end;
	for moment in select m::bigint from jsonb_array_elements_text(change->'moments') with ordinality l (m, i) order by i loop
		before := enqueue_run(s, moment, before, (change->'random'->>cardinality(ids))::float8);
		ids := ids || before;
	end loop;
	update schedule set next_at = (change->>'nextAt')::bigint, last_job = coalesce(before, last_job), last_at = coalesce(moment, last_at),
		runs = runs + cardinality(ids), missed = missed + (change->>'missed')::bigint where id = s.id;
	return jsonb_build_object('isDone', true, 'jobIds', to_jsonb(ids));
end $$;

-- Enqueues the job of a moment. It waits for the job before, if that has not ended. With a random number it starts somewhat later.
create function enqueue_run(s schedule, moment bigint, before bigint, random float8) returns bigint language plpgsql as $$
declare
	its_id bigint;
	g jsonb := jsonb_build_object('task', s.task, 'policy', s.policy, 'priority', s.spec->'priority', 'count', 1, 'packed', false, 'values', 1,
		'expires', s.spec->>'expiresMs', 'at', case when random is not null and (s.spec->>'jitterMs')::bigint > 0 then moment + floor(random * (s.spec->>'jitterMs')::bigint) end);
begin
	if before is not null then
		g := g || jsonb_build_object('parents',
			jsonb_build_object('onDead', 'run', 'edges', jsonb_build_array(jsonb_build_object('kind', 'all', 'first', before, 'count', 1))));
	end if;
	its_id := enqueue_group(g, array[s.text_value], array[s.byte_value], '{}')->>'ids';
	insert into scheduled values (its_id, moment);
	return its_id;
end $$;

-- Sets the next moments of schedules whose interval counts from the end of a job, if that has ended.
create function update_schedules() returns void language plpgsql as $$
declare
	s schedule;
	moment bigint;
	is_over boolean;
begin
	for s in select * from schedule x where x.from_end and x.next_at is null and not x.paused for update loop
		if is_unended(s.last_job) then continue; end if;
		moment := now_ms() + (s.spec->'timing'->>'everyMs')::bigint;
		is_over := coalesce(moment > (s.spec->>'until')::bigint, false);
		update schedule x set next_at = case when not is_over then moment end, from_end = not is_over where x.id = s.id;
	end loop;
end $$;

create function moment_in_ms() returns bigint language sql stable as $$
	select greatest(0, next_at - now_ms()) from schedule where not paused and next_at is not null order by next_at limit 1
$$;
