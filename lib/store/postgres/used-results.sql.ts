import {MAX_GROUP_JOBS} from '../../job/group.ts';
import {StoredState} from '../stored-state.ts';

/**
 * Which results of their parents jobs have got, as far as these are not the last ones: a row is written when a parent begins a new round, for those of its
 * children that have started, and deleted when the child is claimed again. Calls that change rows are alone.
 */
export const USED_RESULTS = `
	-- The digest of what an ended job gives to those that wait for it; null if it has not ended.
	create function digest_of(its_id bigint) returns text language sql stable as $$
		select case when o.status <> ${StoredState.completed} then 'none' when o.byte_value is not null then encode(sha256(o.byte_value), 'hex') || '.bytes'
			else coalesce(encode(sha256(convert_to(line_of(o.text_value, o.first, o.last, its_id), 'UTF8')), 'hex') || '.text', 'null') end
		from outcome_row(its_id) o where o.last >= its_id
	$$;

	-- The child has got this from the parent, unless it is known that it got something before. Neighbours share a row.
	create function keep_used(its_parent bigint, child bigint, its_digest text) returns void language plpgsql as $$
	declare
		u used_result;
	begin
		perform require_alone();
		select * into u from used_result where parent = its_parent and first <= child order by first desc limit 1;
		if u.last >= child then return; end if;
		if u.last = child - 1 and u.digest = its_digest and not u.is_stale and child - u.first < ${MAX_GROUP_JOBS} then
			update used_result set last = child where parent = its_parent and first = u.first;
		else
			insert into used_result values (its_parent, child, child, its_digest, false);
		end if;
	end $$;

	-- A parent has a new round: keeps what those of its children have got that have started.
	create function keep_used_by(e edge, its_digest text) returns void language sql as $$
		select keep_used(e.parent_first, c, its_digest) from generate_series(e.child_first, e.child_last) c
		where (place_of(c)).state in (${StoredState.running}, ${StoredState.completed}) order by c
	$$;

	-- These jobs are claimed, deleted, or get other parents.
	create function forget_used(its_first bigint, its_last bigint) returns void language plpgsql as $$
	declare
		u used_result;
	begin
		if not exists (select from used_result where first > its_first - ${MAX_GROUP_JOBS} and first <= its_last and last >= its_first) then return; end if;
		perform require_alone();
		for u in delete from used_result where first > its_first - ${MAX_GROUP_JOBS} and first <= its_last and last >= its_first returning * loop
			if u.first < its_first then insert into used_result values (u.parent, u.first, its_first - 1, u.digest, u.is_stale); end if;
			if u.last > its_last then insert into used_result values (u.parent, its_last + 1, u.last, u.digest, u.is_stale); end if;
		end loop;
	end $$;

	-- These jobs have a new round; or have completed, and their children are stale that got something else.
	create function judge_used(its_first bigint, its_last bigint) returns void language sql as $$
		update used_result u set is_stale = d.digest <> 'none' and d.digest <> u.digest
			from (select parent, coalesce(digest_of(parent), 'none') as digest from used_result where parent between its_first and its_last group by parent) d
			where d.parent = u.parent
	$$;

	-- The completed jobs that were made from results which are no longer the last ones, and those that were made from theirs; null if there are none.
	create function stale_jobs() returns jsonb language plpgsql stable as $$
	begin
		if not exists (select from used_result where is_stale) then return null; end if;
		return (
			with recursive direct (id) as (
				select distinct id from used_result u cross join lateral generate_series(u.first, u.last) id
				where u.is_stale and (place_of(id)).state = ${StoredState.completed}
			),
			stale (id) as (
				select id from direct
				union
				select c from stale s cross join lateral edges_from(s.id, s.id, 0) e cross join lateral generate_series(e.child_first, e.child_last) c
				where (place_of(c)).state = ${StoredState.completed}
			)
			select jsonb_object_agg(id, case when id in (select id from direct) then 'direct' else 'through' end) from stale
		);
	end $$;
`;
