import {readFileSync} from 'node:fs';
import test from 'ava';
import {ExitCode, exitCodeOf} from '../../lib/cli/print.ts';
import {FaenaError} from '../../lib/support/errors.ts';

test('wrong usage, missing jobs and failures midway end a command with different codes', t => {
	for (const code of ['BadOption', 'BadDatabase', 'NewerDatabase', 'BadTasksModule', 'UnknownTask', 'KeyConflict', 'TooLarge'] as const)
		t.is(exitCodeOf(new FaenaError(code, '')), 2, code);
	for (const code of ['NoSuchJob', 'NoSuchBatch'] as const) t.is(exitCodeOf(new FaenaError(code, '')), 3, code);
	for (const code of ['StorageFull', 'DatabaseBusy', 'OutcomeUnknown', 'DispatcherFailed'] as const) t.is(exitCodeOf(new FaenaError(code, '')), 70, code);
	t.is(exitCodeOf(new TypeError('of Faena itself')), 70);
});

test('the table of docs/command-line.md has exactly the exit codes that there are', t => {
	const page = readFileSync(new URL('../../docs/command-line.md', import.meta.url), 'utf8');
	const documented = [...page.matchAll(/^\| `(\d+)` \|/gm)].map(([, code]) => Number(code));
	t.deepEqual(
		documented,
		Object.values(ExitCode).toSorted((a, b) => a - b),
	);
});
