-- Heartbeats, and what owners give back.

-- A claim that is under way may still claim jobs of a task that is paused now: so the call is alone.
create function set_paused(call jsonb) returns void language plpgsql as $$
begin
	perform begin_call(call, true);
	update task set paused = (call->>'paused')::boolean where name in (select jsonb_array_elements_text(call->'tasks'));
	perform note_change(id) from task where name in (select jsonb_array_elements_text(call->'tasks'));
end $$;

create function adopt(call jsonb) returns boolean language plpgsql as $$
declare
	is_known boolean;
begin
	perform begin_call(call, true);
	update scope set name = call->>'to' where name = call->>'from';
	is_known := found;
	-- Their jobs have the number of the scope; this is what is shown.
	update schedule set spec = spec || jsonb_build_object('scope', call->'to') where spec->'scope' = call->'from';
	-- Engines that wait may have jobs now.
	perform note_change(id) from task;
	return is_known;
end $$;

create function heartbeat(call jsonb) returns boolean language plpgsql as $$
begin
	perform begin_call(call, false);
	update owner set heartbeat_at = now_ms() where name = call->>'owner' and heartbeat_at > 0 and id = coalesce((call->>'id')::integer, id);
	return found;
end $$;

-- Makes a page of the owner's running jobs ready again, uncharged. Jobs that were asked to stop end one by one.
create function release_claims(its_owner integer, after_lease bigint, leaves boolean, open_jobs jsonb) returns jsonb language plpgsql as $$
declare
	c claimed;
	jobs bigint := 0;
	has_more boolean := false;
	o record;
begin
	for c in select * from claimed where owner = its_owner and lease > after_lease order by first loop
		if jobs >= @MAX_RELEASED@ then
			has_more := true;
			exit;
		end if;
		for o in
			select * from jsonb_to_recordset(open_jobs) q (lease bigint, first bigint, last bigint)
			where q.lease = c.lease and q.first <= c.last and q.last >= c.first
		loop
			insert into failure_state (id, attempts, suspicion) select id, 0, 1 from generate_series(greatest(o.first, c.first), least(o.last, c.last)) id
				on conflict (id) do update set suspicion = least(failure_state.suspicion + 1, @MAX_SUSPICION@);
		end loop;
		delete from claimed where first = c.first;
		jobs := jobs + c.last - c.first + 1;
		if c.stop <> @STOP_HOLD@ then
			perform end_expiry(c.first, c.last);
			perform leave(c, id, jsonb_build_object('to', case when c.stop < 0 then '@RELEASED_IF_DISCARDED@' else '@RELEASED_IF_CANCELLED@' end), null)
				from generate_series(c.first, c.last) id;
			continue;
		end if;
		-- Any job of a dead owner may have started.
		if open_jobs is not null then perform end_expiry(c.first, c.last);
		else update expiry set expires_at = -expires_at where id between c.first and c.last and expires_at < -1;
		end if;
		perform make_ready(c.first, c.last, c.task, c.rank, c.batch, c.execution, @RUNNING@);
		if c.stop = @STOP_HOLD@ then perform hold_jobs(place_of(c.first), c.first, c.last); end if;
	end loop;
	if leaves and not has_more then delete from owner where id = its_owner; end if;
	return jsonb_build_object('jobs', jobs, 'hasMore', has_more) || end_call();
end $$;

-- How many changes other stores have made so far, whether jobs have arrived, and the owner's jobs to stop.
create function news(call jsonb) returns jsonb language sql stable as $$
	select jsonb_build_object(
		'version', (select coalesce(sum(changes), 0) from folded where store <> (call->>'store')::integer)
			+ (select count(*) from new_changes() where store <> (call->>'store')::integer),
		'arrived', exists (select from arrived),
		'now', (extract(epoch from clock_timestamp()) * 1000)::bigint,
		'stop', (select coalesce(jsonb_agg(jsonb_build_object('id', id, 'lease', c.lease, 'execution', c.execution) order by id), '[]')
			from claimed c cross join lateral generate_series(c.first, c.last) id
			where c.owner = (select o.id from owner o where o.name = call->>'owner') and c.stop is not null and c.stop not in (@STOP_DISCARD@, @STOP_HOLD@))
	)
$$;

-- The size of the queue in bytes, with its indexes.
create function size() returns bigint language sql stable as $$
	select coalesce(sum(pg_total_relation_size(oid)), 0)::bigint from pg_class where relkind = 'r' and relnamespace = (select relnamespace from pg_class where oid = 'job'::regclass)
$$;

-- Wakes the listeners of other stores. It is not waited for, and need not reach the disk.
create function tell_others(store integer) returns void language plpgsql as $$
begin
	perform set_config('synchronous_commit', 'off', true);
	perform pg_notify(channel(), store::text);
end $$;

create function release(call jsonb) returns jsonb language plpgsql as $$
declare
	its_owner integer;
	its_store integer := (call->>'store')::integer;
	latest bigint;
	is_registered boolean;
begin
	-- Claims that are under way end before it begins.
	perform begin_call(call, true);
	-- The first claim of an owner may still be on its way: then it has no row yet.
	if not (call->'leave')::boolean then
		insert into owner (name, host, store, heartbeat_at) values (call->>'owner', call->>'host', its_store, 0) on conflict do nothing;
	end if;
	-- A release whose connection was lost may arrive after a later one. By then the owner may have new claims.
	update owner set released_by = greatest(released_by, (call->>'number')::bigint) where name = call->>'owner' and store = its_store
		returning id, released_by, heartbeat_at > 0 into its_owner, latest, is_registered;
	if latest > (call->>'number')::bigint then return null; end if;
	return release_claims(its_owner, (call->'after')::bigint, (call->'leave')::boolean, null) || jsonb_build_object('owner', case when is_registered then its_owner end);
end $$;

-- Drops the sets of functions that no program has used for a week, and none has open. That of the latest release stays: programs in other languages use it.
create function drop_unused_sets() returns void language plpgsql as $$
declare
	its_name text;
begin
	for its_name in
		select name from function_set where used_at < now() - interval '7 days' and name <> current_schema()
			and name <> (select name from function_set order by release desc, made_at desc limit 1)
	loop
		continue when not pg_try_advisory_xact_lock(hashtext(its_name), 4);
		execute format('drop schema if exists %I cascade', its_name);
		delete from function_set where name = its_name;
	end loop;
-- Another user owns it.
exception when insufficient_privilege then null;
end $$;

-- All owners. Each store looks about every second, and then adds up counts that were left, if no other call can. It is alone if it does.
create function look_at_owners(call jsonb) returns jsonb language plpgsql as $$
declare
	to_fold bigint := changes_to_fold();
	completed jsonb;
begin
	perform begin_call(call, to_fold < @MAX_CHANGES@ or to_fold >= @TOO_MANY_CHANGES@);
	completed := fold_if_possible();
	update function_set set used_at = now() where name = current_schema() and used_at < now() - interval '1 hour';
	if found then perform drop_unused_sets(); end if;
	-- Stores that have ended share a row. One that writes again makes a new one.
	with old as (delete from folded where store <> 0 and at < now_ms() - @OLD_MS@ returning changes)
	insert into folded select 0, sum(changes), now_ms() from old having count(*) > 0 on conflict (store) do update set changes = folded.changes + excluded.changes;
	-- From then on an owner that lives has time for a heartbeat: the server may have been away, or its clock may have jumped.
	update owner set silent_heartbeat = heartbeat_at, silent_since = now_ms()
		where heartbeat_at > 0 and heartbeat_at < now_ms() - (call->>'lease')::bigint and silent_heartbeat is distinct from heartbeat_at;
	return jsonb_build_object('completed', completed, 'owners', (
		select coalesce(jsonb_agg(jsonb_build_object('id', id, 'name', name, 'host', host, 'heartbeatAt', heartbeat_at,
			'silentMs', case when silent_heartbeat = heartbeat_at then now_ms() - silent_since end) order by id), '[]') from owner
	));
end $$;

-- Makes the jobs of an owner ready again that has died. Returns null if its heartbeat has changed.
create function reclaim(call jsonb) returns jsonb language plpgsql as $$
begin
	perform begin_call(call, true);
	perform from owner where id = (call->'owner')::integer and heartbeat_at = (call->'heartbeatAt')::bigint;
	if not found then return null; end if;
	-- A batch of a dead owner has none.
	return release_claims((call->'owner')::integer, 0, true, coalesce(call->'open', '[]'));
end $$;
