import type {EventName} from '../job/events.ts';
import type {LogLevel} from '../job/job.ts';

/** Takes what an engine has to say: a pino logger, or any object with these four. */
export type Logger = Readonly<Record<LogLevel, (fields: object, message: string) => void>>;

/** What is logged, and how: of the dispatcher's events, and of the engine's own doings. */
const RECORDS = {
	opened: ['info', 'engine opened'],
	closed: ['info', 'engine closed'],
	dispatcherFailed: ['error', 'dispatcher failed; nothing runs any more until the next open()'],
	dead: ['error', 'job dead'],
	workerLost: ['warn', 'worker lost; another takes its place'],
	slowStart: ['warn', 'a worker has been loading or setting up for long; no job runs there before it is done'],
	ownerLost: ['warn', 'given up by other engines as silent; they run its jobs'],
	recovered: ['info', 'took back the jobs of engines that died'],
	logGrown: ['warn', 'the log beside the database grows: another program reads in a transaction that does not end'],
	secondLibrary: ['error', 'another SQLite library of this process has the database open, which destroys it'],
	setBack: ['warn', 'transaction set back; it is tried again'],
	refused: ['error', 'the database refuses to write or give this; it is left out, and the rest goes on'],
	memoryShort: ['warn', 'memory is short; the youngest job was stopped, and will run again'],
} as const satisfies Readonly<Record<string, readonly [LogLevel, string]>>;

const OWN: readonly string[] = ['opened', 'closed', 'dispatcherFailed'];

/** The events of the dispatcher that a logger wants. */
export const LOGGED = Object.keys(RECORDS).filter(type => !OWN.includes(type)) as EventName[];

/** Logs the event, if it is one of those that are logged. A job is `job`, an error `err`, as pino's serializers want it. */
export function log(logger: Logger, type: EventName | keyof typeof RECORDS, detail: object): void {
	if (!Object.hasOwn(RECORDS, type)) return;
	const {id, error, ...rest} = detail as {readonly id?: unknown; readonly error?: unknown};
	const [level, message] = RECORDS[type as keyof typeof RECORDS];
	logger[level]({...(id !== undefined && {job: id}), ...rest, ...(error !== undefined && {err: error})}, message);
}
