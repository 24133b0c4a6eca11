/** First file of the watchdog thread: obeys the pool's commands by a socket of its own, and ends its process when the socket closes. */
import {connect} from 'node:net';
import {serialize} from 'node:v8';
import {parentPort, workerData} from 'node:worker_threads';
import {obey, type WatchdogAnswer, type WatchdogCommand} from '../lib/pool/processes/chunk-states.ts';
import {readMessages, type WatchdogStart, writeMessage} from '../lib/pool/processes/control-socket.ts';
import {examineMainThread} from '../lib/pool/stack-snapshot.ts';
import {Descendants} from '../lib/spawner/descendants.ts';
import {WORKER_ENV} from '../lib/spawner/process-table.ts';
import {shareLock} from '../lib/store/owners/owner-lock.ts';
import {removeRendezvous, socketIn} from '../lib/support/rendezvous.ts';

const {sent, rendezvous, ownerLock, regions, heapLimitBytes} = workerData as WatchdogStart;
if (ownerLock !== undefined) shareLock(ownerLock);
const socket = connect(socketIn(rendezvous));

// Commands are obeyed one after the other: the pool takes the answers in the order of its commands. No message of the main thread comes
// between taking a job back and the answer. So the pool knows that it has the job before the worker reports that it skipped the job.
let last: Promise<void> = Promise.resolve();
readMessages(socket, command => {
	last = last
		.then(() => obey(command as WatchdogCommand, regions, () => examineMainThread(heapLimitBytes)))
		.catch((): WatchdogAnswer => ({type: 'answer'}))
		.then(answer => writeMessage(socket, serialize(answer)));
});
parentPort?.on('message', (message: Uint8Array) =>
	writeMessage(socket, message, () => {
		Atomics.add(sent, 0, 1);
		Atomics.notify(sent, 0);
	}),
);
for (const event of ['connect', 'error']) socket.once(event, () => removeRendezvous(rendezvous));
socket.on('connect', () => parentPort?.postMessage('on duty'));
socket.on('error', () => undefined);
socket.on('close', () => void die());

/** Kills this process and its descendants. All are stopped before the first is killed, since a task could restart a process that it sees die. */
async function die(): Promise<void> {
	const descendants = new Descendants({pid: process.pid, mark: process.env[WORKER_ENV]});
	await descendants.stopAll().catch(() => undefined);
	descendants.kill();
	process.kill(process.pid, 'SIGKILL');
}
