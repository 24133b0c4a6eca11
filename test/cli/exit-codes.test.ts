import {readFileSync} from 'node:fs';
import test from 'ava';
import {EXIT_CODES, exitCodeOf, exitCodesOf} from '../../lib/cli/exit-codes.ts';
import {makeProgram} from '../../lib/cli/program.ts';
import {FaenaError} from '../../lib/support/errors.ts';
import {Folder} from './command.ts';

test('wrong usage, missing jobs, queues that can not be used and defects of Faena end a command with different codes', t => {
	for (const code of ['BadOption', 'BadTasksModule', 'UnknownTask', 'KeyConflict', 'TooLarge'] as const) t.is(exitCodeOf(new FaenaError(code, '')), 2, code);
	for (const code of ['NoSuchJob', 'NoSuchBatch', 'NoSuchSchedule'] as const) t.is(exitCodeOf(new FaenaError(code, '')), 3, code);
	for (const code of ['BadDatabase', 'NewerDatabase', 'StorageFull', 'DatabaseBusy', 'Unreachable', 'OutcomeUnknown'] as const)
		t.is(exitCodeOf(new FaenaError(code, '')), 69, code);
	t.is(exitCodeOf(new FaenaError('DispatcherFailed', '')), 70);
	t.is(exitCodeOf(new TypeError('of Faena itself')), 70);
});

/** The codes of the list in a help text, with their meanings. */
function listed(help: string): (readonly [code: number, meaning: string])[] {
	const [, list = ''] = help.split(/^Exit codes?:\n/m);
	return [...(list.split('\n\n')[0] ?? '').matchAll(/^ +(\d+) {2}(.*)$/gm)].map(([, code, meaning = '']) => [Number(code), meaning]);
}

test('faena --help lists every exit code once, and the help of each command those that it may have', async t => {
	const folder = new Folder(t);
	const all = Object.values(EXIT_CODES);
	t.deepEqual(listed((await folder.faena('--help').end()).stdout), [...all]);
	t.is(new Set(all.map(([code]) => code)).size, all.length);
	const commands = (await makeProgram()).commands.map(command => command.name());
	t.true(commands.length > 10);
	for (const name of commands) {
		const {code, stdout} = await folder.faena(name, '--help').end();
		t.is(code, 0);
		const codes = listed(stdout);
		t.deepEqual(codes, [...exitCodesOf(name)], name);
		t.true(codes.length >= 5 && codes.every(([each]) => all.some(([known]) => known === each)), name);
	}
});

test('docs/cli.md has the table of exit codes', t => {
	const page = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8');
	const table = page.slice(page.indexOf('## Exit codes'));
	const documented = [...table.matchAll(/^\| `(\d+)` \| (.*) \|$/gm)].map(([, code, meaning]) => [Number(code), meaning]);
	t.deepEqual(documented, [...exitCodesOf()]);
});
