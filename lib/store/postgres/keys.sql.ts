import {StoredState} from '../stored-state.ts';
import {KEY_CONFLICT} from './error-codes.ts';

/** Keys: which job has one, and what a new job with the key of another does. */
export const KEYS = `
	-- The job that has the key. In a batch, a key that is a number is in key_run.
	create function holder_of(its_task integer, its_batch bigint, its_key text) returns bigint language plpgsql stable as $$
	declare
		r key_run;
		found_id bigint;
	begin
		if its_batch is not null and its_key ~ '^(0|[1-9][0-9]{0,14})$' then
			select * into r from key_run where batch = its_batch and first <= its_key::bigint order by first desc limit 1;
			if r.last >= its_key::bigint then return r.first_id + its_key::bigint - r.first; end if;
			return null;
		end if;
		select id into found_id from key where scope = coalesce(its_batch, -its_task) and key = its_key;
		return found_id;
	end $$;

	-- Gives a job a key that no job had, or the one that has ended. If another call has taken it meanwhile, this call begins again.
	create function take_key(its_task integer, its_batch bigint, its_key text, its_id bigint, held_by bigint) returns void language plpgsql as $$
	begin
		if its_batch is not null and its_key ~ '^(0|[1-9][0-9]{0,14})$' then
			insert into key_run values (its_batch, its_key::bigint, its_key::bigint, its_id);
		else
			insert into key values (coalesce(its_batch, -its_task), its_key, its_id)
				on conflict (scope, key) do update set id = excluded.id where key.id = held_by;
			if not found then raise serialization_failure using message = 'Another call has taken the key.'; end if;
		end if;
	end $$;

	-- Frees those keys of deleted jobs that no other job has taken.
	create function free_keys(j job, its_first bigint, its_last bigint) returns void language plpgsql as $$
	declare
		r key_run;
	begin
		if j.keys is null and j.first_number is null then return; end if;
		delete from key where scope = coalesce(j.batch, -j.task) and id between its_first and its_last
			and key = any (case when j.first = j.last then array[j.keys] else string_to_array(j.keys, E'\\n') end);
		if j.batch is null then return; end if;
		for r in delete from key_run where batch = j.batch and first_id <= its_last and first_id + last - first >= its_first returning * loop
			if r.first_id < its_first then insert into key_run values (r.batch, r.first, r.first + its_first - 1 - r.first_id, r.first_id); end if;
			if r.first_id + r.last - r.first > its_last then
				insert into key_run values (r.batch, r.first + its_last + 1 - r.first_id, r.last, its_last + 1);
			end if;
		end loop;
	end $$;

	create function same_value(a text, a_bytes bytea, b text, b_bytes bytea) returns boolean language plpgsql immutable as $$
	begin
		if a_bytes is not null or b_bytes is not null or a is null or b is null then return (a, a_bytes) is not distinct from (b, b_bytes); end if;
		return a = b or a::jsonb = b::jsonb;
	exception when others then
		return false;
	end $$;

	create function has_ended(id bigint) returns boolean language sql stable as $$
		select coalesce((place_of(id)).state between ${StoredState.completed} and ${StoredState.cancelled}, false)
	$$;

	-- Enqueues a group with keys. A job whose key exists is that job, or a conflict.
	create function enqueue_keyed(g jsonb, texts text[], bytes bytea[]) returns jsonb language plpgsql as $$
	declare
		number integer := g->>'count';
		its_task integer := g->>'task';
		its_batch bigint := g->>'batch';
		is_unique boolean := g ? 'unique';
		first_number bigint := g->>'number';
		keys text[];
		holders bigint[];
		-- Jobs that have ended, and give their keys away.
		ended bigint[];
		own_texts text[];
		own_bytes bytea[];
		news integer[] := '{}';
		ids bigint[];
		reused integer[] := '{}';
		conflicts integer[] := '{}';
		base bigint;
		other integer;
		h job;
		made jsonb;
		is_reused boolean;
	begin
		if first_number is not null and its_batch is not null
			and not exists (select from key_run where batch = its_batch and first < first_number + number and last >= first_number) then
			base := take_ids(number);
			insert into key_run values (its_batch, first_number, first_number + number - 1, base);
			perform insert_jobs(base, g, texts, bytes, null);
			perform insert_state(base, g);
			return jsonb_build_object('ids', base);
		end if;
		keys := keys_of(g);
		if (g->>'packed')::boolean then
			own_texts := coalesce(string_to_array(texts[(g->>'values')::integer], E'\\n', ''), array_fill(null::text, array[number]));
			own_bytes := array_fill(null::bytea, array[number]);
		else
			own_texts := texts[(g->>'values')::integer : (g->>'values')::integer + number - 1];
			own_bytes := bytes[(g->>'values')::integer : (g->>'values')::integer + number - 1];
		end if;
		select array_agg(case when is_unique and has_ended(x.id) then null else x.id end order by x.i),
			array_agg(case when is_unique and has_ended(x.id) then x.id end order by x.i)
			into holders, ended from (select i, holder_of(its_task, its_batch, k) as id from unnest(keys) with ordinality l (k, i)) x;
		for i in 1 .. number loop
			if holders[i] is null and array_position(keys[1 : i - 1], keys[i]) is null then news := news || i; end if;
		end loop;
		-- Before any number is taken, since a conflict may undo the call.
		for i in 1 .. number loop
			if array_position(news, i) is not null then continue; end if;
			if holders[i] is null then
				other := array_position(keys, keys[i]);
				is_reused := same_value(own_texts[other], own_bytes[other], own_texts[i], own_bytes[i]);
			else
				select * into h from job where first <= holders[i] order by first desc limit 1;
				is_reused := resolve_collision(holders[i], h, g, own_texts[i], own_bytes[i]);
			end if;
			if is_reused then
				reused := reused || (i - 1);
			elsif (g->>'reject')::boolean then
				raise exception using errcode = '${KEY_CONFLICT}', message = 'key conflict', detail = jsonb_build_array(g->'index', i - 1, holders[i]);
			else
				conflicts := conflicts || (i - 1);
			end if;
		end loop;
		if cardinality(news) > 0 then
			base := take_ids(cardinality(news));
			made := g || jsonb_build_object('count', cardinality(news), 'packed', false, 'values', 1, 'number', null);
			if g ? 'unmet' then
				made := made || jsonb_build_object('unmet', (select jsonb_agg(g->'unmet'->(i - 1) order by o) from unnest(news) with ordinality n (i, o)));
			end if;
			perform insert_jobs(base, made, array(select own_texts[i] from unnest(news) with ordinality n (i, o) order by o),
				array(select own_bytes[i] from unnest(news) with ordinality n (i, o) order by o),
				array(select keys[i] from unnest(news) with ordinality n (i, o) order by o));
			perform insert_state(base, made);
			-- In one order, so that two calls that take the same keys can't wait for each other.
			perform take_key(its_task, its_batch, keys[i], base + o - 1, ended[i]) from (select i, o from unnest(news) with ordinality n (i, o) order by keys[i]) n;
		end if;
		for i in 1 .. number loop
			other := array_position(news, i);
			if other is not null then
				ids[i] := base + other - 1;
			else
				ids[i] := coalesce(holders[i], base + array_position(news, array_position(keys, keys[i])) - 1);
			end if;
		end loop;
		return jsonb_build_object('ids', to_jsonb(ids), 'reused', to_jsonb(reused), 'conflicts', to_jsonb(conflicts));
	end $$;

	-- The key of a new job belongs to another one. Returns false if that job keeps another payload.
	create function resolve_collision(its_id bigint, h job, g jsonb, its_text text, its_bytes bytea) returns boolean language plpgsql as $$
	declare
		p place;
	begin
		if same_value(line_of(h.text_value, h.first, h.last, its_id), h.byte_value, its_text, its_bytes) then
			if (g->'rerun'->>'failed')::boolean then
				perform retry_job(its_id, array[${StoredState.failed}, ${StoredState.parked}, ${StoredState.dead}, ${StoredState.cancelled}]);
			end if;
			return true;
		end if;
		return coalesce((g->'rerun'->>'changed')::boolean, false) and replace_job(its_id, g, its_text, its_bytes);
	end $$;
`;
