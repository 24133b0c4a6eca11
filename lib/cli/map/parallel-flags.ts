/** The flags of GNU parallel that `faena map` does not have. */

import {type Command, Option} from 'commander';
import {bad} from '../../internal/words.ts';

/** What to do instead. The help of `faena map` says the same by subject. */
export const OTHER_FLAGS: readonly (readonly [flags: readonly string[], instead: string])[] = [
	[['--jobs', '--max-procs', '-P'], 'use -j'],
	[['--lb'], 'use --line-buffer'],
	[['--wd'], 'use --workdir'],
	[['--dryrun'], 'use --dry-run'],
	[['--tagstring'], 'use --tag, which begins each line with the item'],
	[['--files'], 'use --results, which writes the output of each command to files'],
	[['--colsep', '-C', '--header'], 'use --csv, with {name} or {1} for a column'],
	[['--max-args', '--max-lines', '-L', '--xargs', '-X', '-m'], 'use -n, the number of values in one command'],
	[['--resume-failed'], 'use --retry-failed'],
	[['--memsuspend', '--load', '--noswap'], 'use -j and --memfree'],
	[['--group', '--will-cite', '--no-notice'], 'leave it out, there is no need for it'],
	[['--ungroup', '-u'], 'use --line-buffer, which prints each line as soon as it is whole'],
	[['--verbose', '-v', '-t'], 'use --dry-run or --joblog, which have the commands'],
	[['--pipe', '--pipepart', '--spreadstdin', '--block', '--cat', '--fifo'], 'an item is a line, a record, a value or a file; split a large input before'],
	[
		['--sshlogin', '-S', '--sshloginfile', '--onall', '--nonall', '--transferfile', '--return', '--cleanup', '--basefile'],
		'use a PostgreSQL --queue and faena work on each machine',
	],
	[['--sem', '--semaphore', '--id', '--fg', '--bg'], 'a task has the option concurrency'],
	[['--tmux', '--tty'], 'commands have no terminal'],
	[['--profile', '-J'], 'write a script'],
	[['--plus', '--rpl'], `let the shell change the value, for instance: x={}; mv "$x" "\${x%.txt}.bak"`],
];

/** Makes the command refuse them, each with what to do instead. */
export function refuseOtherFlags(command: Command): void {
	const own = new Set(command.options.flatMap(({short, long}) => [short, long]));
	for (const [flags, instead] of OTHER_FLAGS) {
		for (const flag of flags.filter(each => !own.has(each))) {
			command.addOption(new Option(`${flag} [value]`).hideHelp());
			command.on(`option:${flag.replace(/^-+/, '')}`, () => {
				throw bad(`faena map does not have ${flag} of GNU parallel: ${instead}.`);
			});
		}
	}
}
