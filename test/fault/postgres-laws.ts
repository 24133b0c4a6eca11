import type pg from 'pg';
import {StoredState} from '../../lib/store/stored-state.ts';

const {ready, quarantined, delayed, failed, parked, running, blocked, completed, dead, cancelled} = StoredState;

/** All jobs with their state, as the tables of the states have them. */
const PLACES = `(
	select id, abs(s.lane) as task, s.rank, s.batch, case when s.lane < 0 then ${quarantined} else ${ready} end as state
		from ready s cross join lateral generate_series(s.first, s.last) id
	union all select id, s.task, s.rank, s.batch, case when not s.failed then ${delayed} when s.run_at is null then ${parked} else ${failed} end
		from waiting s cross join lateral generate_series(s.first, s.last) id
	union all select id, s.task, s.rank, s.batch, ${blocked} from blocked s cross join lateral generate_series(s.first, s.last) id
	union all select id, s.task, s.rank, s.batch, ${running} from claimed s cross join lateral generate_series(s.first, s.last) id
	union all select id, s.task, s.rank, s.batch, s.status from outcome s cross join lateral generate_series(s.first, s.last) id
)`;

const JOBS = '(select id, j.task, -j.priority as rank, j.batch from job j cross join lateral generate_series(j.first, j.last) id)';

const NEW = '(select * from tally_change where seq > (select seq from added_up))';

/** The row of a job's immutable columns, found by index. */
const rowOf = (id: string) => `(select * from job where first <= ${id} order by first desc limit 1)`;

/** Each with what finds the rows that break it, in the schema of a queue. */
export const LAWS: Readonly<Record<string, string>> = {
	'I1: each job is in exactly one state, with its task, batch and priority': `
		select coalesce(j.id, p.id) as id, count(p.id) from ${JOBS} j full join ${PLACES} p on p.id = j.id and p.task = j.task and p.rank = j.rank and p.batch is not distinct from j.batch
		group by 1 having count(p.id) <> 1 or count(j.id) <> 1`,
	'I4: a number is the key of one job of its batch': `
		select batch, first from key_run r where exists (select from key_run o where o.batch = r.batch and o.first <> r.first and o.first between r.first and r.last)`,
	// An item that runs again may wait for a job that came after it.
	'I3: a job that waits has an edge, and no edge leads from a job to itself': `
		select b.first from blocked b where not exists (select from edge e where e.child_first <= b.first and e.child_last >= b.last)
		union all select id from edge where parent_first <= child_last and parent_last >= child_first and (not is_each or parent_first = child_first)`,
	'I2: the counts are what a recount gives': `
		select task, state, sum(jobs) from (
			select task, state, jobs from tally union all select task, state, jobs from ${NEW} c union all select task, state, -count(*) from ${PLACES} p group by 1, 2
		) x group by 1, 2 having sum(jobs) <> 0`,
	'I2: the counts of each batch are what a recount gives': `
		select batch, task, state, sum(jobs) from (
			select batch, task, state, jobs from batch_tally union all select batch, task, state, jobs from ${NEW} c where batch is not null
			union all select batch, task, state, -count(*) from ${PLACES} p where batch is not null group by 1, 2, 3
		) x group by 1, 2, 3 having sum(jobs) <> 0`,
	'I4: a key belongs to one job, which has it': `
		select k.* from key k left join lateral ${rowOf('k.id')} j on true where (j.last >= k.id and k.key = any (string_to_array(j.keys, E'\\n'))) is not true`,
	'I5: an owner that claims is there': 'select c.* from claimed c where not exists (select from owner o where o.id = c.owner)',
	'I10: what few jobs have belongs to jobs that are there': [
		'failure_state',
		'execution',
		'progress',
		'checkpoint',
		'log',
		'scheduled',
		'expiry',
		'fingerprint',
	]
		.map(table => `select '${table}' as what, x.id from ${table} x left join lateral ${rowOf('x.id')} j on true where (j.last >= x.id) is not true`)
		.join(' union all '),
	'I8: a completed job has no checkpoint, and does not expire': `
		select x.id from (select id from checkpoint union all select id from expiry) x join lateral (
			select * from outcome where first <= x.id order by first desc limit 1
		) o on o.last >= x.id and o.status = ${completed}`,
	'I9: a batch whose input has ended, and whose jobs have, is completed': `
		select b.name from batch b where b.total is not null and b.completed_at is null
		and not exists (select from ${PLACES} p where p.batch = b.id and p.state not in (${[completed, dead, cancelled].join()}))`,
};

/** The laws that the queue breaks, each with up to three of the rows. */
export async function brokenLaws(client: Pick<pg.Client, 'query'>, schema = 'faena'): Promise<string[]> {
	await client.query(`set search_path to "${schema}"`);
	const broken: string[] = [];
	for (const [law, query] of Object.entries(LAWS)) {
		const {rows} = await client.query(`${query} limit 3`);
		if (rows.length > 0) broken.push(`${law}: ${JSON.stringify(rows)}`);
	}
	return broken;
}
