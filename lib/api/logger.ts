import type {EventName} from '../job/events.ts';
import type {LogLevel} from '../job/job.ts';
import {defined} from '../support/defined.ts';

/** Takes an engine's log records: a pino logger, or any object with these four functions. */
export type Logger = Readonly<Record<LogLevel, (fields: object, message: string) => void>>;

/** Level and message of each event that is logged. */
const RECORDS = {
	opened: ['info', 'engine opened'],
	closed: ['info', 'engine closed'],
	dispatcherFailed: ['error', 'dispatcher failed; no job runs until the next open()'],
	dead: ['error', 'job dead'],
	workerLost: ['warn', 'worker lost; another takes its place'],
	slowStart: ['warn', 'a worker takes long to load or set up tasks; it runs no job before that is done'],
	ownerLost: ['warn', 'other engines took this one for dead; they run its jobs'],
	recovered: ['info', 'reclaimed the jobs of dead engines'],
	logGrown: ['warn', 'the write-ahead log grows: another program keeps a read transaction open'],
	secondLibrary: ['error', 'another SQLite library of this process has the database open, which destroys it'],
	setBack: ['warn', 'transaction failed; it is tried again'],
	refused: ['error', 'the database refused to write or read this; it is left out, and everything else goes on'],
	memoryShort: ['warn', 'memory is short; the youngest job was stopped and will run again'],
} as const satisfies Readonly<Record<string, readonly [LogLevel, string]>>;

/** Events of the engine itself. The dispatcher does not send them. */
const OWN: readonly string[] = ['opened', 'closed', 'dispatcherFailed'];

/** The dispatcher's events that are logged. */
export const LOGGED = Object.keys(RECORDS).filter(type => !OWN.includes(type)) as EventName[];

/** Logs the event, if its type is logged. A job's id is logged as `jobId`, and an error as `err`, the name that pino serializes. */
export function log(logger: Logger, type: EventName | keyof typeof RECORDS, detail: object): void {
	if (!Object.hasOwn(RECORDS, type)) return;
	const {id, error, ...rest} = detail as {readonly id?: unknown; readonly error?: unknown};
	const [level, message] = RECORDS[type as keyof typeof RECORDS];
	logger[level](defined({jobId: id, ...rest, err: error}), message);
}
