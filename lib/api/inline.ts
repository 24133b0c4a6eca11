import {nanoid} from 'nanoid';
import {Dispatcher} from '../dispatcher/dispatcher.ts';
import type {JobEvent} from '../job/events.ts';
import type {TaskInfo} from '../job/task.ts';
import {inlinePool} from '../pool/inline.ts';
import {openStore} from '../store/open-store.ts';
import {openJobsAt} from '../store/sqlite/owner-lock.ts';
import type {Store} from '../store/store.ts';
import {type Clock, systemClock} from '../support/clock.ts';
import type {FaenaError} from '../support/errors.ts';
import type {Transport} from '../transport/client.ts';
import type {Call, DispatcherMessage, DispatcherStart} from '../transport/messages.ts';

/** Connects to a dispatcher in the caller's own thread. Store and pool run there, too, so that there is one thread to debug. */
export class InlineTransport implements Transport {
	readonly tasks: readonly TaskInfo[];
	readonly #dispatcher: Dispatcher;
	readonly #messages: Mailbox;
	readonly #store: Store;
	/** The dispatcher's own timers keep no process alive. */
	#keepAlive: NodeJS.Timeout | undefined;

	private constructor(dispatcher: Dispatcher, store: Store, messages: Mailbox, tasks: readonly TaskInfo[]) {
		this.#dispatcher = dispatcher;
		this.#store = store;
		this.#messages = messages;
		this.tasks = tasks;
	}

	/**
	 * @param publish takes events that come until the connection is open
	 * @param options the clock, and the random numbers for the jitter of backoff; default: the system's
	 * @throws FaenaError if the queue or the tasks can't be opened
	 */
	static async open(
		{queue: location, durability, leaseMs, blobThresholdBytes = Infinity, events, closeOnSignals, pool}: DispatcherStart,
		publish: (event: JobEvent) => void,
		{clock = systemClock, random = Math.random}: {readonly clock?: Clock; readonly random?: () => number} = {},
	): Promise<InlineTransport> {
		const store = await openStore(location, {durability, leaseMs, blobThresholdBytes, clock, random});
		const messages: Mailbox = {deliver: message => message.type === 'replies' && message.events.forEach(publish)};
		const output = (message: DispatcherMessage) => void setImmediate(() => messages.deliver(message));
		const owner = nanoid();
		const options = pool && {...pool, openJobs: openJobsAt(location, owner)};
		const dispatcher = new Dispatcher(store, options && (listener => inlinePool(options, listener, clock)), {
			owner,
			leaseMs,
			events,
			closeOnSignals,
			clock,
			output,
		});
		try {
			return new InlineTransport(dispatcher, store, messages, await dispatcher.start());
		} catch (error) {
			await store.close();
			throw error;
		}
	}

	listen(onMessage: (message: DispatcherMessage) => void, _onEnd: (error: FaenaError) => void): void {
		this.#messages.deliver = onMessage;
	}

	/** As with a thread, the dispatcher gets the calls after the caller's turn of the event loop. */
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
		// A dispatcher that has failed has not closed its store. Its lock would keep other engines from its jobs while this process lives.
		try {
			await this.#store.close();
		} catch {
			// The dispatcher's own failure has been reported.
		}
	}
}

interface Mailbox {
	deliver: (message: DispatcherMessage) => void;
}
