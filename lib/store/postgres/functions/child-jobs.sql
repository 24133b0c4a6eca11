-- Executions that enqueue jobs: the call that ends them enqueues all, or the execution fails.

-- What prevents the jobs that an execution enqueues: its failure as JSON; null if nothing does. A failure names the job that has the key by a placeholder.
create function find_refusal(item jsonb, texts text[], bytes bytea[]) returns text language plpgsql stable as $$
declare
	g jsonb;
	e jsonb;
	own jsonb := '{}';
	its_key text;
	name text;
	holder bigint;
	h job;
	other integer;
	value integer;
begin
	for g in select * from jsonb_array_elements(item->'groups') loop
		for e in select * from jsonb_array_elements(g->'parents'->'edges') loop
			if e ? 'groupsBefore' or (place_of((e->>'first')::bigint)).state is not null then continue; end if;
			return replace(g->>'missing', '@ID_PLACEHOLDER@', e->>'first');
		end loop;
		its_key := g->'keys'->>0;
		if its_key is null then continue; end if;
		value := g->>'values';
		holder := holder_of((g->>'task')::bigint, null, its_key);
		if g ? 'unique' and (holder = (item->>'first')::bigint or has_ended(holder)) then holder := null; end if;
		name := (g->>'task') || ' ' || its_key;
		if holder is not null then
			select * into h from job_row(holder);
			if not same_value(line_of(h.text_value, h.first, h.last, holder), h.byte_value, texts[value], bytes[value]) then
				return replace(g->>'heldByJob', '@ID_PLACEHOLDER@', holder::text);
			end if;
		elsif own ? name then
			other := own->>name;
			if not same_value(texts[other], bytes[other], texts[value], bytes[value]) then return g->>'heldByOther'; end if;
		end if;
		own := own || jsonb_build_object(name, value);
	end loop;
	return null;
end $$;

-- Completes an execution and enqueues its jobs; or it fails, if one of these can't be enqueued.
create function end_maker(item jsonb, texts text[], bytes bytea[]) returns jsonb language plpgsql as $$
declare
	c claimed;
	its_id bigint := item->'first';
	refusal text;
	answer jsonb;
	g jsonb;
	made jsonb[] := '{}';
begin
	c := take_claim(its_id, item);
	if c.first is null then return '"lost"'; end if;
	perform take_over_named(named) from jsonb_array_elements(item->'groups') named;
	refusal := find_refusal(item, texts, bytes);
	if refusal is not null then
		answer := end_execution(item || jsonb_build_object('type', 'threw', 'failure', refusal), texts, bytes);
		return case when answer = '"done"' then jsonb_build_object('refusal', refusal) else answer end;
	end if;
	-- First, since this job may have the key of one that it enqueues.
	perform complete(item, texts, bytes, false);
	for g in select * from jsonb_array_elements(item->'groups') loop
		made := made || enqueue_group(g, texts, bytes, made);
	end loop;
	return '[]';
end $$;
