import {CommanderError} from 'commander';
import {escapeControls} from './escape-controls.ts';
import {ExitCode, exitCodeOf} from './exit-codes.ts';
import {Unwritable} from './print.ts';

/** Prints a line to stderr. */
export function printError(sentence: string): void {
	process.stderr.write(`faena: ${escapeControls(sentence)}\n`);
}

/** Prints an error in one sentence, unless commander has printed it. Returns the exit code. */
export function explain(error: unknown): number {
	// Commander also throws after it has printed help or the version.
	if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.done : ExitCode.refused;
	if (error instanceof Unwritable && error.cause.code === 'EPIPE') return ExitCode.noReader;
	printError(error instanceof Error ? error.message : String(error));
	return exitCodeOf(error);
}
