/** First file of a child process. Tinypool calls its default export for each message, of which the first loads the tasks module. */
import {openSync} from 'node:fs';
import {getHeapStatistics} from 'node:v8';
import {MessageChannel} from 'node:worker_threads';
import {ChildChunkState, chunkStateFileIn, createRegions} from '../lib/pool/processes/chunk-states.ts';
import {startWatchdog} from '../lib/pool/processes/control-socket.ts';
import {WorkerLeftovers} from '../lib/pool/worker-leftovers.ts';
import {WORKER_ENV} from '../lib/spawner/process-table.ts';
import {removeRendezvous} from '../lib/support/rendezvous.ts';
import type {WorkerRequest} from '../lib/worker/messages.ts';
import {TaskWorker} from '../lib/worker/worker.ts';

// A terminal sends Ctrl-C to its whole process group, and a service manager sends SIGTERM to all processes of a service. This
// process ignores them: its parent decides when it ends.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);

// Node 22 writes the length of a message by this function of all typed arrays, which a task may replace for all of them. A wrong length ends the
// thread of the pool, which reads the message.
Object.defineProperty(Buffer.prototype, 'set', {value: Uint8Array.prototype.set, configurable: true, writable: true});

const [rendezvous = '', ownerLock] = process.argv.splice(2);
// Node starts no thread in a working directory that was removed, and so no watchdog.
try {
	process.cwd();
} catch {
	process.chdir(rendezvous);
}
// If its parent has died meanwhile, this process may end before its watchdog has met it.
process.on('exit', () => removeRendezvous(rendezvous));
const regions = createRegions();
const file = openSync(chunkStateFileIn(rendezvous), 'r+');
const watchdog = startWatchdog({regions, rendezvous, ownerLock, heapLimitBytes: getHeapStatistics().heap_size_limit});

const leftovers = new WorkerLeftovers({pid: process.pid, mark: process.env[WORKER_ENV]});
const openChunkState = (generation: SharedArrayBuffer | number) => new ChildChunkState(regions, generation as number, file);
const worker = watchdog.then(post => new TaskWorker({kind: 'process', post, openChunkState, leftovers}));

/** Its port keeps the event loop alive while requests are answered. */
const channel = new MessageChannel();
const [stay, leave] = [channel.port1.ref.bind(channel.port1), channel.port1.unref.bind(channel.port1)];
let requests = 0;

/** Handles a request once the watchdog is there. Meanwhile a task that disconnects the process must not end it, and have another job charged. */
export default async function handle(request: WorkerRequest): Promise<unknown> {
	if (requests++ === 0) stay();
	try {
		return await (await worker).handle(request);
	} finally {
		if (--requests === 0) leave();
	}
}
