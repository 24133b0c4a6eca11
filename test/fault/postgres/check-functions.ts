/**
 * `npm run check:plpgsql`: looks through all functions of a queue with plpgsql_check, an extension of Debian's server: statements that are wrong in a branch which
 * no test reaches, variables that nobody reads, casts that are made at each call. It says that it did not run if the extension is missing and can't be installed.
 */
import {execFileSync} from 'node:child_process';
import {existsSync, readdirSync} from 'node:fs';
import pg from 'pg';
import {functionsOf, installation} from '../../../lib/store/postgres/connection/schema.ts';
import {PostgresServer} from '../../fixtures/postgres-server.ts';

/** What it says of casts from JSON, of the results of calls that are made for their effect, and of ends that a loop or a call that raises does not reach. */
const MEANT = /^target type is different type|^never read variable "unused"|control reached end of function/;

const VERSIONS = '/usr/lib/postgresql';
const has = (version: string) =>
	existsSync(`/usr/share/postgresql/${version}/extension/plpgsql_check.control`) && existsSync(`${VERSIONS}/${version}/bin/initdb`);
const find = () => (existsSync(VERSIONS) ? readdirSync(VERSIONS).find(has) : undefined);

let version = find();
if (version === undefined) {
	try {
		execFileSync('apt-get', ['update', '-qq'], {stdio: 'ignore'});
		const found = execFileSync('apt-cache', ['search', '--names-only', '^postgresql-[0-9]+-plpgsql-check$'], {encoding: 'utf8'}).split(' ')[0] as string;
		execFileSync('apt-get', ['install', '-qqy', '--no-install-recommends', found, found.replace('-plpgsql-check', '')], {stdio: 'ignore'});
		version = find();
	} catch {
		// It is not Debian, or has no network.
	}
}
if (version === undefined) {
	console.log('Not run: there is no server with the extension plpgsql_check. On Debian, install postgresql-17-plpgsql-check.');
	process.exit(0);
}

process.env['FAENA_POSTGRES'] = `${VERSIONS}/${version}/bin`;
const server = await PostgresServer.start();
const client = new pg.Client(server.url);
await client.connect();
await client.query(installation('faena'));
await client.query('create extension plpgsql_check schema public');
const functions = functionsOf('faena');
await client.query(`set search_path to ${functions}, faena, public`);
const {rows} = await client.query<Readonly<Record<'name' | 'level' | 'lineno' | 'statement' | 'message', string>>>(
	`select p.proname as name, c.level, c.lineno, c.statement, c.message
	from pg_proc p join pg_language l on l.oid = p.prolang cross join lateral plpgsql_check_function_tb(p.oid, fatal_errors => false, extra_warnings => true) c
	where p.pronamespace = $1::regnamespace and l.lanname = 'plpgsql' order by 1, 3`,
	[functions],
);
const [{count}] = (await client.query('select count(*) from pg_proc where pronamespace = $1::regnamespace', [functions])).rows;
await client.end();
await server.stop();
const findings = rows.filter(({message}) => !MEANT.test(message));
for (const {name, level, lineno, statement, message} of findings) console.log(`${name}:${lineno ?? ''} ${level} ${statement ?? ''}: ${message}`);
console.log(`${count} functions, ${findings.length} findings of plpgsql_check, on PostgreSQL ${version}`);
process.exit(findings.length > 0 ? 1 : 0);
