/**
 * A pool's child process: Tinypool calls the default export for each message; the first one loads the tasks module. The watchdog
 * thread stops and takes back jobs while a task computes, and ends the process with its parent.
 */
import {openSync} from 'node:fs';
import {getHeapStatistics} from 'node:v8';
import {MessageChannel} from 'node:worker_threads';
import {WorkerLeftovers} from '../lib/pool/leftovers.ts';
import {MARK} from '../lib/pool/process-table.ts';
import {ChildChunkState, createRegions} from '../lib/pool/processes/child-chunk-state.ts';
import {ChildLine} from '../lib/pool/processes/child-line.ts';
import {boardAt} from '../lib/pool/processes/rendezvous.ts';
import type {WorkerRequest} from '../lib/worker/messages.ts';
import {TaskWorker} from '../lib/worker/worker.ts';

// A terminal sends Ctrl-C to its whole process group, and a service manager SIGTERM to all of a service: when this process
// ends is its parent's to decide.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);

const [place = '', ownerLock] = process.argv.splice(2);
leaveRemovedFolder(place);
const regions = createRegions();
const file = openSync(boardAt(place), 'r+');
const line = ChildLine.open({regions, file, place, ownerLock, heapLimitBytes: getHeapStatistics().heap_size_limit});

const leftovers = new WorkerLeftovers({pid: process.pid, mark: process.env[MARK]});
const openChunkState = (generation: SharedArrayBuffer | number) => new ChildChunkState(regions, generation as number, file);
const life = line.then(({post}) => new TaskWorker({kind: 'process', post, openChunkState, leftovers}));

/** Keeps the event loop alive while requests are answered: a port, which every worker has open anyway. */
const channel = new MessageChannel();
const [stay, leave] = [channel.port1.ref.bind(channel.port1), channel.port1.unref.bind(channel.port1)];
let requests = 0;

/**
 * No task is loaded before the watchdog is on duty. If a task disconnected the process, it would end while a neighbour waits for
 * its signal alone, and the neighbour would be charged; so the event loop is kept alive.
 */
export default async function handle(request: WorkerRequest): Promise<unknown> {
	if (requests++ === 0) stay();
	try {
		return await (await life).handle(request);
	} finally {
		if (--requests === 0) leave();
	}
}

/** Node starts no thread, and so no watchdog, where the working directory was removed. The folder that this goes to instead will soon be removed, too. */
function leaveRemovedFolder(other: string): void {
	try {
		process.cwd();
	} catch {
		process.chdir(other);
	}
}
