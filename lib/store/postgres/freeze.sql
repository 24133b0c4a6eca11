-- Refuses changes of a queue that moves, but those of the move itself. Settings: faena.tables, the schema of the queue; faena.move, the id of the move; and
-- faena.sentence, of the error. Programs may still install the functions with which they read. Tables of others in the schema are left alone.

do $freeze$
declare
	its_table text;
begin
	perform set_config('search_path', format('%I, pg_temp', current_setting('faena.tables')), true);
	execute format('create or replace function refuse_change() returns trigger language plpgsql as %L', format(
		'begin
			if current_setting(''faena.moving'', true) = %L then return coalesce(new, old); end if;
			raise exception using errcode = ''@QUEUE_MOVED@'', message = %L;
		end', current_setting('faena.move'), current_setting('faena.sentence')));
	foreach its_table in array array[@FROZEN@] loop
		execute format('create or replace trigger refuse_change before insert or update or delete on %I for each row execute function refuse_change()', its_table);
		execute format('create or replace trigger refuse_truncate before truncate on %I for each statement execute function refuse_change()', its_table);
	end loop;
end $freeze$;
