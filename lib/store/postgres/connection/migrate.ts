import {setTimeout as sleep} from 'node:timers/promises';
import {FaenaError} from '../../../support/errors.ts';
import {PROGRAMS_IN_USE} from './error-codes.ts';
import {codeOf} from './postgres-errors.ts';
import {functionsOf, installation, OLDEST, quoteName, schemasFor, VERSION} from './schema.ts';

/** Of PostgreSQL 14. */
const MIN_SERVER_NUMBER = 140_000;

/** How long an upgrade waits for a lock, in milliseconds. Calls wait for it meanwhile, and PostgreSQL would soon look for deadlocks, and end some. */
export const LOCK_TIMEOUT_MS = 300;
export const RETRY_AFTER_MS = 1000;
export const MAX_TRIES = 60;

/** Sends a statement. */
export type Send = <Row>(text: string, values?: readonly unknown[]) => Promise<Row[]>;

/** What is in a schema. */
export interface Installed {
	/** The version of the tables. */
	readonly version: number;
	/** The oldest version whose programs can use them. */
	readonly oldest: number;
	/** The id of the queue. */
	readonly queue: string;
	/** Whether this program's functions are there. */
	readonly hasFunctions: boolean;
}

/**
 * Makes the queue if it does not exist, upgrades older tables, and installs this program's functions. Of many programs, one does it, and the others wait.
 * `onlyTables`: it calls no functions. `known`: the id of the queue that it has had open.
 */
export async function migrate(
	send: Send,
	schema: string,
	{isReadOnly, onlyTables, known}: {readonly isReadOnly: boolean; readonly onlyTables: boolean; readonly known: string | undefined},
): Promise<Installed> {
	const name = quoteName(schema);
	const found = await installedIn(send, schema);
	if (known !== undefined && found?.queue !== known)
		throw new FaenaError('NewerDatabase', `The queue in the schema ${name} was dropped. Restart this program.`);
	if (!found && isReadOnly) throw new FaenaError('BadDatabase', `There is no queue in the schema ${name} of the database. Name another schema or database.`);
	if (found && found.oldest > VERSION) {
		throw new FaenaError(
			'NewerDatabase',
			`The tables in the schema ${name} of the database have version ${found.version}, and need a Faena that knows version ${found.oldest}; this one knows version ${VERSION}. Use a newer Faena.`,
		);
	}
	if (found && (onlyTables || (found.hasFunctions && (found.version >= VERSION || isReadOnly)))) return found;
	if (isReadOnly) {
		const message = `The schema ${name} of the database was not prepared for this release of Faena. Open the queue with it once for writing, or run the SQL of faena schema --print as the owner of the schema.`;
		throw new FaenaError('BadDatabase', message);
	}
	if (!found) await assertFitness(send);
	await install(send, schema);
	return (await installedIn(send, schema)) as Installed;
}

/** What is in the schema; `undefined` if there is no queue. */
export async function installedIn(send: Send, schema: string): Promise<Installed | undefined> {
	const name = quoteName(schema);
	const [found] = await send<Readonly<Record<'version' | 'sets', string | null>>>('select to_regclass($1) as version, to_regclass($2) as sets', [
		`${name}.version`,
		`${name}.function_set`,
	]);
	if (!found?.version) return undefined;
	if (!found.sets) {
		const message = `The schema ${name} of the database has a queue of a Faena before its first release, which this one can't read. Name another schema, or let that Faena work off its jobs and drop the schema.`;
		throw new FaenaError('BadDatabase', message);
	}
	const functions = functionsOf(schema);
	// Another user may have made a schema of that name, whose functions would run with the rights of this one.
	const hasFunctions = `exists (select from pg_namespace f join pg_namespace t on f.nspowner = t.nspowner where f.nspname = $1 and t.nspname = $2
		and case when has_schema_privilege(f.oid, 'usage') then to_regprocedure($3) is not null end)`;
	const [installed] = await send<Installed>(
		`select number as version, ${name}.oldest_version() as oldest, ${name}.queue_id() as queue, ${hasFunctions} as "hasFunctions" from ${name}.version`,
		[functions, schema, `${quoteName(functions)}.is_whole(${name}.version)`],
	);
	return installed;
}

async function assertFitness(send: Send): Promise<void> {
	const [server] = await send<{
		readonly version: string;
		readonly number: number;
		readonly encoding: string;
	}>(`select current_setting('server_version') as version, current_setting('server_version_num')::integer as number,
		current_setting('server_encoding') as encoding`);
	const {version, number, encoding} = server as NonNullable<typeof server>;
	if (number < MIN_SERVER_NUMBER) throw new FaenaError('BadDatabase', `Faena needs PostgreSQL 14 or newer, and this server is ${version}. Name a newer one.`);
	if (encoding !== 'UTF8') {
		throw new FaenaError('BadDatabase', `Faena needs a database with the encoding UTF8, and this one has ${encoding}. Create one with ENCODING 'UTF8'.`);
	}
}

/** The statements that {@link migrate} sends. They fail if a lock is not to be had for {@link LOCK_TIMEOUT_MS}. */
export function upgrade(schema: string): string {
	return `set local lock_timeout = ${LOCK_TIMEOUT_MS};\n${installation(schema)}`;
}

async function install(send: Send, schema: string): Promise<void> {
	for (let tries = 1; ; tries++) {
		try {
			await send(upgrade(schema));
			return;
		} catch (error) {
			const code = codeOf(error);
			if (code === '42501') throw mayNotInstall(schema, error as Error);
			// The server may not have heard yet that a program has ended.
			if (code === PROGRAMS_IN_USE && tries > 1) throw inUse(schema, error as Error);
			if ((code !== '55P03' && code !== PROGRAMS_IN_USE) || tries === MAX_TRIES) throw error;
		}
		await sleep(RETRY_AFTER_MS);
	}
}

function mayNotInstall(schema: string, error: Error): FaenaError {
	const {message: reason} = error.cause as Error;
	const message = `This user may not prepare the database for this release of Faena: ${reason}. The owner of the schema has to, by a program, or by the SQL that faena schema --print prints. If the owner may not create schemas, let someone who may run: ${schemasFor(schema)}`;
	return new FaenaError('BadDatabase', message, {cause: error});
}

function inUse(schema: string, cause: Error): FaenaError {
	const message = `The tables in the schema ${quoteName(schema)} of the database can't be upgraded yet: ${cause.message}, which can't go on with the new tables. First deploy a release whose tables have version ${OLDEST} to all programs, or end them; then start this one again.`;
	return new FaenaError('DatabaseBusy', message, {cause});
}
