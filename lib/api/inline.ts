import {nanoid} from 'nanoid';
import {Dispatcher} from '../dispatcher/dispatcher.ts';
import type {JobEvent} from '../job/events.ts';
import type {TaskInfo} from '../job/task.ts';
import {inlinePool} from '../pool/inline.ts';
import {openJobsAt} from '../store/sqlite/owner-lock.ts';
import {openSqlite} from '../store/sqlite/sqlite.ts';
import type {JobQueue} from '../store/store.ts';
import {type Clock, systemClock} from '../support/clock.ts';
import type {FaenaError} from '../support/errors.ts';
import type {Call, DispatcherMessage, DispatcherStart} from '../transport/messages.ts';
import type {Transport} from '../transport/thread.ts';

/** To a dispatcher in the caller's own thread, with queue, pool and all: one thread to debug. */
export class InlineTransport implements Transport {
	readonly tasks: readonly TaskInfo[];
	readonly #dispatcher: Dispatcher;
	readonly #messages: Mailbox;
	readonly #queue: JobQueue;
	/** The dispatcher's own timers keep no process alive. */
	#keepAlive: NodeJS.Timeout | undefined;

	private constructor(dispatcher: Dispatcher, queue: JobQueue, messages: Mailbox, tasks: readonly TaskInfo[]) {
		this.#dispatcher = dispatcher;
		this.#queue = queue;
		this.#messages = messages;
		this.tasks = tasks;
	}

	/**
	 * @param world the clock, and the die of the backoff's jitter, where they are not the usual ones
	 * @throws FaenaError why the queue or the tasks can't be opened
	 */
	static async open(
		{queue: location, durability, leaseMs, blobThresholdBytes = Infinity, events, closeOnSignals, pool}: DispatcherStart,
		tell: (event: JobEvent) => void,
		{clock = systemClock, random = Math.random}: {readonly clock?: Clock; readonly random?: () => number} = {},
	): Promise<InlineTransport> {
		const queue = await openSqlite(location, {durability, leaseMs, blobThresholdBytes, now: clock.now, random});
		const messages: Mailbox = {deliver: message => message.type === 'replies' && message.events.forEach(tell)};
		const output = (message: DispatcherMessage) => void setImmediate(() => messages.deliver(message));
		const owner = nanoid();
		const options = pool && {...pool, openJobs: openJobsAt(location, owner)};
		const dispatcher = new Dispatcher(queue, options && (listener => inlinePool(options, listener, clock)), {
			owner,
			leaseMs,
			events,
			asksForSignals: closeOnSignals,
			clock,
			output,
		});
		try {
			return new InlineTransport(dispatcher, queue, messages, await dispatcher.start());
		} catch (error) {
			await queue.close();
			throw error;
		}
	}

	listen(onMessage: (message: DispatcherMessage) => void, _onEnd: (error: FaenaError) => void): void {
		this.#messages.deliver = onMessage;
	}

	/** As over a thread's line, nothing of it happens before the caller's turn of the event loop is over. */
	send(calls: readonly Call[]): void {
		setImmediate(() => this.#dispatcher.receive(calls));
	}

	ref(): void {
		this.#keepAlive ??= setInterval(() => undefined, 60_000);
	}

	unref(): void {
		clearInterval(this.#keepAlive);
		this.#keepAlive = undefined;
	}

	async end(): Promise<void> {
		this.unref();
		// After a failure the dispatcher has not: its lock would keep its jobs from others for as long as this process lives.
		try {
			await this.#queue.close();
		} catch {
			// What is wrong with the queue was told as the failure.
		}
	}
}

interface Mailbox {
	deliver: (message: DispatcherMessage) => void;
}
