/**
 * The thread that stands by in a pool's child process: obeys the pool and sends what the main thread says, by a socket of its
 * own, and ends the process when that closes, since then the pool's process is gone.
 */
import {connect} from 'node:net';
import {parentPort, workerData} from 'node:worker_threads';
import {Guard, type GuardCommand, type GuardStart} from '../lib/pools/child-board.ts';
import {readFrames, writeFrame} from '../lib/pools/frames.ts';
import {closeMeetingPlace, socketAt} from '../lib/pools/meeting-place.ts';
import {shareLock} from '../lib/queues/sqlite/owner-lock.ts';

const {sent, place, ownerLock, ...start} = workerData as GuardStart;
if (ownerLock !== undefined) shareLock(ownerLock);
const guard = new Guard(start);
const socket = connect(socketAt(place));

// One after the other, since the pool counts what was obeyed.
let last: Promise<void> = Promise.resolve();
readFrames(socket, command => {
	last = last.then(() => guard.obey(command as GuardCommand)).catch(() => undefined);
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
socket.on('close', () => process.kill(process.pid, 'SIGKILL'));
