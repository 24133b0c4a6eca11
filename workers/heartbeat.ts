/** First file of the thread that renews the heartbeat of a `work()` loop, whose own thread may be busy for hours. */
import {existsSync} from 'node:fs';
import {parentPort, workerData} from 'node:worker_threads';
import {openSqlite, type SqliteQueue} from '../lib/store/sqlite/sqlite.ts';
import type {HeartbeatStart} from '../lib/transport/messages.ts';

/** A third of the shortest lease that there may be. */
const BEAT_EVERY_MS = 300;

const {location, owner} = workerData as HeartbeatStart;
let queue: SqliteQueue | undefined;
/** A beat that waits for a lock; the next one does not begin before it has ended. */
let beating: Promise<void> | undefined;

const timer = setInterval(() => {
	beating ??= beat().finally(() => {
		beating = undefined;
	});
}, BEAT_EVERY_MS);

async function beat(): Promise<void> {
	try {
		// One that was deleted meanwhile must not come back as an empty one.
		if (!queue && existsSync(location)) queue = await openSqlite(location, {durability: 'normal'});
		await queue?.renew(owner);
	} catch {
		// Somebody holds the database for long, for instance. The next beat tries again; what is worse, the loop meets as well.
	}
}

// It ends by itself: a thread that is terminated while it loads native code can take its process along.
parentPort?.once('message', async () => {
	clearInterval(timer);
	await beating;
	await queue?.close();
});
