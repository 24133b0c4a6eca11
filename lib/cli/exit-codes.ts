/** The exit codes of all commands: what `faena --help`, the help of each command and docs/cli.md say, and what errors end with. */

import {type ErrorCode, FaenaError} from '../internal/words.ts';
import {InputError} from './input-error.ts';

/** Each code with what it means. 69 and 70 are those of sysexits.h; the last two are what a shell reports for a signal. */
export const EXIT_CODES = {
	done: [0, 'done'],
	someFailed: [1, 'the command was carried out, and not all is well: some items died, or something needs attention'],
	refused: [2, "wrong usage, a value that is refused, or tasks that can't be loaded"],
	notFound: [3, 'something that you named does not exist; the rest was done'],
	inputIncomplete: [4, 'the input could not be read to its end, or lacked unfinished jobs of an earlier run'],
	unavailable: [69, "the queue can't be used: it is not there, out of reach, locked, damaged, or its disk is full"],
	failed: [70, 'Faena itself failed'],
	interrupted: [130, 'ended by Ctrl-C; by SIGTERM it is 143, by SIGHUP (the terminal is closed) 129'],
	noReader: [141, 'the reader of the output has gone'],
} as const satisfies Readonly<Record<string, readonly [code: number, meaning: string]>>;

type ExitName = keyof typeof EXIT_CODES;

export const ExitCode = Object.fromEntries(Object.entries(EXIT_CODES).map(([name, [code]]) => [name, code])) as {
	readonly [Name in ExitName]: (typeof EXIT_CODES)[Name][0];
};

/** Every command may end with these. */
const COMMON: readonly ExitName[] = ['done', 'refused', 'unavailable', 'failed', 'noReader'];

/** The other codes of each command, with what they mean there, or `true` for what they mean everywhere. */
const OTHERS: Readonly<Record<string, Readonly<Partial<Record<ExitName, string | true>>>>> = {
	map: {done: 'all items completed', someFailed: 'some items died or were cancelled, or --halt ended it', inputIncomplete: true, interrupted: true},
	work: {interrupted: 'ended by Ctrl-C, the usual end; by SIGTERM it is 143, by SIGHUP 129'},
	enqueue: {inputIncomplete: 'the input could not be read to its end; the lines before are enqueued'},
	status: {notFound: true, interrupted: true},
	list: {notFound: true},
	show: {notFound: true},
	logs: {notFound: true, interrupted: true},
	flow: {notFound: true},
	schedule: {someFailed: 'no job was enqueued, since the last one has not ended', notFound: true},
	cancel: {notFound: true},
	retry: {notFound: true},
	delete: {notFound: true},
	doctor: {done: 'all is well', someFailed: 'something needs attention'},
	bench: {someFailed: 'a measurement is void', inputIncomplete: true, interrupted: true},
};

/** The exit codes that a command may have, or all there are, each with its meaning. */
export function exitCodesOf(command?: string): readonly (readonly [code: number, meaning: string])[] {
	const others = OTHERS[command ?? ''] ?? {};
	return (Object.keys(EXIT_CODES) as ExitName[])
		.filter(name => command === undefined || COMMON.includes(name) || name in others)
		.map(name => {
			const own = others[name];
			return [ExitCode[name], typeof own === 'string' ? own : EXIT_CODES[name][1]];
		});
}

/** The end of a command's help, or of that of `faena` itself. */
export function describeExitCodes(command?: string): string {
	return ['', 'Exit codes:', ...exitCodesOf(command).map(([code, meaning]) => `  ${String(code).padStart(3)}  ${meaning}`)].join('\n');
}

/** Errors about a queue or about something in it. Most others are {@link ExitCode.refused}. */
const NOT_FOUND: readonly ErrorCode[] = ['NoSuchJob', 'NoSuchBatch', 'NoSuchSchedule'];
const UNAVAILABLE: readonly ErrorCode[] = ['BadDatabase', 'NewerDatabase', 'QueueMoved', 'StorageFull', 'DatabaseBusy', 'Unreachable', 'OutcomeUnknown'];

export function exitCodeOf(error: unknown): number {
	if (error instanceof InputError) return ExitCode.inputIncomplete;
	if (!(error instanceof FaenaError) || error.code === 'DispatcherFailed') return ExitCode.failed;
	if (NOT_FOUND.includes(error.code)) return ExitCode.notFound;
	return UNAVAILABLE.includes(error.code) ? ExitCode.unavailable : ExitCode.refused;
}
