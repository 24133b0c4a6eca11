import {type ErrorCode, FaenaError} from '../index.ts';

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
