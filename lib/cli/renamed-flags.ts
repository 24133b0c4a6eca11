import {type Command, Option} from 'commander';
import {FaenaError} from '../index.ts';

/** Former flags of each command, and their new names. */
export const RENAMED_FLAGS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
	map: {'--attempts': '--max-attempts', '--json': '--ndjson'},
};

/** Makes a command refuse its former flags with a message that names the new one. */
export function refuseRenamedFlags(command: Command): void {
	for (const [flag, now] of Object.entries(RENAMED_FLAGS[command.name()] ?? {})) {
		command.addOption(new Option(`${flag} [value]`).hideHelp());
		command.on(`option:${flag.slice(2)}`, () => {
			throw new FaenaError('BadOption', `${flag} of faena ${command.name()} is now called ${now}.`);
		});
	}
}
