import {type Queue, QueueEvents} from 'bullmq';
import {nanoid} from 'nanoid';

/**
 * Jobs of BullMQ whose results are awaited: the queue's events, heard by one listener for all jobs. `Job.waitUntilFinished()` would ask
 * Redis once more for each.
 */
export class Calls {
	readonly #queue: Queue;
	readonly #events: QueueEvents;
	readonly #waiting = new Map<string, (result: unknown) => void>();

	static async open(queue: Queue, path: string): Promise<Calls> {
		const events = new QueueEvents(queue.name, {connection: {path}});
		await events.waitUntilReady();
		return new Calls(queue, events);
	}

	private constructor(queue: Queue, events: QueueEvents) {
		this.#queue = queue;
		this.#events = events;
		events.on('completed', ({jobId, returnvalue}) => {
			this.#waiting.get(jobId)?.(returnvalue);
			this.#waiting.delete(jobId);
		});
	}

	/** Resolves when Redis has the job. */
	async enqueue(payload: unknown): Promise<{result(): Promise<unknown>}> {
		// The event may be here before the answer to `add`. So the job gets its id before.
		const jobId = nanoid();
		const result = new Promise(resolve => this.#waiting.set(jobId, resolve));
		await this.#queue.add('bench', payload, {jobId});
		return {result: () => result};
	}

	close(): Promise<void> {
		return this.#events.close();
	}
}
