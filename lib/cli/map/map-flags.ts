/** The flags of `faena map`, besides those of inputs. Where GNU parallel has a flag for the same, it has that name, too. */

import {type Command, InvalidArgumentError, Option} from 'commander';
import type {MapOptions} from '../../index.ts';
import {addEngineFlags, type EngineFlags} from '../flags/engine-flags.ts';
import {onlyOnce, toCount, toDuration, toHalt, toMaxDelays, toSize, toTime} from '../flags/flag-values.ts';
import {FRESH_HELP, type FreshFlag, toFresh} from './fresh.ts';

export interface MapFlags
	extends EngineFlags,
		Pick<MapOptions<unknown, unknown>, 'timeout' | 'maxAttempts' | 'maxDelays' | 'retryFailed' | 'missing' | 'halt'> {
	readonly sh?: string;
	readonly dryRun?: true;
	readonly quiet?: true;
	readonly batch?: string;
	readonly fresh?: readonly FreshFlag[];
	readonly order: 'finished' | 'input';
	readonly delay?: number;
	readonly weight?: string;
	readonly env?: Readonly<Record<string, string>>;
	readonly joblog?: string;
	readonly json?: true;
	readonly times?: true;
	readonly tag?: true;
	readonly lineBuffer?: true;
	readonly results?: string;
	readonly workdir?: string;
	readonly memory?: number;
}

export function addMapFlags(command: Command): Command {
	addEngineFlags(command)
		.option('--batch <name>', 'name under which the run is resumed (default: made of the task or command, --env, and the globs or kind of input)')
		.option('--fresh <what>', FRESH_HELP, toFresh)
		.option('--dry-run', 'run nothing and change nothing; print which items would run, and why; with --sh, the commands')
		.option('--timeout <time>', 'longest run of a job, for instance 30s, 5m, or 300% of the median, once ten have completed (default: none)', toTime)
		.option('--max-attempts <n>', 'failures after which a job is dead (default: 3; 1 with --sh)', toCount)
		.option('--max-delays <n>', 'times that the task may put a job off by RetryAfter without a charge (default: 100)', toMaxDelays)
		.option('--retry-failed', 'run items again that died or were cancelled in an earlier run')
		.addOption(
			new Option(
				'--missing <how>',
				'what to do with unfinished items of an earlier run that are not in this input: hold, run, cancel or delete them; delete also drops the results ' +
					'of files that no longer exist (default: hold; cancel if the command itself has all values)',
			).choices(['hold', 'run', 'cancel', 'delete']),
		)
		.option(
			'--halt <when>',
			'stop early, after so many items failed, succeeded or ended: now,fail=1, soon,fail=5%, now,success=1 or soon,done=100; a few more may end first',
			toHalt,
		)
		.option('--delay <time>', 'wait so long between two items, for instance 100ms, so that their jobs start no closer while workers are idle', toDuration)
		.option('--weight <field>', 'with --ndjson or --csv: a number that says how long an item takes; the longest run first')
		.option('--env <name=value>', ENV_HELP, toEnv);
	return addOutputFlags(addCommandFlags(command));
}

function addCommandFlags(command: Command): Command {
	return command
		.option('--workdir <folder>', 'with --sh: the working directory of the commands', onlyOnce)
		.option('--memory <size>', 'with --sh: the memory that a command may need; it waits until so much is free', toSize)
		.option('--results <folder>', 'with --sh: write all output of each command to files in the folder, as 1/VALUE/stdout and stderr', onlyOnce)
		.option('--tag', 'with --sh: begin each line of output with the item')
		.option('--line-buffer', 'with --sh: print each line of output as soon as it is whole, not the output of each command together');
}

function addOutputFlags(command: Command): Command {
	return command
		.addOption(new Option('--order <order>', 'print results as they finish, or in the order of the input').choices(['finished', 'input']).default('finished'))
		.option('--joblog <file>', "append a line for each job that ran, in the columns of GNU parallel's job log", onlyOnce)
		.option('--json', 'with --sh: print a line of JSON for each result instead of the output')
		.option('--times', 'add to each line of JSON when the job ran, for how long, its CPU time and its attempts')
		.option('--quiet', 'print no progress, only the summary');
}

export const ENV_HELP = "a variable in the environment of the tasks or commands (a name alone changes nothing: they have all variables of faena's own)";

export function toEnv(text: string, before: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
	const [, name = '', value] = /^([^=]+)(?:=(.*))?$/s.exec(text) ?? [];
	if (name === '') throw new InvalidArgumentError('It is NAME=VALUE, or the NAME of a variable.');
	if (value !== undefined) return {...before, [name]: value};
	if (process.env[name] === undefined) throw new InvalidArgumentError(`There is no variable ${JSON.stringify(name)} to pass on.`);
	// The workers have it in any case. Its value is none of the run's: PATH, for instance, may be another one tomorrow.
	return before;
}
