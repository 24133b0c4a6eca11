import {once} from 'node:events';
import {serialize} from 'node:v8';
import {Worker} from 'node:worker_threads';
import {wait} from '../../support/primordials.ts';
import {workerUrl} from '../../support/worker-url.ts';
import type {WorkerMessage} from '../../worker/messages.ts';
import type {WatchdogStart} from './child-chunk-state.ts';

/**
 * The way of the main thread's messages to the pool: the watchdog sends them, whose event loop turns also while a task
 * computes. Each is waited for until it has left the process. So whatever ends the process next, the pool has heard all
 * that was said before; and a process can't say more than its pool takes.
 */
export class ChildLine {
	readonly #watchdog: Worker;
	/** How many messages the watchdog has sent. */
	readonly #sent: Int32Array;
	#posted = 0;

	private constructor(watchdog: Worker, sent: Int32Array) {
		this.#watchdog = watchdog;
		this.#sent = sent;
	}

	/** Resolves when the watchdog is on duty. */
	static async open(start: Omit<WatchdogStart, 'sent'>): Promise<ChildLine> {
		const sent = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
		const watchdog = new Worker(workerUrl('watchdog'), {workerData: {...start, sent} satisfies WatchdogStart, name: 'faena watchdog'});
		await once(watchdog, 'message');
		watchdog.unref();
		return new ChildLine(watchdog, sent);
	}

	readonly post = (message: WorkerMessage): void => {
		const body = serialize(message);
		this.#watchdog.postMessage(body, [body.buffer as ArrayBuffer]);
		wait(this.#sent, 0, this.#posted);
		this.#posted = (this.#posted + 1) | 0;
	};
}
