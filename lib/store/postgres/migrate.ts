import pg from 'pg';
import {FaenaError} from '../../support/errors.ts';
import {schemaSql} from './schema.ts';

/** The version of the schema. A program refuses a newer one. */
const VERSION = 1;

type Send = <Row>(text: string, values?: readonly unknown[]) => Promise<Row[]>;

/** Makes the schema if it does not exist. Many programs may do so at once: one makes it, and the others wait. */
export async function migrate(send: Send, schema: string): Promise<void> {
	const name = pg.escapeIdentifier(schema);
	let version = await versionOf(send, name);
	if (version === undefined) {
		await makeSchema(send, schema, name);
		version = await versionOf(send, name);
	}
	if (version === VERSION) return;
	throw new FaenaError(
		'NewerDatabase',
		`The schema ${name} of the database has version ${version}, and this Faena knows version ${VERSION}. Use the Faena that wrote it, or a newer one.`,
	);
}

async function versionOf(send: Send, name: string): Promise<number | undefined> {
	const [found] = await send<{table: string | null}>('select to_regclass($1) as table', [`${name}.version`]);
	if (!found?.table) return undefined;
	return (await send<{number: number}>(`select number from ${name}.version`))[0]?.number;
}

async function makeSchema(send: Send, schema: string, name: string): Promise<void> {
	try {
		// Statements that are sent together are one transaction.
		await send(schemaSql(schema, name, VERSION));
	} catch (error) {
		// Another program has made it meanwhile.
		if ((await versionOf(send, name)) === undefined) throw error;
	}
}
