/**
 * Schema and statements of the SQLite queue, one constant per statement.
 *
 * A job's immutable row lies in `job`. What changes lies in four small tables, of which each job is in exactly one; that
 * is its status: `ready` and `waiting` (pending, or failed), `claimed` (running), `outcome` (ended). No payload moves with
 * its job, every table on the happy path grows at its end, and moving a job is an insert and a delete.
 */

/** What the header of a Faena database says of itself: "Faen". */
export const APPLICATION_ID = 0x4661656e;

/**
 * The schema's history; a database's `user_version` is the number of steps it has behind it. A released step is never
 * edited.
 */
export const MIGRATIONS: readonly string[] = [
	`
	create table task (
		id integer primary key,
		name text not null unique,
		paused integer not null default 0
	) strict;

	-- Attempts, timeout, backoff: few different ones, so a job names its policy by number.
	create table policy (
		id integer primary key,
		spec text not null unique
	) strict;

	create table batch (
		id integer primary key autoincrement,
		name text not null unique,
		task integer not null,
		created_at integer not null,
		-- Items of the input, once that has ended.
		total integer,
		started_at integer,
		completed_at integer,
		closed_at integer,
		-- JSON: task, priority and policy of the job to be enqueued on completion.
		on_complete text,
		-- JSON: how many of its jobs had ended at up to two moments.
		marks text not null
	) strict;

	-- Written once, but for a job whose payload is replaced. The payload is last, so that reading the rest of a row never touches its overflow pages.
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

	-- Rank is minus the priority: the primary key is the order of dequeuing. Delayed and paused jobs are never in its way.
	-- Suspects have minus the task's number, and so a part of their own.
	create table ready (
		task integer not null,
		rank integer not null,
		id integer not null,
		executions integer not null,
		batch integer,
		primary key (task, rank, id)
	) strict, without rowid;

	-- Delayed, to be tried again, or (without run_at) parked until somebody retries it.
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
		-- What was asked since it was dequeued: the time of a cancel, or less than 0 to withdraw it.
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
	-- For large results in files of their own, which lie there as long as one names them.
	create index outcome_by_blob on outcome (blob) where blob is not null;

	-- Runs: one row for many jobs with consecutive ids in the same place, all of the same task, priority and batch. Only of jobs that are new, that
	-- are executed for the first time, or completed then: whatever else happens to a job gives it rows of its own first.
	-- Jobs without a key or a batch that were enqueued together may also share the row of what is written once; they lie in no place but runs.
	create table job_run (
		first integer primary key,
		last integer not null,
		task integer not null,
		policy integer not null,
		priority integer not null,
		created_at integer not null,
		-- A line for each job; null if none has a payload.
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
		-- Of each job started_at, duration_ms, cpu_ms and memory_bytes, in few bytes: lib/job/packed-times.ts.
		times blob not null,
		-- A line for each job; null if none returned anything.
		results text
	) strict;

	-- Only for jobs that had some: a happy job never has a row here.
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

	-- Where the job's next execution goes on. Empty but for jobs that keep checkpoints and have not completed.
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

	-- Jobs per task and place, changed in the same transaction as the jobs.
	create table tally (
		task integer not null,
		place integer not null,
		jobs integer not null,
		primary key (task, place)
	) strict, without rowid;

	-- The same of each batch, whose task is one.
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
	-- The owner whose map of the batch is under way. The number of an owner that has ended means none, and no other owner gets it.
	alter table batch add column owner integer;

	-- Pages of delayed and of failed jobs. Only these enter it, in the order of their ids.
	create index waiting_by_status on waiting (failed, id);

	-- A suspicion was a death of the job's host, and with two a job ran alone. Now it is a level, and those of the first don't.
	update trouble set suspicions = suspicions - 1 where suspicions > 0;
	`,
];

/**
 * A parameter of a join or a range, or a limit. SQLite looks at what is bound there to choose a plan, and so prepares the statement anew each time it
 * runs, for 4–20 µs; behind a cast it doesn't look.
 */
const INTEGER = 'cast(? as integer)';
const TEXT = 'cast(? as text)';

/** The conditions of a page of jobs, by the parameters of a search: lib/store/sqlite/search.ts. */
function inWindow(id: string): string {
	return `${id} > cast(@after as integer) and ${id} <= cast(@upTo as integer)`;
}

/** A run that begins before the window may reach into it. */
function runInWindow(table: string, own = ''): string {
	const before = `(select max(first) from ${table} where ${own}first <= cast(@after as integer))`;
	return `r.first >= coalesce(${before}, cast(@after as integer)) and r.first <= cast(@upTo as integer) and r.last > cast(@after as integer)`;
}

function ofTask(table: string): string {
	return `(@task is null or ${table}.task = @task)`;
}

function ofBatch(table: string): string {
	return `(@batch is null or ${table}.batch = @batch)`;
}

const BATCH = `b.id, b.name, t.name as task, b.created_at, b.total, b.started_at, b.completed_at, b.closed_at, b.on_complete, b.marks
		from batch b join task t on t.id = b.task`;

/** Of a job `j`: somebody has made it ready besides. */
const IS_READY = 'exists (select 1 from ready r where r.task in (j.task, -j.task) and r.rank = -j.priority and r.id = j.id)';

export const SQL = {
	taskByName: 'select id, paused from task where name = ?',
	taskName: 'select name from task where id = ?',
	insertTask: 'insert into task (name) values (?) returning id',
	pauseTask: 'update task set paused = ? where id = ?',
	pausedTasks: 'select name from task where paused = 1 order by name',
	unpausedTasks: 'select name, id from task where paused = 0',
	policyBySpec: 'select id from policy where spec = ?',
	policyById: 'select spec from policy where id = ?',
	insertPolicy: 'insert into policy (spec) values (?) returning id',

	insertBatch: 'insert into batch (name, task, created_at, on_complete, marks) values (?, ?, ?, ?, ?) returning id',
	reopenBatch: 'update batch set closed_at = null, total = null, on_complete = ?, marks = ? where id = ?',
	endInput: 'update batch set total = ? where id = ?',
	setBatch: 'update batch set started_at = ?, completed_at = ?, marks = ? where id = ?',
	ownerOfBatch: `select o.id from batch b join owner o on o.id = b.owner where b.id = ${INTEGER}`,
	ownBatch: 'update batch set owner = ? where id = ?',
	closeBatch: 'update batch set closed_at = ?, owner = null where id = ? and owner = (select id from owner where name = ?)',
	leaveBatch: 'update batch set owner = null where id = ? and owner = (select id from owner where name = ?)',
	deleteEmptyBatches: 'delete from batch where closed_at is not null and not exists (select 1 from job where job.batch = batch.id) returning id',
	deleteBatchTally: 'delete from batch_tally where batch = ?',
	deleteBatch: 'delete from batch where id = ?',
	batches: `select ${BATCH} order by b.id`,
	batch: `select ${BATCH} where b.name = ${TEXT}`,
	batchById: `select ${BATCH} where b.id = ${INTEGER}`,

	jobCounter: "select last from counter where name = 'job'",
	setJobCounter: "update counter set last = ? where name = 'job'",
	nextLease: "update counter set last = last + 1 where name = 'lease' returning last",
	takeWriteLock: "update counter set last = last where name = 'job'",
	addToTally: 'insert into tally (task, place, jobs) values (?, ?, ?) on conflict (task, place) do update set jobs = jobs + excluded.jobs',
	tally: 'select task, place, jobs from tally',
	tallyOf: 'select jobs from tally where task = ? and place = ?',
	addToBatchTally: 'insert into batch_tally (batch, place, jobs) values (?, ?, ?) on conflict (batch, place) do update set jobs = jobs + excluded.jobs',
	batchTally: 'select place, jobs from batch_tally where batch = ?',
	jobsOfBatch: `select id from job where batch = ${INTEGER} order by id limit ${INTEGER}`,

	insertJob: 'insert into job (id, task, policy, priority, created_at, batch, key, payload) values (?, ?, ?, ?, ?, ?, ?, ?)',
	replaceJob: 'update job set policy = ?, priority = ?, payload = ? where id = ?',
	jobPlaces: `select j.task, j.batch, j.key, j.priority, r.task, r.executions, w.executions, w.failed, w.run_at, c.execution, o.execution, o.status
		from job j
		left join ready r on r.task in (j.task, -j.task) and r.rank = -j.priority and r.id = j.id
		left join waiting w on w.id = j.id
		left join claimed c on c.id = j.id
		left join outcome o on o.id = j.id
		where j.id = ${INTEGER}`,
	jobView: `select j.id, t.name as task, j.policy, j.priority, j.created_at, j.key, b.name as batch,
			r.executions as ready_executions,
			w.run_at, w.failed, w.executions as waiting_executions,
			c.execution as claimed_execution, c.started_at as running_since,
			o.status, o.execution as ended_execution, o.started_at, o.ended_at, o.duration_ms, o.cpu_ms, o.memory_bytes,
			octet_length(j.payload) as payload_bytes, case when o.blob is null then octet_length(o.value) else o.value end as result_bytes,
			x.attempts, x.failure, x.started_at as failed_started_at, x.duration_ms as failed_duration_ms,
			x.cpu_ms as failed_cpu_ms, x.memory_bytes as failed_memory_bytes,
			p.done, p.total, p.at
		from job j
		join task t on t.id = j.task
		left join batch b on b.id = j.batch
		left join ready r on r.task in (j.task, -j.task) and r.rank = -j.priority and r.id = j.id
		left join waiting w on w.id = j.id
		left join claimed c on c.id = j.id
		left join outcome o on o.id = j.id
		left join trouble x on x.id = j.id
		left join progress p on p.id = j.id
		where j.id = ${INTEGER}`,
	jobValues: `select j.payload, o.status, o.value, o.blob, c.execution, c.at, c.state
		from job j left join outcome o on o.id = j.id left join checkpoint c on c.id = j.id
		where j.id = ${INTEGER}`,
	jobEnd: `select o.status, o.value, o.blob, x.failure
		from job j left join outcome o on o.id = j.id left join trouble x on x.id = j.id
		where j.id = ${INTEGER}`,
	readyLaneAfter: `select task, rank from ready where (task, rank) > (${INTEGER}, ${INTEGER}) order by task, rank limit 1`,
	readyRunLaneAfter: `select task, rank from ready_run where (task, rank) > (${INTEGER}, ${INTEGER}) order by task, rank limit 1`,
	pageOfReady: `select r.id, r.id from ready r where r.task = @lane and r.rank = @rank and ${inWindow('r.id')} and ${ofBatch('r')} order by r.id`,
	pageOfReadyRuns: `select r.first, r.last from ready_run r
		where r.task = @lane and r.rank = @rank and ${runInWindow('ready_run', 'task = @lane and rank = @rank and ')} and ${ofBatch('r')} order by r.first`,
	pageOfWaiting: `select w.id, w.id from waiting w join job j on j.id = w.id
		where w.failed = @failed and ${inWindow('w.id')} and ${ofTask('j')} and ${ofBatch('j')} order by w.id`,
	pageOfClaimed: `select c.id, c.id from claimed c where ${inWindow('c.id')} and ${ofTask('c')} and ${ofBatch('c')} order by c.id`,
	pageOfClaimedRuns: `select r.first, r.last from claimed_run r where ${runInWindow('claimed_run')} and ${ofTask('r')} and ${ofBatch('r')} order by r.first`,
	pageOfCompleted: `select o.id, o.id from outcome o join job j on j.id = o.id
		where o.status = 6 and ${inWindow('o.id')} and ${ofTask('j')} and ${ofBatch('j')} order by o.id`,
	pageOfOutcomeRuns: `select r.first, r.last from outcome_run r
		where ${runInWindow('outcome_run')} and ${ofBatch('r')} and (@task is null or @task = coalesce(
			(select task from job where id = r.first),
			(select task from job_run where first = (select max(first) from job_run where first <= r.first) and last >= r.first)
		)) order by r.first`,
	// The second condition is what lets SQLite use the index outcome_unhappy.
	pageOfUnhappy: `select o.id, o.id from outcome o join job j on j.id = o.id
		where o.status = @status and o.status <> 6 and ${inWindow('o.id')} and ${ofTask('j')} and ${ofBatch('j')} order by o.id`,
	pageOfJobs: `select j.id, j.id from job j where ${inWindow('j.id')} and ${ofTask('j')} order by j.id`,
	pageOfJobRuns: `select r.first, r.last from job_run r where ${runInWindow('job_run')} and ${ofTask('r')} order by r.first`,
	jobAfter: `select min(id) from (select min(id) as id from job where id > ${INTEGER} union all select min(first) from job_run where first > ${INTEGER})`,
	pageOfBatch: `select j.id, j.id from job j where j.batch = cast(@batch as integer) and ${inWindow('j.id')} and ${ofTask('j')} order by j.id`,

	jobRank: 'select -priority from job where id = ?',
	jobPolicy: 'select policy from job where id = ?',
	jobKey: 'select key from job where id = ?',

	insertKey: 'insert into key (scope, key, id) values (?, ?, ?)',
	jobByKey: `select k.id, j.payload from key k join job j on j.id = k.id where k.scope = ${INTEGER} and k.key = ${TEXT}`,

	insertReady: 'insert or ignore into ready (task, rank, id, executions, batch) values (?, ?, ?, ?, ?)',
	readyClaimsOfOwner: `insert into ready (task, rank, id, executions, batch)
		select iif(x.suspicions > 0, -c.task, c.task), -j.priority, c.id, c.execution, c.batch
		from claimed c join job j on j.id = c.id left join trouble x on x.id = c.id
		where c.owner = ${INTEGER} and c.lease > ${INTEGER} and not ${IS_READY} order by c.id`,
	insertReadyRange: 'insert into ready (task, rank, id, executions, batch) select task, -priority, id, 0, batch from job where id between ? and ?',
	readyJobs: `select r.rank, r.id, r.executions, r.batch, j.policy, j.created_at, j.key, j.payload
		from ready r join job j on j.id = r.id
		where r.task = ${INTEGER} order by r.rank, r.id limit ${INTEGER}`,
	readyHeads: `select r.rank, r.id, octet_length(j.payload)
		from ready r join job j on j.id = r.id
		where r.task = ${INTEGER} order by r.rank, r.id limit ${INTEGER}`,
	deleteReady: 'delete from ready where task = ? and rank = ? and id = ?',
	deleteReadyUpTo: 'delete from ready where task = ? and (rank, id) <= (?, ?)',

	insertJobRun: 'insert into job_run (first, last, task, policy, priority, created_at, payloads) values (?, ?, ?, ?, ?, ?, ?)',
	jobRunOf: `select first, last, task, policy, priority, created_at, payloads
		from job_run where first = (select max(first) from job_run where first <= ?) and last >= ?`,
	jobRunKind: 'select task, priority from job_run where first = (select max(first) from job_run where first <= ?) and last >= ?',
	isInJobRun: 'select 1 from job_run where first = (select max(first) from job_run where first <= ?) and last >= ?',
	deleteJobRun: 'delete from job_run where first = ?',

	insertReadyRun: 'insert into ready_run (task, rank, first, last, batch) values (?, ?, ?, ?, ?)',
	readyRuns: `select rank, first, last, batch from ready_run where task = ${INTEGER} order by rank, first limit ${INTEGER}`,
	readyRunOf: `select r.task, r.rank, r.first, r.last
		from job j join ready_run r on r.task = j.task and r.rank = -j.priority and r.first =
			(select max(first) from ready_run where task = j.task and rank = -j.priority and first <= j.id)
		where j.id = ${INTEGER} and r.last >= j.id`,
	readyRunAt: `select first, last, batch from ready_run
		where task = ? and rank = ? and first = (select max(first) from ready_run where task = ? and rank = ? and first <= ?) and last >= ?`,
	deleteReadyRun: 'delete from ready_run where task = ? and rank = ? and first = ?',
	newJobs: 'select -priority, id, 0, batch, policy, created_at, key, payload from job where id between ? and ? order by id',
	newHeads: 'select -priority, id, octet_length(payload) from job where id between ? and ? order by id',

	insertWaiting: 'insert into waiting (id, run_at, failed, executions) values (?, ?, ?, ?)',
	dueJobs: `select w.id, j.task, j.batch, -j.priority, w.failed, w.executions
		from waiting w join job j on j.id = w.id
		where w.run_at <= ${INTEGER} order by w.run_at, w.id limit ${INTEGER}`,
	deleteWaiting: 'delete from waiting where id = ?',
	nextRunAt: 'select min(run_at) from waiting where run_at is not null',

	claimUpTo: `insert or ignore into claimed (id, lease, execution, owner, task, batch)
		select id, ?, executions + 1, ?, abs(task), batch from ready where task = ? and (rank, id) <= (?, ?)`,
	claimsOfLease: 'select id, execution, task, batch, stop from claimed where id between ? and ? and lease = ?',
	stoppedClaimsOfOwner: `select id, execution, task, batch, stop from claimed where owner = ${INTEGER} and lease > ${INTEGER} and stop is not null order by id`,
	claimGroupsOfOwner: `select c.task, c.batch, coalesce(x.suspicions, 0) > 0, j.id is not null, count(*)
		from claimed c left join job j on j.id = c.id left join trouble x on x.id = c.id
		where c.owner = ${INTEGER} and c.lease > ${INTEGER} group by 1, 2, 3, 4`,
	deleteClaimsOfOwner: `delete from claimed where owner = ${INTEGER} and lease > ${INTEGER}`,
	deleteClaim: 'delete from claimed where id = ?',
	deleteClaimsOfLease: 'delete from claimed where id between ? and ? and lease = ?',
	claim: 'select 1 from claimed where id = ? and lease = ? and execution = ?',
	setStarted: 'update claimed set started_at = ? where id = ?',
	askToStop: 'update claimed set stop = ? where id = ?',
	askToWithdraw: 'update claimed set stop = ? where id = ? and (stop is null or stop < 0)',
	claimsToStop: 'select id, lease, execution from claimed where owner = (select id from owner where name = ?) and stop is not null and stop <> -1 order by id',

	insertClaimedRun: 'insert or ignore into claimed_run (first, last, lease, owner, task, batch) values (?, ?, ?, ?, ?, ?)',
	claimedRunsOfLease: `select first, last, lease, owner, task, batch
		from claimed_run where lease = ${INTEGER} and first <= ${INTEGER} and last >= ${INTEGER} order by first`,
	claimedRunOf:
		'select first, last, lease, owner, task, batch from claimed_run where first = (select max(first) from claimed_run where first <= ?) and last >= ?',
	claimedRunsOfOwner: `select first from claimed_run where owner = ${INTEGER} and lease > ${INTEGER} order by first`,
	deleteClaimedRun: 'delete from claimed_run where first = ?',
	claimRange: `insert into claimed (id, lease, execution, owner, task, batch) select id, ?, 1, ?, task, batch from job where id between ? and ?`,

	insertOutcomeRun: 'insert into outcome_run (first, last, batch, ended_at, times, results) values (?, ?, ?, ?, ?, ?)',
	outcomeRunOf:
		'select first, last, batch, ended_at, times, results from outcome_run where first = (select max(first) from outcome_run where first <= ?) and last >= ?',
	outcomeRunBounds: 'select first, last, batch from outcome_run where first = (select max(first) from outcome_run where first <= ?) and last >= ?',
	outcomeRunFirst: 'select first from outcome_run where first = (select max(first) from outcome_run where first <= ?) and last >= ?',
	outcomeRunsToClean: `select r.first, r.last, r.ended_at, b.id is not null and b.closed_at is null
		from outcome_run r left join batch b on b.id = r.batch
		where r.first >= coalesce((select max(first) from outcome_run where first <= ${INTEGER}), ${INTEGER}) and r.last > ${INTEGER}
		order by r.first`,
	deleteOutcomeRun: 'delete from outcome_run where first = ?',

	insertOutcome:
		'insert into outcome (id, status, execution, started_at, ended_at, duration_ms, cpu_ms, memory_bytes, value, blob) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
	isBlobNamed: 'select 1 from outcome where blob = ? limit 1',
	deleteOutcome: 'delete from outcome where id = ?',
	outcomesToClean: `select o.id, o.status, o.ended_at, o.blob, j.task, j.batch, j.key, b.id is not null and b.closed_at is null
		from outcome o join job j on j.id = o.id left join batch b on b.id = j.batch
		where o.id > ${INTEGER} order by o.id limit ${INTEGER}`,

	trouble: 'select attempts, suspicions, crashes from trouble where id = ?',
	setTrouble: `insert into trouble (id, attempts, crashes, suspicions, started_at, duration_ms, cpu_ms, memory_bytes, failure) values (?, ?, ?, ?, ?, ?, ?, ?, ?)
		on conflict (id) do update set attempts = excluded.attempts, crashes = excluded.crashes, suspicions = excluded.suspicions, started_at = excluded.started_at,
			duration_ms = excluded.duration_ms, cpu_ms = excluded.cpu_ms, memory_bytes = excluded.memory_bytes, failure = excluded.failure`,
	clearFailure: 'update trouble set suspicions = 0, failure = null, started_at = null, duration_ms = null, cpu_ms = null, memory_bytes = null where id = ?',
	clearTiming: 'update trouble set started_at = null, duration_ms = null, cpu_ms = null, memory_bytes = null where id = ?',
	suspectClaims: `insert into trouble (id, attempts, suspicions)
		select id, 0, 1 from claimed where owner = ${INTEGER} and lease = ${INTEGER} and id between ${INTEGER} and ${INTEGER} order by id
		on conflict (id) do update set suspicions = min(suspicions + 1, ${INTEGER})`,
	suspect: `insert into trouble (id, attempts, suspicions) values (?, 0, ?)
		on conflict (id) do update set suspicions = max(suspicions, excluded.suspicions)`,
	suspicionsInLane: `select coalesce(x.suspicions, 0) from ready r left join trouble x on x.id = r.id
		where r.task = ${INTEGER} order by r.rank, r.id limit ${INTEGER}`,
	deleteTrouble: 'delete from trouble where id = ?',

	setProgress: 'insert or replace into progress (id, done, total, at) values (?, ?, ?, ?)',
	deleteProgress: 'delete from progress where id = ?',
	setCheckpoint: 'insert or replace into checkpoint (id, execution, at, state) values (?, ?, ?, ?)',
	checkpointState: 'select state from checkpoint where id = ?',
	deleteCheckpoint: 'delete from checkpoint where id = ?',
	deleteCheckpointsOfCompleted: `delete from checkpoint
		where id between ? and ? and (
			exists (select 1 from outcome where outcome.id = checkpoint.id and outcome.status = 6)
			or checkpoint.id <= (select last from outcome_run where first <= checkpoint.id order by first desc limit 1))`,
	insertLog: 'insert into log (id, execution, at, level, text) values (?, ?, ?, ?, ?)',
	trimLog: `delete from log where id = ${INTEGER} and seq <= (select seq from log where id = ${INTEGER} order by seq desc limit 1 offset ${INTEGER})`,
	logOfJob: `select execution, at, level, text from log where id = ${INTEGER} order by seq`,
	deleteLog: 'delete from log where id = ?',
	deleteKey: 'delete from key where scope = ? and key = ?',
	deleteJob: 'delete from job where id = ?',
	deleteKeysOfJobs: 'delete from key where (scope, key) in (select coalesce(batch, -task), key from job where id between ? and ? and key is not null)',
	deleteJobs: 'delete from job where id between ? and ?',

	ownerById: 'select 1 from owner where id = ?',
	heartbeatOf: 'select heartbeat_at from owner where id = ?',
	insertOwner: 'insert into owner (name, heartbeat_at) values (?, ?) returning id',
	heartbeat: 'update owner set heartbeat_at = ? where id = ?',
	renew: 'update owner set heartbeat_at = ? where name = ?',
	owners: 'select id, name, heartbeat_at from owner order by id',
	deleteOwner: 'delete from owner where id = ?',
} as const;
