import {once} from 'node:events';
import {serialize} from 'node:v8';
import {Worker} from 'node:worker_threads';
import {wait} from '../../support/primordials.ts';
import {workerUrl} from '../../support/worker-url.ts';
import type {WorkerMessage} from '../../worker/messages.ts';
import type {GuardStart} from './child-board.ts';

/**
 * The way of the main thread's messages to the pool: the guard sends them, whose event loop turns also while a task
 * computes. Each is waited for until it has left the process. So whatever ends the process next, the pool has heard all
 * that was said before; and a process can't say more than its pool takes.
 */
export class ChildLine {
	readonly #guard: Worker;
	/** How many messages the guard has sent. */
	readonly #sent: Int32Array;
	#posted = 0;

	private constructor(guard: Worker, sent: Int32Array) {
		this.#guard = guard;
		this.#sent = sent;
	}

	/** Resolves when the guard is on duty. */
	static async open(start: Omit<GuardStart, 'sent'>): Promise<ChildLine> {
		const sent = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
		const guard = new Worker(workerUrl('guard'), {workerData: {...start, sent} satisfies GuardStart, name: 'faena guard'});
		await once(guard, 'message');
		guard.unref();
		return new ChildLine(guard, sent);
	}

	readonly post = (message: WorkerMessage): void => {
		const body = serialize(message);
		this.#guard.postMessage(body, [body.buffer as ArrayBuffer]);
		wait(this.#sent, 0, this.#posted);
		this.#posted = (this.#posted + 1) | 0;
	};
}
