import {MAX_GROUP_JOBS} from '../../job/group.ts';
import {STATUSES} from '../../job/job.ts';
import {STATUS_OF, StoredState} from '../stored-state.ts';
import {nameIn, scopeIn} from '../task-number.ts';
import {LAST_MS} from './arrived.sql.ts';

const {ready, delayed, failed, running, blocked} = StoredState;

/** The status of each state, as SQL. */
const statusOf = (state: string) =>
	`case ${state} ${Object.entries(STATUS_OF)
		.map(([number, status]) => `when ${number} then '${status}'`)
		.join(' ')} end`;

const columnOf = (status: string) => `coalesce(sum(jobs) filter (where ${statusOf('state')} = '${status}'), 0)::bigint as ${status}`;

const COUNTED = STATUSES.map(columnOf).join(', ');

/** Later times than PostgreSQL knows are shown as the end of the year 9999. */
const time = (ms: string) => `to_timestamp((${ms} - greatest(${ms} - ${LAST_MS}, 0)) / 1000.0)`;

/** A column of the job's immutable row. */
const ofJob = (column: string) => `(select ${column} from job j where j.first <= g.id and j.first > g.id - ${MAX_GROUP_JOBS} order by j.first desc limit 1)`;

const KEY = `coalesce((j.first_number + g.id - j.first)::text,
			case when j.first = j.last then j.keys else nullif(split_part(j.keys, E'\\n', (g.id - j.first + 1)::integer), '') end)`;

/** Changes of counts that were not added up yet. */
const NEW_CHANGES = '(select * from tally_change where seq > (select seq from added_up)) c';

/** What a person asks, for psql and programs in other languages. SQLite has views of the same names and columns. */
export const VIEWS = `
	create view counts as
		select n.task, coalesce((select paused from task where name = n.task), false) as paused, ${COUNTED}
		from (
			select t.name as task, c.state, c.jobs
			from task t left join (select task, state, jobs from tally union all select task, state, jobs from ${NEW_CHANGES}) c on ${nameIn('c.task')} = t.id
			union all select task, ${ready}, 1 from arrived
		) n group by n.task;

	create view batches as
		select b.name as batch, t.name as task, b.total as items, ${COUNTED},
			${time('b.created_at')} as created_at, ${time('b.completed_at')} as completed_at, ${time('b.closed_at')} as closed_at
		from batch b left join task t on t.id = b.task left join (
			select batch, state, jobs from batch_tally union all select batch, state, jobs from ${NEW_CHANGES}
		) c on c.batch = b.id group by b.id, b.name, t.name, b.total, b.created_at, b.completed_at, b.closed_at;

	-- A row of a state has many jobs. What is not selected is not read.
	create view jobs as
		select g.id, t.name as task, x.name as scope, s.status, -s.rank as priority, ${ofJob(KEY)} as key, b.name as batch,
			${time(ofJob('j.created_at'))} as created_at, ${time('s.run_at')} as run_at, ${time('s.ended_at')} as ended_at, s.executions,
			coalesce((select f.attempts from failure_state f where f.id = g.id), 0) as attempts,
			(select failure_json(f.failure)->>'message' from failure_state f where f.id = g.id) as error
		from (
			select first, last, abs(lane) as task, rank, batch, executions, null::bigint as run_at, null::bigint as ended_at, '${STATUS_OF[ready]}' as status from ready
			union all select first, last, task, rank, batch, executions, case when run_at > 0 then run_at end, null, case when failed then '${STATUS_OF[failed]}' else '${STATUS_OF[delayed]}' end from waiting
			union all select first, last, task, rank, batch, executions, run_at, null, '${STATUS_OF[blocked]}' from blocked
			union all select first, last, task, rank, batch, execution, null, null, '${STATUS_OF[running]}' from claimed
			union all select first, last, task, rank, batch, execution, null, ended_at, ${statusOf('status')} from outcome
		) s
		cross join lateral generate_series(s.first, s.last) g (id)
		join task t on t.id = ${nameIn('s.task')}
		left join scope x on x.id = ${scopeIn('s.task')}
		left join batch b on b.id = s.batch
		union all select id, task, scope, '${STATUS_OF[ready]}', priority, key, null, ${time('created_at')}, ${time('run_at')}, null, 0, 0, null from arrived;
`;
