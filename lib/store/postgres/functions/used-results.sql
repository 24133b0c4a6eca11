-- Which results of their parents jobs have got, as far as these are not the last ones: a row is written when a parent begins a new round, for those
-- of its children that have started, and deleted when the child is claimed again. Calls that change rows are alone.

-- The digest of what an ended job gives to those that wait for it; null if it has not ended.
create function digest_of(its_id bigint) returns text language sql stable as $$
	select case when o.status <> @COMPLETED@ then 'none' when o.byte_value is not null then encode(sha256(o.byte_value), 'hex') || '.bytes'
		else coalesce(encode(sha256(convert_to(line_of(o.text_value, o.first, o.last, its_id), 'UTF8')), 'hex') || '.text', 'null') end
	from outcome_row(its_id) o where o.last >= its_id
$$;

-- These children have got this from the parent; but for those that have not started, or of which it is known that they got something before. Neighbours
-- share a row. A row has at most as many jobs as the range of an edge.
create function keep_used(its_parent bigint, its_first bigint, its_last bigint, its_digest text) returns void language sql as $$
	insert into used_result select its_parent, min(c), max(c), its_digest, false from (
		select c, c - row_number() over (order by c) as row from generate_series(its_first, its_last) c
		where c > coalesce((select last from used_result where parent = its_parent and first <= c order by first desc limit 1), 0)
			and (place_of(c)).state in (@RUNNING@, @COMPLETED@)
	) kept group by row
$$;

-- These jobs are claimed, deleted, or get other parents.
create function forget_used(its_first bigint, its_last bigint) returns void language plpgsql as $$
begin
	if not exists (select from used_result where first > its_first - @MAX_GROUP_JOBS@ and first <= its_last and last >= its_first) then return; end if;
	perform require_alone();
	with gone as (delete from used_result where first > its_first - @MAX_GROUP_JOBS@ and first <= its_last and last >= its_first returning *)
		insert into used_result select parent, part.first, part.last, digest, is_stale
		from gone cross join lateral rest_of(gone.first, gone.last, its_first, its_last) part;
end $$;

-- These jobs have a new round; or have completed, and their children are stale that got something else.
create function judge_used(its_first bigint, its_last bigint) returns void language sql as $$
	update used_result u set is_stale = d.digest <> 'none' and d.digest <> u.digest
		from (select parent, coalesce(digest_of(parent), 'none') as digest from used_result where parent between its_first and its_last group by parent) d
		where d.parent = u.parent
$$;

-- The completed jobs that were made from results which are no longer the last ones, and those that were made from theirs; null if there are none. With
-- ids: of these, and of what they have waited for. It looks at no others, however many are stale.
create function stale_jobs(ids bigint[]) returns jsonb language plpgsql stable as $$
begin
	if not exists (select from used_result where is_stale) then return null; end if;
	return (
		with recursive meant (first, last) as (
			select min(id), max(id) from (select id, id - row_number() over (order by id) as island from (select distinct unnest(ids)) x (id)) y group by island
			union
			select e.parent_first, e.parent_last from meant m cross join lateral edges_to(m.first, m.last) e
		),
		looked (first, last) as (select * from meant union all select 0, @MAX_ID@ where ids is null),
		direct (first, last) as (
			select p.first, p.last from looked l
			join used_result u on u.is_stale and u.first > l.first - @MAX_GROUP_JOBS@ and u.first <= l.last and u.last >= l.first
			cross join lateral states_in(greatest(u.first, l.first), least(u.last, l.last)) p where p.state = 'completed'
		),
		stale (first, last) as (
			select * from direct
			union
			select p.first, p.last from stale s cross join lateral edges_from(s.first, s.last, 0) e
			join looked l on l.first <= e.child_last and l.last >= e.child_first
			cross join lateral states_in(greatest(e.child_first, l.first), least(e.child_last, l.last)) p where p.state = 'completed'
		),
		known (id, how) as (
			select id, min(how) from (select first, last, 'direct' as how from direct union all select first, last, 'through' from stale) x
			cross join lateral generate_series(first, last) id group by id
		)
		select jsonb_object_agg(id, how) from known
	);
end $$;
