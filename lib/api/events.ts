import {type Channel, channel} from 'node:diagnostics_channel';
import {EventEmitter} from 'node:events';
import {argument, bad, callable, nearest} from '../job/checks.ts';
import type {EngineEvents, EventName, JobEvent} from '../job/events.ts';
import {type FailureRecord, fromFailure} from '../job/failure.ts';
import type {LogLine} from '../job/job.ts';
import {defined} from '../support/defined.ts';

/**
 * Channels of `node:diagnostics_channel` on which every engine of this thread publishes its events. A message is what a listener
 * of the engine gets, with the `queue` that the engine was opened on. Node does not announce subscriptions. So the engine checks
 * for subscribers in `open()`, with each call, and in `on`, `once` and `off`: a new subscriber gets the events after the next of these.
 * @example for (const channel of Object.keys(CHANNELS)) subscribe(channel, message => console.log(message));
 */
export const CHANNELS = {
	'faena:job:completed': 'completed',
	'faena:job:failed': 'failed',
	'faena:job:dead': 'dead',
	'faena:job:cancelled': 'cancelled',
	'faena:batch:completed': 'batchCompleted',
	'faena:worker:lost': 'workerLost',
} as const satisfies Readonly<Record<string, keyof EngineEvents>>;

const EVENTS: readonly (keyof EngineEvents)[] = [
	...(['completed', 'failed', 'dead', 'cancelled', 'progress', 'log', 'batchCompleted'] as const),
	...(['workerLost', 'slowStart', 'secondLibrary'] as const),
];

const BY_EVENT: ReadonlyMap<EventName, Channel> = new Map(Object.entries(CHANNELS).map(([name, event]) => [event, channel(name)]));

/** Publishes the dispatcher's events to the engine's listeners, to subscribers of the channels, and to a logger. */
export class Events {
	readonly emitter = new EventEmitter<EngineEvents>();
	readonly #queue: string;
	readonly #logger: Logger | undefined;
	/** The events with listeners at the last {@link changedSubscriptions}. */
	#subscribed = '';

	constructor(queue: string, logger: Logger | undefined) {
		this.#queue = queue;
		this.#logger = logger;
	}

	/** The events with listeners, if they have changed since the last call. */
	changedSubscriptions(): EventName[] | undefined {
		const channels = [...BY_EVENT].filter(([, {hasSubscribers}]) => hasSubscribers).map(([event]) => event);
		const events = [...new Set([...WARNED, ...(this.emitter.eventNames() as EventName[]), ...channels, ...(this.#logger ? LOGGED : [])])];
		const subscribed = events.join();
		if (subscribed === this.#subscribed) return undefined;
		this.#subscribed = subscribed;
		return events;
	}

	/** @throws FaenaError `BadOption` if no event has the name, or the listener is not a function */
	listen(how: 'on' | 'once' | 'off', event: keyof EngineEvents, listener: () => void): void {
		if (!EVENTS.includes(event)) throw bad(`${how}() has no event ${JSON.stringify(event)}${nearest(String(event), EVENTS)}`);
		argument(`${how}()`, 'listener', listener, callable);
		this.emitter[how](event, listener);
	}

	publish({type, ...event}: JobEvent): void {
		const detail = 'error' in event && event.error ? {...event, error: fromFailure(event.error as FailureRecord)} : event;
		const subscribers = BY_EVENT.get(type);
		isolate(() => this.emitter.emit(type as keyof EngineEvents, detail as never));
		if (subscribers?.hasSubscribers) subscribers.publish({queue: this.#queue, ...detail});
		else if (!this.#logger && this.emitter.listenerCount(type as keyof EngineEvents) === 0) warn(type, detail);
		this.log(type, detail);
	}

	/** Warns, if there is no logger. */
	warn(sentence: string): void {
		if (!this.#logger) process.emitWarning(sentence, {type: 'FaenaWarning'});
	}

	/** Logs an event, if its type is logged. A job's id is logged as `jobId`, and an error as `err`, the name that pino serializes. */
	log(type: EventName | keyof typeof RECORDS, detail: object): void {
		const logger = this.#logger;
		if (!logger || !Object.hasOwn(RECORDS, type)) return;
		const [level, message] = RECORDS[type as keyof typeof RECORDS];
		const {id, error, ...rest} = detail as {readonly id?: unknown; readonly error?: unknown};
		const queue = OWN.includes(type) ? this.#queue : undefined;
		isolate(() => logger[level](defined({queue, jobId: id, ...rest, err: error}), message));
	}
}

/** Calls listeners. An error of theirs becomes an uncaught error of the program, and does not affect other listeners or the engine. */
function isolate(call: () => void): void {
	try {
		call();
	} catch (error) {
		queueMicrotask(() => {
			throw error;
		});
	}
}

/** Takes an engine's log records: a pino logger, or any object with these four functions. @example const logger: Logger = console; */
export type Logger = Readonly<Record<LogLine['level'], (fields: object, message: string) => void>>;

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
	databaseGrown: ['warn', 'the database has grown; retention or cleanup() deletes ended jobs, and faena vacuum gives free space back'],
	secondLibrary: ['error', 'another SQLite library of this process has the database open, which destroys it'],
	notificationsMissing: ['warn', 'notifications of the server do not arrive; jobs of other programs start up to a second later'],
	setBack: ['warn', 'transaction failed; it is tried again'],
	refused: ['error', 'the database refused to write or read this; it is left out, and everything else goes on'],
	draining: ['info', 'a signal came; the engine waits for running jobs, and a second signal stops them'],
	memoryShort: ['warn', 'memory is short; the youngest job was stopped and will run again'],
} as const satisfies Readonly<Record<string, readonly [LogLine['level'], string]>>;

/** Events of the engine itself. The dispatcher does not send them. */
const OWN: readonly string[] = ['opened', 'closed', 'dispatcherFailed'];

/** The dispatcher's events that are logged. */
const LOGGED = Object.keys(RECORDS).filter(type => !OWN.includes(type)) as EventName[];

/** So many transactions fail in about two seconds. */
const SETBACKS_BEFORE_WARNING = 7;

/** Warnings about events that keep jobs from running, or delay them. Without them, a user might not see why jobs wait. */
const SENTENCES: Readonly<Partial<Record<EventName, (detail: never) => string | undefined>>> = {
	slowStart: ({kind, task, durationMs}: EngineEvents['slowStart'][0]) =>
		task === undefined
			? `A worker ${kind} has been loading the tasks module for ${durationMs / 1000} s; no job runs there before it is done.`
			: `The setup of task ${task} has been running for ${durationMs / 1000} s in a worker ${kind}; no job runs there before it is done.`,
	workerLost: ({kind, reason, error, leavesProcesses}: EngineEvents['workerLost'][0]) => {
		if (reason === 'unready') return `A worker ${kind} could not be made ready. Faena tries again until it succeeds. ${error?.message ?? ''}`.trimEnd();
		return leavesProcesses
			? `Processes that tasks of a worker ${kind} have started may still live: Faena could not find or kill them all. End them yourself.`
			: undefined;
	},
	secondLibrary: ({message}: EngineEvents['secondLibrary'][0]) => message,
	notificationsMissing: () =>
		"Notifications of the PostgreSQL server don't arrive, as behind a pooler that gives each transaction another connection. " +
		'So jobs of other programs start up to a second later. Connect to the server itself, or accept that.',
	setBack: ({setbacks, error}: {readonly setbacks: number; readonly error: Error & {readonly code?: string}}) => {
		const mayPass = error.code === 'StorageFull' || error.code === 'Unreachable';
		// A connection that is lost is there again at once, usually.
		return mayPass && setbacks === SETBACKS_BEFORE_WARNING
			? `No job starts or ends until this is over; Faena tries again and again. ${error.message}`
			: undefined;
	},
	draining: ({jobs, drainMs}: {readonly jobs: number; readonly drainMs: number}) =>
		`Waits for ${jobs} running job${jobs === 1 ? '' : 's'}, for at most ${drainMs / 1000} s. A second signal (Ctrl-C) stops ${jobs === 1 ? 'it' : 'them'}; no job is lost.`,
	refused: ({id, task, error}: {readonly id?: number; readonly task?: string; readonly error: Error}) => {
		if (id !== undefined) return `Job ${id} is left as it is. ${error.message}`;
		return task === undefined ? error.message : `No job of task ${task} can be started. ${error.message}`;
	},
};

/** The events that become warnings if they have no listener. */
const WARNED = Object.keys(SENTENCES) as readonly EventName[];

let last: string | undefined;

/** Emits a warning for the event, if its type has one; not the same one twice in a row. */
export function warn(type: EventName, detail: object): void {
	const sentence = SENTENCES[type]?.(detail as never);
	if (sentence === undefined || sentence === last) return;
	last = sentence;
	process.emitWarning(sentence, {type: 'FaenaWarning'});
}
