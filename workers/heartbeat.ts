/** First file of the thread that renews the heartbeat of a `work()` loop, whose own thread may be busy for hours. */
import {parentPort, workerData} from 'node:worker_threads';
import {kindOf} from '../lib/store/kinds.ts';
import {openStore} from '../lib/store/open-store.ts';
import type {Store} from '../lib/store/store.ts';
import type {HeartbeatStart} from '../lib/transport/messages.ts';

/** About a third of the shortest lease. */
const BEAT_EVERY_MS = 300;

const {location, owner} = workerData as HeartbeatStart;
let store: Store | undefined;
/** A beat may wait for a lock. The next one begins only after it. */
let beating: Promise<void> | undefined = beat().finally(() => {
	beating = undefined;
	parentPort?.postMessage('ready');
});

const timer = setInterval(() => {
	beating ??= beat().finally(() => {
		beating = undefined;
	});
}, BEAT_EVERY_MS);

async function beat(): Promise<void> {
	try {
		// A database that was deleted meanwhile must not be created again, empty.
		if (!store && (await kindOf(location).exists(location))) store = await openStore(location, {durability: 'normal'});
		await store?.heartbeat(owner);
	} catch {
		// For instance, another program holds the lock for long. The next beat tries again. A worse error also reaches the loop.
	}
}

// The thread ends by itself: if it were terminated while it loads native code, that could end the process.
parentPort?.once('message', async () => {
	clearInterval(timer);
	await beating;
	await store?.close();
});
