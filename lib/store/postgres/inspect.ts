import type {InspectedMove, InspectedRelease, Inspection} from '../inspection.ts';
import {Database} from './connection/database.ts';

const SETTINGS = ['fsync', 'full_page_writes', 'synchronous_commit'];

/** Reads tables in a schema. */
async function look<Result>(url: string, schema: string, read: (database: Database) => Promise<Result>): Promise<Result> {
	const database = new Database(url, schema, {store: 0, host: '', relaxed: false, now: undefined}, {isReadOnly: true, onlyTables: true});
	return read(database).finally(() => database.close());
}

/** True if a queue has been made there. */
export function schemaExists(url: string, schema: string): Promise<boolean> {
	return look(url, schema, database => database.exists());
}

async function moveIn(database: Database): Promise<InspectedMove | undefined> {
	const [move] = await database.query<InspectedMove>('select place, is_arriving as "isArriving" from @.queue_move');
	return move;
}

/** The move that the queue in a schema knows. */
export function moveOfSchema(url: string, schema: string): Promise<InspectedMove | undefined> {
	return look(url, schema, moveIn);
}

/** Looks at the queue in a schema of a PostgreSQL database without writing to it. */
export function inspectSchema(url: string, schema: string): Promise<Inspection> {
	return look(url, schema, async database => {
		const owners = await database.query<{name: string; heartbeat: number; jobs: number}>(
			`select o.name, o.heartbeat_at as heartbeat, coalesce((select sum(c.last - c.first + 1) from @.claimed c where c.owner = o.id), 0)::bigint as jobs
			from @.owner o where o.heartbeat_at > 0 order by o.id`,
		);
		const settings = await database.query<{name: string; setting: string}>('select name, setting from pg_settings where name = any($1)', [
			[...SETTINGS, 'server_version'],
		]);
		const releases = await database.query<InspectedRelease>(
			`select array_to_string(release, '.') as release, name as functions, version, (extract(epoch from used_at) * 1000)::bigint as "usedAt", (
				select count(*) from pg_locks where locktype = 'advisory' and objsubid = 2 and objid = 4 and classid = (hashtext(name)::bigint & 4294967295)::oid
					and database = (select oid from pg_database where datname = current_database()) and pid <> pg_backend_pid()
			) as connections from @.function_set order by function_set.release desc, made_at desc`,
		);
		const {server_version: version = '', ...others} = Object.fromEntries(settings.map(({name, setting}) => [name, setting]));
		return {
			move: await moveIn(database),
			engine: `PostgreSQL ${version}`,
			schema: {version: database.version, isPrepared: database.hasFunctions, releases},
			settings: others,
			owners: owners.map(({name, heartbeat, jobs}) => ({name, silentMs: Math.max(0, database.clock.now() - heartbeat), jobs})),
		};
	});
}
