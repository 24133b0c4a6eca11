import type {Worker} from 'node:worker_threads';
import type {JobEvent} from '../job/events.ts';
import {fromEnvelope} from '../job/failure.ts';
import type {TaskInfo} from '../job/task.ts';
import {FaenaError} from '../support/errors.ts';
import {startThread, workerUrl} from '../support/node.ts';
import {type Call, type CallsMessage, type DispatcherMessage, type DispatcherStart, type RepliesMessage, type Started, transferListOf} from './messages.ts';

/** The connection of an engine to its dispatcher: carries calls there, and messages back. */
export interface Transport {
	readonly tasks: readonly TaskInfo[];
	send(calls: readonly Call[]): void;
	/** Sets the listeners: of messages, and of the error that ends the connection. */
	listen(onMessage: (message: DispatcherMessage) => void, onEnd: (error: FaenaError) => void): void;
	/** Keeps the process alive. */
	ref(): void;
	unref(): void;
	/** Ends the dispatcher, if it has not ended by itself. */
	end(): Promise<void>;
}

/** Connects to a dispatcher in its own thread: the caller's event loop never waits for the disk and never runs a task. */
export class ThreadTransport implements Transport {
	readonly tasks: readonly TaskInfo[];
	readonly #worker: Worker;

	private constructor(worker: Worker, tasks: readonly TaskInfo[]) {
		this.#worker = worker;
		this.tasks = tasks;
	}

	/**
	 * Starts the thread and waits until its workers have loaded the tasks.
	 * @param publish takes events that come meanwhile
	 * @throws FaenaError if the queue or the tasks can't be opened
	 */
	static async open(start: DispatcherStart, publish: (event: JobEvent) => void): Promise<ThreadTransport> {
		const worker = startThread(workerUrl('dispatcher'), {workerData: start, name: 'faena dispatcher'});
		const started = await untilStarted(worker, publish);
		if (started.type === 'refused') throw fromEnvelope(started.error);
		return new ThreadTransport(worker, started.tasks);
	}

	listen(onMessage: (message: DispatcherMessage) => void, onEnd: (error: FaenaError) => void): void {
		this.#worker.on('message', onMessage);
		this.#worker.on('error', error => onEnd(new FaenaError('DispatcherFailed', `Faena's dispatcher thread failed: ${error.message}`, {cause: error})));
		this.#worker.on('exit', code => onEnd(new FaenaError('DispatcherFailed', `Faena's dispatcher thread ended with exit code ${code}.`)));
		// A listener attached to an unref'd thread refs it again, so this comes last.
		this.#worker.unref();
	}

	send(calls: readonly Call[]): void {
		const message: CallsMessage = {type: 'calls', calls};
		this.#worker.postMessage(message, transferListOf(message));
	}

	ref(): void {
		this.#worker.ref();
	}

	unref(): void {
		this.#worker.unref();
	}

	async end(): Promise<void> {
		await this.#worker.terminate();
	}
}

function untilStarted(worker: Worker, publish: (event: JobEvent) => void): Promise<Started> {
	return new Promise((resolve, reject) => {
		const settle = (act: () => void) => {
			worker.off('message', onMessage);
			worker.off('error', onError);
			worker.off('exit', onExit);
			act();
		};
		const onMessage = (message: Started | RepliesMessage) => {
			if (message.type === 'replies') message.events.forEach(publish);
			else settle(() => resolve(message));
		};
		const onError = (error: Error) =>
			settle(() => reject(new FaenaError('DispatcherFailed', `Faena's dispatcher thread can't be started. ${error.message}`, {cause: error})));
		const onExit = (code: number) =>
			settle(() => reject(new FaenaError('DispatcherFailed', `Faena's dispatcher thread ended with exit code ${code} while it started.`)));
		worker.on('message', onMessage);
		worker.on('error', onError);
		worker.on('exit', onExit);
	});
}
