/**
 * The thread that stands by in a pool's child process: obeys the pool, whose commands come by the process's stdin, and
 * ends the process when that closes, since then the pool's process is gone.
 */
import {Socket} from 'node:net';
import {createInterface} from 'node:readline';
import {parentPort, workerData} from 'node:worker_threads';
import {Guard, type GuardCommand, type GuardStart} from '../lib/pools/child-board.ts';

const guard = new Guard(workerData as GuardStart);
const stdin = new Socket({fd: 0, readable: true, writable: false});
// One after the other, since the pool counts what was obeyed.
let last: Promise<void> = Promise.resolve();
createInterface({input: stdin}).on('line', line => {
	last = last.then(() => guard.obey(JSON.parse(line) as GuardCommand)).catch(() => undefined);
});
stdin.on('error', () => undefined);
stdin.on('close', () => process.kill(process.pid, 'SIGKILL'));
parentPort?.postMessage('on duty');
