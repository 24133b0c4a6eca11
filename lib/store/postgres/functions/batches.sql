-- Batches. One completes when the changes of its counts are added up: counts.sql.

create function counts_of(its_batch bigint) returns json language sql stable as $$
	select format('{"blocked":%s,"pending":%s,"running":%s,"failed":%s,"completed":%s,"dead":%s,"cancelled":%s}',
		coalesce(sum(jobs) filter (where state in (@BLOCKED@)), 0), coalesce(sum(jobs) filter (where state in (@READY@, @QUARANTINED@, @DELAYED@, @HELD@)), 0), coalesce(sum(jobs) filter (where state in (@RUNNING@)), 0),
		coalesce(sum(jobs) filter (where state in (@FAILED@, @PARKED@)), 0), coalesce(sum(jobs) filter (where state in (@COMPLETED@)), 0), coalesce(sum(jobs) filter (where state in (@DEAD@)), 0), coalesce(sum(jobs) filter (where state in (@CANCELLED@)), 0)
	)::json from batch_tally where batch = its_batch
$$;

-- Updates the times and marks of a batch whose counts have changed. Returns it if it completes. Was_unended: since the last time, a call has left more jobs to do than it found.
create function update_batch(its_id bigint, newly_ended bigint, was_unended boolean) returns jsonb language plpgsql as $$
declare
	b batch;
	c json := counts_of(its_id);
	unended bigint;
	ended bigint;
	completes boolean;
begin
	select * into b from batch where id = its_id;
	if not found then return null; end if;
	unended := (c->>'blocked')::bigint + (c->>'pending')::bigint - (select coalesce(sum(jobs) filter (where state in (@HELD@)), 0) from batch_tally where batch = its_id)::bigint + (c->>'running')::bigint + (c->>'failed')::bigint;
	ended := (c->>'completed')::bigint + (c->>'dead')::bigint + (c->>'cancelled')::bigint;
	-- Jobs of a batch that had completed were added, or were tried again.
	if unended > 0 or was_unended then b.completed_at := null; end if;
	completes := unended = 0 and b.total is not null and b.completed_at is null;
	if (c->>'running')::bigint > 0 then b.started_at := coalesce(b.started_at, now_ms()); end if;
	if completes then b.completed_at := now_ms(); end if;
	if newly_ended > 0 and now_ms() - coalesce((b.marks->-1->>'at')::bigint, 0) >= @MARK_EVERY_MS@ then
		b.marks := case when jsonb_array_length(b.marks) > 0 then jsonb_build_array(b.marks->-1) else '[]' end
			|| jsonb_build_array(jsonb_build_object('at', now_ms(), 'ended', ended - newly_ended));
	end if;
	if completes and b.on_complete is not null then
		b.completion_job := enqueue_plain(b.on_complete || '{"count": 1, "packed": false, "values": 1}',
			array[format('{"batch":%s,"counts":%s}', to_json(b.name), c)], '{}')->'ids';
	end if;
	update batch set (started_at, completed_at, marks, completion_job) = (b.started_at, b.completed_at, b.marks, b.completion_job) where id = its_id;
	return case when completes then jsonb_build_object('batch', b.name, 'counts', c) end;
end $$;

-- Ends a call that is alone: passes its changes on, and returns what listeners hear of. Done: the batches that have completed so far.
create function end_call(done jsonb default '[]') returns jsonb language plpgsql as $$
begin
	perform reach_children(@MAX_CHANGED_ROWS@);
	perform update_schedules();
	return jsonb_build_object('lost', lost_children(), 'completed', done || fold());
end $$;

create function marks_with(ended bigint) returns jsonb language sql stable as $$
	select jsonb_build_array(jsonb_build_object('at', now_ms(), 'ended', ended))
$$;

-- Opens a batch. Returns its id; or of the batch that has the name, what prevents it.
create function open_batch(call jsonb) returns jsonb language plpgsql as $$
declare
	b batch;
	its_owner integer;
	done jsonb;
	its_end jsonb;
begin
	perform begin_call(call, true);
	its_end := scoped(nullif(call->'onComplete', 'null'));
	done := fold();
	select * into b from batch where name = call->>'name';
	if not found then
		insert into batch (name, task, created_at, on_complete, marks, shape, owner, opened_by)
			values (call->>'name', (call->>'task')::bigint, now_ms(), its_end, marks_with(0),
				nullif(call->'shape', 'null'), register_owner(call, call->>'owner'), (call->>'number')::bigint) returning * into b;
		return jsonb_build_object('id', b.id, 'owner', b.owner, 'completed', done);
	end if;
	if b.task is distinct from (call->>'task')::bigint or b.shape->'stages' is distinct from call->'shape'->'stages'
		-- A flow whose jobs were deleted is enqueued anew.
		or b.shape ? 'jobs' and exists (select from batch_tally t where t.batch = b.id and t.jobs > 0) then
		return jsonb_build_object('conflict', jsonb_build_object('task', (select name from task where id = b.task), 'stages', b.shape->'stages'), 'completed', done);
	end if;
	if exists (select from owner where id = b.owner and name = call->>'owner' and b.opened_by = (call->>'number')::bigint) then
		return jsonb_build_object('id', b.id, 'owner', b.owner, 'completed', done);
	end if;
	if exists (select from owner where id = b.owner) then return jsonb_build_object('inUse', true, 'completed', done); end if;
	its_owner := register_owner(call, call->>'owner');
	update batch set closed_at = null, total = null, on_complete = its_end, owner = its_owner,
		shape = nullif(coalesce(nullif(call->'shape', 'null'), '{}') || case when b.shape ? 'renewal' then jsonb_build_object('renewal', b.shape->'renewal') else '{}' end, '{}'),
		opened_by = (call->>'number')::bigint,
		marks = marks_with((select coalesce(sum(jobs) filter (where state in (@COMPLETED@, @DEAD@, @CANCELLED@)), 0) from batch_tally where batch = b.id)::bigint)
		where id = b.id;
	return jsonb_build_object('id', b.id, 'owner', its_owner, 'completed', done);
end $$;

-- Changes a batch. Done is false if another owner has it, or it does not exist. A call that was sent before its owner opened the batch comes too late.
create function change_batch(call jsonb) returns jsonb language plpgsql as $$
declare
	its_id bigint := call->>'batch';
	own integer;
	holder integer;
	is_late boolean;
	done jsonb := '[]';
	completed jsonb;
begin
	perform begin_call(call, true);
	done := fold();
	if not call ? 'total' then
		update batch set closed_at = coalesce(case when (call->>'closes')::boolean then now_ms() end, closed_at), owner = null,
			shape = case when (call->>'isDone')::boolean then shape - 'renewal' else shape end
			where id = its_id and owner = (select id from owner where name = call->>'owner') and opened_by < (call->>'number')::bigint;
		return jsonb_build_object('done', found, 'completed', done);
	end if;
	own := register_owner(call, call->>'owner');
	select o.id, b.opened_by > (call->>'number')::bigint into holder, is_late from batch b join owner o on o.id = b.owner where b.id = its_id;
	-- An owner that was taken for dead gets its batch back, if no other owner has the batch.
	if holder is not null and (holder <> own or is_late) or not exists (select from batch where id = its_id) then
		return jsonb_build_object('done', false, 'completed', done, 'owner', own);
	end if;
	-- Numbers of calls are those of the owner's store.
	update batch set owner = own, total = (call->>'total')::bigint, opened_by = case when owner = own then opened_by else (call->>'number')::bigint end
		where id = its_id;
	if call ? 'flowJobs' then perform close_flow(its_id, call->'flowJobs'); end if;
	completed := update_batch(its_id, 0, false);
	if completed is not null then done := done || jsonb_build_array(completed); end if;
	return jsonb_build_object('done', true, 'completed', done || fold(), 'owner', own);
end $$;

create function read_batches(call jsonb) returns setof jsonb language sql stable as $$
	select jsonb_build_object('id', b.id, 'name', b.name, 'task', t.name, 'createdAt', b.created_at,
		'total', b.total, 'startedAt', b.started_at, 'completedAt', b.completed_at, 'closedAt', b.closed_at, 'completionJobId', b.completion_job,
		'marks', b.marks, 'shape', b.shape,
		'counts', (select jsonb_agg(jsonb_build_object('task', c.name, 'state', y.state, 'jobs', y.jobs)) from (
			select name_of(task) as task, state, sum(jobs) as jobs from (
				select task, state, jobs from batch_tally where batch = b.id union all select task, state, jobs from new_changes() where batch = b.id
			) z group by 1, 2 having sum(jobs) <> 0
		) y join task c on c.id = y.task),
		'isOwned', exists (select from owner where id = b.owner))
		from batch b left join task t on t.id = b.task
		where case when call ? 'name' then b.name = call->>'name' else b.id > (call->>'after')::bigint end order by b.id limit (call->>'limit')::integer
$$;
