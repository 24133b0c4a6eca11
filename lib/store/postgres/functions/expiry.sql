-- Jobs that are cancelled if they do not start in time. A row exists as long as its job may expire. A running job may have been claimed and not have
-- started: then its row stays when its time comes, with the time negated, so that it is not looked up again and again.

create function end_expiry(its_first bigint, its_last bigint) returns void language plpgsql as $$
begin
	delete from expiry where id between its_first and its_last;
end $$;

create function set_expiry(its_first bigint, its_last bigint, ms bigint, due bigint) returns void language plpgsql as $$
begin
	if ms is null then return; end if;
	insert into expiry select id, ms, greatest(due, now_ms()) + ms from generate_series(its_first, its_last) id;
end $$;

-- Cancels a page of the jobs that have not started in time. Those that another call is about to claim stay.
create function expire() returns bigint[] language plpgsql as $$
declare
	e expiry;
	p place;
	ids bigint[] := '{}';
begin
	for e in select * from expiry where expires_at between 1 and now_ms() order by expires_at, id limit @MAX_EXPIRED@ loop
		p := place_of(e.id);
		if p.state = @RUNNING@ then
			update expiry set expires_at = -expires_at where id = e.id;
			continue;
		end if;
		if p.state in (@READY@, @QUARANTINED@) then
			perform from ready where first = p.first and last = p.last for update skip locked;
		elsif p.state = @DELAYED@ then
			perform from waiting where first = p.first and last = p.last for update skip locked;
		else
			perform end_expiry(e.id, e.id);
			continue;
		end if;
		continue when not found;
		perform cancel_because(p, e.id, failure_about(@EXPIRED@, trim_scale(e.expires_ms / 1000.0)::text));
		ids := ids || e.id;
	end loop;
	return ids;
end $$;
