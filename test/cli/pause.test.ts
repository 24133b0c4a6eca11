import test from 'ava';
import {assertSentence, Folder} from './command.ts';

test('pause keeps jobs of tasks from starting, resume starts them; names that mean nothing are told', async t => {
	t.timeout(60_000);
	const folder = new Folder(t);
	await folder.faena('enqueue', 'echo', '--ndjson', '--create').end('1\n2\n');
	t.like(await folder.faena('pause', 'echo', 'echo').end(), {code: 0, stdout: 'paused echo: 2 of its jobs wait\n', stderr: ''});
	t.regex((await folder.faena('status').end()).stdout, /^faena\.db: 2 pending\npaused: echo\n/);
	const unknown = await folder.faena('pause', 'eco\x1B[2J').end();
	t.is(unknown.stdout, 'paused eco\\u001b[2J\n');
	t.is(unknown.stderr, 'faena: The queue has had no job of the task "eco\\u001b[2J" so far; there is echo.\n');
	await folder.faena('enqueue', 'echo', '3', '--scope', 'eu').end();
	t.regex((await folder.faena('pause', 'typo').end()).stderr, /; there is echo, eco/);
	t.like(await folder.faena('resume', 'echo', 'ecko').end(), {
		code: 0,
		stdout: 'resumed echo: 3 of its jobs wait\n',
		stderr: 'faena: The task "ecko" was not paused; did you mean "echo"?\n',
	});
	t.is((await folder.faena('resume', 'echo').end()).stderr, 'faena: The task "echo" was not paused.\n');
	assertSentence(t, await folder.faena('schedule', 'nightly', '--run', '--json').end(), /'--json' cannot be used with option '--run'/);
	assertSentence(t, await folder.faena('pause').end(), /missing required argument 'tasks'/);
	assertSentence(t, await folder.faena('resume', 'echo', '--queue', 'none.db').end(), /There is no queue none\.db here/, 69);
});
