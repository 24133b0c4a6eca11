/**
 * The schema of the SQLite store.
 *
 * `Store` in `lib/store/store.ts` lists the invariants, I1 to I11.
 *
 * The immutable columns of a job are in `job`. Its state is a row in exactly one of four small tables (I1): `ready` or `waiting` (pending or failed),
 * `claimed` (running), `outcome` (ended). A job moves by an insert and a delete, and its payload stays where it is. The tables that every job
 * enters grow at their ends, so that inserts are cheap.
 */

import {nameIn, scopeIn} from '../../task-number.ts';

/** The application id in the header of a Faena database: "Faen". */
export const APPLICATION_ID = 0x4661656e;

/** The columns of jobs per status, in a view. A step that changes it makes the views anew. */
const COUNTED = `coalesce(sum(c.jobs) filter (where c.state = 9), 0) as blocked, coalesce(sum(c.jobs) filter (where c.state in (0, 1, 2, 10)), 0) as pending,
			coalesce(sum(c.jobs) filter (where c.state = 5), 0) as running, coalesce(sum(c.jobs) filter (where c.state in (3, 4)), 0) as failed,
			coalesce(sum(c.jobs) filter (where c.state = 6), 0) as completed, coalesce(sum(c.jobs) filter (where c.state = 7), 0) as dead,
			coalesce(sum(c.jobs) filter (where c.state = 8), 0) as cancelled`;

/** The steps that made the schema. `user_version` of a database is the number of its steps. The statements of a released step are never edited. */
export const MIGRATIONS: readonly string[] = [
	`
	create table task (
		id integer primary key,
		name text not null unique,
		paused integer not null default 0
	) strict;

	-- Attempts, timeout, backoff. Many jobs share a policy, so a job names it by number.
	create table policy (
		id integer primary key,
		spec text not null unique
	) strict;

	create table batch (
		id integer primary key autoincrement,
		name text not null unique,
		task integer not null,
		created_at integer not null,
		-- The number of items, once the input has ended.
		total integer,
		started_at integer,
		completed_at integer,
		closed_at integer,
		-- JSON: task, priority and policy of the job to enqueue when the batch completes.
		on_complete text,
		-- JSON: the number of ended jobs at up to two moments.
		marks text not null
	) strict;

	-- Written once, unless a payload is replaced. The payload is the last column, so that reading the other columns does not read its overflow pages.
	create table job (
		id integer primary key,
		task integer not null,
		policy integer not null,
		priority integer not null,
		created_at integer not null,
		batch integer,
		key text,
		payload any
	) strict;

	create index job_by_batch on job (batch, id) where batch is not null;

	-- Scope: a batch's id, or minus the task's id for keys outside batches.
	create table key (
		scope integer not null,
		key text not null,
		id integer not null,
		primary key (scope, key)
	) strict, without rowid;

	-- Rank is minus the priority, so the primary key is the order of claiming. Delayed jobs are not in this table, and a paused task has a range of its own.
	-- Quarantined jobs have minus the task's number, so they have a range of their own, too.
	create table ready (
		task integer not null,
		rank integer not null,
		id integer not null,
		executions integer not null,
		batch integer,
		primary key (task, rank, id)
	) strict, without rowid;

	-- Delayed jobs; failed jobs that wait for their next attempt; and, without run_at, parked jobs.
	create table waiting (
		id integer primary key,
		run_at integer,
		failed integer not null,
		executions integer not null
	) strict;
	create index waiting_by_time on waiting (run_at, id) where run_at is not null;

	create table claimed (
		id integer primary key,
		lease integer not null,
		execution integer not null,
		owner integer not null,
		task integer not null,
		batch integer,
		-- A request since the job was claimed: the time of a cancel, or less than 0 for a discard.
		stop integer,
		started_at integer
	) strict;
	create index claimed_to_stop on claimed (owner, id) where stop is not null;

	create table outcome (
		id integer primary key,
		status integer not null,
		execution integer not null,
		started_at integer,
		ended_at integer not null,
		duration_ms real,
		cpu_ms real,
		memory_bytes integer,
		value any,
		blob text
	) strict;
	create index outcome_unhappy on outcome (status, id) where status <> 6;
	-- Finds out whether a job names the file of a large result. A file that no job names is deleted.
	create index outcome_by_blob on outcome (blob) where blob is not null;

	-- A run is one row for many jobs with consecutive ids in the same state, all of the same task, priority and batch. Its jobs are new, in their first
	-- execution, or completed by it. Before anything else happens to one of them, all get rows of their own.
	-- Jobs without key and batch that were enqueued together may also share the row of their immutable columns, in job_run. Their states are in runs alone.
	create table job_run (
		first integer primary key,
		last integer not null,
		task integer not null,
		policy integer not null,
		priority integer not null,
		created_at integer not null,
		-- One line per job; null if no job has a payload.
		payloads text
	) strict;

	create table ready_run (
		task integer not null,
		rank integer not null,
		first integer not null,
		last integer not null,
		batch integer,
		primary key (task, rank, first)
	) strict, without rowid;

	create table claimed_run (
		first integer primary key,
		last integer not null,
		lease integer not null,
		owner integer not null,
		task integer not null,
		batch integer
	) strict;

	create table outcome_run (
		first integer primary key,
		last integer not null,
		batch integer,
		ended_at integer not null,
		-- started_at, duration_ms, cpu_ms and memory_bytes of each job, packed: lib/job/groups/packed.ts.
		times blob not null,
		-- One line per job; null if no job returned a value.
		results text
	) strict;

	-- Attempts, crashes and the last failure. Only jobs that failed or are suspects have a row.
	create table trouble (
		id integer primary key,
		attempts integer not null,
		suspicions integer not null default 0,
		crashes integer not null default 0,
		started_at integer,
		duration_ms real,
		cpu_ms real,
		memory_bytes integer,
		failure text
	) strict;

	create table progress (
		id integer primary key,
		done real not null,
		total real,
		at integer not null
	) strict;

	-- The state from which the next execution of a job resumes. Only jobs that keep checkpoints and have not completed have a row.
	create table checkpoint (
		id integer primary key,
		execution integer not null,
		at integer not null,
		state any
	) strict;

	create table log (
		seq integer primary key,
		id integer not null,
		execution integer not null,
		at integer not null,
		level text not null,
		text text not null
	) strict;
	create index log_by_job on log (id, seq);

	create table owner (
		id integer primary key autoincrement,
		name text not null unique,
		heartbeat_at integer not null
	) strict;

	-- The number of jobs per task and state, changed in the same transaction as the jobs.
	create table tally (
		task integer not null,
		place integer not null,
		jobs integer not null,
		primary key (task, place)
	) strict, without rowid;

	-- The number of jobs per batch and state.
	create table batch_tally (
		batch integer not null,
		place integer not null,
		jobs integer not null,
		primary key (batch, place)
	) strict, without rowid;

	create table counter (
		name text primary key,
		last integer not null
	) strict, without rowid;
	insert into counter values ('job', 0), ('lease', 0);
	`,
	`
	-- The owner whose map of the batch is running. The number of an owner that has ended means no owner; it is never used again.
	alter table batch add column owner integer;

	-- For pages of delayed and of failed jobs, in the order of their ids.
	create index waiting_by_status on waiting (failed, id);

	-- A suspicion was a death of the job's process; a job with two ran alone. Now it is a level, and a job of the first level runs with others.
	update trouble set suspicions = suspicions - 1 where suspicions > 0;
	`,
	`
	-- The names of the code: failure_state, and the state of a job.
	alter table trouble rename to failure_state;
	alter table failure_state rename column suspicions to suspicion;
	alter table tally rename column place to state;
	alter table batch_tally rename column place to state;
	`,
	`
	-- The executions of a job that have ended, before the last one. The last one is in failure_state, outcome or outcome_run.
	create table execution (
		id integer not null,
		execution integer not null,
		-- The state it led to: completed, failed or cancelled.
		state integer not null,
		ended_at integer not null,
		started_at integer,
		duration_ms real,
		cpu_ms real,
		memory_bytes integer,
		worker text,
		failure text,
		primary key (id, execution)
	) strict, without rowid;

	-- Null for failures written by older versions.
	alter table failure_state add column execution integer;
	alter table failure_state add column ended_at integer;

	alter table failure_state add column worker text;
	alter table outcome add column worker text;
	-- JSON: pairs of a number of jobs, and the worker that ran them.
	alter table outcome_run add column workers text;
	`,
	`
	-- Jobs that are cancelled if they do not start in time: lib/store/sqlite/rows/expiry.ts.
	create table expiry (
		id integer primary key,
		-- Milliseconds in which the job must start, from when it becomes due.
		expires_ms integer not null,
		-- Minus that time if the job was running by then.
		expires_at integer not null
	) strict;
	create index expiry_by_time on expiry (expires_at, id);
	`,
	`
	alter table batch add column completion_job integer;

	-- For lists that are sorted by a time or a duration: lib/store/sqlite/connection/sorted.sql.ts. Each index costs a page for each commit, so that usual jobs are
	-- in only one. The bounds of a run's times are -1 if none is known, and null if an older version wrote the run.
	alter table outcome_run add column earliest_start integer;
	alter table outcome_run add column latest_start integer;
	alter table outcome_run add column shortest_ms real;
	alter table outcome_run add column longest_ms real;
	create index outcome_run_by_end on outcome_run (ended_at, first, coalesce(shortest_ms, 0), coalesce(longest_ms, 9e999));
	create index outcome_run_by_start on outcome_run (coalesce(latest_start, ended_at), first, coalesce(earliest_start, 0))
		where earliest_start is null or (earliest_start >= 0 and earliest_start < ended_at - 1000) or latest_start > ended_at;
	create index outcome_run_by_duration on outcome_run (coalesce(longest_ms, 9e999), first, coalesce(shortest_ms, 0))
		where coalesce(longest_ms, 9e999) >= 1;
	create index outcome_by_end on outcome (status, ended_at, id, duration_ms);
	create index outcome_by_start on outcome (status, started_at) where started_at < ended_at - 1000 or started_at > ended_at;
	create index outcome_by_duration on outcome (status, duration_ms) where duration_ms >= 1;
	create index failure_by_start on failure_state (started_at) where started_at is not null;
	create index failure_by_duration on failure_state (duration_ms) where duration_ms is not null;
	`,
	`
	-- Jobs of a batch, and jobs with keys, can share a row, too.
	alter table job_run add column batch integer;
	-- The first key, if the keys are consecutive numbers; otherwise one line per job.
	alter table job_run add column first_number integer;
	alter table job_run add column keys text;
	create index job_run_by_batch on job_run (batch, first) where batch is not null;

	-- Keys of a batch that are consecutive numbers, of jobs with consecutive ids. They are not in the table key.
	create table key_run (
		batch integer not null,
		first integer not null,
		last integer not null,
		first_id integer not null,
		primary key (batch, first)
	) strict, without rowid;

	-- The last number of a job, and of a lease: as task 0 in the table that most transactions write anyway.
	insert into tally select 0, iif(name = 'job', 0, 1), last from counter;
	drop table counter;
	`,
	`
	-- JSON: of a flow, what its jobs and edges are like, and the ids of its jobs; of a pipe, its stages. The task of both is 0.
	alter table batch add column shape text;

	alter table batch_tally rename to old_batch_tally;
	create table batch_tally (
		batch integer not null,
		task integer not null,
		state integer not null,
		jobs integer not null,
		primary key (batch, task, state)
	) strict, without rowid;
	insert into batch_tally select o.batch, b.task, o.state, o.jobs from old_batch_tally o join batch b on b.id = o.batch;
	drop table old_batch_tally;

	-- Jobs that wait for others: lib/store/sqlite/rows/edges.ts. Those with consecutive ids and the same columns share a row.
	create table blocked_run (
		first integer primary key,
		last integer not null,
		task integer not null,
		rank integer not null,
		batch integer,
		run_at integer,
		executions integer not null,
		-- The number of parents that have not ended as they must.
		parents integer not null
	) strict;

	-- Jobs (children) that wait for others (parents). Minus the id of a flow as parent stands for the end of its input. If is_each is 1, the first child waits for the first parent, the second for the second, and so on.
	-- If it is 0, each child waits for each parent.
	create table edge (
		id integer primary key,
		parent_first integer not null,
		parent_last integer not null,
		child_first integer not null,
		child_last integer not null,
		is_each integer not null,
		-- Whether a child runs although a parent is dead or cancelled.
		runs_on_dead integer not null
	) strict;
	-- An index for short ranges and one for long ones: edgesWith() in lib/store/sqlite/connection/statements.sql.ts.
	create index edge_by_parent on edge (parent_first, parent_last) where parent_last - parent_first < 32;
	create index edge_by_long_parent on edge (parent_first, parent_last) where parent_last - parent_first >= 32;
	create index edge_by_child on edge (child_first, child_last) where child_last - child_first < 32;
	create index edge_by_long_child on edge (child_first, child_last) where child_last - child_first >= 32;

	-- Jobs at certain times: lib/store/sqlite/transaction/schedules.ts.
	create table schedule (
		id integer primary key,
		name text not null unique,
		-- JSON: all of ScheduleSpec in lib/job/schedule.ts but the payload.
		spec text not null,
		payload any,
		created_at integer not null,
		-- Null if there is none, or not yet.
		next_at integer,
		-- 1 if the next moment is so long after the end of the last job.
		from_end integer not null,
		paused integer not null default 0,
		last_job integer,
		last_at integer,
		runs integer not null default 0,
		skipped integer not null default 0,
		missed integer not null default 0
	) strict;

	-- The moment for which a schedule has enqueued a job.
	create table scheduled (
		id integer primary key,
		at integer not null
	) strict;

	-- Changes of parents that have not reached all children, in order.
	create table parent_change (
		id integer primary key,
		first integer not null,
		last integer not null,
		change integer not null,
		-- The edges up to this one have been passed.
		edge integer not null
	) strict;
	`,
	`
	-- Made the views, as the last step that changes them does.
	`,
	`
	-- What jobs are made of, for a later map to compare.
	create table fingerprint (
		id integer primary key,
		value text not null
	) strict;
	`,
	`
	-- Whose jobs are: lib/store/task-number.ts says how the column task names one. A scope that has adopted another one has two rows.
	create table scope (
		id integer primary key,
		name text not null
	) strict;
	create index scope_by_name on scope (name);
	alter table key rename column scope to space;

	drop view if exists jobs;
	drop view if exists batches;
	drop view if exists counts;
	-- What a person asks. PostgreSQL has views of the same names and columns: lib/store/postgres/views.sql. Times are UTC.
	create view counts as
		select t.name as task, t.paused,
			${COUNTED}
		from task t left join tally c on ${nameIn('c.task')} = t.id group by t.id;

	create view batches as
		select b.name as batch, t.name as task, b.total as items,
			${COUNTED},
			strftime('%Y-%m-%d %H:%M:%f', b.created_at / 1000.0, 'unixepoch') as created_at,
			strftime('%Y-%m-%d %H:%M:%f', b.completed_at / 1000.0, 'unixepoch') as completed_at,
			strftime('%Y-%m-%d %H:%M:%f', b.closed_at / 1000.0, 'unixepoch') as closed_at
		from batch b left join task t on t.id = b.task left join batch_tally c on c.batch = b.id group by b.id;

	create view jobs as
		with recursive offset (n) as (select 0 union all select n + 1 from offset where n < 1999),
		state (first, last, status, executions, run_at, ended_at) as (
			select id, id, 'pending', executions, null, null from ready
			union all select first, last, 'pending', 0, null, null from ready_run
			union all select id, id, iif(failed, 'failed', 'pending'), executions, iif(run_at > 0, run_at, null), null from waiting
			union all select first, last, 'blocked', executions, run_at, null from blocked_run
			union all select id, id, 'running', execution, null, null from claimed
			union all select first, last, 'running', 1, null, null from claimed_run
			union all select id, id, case status when 6 then 'completed' when 7 then 'dead' else 'cancelled' end, execution, null, ended_at from outcome
			union all select first, last, 'completed', 1, null, ended_at from outcome_run
		),
		-- A job has a row of its own, or one that it shares with its neighbours.
		own (id, status, executions, run_at, ended_at, task, priority, batch, created_at, key) as (
			select s.first + o.n, s.status, s.executions, s.run_at, s.ended_at, coalesce(j.task, r.task), coalesce(j.priority, r.priority),
				coalesce(j.batch, r.batch), coalesce(j.created_at, r.created_at),
				coalesce(j.key, r.first_number + s.first + o.n - r.first,
					-- A line of the keys: as a JSON string, they are made into a list.
					nullif(json_extract('[' || replace(replace(json_quote(r.keys), '\\\\', '\\u005c'), '\\n', '","') || ']', '$[' || (s.first + o.n - r.first) || ']'), ''))
			from state s join offset o on o.n <= s.last - s.first
			left join job j on j.id = s.first + o.n
			left join job_run r on j.id is null and r.first = (select max(first) from job_run where first <= s.first + o.n)
		)
		select o.id, t.name as task, s.name as scope, o.status, o.priority, cast(o.key as text) as key, b.name as batch,
			strftime('%Y-%m-%d %H:%M:%f', o.created_at / 1000.0, 'unixepoch') as created_at,
			strftime('%Y-%m-%d %H:%M:%f', o.run_at / 1000.0, 'unixepoch') as run_at,
			strftime('%Y-%m-%d %H:%M:%f', o.ended_at / 1000.0, 'unixepoch') as ended_at,
			o.executions, coalesce(f.attempts, 0) as attempts, json_extract(f.failure, '$.message') as error
		from own o join task t on t.id = ${nameIn('o.task')} left join scope s on s.id = ${scopeIn('o.task')} left join batch b on b.id = o.batch left join failure_state f on f.id = o.id;
	`,
	`
	-- Executions of the round that asked for a later one, and were not charged.
	alter table failure_state add column delays integer not null default 0;
	`,
	`
	-- Of a part of an edge that was cut, the id of the whole: its place in the order of dependsOn.
	alter table edge add column place integer;

	-- What jobs (from first to last) have got from a parent that has had a new round since: lib/store/sqlite/rows/used-results.ts.
	create table used_result (
		parent integer not null,
		first integer not null,
		last integer not null,
		digest text not null,
		-- 1 if the parent has completed since with something else.
		is_stale integer not null,
		primary key (parent, first)
	) strict, without rowid;
	create index used_by_child on used_result (first);
	create index used_and_stale on used_result (first, last) where is_stale = 1;
	-- What the parent had given before its new round.
	alter table parent_change add column digest text;
	`,
	`
	-- The move of the queue to another place, or from one: at most one row. lib/store/moving.ts says what it has.
	create table queue_move (
		id text not null,
		is_arriving integer not null,
		place text not null,
		is_done integer not null,
		part text,
		after text,
		-- 1 during a transaction that may change a queue that moves.
		is_open integer not null default 0
	) strict;
	`,
];

/** The names of all tables. */
export const TABLES: readonly string[] = [
	...['task', 'scope', 'policy', 'batch', 'schedule', 'job', 'job_run', 'key', 'key_run', 'ready', 'ready_run', 'waiting', 'blocked_run'],
	...['claimed', 'claimed_run', 'outcome', 'outcome_run', 'failure_state', 'execution', 'fingerprint', 'progress', 'checkpoint', 'log', 'expiry'],
	...['edge', 'scheduled', 'used_result', 'parent_change', 'owner', 'tally', 'batch_tally', 'queue_move'],
];

/** The most jobs in a row of a run. It limits the cost of unpacking one, and how far before a job its row may begin. */
export const MAX_RUN_JOBS = 2000;

/** A range of an edge with fewer jobs than this, less one, is in the indexes for short ranges. */
export const MAX_SHORT_EDGE = 32;
