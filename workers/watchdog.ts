/**
 * The thread that stands by in a pool's child process: obeys the pool and sends what the main thread says, by a socket of its
 * own. When that closes, the pool's process is gone. Then this thread ends its process with all that the tasks have started.
 */
import {connect} from 'node:net';
import {parentPort, workerData} from 'node:worker_threads';
import {Descendants} from '../lib/pool/descendants.ts';
import {MARK} from '../lib/pool/process-table.ts';
import {Watchdog, type WatchdogCommand, type WatchdogStart} from '../lib/pool/processes/child-chunk-state.ts';
import {readFrames, writeFrame} from '../lib/pool/processes/frames.ts';
import {closeMeetingPlace, socketAt} from '../lib/pool/processes/rendezvous.ts';
import {shareLock} from '../lib/store/sqlite/owner-lock.ts';

const {sent, place, ownerLock, ...start} = workerData as WatchdogStart;
if (ownerLock !== undefined) shareLock(ownerLock);
const watchdog = new Watchdog(start);
const socket = connect(socketAt(place));

// One after the other, since the pool counts what was obeyed.
let last: Promise<void> = Promise.resolve();
readFrames(socket, command => {
	last = last.then(() => watchdog.obey(command as WatchdogCommand)).catch(() => undefined);
});
parentPort?.on('message', (message: Uint8Array) =>
	writeFrame(socket, message, () => {
		Atomics.add(sent, 0, 1);
		Atomics.notify(sent, 0);
	}),
);
for (const event of ['connect', 'error']) socket.once(event, () => closeMeetingPlace(place));
socket.on('connect', () => parentPort?.postMessage('on duty'));
socket.on('error', () => undefined);
socket.on('close', () => void die());

/**
 * What tasks have started is only stopped until this process is killed, since a task could start anew what it sees die. A
 * task that starts processes without waiting for them can still start one at the very last moment.
 */
async function die(): Promise<void> {
	const descendants = new Descendants({pid: process.pid, mark: process.env[MARK]});
	await descendants.stopAll().catch(() => undefined);
	descendants.kill();
	process.kill(process.pid, 'SIGKILL');
}
