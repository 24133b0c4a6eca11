/** First file of the thread that renews the heartbeat of a `work()` loop, whose own thread may be busy for hours. */
import {workerData} from 'node:worker_threads';
import type {HeartbeatStart} from '../lib/protocol.ts';
import {openSqlite} from '../lib/queues/sqlite.ts';

/** A third of the shortest lease that `openQueue` allows would be less; the default lease is 30 s. */
const BEAT_EVERY_MS = 1000;

const {location, owner} = workerData as HeartbeatStart;
const queue = openSqlite(location);

setInterval(() => queue.renew(owner), BEAT_EVERY_MS);
