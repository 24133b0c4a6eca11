/** First file of the thread that renews the heartbeat of a `work()` loop, whose own thread may be busy for hours. */
import {parentPort, workerData} from 'node:worker_threads';
import type {HeartbeatStart} from '../lib/protocol.ts';
import {openSqlite} from '../lib/queues/sqlite.ts';

/** A third of the shortest lease that there may be. */
const BEAT_EVERY_MS = 300;

const {location, owner} = workerData as HeartbeatStart;
const queue = openSqlite(location, {durability: 'normal'});

const timer = setInterval(() => {
	try {
		queue.renew(owner);
	} catch {
		// Somebody holds the database for long, for instance. The next beat tries again.
	}
}, BEAT_EVERY_MS);

// It ends by itself: a thread that is terminated while it loads native code can take its process along.
parentPort?.once('message', () => {
	clearInterval(timer);
	queue.close();
});
