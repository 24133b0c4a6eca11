import pg from 'pg';
import {FaenaError} from '../../support/errors.ts';
import {schemaSql, VERSION} from './schema.ts';

/** Of PostgreSQL 14. */
const MIN_SERVER_NUMBER = 140_000;

/** Sends a statement. */
export type Send = <Row>(text: string, values?: readonly unknown[]) => Promise<Row[]>;

/** Makes the schema if it does not exist. Many programs may do so at once: one makes it, and the others wait. Returns the id of its queue. */
export async function migrate(send: Send, schema: string, isReadOnly: boolean): Promise<string> {
	const name = pg.escapeIdentifier(schema);
	let found = await versionOf(send, name);
	if (!found) {
		if (isReadOnly) throw new FaenaError('BadDatabase', `There is no queue in the schema ${name} of the database. Name another schema or database.`);
		await assertFitness(send);
		await makeSchema(send, schema, name);
		found = (await versionOf(send, name)) as Version;
	}
	const {number: version, queue} = found;
	if (version === VERSION) return queue;
	throw new FaenaError(
		'NewerDatabase',
		`The schema ${name} of the database has version ${version}, and this Faena knows version ${VERSION}. Use the Faena that wrote it, or a newer one.`,
	);
}

interface Version {
	readonly number: number;
	readonly queue: string;
}

/**
 * The version of the schema, and the id of its queue; `undefined` if there is none.
 * @param name the schema, quoted
 */
export async function versionOf(send: Send, name: string): Promise<Version | undefined> {
	const [found] = await send<{table: string | null}>('select to_regclass($1) as table', [`${name}.version`]);
	if (!found?.table) return undefined;
	return (await send<Version>(`select number, queue from ${name}.version`))[0];
}

interface Server {
	readonly version: string;
	readonly number: number;
	readonly encoding: string;
}

async function assertFitness(send: Send): Promise<void> {
	const [server] = await send<Server>(`select current_setting('server_version') as version, current_setting('server_version_num')::integer as number,
		current_setting('server_encoding') as encoding`);
	const {version, number, encoding} = server as Server;
	if (number < MIN_SERVER_NUMBER) throw new FaenaError('BadDatabase', `Faena needs PostgreSQL 14 or newer, and this server is ${version}. Name a newer one.`);
	if (encoding !== 'UTF8') {
		throw new FaenaError('BadDatabase', `Faena needs a database with the encoding UTF8, and this one has ${encoding}. Create one with ENCODING 'UTF8'.`);
	}
}

async function makeSchema(send: Send, schema: string, name: string): Promise<void> {
	try {
		// Statements that are sent together are one transaction.
		await send(schemaSql(schema, name));
	} catch (error) {
		// Another program has made it meanwhile.
		if (!(await versionOf(send, name))) throw error;
	}
}
