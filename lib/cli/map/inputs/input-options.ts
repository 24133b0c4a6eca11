import {type Command, Option} from 'commander';
import {toCount} from '../../flags/flag-values.ts';
import {toRange} from './range.ts';

export function addInputOptions(command: Command): Command {
	const collect = (file: string, files: readonly string[] = []) => [...files, file];
	return (
		command
			.option('--stdin', 'an item for every line of stdin; - as an argument is the same')
			.option('-0, --null', 'items end with a NUL instead of a line feed, as those of find -print0')
			.option('--ndjson', 'an item for every line of stdin or of the file of -a, parsed as JSON')
			.option('--csv', 'an item for every row of stdin or of the file of -a; the first line has the names of the columns')
			.option('--key <field>', 'with --ndjson or --csv: the field that identifies an item, such as id or user.id (default: all of it)')
			.option('-a, --arg-file <file>', 'an item for every line of the file; - is stdin', collect)
			.option('--range <from..to>', 'an item for every whole number, such as 1..1000, or with a distance 0..100..5', toRange)
			.option('-n, --max-args <n>', 'so many items to a job; the last job may have fewer', toCount)
			// parallel has both, and tells them apart only where a command has {}.
			.addOption(new Option('-N, --max-replace-args <n>', 'the same as -n').argParser(toCount))
			.option('-r, --no-run-if-empty', 'leave out blank lines and values')
			.option('--shuf', 'run the items in a random order; all are held in memory')
	);
}

/** The inputs that are no options, for the end of the help. */
export const INPUT_HELP = `
Inputs after all options. Of several, each combination is an item; the last one
changes the fastest:
  ::: a b c         values
  :::: file...      the lines of files, each an input of its own; - is stdin
  :::+ and ::::+    the same, linked to the input before: first with first, etc.`;
