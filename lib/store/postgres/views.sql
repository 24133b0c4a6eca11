-- The views of the face, whose columns never change; new ones come last.

create or replace view counts as
	select n.task, coalesce((select paused from task where name = n.task), false) as paused,
		coalesce(sum(jobs) filter (where state = @BLOCKED@), 0)::bigint as blocked,
		coalesce(sum(jobs) filter (where state in (@READY@, @QUARANTINED@, @DELAYED@, @HELD@)), 0)::bigint as pending,
		coalesce(sum(jobs) filter (where state = @RUNNING@), 0)::bigint as running,
		coalesce(sum(jobs) filter (where state in (@FAILED@, @PARKED@)), 0)::bigint as failed,
		coalesce(sum(jobs) filter (where state = @COMPLETED@), 0)::bigint as completed,
		coalesce(sum(jobs) filter (where state = @DEAD@), 0)::bigint as dead,
		coalesce(sum(jobs) filter (where state = @CANCELLED@), 0)::bigint as cancelled
	from (
		select t.name as task, c.state, c.jobs
		from task t left join (
			select task, state, jobs from tally
			-- Changes that were not added up yet.
			union all select task, state, jobs from tally_change where seq > (select seq from added_up)
		) c on c.task & (@SCOPE_STRIDE@ - 1) = t.id
		union all select task, @READY@, 1 from arrived
	) n group by n.task;

create or replace view batches as
	select b.name as batch, t.name as task, b.total as items,
		coalesce(sum(jobs) filter (where state = @BLOCKED@), 0)::bigint as blocked,
		coalesce(sum(jobs) filter (where state in (@READY@, @QUARANTINED@, @DELAYED@, @HELD@)), 0)::bigint as pending,
		coalesce(sum(jobs) filter (where state = @RUNNING@), 0)::bigint as running,
		coalesce(sum(jobs) filter (where state in (@FAILED@, @PARKED@)), 0)::bigint as failed,
		coalesce(sum(jobs) filter (where state = @COMPLETED@), 0)::bigint as completed,
		coalesce(sum(jobs) filter (where state = @DEAD@), 0)::bigint as dead,
		coalesce(sum(jobs) filter (where state = @CANCELLED@), 0)::bigint as cancelled,
		time_of(b.created_at) as created_at, time_of(b.completed_at) as completed_at, time_of(b.closed_at) as closed_at
	from batch b left join task t on t.id = b.task left join (
		select batch, state, jobs from batch_tally
		union all select batch, state, jobs from tally_change where seq > (select seq from added_up)
	) c on c.batch = b.id group by b.id, b.name, t.name, b.total, b.created_at, b.completed_at, b.closed_at;

-- A row of a state has many jobs. What is not selected is not read.
create or replace view jobs as
	select g.id, t.name as task, x.name as scope, s.status, -s.rank as priority,
		(
			select coalesce((j.first_number + g.id - j.first)::text,
				case when j.first = j.last then j.keys else nullif(split_part(j.keys, E'\n', (g.id - j.first + 1)::integer), '') end)
			from job j where j.first <= g.id and j.first > g.id - @MAX_GROUP_JOBS@ order by j.first desc limit 1
		) as key,
		b.name as batch,
		(select time_of(j.created_at) from job j where j.first <= g.id and j.first > g.id - @MAX_GROUP_JOBS@ order by j.first desc limit 1) as created_at,
		time_of(s.run_at) as run_at, time_of(s.ended_at) as ended_at, s.executions,
		coalesce((select f.attempts from failure_state f where f.id = g.id), 0) as attempts,
		(select failure_json(f.failure)->>'message' from failure_state f where f.id = g.id) as error
	from (
		select first, last, abs(lane) as task, rank, batch, executions, null::bigint as run_at, null::bigint as ended_at, 'pending' as status from ready
		union all select first, last, task, rank, batch, executions, case when run_at > 0 then run_at end, null,
			case when failed then 'failed' else 'pending' end from waiting
		union all select first, last, task, rank, batch, executions, run_at, null, 'blocked' from blocked
		union all select first, last, task, rank, batch, execution, null, null, 'running' from claimed
		union all select first, last, task, rank, batch, execution, null, ended_at,
			case status when @COMPLETED@ then 'completed' when @DEAD@ then 'dead' when @CANCELLED@ then 'cancelled' end from outcome
	) s
	cross join lateral generate_series(s.first, s.last) g (id)
	join task t on t.id = s.task & (@SCOPE_STRIDE@ - 1)
	left join scope x on x.id = s.task / @SCOPE_STRIDE@
	left join batch b on b.id = s.batch
	union all select id, task, scope, 'pending', priority, key, null, time_of(created_at), time_of(run_at), null, 0, 0, null from arrived;
