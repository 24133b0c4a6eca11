import {type Command, Option} from 'commander';
import {bad} from '../internal/words.ts';

/** Makes a command refuse a flag, with or without a value, in a sentence that says what to use instead. */
export function refuseFlag(command: Command, flag: string, sentence: string): void {
	command.addOption(new Option(`${flag} [value]`).hideHelp());
	command.on(`option:${flag.replace(/^-+/, '')}`, () => {
		throw bad(sentence);
	});
}
