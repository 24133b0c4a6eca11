-- Jobs that programs enqueue in transactions of their own. Those may take any time, so they lock no row of the queue, and change no counts: a job is
-- a row of `arrived` until, after the commit, a call takes it over that runs jobs, changes them or reads them.

-- Takes over the first jobs, but for those that another call is taking over.
create function take_over_first() returns void language plpgsql as $$
declare
	ids bigint[] := array(select id from arrived order by id limit @MAX_TAKEN_OVER@ for update skip locked);
begin
	perform take_over(ids);
	if cardinality(ids) = @MAX_TAKEN_OVER@ then perform set_config('faena.more_arrived', 'true', true); end if;
end $$;

-- Takes over the jobs that a group names, by a key or as parents. If another call is taking them over, this waits for it.
create function take_over_named(g jsonb) returns void language plpgsql as $$
begin
	if not exists (select from arrived) then return; end if;
	perform take_over(array(select id from arrived where id = any (array(
		select a.id from arrived a where g->>'batch' is null and a.task = (select name from task where id = name_of((g->>'task')::bigint)) and a.key = any (keys_of(g))
		union all select a.id from jsonb_array_elements(g->'parents'->'edges') e
			join arrived a on a.id >= (e->>'first')::bigint and a.id < (e->>'first')::bigint + (e->>'count')::bigint where not e ? 'groupsBefore'
	)) order by id for update));
end $$;

-- Takes over jobs whose rows this call has locked. It is a change of another program, of which this store's listeners are to hear, too.
create function take_over(ids bigint[]) returns void language plpgsql as $$
declare
	its_store text := current_setting('faena.store');
	a arrived;
	its_task bigint;
begin
	if ids = '{}' then return; end if;
	perform set_config('faena.store', '0', true);
	-- In one order, so that two calls can't wait for each other.
	-- Those that exist would take a number each.
	insert into task (name) select distinct x.task from arrived x where x.id = any (ids) and not exists (select from task t where t.name = x.task)
		order by 1 on conflict do nothing;
	insert into policy (spec) select distinct x.policy from arrived x where x.id = any (ids) and not exists (select from policy p where p.spec = x.policy)
		order by 1 on conflict do nothing;
	for a in delete from arrived where id = any (ids) returning * loop
		its_task := in_scope((select id from task where name = a.task), a.scope);
		insert into job values (a.id, a.id, its_task, (select id from policy where spec = a.policy), a.priority, a.created_at, null, null, a.key, a.text_value, a.byte_value);
		if a.key is not null then
			insert into key values (key_space(its_task, null), a.key, a.id) on conflict (space, key) do update set id = excluded.id where key.id = a.replaces and has_ended(a.replaces);
			if not found then
				perform refuse_arrived(a, its_task);
				continue;
			end if;
		end if;
		perform set_expiry(a.id, a.id, a.expires_ms, a.run_at);
		perform make_ready(a.id, a.id, its_task, -a.priority, null, 0, null, a.run_at);
	end loop;
	perform set_config('faena.store', its_store, true);
end $$;

-- While the transaction was open, another job has taken the key, outside any transaction of a program. There was no way to tell.
create function refuse_arrived(a arrived, its_task bigint) returns void language plpgsql as $$
begin
	insert into outcome values (a.id, a.id, its_task, -a.priority, null, 0, @CANCELLED@, now_ms(), null, null, null, null);
	perform count_change(its_task, null, null, @CANCELLED@, 1);
	insert into failure_state (id, attempts, execution, ended_at, failure)
		values (a.id, 0, 1, now_ms(), failure_about(@KEY_TAKEN@, (select id::text from key where space = key_space(its_task, null) and key = a.key), to_json(a.key)::text));
end $$;

-- Takes over the first jobs that have arrived, before a call that reads or selects jobs. Returns up to which job more are left of those that had
-- arrived at the first call, for the next one; null if there are none. A standby has to leave them.
create function look_at_arrived(up_to bigint) returns bigint language plpgsql as $$
begin
	if not exists (select from arrived) or pg_is_in_recovery() or current_setting('transaction_read_only') = 'on' then return null; end if;
	up_to := coalesce(up_to, (select max(id) from arrived));
	perform begin_call('{}', false);
	-- If another call is taking over some, this waits for it.
	perform from arrived where id <= up_to order by id limit 1 for update;
	return case when found then up_to end;
end $$;

-- Enqueues one job in the caller's transaction. Of the job: {task, scope, policy, priority, key, unique, delay, runAt, expires}, times in milliseconds.
create function enqueue_checked(job jsonb, its_text text, its_bytes bytea) returns enqueued language plpgsql as $$
declare
	now bigint := extract(epoch from clock_timestamp()) * 1000;
	its_key text := job->>'key';
	its_space bigint := (select -id from task where name = job->>'task');
	its_id bigint;
	holder bigint;
	h job;
	a arrived;
	due bigint := coalesce(now + (job->>'delay')::bigint, (job->>'runAt')::bigint);
begin
	if coalesce(job->>'task', '') = '' then perform refuse_option('as task a name that is not empty', job->'task'); end if;
	-- Names that no index could hold would stop the call that takes them over.
	if octet_length(job->>'task') > @MAX_KEY_BYTES@ or octet_length(its_key) > @MAX_KEY_BYTES@ then
		raise exception using errcode = 'program_limit_exceeded', message = 'a task and a key have at most @MAX_KEY_BYTES@ bytes here';
	end if;
	perform set_config('faena.now', now::text, true);
	loop
		holder := (select id from key where space = its_space and key = its_key);
		if holder is not null and not (job ? 'unique' and has_ended(holder)) then
			select * into h from job_row(holder);
			return reuse(job, holder, line_of(h.text_value, h.first, h.last, holder), h.byte_value, its_text, its_bytes);
		end if;
		select * into a from arrived where task = job->>'task' and key = its_key;
		if found then return reuse(job, a.id, a.text_value, a.byte_value, its_text, its_bytes); end if;
		its_id := coalesce(its_id, take_ids(1));
		insert into arrived values (its_id, job->>'task', job->>'policy', (job->>'priority')::integer, now, its_key, its_text, its_bytes,
			case when due > now then due end, (job->>'expires')::bigint, holder, job->>'scope') on conflict (task, key) where key is not null do nothing;
		if not found then continue; end if;
		exit when its_key is null;
		-- A row that was there just now may have been taken over.
		its_space := (select -id from task where name = job->>'task');
		exit when not exists (select from key where space = its_space and key = its_key and id is distinct from holder);
		delete from arrived where id = its_id;
	end loop;
	-- Of many in one transaction, the server keeps one.
	perform pg_notify(channel(), '0');
	return (its_id, false);
end $$;

-- The key belongs to a job that exists.
create function reuse(job jsonb, holder bigint, a text, a_bytes bytea, b text, b_bytes bytea) returns enqueued language plpgsql as $$
begin
	if same_value(a, a_bytes, b, b_bytes) then return (holder, true); end if;
	raise exception using errcode = '@KEY_CONFLICT@', detail = holder,
		message = format('The key %s of task %s belongs to job %s, which has another payload.', to_json(job->>'key'), job->>'task', holder);
end $$;

create function refuse_option(expects text, value jsonb) returns void language plpgsql as $$
begin
	raise exception using errcode = 'invalid_parameter_value', message = format('enqueue() expects %s; it got %s', expects, left(value::text, 100));
end $$;

-- A time in milliseconds: a number; or as text an interval or, without a least one, a moment since 1970. Null if there is none.
create function ms_of(value jsonb, name text, least_ms integer default null) returns bigint language plpgsql as $$
declare
	is_moment boolean := least_ms is null;
	most_ms bigint := case when is_moment then @LAST_MS@ else @MAX_DURATION_MS@ end;
	ms numeric;
begin
	if value is null then return null; end if;
	begin
		ms := round(case jsonb_typeof(value) when 'number' then value::text::numeric when 'string' then case when is_moment
			then extract(epoch from (value #>> '{}')::timestamptz) else extract(epoch from (value #>> '{}')::interval) end * 1000 end);
	exception when data_exception then
		null;
	end;
	if ms between coalesce(least_ms, 0) and most_ms then return ms; end if;
	perform refuse_option(format(case when is_moment then 'as %s a time such as "2030-01-31 12:00+00", or milliseconds since 1970'
		else 'as %s a number of milliseconds, or an interval such as "5 minutes", from %s ms to 10 years' end, name, least_ms), value);
end $$;

create function number_of_option(value jsonb, name text, low integer, high integer, is_whole boolean) returns numeric language plpgsql as $$
begin
	if jsonb_typeof(value) = 'number' and value::text::numeric between low and high and (not is_whole or value::text::numeric % 1 = 0) then
		return round(value::text::numeric, 9);
	end if;
	perform refuse_option(format('as %s a %s from %s to %s', name, case when is_whole then 'whole number' else 'number' end, low, high), value);
end $$;

-- Refuses a name that is none of these.
create function refuse_unknown(given jsonb, known text[], what text) returns void language plpgsql as $$
declare
	unknown text := (select string_agg(name, ', ') from jsonb_object_keys(given) name where name <> all (known));
begin
	if unknown is not null then
		raise exception using errcode = 'invalid_parameter_value', message = format('enqueue() has no option %s', left(unknown, 100)),
			hint = format('%s are %s.', what, array_to_string(known, ', '));
	end if;
end $$;

-- Enqueues a job in the caller's transaction, for programs in any language. Returns its id, and whether it is an existing job with the key.
create function enqueue_given(task text, payload jsonb, options jsonb) returns enqueued language plpgsql as $$
declare
	-- An option that is null is left out.
	given jsonb := jsonb_strip_nulls(coalesce(options, '{}'));
	o jsonb := '{"priority": @PRIORITY@, @POLICY_DEFAULTS@, "retry": "auto", "backoff": {}}'::jsonb;
	b jsonb := '{"base": @BACKOFF_BASE_MS@, "factor": @BACKOFF_FACTOR@, "max": @BACKOFF_MAX_MS@, "jitter": @BACKOFF_JITTER@}'::jsonb;
begin
	if jsonb_typeof(given) <> 'object' then perform refuse_option('as options an object', given); end if;
	perform refuse_unknown(given, array['key', 'unique', 'scope', 'priority', 'delay', 'runAt', 'expires', @POLICY_NAMES@, 'timeout', 'retry', 'backoff', 'onDead'],
		'Its options');
	o := o || given;
	if jsonb_typeof(o->'backoff') <> 'object' then perform refuse_option('as backoff an object', o->'backoff'); end if;
	perform refuse_unknown(o->'backoff', array['base', 'factor', 'max', 'jitter'], 'The options of backoff');
	b := b || (o->'backoff');
	if o->'retry' not in ('"auto"', '"manual"') then perform refuse_option('as retry "auto" or "manual"', o->'retry'); end if;
	if o ? 'key' and (jsonb_typeof(o->'key') <> 'string' or o->>'key' = '') then perform refuse_option('as key a text that is not empty', o->'key'); end if;
	if o ? 'scope' and (jsonb_typeof(o->'scope') <> 'string' or o->>'scope' = '') then perform refuse_option('as scope a text that is not empty', o->'scope'); end if;
	if o ? 'onDead' and (jsonb_typeof(o->'onDead') <> 'string' or o->>'onDead' = '') then perform refuse_option('as onDead the name of a task', o->'onDead'); end if;
	if o ? 'unique' and (o->'unique' <> '"unended"' or not o ? 'key') then perform refuse_option('as unique "unended", together with a key', o->'unique'); end if;
	if o ? 'delay' and o ? 'runAt' then perform refuse_option('delay or runAt, not both', given); end if;
	return enqueue_checked(
		jsonb_strip_nulls(jsonb_build_object(
			'task', task,
			'key', o->>'key',
			'unique', o->'unique',
			'scope', o->>'scope',
			'priority', number_of_option(o->'priority', 'priority', -@MAX_NUMBER@, @MAX_NUMBER@, true)::integer,
			'delay', ms_of(o->'delay', 'delay', 0),
			'runAt', ms_of(o->'runAt', 'runAt'),
			'expires', ms_of(o->'expires', 'expires', 1),
			'policy', format('{%s,"timeoutMs":%s,"retry":%s,"backoff":{"baseMs":%s,"factor":%s,"maxMs":%s,"jitter":%s}%s,"unset":%s}',
				(select string_agg(format('"%s":%s', n.name, number_of_option(o->n.name, n.name, n.least, @MAX_NUMBER@, true)::integer), ',' order by n.place)
					from (values @POLICY_NUMBERS@) n(place, name, least)),
				coalesce(ms_of(o->'timeout', 'timeout', 1)::text, 'null'), o->'retry',
				ms_of(b->'base', 'backoff.base', 0), number_of_option(b->'factor', 'backoff.factor', 1, @MAX_FACTOR@, false)::float8,
				ms_of(b->'max', 'backoff.max', 0), number_of_option(b->'jitter', 'backoff.jitter', 0, 1, false)::float8, ',"onDead":' || (o->'onDead')::text,
				array_to_json(array(select n from unnest(array[@UNSET_OPTIONS@]) n where not given ? n)))
		)),
		payload::text, null);
end $$;
