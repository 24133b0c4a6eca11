-- Makes a queue, or upgrades its tables, and installs the functions of a release. It changes nothing that is there already. Two settings name the schemas:
-- faena.tables and faena.functions. Both belong to the user who runs it.

-- Of many programs, one does this, and the others wait.
select pg_advisory_xact_lock(hashtext('faena ' || current_setting('faena.tables')));

do $schemas$
declare
	tables text := current_setting('faena.tables');
	functions text := current_setting('faena.functions');
	theirs text;
begin
	-- A user may have the right to use a schema, and none to make one.
	if to_regnamespace(quote_ident(tables)) is null then execute format('create schema %I', tables); end if;
	-- What lies in a schema may run code of its owner, with the rights of this user: a role that was set can be set back.
	theirs := (select format('the schema %I belongs to %I%s', nspname, pg_get_userbyid(nspowner), case when nspname = functions then ', so drop it' end)
		from pg_namespace where nspname in (tables, functions) and pg_get_userbyid(nspowner) <> current_user order by nspname = functions limit 1);
	if theirs is not null then raise exception '%', theirs using errcode = 'insufficient_privilege'; end if;
	-- Before 16, PostgreSQL refuses a type that does not exist.
	if (case when to_regtype(format('%I.version', tables)) is not null then to_regprocedure(format('%I.is_whole(%I.version)', functions, tables)) end) is null then
		if exists (select from pg_class where relnamespace = to_regnamespace(quote_ident(functions)) and relkind <> 'c') then
			raise exception 'the schema % is to have the functions of Faena, and holds tables; drop it, or name the schema of the queue otherwise', functions
				using errcode = 'insufficient_privilege';
		end if;
		-- Those of a queue that was dropped. An empty schema was made for this user, who may not make one.
		if exists (select from pg_proc where pronamespace = to_regnamespace(quote_ident(functions))) then execute format('drop schema %I cascade', functions); end if;
		if to_regnamespace(quote_ident(functions)) is null then execute format('create schema %I', functions); end if;
	end if;
	perform set_config('search_path', format('%I, pg_temp', tables), true);
end $schemas$;

do $upgrade$
declare
	others text;
begin
	if to_regclass('version') is null then return; end if;
	if (select number from version) >= @VERSION@ then return; end if;
	-- A queue that moves, or has moved, refuses all other changes.
	perform set_config('faena.moving', (select id from queue_move), true);
	-- Calls that are under way end, and others wait until the tables have changed.
	perform pg_advisory_xact_lock(lock_key(), 1);
	if (select views from function_set order by release desc, made_at desc limit 1) <> '@VIEWS_HASH@' then
		-- Who reads a view locks it before its tables, so this does, too. To set its owner locks it alone.
		foreach others in array array['batches', 'counts', 'jobs'] loop
			execute format('alter view %I owner to %I', others, current_user);
		end loop;
	end if;
	if oldest_version() >= @OLDEST@ then return; end if;
	others := (select string_agg(format('%s (tables of version %s)', array_to_string(release, '.'), version), ', ' order by release)
		from function_set where version < @OLDEST@ and not pg_try_advisory_xact_lock(hashtext(name), 4));
	if others is not null then raise exception 'programs of Faena % use it', others using errcode = '@PROGRAMS_IN_USE@'; end if;
end $upgrade$;

@MIGRATIONS@

do $functions$
declare
	tables text := current_setting('faena.tables');
	functions text := current_setting('faena.functions');
	is_newest boolean;
	former_views text;
	entry text;
begin
	if oldest_version() < @OLDEST@ then
		create or replace function oldest_version() returns integer language sql stable as 'select @OLDEST@';
	end if;
	if to_regprocedure(format('%I.is_whole(version)', functions)) is not null then return; end if;
	former_views := (select views from function_set order by release desc, made_at desc limit 1);
	-- Those of the database from which this one was copied, or of a queue that was dropped and restored.
	delete from function_set where name = functions or to_regprocedure(format('%I.is_whole(version)', name)) is null;
	insert into function_set (name, version, release, views) values (functions, @VERSION@, '{@RELEASE@}', '@VIEWS_HASH@');
	is_newest := functions = (select name from function_set order by release desc, made_at desc limit 1);
	-- What they read and change is guarded by the rights to the tables.
	execute format('grant usage on schema %I to public', functions);
	-- Functions call each other in any order.
	perform set_config('check_function_bodies', 'off', true), set_config('search_path', format('%I, %I, pg_temp', functions, tables), true);

@FUNCTIONS@

	perform drop_unused_sets();
	if is_newest then
		perform set_config('search_path', format('%I, %I, pg_temp', tables, functions), true);

@FACE@

		if former_views is distinct from '@VIEWS_HASH@' then

@VIEWS@

		end if;

	end if;
	-- What programs call finds the others, and the tables, by these. A backslash in a text is one, whatever the user's settings say. Statements are planned
	-- once for each connection, and by index: a table may have been empty when its statistics were made, or when the plan was.
	for entry in
		select p.oid::regprocedure from pg_proc p join pg_namespace n on n.oid = p.pronamespace
		where n.nspname = functions and p.proname in (@ENTRIES@) or is_newest and n.nspname = tables and p.proname in ('enqueue', 'enqueue_job')
	loop
		execute format('alter function %s set search_path to %I, %I, pg_temp', entry, functions, tables);
		execute format('alter function %s set plan_cache_mode to force_generic_plan set enable_seqscan to off set jit to off set standard_conforming_strings to on', entry);
	end loop;
	-- Its rows come in the order of an index. To find all and sort them would take as long as there are rows.
	execute format('alter function %I.sorted_rows set enable_bitmapscan to off set enable_sort to off', functions);
end $functions$;
