import {createHash} from 'node:crypto';
import {readdirSync, readFileSync} from 'node:fs';
import {version as release} from '../../../support/version.ts';
import {SQL_CONSTANTS} from './sql-constants.ts';

/**
 * The SQL of a queue. Its tables lie in the schema of the queue, with a face for psql and other languages. The functions that programs call lie in a schema
 * that is named by their text, so that programs of several releases use the same tables. Migrations of the tables only add: what is no longer used goes a
 * release later.
 */

const FOLDER = new URL('../', import.meta.url);

function read(name: string): string {
	return readFileSync(new URL(name, FOLDER), 'utf8');
}

function list(folder: string): string[] {
	return readdirSync(new URL(folder, FOLDER)).map(name => folder + name);
}

const MIGRATIONS = list('migrations/').sort((a, b) => a.localeCompare(b, 'en', {numeric: true}));

/** The version of the tables: the number of migrations. */
export const VERSION = MIGRATIONS.length;

/** The oldest version whose programs can use these tables. Raise it with a migration that takes something away which that version uses. */
export const OLDEST = 1;

/** The functions that programs call. */
export const ENTRIES: readonly string[] = [
	...['commit', 'move', 'heartbeat', 'release', 'reclaim', 'news', 'set_paused', 'adopt', 'tell_others', 'size', 'look_at_owners'],
	...['open_batch', 'change_batch', 'read_batches', 'delete_by_id', 'delete_ended_before', 'delete_outdated', 'delete_batch'],
	...['find_ids', 'holders', 'sorted_rows', 'describe', 'ends_of', 'executions_of', 'counts'],
	...['look_at_arrived', 'edges_from', 'edges_to', 'is_unended'],
];

/** The tables that programs can't change while the queue moves. */
const FROZEN = MIGRATIONS.flatMap(name => [...read(name).matchAll(/^create table (\w+)/gm)].map(([, table]) => table as string)).filter(
	table => !['version', 'function_set', 'queue_move'].includes(table),
);

function hash(text: string): string {
	return createHash('sha256').update(text).digest('hex').slice(0, 10);
}

const VIEWS = read('views.sql');
const FUNCTIONS = list('functions/').sort().map(read).join('\n');

/** What stands in the .sql files for `@NAME@`. */
export const CONSTANTS: Readonly<Record<string, string | number>> = {
	...SQL_CONSTANTS,
	...{VERSION, OLDEST, RELEASE: release.split(/\D/, 3).join()},
	...{FUNCTIONS, FACE: read('face.sql'), VIEWS, VIEWS_HASH: hash(VIEWS), ENTRIES: quoted(ENTRIES), FROZEN: quoted(FROZEN)},
	MIGRATIONS: MIGRATIONS.map((name, number) => migration(number + 1, read(name))).join('\n'),
};

function quoted(names: readonly string[]): string {
	return names.map(name => `'${name}'`).join(', ');
}

function migration(number: number, text: string): string {
	const isDone = number === 1 ? "to_regclass('version') is not null" : `(select number from version) >= ${number}`;
	return `do $migration$\nbegin\n\tif ${isDone} then return; end if;\n\n${text}\n\tupdate version set number = ${number};\nend $migration$;\n`;
}

/** @throws TypeError if the text names a constant that does not exist */
function filled(text: string): string {
	return text.replace(/@([A-Z_]+)@/g, (_, name: string) => {
		if (!(name in CONSTANTS)) throw new TypeError(`There is no constant ${name}.`);
		return filled(String(CONSTANTS[name]));
	});
}

/** Refuses changes of a queue that moves. */
export const FREEZE = filled(read('freeze.sql'));

const INSTALL = filled(read('install.sql'));

const HASH = hash(INSTALL);

/** The schema of this program's functions, of the queue in a schema. */
export function functionsOf(schema: string): string {
	return `${schema}_${HASH}`;
}

/** As an identifier in SQL. The driver's function is not used: `faena schema --print` does without a driver. */
export function quoteName(name: string): string {
	return `"${name.replaceAll('"', '""')}"`;
}

/** What someone who may create schemas runs for a user who may not, and who is to own the queue. */
export function schemasFor(schema: string): string {
	const make = (what: string, name: string) => `create schema ${what}${quoteName(name)} authorization OWNER;`;
	return `${make('if not exists ', schema)} ${make('', functionsOf(schema))}`;
}

/** The statements that make a queue in a schema, or upgrade it, and install this program's functions. Sent together, they are one transaction. */
export function installation(schema: string): string {
	const set = (name: string, value: string) => `set_config('faena.${name}', E'${value.replaceAll(/[\\']/g, '\\$&')}', true)`;
	// Functions of other users, with the names of usual ones, are not called.
	return `set local search_path to pg_catalog, pg_temp;\nselect ${set('tables', schema)}, ${set('functions', functionsOf(schema))};\n\n${INSTALL}`;
}
