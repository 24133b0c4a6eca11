import {nanoid} from 'nanoid';
import {Dispatcher} from './dispatcher.ts';
import type {FaenaError} from './errors.ts';
import type {Line} from './line.ts';
import {inlinePool} from './pools/inline.ts';
import type {Call, DispatcherStart, FailedMessage, RepliesMessage} from './protocol.ts';
import {openSqlite} from './queues/sqlite.ts';
import type {TaskInfo} from './tasks-module.ts';

/** To a dispatcher in the caller's own thread, with queue, pool and all: one thread to debug. */
export class InlineLine implements Line {
	readonly tasks: readonly TaskInfo[];
	readonly #dispatcher: Dispatcher;
	readonly #messages: Mailbox;
	/** The dispatcher's own timers keep no process alive. */
	#keepAlive: NodeJS.Timeout | undefined;

	private constructor(dispatcher: Dispatcher, messages: Mailbox, tasks: readonly TaskInfo[]) {
		this.#dispatcher = dispatcher;
		this.#messages = messages;
		this.tasks = tasks;
	}

	/** @throws FaenaError why the queue or the tasks can't be opened */
	static async open({queue: location, durability, leaseMs, blobThresholdBytes = Infinity, pool}: DispatcherStart): Promise<InlineLine> {
		const queue = openSqlite(location, {durability, leaseMs, blobThresholdBytes});
		const messages: Mailbox = {deliver: undefined};
		const output = (message: RepliesMessage | FailedMessage) => void setImmediate(() => messages.deliver?.(message));
		const dispatcher = new Dispatcher(queue, pool && (listener => inlinePool(pool, listener)), {owner: nanoid(), leaseMs, output});
		try {
			return new InlineLine(dispatcher, messages, await dispatcher.start());
		} catch (error) {
			await queue.close();
			throw error;
		}
	}

	listen(onMessage: (message: RepliesMessage | FailedMessage) => void, _onEnd: (error: FaenaError) => void): void {
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
	}
}

interface Mailbox {
	deliver: ((message: RepliesMessage | FailedMessage) => void) | undefined;
}
