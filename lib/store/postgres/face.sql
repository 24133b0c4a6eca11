-- What psql and programs in other languages may use: functions, and the views of views.sql. Its names never change. It lies beside the tables, and the views
-- need no more than these: a copy of that schema has them whole. SQLite has views of the same names and columns.

-- A failure as JSON, without what PostgreSQL can't have in it: NUL, and halves of characters.
create or replace function failure_json(failure text) returns jsonb language sql immutable as $$
	select regexp_replace(failure, '(?<!\\)((?:\\\\)*)\\u(0000|[dD][89a-fA-F][0-9a-fA-F]{2})', '\1?', 'g')::jsonb
$$;

-- A time of the tables. Later times than PostgreSQL knows are shown as the end of the year 9999.
create or replace function time_of(ms bigint) returns timestamptz language sql immutable as $$
	select to_timestamp((ms - greatest(ms - @LAST_MS@, 0)) / 1000.0)
$$;

-- Enqueues a job in the caller's transaction, by the newest functions that are there. Returns its id, and whether it is an existing job with the key.
create or replace function enqueue(task text, payload jsonb default null, options jsonb default '{}') returns enqueued language sql as $$
	select * from enqueue_given(task, payload, options)
$$;

-- The same for programs with a library, which have checked the options.
create or replace function enqueue_job(job jsonb, its_text text, its_bytes bytea) returns enqueued language sql as $$
	select * from enqueue_checked(job, its_text, its_bytes)
$$;
