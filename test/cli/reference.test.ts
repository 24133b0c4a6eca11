import {readFileSync} from 'node:fs';
import test from 'ava';
import {Command, Option} from 'commander';
import {writePage} from '../../docs/cli.ts';
import {makeProgram} from '../../lib/cli/program.ts';

const read = (page: string) => readFileSync(new URL(`../../docs/${page}`, import.meta.url), 'utf8');

test('docs/cli.md is what `npm run cli` writes of the commands that there are', async t => {
	t.is(read('cli.md'), writePage(await makeProgram()));
});

const inTable = (text: string) => text.replaceAll('|', '\\|');

test('docs/cli.md has each command with its arguments, options, choices, defaults and examples', async t => {
	const all = await makeProgram();
	const page = writePage(all);
	const {commands} = all;
	t.true(commands.length > 10);
	for (const command of commands) {
		const section = page.split(`## faena ${command.name()}\n`)[1]?.split('\n## ')[0] ?? '';
		for (const argument of command.registeredArguments) t.true(section.includes(`| \`${inTable(argument.name())}\` |`), argument.name());
		for (const {flags, hidden} of command.options) t.is(section.includes(`| \`${inTable(flags)}\` |`), !hidden, flags);
	}
	const program = new Command('faena');
	program
		.command('made')
		.description('Says *this* | that.')
		.argument('<a|b>', 'one')
		.addOption(new Option('--much <n>', 'a number').choices(['1', '2']).default('2'))
		.addHelpText('after', '\nExamples:\n  faena made 1');
	const made = writePage(program);
	t.true(made.includes('Says \\*this\\* \\| that.\n\n| Argument |  |\n| --- | --- |\n| `a\\|b` | one |\n'), made);
	t.true(made.includes('| `--much <n>` | `2` | a number: `1`, `2` |\n\n```text\nExamples:\n  faena made 1\n```\n'), made);
});

test('docs/command-line.md has a section for each command, with a link to its options', async t => {
	const guide = read('command-line.md');
	for (const command of (await makeProgram()).commands)
		t.regex(guide, new RegExp(`^## .*\\bfaena ${command.name()}\\b.*\\n\\n.*\\(cli\\.md#faena-${command.name()}\\)`, 'm'));
});
