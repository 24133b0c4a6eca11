import {MAX_GROUP_JOBS} from '../../job/group.ts';
import {resolveJobOptions} from '../../job/options.ts';
import {StoredState} from '../stored-state.ts';
import {KEY_CONFLICT} from './error-codes.ts';

const {
	priority,
	policy: {maxAttempts, backoff},
} = resolveJobOptions();

/**
 * Jobs that programs enqueue in transactions of their own. Those may take any time, so they lock no row of the queue, and change no counts: a job is a row of
 * `arrived` until, after the commit, a call takes it over that runs jobs, changes them or reads them.
 */
export const ARRIVED = `
	create function take_over_arrived() returns void language plpgsql as $$
	declare
		a arrived;
		its_task integer;
	begin
		-- In one order, so that two calls can't wait for each other.
		insert into task (name) select distinct task from arrived order by 1 on conflict do nothing;
		insert into policy (spec) select distinct policy from arrived order by 1 on conflict do nothing;
		for a in delete from arrived where id in (select id from arrived order by id limit 5000 for update skip locked) returning * loop
			its_task := (select id from task where name = a.task);
			insert into job values (a.id, a.id, its_task, (select id from policy where spec = a.policy), a.priority, a.created_at, null, null, a.key, a.text_value, a.byte_value);
			if a.key is not null then
				insert into key values (-its_task, a.key, a.id) on conflict (scope, key) do update set id = excluded.id where key.id = a.replaces;
				if not found then
					perform refuse_arrived(a, its_task);
					continue;
				end if;
			end if;
			perform set_expiry(a.id, a.id, a.expires_ms, a.run_at);
			if a.run_at > now_ms() then
				insert into waiting values (a.id, a.id, its_task, -a.priority, null, 0, a.run_at, false);
				perform count_change(its_task, null, null, ${StoredState.delayed}, 1);
			else
				insert into ready values (a.id, a.id, its_task, -a.priority, null, 0);
				perform count_change(its_task, null, null, ${StoredState.ready}, 1);
			end if;
		end loop;
	end $$;

	-- While the transaction was open, another job has taken the key, outside any transaction of a program. There was no way to tell.
	create function refuse_arrived(a arrived, its_task integer) returns void language plpgsql as $$
	begin
		insert into outcome values (a.id, a.id, its_task, -a.priority, null, 0, ${StoredState.cancelled}, now_ms(), null, null, null, null);
		perform count_change(its_task, null, null, ${StoredState.cancelled}, 1);
		perform set_failure(a.id, 0, 0, 0, 1, null, null, jsonb_build_object('reason', 'cancelled', 'name', 'KeyConflict', 'message',
			format('Job %s took the key %s before the transaction of this one was committed.', (select id from key where scope = -its_task and key = a.key), to_json(a.key)))::text);
	end $$;

	-- Takes over what has arrived, before a read. A standby has to leave it.
	create function look_at_arrived() returns void language plpgsql as $$
	begin
		-- A call that has begun may have taken them over.
		if current_setting('faena.store', true) <> '' or not exists (select from arrived) or pg_is_in_recovery() or current_setting('transaction_read_only') = 'on' then return; end if;
		perform begin_call('{}', false);
	end $$;

	create type enqueued as (id bigint, reused boolean);

	-- Enqueues one job in the caller's transaction. Of the job: {task, policy, priority, key, unique, delay, runAt, expires}, times in milliseconds.
	create function enqueue_job(job jsonb, its_text text, its_bytes bytea) returns enqueued language plpgsql as $$
	declare
		now bigint := extract(epoch from clock_timestamp()) * 1000;
		its_key text := job->>'key';
		its_scope bigint := (select -id from task where name = job->>'task');
		its_id bigint;
		holder bigint;
		h job;
		a arrived;
		due bigint := coalesce(now + (job->>'delay')::bigint, (job->>'runAt')::bigint);
	begin
		perform set_config('faena.now', now::text, true);
		loop
			holder := (select id from key where scope = its_scope and key = its_key);
			if holder is not null and not (job ? 'unique' and has_ended(holder)) then
				select * into h from job where first <= holder and first > holder - ${MAX_GROUP_JOBS} order by first desc limit 1;
				return reuse(job, holder, line_of(h.text_value, h.first, h.last, holder), h.byte_value, its_text, its_bytes);
			end if;
			select * into a from arrived where task = job->>'task' and key = its_key;
			if found then return reuse(job, a.id, a.text_value, a.byte_value, its_text, its_bytes); end if;
			its_id := coalesce(its_id, take_ids(1));
			insert into arrived values (its_id, job->>'task', job->>'policy', (job->>'priority')::integer, now, its_key, its_text, its_bytes,
				case when due > now then due end, (job->>'expires')::bigint, holder) on conflict (task, key) where key is not null do nothing;
			if not found then continue; end if;
			exit when its_key is null;
			-- A row that was there just now may have been taken over.
			its_scope := (select -id from task where name = job->>'task');
			exit when not exists (select from key where scope = its_scope and key = its_key and id is distinct from holder);
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
		raise exception using errcode = '${KEY_CONFLICT}', detail = holder,
			message = format('The key %s of task %s belongs to job %s, which has another payload.', to_json(job->>'key'), job->>'task', holder);
	end $$;

	-- A time in milliseconds: a number, or an interval as text.
	create function ms_of(value jsonb, name text) returns bigint language plpgsql as $$
	begin
		if value is null or jsonb_typeof(value) = 'null' then return null; end if;
		if jsonb_typeof(value) = 'number' and value::text::numeric >= 0 then return round(value::text::numeric); end if;
		if jsonb_typeof(value) = 'string' then
			begin
				return round(extract(epoch from (value #>> '{}')::interval) * 1000);
			exception when invalid_datetime_format or datetime_field_overflow then
				null;
			end;
		end if;
		raise exception using errcode = 'invalid_parameter_value',
			message = format('enqueue() expects as %s a number of milliseconds, or an interval such as "5 minutes"; it got %s', name, value);
	end $$;

	create function integer_of(value jsonb, name text, low bigint, high bigint) returns integer language plpgsql as $$
	begin
		if jsonb_typeof(value) = 'number' and value::text::numeric between low and high and value::text::numeric % 1 = 0 then return value; end if;
		raise exception using errcode = 'invalid_parameter_value',
			message = format('enqueue() expects as %s a whole number from %s to %s; it got %s', name, low, high, value);
	end $$;

	-- Enqueues a job in the caller's transaction, for programs in any language. Returns its id, and whether it is an existing job with the key.
	create function enqueue(task text, payload jsonb default null, options jsonb default '{}') returns enqueued language plpgsql as $$
	declare
		-- The defaults.
		o jsonb := '{"priority": ${priority}, "maxAttempts": ${maxAttempts}, "timeout": null, "retry": "auto", "backoff": {}}'::jsonb || coalesce(options, '{}');
		b jsonb := '{"base": ${backoff.baseMs}, "factor": ${backoff.factor}, "max": ${backoff.maxMs}, "jitter": ${backoff.jitter}}'::jsonb || (o->'backoff');
		unknown text;
	begin
		if task is null or task = '' then
			raise exception using errcode = 'invalid_parameter_value', message = 'enqueue() expects as task a name that is not empty';
		end if;
		select string_agg(name, ', ') into unknown from jsonb_object_keys(o) name
			where name not in ('key', 'unique', 'priority', 'delay', 'runAt', 'expires', 'maxAttempts', 'timeout', 'retry', 'backoff');
		if unknown is not null then
			raise exception using errcode = 'invalid_parameter_value', message = format('enqueue() has no option %s', unknown),
				hint = 'Its options are key, unique, priority, delay, runAt, expires, maxAttempts, timeout, retry and backoff.';
		end if;
		if o->>'retry' not in ('auto', 'manual') then
			raise exception using errcode = 'invalid_parameter_value', message = format('enqueue() expects as retry "auto" or "manual"; it got %s', o->'retry');
		end if;
		if o ? 'unique' and (o->>'unique' <> 'unended' or not o ? 'key') then
			raise exception using errcode = 'invalid_parameter_value', message = 'enqueue() expects as unique "unended", together with a key';
		end if;
		if o ? 'delay' and o ? 'runAt' then
			raise exception using errcode = 'invalid_parameter_value', message = 'enqueue() expects delay or runAt, not both';
		end if;
		return enqueue_job(
			jsonb_strip_nulls(jsonb_build_object(
				'task', task,
				'key', o->>'key',
				'unique', o->'unique',
				'priority', integer_of(o->'priority', 'priority', -1000000, 1000000),
				'delay', ms_of(o->'delay', 'delay'),
				'runAt', (extract(epoch from (o->>'runAt')::timestamptz) * 1000)::bigint,
				'expires', ms_of(o->'expires', 'expires'),
				'policy', format('{"maxAttempts":%s,"timeoutMs":%s,"retry":%s,"backoff":{"baseMs":%s,"factor":%s,"maxMs":%s,"jitter":%s}}',
					integer_of(o->'maxAttempts', 'maxAttempts', 1, 1000000), coalesce(ms_of(o->'timeout', 'timeout')::text, 'null'), o->'retry',
					ms_of(b->'base', 'backoff.base'), b->'factor', ms_of(b->'max', 'backoff.max'), b->'jitter')
			)),
			payload::text, null);
	end $$;
`;
