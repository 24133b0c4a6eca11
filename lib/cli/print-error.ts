import {CommanderError} from 'commander';
import {escapeControls} from './escape-controls.ts';
import {ExitCode, exitCodeOf} from './exit-codes.ts';
import {Unwritable} from './print.ts';

/** One line for people on stderr. */
export function printError(sentence: string): void {
	process.stderr.write(`faena: ${escapeControls(sentence)}\n`);
}

/** Says what went wrong in one sentence, unless commander has said it already. Returns the exit code. */
export function explain(error: unknown): number {
	// Help and the version arrive as errors, too.
	if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.done : ExitCode.refused;
	if (error instanceof Unwritable && error.cause.code === 'EPIPE') return ExitCode.noReader;
	printError(error instanceof Error ? error.message : String(error));
	return exitCodeOf(error);
}
