-- Schedules, and the jobs that they enqueue. A spec is JSON; its task and policy are also given by number.

create function is_unended(id bigint) returns boolean language sql stable as $$
	select coalesce((place_of(id)).state not between @COMPLETED@ and @CANCELLED@, false)
$$;

-- Writes what a change does to a schedule, which was decided by its id, its version and by whether its last job has not ended: lib/job/schedule.ts.
create function change_schedule(change jsonb, texts text[], bytes bytea[]) returns jsonb language plpgsql as $$
declare
	value integer := change->>'values';
	s schedule;
	run jsonb;
	before bigint;
	ids bigint[] := '{}';
begin
	select * into s from schedule where name = change->>'name';
	if coalesce(s.version, 0) <> (change->'version')::integer or s.id <> (change->>'id')::bigint or is_unended(s.last_job) <> (change->'isRunning')::boolean then
		raise exception 'facts have changed' using errcode = '@NOT_DECIDED@', detail = '[]';
	end if;
	case change->>'type'
		when 'none' then return '{"isDone": false, "jobIds": []}';
		when 'delete' then delete from schedule where id = s.id;
		when 'set' then
			change := scoped(change);
			insert into schedule (name, spec, task, policy, text_value, byte_value, created_at, next_at, from_end)
				values (change->>'name', change->'spec', (change->>'task')::bigint, (change->>'policy')::integer, texts[value], bytes[value], now_ms(),
					(change->>'nextAt')::bigint, coalesce(change->'spec'->'timing'->>'from' = 'end', false))
				on conflict (name) do update set (version, spec, task, policy, text_value, byte_value, created_at, next_at, from_end) =
					(s.version + 1, excluded.spec, excluded.task, excluded.policy, excluded.text_value, excluded.byte_value, excluded.created_at, excluded.next_at,
						excluded.from_end);
			perform note_change((change->>'task')::bigint);
		else
			before := case when (change->'runs'->'wait')::boolean then s.last_job end;
			for run in select * from jsonb_array_elements(change->'runs'->'moments') loop
				before := enqueue_run(s, (run->'moment')::bigint, before, (run->>'runAt')::bigint);
				ids := ids || before;
			end loop;
			update schedule set version = version + 1, paused = (change->'isPaused')::boolean, next_at = (change->>'nextAt')::bigint, last_job = coalesce(before, last_job),
				last_at = (change->>'lastAt')::bigint, runs = runs + cardinality(ids), skipped = skipped + (change->'skipped')::bigint,
				missed = missed + (change->'missed')::bigint where id = s.id;
			if s.paused then perform note_change(s.task); end if;
	end case;
	return jsonb_build_object('isDone', true, 'jobIds', to_jsonb(ids));
end $$;

-- Enqueues the job of a moment. It waits for the job before, if there is one.
create function enqueue_run(s schedule, moment bigint, before bigint, due bigint) returns bigint language plpgsql as $$
declare
	its_id bigint;
	g jsonb := jsonb_build_object('task', s.task, 'policy', s.policy, 'priority', s.spec->'priority', 'count', 1, 'packed', false, 'values', 1,
		'expires', s.spec->>'expiresMs', 'at', due);
begin
	if before is not null then
		g := g || jsonb_build_object('parents',
			jsonb_build_object('onParentDead', 'run', 'edges', jsonb_build_array(jsonb_build_object('kind', 'all', 'first', before, 'count', 1))));
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
		update schedule x set version = version + 1, next_at = case when not is_over then moment end, from_end = not is_over where x.id = s.id;
	end loop;
end $$;

create function moment_in_ms() returns bigint language sql stable as $$
	select greatest(0, next_at - now_ms()) from schedule where not paused and next_at is not null order by next_at limit 1
$$;
