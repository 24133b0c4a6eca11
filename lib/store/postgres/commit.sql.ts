import {MAX_LOG_LINES} from '../../job/claim.ts';
import {MAX_GROUP_JOBS} from '../../job/group.ts';
import {nameIn} from '../task-number.ts';
import {MAX_CHANGED_ROWS} from './batches.sql.ts';
import {SPECIAL_DETAILS} from './claim.sql.ts';
import {MAX_CHANGES} from './counts.sql.ts';

/** Less than any rank. */
const FIRST_RANK = -(2 ** 31 - 1);

/** What a dispatcher does in one transaction. */
export const COMMIT = `
	-- What became of the parents of jobs with consecutive ids: a row for each row of outcomes, and for other parents one each.
	create function results_for(its_first bigint, its_last bigint) returns setof answer language plpgsql as $$
	declare
		e edge;
		o outcome;
		p part;
		a answer;
		link jsonb;
	begin
		perform forget_used(its_first, its_last);
		for e in select * from edges_to(its_first, its_last) where parent_first > 0 loop
			link := jsonb_build_object('edge', e.id, 'start', e.child_first, 'end', e.child_last, 'isEach', e.is_each, 'first', e.parent_first);
			for p in select * from states_in(e.parent_first, e.parent_last) loop
				a := null;
				if p.state = 'open' then
					perform require_alone();
					perform keep_used(parent, e.child_first + shift, case when e.is_each then e.child_first + shift else e.child_last end, 'open')
						from generate_series(p.first, p.last) parent cross join lateral (select case when e.is_each then parent - e.parent_first else 0 end) x (shift);
				end if;
				if p.state in ('open', 'missing') then
					link := link || jsonb_build_object('status', p.state, 'failure', null);
				else
					select * into o from outcome_row(p.first);
					link := link || jsonb_build_object('status', status_name(o.status),
						'failure', (select f.failure from failure_state f where f.id = p.first and p.state = 'dead'));
					a.job_first := o.first;
					a.job_last := o.last;
					a.text_value := o.text_value;
					a.byte_value := o.byte_value;
				end if;
				a.info := jsonb_build_object('parents', link);
				a.first := p.first;
				a.last := p.last;
				return next a;
			end loop;
		end loop;
	end $$;

	create function lost_children() returns jsonb language plpgsql as $$
	declare
		ids jsonb;
	begin
		if not exists (select from lost_child) then return '[]'; end if;
		with gone as (delete from lost_child returning id) select jsonb_agg(id order by id) into ids from gone;
		return ids;
	end $$;

	-- The number of ready jobs of the lanes that could be claimed; a lower bound if there are very many rows.
	create function backlog(request jsonb) returns bigint language plpgsql stable as $$
	begin
		return (select coalesce(sum(least(coalesce(jobs, 0), case when room < 0 then 0 else room end)), 0)::bigint from (
			select l.task, sum(r.jobs) as jobs, max(l.concurrency) - (select coalesce(sum(c.last - c.first + 1), 0) from claimed c where ${nameIn('c.task')} = l.task) as room
			from lanes_of(request) l cross join lateral (
				select sum(last - first + 1) as jobs from (
					select first, last from ready where lane = l.lane and (rank, first) >= (coalesce(l.from_rank, ${FIRST_RANK}), coalesce(l.from_id, 0))
					order by rank, first limit 1000
				) heads
			) r group by l.task
		) by_task);
	end $$;

	-- Stores the start, progress, log lines and checkpoint that a running job reports. Stores nothing if its claim was lost.
	create function write_update(item jsonb, texts text[], bytes bytea[]) returns void language plpgsql as $$
	declare
		its_id bigint := item->>'id';
		c claimed;
	begin
		c := take_claim(its_id, item);
		if c.first is null then return; end if;
		if item ? 'startedAt' then
			perform take_claimed(c, its_id, its_id);
			insert into claimed values (its_id, its_id, c.task, c.rank, c.batch, c.execution, c.lease, c.owner, c.stop, (item->>'startedAt')::bigint);
			perform end_expiry(its_id, its_id);
		end if;
		if item ? 'progress' then
			insert into progress values (its_id, (item->'progress'->>'done')::float8, (item->'progress'->>'total')::float8, (item->'progress'->>'at')::bigint)
				on conflict (id) do update set (done, total, at) = (excluded.done, excluded.total, excluded.at);
		end if;
		if item ? 'values' then
			insert into checkpoint values (its_id, c.execution, (item->>'at')::bigint, texts[(item->>'values')::integer], bytes[(item->>'values')::integer])
				on conflict (id) do update set (execution, at, text_value, byte_value) = (excluded.execution, excluded.at, excluded.text_value, excluded.byte_value);
		end if;
		if item ? 'logs' then
			insert into log (id, execution, at, level, text) select its_id, c.execution, l.at, l.level, l.text
				from jsonb_array_elements(item->'logs') with ordinality e (line, i), jsonb_to_record(e.line) l (at bigint, level text, text text) order by e.i;
			delete from log where id = its_id and seq <= (select seq from log where id = its_id order by seq desc limit 1 offset ${MAX_LOG_LINES});
		end if;
	end $$;

	-- Whether there is anything of what few jobs have.
	create function rare() returns table (edges boolean, times boolean, schedules boolean) language sql stable rows 1 as $$
		select exists (select from edge) or exists (select from parent_change) or exists (select from lost_child),
			exists (select from scheduled) or exists (select from expiry), exists (select from schedule)
	$$;

	create function first_due() returns bigint language plpgsql stable as $$
	begin
		return (select min(run_at) from waiting where run_at >= 0);
	end $$;

	create function are_parents_changed() returns boolean language plpgsql stable as $$
	begin
		return exists (select from parent_change);
	end $$;

	-- A call is JSON: lists of items to do, in this order: update, settle, edit, enqueue, schedule; and what to claim. Items name their values in texts and
	-- bytes by index. Most calls meet none of what few jobs have, such as parents or a time of expiry: so it is looked for once.
	create function commit(call jsonb, texts text[], bytes bytea[]) returns setof answer language plpgsql as $$
	declare
		i jsonb;
		ended jsonb[] := '{}';
		made jsonb[] := '{}';
		edited jsonb[] := '{}';
		expired bigint[] := '{}';
		left_over bigint := 0;
		completed jsonb;
		scheduled jsonb[] := '{}';
		its_owner integer;
		its_lease bigint;
		is_alone boolean := call->'alone';
		has_edges boolean;
		has_times boolean;
		has_schedules boolean;
		has_checkpoints boolean;
		has_batches boolean;
		has_fingerprints boolean;
		-- The number that are to be added up.
		changes bigint;
		due bigint;
		-- True if other jobs may wait for a time than those that were found.
		may_wait boolean;
		expires bigint;
		is_told boolean := false;
		c claimed;
		a answer;
	begin
		perform begin_call(call, is_alone);
		if call ? 'update' then
			for i in select * from jsonb_array_elements(call->'update') loop
				perform write_update(i, texts, bytes);
			end loop;
		end if;
		-- Other calls may meanwhile make what these find, but nothing of a job that this call settles; and only a call that is alone makes edges and schedules.
		select r.edges, r.times, r.schedules, exists (select from checkpoint),
			(select min(run_at) from waiting where run_at >= 0), numbered.last_value - added.seq, exists (select from batch where completed_at is null),
			exists (select from fingerprint)
			into has_edges, has_times, has_schedules, has_checkpoints, due, changes, has_batches, has_fingerprints from rare() r, added_up added, tally_change_seq_seq numbered;
		may_wait := is_alone or has_edges;
		if call ? 'settle' then
			foreach i in array elements_of(call->'settle') loop
				may_wait := may_wait or i->>'type' <> 'returned';
				ended := ended || case i->>'type'
					when 'returned' then complete(i, texts, bytes, not (has_edges or has_times or has_checkpoints))
					when 'maker' then end_maker(i, texts, bytes)
					when 'settled' then to_jsonb('lost'::text)
					else to_jsonb(end_execution(i, bytes)) end;
				if has_fingerprints and i ? 'code' then perform note_code(i, ended[cardinality(ended)]); end if;
			end loop;
		end if;
		-- Before anything else: jobs that are no longer blocked count for limits.
		if may_wait then perform reach_children(${MAX_CHANGED_ROWS}); end if;
		if call ? 'edit' then
			for i in select * from jsonb_array_elements(call->'edit') loop
				edited := edited || edit_job(i, texts, bytes);
			end loop;
		end if;
		if call ? 'enqueue' then
			foreach i in array elements_of(call->'enqueue') loop
				made := made || enqueue_group(i, texts, bytes, made);
				if i ? 'fingerprints' then perform keep_fingerprints(i->'fingerprints', made[cardinality(made)], texts); end if;
				has_times := has_times or i ? 'expires';
				has_batches := has_batches or i->>'batch' is not null;
				may_wait := may_wait or i ?| array['delay', 'at'];
			end loop;
		end if;
		if call ? 'schedule' then
			for i in select * from jsonb_array_elements(call->'schedule') loop
				scheduled := scheduled || change_schedule(i, texts, bytes);
			end loop;
		end if;
		if is_alone then select * into has_edges, has_times, has_schedules from rare(); end if;
		if has_edges then perform reach_children(${MAX_CHANGED_ROWS}); end if;
		if call ? 'claim' then
			its_owner := owner_of_claim(call);
			if has_times then
				expired := expire();
				if has_edges then perform reach_children(${MAX_CHANGED_ROWS}); end if;
			end if;
			if may_wait then due := first_due(); end if;
			if due <= now_ms() then
				perform promote();
				may_wait := true;
			end if;
			if not has_edges and cardinality(expired) < 1000 then a := claim_only_row(call->'claim', its_owner); end if;
			if a.first is not null then
				its_lease := currval('lease_id');
				return next a;
			elsif cardinality(expired) < 1000 and current_setting('faena.exhausted', true) is distinct from 'true' then
				for c in select * from claim(call->'claim', its_owner) loop
					its_lease := c.lease;
					if has_edges then return query select * from results_for(c.first, c.last); end if;
					return query
						select ${SPECIAL_DETAILS}, c.first, c.last, c.task, c.rank, c.execution,
							j.policy, j.created_at, j.first, j.last, j.first_number, j.keys, j.text_value, j.byte_value
						from job j where j.first >= (select max(first) from job where first <= c.first and first > c.first - ${MAX_GROUP_JOBS}) and j.first <= c.last order by j.first;
				end loop;
			end if;
		end if;
		if has_edges then perform reach_children(${MAX_CHANGED_ROWS}); end if;
		if has_schedules then perform update_schedules(); end if;
		completed := case when is_alone then fold() when has_batches or changes >= ${MAX_CHANGES} then fold_if_possible() else '[]' end;
		-- A batch that completed may have enqueued a job.
		if call ? 'claim' and (completed <> '[]' or current_setting('faena.exhausted', true) is distinct from 'true') then left_over := backlog(call->'claim'); end if;
		if has_times then expires := (select greatest(0, expires_at - now_ms()) from expiry where expires_at > 0 order by expires_at limit 1); end if;
		-- Transactions that notify are committed one after the other, by the whole server: so of those of a queue, one at a time does.
		if call ? 'told' and pg_try_advisory_xact_lock(lock_key(), 3) then
			is_told := true;
			perform pg_notify(channel(), call->>'store');
		end if;
		a := null;
		a.info := jsonb_build_object(
			'settled', to_jsonb(ended),
			'edited', to_jsonb(edited),
			'enqueued', to_jsonb(made),
			'scheduled', to_jsonb(scheduled),
			'owner', its_owner,
			'lease', its_lease,
			'backlog', left_over,
			'moreArrived', current_setting('faena.more_arrived', true) is not distinct from 'true',
			'seen', nullif(current_setting('faena.seen', true), '')::jsonb,
			'completed', completed,
			'lost', case when has_edges then lost_children() else '[]' end,
			'unblocked', current_setting('faena.unblocked', true) is not distinct from 'true' or has_edges and are_parents_changed(),
			'due', case when may_wait then first_due() else due end - now_ms(),
			'expired', to_jsonb(expired),
			'expires', expires,
			'moment', case when has_schedules then moment_in_ms() end,
			'told', is_told
		);
		return next a;
	end $$;
`;
