/** Writes `docs/cli.md`, the reference of the command `faena`, from what parses its arguments: `npm run cli`. */
import {writeFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import type {Command, Option} from 'commander';
import {exitCodesOf} from '../lib/cli/exit-codes.ts';
import {makeProgram} from '../lib/cli/program.ts';

const INTRODUCTION = `# faena: commands and options

<!-- \`npm run cli\` writes this page from what parses the arguments. -->

This page lists all commands with their arguments and options. [The command line](command-line.md) explains them, with
examples. \`faena COMMAND --help\` prints the same in a terminal.
`;

export function writePage(program: Command): string {
	const commands = program.commands.filter(command => !isHidden(command));
	const list = commands.map(command => `* [\`faena ${command.name()}\`](#faena-${command.name()}): ${command.summary()}`);
	const codes = exitCodesOf().map(([code, meaning]) => [`\`${code}\``, meaning]);
	return [INTRODUCTION, `${list.join('\n')}\n`, ...commands.map(describe), '## Exit codes\n', toTable(['Code', ''], codes)].join('\n');
}

function isHidden(command: Command): boolean {
	return 'hidden' in command && command.hidden === true;
}

function describe(command: Command): string {
	const [usage = ''] = command.helpInformation().split('\n');
	const help = command.createHelp();
	const args = help.visibleArguments(command).map(argument => [`\`${argument.name()}\``, help.argumentDescription(argument)]);
	const options = help.visibleOptions(command).filter(({long}) => long !== '--help');
	const groups = Map.groupBy(options, option => option.helpGroupHeading ?? '');
	return [
		`## faena ${command.name()}\n`,
		`\`\`\`text\n${usage.replace('Usage: ', '')}\n\`\`\`\n`,
		`${toMarkdown(help.commandDescription(command))}\n`,
		...(args.length > 0 ? [toTable(['Argument', ''], args)] : []),
		...[...groups].flatMap(([heading, group]) => [...(heading ? [`${heading}\n`] : []), toTable(['Option', 'Default', ''], group.map(toRow))]),
		...examplesOf(command),
		`${describeCodes(command)}\n`,
	].join('\n');
}

/** For instance: Exit codes `0` all is well, `2`, `70`. A code without words means what it means everywhere. */
function describeCodes(command: Command): string {
	const usual = new Map(exitCodesOf());
	const codes = exitCodesOf(command.name()).map(([code, meaning]) => `\`${code}\`${usual.get(code) === meaning ? '' : ` (${toMarkdown(meaning)})`}`);
	return `[Exit codes](#exit-codes): ${codes.join(', ')}`;
}

function toRow(option: Option): string[] {
	const {flags, description, argChoices, defaultValue, defaultValueDescription} = option;
	const shown = defaultValueDescription ?? (defaultValue === undefined || typeof defaultValue === 'boolean' ? '' : `\`${defaultValue}\``);
	const choices = argChoices ? `: ${argChoices.map(choice => `\`${choice}\``).join(', ')}` : '';
	return [`\`${flags}\``, shown, `${description}${choices}${option.mandatory ? ' (required)' : ''}`];
}

/** What a command adds to its help, without the exit codes, which have a list of their own. */
function examplesOf(command: Command): string[] {
	let help = '';
	command.configureOutput({...command.configureOutput(), writeOut: text => (help += text)}).outputHelp();
	const added = help.slice(command.helpInformation().length).replace(/^Exit codes?:\n(?: .*\n?)*/m, '');
	return added.trim() === '' ? [] : [`\`\`\`text\n${added.trim()}\n\`\`\`\n`];
}

function toTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
	const lines = [head, head.map(() => '---'), ...rows.map(row => row.map(toMarkdown))];
	return `${lines.map(cells => `| ${cells.join(' | ')} |`).join('\n')}\n`;
}

/** Text that Markdown shows as it is. A line is a paragraph. */
function toMarkdown(text: string): string {
	const parts = text
		.replaceAll('|', '\\|')
		.replaceAll('\n', '\n\n')
		.split(/(`[^`]*`)/);
	return parts.map(part => (part.startsWith('`') ? part : part.replaceAll(/[*_]/g, '\\$&').replaceAll('<', '&lt;'))).join('');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(new URL('./cli.md', import.meta.url), writePage(await makeProgram()));
