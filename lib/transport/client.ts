import {fromEnvelope} from '../job/error-envelope.ts';
import type {EventName, JobEvent} from '../job/events.ts';
import type {JobId} from '../job/job.ts';
import type {TaskInfo} from '../job/task.ts';
import {FaenaError} from '../support/errors.ts';
import type {Call, CallBody, DispatcherMessage, Notice, Verbs} from './messages.ts';
import type {Transport} from './thread.ts';

type Result<Verb extends keyof Verbs> = ReturnType<Verbs[Verb]>;

/** What the client tells of: the engine's events, and that its dispatcher has failed. */
interface EventSink {
	/** The events that somebody wants to hear of, if these have changed. */
	changedSubscriptions(): readonly EventName[] | undefined;
	publish(event: JobEvent): void;
	log(what: 'dispatcherFailed', detail: object): void;
}

/** Called once: with a notice when the job has ended, or with the error that ended the client. */
export type Watcher = (end: Notice | FaenaError) => void;

/**
 * The caller's end of the transport to its dispatcher. Calls made in one turn of the event loop travel in one message. The
 * process stays alive while an answer or a job's end is awaited, or while the client is on {@link hold}.
 */
export class DispatcherClient {
	readonly tasks: readonly TaskInfo[];
	readonly #transport: Transport;
	readonly #pending = new Map<number, {resolve(value: unknown): void; reject(error: unknown): void}>();
	readonly #watchers = new Map<JobId, Watcher[]>();
	readonly #endListeners = new Set<(error: FaenaError) => void>();
	readonly #events: EventSink;
	#outbox: Call[] = [];
	#lastCall = 0;
	#holds = 0;
	/** Why nothing can be called any more. */
	#end: FaenaError | undefined;

	constructor(transport: Transport, events: EventSink) {
		this.#transport = transport;
		this.tasks = transport.tasks;
		this.#events = events;
		transport.listen(
			message => this.#receive(message),
			error => this.#fail(error),
		);
	}

	verb<Verb extends keyof Verbs>(verb: Verb, ...args: Parameters<Verbs[Verb]>): Promise<Result<Verb>> {
		return this.call({type: 'verb', verb, args}) as Promise<Result<Verb>>;
	}

	/** Sends the call with all others of this turn of the event loop. */
	call(body: CallBody): Promise<unknown> {
		return new Promise((resolve, reject) => this.send(body, resolve, reject));
	}

	/** As {@link call}, for those who must act before anything else of the same message is looked at. */
	send(body: CallBody, resolve: (value: unknown) => void, reject: (error: unknown) => void): void {
		if (this.#end) {
			reject(this.#end);
			return;
		}
		if (this.#outbox.length === 0 && body.type !== 'subscribe') this.subscribe();
		if (this.#outbox.length === 0) queueMicrotask(() => this.#flush());
		const call = ++this.#lastCall;
		this.#outbox.push({...body, call});
		this.hold();
		this.#pending.set(call, {resolve, reject});
	}

	/** Tells the dispatcher which events are wanted, if others are than before. Done before each message; for those who can't wait for one. */
	subscribe(): void {
		const events = this.#events.changedSubscriptions();
		// Should this call fail, the engine is closed, and there will be no events.
		if (events) this.call({type: 'subscribe', events}).catch(() => undefined);
	}

	/** Registers who wants to hear of the job's end. The dispatcher must have been told to watch it. */
	watch(id: JobId, watcher: Watcher): void {
		if (this.#end) {
			watcher(this.#end);
			return;
		}
		const watchers = this.#watchers.get(id);
		if (watchers) watchers.push(watcher);
		else this.#watchers.set(id, [watcher]);
		this.hold();
	}

	unwatch(id: JobId, watcher: Watcher): void {
		const watchers = this.#watchers.get(id);
		const index = watchers?.indexOf(watcher) ?? -1;
		if (!watchers || index < 0) return;
		watchers.splice(index, 1);
		this.release();
		if (watchers.length === 0) this.#watchers.delete(id);
		this.call({type: 'unwatch', ids: [id]}).catch(() => undefined);
	}

	/** Calls the listener once nothing can be called any more. Returns a function that ends that. */
	onEnd(listener: (error: FaenaError) => void): () => void {
		if (this.#end) listener(this.#end);
		this.#endListeners.add(listener);
		return () => void this.#endListeners.delete(listener);
	}

	/** Keeps the process alive until {@link release}. */
	hold(): void {
		if (this.#holds++ === 0) this.#transport.ref();
	}

	release(): void {
		if (--this.#holds === 0) this.#transport.unref();
	}

	/** Ends the transport after its last reply. Later calls are refused. */
	async terminate(): Promise<void> {
		this.#end = new FaenaError('Closed', 'This engine is closed.');
		this.#rejectAll(new FaenaError('Closed', 'The engine was closed before the job ended; the job itself is safe in the queue.'));
		await this.#transport.end();
	}

	get isClosed(): boolean {
		return this.#end !== undefined;
	}

	#flush(): void {
		const calls = this.#outbox;
		this.#outbox = [];
		this.#transport.send(calls);
	}

	#receive(message: DispatcherMessage): void {
		if (message.type === 'signals') {
			// A signal that has come by now is handled before that.
			setImmediate(() => this.#transport.send([{type: 'signalsTold', call: 0}]));
			return;
		}
		if (message.type === 'failed') {
			this.#fail(fromEnvelope(message.error));
			// Its lock on the queue falls with it, so that another engine can take its jobs at once.
			void this.#transport.end();
			return;
		}
		for (const reply of message.replies) {
			const pending = this.#pending.get(reply.call);
			this.#pending.delete(reply.call);
			this.release();
			if ('error' in reply) pending?.reject(fromEnvelope(reply.error));
			else pending?.resolve(reply.value);
		}
		for (const notice of message.notices) this.#notify(notice);
		for (const event of message.events) this.#events.publish(event);
	}

	#notify(notice: Notice): void {
		const watchers = this.#watchers.get(notice.id);
		if (!watchers) return;
		this.#watchers.delete(notice.id);
		for (const watcher of watchers) {
			this.release();
			watcher(notice);
		}
	}

	#fail(error: FaenaError): void {
		if (!this.#end) this.#events.log('dispatcherFailed', {error});
		this.#end ??= error;
		this.#rejectAll(error);
	}

	#rejectAll(error: FaenaError): void {
		const pending = [...this.#pending.values()];
		const watchers = [...this.#watchers.values()].flat();
		this.#pending.clear();
		this.#watchers.clear();
		for (const {reject} of pending) reject(error);
		for (const watcher of watchers) watcher(error);
		for (const listener of this.#endListeners) listener(error);
		if (this.#holds > 0) this.#transport.unref();
		this.#holds = 0;
	}
}
