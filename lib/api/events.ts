import {type Channel, channel} from 'node:diagnostics_channel';
import {EventEmitter} from 'node:events';
import {argument, bad, callable, nearest} from '../job/checks.ts';
import type {EventName, JobEvent, SlowStart, WorkerLoss} from '../job/events.ts';
import {type FailureRecord, fromFailure} from '../job/failure.ts';
import type {Counts, JobId, LogLevel} from '../job/job.ts';
import {LOGGED, type Logger, log} from './logger.ts';
import {WARNED, warn} from './warnings.ts';

/** Events of jobs that this engine's own dispatcher runs, each with what happened. */
export interface EngineEvents {
	completed: [{readonly id: JobId; readonly durationMs: number}];
	/** An execution failed; the job will be tried again, or waits for `retry()`. */
	failed: [{readonly id: JobId; readonly error: Error}];
	dead: [{readonly id: JobId; readonly error: Error}];
	cancelled: [{readonly id: JobId}];
	progress: [{readonly id: JobId; readonly done: number; readonly total?: number}];
	log: [{readonly id: JobId; readonly at: number; readonly level: LogLevel; readonly text: string}];
	/** The input of a batch has ended, and so have all its jobs: the last of them here. */
	batchCompleted: [{readonly batch: string; readonly counts: Counts}];
	/** A worker ended that was not to, or had to be ended. Another takes its place. */
	workerLost: [Omit<WorkerLoss, 'error'> & {readonly error?: Error}];
	/** A worker has been loading the tasks module, or setting up the task, for so long, and is not ready yet. */
	slowStart: [SlowStart];
	/** Another SQLite library of this process (node:sqlite, a second copy of better-sqlite3) has the database open, which destroys it. Told once; on Linux. */
	secondLibrary: [{readonly libraries: readonly string[]; readonly message: string}];
}

/**
 * Channels of `node:diagnostics_channel` on which every engine of this thread publishes its events: what listeners of the
 * engine get, with the `queue` it was opened on. Whether somebody subscribes is looked at by `open()`, with each call of the
 * engine and by `on`, `once` and `off`, since Node doesn't tell: who subscribes later hears of all that comes after the next of them.
 */
export const CHANNELS = {
	'faena:job:completed': 'completed',
	'faena:job:failed': 'failed',
	'faena:job:dead': 'dead',
	'faena:job:cancelled': 'cancelled',
	'faena:batch:completed': 'batchCompleted',
	'faena:worker:lost': 'workerLost',
} as const satisfies Readonly<Record<string, keyof EngineEvents>>;

const EVENTS: Readonly<Record<keyof EngineEvents, true>> = {
	completed: true,
	failed: true,
	dead: true,
	cancelled: true,
	progress: true,
	log: true,
	batchCompleted: true,
	workerLost: true,
	slowStart: true,
	secondLibrary: true,
};

const BY_EVENT: ReadonlyMap<EventName, Channel> = new Map(Object.entries(CHANNELS).map(([name, event]) => [event, channel(name)]));

/** Who hears what the dispatcher tells: the engine's listeners, subscribers of the channels, a logger. */
export class Events {
	readonly emitter = new EventEmitter<EngineEvents>();
	readonly #queue: string;
	readonly #logger: Logger | undefined;
	#asked = '';

	constructor(queue: string, logger: Logger | undefined) {
		this.#queue = queue;
		this.#logger = logger;
	}

	/** The events that somebody wants to hear of, if they are others than when this was last asked. */
	changedSubscriptions(): EventName[] | undefined {
		const channels = [...BY_EVENT].filter(([, {hasSubscribers}]) => hasSubscribers).map(([event]) => event);
		const wishes = [...new Set([...WARNED, ...(this.emitter.eventNames() as EventName[]), ...channels, ...(this.#logger ? LOGGED : [])])];
		const asked = wishes.join();
		if (asked === this.#asked) return undefined;
		this.#asked = asked;
		return wishes;
	}

	/** @throws FaenaError `BadOption` if there is no such event, or the listener is none */
	listen(how: 'on' | 'once' | 'off', event: keyof EngineEvents, listener: () => void): void {
		const names = Object.keys(EVENTS);
		if (!names.includes(event)) throw bad(`${how}() has no event ${JSON.stringify(event)}${nearest(String(event), names)}`);
		argument(`${how}()`, 'listener', listener, callable);
		this.emitter[how](event, listener);
	}

	publish({type, ...event}: JobEvent): void {
		const detail = 'error' in event && event.error ? {...event, error: fromFailure(event.error as FailureRecord)} : event;
		apart(() => this.emitter.emit(type as keyof EngineEvents, detail as never));
		const listeners = BY_EVENT.get(type);
		if (listeners?.hasSubscribers) listeners.publish({queue: this.#queue, ...detail});
		if (!this.#logger && !listeners?.hasSubscribers && this.emitter.listenerCount(type as keyof EngineEvents) === 0) warn(type, detail);
		this.#log(type, detail);
	}

	/** What the engine itself has to say, for the log. */
	log(type: 'opened' | 'closed' | 'dispatcherFailed', detail: object): void {
		this.#log(type, {queue: this.#queue, ...detail});
	}

	#log(type: Parameters<typeof log>[1], detail: object): void {
		const logger = this.#logger;
		if (logger) apart(() => log(logger, type, detail));
	}
}

/** What a listener throws is the program's uncaught error, as of any other listener; it must take nothing from the others, nor from us. */
function apart(tell: () => void): void {
	try {
		tell();
	} catch (error) {
		queueMicrotask(() => {
			throw error;
		});
	}
}
