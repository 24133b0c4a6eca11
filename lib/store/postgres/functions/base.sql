-- What most functions use: time, locks, numbers, counts, and single jobs.

-- The time of the call, in milliseconds since 1970: the server's, or in tests the caller's. Outside a call, the time now.
create function now_ms() returns bigint language sql stable as $$
	select coalesce(nullif(current_setting('faena.now', true), '')::bigint, (extract(epoch from clock_timestamp()) * 1000)::bigint)
$$;

-- Says that the functions of a release are there: who drops the tables drops it with those functions that know their rows. Its name never changes.
create function is_whole(version) returns boolean language sql as $$
	select true
$$;

-- Begins a call: takes its lock, and keeps what functions read as settings. Calls that run side by side share the lock; a call that changes what others may be
-- reading has it alone. A transaction pays for each expression of a function anew, so this has few; and an assignment costs less than PERFORM.
create function enter(call jsonb, is_alone boolean) returns text language plpgsql as $$
begin
	-- A transaction of another kind would not see what was committed while it waited for the lock.
	if current_setting('transaction_isolation') <> 'read committed' then
		raise exception 'its transactions are %', current_setting('transaction_isolation') using errcode = '@OTHER_ISOLATION@';
	end if;
	return concat(
		case when is_alone then pg_advisory_xact_lock(lock_key(), 1)::text else pg_advisory_xact_lock_shared(lock_key(), 1)::text end,
		case when is_alone then set_config('faena.alone', 'true', true) end,
		set_config('faena.store', coalesce(call->>'store', '0'), true),
		set_config('faena.now', coalesce(call->>'now', (extract(epoch from clock_timestamp()) * 1000)::bigint::text), true),
		case when call @> '{"relaxed": true}' then set_config('synchronous_commit', 'off', true)
			-- By a setting of the server, the database or the user.
			when current_setting('synchronous_commit') = 'off' then set_config('synchronous_commit', 'on', true) end
	);
end $$;

-- Refuses a call of a program that can't go on with these tables, or has opened a queue that was here before. It looks at a table, so that the server hears of
-- a change that was committed while the call waited for its lock.
create function refuse_other(call jsonb) returns void language plpgsql as $$
declare
	number integer := (select v.number from version v where oldest_version() > @VERSION@ or queue_id() <> call->>'queue');
begin
	if oldest_version() > @VERSION@ then raise exception 'its tables have version %', number using errcode = '@OTHER_VERSION@'; end if;
	if number is not null then raise exception 'its schema was made anew' using errcode = '@OTHER_VERSION@'; end if;
end $$;

-- Begins a call that is no commit.
create function begin_call(call jsonb, is_alone boolean) returns void language plpgsql as $$
declare
	unused text := enter(call, is_alone);
begin
	perform refuse_other(call);
	if not call ? 'nothingArrived' and exists (select from arrived) then perform take_over_first(); end if;
end $$;

create type answer as (info jsonb, first bigint, last bigint, task bigint, rank integer, execution integer, policy integer, created_at bigint,
	job_first bigint, job_last bigint, number bigint, keys text, text_value text, byte_value bytea, batch bigint);

-- Takes consecutive numbers. The lock is held only while they are taken, and not to the end of the transaction.
create function take_ids(number bigint) returns bigint language plpgsql as $$
declare
	id bigint;
begin
	perform pg_advisory_lock(lock_key(), 2);
	id := nextval('job_id');
	if number > 1 then perform setval('job_id', id + number - 1); end if;
	perform pg_advisory_unlock(lock_key(), 2);
	return id;
exception when query_canceled or others then
	perform pg_advisory_unlock(lock_key(), 2);
	raise;
end $$;

-- The ids of a group's new jobs: those that were reserved for it, or new ones.
create function ids_for(g jsonb, number bigint) returns bigint language plpgsql as $$
begin
	return case when g ? 'base' then (g->>'base')::bigint else take_ids(number) end;
end $$;

-- Gives back those of the numbers that were taken last, unless others have been taken since: then they stay a gap.
create function give_back_ids(its_first bigint, its_last bigint) returns void language plpgsql as $$
begin
	perform pg_advisory_lock(lock_key(), 2);
	perform setval('job_id', greatest(1, its_first - 1), its_first > 1) from job_id where last_value = its_last and is_called;
	perform pg_advisory_unlock(lock_key(), 2);
exception when query_canceled or others then
	perform pg_advisory_unlock(lock_key(), 2);
	raise;
end $$;

-- Notes that jobs have left one state and are in another one; either may be null. Sums are made later: counts.sql.
create function count_change(its_task bigint, its_batch bigint, from_state integer, to_state integer, number bigint) returns void language plpgsql as $$
declare
	its_store integer := current_setting('faena.store');
begin
	insert into tally_change (batch, task, state, jobs, store)
		select its_batch, its_task, state, jobs, its_store from (values (from_state, -number), (to_state, number)) change (state, jobs) where state is not null;
end $$;

-- Notes a change that moves no job, so that other stores look.
create function note_change(its_task bigint) returns void language plpgsql as $$
begin
	perform count_change(its_task, null, null, @READY@, 0);
end $$;

-- The number of the name of a task, and that of its scope (0 for none), from the number that stands for both: lib/store/task-number.ts.
create function name_of(task bigint) returns bigint language sql immutable as $$
	select task & (@SCOPE_STRIDE@ - 1)
$$;

create function scope_of(task bigint) returns bigint language sql immutable as $$
	select task / @SCOPE_STRIDE@
$$;

-- The number of a task in a scope, which gets a number if it has none. Who may have adopted the scope is known only now.
create function in_scope(its_task bigint, its_scope text) returns bigint language plpgsql as $$
declare
	number bigint := (select min(id) from scope where name = its_scope);
begin
	if number is null and its_scope is not null then
		-- Another program may be adding it.
		perform pg_advisory_xact_lock(hashtext('faena scope'), hashtext(its_scope));
		number := (select min(id) from scope where name = its_scope);
		if number is null then insert into scope (name) values (its_scope) returning id into number; end if;
	end if;
	return its_task + coalesce(number, 0) * @SCOPE_STRIDE@;
end $$;

-- What names a task and a scope, with the number of both.
create function scoped(g jsonb) returns jsonb language sql as $$
	select case when g ? 'scope' then jsonb_set(g, '{task}', to_jsonb(in_scope((g->'task')::bigint, g->>'scope'))) else g end
$$;

-- The lines from one to another, of a text; null if it is null. A single line that is empty is null, as the text of a single job.
create function cut_lines(lines text, from_line bigint, to_line bigint) returns text language sql immutable as $$
	select case when cardinality(part) = 1 then nullif(part[1], '') else array_to_string(part, E'\n') end
	from (select (string_to_array(lines, E'\n'))[from_line : to_line] as part) cut
$$;

create type range as (first bigint, last bigint);

-- What is left of a range of jobs without some of them: up to two ranges.
create function rest_of(its_first bigint, its_last bigint, from_id bigint, to_id bigint) returns setof range language sql immutable rows 2 as $$
	select * from (values (its_first, from_id - 1), (to_id + 1, its_last)) part (first, last) where part.first <= part.last
$$;

-- The row that has a job, if there is the job.
create function job_row(id bigint) returns setof job language sql stable rows 1 as $$
	select * from job where first <= $1 and first > $1 - @MAX_GROUP_JOBS@ order by first desc limit 1
$$;

create function outcome_row(id bigint) returns setof outcome language sql stable rows 1 as $$
	select * from outcome where first <= $1 and first > $1 - @MAX_GROUP_JOBS@ order by first desc limit 1
$$;

-- The state of the jobs of a row of waiting.
create function waiting_state(run_at bigint, failed boolean) returns integer language sql immutable as $$
	select case when run_at < 0 then @HELD@ when not failed then @DELAYED@ when run_at is null then @PARKED@ else @FAILED@ end
$$;

create type place as (state smallint, first bigint, last bigint, task bigint, rank integer, batch bigint, executions integer, run_at bigint, stop bigint);

-- Where a job is; null if there is none.
create function place_of(id bigint) returns place language plpgsql stable as $$
declare
	p place;
begin
	select case when lane < 0 then @QUARANTINED@ else @READY@ end, first, last, abs(lane), rank, batch, executions, null, null
		into p from ready where first <= id and first > id - @MAX_GROUP_JOBS@ order by first desc limit 1;
	if p.last >= id then return p; end if;
	select @RUNNING@, first, last, task, rank, batch, execution, null, stop into p from claimed where first <= id and first > id - @MAX_GROUP_JOBS@ order by first desc limit 1;
	if p.last >= id then return p; end if;
	select status, first, last, task, rank, batch, execution, null, null into p from outcome_row(id);
	if p.last >= id then return p; end if;
	select waiting_state(run_at, failed),
		first, last, task, rank, batch, executions, run_at, null into p from waiting where first <= id and first > id - @MAX_GROUP_JOBS@ order by first desc limit 1;
	if p.last >= id then return p; end if;
	select @BLOCKED@, first, last, task, rank, batch, executions, run_at, null into p from blocked where first <= id and first > id - @MAX_GROUP_JOBS@ order by first desc limit 1;
	if p.last >= id then return p; end if;
	return null;
end $$;
