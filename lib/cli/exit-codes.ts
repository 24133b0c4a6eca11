import {type ErrorCode, FaenaError} from '../index.ts';

/** The exit codes of `faena`, the same for all its commands. They are documented in `docs/command-line.md`. */
export const ExitCode = {
	/** The command did what it was told; of a map: every item is completed. */
	done: 0,
	/** Some items of a map died or were cancelled, or a measurement is void. */
	someFailed: 1,
	/** Wrong usage, bad input, or a queue or module that can't be used: nothing was done until that is mended. */
	refused: 2,
	/** A job or batch that was named isn't there. What was done for the others is printed. */
	notFound: 3,
	/** The input of a map could not be read to its end, or unfinished jobs of an earlier run were missing from it and were kept. */
	inputIncomplete: 4,
	/** The work failed midway: the disk, a lock that another program held, or a fault of Faena's. The same command may be tried again. */
	failed: 70,
	/** As a shell reports the end by SIGINT; a process that ends by another signal is reported by that one. */
	interrupted: 130,
	/** As a shell reports the end by SIGPIPE: the reader of stdout has gone. */
	noReader: 141,
} as const;

/** Of errors that the user can't avoid by typing something else. All others are {@link ExitCode.refused}. */
const CODES: Partial<Record<ErrorCode, number>> = {
	NoSuchJob: ExitCode.notFound,
	NoSuchBatch: ExitCode.notFound,
	StorageFull: ExitCode.failed,
	DatabaseBusy: ExitCode.failed,
	OutcomeUnknown: ExitCode.failed,
	DispatcherFailed: ExitCode.failed,
};

/** What a command ends with that met this error. */
export function exitCodeOf(error: unknown): number {
	if (error instanceof FaenaError) return CODES[error.code] ?? ExitCode.refused;
	return ExitCode.failed;
}
