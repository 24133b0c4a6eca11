import {scryptSync} from 'node:crypto';
import {readFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import test from 'ava';
import {Folder} from '../cli/command.ts';

const MAIN = fileURLToPath(new URL('../../examples/ndjson/main.ts', import.meta.url));
const SAMPLE = fileURLToPath(new URL('../../examples/ndjson/users.ndjson', import.meta.url));

interface User {
	readonly id: string;
	readonly md5: string;
}

function usersOf(ndjson: string): User[] {
	return ndjson
		.trim()
		.split('\n')
		.map(line => JSON.parse(line));
}

test('the NDJSON example prints a line for each line, in their order, from a file and from stdin', async t => {
	const folder = new Folder(t);
	const {code, stdout, stderr} = await folder.run(MAIN, SAMPLE).end();
	const users = usersOf(readFileSync(SAMPLE, 'utf8'));
	const results = stdout
		.trim()
		.split('\n')
		.map(line => JSON.parse(line) as {id: string; scrypt: string});
	t.is(code, 0, stderr);
	t.deepEqual(
		results.map(({id}) => id),
		users.map(({id}) => id),
	);
	const [, , , , , salt = '', hash = ''] = results[0]?.scrypt.split('$') ?? [];
	const expected = scryptSync(users[0]?.md5 ?? '', Buffer.from(salt, 'base64url'), 32, {N: 2 ** 15, r: 8, p: 1, maxmem: 2 ** 26});
	t.is(hash, expected.toString('base64url'));
	const piped = await folder.run(MAIN).end(readFileSync(SAMPLE, 'utf8'));
	t.is(piped.stdout, stdout);
});

test('killed and started again, the NDJSON example prints the whole output', async t => {
	const folder = new Folder(t);
	const killed = folder.run(MAIN, SAMPLE);
	await killed.printed(2);
	const before = (await killed.kill()).stdout;
	const {code, stdout} = await folder.run(MAIN, SAMPLE).end();
	t.is(code, 0);
	t.is(stdout.trim().split('\n').length, usersOf(readFileSync(SAMPLE, 'utf8')).length);
	t.true(stdout.startsWith(before));
});

test('the NDJSON example ends with 1 if a user failed and with 2 for bad input', async t => {
	const good = '{"id":"ada","md5":"8f14e45fceea167a5a36dedd4bea2543"}\n';
	const failed = await new Folder(t).run(MAIN).end(`{"id":"nobody"}\n${good}`);
	t.is(failed.code, 1);
	t.is(failed.stderr, 'nobody: user nobody has no MD5: undefined\n');
	t.regex(failed.stdout, /^{"id":"ada","scrypt":".*"}\n$/);
	const bad = await new Folder(t).run(MAIN).end(`${good}nonsense\n`);
	t.is(bad.code, 2);
	t.regex(bad.stderr, /^Unexpected token .*\n$/);
	const missing = await new Folder(t).run(MAIN, 'missing.ndjson').end();
	t.is(missing.code, 2);
	t.regex(missing.stderr, /^ENOENT.*missing\.ndjson'\n$/);
});
