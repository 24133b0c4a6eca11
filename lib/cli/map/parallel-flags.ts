/** The flags of GNU parallel for which `faena map` has others. */

import {type Command, Option} from 'commander';
import {refuseFlag} from '../refuse-flag.ts';

/** Other names of flags, or of a flag with a value. */
const OTHER_NAMES: Readonly<Record<string, readonly string[]>> = {
	'-j': ['-P, --jobs <n>', '--max-procs <n>'],
	'--order input': ['-k, --keep-order'],
	'--max-attempts': ['--retries <n>'],
	'--retry-failed': ['--resume-failed'],
	'--line-buffer': ['-u, --ungroup', '--lb'],
	'--workdir': ['--wd <folder>'],
	'--dry-run': ['--dryrun'],
	'--min-free-memory': ['--memfree <size>'],
};

/** What is the default here, or there is no need for. */
const ALWAYS_ON = ['--bar', '--eta', '--progress', '--resume', '--group', '--will-cite', '--no-notice'];

/** What to do instead of others. */
export const REFUSED: Readonly<Record<string, string>> = {
	'--tagstring': 'use --tag, which begins each line with the item',
	'--files': 'use --results, which writes the output of each command to files',
	'--colsep -C --header': 'make the input CSV and use --csv, with {name} or {1} for a column',
	'--max-lines -L --xargs -X -m': 'use -n, the number of values in one command',
	'--memsuspend --load --noswap': 'use -j and --min-free-memory',
	'--verbose -v -t': 'use --dry-run or --joblog, which have the commands',
	'--pipe --pipepart --spreadstdin --block --cat --fifo': 'an item is a line, a record, a value or a file; split a large input before',
	'--sshlogin -S --sshloginfile --onall --nonall --transferfile --return --cleanup --basefile': 'use a PostgreSQL --queue and faena work on each machine',
	'--sem --semaphore --id --fg --bg': 'a task has the option concurrency',
	'--tmux --tty': 'commands have no terminal',
	'--profile -J': 'write a script',
	'--plus --rpl': `let the shell change the value, for instance: x={}; mv "$x" "\${x%.txt}.bak"`,
};

export function addParallelFlags(command: Command): void {
	command.optionsGroup('The same, as GNU parallel names it:');
	for (const [own, names] of Object.entries(OTHER_NAMES)) for (const flags of names) addOtherName(command, flags, own);
	for (const flag of ALWAYS_ON) command.addOption(new Option(flag).hideHelp());
	for (const [flags, instead] of Object.entries(REFUSED))
		for (const flag of flags.split(' ')) refuseFlag(command, flag, `faena map does not have ${flag} of GNU parallel: ${instead}.`);
}

function addOtherName(command: Command, flags: string, own: string): void {
	const [flag, value] = own.split(' ');
	const option = command.options.find(({short, long}) => short === flag || long === flag) as Option;
	const other = new Option(flags, `the same as ${own}`).preset(value);
	command.addOption(Object.assign(other, {parseArg: option.parseArg, attributeName: () => option.attributeName()}));
}

/** For the end of the help. */
export const PARALLEL_HELP = `
Of GNU parallel's options, --bar, --eta, --progress, --resume and --group are
always on. Others are refused, most of them with what to use instead.`;
