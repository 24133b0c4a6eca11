-- Counts (I2): rows of changes, which are added up now and then, so that no row is one that each transaction updates. Those up to the number in `added_up`
-- have been added up and deleted. The others are found by number, without a look at what was deleted before.

create function new_changes() returns setof tally_change language plpgsql stable as $$
begin
	return query select * from tally_change where seq > (select seq from added_up);
end $$;

-- Adds up the changes of the counts, and completes batches (I9). The call must be alone. Returns the batches that completed.
create function fold() returns jsonb language plpgsql as $$
declare
	since bigint := (select seq from added_up);
	changed record;
	done jsonb := '[]';
	own jsonb;
	begun timestamptz := clock_timestamp();
begin
	for changed in
		with gone as (delete from tally_change where seq > since returning *, xmin as by),
		mark as (update added_up set seq = (select max(seq) from gone) where exists (select from gone)),
		by_task as (
			insert into tally select task, state, sum(jobs) from gone group by 1, 2
			on conflict (task, state) do update set jobs = tally.jobs + excluded.jobs
		),
		by_store as (
			insert into folded select store, count(*), now_ms() from gone group by 1
			on conflict (store) do update set changes = folded.changes + excluded.changes, at = excluded.at
		),
		by_batch as (
			-- A batch may have been deleted together with its last jobs.
			insert into batch_tally select batch, task, state, sum(jobs) from gone where exists (select from batch b where b.id = gone.batch) group by 1, 2, 3
			on conflict (batch, task, state) do update set jobs = batch_tally.jobs + excluded.jobs
		)
		-- Ended: of this call, since its mark says how many had ended before it. Was_unended: a call has left more jobs to do than it found.
		select batch, coalesce(sum(ended) filter (where by = pg_current_xact_id()::xid), 0) as ended, bool_or(unended > 0) as was_unended from (
			select batch, by, sum(jobs) filter (where state in (@COMPLETED@, @DEAD@, @CANCELLED@)) as ended, sum(jobs) filter (where state not in (@COMPLETED@, @DEAD@, @CANCELLED@, @HELD@)) as unended
			from gone where batch is not null group by 1, 2
		) of_calls group by 1 order by 1
	loop
		own := update_batch(changed.batch, changed.ended::bigint, changed.was_unended);
		if own is not null then done := done || own; end if;
	end loop;
	perform set_config('faena.fold_ms', (extract(epoch from clock_timestamp() - begun) * 1000)::text, false);
	return done;
end $$;

-- About the number of changes that are to be added up; null if there is no need yet. There is one if a batch may have completed, or has jobs again, or its progress is to be noted.
create function changes_to_fold() returns bigint language plpgsql as $$
declare
	since bigint;
	changes bigint;
	own bigint[];
begin
	select added.seq, numbered.last_value - added.seq into since, changes from added_up added, tally_change_seq_seq numbered;
	-- While an old transaction is open, each sum leaves a row that can't be freed, and all of them are looked through.
	if changes >= least(@TOO_MANY_CHANGES@, @MAX_CHANGES@ * greatest(1, nullif(current_setting('faena.fold_ms', true), '')::float8)) then return changes; end if;
	own := (select array_agg(distinct batch) from tally_change where seq > since and batch is not null);
	perform from batch b where b.id = any (own) and (
		-- It has jobs again.
		b.completed_at is not null
		or now_ms() - coalesce((b.marks->-1->>'at')::bigint, 0) >= @MARK_EVERY_MS@
		or b.total is not null and not exists (
			select from (
				select state, jobs from batch_tally where batch = b.id union all select state, jobs from tally_change where seq > since and batch = b.id
			) x having sum(jobs) filter (where state not in (@COMPLETED@, @DEAD@, @CANCELLED@, @HELD@)) > 0
		)
	);
	return case when found then changes end;
end $$;

-- Adds up the counts if there is a need, and no other call is under way.
create function fold_if_possible() returns jsonb language plpgsql as $$
begin
	if changes_to_fold() is null or not pg_try_advisory_xact_lock(lock_key(), 1) then return '[]'; end if;
	return fold();
end $$;
