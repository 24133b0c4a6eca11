import {spawnSync} from 'node:child_process';
import {chmodSync, mkdirSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {setImmediate} from 'node:timers/promises';
import type {ExecutionContext} from 'ava';
import test from 'ava';
import {FAENA, Folder} from './command.ts';
import {COMMAND_LINES, type CommandLine, FILES} from './parallel-command-lines.ts';

const hasParallel = /^GNU parallel/.test(spawnSync('parallel', ['--version'], {encoding: 'utf8'}).stdout ?? '');

/** A folder with the files of the table and the program `show`, which prints a NUL after each argument and a line feed at the end. */
function folderOf(t: ExecutionContext): string {
	const folder = new Folder(t);
	mkdirSync(join(folder.path, 'bin'));
	folder.write('bin/show', '#!/bin/sh\nprintf \'%s\\0\' "$@"\necho\n');
	chmodSync(join(folder.path, 'bin/show'), 0o755);
	for (const [name, content] of Object.entries(FILES)) {
		mkdirSync(join(folder.path, dirname(name)), {recursive: true});
		folder.write(name, content);
	}
	return folder.path;
}

function outputOf(cwd: string, program: string, words: readonly string[], input = ''): string {
	const env = {...process.env, PATH: `${cwd}/bin:${process.env['PATH']}`, LC_ALL: 'C.UTF-8', SHELL: '/bin/sh', HOME: cwd};
	const {stdout, stderr, status} = spawnSync(program, words, {cwd, env, input, encoding: 'utf8'});
	// Of ours, stderr has the summary.
	if (status !== 0 || (stderr !== '' && program !== process.execPath)) throw new Error(`${program} ${JSON.stringify(words)} ended with ${status}: ${stderr}`);
	return stdout;
}

/** What the commands print that both run, each in a folder of its own. */
function runBoth(theirs: string, own: string, line: CommandLine): readonly [theirs: string, ours: string] {
	const {command, options = [], inputs = [], stdin} = line;
	return [
		outputOf(theirs, 'parallel', ['--will-cite', '-k', '-j1', ...options, command, ...inputs], stdin),
		outputOf(own, process.execPath, [FAENA, 'map', '-k', '-j1', '--quiet', '--sh', command, ...options, ...(isOfStdin(line) ? ['-'] : []), ...inputs], stdin),
	];
}

/** parallel reads stdin by itself. */
function isOfStdin({inputs = [], options = []}: CommandLine): boolean {
	return inputs.length === 0 && !options.includes('-a');
}

/** What both would run, as a script. */
function scriptsOf(cwd: string, line: CommandLine): readonly [theirs: string, ours: string] {
	const {command, options = [], inputs = [], stdin} = line;
	const theirs = outputOf(cwd, 'parallel', ['--will-cite', '-k', '-j1', '--dry-run', ...options, command, ...inputs], stdin);
	const ours = outputOf(cwd, process.execPath, [FAENA, 'map', '--dry-run', '--sh', command, ...options, ...(isOfStdin(line) ? ['-'] : []), ...inputs], stdin);
	return [theirs, ours];
}

if (!hasParallel) test.skip('GNU parallel is not installed (apt-get install parallel), so command lines are not compared with it', () => undefined);
else {
	test('at least 60 command lines are compared', t => {
		t.true(COMMAND_LINES.length >= 60);
	});

	for (const [index, line] of COMMAND_LINES.entries()) {
		const {command, options = [], inputs = []} = line;
		test.serial(
			`${index + 1}: ${[...options, command, ...inputs].join(' ').slice(0, 100)}: the same commands as those of GNU parallel, in the same order`,
			async t => {
				// The event loop turns between two, so that each is reported when it ends: all together take minutes.
				await setImmediate();
				const cwd = folderOf(t);
				const [theirs, ours] = scriptsOf(cwd, line).map(script => outputOf(cwd, '/bin/sh', ['-c', script]));
				t.is(ours, theirs);
				t.true(ours !== '' || line.stdin === '');
				const [printed, ran] = runBoth(folderOf(t), folderOf(t), line);
				t.is(ran, printed);
				t.is(ran, theirs as string);
			},
		);
	}
}
