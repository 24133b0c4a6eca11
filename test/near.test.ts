import {spawnSync} from 'node:child_process';
import {fileURLToPath} from 'node:url';
import test from 'ava';

const NEAR = fileURLToPath(new URL('near.ts', import.meta.url));
const near = (...words: readonly string[]) =>
	spawnSync(process.execPath, [NEAR, '--list', ...words], {encoding: 'utf8', cwd: fileURLToPath(new URL('..', import.meta.url))});

test('the tests of a file are those that reach it, the nearest first', t => {
	const {stdout, stderr} = near('lib/job/next-state.ts');
	const files = stdout.trim().split('\n');
	t.true(files.slice(0, 2).includes('test/job/next-state.test.ts'), stdout);
	t.false(files.includes('test/near.test.ts'));
	t.regex(stderr, /^Left out: \d+ of \d+ test files/);
});

test('of a file that little depends on, none is left out', t => {
	const {stdout, stderr} = near('lib/transport/id-ranges.ts', '--all');
	t.true(stdout.split('\n').includes('test/transport/id-ranges.test.ts'), stdout);
	t.is(stderr, '');
});

test('SQL is tested by the tests of the PostgreSQL store', t => {
	t.regex(near('lib/store/postgres/functions/claim.sql').stdout, /^test\/store\/postgres/m);
});

test('a file that is not there is refused in words', t => {
	const {status, stderr} = near('lib/no-such.ts');
	t.is(status, 2);
	t.is(stderr, 'There is no file lib/no-such.ts.\n');
});

test('what is started by its name is tested, too: workers, tasks of a command, programs', t => {
	t.true(near('workers/dispatcher.ts', '--all').stdout.includes('test/engine/map.test.ts\n'));
	t.true(near('lib/cli/map/shell/shell-task.ts', '--all').stdout.includes('test/cli/sh.test.ts\n'));
	t.true(near('workers/thread-entry.cts', '--all').stdout.includes('test/pool/threads.test.ts\n'));
});

test('a test that was named runs, also a long one', t => {
	t.is(near('test/engine/process.test.ts').stdout, 'test/engine/process.test.ts\n');
});
