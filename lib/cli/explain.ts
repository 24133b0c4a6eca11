import {CommanderError} from 'commander';
import {Unwritable} from './print.ts';
import {printable} from './printable.ts';

/** Exit code for wrong usage and bad input, and whatever else keeps a command from doing its work. */
const REFUSED = 2;

/** As a shell reports the end by SIGPIPE. */
export const NO_READER = 141;

/** One line for people on stderr. */
export function say(sentence: string): void {
	process.stderr.write(`faena: ${printable(sentence)}\n`);
}

/** Says what went wrong in one sentence, unless commander has said it already. Returns the exit code. */
export function explain(error: unknown): number {
	// Help and the version arrive as errors, too.
	if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : REFUSED;
	if (error instanceof Unwritable && error.cause.code === 'EPIPE') return NO_READER;
	say(error instanceof Error ? error.message : String(error));
	return REFUSED;
}
