import {chmodSync, existsSync} from 'node:fs';
import {hostname as hostNameOfSystem} from 'node:os';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import test from 'ava';
import pg from 'pg';
import {functionsOf} from '../../lib/store/postgres/connection/schema.ts';
import {version} from '../../lib/support/version.ts';
import {PostgresServer} from '../fixtures/postgres-server.ts';
import {assertSentence, FAENA, Folder, type Program, tasks} from './command.ts';

const MODULE = tasks('traces-executions', 'echo').replace('#echo', '');

let server: PostgresServer;

test.before(async t => {
	t.timeout(120_000);
	server = await PostgresServer.start();
});

test.after.always(() => server?.stop());

test('the commands that operate a queue take the URL of a PostgreSQL database', async t => {
	t.timeout(180_000);
	const folder = new Folder(t);
	const url = `${server.url}?schema=ops`;
	const faena = (...words: readonly string[]) => folder.faena(...words, '--queue', url);
	const shown = url.replace(/:[^:@]+@/, '@');
	assertSentence(t, await faena('enqueue', 'echo', '1').end(), /There is no queue postgres:\/\/postgres@127\.0\.0\.1:\d+\/postgres\?schema=ops here/, 69);
	t.is((await faena('enqueue', 'echo', '--ndjson', '--create').end('1\n2\n')).stdout, '1\n2\n');
	t.is((await faena('pause', 'echo').end()).stdout, 'paused echo: 2 of its jobs wait\n');
	const doctor = await faena('doctor').end();
	t.is(doctor.code, 1);
	t.regex(doctor.stdout, /PostgreSQL \d+.*\nsettings {2}.*fsync off/s);
	t.true(doctor.stdout.includes(`! The setting fsync is off: a crash of the machine can lose or damage jobs.\n`), doctor.stdout);
	t.true(doctor.stdout.includes(`! The task echo is paused, and 2 jobs wait.\n  faena resume echo --queue '${shown}'\n`), doctor.stdout);
	t.regex(doctor.stdout, /\nschema {4}version 1; functions of Faena [\d.]+ \(not in use\)\n/);
	t.is((await faena('schema').end()).stdout, `${shown}: version 1; functions of Faena ${version} (not in use)\n`);
	await faena('resume', 'echo').end();
	const working = faena('work', MODULE, '-j', '1', '--retention', 'cancelled=1d');
	while (!(await faena('status').end()).stdout.includes('2 completed'));
	t.regex((await faena('doctor').end()).stdout, /\nschema {4}version 1; functions of Faena [\d.]+ \([2-5] connections\)\nengines {3}1 open\n/);
	t.like(JSON.parse((await faena('schema', '--json').end()).stdout), {queue: shown, version: 1, isPrepared: true, releases: [{release: version, version: 1}]});
	working.child.kill('SIGTERM');
	t.regex((await working.end()).stderr, /Stopped\. No jobs are left\.\n$/);
	t.is((await faena('logs', '1', '-f').end()).code, 0);
	assertSentence(t, await faena('logs', '9').end(), /There is no job 9 in postgres:/, 3);
	t.is((await faena('cleanup', '--older-than', '0s').end()).stdout, '2 jobs deleted\n');
	await faena('map', `${MODULE}#echo`, '--stdin', '--batch', 'run').end('a\nb\n');
	t.is((await faena('delete', 'run').end()).stdout, '2 jobs deleted\n');
	assertSentence(t, await faena('backup', join(folder.path, 'copy')).end(), /Copy a queue on PostgreSQL with: pg_dump --schema='ops' --file=FILE 'URL'\./);
});

test('the SQL that faena schema prints makes a queue for a user who may not; run again, it changes nothing', async t => {
	t.timeout(120_000);
	const folder = new Folder(t);
	const admin = new pg.Client(server.url);
	await admin.connect();
	await admin.query(`create user app password 'pw'; revoke create on database postgres from public; create schema printed authorization app`);
	const url = Object.assign(new URL(server.url), {username: 'app', password: 'pw', search: '?schema=printed'}).href;
	const enqueue = () => folder.faena('enqueue', 'echo', '1', '--create', '--queue', url).end();
	assertSentence(t, await enqueue(), /This user may not prepare the database .* faena schema --print/, 69);
	const {stdout, code} = await folder.faena('schema', '--print', '--queue', 'postgres:///?schema=printed').end();
	t.is(code, 0);
	// The schemas are made by someone else.
	const [statements = ''] = /create schema .*;/.exec(stdout) ?? [];
	await admin.query(statements.replaceAll('OWNER', 'app'));
	const app = new pg.Client(url.replace(/\?.*/, ''));
	await app.connect();
	await app.query(stdout);
	t.is((await enqueue()).stdout, '1\n');
	await app.query(stdout);
	t.is((await enqueue()).stdout, '2\n');
	await app.end();
	t.regex((await folder.faena('schema', '--print').end()).stdout, /set_config\('faena\.tables', E'faena', true\)/);
	await admin.end();
});

test('a queue that is not prepared for this release can be looked at: doctor and schema say that it is not', async t => {
	t.timeout(120_000);
	const folder = new Folder(t);
	const faena = (...words: readonly string[]) => folder.faena(...words, '--queue', `${server.url}?schema=older`).end();
	await faena('enqueue', 'echo', '1', '--create');
	const admin = new pg.Client(server.url);
	await admin.connect();
	await admin.query(`drop schema "${functionsOf('older')}" cascade; delete from older.function_set`);
	await admin.end();
	t.regex((await faena('schema')).stdout, /: version 1; not prepared for Faena [\d.]+\n$/);
	t.like(JSON.parse((await faena('schema', '--json')).stdout), {version: 1, isPrepared: false, releases: []});
	const doctor = await faena('doctor');
	t.is(doctor.code, 1, doctor.stderr);
	t.regex(doctor.stdout, /\nschema {4}version 1; not prepared for Faena [\d.]+\nengines {3}0 open\n/);
	t.regex(doctor.stdout, /! The functions of this release are not installed, so no jobs were looked at\.\n {2}Open the queue/);
	t.regex(doctor.stdout, /! The setting fsync is off/);
	assertSentence(t, await faena('status'), /was not prepared for this release of Faena/, 69);
});

test('a password may stand in a file; each engine says in the server which it is', async t => {
	t.timeout(120_000);
	const folder = new Folder(t);
	const {username, password, hostname, port, pathname} = new URL(server.url);
	folder.write('pgpass', `${hostname}:${port}:*:${username}:${password}\n`);
	chmodSync(join(folder.path, 'pgpass'), 0o600);
	const queue = `postgres://${username}@${hostname}:${port}${pathname}?schema=passed`;
	const faena = (...words: readonly string[]) => folder.sh(`PGPASSFILE=pgpass exec '${process.execPath}' '${FAENA}' ${words.join(' ')} --queue '${queue}'`);
	t.is((await faena('enqueue', 'echo', '1', '--create').end()).stdout, '1\n');
	const working = faena('work', MODULE, '-j', '1');
	const admin = new pg.Client(server.url);
	await admin.connect();
	const expected = `faena ${version} ${hostNameOfSystem()}:${working.child.pid}`.slice(0, 63);
	while ((await admin.query('select from pg_stat_activity where application_name = $1', [expected])).rows.length < 2) await sleep(20);
	working.child.kill('SIGTERM');
	await working.end();
	await admin.end();
	t.pass();
});

test('faena map on PostgreSQL runs files again that have changed, also if they changed only while a command read them', async t => {
	t.timeout(120_000);
	const folder = new Folder(t);
	const queue = `${server.url}?schema=changed`;
	const map = () => folder.faena('map', '--sh', 'touch {}.begun; while [ ! -e go ]; do sleep 0.02; done; cat {}', '-k', '*.txt', '--queue', queue);
	const outputs = async (program: Program) => (await program.end()).stdout;
	for (const name of ['a.txt', 'b.txt']) folder.write(name, 'one ');
	const first = map();
	while (!existsSync(join(folder.path, 'a.txt.begun'))) await sleep(20);
	folder.write('a.txt', 'for a moment ');
	folder.write('go');
	t.is(await outputs(first), 'for a moment one ');
	folder.write('a.txt', 'one ');
	const second = await map().end();
	t.is(second.stdout, 'one one ');
	t.regex(second.stderr, /2 completed.*: 1 unchanged, 1 changed\.\n$/);
	folder.write('b.txt', 'two ');
	t.is(await outputs(map()), 'one two ');
	t.regex((await map().end()).stderr, /: 2 unchanged\.\n$/);
});

test('a server that can not be reached has an exit code of its own', async t => {
	t.timeout(120_000);
	const folder = new Folder(t);
	const url = 'postgres://me:secret@127.0.0.1:1/jobs';
	for (const words of [['status'], ['doctor']]) {
		const {code, stdout, stderr} = await folder.faena(...words, '--queue', url).end();
		t.is(code, 69, stderr);
		t.is(stdout, '');
		t.false(stderr.includes('secret'));
	}
});
