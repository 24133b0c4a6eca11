import {StoredState} from '../stored-state.ts';
import {nameIn} from '../task-number.ts';

/** Moves of the jobs of a filter, a page at a time. */
export const MOVE = `
	-- A page of the filter's jobs in these states. Next is the last job that was looked at; null at the end.
	create function find_ids(filter jsonb, states integer[], after bigint, up_to bigint, most integer, out ids bigint[], out next bigint)
		language plpgsql stable as $$
	declare
		its_task bigint := (select id from task where name = filter->>'task');
		its_batch bigint := (select b.id from batch b where name = filter->>'batch');
		candidates bigint[];
		r range;
		id bigint;
		p place;
		j job;
		looked integer := 0;
		is_timed boolean := filter ? 'since' or filter ? 'until';
	begin
		ids := '{}';
		if filter ? 'task' and its_task is null or filter ? 'batch' and its_batch is null then return; end if;
		if filter ? 'key' then
			candidates := ids_by_key(filter->>'key', its_task, its_batch);
			if filter ? 'ids' then candidates := array(select x from unnest(candidates) x where to_jsonb(x) <@ (filter->'ids')); end if;
		elsif filter ? 'ids' then
			candidates := array(select jsonb_array_elements_text(filter->'ids')::bigint);
		end if;
		if candidates is not null then
			for id in select distinct x from unnest(candidates) x where x > after and x <= up_to order by x loop
				if cardinality(ids) = most then
					next := ids[most];
					return;
				end if;
				p := place_of(id);
				if p.state is null or p.state <> all (states) or ${nameIn('p.task')} <> its_task or its_batch is not null and p.batch is distinct from its_batch then continue; end if;
				if is_timed then
					select * into j from job_row(id);
					if j.created_at < (filter->>'since')::float8 or j.created_at >= (filter->>'until')::float8 then continue; end if;
				end if;
				ids := ids || id;
			end loop;
			return;
		end if;
		for r in select * from find_ranges(states, its_task, its_batch, after, up_to, case when is_timed then 5001 else most + 1 end) loop
			for id in select generate_series(greatest(r.first, after + 1), least(r.last, up_to)) loop
				if cardinality(ids) = most then
					next := ids[most];
					return;
				end if;
				if is_timed then
					-- A page looks at a limited number of jobs.
					looked := looked + 1;
					if looked > 5000 then
						next := id - 1;
						return;
					end if;
					if j.first is null or id > j.last then select * into j from job_row(id); end if;
					if j.created_at < (filter->>'since')::float8 or j.created_at >= (filter->>'until')::float8 then continue; end if;
				end if;
				ids := ids || id;
			end loop;
		end loop;
	end $$;

	-- The jobs that have the key in the batch; or, without one, in the task and all its batches.
	create function ids_by_key(its_key text, its_task bigint, its_batch bigint) returns bigint[] language sql stable as $$
		select coalesce(array_agg(id), '{}') from (
			select holder_of(its_task, its_batch, its_key) as id where its_batch is not null
			union all select holder_of(its_task, null, its_key) where its_batch is null
			union all select holder_of(its_task, b.id, its_key) from batch b where its_batch is null
		) held where id is not null
	$$;

	create function move(call jsonb) returns jsonb language plpgsql as $$
	declare
		target text := call->>'to';
		states integer[] := array(select jsonb_array_elements_text(call->'states')::integer);
		up_to bigint;
		found_ids bigint[];
		found_next bigint;
		moved bigint[] := '{}';
		asked bigint[] := '{}';
		id bigint;
		at integer := 1;
		-- The number of neighbours that are moved together: they share the row of their state.
		number integer;
		p place;
		c claimed;
		request bigint;
		done jsonb;
		has_no_edges boolean;
	begin
		perform begin_call(call, true);
		has_no_edges := not exists (select from edge) and not exists (select from parent_change);
		done := fold();
		up_to := coalesce((call->>'upTo')::bigint, (select last from job order by first desc limit 1), 0);
		select f.ids, f.next into found_ids, found_next from find_ids(call->'filter', states, (call->>'after')::bigint, up_to, (call->>'limit')::integer) f;
		while at <= cardinality(found_ids) loop
			id := found_ids[at];
			p := place_of(id);
			number := 1;
			if p.state <> ${StoredState.running} and (target <> 'pending' or has_no_edges and can_retry_together(p)) then
				while found_ids[at + number] = id + number and id + number <= p.last loop number := number + 1; end loop;
			end if;
			at := at + number;
			if p.state is null or p.state <> all (states) then continue; end if;
			-- A flow is not enqueued again, so that its input stays at its end.
			if target = 'discarded' then update batch set total = null where batch.id = p.batch and not coalesce(shape ? 'structure', false); end if;
			if target = 'pending' then
				-- Before parents are counted, their changes have been passed on.
				if number > 1 then
					perform retry_range(p, id, id + number - 1);
					moved := moved || found_ids[at - number : at - 1];
				elsif retry_job(id, states) then
					moved := moved || id;
				end if;
			elsif p.state = ${StoredState.running} then
				request := case when target = 'cancelled' then now_ms() when (call->>'stop')::boolean then -2 else -1 end;
				select * into c from claimed where first = p.first;
				perform take_claimed(c, id, id);
				insert into claimed values (id, id, c.task, c.rank, c.batch, c.execution, c.lease, c.owner,
					case when c.stop is null or c.stop < 0 then request else c.stop end, c.started_at);
				asked := asked || id;
			elsif target = 'cancelled' then
				perform cancel_jobs(p, id, id + number - 1, p.executions);
				moved := moved || found_ids[at - number : at - 1];
			else
				perform delete_range(p, id, id + number - 1);
				moved := moved || found_ids[at - number : at - 1];
			end if;
		end loop;
		return jsonb_build_object('ids', to_jsonb(moved), 'asked', to_jsonb(asked), 'next', found_next, 'upTo', up_to) || end_call(done);
	end $$;
`;
