import {existsSync} from 'node:fs';
import {join} from 'node:path';
import type {Database} from 'better-sqlite3';
import {MAX_EXECUTIONS, MAX_LOG_LINES} from '../../lib/job/claim.ts';
import {StoredState} from '../../lib/store/stored-state.ts';
import {nameIn} from '../../lib/store/task-number.ts';
import {makeEveryJob} from '../fixtures/stored.ts';

const PLACES = `(
	select id, abs(task) as task, rank, batch, executions, iif(task < 0, ${StoredState.quarantined}, ${StoredState.ready}) as place from ready
	union all select w.id, j.task, -j.priority, j.batch, w.executions,
		case when w.run_at < 0 then ${StoredState.held} when w.failed = 0 then ${StoredState.delayed} when w.run_at is null then ${StoredState.parked} else ${StoredState.failed} end
		from waiting w left join every_job j on j.id = w.id
	union all select c.id, c.task, -j.priority, c.batch, c.execution, ${StoredState.running} from claimed c left join every_job j on j.id = c.id
	union all select o.id, j.task, -j.priority, j.batch, o.execution, o.status from outcome o left join every_job j on j.id = o.id
	union all select j.id, r.task, r.rank, r.batch, 0, ${StoredState.ready} from ready_run r join every_job j on j.id between r.first and r.last
	union all select j.id, r.task, r.rank, r.batch, r.executions, ${StoredState.blocked} from blocked_run r join every_job j on j.id between r.first and r.last
	union all select j.id, r.task, -j.priority, r.batch, 1, ${StoredState.running} from claimed_run r join every_job j on j.id between r.first and r.last
	union all select j.id, j.task, -j.priority, r.batch, 1, ${StoredState.completed} from outcome_run r join every_job j on j.id between r.first and r.last)`;

const RUNS = `(
	select 'ready' as place, first, last, null as times, null as results from ready_run
	union all select 'claimed', first, last, null, null from claimed_run
	union all select 'outcome', first, last, times, results from outcome_run)`;

/** Each with what finds the rows that break it. */
export const LAWS: Readonly<Record<string, string>> = {
	'the file is sound': "select integrity_check from pragma_integrity_check where integrity_check <> 'ok'",
	'I1: each job is in exactly one place': `
		select j.id, count(p.id) as places from every_job j left join ${PLACES} p on p.id = j.id group by j.id having count(p.id) <> 1`,
	'I1: what lies in a place is a job, of this task, batch and priority': `
		select p.* from ${PLACES} p left join every_job j on j.id = p.id
		where j.id is null or j.task <> p.task or j.batch is not p.batch or -j.priority <> p.rank`,
	'I2: the tally is what a recount gives': `
		select * from (select task, state, jobs from tally where jobs <> 0 and task > 0 union all select task, place, -count(*) from ${PLACES} group by task, place)
		group by task, state having sum(jobs) <> 0`,
	'I2: the tally of each batch is what a recount gives': `
		select * from (
			select batch, task, state, jobs from batch_tally where jobs <> 0
			union all select batch, task, place, -count(*) from ${PLACES} where batch is not null group by batch, task, place)
		group by batch, task, state having sum(jobs) <> 0`,
	'I3: a blocked job waits for as many parents as have not ended as they must': `
		select b.id, b.parents, count(p.id) + count(f.id) as unmet
			from (select j.id, r.parents from blocked_run r join every_job j on j.id between r.first and r.last) b
			left join edge e on b.id between e.child_first and e.child_last
			left join batch f on e.parent_first = -f.id and f.shape ->> '$.jobs' is null
			left join ${PLACES} p on p.id between iif(e.is_each, e.parent_first + b.id - e.child_first, e.parent_first)
				and iif(e.is_each, e.parent_first + b.id - e.child_first, e.parent_last)
				and p.place <> ${StoredState.completed} and not (e.runs_on_dead and p.place in (${StoredState.dead}, ${StoredState.cancelled}))
		where not exists (select 1 from parent_change)
		group by b.id having unmet <> b.parents`,
	'I3: each edge has a child that exists': `
		select e.id from edge e where not exists (select 1 from every_job j where j.id between e.child_first and e.child_last)`,
	'the moment of a schedule is that of a job that exists': 'select s.id from scheduled s left join every_job j on j.id = s.id where j.id is null',
	'I4: a key names the job that has it, and each job with a key is named, unless it has ended': `
		select * from every_key k
			full join (select id, key, coalesce(batch, -${nameIn('task')}) as space from every_job where key is not null) j
			on j.id = k.id and j.key = k.key and j.space = k.space
		where j.id is null or (k.id is null and not exists (select 1 from ${PLACES} p where p.id = j.id and p.place between ${StoredState.completed} and ${StoredState.cancelled}))`,
	'I4: no two jobs have the same key': 'select space, key, count(*) from every_key group by space, key having count(*) > 1',
	'I10: what is told of a job is told of one that is there': `
		select * from (
			select 'failure_state' as source, id from failure_state union all select 'progress', id from progress
			union all select 'checkpoint', id from checkpoint union all select 'log', id from log union all select 'execution', id from execution
			union all select 'fingerprint', id from fingerprint)
		where id not in (select id from every_job)`,
	'I11: a run has all of its jobs, and no other has one of them': `
		select r.place, r.first, r.last from ${RUNS} r where r.last - r.first + 1 <> (select count(*) from every_job where id between r.first and r.last)
			or exists (select 1 from ${RUNS} o where (o.place, o.first) <> (r.place, r.first) and o.first <= r.last and o.last >= r.first)`,
	'I11: jobs that share a row have no rows of their own': `
		select id from (
			select id from job union all select id from ready union all select id from waiting union all select id from claimed union all select id from outcome
			union all select id from failure_state union all select id from progress union all select id from checkpoint union all select id from log
			union all select id from execution)
		where exists (select 1 from job_run where id between first and last)`,
	'I11: a run knows of each of its jobs what its payload is': `
		select first, last from job_run where length(payloads) - length(replace(payloads, char(10), '')) <> last - first`,
	'I11: a run knows of each of its jobs how it ended': `
		select first, last from outcome_run where hex(substr(times, 33, 4)) <> printf('%02X%02X0000', (last - first + 1) & 255, (last - first + 1) >> 8)
			or length(times) <> 40 + ${[37, 38, 39, 40].map(at => `(substr(hex(substr(times, ${at}, 1)), 2) * (last - first + 1) + 7) / 8 * 8`).join(' + ')}
			or length(results) - length(replace(results, char(10), '')) <> last - first`,
	'I5: a running job has been claimed by an owner that is there':
		'select owner from claimed where owner not in (select id from owner) union all select owner from claimed_run where owner not in (select id from owner)',
	'I6: ids and leases are at most what the counters say': `
		select * from tally where task = 0 and jobs < iif(state = 0, (select max(id) from every_job), max(coalesce((select max(lease) from claimed), 0), coalesce((select max(lease) from claimed_run), 0)))`,
	'I7: a job was executed before it ended by itself, and runs at least for the first time': `
		select * from ${PLACES} where place in (${StoredState.running}, ${StoredState.completed}, ${StoredState.dead}, ${StoredState.failed}, ${StoredState.parked}) and executions < 1`,
	'I7: attempts are at most those allowed and at most the executions': `
		select t.id, t.attempts, p.spec, e.executions from failure_state t join every_job j on j.id = t.id join policy p on p.id = j.policy join ${PLACES} e on e.id = t.id
		where t.attempts > json_extract(p.spec, '$.maxAttempts') or t.attempts > e.executions`,
	'I8: a dead job says why': `
		select o.id from outcome o left join failure_state t on t.id = o.id where o.status = ${StoredState.dead} and (t.failure is null or t.attempts < 1)`,
	'I8: only a completed job has a result': `select id from outcome where status <> ${StoredState.completed} and (value is not null or blob is not null)`,
	'I8: a completed job has no checkpoint and no failure, and is no suspect': `
		select o.id from ${PLACES} o left join checkpoint c on c.id = o.id left join failure_state t on t.id = o.id
		where o.place = ${StoredState.completed} and (c.id is not null or t.failure is not null or t.suspicion > 0)`,
	'the ready jobs that are suspects, and only they, are in the lane of suspects': `
		select r.* from ready r left join failure_state t on t.id = r.id where (r.task < 0) <> (coalesce(t.suspicion, 0) > 0)`,
	'I9: a batch is completed if all its input has ended, and not while a job of it has not': `
		select * from (
			select b.*, exists (select 1 from ${PLACES} p where p.batch = b.id and p.place < ${StoredState.completed}) as is_unended from batch b)
		where iif(is_unended, completed_at is not null, total is not null and completed_at is null)`,
	'no job expires that has failed, or ended by itself': `
		select e.* from expiry e join ${PLACES} p on p.id = e.id
		where p.place in (${StoredState.failed}, ${StoredState.parked}, ${StoredState.completed}, ${StoredState.dead})`,
	'a job keeps a bounded log': `select id, count(*) from log group by id having count(*) > ${MAX_LOG_LINES}`,
	'a job keeps a bounded history': `select id, count(*) from execution group by id having count(*) > ${MAX_EXECUTIONS}`,
};

/** What is wrong with a Faena database, at whatever moment: a sentence for each of the laws that it breaks, with the first rows that do. */
export function brokenLaws(db: Database): string[] {
	makeEveryJob(db);
	const broken = Object.entries(LAWS).flatMap(([law, query]) => {
		const rows = db.prepare(`${query} limit 3`).all();
		return rows.length === 0 ? [] : [`Broken: ${law}: ${JSON.stringify(rows)}`];
	});
	const blobs = db.prepare('select distinct blob from outcome where blob is not null').pluck().all() as string[];
	const missing = blobs.filter(name => !existsSync(join(`${db.name}-blobs`, name)));
	return missing.length === 0 ? broken : [...broken, `Broken: a result's file is there: ${missing.slice(0, 3)}`];
}
