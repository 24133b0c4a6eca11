import {nanoid} from 'nanoid';
import {Dispatcher} from '../dispatcher/dispatcher.ts';
import type {JobEvent} from '../job/events.ts';
import {inlinePool} from '../pool/inline.ts';
import {openStore} from '../store/open-store.ts';
import {type Clock, systemClock} from '../support/clock.ts';
import type {Transport} from '../transport/client.ts';
import type {DispatcherMessage, DispatcherStart} from '../transport/messages.ts';

/**
 * Connects to a dispatcher in the caller's own thread. Store and pool run there, too, so that there is one thread to debug.
 * @param publish takes events that come until the connection is open
 * @param options the clock, and the random numbers for the jitter of backoff; default: the system's
 * @throws FaenaError if the queue or the tasks can't be opened
 */
export async function openInline(
	{queue: location, owner = nanoid(), durability, leaseMs, blobThresholdBytes = Infinity, pool, ...others}: DispatcherStart,
	publish: (event: JobEvent) => void,
	{clock = systemClock, random = Math.random}: {readonly clock?: Clock; readonly random?: () => number} = {},
): Promise<Transport> {
	const store = await openStore(location, {durability, leaseMs, blobThresholdBytes, clock, random});
	let deliver = (message: DispatcherMessage): void => {
		if (message.type === 'replies') message.events.forEach(publish);
	};
	const output = (message: DispatcherMessage) => void setImmediate(() => deliver(message));
	const options = pool && {...pool, ...store.ownerFiles(owner)};
	const dispatcher = new Dispatcher(store, options && (listener => inlinePool(options, listener, clock)), {...others, owner, leaseMs, clock, output});
	const tasks = await dispatcher.start().catch(async error => {
		await store.close();
		throw error;
	});
	/** The dispatcher's own timers keep no process alive. */
	const keepAlive = setInterval(() => undefined, 60_000).unref();
	return {
		tasks,
		listen(onMessage) {
			deliver = onMessage;
		},
		// As with a thread, the dispatcher gets the calls after the caller's turn of the event loop.
		send: calls => void setImmediate(() => dispatcher.receive(calls)),
		ref: () => void keepAlive.ref(),
		unref: () => void keepAlive.unref(),
		async end() {
			clearInterval(keepAlive);
			// A dispatcher that has failed has not closed its store. Its lock would keep other engines from its jobs while this process lives.
			// The failure itself has been reported.
			await store.close().catch(() => undefined);
		},
	};
}
