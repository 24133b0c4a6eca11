-- The tables of the PostgreSQL store. The immutable columns of jobs are in `job`. Their state is in exactly one of five tables: `ready`, `waiting`
-- (delayed or failed), `blocked`, `claimed`, `outcome`. A row of any of these stands for jobs with consecutive ids, from `first` to `last`, that have
-- the same columns; one job is a range of one. To change some jobs of a range, its row is cut. The rows of `job` and those of the states may be cut
-- differently. Rows are inserted and deleted, and updated only where nothing else is possible: what is deleted together is vacuumed together.

-- The number of migrations. One row.
create table version (number integer not null);
insert into version values (0);

-- Sets of functions, each in a schema that its name gives: programs of several releases use the tables at once.
create table function_set (
	name text primary key,
	-- The version of the tables for which it was made.
	version integer not null,
	-- Of the package, which has three numbers: the set of the latest release is that of the face for others.
	release integer[] not null,
	-- A hash of the text of its views.
	views text not null,
	made_at timestamptz not null default now(),
	-- Somewhat before it was last used. Connections that use it share a lock, too.
	used_at timestamptz not null default now()
);

-- What enqueue() returns.
create type enqueued as (id bigint, reused boolean);

create table task (
	id integer generated always as identity primary key,
	name text not null unique,
	paused boolean not null default false
);

-- Whose jobs are: lib/store/task-number.ts says how the columns task and lane name one. A scope that has adopted another one has two rows.
create table scope (
	id bigint generated always as identity primary key,
	name text not null
);
create index scope_by_name on scope (name);

-- Attempts, timeout, backoff. Many jobs share a policy, so a job names it by number.
create table policy (
	id integer generated always as identity primary key,
	spec text not null unique
);

create sequence job_id as bigint;
create sequence lease_id as bigint;

-- Values of several jobs are the lines of one text, an empty one for null. A single job has any text or bytes.
create table job (
	first bigint primary key,
	last bigint not null,
	task bigint not null,
	policy integer not null,
	priority integer not null,
	created_at bigint not null,
	batch bigint,
	-- The first key, if the keys are consecutive numbers of a batch.
	first_number bigint,
	keys text,
	text_value text,
	byte_value bytea
);
create index job_by_batch on job (batch, first) where batch is not null;
-- To compress what is so short, or read once, costs more than it saves.
alter table job alter text_value set storage external, alter byte_value set storage external;

-- Space: a batch's id, or minus the id of the task's name for keys outside batches.
create table key (
	space bigint not null,
	key text not null,
	id bigint not null,
	primary key (space, key)
);

-- Keys of a batch that are consecutive numbers, of jobs with consecutive ids. They are not in the table key.
create table key_run (
	batch bigint not null,
	first bigint not null,
	last bigint not null,
	first_id bigint not null,
	primary key (batch, first)
);
create index key_run_by_id on key_run (batch, first_id);

-- Rank is minus the priority. A quarantined job has minus the number of its task as lane.
create table ready (
	first bigint primary key,
	last bigint not null,
	lane bigint not null,
	rank integer not null,
	batch bigint,
	executions integer not null
);
create index ready_by_lane on ready (lane, rank, first);

-- Jobs that were enqueued in a program's own transaction, and were not taken over yet: arrived.sql.
create table arrived (
	id bigint primary key,
	task text not null,
	policy text not null,
	priority integer not null,
	created_at bigint not null,
	key text,
	text_value text,
	byte_value bytea,
	run_at bigint,
	expires_ms bigint,
	-- The job that has ended and gives its key to this one.
	replaces bigint,
	scope text
);
create unique index arrived_by_key on arrived (task, key) where key is not null;

-- Without run_at, failed jobs are parked.
create table waiting (
	first bigint primary key,
	last bigint not null,
	task bigint not null,
	rank integer not null,
	batch bigint,
	executions integer not null,
	run_at bigint,
	failed boolean not null
);
create index waiting_by_time on waiting (run_at, first) where run_at is not null;

create table blocked (
	first bigint primary key,
	last bigint not null,
	task bigint not null,
	rank integer not null,
	batch bigint,
	executions integer not null,
	run_at bigint,
	-- The number of parents that have not ended as they must.
	parents integer not null
);

create table claimed (
	first bigint primary key,
	last bigint not null,
	task bigint not null,
	rank integer not null,
	batch bigint,
	execution integer not null,
	lease bigint not null,
	owner integer not null,
	-- A request since the jobs were claimed: the time of a cancel, or less than 0 for a discard.
	stop bigint,
	started_at bigint
);
create index claimed_to_stop on claimed (owner, first) where stop is not null;

create table outcome (
	first bigint primary key,
	last bigint not null,
	task bigint not null,
	rank integer not null,
	batch bigint,
	execution integer not null,
	status smallint not null,
	ended_at bigint not null,
	-- started_at, duration_ms, cpu_ms and memory_bytes of each job, packed: lib/job/groups/packed.ts. Null if none is known.
	times bytea,
	text_value text,
	byte_value bytea,
	worker text,
	-- Bounds of the times of its jobs; null if none is known. Of a part of a range they may be those of the whole.
	earliest_start bigint,
	latest_start bigint,
	shortest_ms double precision,
	longest_ms double precision
);
alter table outcome alter text_value set storage external, alter byte_value set storage external, alter times set storage external;
create index outcome_not_completed on outcome (first) where status <> @COMPLETED@;
create index outcome_by_end on outcome (status, ended_at, first);
create index outcome_by_start on outcome (status, latest_start, first) where latest_start is not null;
create index outcome_by_duration on outcome (status, longest_ms, first) where longest_ms is not null;
create index outcome_runs_by_start on outcome (status, latest_start, first) where first < last or earliest_start < latest_start;
create index outcome_runs_by_duration on outcome (status, longest_ms, first) where first < last or shortest_ms < longest_ms;

-- Attempts, crashes, uncharged delays and the last failure. Only jobs that failed or are suspects have a row.
create table failure_state (
	id bigint primary key,
	attempts integer not null,
	suspicion smallint not null default 0,
	crashes integer not null default 0,
	delays integer not null default 0,
	execution integer,
	ended_at bigint,
	times bytea,
	worker text,
	failure text,
	started_at bigint,
	duration_ms double precision
);
create index failure_by_start on failure_state (started_at, id) where started_at is not null;
create index failure_by_duration on failure_state (duration_ms, id) where duration_ms is not null;

-- Executions that have ended, before the last one.
create table execution (
	id bigint not null,
	execution integer not null,
	status smallint not null,
	ended_at bigint not null,
	times bytea,
	worker text,
	failure text,
	primary key (id, execution)
);

-- What jobs are made of, for a later map to compare: first their code, up to a space.
create table fingerprint (
	id bigint primary key,
	value text not null
);

create table progress (
	id bigint primary key,
	done double precision not null,
	total double precision,
	at bigint not null
);

create table checkpoint (
	id bigint primary key,
	execution integer not null,
	at bigint not null,
	text_value text,
	byte_value bytea
);

create table log (
	seq bigint generated always as identity primary key,
	id bigint not null,
	execution integer not null,
	at bigint not null,
	level text not null,
	text text not null
);
create index log_by_job on log (id, seq);

-- Jobs that are cancelled if they do not start in time. Expires_at is minus that time if the job was running by then, and -1 while it waits for others.
create table expiry (
	id bigint primary key,
	expires_ms bigint not null,
	expires_at bigint not null
);
create index expiry_by_time on expiry (expires_at, id);

-- Jobs (children) that wait for others (parents). If is_each, the first child waits for the first parent, the second for the second, and so on;
-- otherwise each child waits for each parent.
create table edge (
	id bigint generated always as identity primary key,
	parent_first bigint not null,
	parent_last bigint not null,
	child_first bigint not null,
	child_last bigint not null,
	is_each boolean not null,
	-- Whether a child runs although a parent is dead or cancelled.
	runs_on_dead boolean not null,
	-- Of a part of an edge that was cut, the id of the whole: its place in the order of dependsOn.
	place bigint
);
create index edge_by_parent on edge using gist (int8range(parent_first, parent_last, '[]'));
create index edge_by_child on edge using gist (int8range(child_first, child_last, '[]'));

create table schedule (
	id bigint generated always as identity primary key,
	name text not null unique,
	-- Rises with each change: one that was decided by an older version is refused.
	version integer not null default 1,
	-- All of ScheduleSpec in lib/job/schedule.ts but the payload.
	spec jsonb not null,
	task bigint not null,
	policy integer not null,
	text_value text,
	byte_value bytea,
	created_at bigint not null,
	-- Null if there is none, or not yet.
	next_at bigint,
	-- True if the next moment is so long after the end of the last job.
	from_end boolean not null,
	paused boolean not null default false,
	last_job bigint,
	last_at bigint,
	runs bigint not null default 0,
	skipped bigint not null default 0,
	missed bigint not null default 0
);

-- The moment for which a schedule has enqueued a job.
create table scheduled (
	id bigint primary key,
	at bigint not null
);

-- Changes of parents that have not reached all children, in order. The edges up to edge have been passed.
create table parent_change (
	id bigint generated always as identity primary key,
	first bigint not null,
	last bigint not null,
	change text not null,
	edge bigint not null,
	-- What the parents had given before their new round.
	digest text
);

-- What jobs (from first to last) have got from a parent that has had a new round since: used-results.sql.
create table used_result (
	parent bigint not null,
	first bigint not null,
	last bigint not null,
	digest text not null,
	-- True if the parent has completed since with something else.
	is_stale boolean not null,
	primary key (parent, first)
);
create index used_by_child on used_result (first);
create index used_and_stale on used_result (first, last) where is_stale;

-- Jobs that this call has cancelled because of a parent. Empty between calls.
create table lost_child (
	id bigint not null
);

create table owner (
	id integer generated always as identity primary key,
	name text not null unique,
	host text not null,
	-- The number of its store.
	store integer not null,
	-- 0 if it has only released: then it is not registered, and the row holds the number below.
	heartbeat_at bigint not null,
	-- A heartbeat that was older than a lease, and when a store first saw that.
	silent_heartbeat bigint,
	silent_since bigint,
	-- The number of the last call that released claims. A claim of an earlier call is refused: its program no longer waits for it.
	released_by bigint not null default 0
);

-- The move of the queue to another place, or from one: at most one row. lib/store/moving.ts says what it has.
create table queue_move (
	id text primary key,
	is_arriving boolean not null,
	place text not null,
	is_done boolean not null,
	part text,
	after jsonb
);

create table batch (
	id bigint generated always as identity primary key,
	name text not null unique,
	-- Null for a flow or a pipe.
	task bigint,
	created_at bigint not null,
	-- The number of items, once the input has ended.
	total bigint,
	started_at bigint,
	completed_at bigint,
	closed_at bigint,
	-- The number of an owner that has ended means no owner.
	owner integer,
	-- The number of its owner's call that opened it, which may be sent twice.
	opened_by bigint,
	-- The job to enqueue when the batch completes: task and policy by number, and its priority.
	on_complete jsonb,
	completion_job bigint,
	-- The number of ended jobs at up to two moments.
	marks jsonb not null,
	-- Of a flow, what its jobs and edges are like, and the ids of its jobs; of a pipe, its stages; of a map that runs all items again, the renewal.
	shape jsonb
);

create index batch_unfinished on batch (id) where completed_at is null;

-- The number of jobs per task and state, and per batch, task and state: changes of transactions, which are added up from time to time.
create table tally (
	task bigint not null,
	state smallint not null,
	jobs bigint not null,
	primary key (task, state)
);
create table batch_tally (
	batch bigint not null,
	task bigint not null,
	state smallint not null,
	jobs bigint not null,
	primary key (batch, task, state)
);
create table tally_change (
	seq bigint generated always as identity primary key,
	batch bigint,
	task bigint not null,
	state smallint not null,
	jobs bigint not null,
	-- A number of the store that made the change.
	store integer not null
);
-- The changes up to this one have been added up. One row.
create table added_up (
	seq bigint not null
);
insert into added_up values (0);
-- How many changes of each store have been added up.
create table folded (
	store integer primary key,
	changes bigint not null,
	-- When it last made one, in milliseconds since 1970.
	at bigint not null
);

do $$
declare
	each text;
begin
	-- Tables through which jobs pass. Their dead rows are freed soon, and at full speed: otherwise new rows would make them longer meanwhile.
	foreach each in array array['job', 'ready', 'waiting', 'claimed', 'outcome', 'tally_change', 'tally', 'batch_tally', 'added_up', 'folded', 'arrived',
		'blocked', 'expiry', 'lost_child', 'parent_change']
	loop
		execute format('alter table %I set (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0,
			toast.autovacuum_vacuum_scale_factor = 0.05, toast.autovacuum_vacuum_cost_delay = 0)', each);
	end loop;
	-- Tables whose rows are updated again and again: with room in its page, a row's new version needs no entry in an index.
	foreach each in array array['tally', 'batch_tally', 'added_up', 'folded', 'owner'] loop
		execute format('alter table %I set (fillfactor = 50)', each);
	end loop;
	-- Tables without a primary key. PostgreSQL refuses to change a table that a publication has, if it can't tell others which row it was.
	foreach each in array array['version', 'lost_child', 'added_up'] loop
		execute format('alter table %I replica identity full', each);
	end loop;
	-- What each call looks at is a function: to read a table would take longer. It is stable, since plans that contain the value of an immutable one would keep
	-- it. The oldest version of the tables whose programs can go on with these; and which queue it is, which a copy has, too.
	create function oldest_version() returns integer language sql stable as 'select 1';
	execute format('create function queue_id() returns text language sql stable as %L', format('select %L', gen_random_uuid()));
	-- Locks of other queues in the same database have other numbers. Notifications of queues whose numbers happen to be the same wake more listeners than
	-- they need to. Programs of all versions have to agree on these.
	execute format('create function lock_key() returns integer language sql immutable as %L', format('select %s', hashtext('faena ' || current_schema())));
	-- Of batches, whose numbers come with it.
	execute format('create function batches_lock_key() returns integer language sql immutable as %L',
		format('select %s', hashtext('faena batches ' || current_schema())));
	execute format('create function channel() returns text language sql immutable as %L',
		format('select %L', 'faena_' || hashtext('faena ' || current_schema())));
end $$;
