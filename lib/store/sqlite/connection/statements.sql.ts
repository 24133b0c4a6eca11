/** The statements of the SQLite store: one for each entry, prepared once for each connection. */

import type Database from 'better-sqlite3';
import {MAX_EXECUTIONS, type OwnerId} from '../../../job/claim.ts';
import {MIN_COUNTED_RESULT_BYTES} from '../../store.ts';
import {Stop, StoredState} from '../../stored-state.ts';
import {nameIn, scopeIn} from '../../task-number.ts';
import {MAX_RUN_JOBS, MAX_SHORT_EDGE} from './schema.sql.ts';
import {SORTED_SQL} from './sorted.sql.ts';

/** A row of the statement `owners`. */
export type OwnerValues = readonly [id: number, name: OwnerId, heartbeatAt: number];

/**
 * A parameter in a join, a range or a limit. SQLite uses the bound value to choose a plan there, and so prepares the statement again each time it runs,
 * which takes 4–20 µs. It does not look behind a cast.
 */
const INTEGER = 'cast(? as integer)';
const TEXT = 'cast(? as text)';
const FIRST = 'cast(@first as integer)';
const LAST = 'cast(@last as integer)';
const ID = 'cast(@id as integer)';
const AFTER = 'cast(@after as integer)';
const UP_TO = 'cast(@upTo as integer)';
const LANE = 'cast(@lane as integer)';
const RANK = 'cast(@rank as integer)';

/** The condition that a run of the table has the job. `lane`: the condition on the columns before `first` in its primary key. */
function hasJob(table: string, id = '?', lane = ''): string {
	return `${lane}first = (select max(first) from ${table} where ${lane}first <= ${id}) and last >= ${id}`;
}

/** A condition for the runs that overlap a range. */
function overlaps(table: string): string {
	return `first <= cast(@last as integer) and last >= cast(@first as integer)
		and first >= coalesce((select max(first) from ${table} where first <= cast(@first as integer)), cast(@first as integer))`;
}

/** The number of jobs of a range that have a row, or are in a run. */
function countInRange(rows: string, runs: string): string {
	return `select (select count(*) from ${rows} where id between cast(@first as integer) and cast(@last as integer))
		+ (select coalesce(sum(min(last, cast(@last as integer)) - max(first, cast(@first as integer)) + 1), 0) from ${runs} where ${overlaps(runs)})`;
}

// SQLite uses the index outcome_unhappy only with the second condition.
const UNHAPPY = `status in (${StoredState.dead}, ${StoredState.cancelled}) and status <> 6`;

function firstOf(status: StoredState): string {
	return `select id from outcome where status = ${status} and status <> 6 and id between cast(@first as integer) and cast(@last as integer) order by id limit 1`;
}

const HAS_READY_ROW = 'r.task in (j.task, -j.task) and r.rank = -j.priority and r.id = j.id';

/** The rows of the states of job `j`. */
const STATE_ROWS = `left join ready r on ${HAS_READY_ROW}
		left join waiting w on w.id = j.id
		left join claimed c on c.id = j.id
		left join outcome o on o.id = j.id`;

/** The state of job `j`; null if it is in the row of a run. */
const STATE = `case
			when o.id is not null then o.status
			when c.id is not null then ${StoredState.running}
			when w.id is not null then iif(w.failed = 0, iif(w.run_at < 0, ${StoredState.held}, ${StoredState.delayed}), iif(w.run_at is null, ${StoredState.parked}, ${StoredState.failed}))
			when r.id is not null then iif(r.task < 0, ${StoredState.quarantined}, ${StoredState.ready})
		end as state, coalesce(o.execution, c.execution, w.executions, r.executions, 0) as executions`;

/** Conditions of the statements `pageOf…`. read.ts binds their parameters. */
function inWindow(id: string): string {
	return `${id} > ${AFTER} and ${id} <= ${UP_TO}`;
}

/** Also finds a run that begins before the window and reaches into it. */
function runInWindow(table: string, lane = ''): string {
	return `${runIsAfter(table, lane)} and r.first <= ${UP_TO}`;
}

function runIsAfter(table: string, lane = ''): string {
	const before = `(select max(first) from ${table} where ${lane}first <= ${AFTER})`;
	return `r.first >= coalesce(${before}, ${AFTER}) and r.last > ${AFTER}`;
}

function ofTask(table: string): string {
	return `(@task is null or ${nameIn(`${table}.task`)} = @task)`;
}

function ofBatch(table: string): string {
	return `(@batch is null or ${table}.batch = @batch)`;
}

function isCreated(table: string): string {
	return `${table}.created_at >= cast(@since as real) and ${table}.created_at < cast(@until as real)`;
}

const BATCH = `b.id, b.name, t.name as task, b.created_at as createdAt, b.total, b.started_at as startedAt, b.completed_at as completedAt,
		b.closed_at as closedAt, b.completion_job as completionJobId, b.on_complete as onComplete, b.shape, b.marks
		from batch b left join task t on t.id = b.task`;

/** The columns of jobs that are shown. */
const VIEW = `select j.id, t.name as task, s.name as scope, j.policy, j.priority, j.created_at as createdAt, j.key, b.name as batch, ${STATE},
			coalesce(x.attempts, 0) as attempts, coalesce(octet_length(j.payload), 0) as payloadBytes, m.at as scheduledAt, iif(w.run_at > 1, w.run_at, iif(w.run_at < -1, -w.run_at, null)) as runAt, o.ended_at as endedAt,
			coalesce(c.started_at, o.started_at, x.started_at) as startedAt,
			-- The figures of an earlier execution are not shown beside the start of the running one.
			iif(c.started_at is null, coalesce(o.duration_ms, x.duration_ms), null) as durationMs,
			iif(c.started_at is null, coalesce(o.cpu_ms, x.cpu_ms), null) as cpuMs,
			iif(c.started_at is null, coalesce(o.memory_bytes, x.memory_bytes), null) as memoryBytes,
			iif(o.status = ${StoredState.completed}, coalesce(iif(o.blob is null, octet_length(o.value), o.value), 0), null) as resultBytes,
			x.failure, p.done, p.total, p.at`;
const VIEW_JOINS = `join task t on t.id = ${nameIn('j.task')}
		left join scope s on s.id = ${scopeIn('j.task')}
		left join batch b on b.id = j.batch
		${STATE_ROWS}
		left join failure_state x on x.id = j.id
		left join progress p on p.id = j.id
		left join scheduled m on m.id = j.id`;

const JOB_RUN = 'first, last, task, policy, priority, created_at as createdAt, batch, first_number as firstNumber, keys, payloads';

const BLOCKED_RUN = 'first, last, task, rank, batch, run_at as runAt, executions, parents';
const SCHEDULE = `name, spec, payload, created_at as createdAt, next_at as nextAt, paused, last_job as lastJobId, last_at as lastAt, runs, skipped,
	missed`;
const EDGE = 'id, parent_first, parent_last, child_first, child_last, is_each, runs_on_dead, coalesce(place, id) as place';

/**
 * The edges whose parents, or children, overlap the jobs from `@first` to `@last`. An index finds ranges only by their starts, so that it searches as far
 * back as a range may be long. There is one index for short ranges and one for long ones: thousands of edges with one parent each lie close together.
 */
function edgesWith(side: 'parent' | 'child'): string {
	const overlaps = (longest: number) =>
		`${side}_first > cast(@first as integer) - ${longest} and ${side}_first <= cast(@last as integer) and ${side}_last >= cast(@first as integer)`;
	return `select ${EDGE} from edge where ${side}_last - ${side}_first < ${MAX_SHORT_EDGE} and ${overlaps(MAX_SHORT_EDGE)}
		union all select ${EDGE} from edge where ${side}_last - ${side}_first >= ${MAX_SHORT_EDGE} and ${overlaps(MAX_RUN_JOBS)} order by place`;
}

const EXECUTION = 'execution, state, ended_at, started_at, duration_ms, cpu_ms, memory_bytes, worker, failure';
/** The columns of {@link EXECUTION}, from the table of the last failure, and from that of ended jobs. */
const EXECUTION_OF_FAILURE = `execution, ${StoredState.failed}, coalesce(ended_at, 0), started_at, duration_ms, cpu_ms, memory_bytes, worker, failure`;
const EXECUTION_OF_OUTCOME = 'execution, status, ended_at, started_at, duration_ms, cpu_ms, memory_bytes, worker, null';
/** The condition that an ended job has run. The execution of a dead one is that of its failure. */
const HAS_RUN = `(status = ${StoredState.completed} or (status = ${StoredState.cancelled} and started_at is not null))`;

const ENDED_JOBS = `select o.id as first, o.id as last, o.ended_at as endedAt, b.id is not null and b.closed_at is null as isInOpenBatch,
		o.status as state, o.blob, j.task, j.batch, j.key
	from outcome o join job j on j.id = o.id left join batch b on b.id = j.batch`;
const ENDED_RUNS = `select r.first, r.last, r.ended_at, b.id is not null and b.closed_at is null, null, null, null, null, null
	from outcome_run r left join batch b on b.id = r.batch`;

/** The condition that a row comes after the place in the order of the ends, or up to `maxJobs` before it, and ended before the time of its status. */
function isOutdated(endedAt: string, id: string, status: string, maxJobs = 0): string {
	return `${endedAt} < cast(@${status} as integer) and (${endedAt}, ${id}) > (cast(@value as integer), ${ID} - ${maxJobs})`;
}

export const SQL = {
	...SORTED_SQL,
	taskByName: 'select id from task where name = ?',
	taskById: 'select name from task where id = ?',
	taskCounts: `select name as task, null as scope, paused, null as state, 0 as jobs from task
		union all select t.name, s.name, t.paused, c.state, c.jobs
		from tally c join task t on t.id = ${nameIn('c.task')} left join scope s on s.id = ${scopeIn('c.task')}`,
	insertTask: 'insert into task (name) values (?) returning id',
	pauseTask: 'update task set paused = ? where id = ?',
	unpausedTasks: 'select name, id from task where paused = 0',
	scopes: 'select id, name from scope order by id',
	renameScope: 'update scope set name = @to where name = @from',
	renameScopeOfSchedules: "update schedule set spec = json_set(spec, '$.scope', @to) where case when json_valid(spec) then spec ->> '$.scope' end = @from",
	renameScopeOfBatches: `update batch set on_complete = json_set(on_complete, '$.scope', @to)
		where case when json_valid(on_complete) then on_complete ->> '$.scope' end = @from`,
	insertScope: 'insert into scope (name) values (?) returning id',
	policyBySpec: 'select id from policy where spec = ?',
	policyById: 'select spec from policy where id = ?',
	insertPolicy: 'insert into policy (spec) values (?) returning id',

	insertBatch: 'insert into batch (name, task, created_at, on_complete, marks, shape) values (?, ?, ?, ?, ?, ?) returning id',
	reopenBatch: 'update batch set closed_at = null, total = null, on_complete = ?, marks = ?, shape = ? where id = ?',
	endInput: 'update batch set total = ? where id = ?',
	// A flow is not enqueued again, so that its input stays at its end.
	reopenInput: `update batch set total = null where id = ? and shape ->> '$.structure' is null`,
	closeFlow: 'update batch set shape = ?, closed_at = ?, owner = null where id = ?',
	// Not its total: while the flow is deleted, it has none, so that it does not complete.
	hasFlowInputEnded: `select shape ->> '$.jobs' is not null from batch where id = ?`,
	setCompletionJob: 'update batch set completion_job = ? where id = ?',
	setBatch: 'update batch set started_at = ?, completed_at = ?, marks = ? where id = ?',
	ownerOfBatch: `select o.id from batch b join owner o on o.id = b.owner where b.id = ${INTEGER}`,
	batchOfOther: 'select 1 from batch b join owner o on o.id = b.owner where b.name = ? and o.name <> ?',
	ownBatch: 'update batch set owner = ? where id = ?',
	leaveBatch: `update batch set closed_at = coalesce(@closedAt, closed_at), owner = null, shape = iif(@isDone, json_remove(shape, '$.renewal'), shape)
		where id = cast(@id as integer) and owner = (select id from owner where name = @owner)`,
	hasBatch: `select 1 from batch where id = ? and coalesce(?, shape ->> '$.run', '') = coalesce(shape ->> '$.run', '')`,
	isBatchOpen: 'select 1 from batch where id = ? and closed_at is null',
	deleteEmptyBatches: `delete from batch where closed_at is not null and not exists (select 1 from job where job.batch = batch.id)
		and not exists (select 1 from job_run where job_run.batch = batch.id) returning id`,
	deleteBatchTally: 'delete from batch_tally where batch = ?',
	deleteBatch: 'delete from batch where id = ?',
	batches: `select ${BATCH} where b.id > ${INTEGER} order by b.id limit ${INTEGER}`,
	batch: `select ${BATCH} where b.name = ${TEXT}`,
	batchById: `select ${BATCH} where b.id = ${INTEGER}`,
	// Changes with every commit of another connection, and with none of this one.
	dataVersion: 'pragma data_version',
	takeWriteLock: 'update tally set jobs = jobs where task = 0 and state = 0',
	addToTally: 'insert into tally (task, state, jobs) values (?, ?, ?) on conflict (task, state) do update set jobs = jobs + excluded.jobs',
	tally: 'select task, state, jobs from tally',
	addToBatchTally: `insert into batch_tally (batch, task, state, jobs) values (?, ?, ?, ?)
		on conflict (batch, task, state) do update set jobs = jobs + excluded.jobs`,
	batchStates: 'select state, jobs from batch_tally where batch = ?',
	batchTally: `select t.name as task, b.state, b.jobs from batch_tally b join task t on t.id = ${nameIn('b.task')} where b.batch = ${INTEGER} and b.jobs <> 0`,

	insertJob: 'insert into job (id, task, policy, priority, created_at, batch, key, payload) values (?, ?, ?, ?, ?, ?, ?, ?)',
	setTask: 'update job set task = ? where id = ?',
	setPolicy: 'update job set policy = ?, priority = ? where id = ?',
	setPriority: 'update job set priority = ? where id = ?',
	setPayload: 'update job set payload = ? where id = ?',
	replaceJob: 'update job set policy = ?, priority = ?, payload = ? where id = ?',
	jobState: `select j.task, j.batch, j.key, -j.priority as rank, ${STATE} from job j ${STATE_ROWS} where j.id = ${INTEGER}`,
	packedState: `select first, task, batch, first_number as firstNumber, keys, -priority as rank from job_run where ${hasJob('job_run')}`,
	jobView: `${VIEW} from job j ${VIEW_JOINS} where j.id = ${INTEGER}`,
	packedView: `${VIEW} from (select *, first as id, null as key, null as payload from job_run where first = ${INTEGER}) j ${VIEW_JOINS}`,
	jobValues: `select j.payload, o.value, o.blob, c.execution, c.at, c.state
		from job j left join outcome o on o.id = j.id left join checkpoint c on c.id = j.id
		where j.id = ${INTEGER}`,
	jobEnd: `select o.status, o.value, o.blob, x.failure
		from job j left join outcome o on o.id = j.id left join failure_state x on x.id = j.id where j.id = ${INTEGER}`,
	readyLaneAfter: `select task, rank from ready where (task, rank) > (${LANE}, ${RANK})
		union all select task, rank from ready_run where (task, rank) > (${LANE}, ${RANK})
		order by 1, 2 limit 1`,
	pageOfReady: `select r.id, r.id from ready r where r.task = @lane and r.rank = @rank and ${inWindow('r.id')} and ${ofBatch('r')}
		union all select r.first, r.last from ready_run r
		where r.task = @lane and r.rank = @rank and ${runInWindow('ready_run', 'task = @lane and rank = @rank and ')} and ${ofBatch('r')}
		order by 1`,
	pageOfWaiting: `select w.id, w.id from waiting w join job j on j.id = w.id
		where w.failed = @failed and ${inWindow('w.id')} and ${ofTask('j')} and ${ofBatch('j')} order by w.id`,
	pageOfClaimed: `select c.id, c.id from claimed c where ${inWindow('c.id')} and ${ofTask('c')} and ${ofBatch('c')}
		union all select r.first, r.last from claimed_run r where ${runInWindow('claimed_run')} and ${ofTask('r')} and ${ofBatch('r')}
		order by 1`,
	pageOfCompleted: `select o.id, o.id from outcome o join job j on j.id = o.id
		where +o.status = ${StoredState.completed} and ${inWindow('o.id')} and ${ofTask('j')} and ${ofBatch('j')}
		union all select r.first, r.last from outcome_run r where ${runInWindow('outcome_run')} and ${ofBatch('r')} and (@task is null
			or @task = ${nameIn(`coalesce((select task from job where id = r.first), (select task from job_run where ${hasJob('job_run', 'r.first')}))`)})
		order by 1`,
	// SQLite uses the index outcome_unhappy only with the second condition.
	pageOfUnhappy: `select o.id, o.id from outcome o join job j on j.id = o.id
		where o.status = @status and o.status <> 6 and ${inWindow('o.id')} and ${ofTask('j')} and ${ofBatch('j')} order by o.id`,
	pageOfJobs: `select j.id, j.id from job j where ${inWindow('j.id')} and ${ofTask('j')}
		union all select r.first, r.last from job_run r where ${runInWindow('job_run')} and ${ofTask('r')}
		order by 1`,
	firstCreated: `select min(id) from (
		select min(j.id) as id from job j where ${inWindow('j.id')} and ${isCreated('j')}
		union all select min(max(r.first, ${AFTER} + 1)) from job_run r where ${runInWindow('job_run')} and ${isCreated('r')})`,
	createdAt: `select coalesce((select created_at from job where id = ${ID}), (select created_at from job_run where ${hasJob('job_run', ID)}))`,
	jobAfter: `select min(id) from (select min(id) as id from job where id > ${INTEGER} union all select min(first) from job_run where first > ${INTEGER})`,
	pageOfBatch: `select j.id, j.id from job j where j.batch = cast(@batch as integer) and ${inWindow('j.id')} and ${ofTask('j')}
		union all select r.first, r.last from job_run r
		where r.batch = cast(@batch as integer) and ${runInWindow('job_run', 'batch = cast(@batch as integer) and ')} and ${ofTask('r')}
		order by 1`,
	jobColumns: 'select -priority as rank, policy, key from job where id = ?',
	insertKey: 'insert into key (space, key, id) values (?, ?, ?)',
	/** Takes the key from the job that has it. */
	takeKey: 'insert or replace into key (space, key, id) values (?, ?, ?)',
	regainKey: 'insert or ignore into key (space, key, id) values (?, ?, ?)',
	insertKeyIfFree: 'insert or ignore into key (space, key, id) values (?, ?, ?)',
	anyKey: 'select 1 from key where space = ? limit 1',
	anyNumber: 'select 1 from key_run where batch = ? limit 1',
	// Numbers of a batch do not overlap: the last row that begins before the end has the highest numbers before it.
	anyNumberIn:
		'select 1 from key_run where batch = @batch and first = (select max(first) from key_run where batch = @batch and first <= @last) and last >= @first',
	numbersOf: `select batch, first, last, first_id as firstId from key_run
		where batch = @batch and first = (select max(first) from key_run where batch = @batch and first <= @number)`,
	insertNumbers: 'insert into key_run (batch, first, last, first_id) values (?, ?, ?, ?)',
	deleteNumbers: 'delete from key_run where batch = ? and first = ?',
	deleteNumbersOfBatch: 'delete from key_run where batch = ?',
	idsByNumber: `select k.first_id + cast(@number as integer) - k.first from batch b cross join key_run k on k.batch = b.id and k.first =
			(select max(first) from key_run where batch = b.id and first <= cast(@number as integer))
		where b.id = @batch and k.last >= cast(@number as integer)`,
	idsByKey: `select id from key where key = cast(@key as text) and space in (
		select coalesce(cast(@batch as integer), -cast(@task as integer)))`,
	idOfKey: `select id from key where space = ${INTEGER} and key = ${TEXT}`,
	payloadOf: 'select payload from job where id = ?',

	insertReady: 'insert or ignore into ready (task, rank, id, executions, batch) values (?, ?, ?, ?, ?)',
	// Another program may have made a claimed job ready, too.
	readyClaimsOfOwner: `insert into ready (task, rank, id, executions, batch)
		select iif(x.suspicion > 0, -c.task, c.task), -j.priority, c.id, c.execution, c.batch
		from claimed c join job j on j.id = c.id left join failure_state x on x.id = c.id
		where c.owner = ${INTEGER} and c.lease > ${INTEGER} and c.id <= ${INTEGER} and not exists (select 1 from ready r where ${HAS_READY_ROW}) order by c.id`,
	insertReadyRange: 'insert into ready (task, rank, id, executions, batch) select task, -priority, id, 0, batch from job where id between ? and ?',
	readyJobs: `select r.rank, r.id, r.executions, r.batch, j.policy, j.created_at, j.key, j.payload, null
		from ready r join job j on j.id = r.id where r.task = ${LANE}
		union all select rank, first, 0, batch, null, null, null, null, last from ready_run where task = ${LANE}
		order by 1, 2 limit cast(@limit as integer)`,
	readySizes: `select r.rank, r.id, octet_length(j.payload), null from ready r join job j on j.id = r.id where r.task = ${LANE}
		union all select rank, first, null, last from ready_run where task = ${LANE}
		order by 1, 2 limit cast(@limit as integer)`,
	deleteReady: 'delete from ready where task = ? and rank = ? and id = ?',
	deleteReadyUpTo: 'delete from ready where task = ? and (rank, id) <= (?, ?)',

	insertJobRun:
		'insert into job_run (first, last, task, policy, priority, created_at, batch, first_number, keys, payloads) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
	jobRunOf: `select ${JOB_RUN} from job_run where ${hasJob('job_run')}`,
	deleteJobRun: 'delete from job_run where first = ?',
	insertReadyRun: 'insert into ready_run (task, rank, first, last, batch) values (?, ?, ?, ?, ?)',
	readyRunOf: `select first, last from ready_run where ${hasJob('ready_run', '@id', 'task = @task and rank = @rank and ')}`,
	deleteReadyRun: 'delete from ready_run where task = ? and rank = ? and first = ?',
	newJobs: 'select -priority, id, 0, batch, policy, created_at, key, payload from job where id between ? and ? order by id',
	newSizes: 'select -priority, id, octet_length(payload) from job where id between ? and ? order by id',

	insertWaiting: 'insert into waiting (id, run_at, failed, executions) values (?, ?, ?, ?)',
	dueJobs: `select w.id, j.task, j.batch, -j.priority as rank, w.failed, w.executions
		from waiting w join job j on j.id = w.id
		where w.run_at between 0 and ${INTEGER} order by w.run_at, w.id limit ${INTEGER}`,
	deleteWaiting: 'delete from waiting where id = ?',
	runAtOf: 'select run_at from waiting where id = ?',
	nextRunAt: 'select min(run_at) from waiting where run_at >= 0',
	anyHeld: `select 1 from waiting where run_at < 0 union all select 1 from claimed where stop = ${Stop.hold} limit 1`,

	insertBlockedRun: 'insert into blocked_run (first, last, task, rank, batch, run_at, executions, parents) values (?, ?, ?, ?, ?, ?, ?, ?)',
	blockedRunOf: `select ${BLOCKED_RUN} from blocked_run where ${hasJob('blocked_run')}`,
	blockedRunsIn: `select ${BLOCKED_RUN} from blocked_run where ${overlaps('blocked_run')} order by first`,
	deleteBlockedRun: 'delete from blocked_run where first = ?',
	pageOfBlocked: `select r.first, r.last from blocked_run r where ${runInWindow('blocked_run')} and ${ofTask('r')} and ${ofBatch('r')} order by 1`,

	/** Of the jobs in a range, how many have rows, have ended, and are dead or cancelled. */
	jobsInRange: countInRange('job', 'job_run'),
	endedInRange: countInRange('outcome', 'outcome_run'),
	unhappyInRange: `select count(*) from outcome where ${UNHAPPY} and id between cast(@first as integer) and cast(@last as integer)`,
	firstUnhappy: `select min(id) from (
		select * from (${firstOf(StoredState.dead)}) union all select * from (${firstOf(StoredState.cancelled)}))`,
	insertEdge: 'insert into edge (parent_first, parent_last, child_first, child_last, is_each, runs_on_dead, place) values (?, ?, ?, ?, ?, ?, ?)',
	deleteEdge: 'delete from edge where id = ?',
	// Of a result in a file, the value is its size.
	resultSizes: `select id, iif(blob is null, octet_length(value), value) as bytes from outcome
		where id between ? and ? and bytes >= ${MIN_COUNTED_RESULT_BYTES}`,
	anyEdge: 'select 1 from edge limit 1',
	edgesFrom: edgesWith('parent'),
	edgesTo: edgesWith('child'),
	schedules: `select ${SCHEDULE} from schedule order by name`,
	schedule: `select ${SCHEDULE} from schedule where name = ${TEXT}`,
	schedulesThatWait: `select ${SCHEDULE} from schedule where from_end = 1 and next_at is null and paused = 0`,
	anyEndWait: 'select 1 from schedule where from_end = 1 and next_at is null and paused = 0 limit 1',
	nextMoment: 'select min(next_at) from schedule where paused = 0',
	setSchedule: `insert into schedule (name, spec, payload, created_at, next_at, from_end) values (?, ?, ?, ?, ?, ?)
		on conflict (name) do update set spec = excluded.spec, payload = excluded.payload, created_at = excluded.created_at, next_at = excluded.next_at,
			from_end = excluded.from_end`,
	deleteSchedule: 'delete from schedule where name = ?',
	writeSchedule: `update schedule set paused = ?, next_at = ?, last_job = ?, last_at = ?, runs = runs + ?, skipped = skipped + ?, missed = missed + ?
		where name = ?`,
	setNextMoment: 'update schedule set next_at = ?, from_end = ? where name = ?',
	insertScheduled: 'insert into scheduled (id, at) values (?, ?)',
	anyScheduled: 'select 1 from scheduled limit 1',
	momentOf: 'select at from scheduled where id = ?',
	deleteScheduled: 'delete from scheduled where id between ? and ?',

	// Neighbours share a row. A row has at most as many jobs as the range of an edge.
	keepUsed: `with recursive child (id) as (select ${FIRST} union all select id + 1 from child where id < ${LAST})
		insert into used_result (parent, first, last, digest, is_stale)
		select @parent, min(id), max(id), @digest, 0 from (
			select id, id - row_number() over (order by id) as row from child
			where id > coalesce((select last from used_result where parent = @parent and first <= id order by first desc limit 1), 0)
		) group by row`,
	keepUsedAfter: `insert into used_result select parent, ${LAST} + 1, last, digest, is_stale from used_result
		where first > ${FIRST} - ${MAX_RUN_JOBS} and first <= ${LAST} and last > ${LAST}`,
	keepUsedBefore: `update used_result set last = ${FIRST} - 1 where first > ${FIRST} - ${MAX_RUN_JOBS} and first < ${FIRST} and last >= ${FIRST}`,
	deleteUsed: `delete from used_result where first between ${FIRST} and ${LAST}`,
	usedParents: `select distinct parent from used_result where parent between ${INTEGER} and ${INTEGER}`,
	judgeUsed: 'update used_result set is_stale = iif(?, digest <> ?, 0) where parent = ?',
	anyUsed: 'select 1 from used_result limit 1',
	anyStale: 'select 1 from used_result where is_stale = 1 limit 1',
	staleRanges: 'select first, last from used_result where is_stale = 1',
	staleRangesIn: `select max(first, ${FIRST}), min(last, ${LAST}) from used_result
		where is_stale = 1 and first > ${FIRST} - ${MAX_RUN_JOBS} and first <= ${LAST} and last >= ${FIRST}`,

	insertParentChange: 'insert into parent_change (first, last, change, edge, digest) values (?, ?, ?, ?, ?)',
	anyParentChange: 'select 1 from parent_change limit 1',
	firstParentChange: 'select id, first, last, change, edge, digest from parent_change order by id limit 1',
	continueParentChange: 'update parent_change set edge = ? where id = ?',
	deleteParentChange: 'delete from parent_change where id = ?',

	insertExpiry: 'insert into expiry (id, expires_ms, expires_at) values (?, ?, ?)',
	dueExpiries: `select id, expires_ms from expiry where expires_at between 1 and ${INTEGER} order by expires_at, id limit ${INTEGER}`,
	renewExpiry: 'update expiry set expires_at = ? + expires_ms where id = ?',
	holdExpiry: 'update expiry set expires_at = ? where id = ?',
	markExpiry: 'update expiry set expires_at = -expires_at where id = ?',
	unmarkExpiry: 'update expiry set expires_at = -expires_at where id = ? and expires_at < 0',
	unmarkExpiriesOfOwner: `update expiry set expires_at = -expires_at where expires_at < 0
		and exists (select 1 from claimed c where c.id = expiry.id and c.owner = ${INTEGER} and c.lease > ${INTEGER} and c.id <= ${INTEGER})`,
	anyExpiry: 'select 1 from expiry limit 1',
	expiriesOf: 'select id, expires_at from expiry where id between ? and ?',
	nextExpiry: 'select min(expires_at) from expiry where expires_at > 0',
	deleteExpiries: 'delete from expiry where id between ? and ?',
	deleteExpiriesOfOwner: `delete from expiry where id in (
		select id from claimed where owner = ${INTEGER} and lease > ${INTEGER} and id <= ${INTEGER})`,

	claimUpTo: `insert or ignore into claimed (id, lease, execution, owner, task, batch)
		select id, ?, executions + 1, ?, abs(task), batch from ready where task = ? and (rank, id) <= (?, ?)`,
	insertClaim: 'insert or ignore into claimed (id, lease, execution, owner, task, batch) values (?, ?, 1, ?, ?, ?)',
	claimsOfLease: 'select id, execution, task, batch, stop from claimed where id between ? and ? and lease = ?',
	stoppedClaimsOfOwner: `select id, execution, task, batch, stop from claimed where owner = ${INTEGER} and lease > ${INTEGER} and id <= ${INTEGER} and stop is not null order by id`,
	claimGroupsOfOwner: `select c.task, c.batch, coalesce(x.suspicion, 0) > 0, j.id is not null, count(*)
		from claimed c left join job j on j.id = c.id left join failure_state x on x.id = c.id
		where c.owner = ${INTEGER} and c.lease > ${INTEGER} and c.id <= ${INTEGER} group by 1, 2, 3, 4`,
	deleteClaimsOfOwner: `delete from claimed where owner = ${INTEGER} and lease > ${INTEGER} and id <= ${INTEGER}`,
	claimOfOwnerAt: `select id from claimed where owner = ${INTEGER} and lease > ${INTEGER} order by id limit 1 offset ${INTEGER}`,
	deleteClaim: 'delete from claimed where id = ?',
	deleteClaimsOfLease: 'delete from claimed where id between ? and ? and lease = ?',
	setStarted: 'update claimed set started_at = ? where id = ?',
	askToStop: 'update claimed set stop = ? where id = ? and (stop is null or stop < 0)',
	askToHold: 'update claimed set stop = ? where id = ? and stop is null',
	endHold: `update claimed set stop = null where id = ? and stop = ${Stop.hold}`,
	stopOf: 'select stop from claimed where id = ?',
	claimsToStop: `select id, lease, execution from claimed
		where owner = (select id from owner where name = ?) and stop is not null and stop not in (${Stop.discard}, ${Stop.hold}) order by id`,
	insertClaimedRun: 'insert or ignore into claimed_run (first, last, lease, owner, task, batch) values (?, ?, ?, ?, ?, ?)',
	claimedRunsOfLease: `select first, last, lease, owner, task, batch
		from claimed_run where lease = ${INTEGER} and first <= ${INTEGER} and last >= ${INTEGER} order by first`,
	claimedRunOf: `select first, last, lease, owner, task, batch from claimed_run where ${hasJob('claimed_run')}`,
	claimedRunsOfOwner: `select first from claimed_run where owner = ${INTEGER} and lease > ${INTEGER} order by first`,
	deleteClaimedRun: 'delete from claimed_run where first = ?',
	claimRange: `insert into claimed (id, lease, execution, owner, task, batch) select id, ?, 1, ?, task, batch from job where id between ? and ?`,

	insertOutcomeRun: `insert into outcome_run
		(first, last, batch, ended_at, times, results, workers, earliest_start, latest_start, shortest_ms, longest_ms)
		values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
	outcomeRunOf: `select first, last, batch, ended_at, times, results, workers from outcome_run where ${hasJob('outcome_run')}`,
	outcomeRunBounds: `select first, last from outcome_run where ${hasJob('outcome_run')}`,
	outcomeRunFirst: `select first from outcome_run where ${hasJob('outcome_run')}`,
	deleteOutcomeRun: 'delete from outcome_run where first = ?',
	insertOutcome:
		'insert into outcome (id, status, execution, ended_at, worker, started_at, duration_ms, cpu_ms, memory_bytes, value, blob) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
	isBlobNamed: 'select 1 from outcome where blob = ? limit 1',
	blobOf: 'select blob from outcome where id = ?',
	deleteOutcome: 'delete from outcome where id = ?',
	endedJobs: `${ENDED_JOBS} where o.id > ${AFTER} union all ${ENDED_RUNS} where ${runIsAfter('outcome_run')} order by 1`,
	outdatedJobs: `${ENDED_JOBS} where o.status = ${StoredState.completed} and ${isOutdated('o.ended_at', 'o.id', 'completed')}
		union all ${ENDED_JOBS} where o.status = ${StoredState.dead} and ${isOutdated('o.ended_at', 'o.id', 'dead')}
		union all ${ENDED_JOBS} where o.status = ${StoredState.cancelled} and ${isOutdated('o.ended_at', 'o.id', 'cancelled')}
		union all ${ENDED_RUNS} where ${isOutdated('r.ended_at', 'r.first', 'completed', MAX_RUN_JOBS)} and (r.ended_at > cast(@value as integer) or r.last > ${ID})
		order by 3, 1`,

	failureState: 'select attempts, suspicion, crashes, delays from failure_state where id = ?',
	setFailureState: `insert or replace into failure_state
		(id, attempts, crashes, suspicion, delays, execution, ended_at, worker, started_at, duration_ms, cpu_ms, memory_bytes, failure)
		values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
	clearFailure:
		'update failure_state set suspicion = 0, failure = null, started_at = null, duration_ms = null, cpu_ms = null, memory_bytes = null where id = ?',
	clearTiming: 'update failure_state set started_at = null, duration_ms = null, cpu_ms = null, memory_bytes = null where id = ?',
	suspectClaims: `insert into failure_state (id, attempts, suspicion)
		select id, 0, 1 from claimed where owner = ${INTEGER} and lease = ${INTEGER} and id between ${INTEGER} and ${INTEGER} order by id
		on conflict (id) do update set suspicion = min(suspicion + 1, ${INTEGER})`,
	suspect: `insert into failure_state (id, attempts, suspicion) values (?, 0, ?)
		on conflict (id) do update set suspicion = excluded.suspicion`,
	suspicionsInLane: `select r.rank, r.id, coalesce(x.suspicion, 0) from ready r left join failure_state x on x.id = r.id
		where r.task = ${INTEGER} order by r.rank, r.id limit ${INTEGER}`,
	failureOf: 'select failure from failure_state where id = ?',
	deleteFailureState: 'delete from failure_state where id = ?',

	keepFailure: `insert or ignore into execution (id, ${EXECUTION})
		select id, ${EXECUTION_OF_FAILURE} from failure_state where id = ${INTEGER} and failure is not null and execution is not null`,
	keepOutcome: `insert or ignore into execution (id, ${EXECUTION}) select id, ${EXECUTION_OF_OUTCOME} from outcome where id = ${INTEGER} and ${HAS_RUN}`,
	trimExecutions: `delete from execution where id = ${ID} and (select count(*) from execution where id = ${ID}) > ${MAX_EXECUTIONS}
		and execution = (select execution from execution where id = ${ID} order by execution limit 1 offset ${MAX_EXECUTIONS / 2})`,
	executionsOfJob: `select 0, ${EXECUTION} from execution where id = ${ID}
		union all select 1, ${EXECUTION_OF_FAILURE} from failure_state where id = ${ID} and failure is not null and execution is not null
		union all select 2, ${EXECUTION_OF_OUTCOME} from outcome where id = ${ID} and ${HAS_RUN}
		order by 2, 1`,
	deleteExecutions: 'delete from execution where id = ?',

	setProgress: 'insert or replace into progress (id, done, total, at) values (?, ?, ?, ?)',
	deleteProgress: 'delete from progress where id = ?',
	setCheckpoint: 'insert or replace into checkpoint (id, execution, at, state) values (?, ?, ?, ?)',
	anyCheckpoint: 'select 1 from checkpoint limit 1',
	checkpointState: 'select state from checkpoint where id = ?',
	setFingerprint: 'insert or replace into fingerprint values (?, ?)',
	/** Puts the code by which jobs ran in front of their fingerprints. */
	setCode: `update fingerprint set value = @code || substr(value, instr(value, ' '))
		where id between cast(@first as integer) and cast(@last as integer) and substr(value, 1, instr(value, ' ') - 1) <> @code`,
	anyFingerprint: 'select 1 from fingerprint limit 1',
	fingerprintOf: `select value from fingerprint where id = ${INTEGER}`,
	deleteFingerprints: `delete from fingerprint where id between ${INTEGER} and ${INTEGER}`,
	deleteCheckpoint: 'delete from checkpoint where id = ?',
	deleteCheckpointsOfCompleted: `delete from checkpoint
		where id between ? and ? and (
			exists (select 1 from outcome where outcome.id = checkpoint.id and outcome.status = 6)
			or checkpoint.id <= (select last from outcome_run where first <= checkpoint.id order by first desc limit 1))`,
	insertLog: 'insert into log (id, execution, at, level, text) values (?, ?, ?, ?, ?)',
	trimLog: `delete from log where id = ${INTEGER} and seq <= (select seq from log where id = ${INTEGER} order by seq desc limit 1 offset ${INTEGER})`,
	logOfJob: `select execution, at, level, text from log where id = ${INTEGER} order by seq`,
	deleteLog: 'delete from log where id = ?',
	deleteKey: 'delete from key where space = ? and key = ? and id = ?',
	deleteJob: 'delete from job where id = ?',
	deleteKeysOfJobs: `delete from key
		where (space, key, id) in (select coalesce(batch, -${nameIn('task')}), key, id from job where id between ? and ? and key is not null)`,
	batchKeysOfJobs: 'select batch, key from job where id between ? and ? and batch is not null and key is not null order by id',
	deleteJobs: 'delete from job where id between ? and ?',

	ownerNamed: 'select id from owner where name = ?',
	heartbeatOf: 'select heartbeat_at from owner where id = ?',
	insertOwner: 'insert into owner (name, heartbeat_at) values (?, ?) returning id',
	heartbeat: 'update owner set heartbeat_at = ? where name = ? and id = coalesce(?, id)',
	owners: 'select id, name, heartbeat_at from owner order by id',
	claimsByOwner: `select owner, sum(jobs) from (
		select owner, count(*) as jobs from claimed group by owner union all select owner, sum(last - first + 1) from claimed_run group by owner
	) group by owner`,
	blobNames: 'select distinct blob from outcome where blob is not null order by blob',
	deleteOwner: 'delete from owner where id = ?',
} as const;

export type Statements = Readonly<Record<keyof typeof SQL, Database.Statement<unknown[], unknown>>>;

/** Statements whose rows are read as objects, since they have many columns. A row of one column is read as its value, other rows as tuples. */
const BY_NAME: ReadonlySet<string> = new Set<keyof typeof SQL>([
	...([
		'jobState',
		'taskCounts',
		'batchTally',
		'packedState',
		'jobView',
		'packedView',
		'jobColumns',
		'numbersOf',
		'payloadOf',
		'dueJobs',
		'jobRunOf',
		'endedJobs',
		'outdatedJobs',
		'failureState',
		'blockedRunOf',
		'blockedRunsIn',
	] as const),
	...(['batch', 'batches', 'batchById', 'schedule', 'schedules', 'schedulesThatWait'] as const),
]);

export function prepare(db: Database.Database): Statements {
	const prepared = Object.entries(SQL).map(([name, sql]) => {
		const statement = db.prepare(sql);
		// A program that opened the connection itself may have another default for integers.
		if (statement.reader) statement.safeIntegers(false);
		if (statement.reader) statement.columns().length === 1 && !BY_NAME.has(name) ? statement.pluck() : statement.raw(!BY_NAME.has(name));
		return [name, statement];
	});
	return Object.fromEntries(prepared) as Statements;
}
