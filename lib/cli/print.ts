import {CommanderError} from 'commander';
import {type ErrorCode, FaenaError} from '../index.ts';

/**
 * Prints a command's output to stdout.
 * @throws Unwritable if that fails
 */
export async function print(text: string): Promise<void> {
	await new Promise<void>((resolve, reject) => {
		process.stdout.write(escapeControls(text), error => (error ? reject(new Unwritable(error)) : resolve()));
	});
}

export class Unwritable extends Error {
	declare readonly cause: NodeJS.ErrnoException;

	constructor(cause: Error) {
		super(`The output can't be written: ${cause.message}.`, {cause});
	}
}

/** Control characters, and those that change the direction of text. A terminal obeys them, and the text that is shown comes from jobs. */
const CONTROLS = /[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** Writes all controls but line feeds and tabs as JSON escapes, so that JSON stays valid. */
export function escapeControls(text: string): string {
	return text.replace(CONTROLS, control => (control === '\n' || control === '\t' ? control : escaped(control)));
}

/** Writes all controls as escapes, so that the text stays within its line. */
export function inLine(text: string): string {
	return text.replace(CONTROLS, escaped);
}

function escaped(control: string): string {
	return control === '\n' ? '\\n' : `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

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

/** The exit codes of all commands. They are documented in `docs/command-line.md`. */
export const ExitCode = {
	/** The command succeeded. For a map: every item is completed. */
	done: 0,
	/** Some items of a map died or were cancelled, or a measurement is void. */
	someFailed: 1,
	/** Wrong usage, bad input, or a queue or module that can't be used. Nothing was done. */
	refused: 2,
	/** A job or batch that was named does not exist. The result for the others is printed. */
	notFound: 3,
	/** The input of a map could not be read to its end, or unfinished jobs of an earlier run were missing from it and were kept. */
	inputIncomplete: 4,
	/** The work failed midway: because of the disk, a lock of another program, or a bug in Faena. The same command may be tried again. */
	failed: 70,
	/** The code that a shell reports for SIGINT. For another signal it reports another code. */
	interrupted: 130,
	/** The code that a shell reports for SIGPIPE: the reader of stdout has gone. */
	noReader: 141,
} as const;

/** Exit codes of errors that the user can't avoid by another command line. All other errors are {@link ExitCode.refused}. */
const CODES: Partial<Record<ErrorCode, number>> = {
	NoSuchJob: ExitCode.notFound,
	NoSuchBatch: ExitCode.notFound,
	StorageFull: ExitCode.failed,
	DatabaseBusy: ExitCode.failed,
	OutcomeUnknown: ExitCode.failed,
	DispatcherFailed: ExitCode.failed,
};

/** The exit code of a command that failed with this error. */
export function exitCodeOf(error: unknown): number {
	if (error instanceof FaenaError) return CODES[error.code] ?? ExitCode.refused;
	return ExitCode.failed;
}
