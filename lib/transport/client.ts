/** The station `transport/`: carries calls from a caller to its dispatcher, and replies, notices and events back. It never decides about a job. */

import type {Worker} from 'node:worker_threads';
import type {ExecutionFacts} from '../job/claim.ts';
import type {Encoded} from '../job/encoding.ts';
import type {EventName, JobEvent} from '../job/events.ts';
import {fromEnvelope} from '../job/failure.ts';
import {idAt, numberAt} from '../job/groups/group.ts';
import {unpack} from '../job/groups/packed.ts';
import {PackedTimes} from '../job/groups/packed-times.ts';
import type {JobId} from '../job/job.ts';
import type {TaskInfo} from '../job/task/task.ts';
import {FaenaError} from '../support/errors.ts';
import {startThread, workerUrl} from '../support/node.ts';
import {IdRanges} from './id-ranges.ts';
import {type Answer, MergedEnqueue, type SingleJob} from './merged-enqueue.ts';
import type {
	Call,
	CallBody,
	CompletedJobs,
	DispatcherMessage,
	DispatcherStart,
	EnqueueReply,
	IdRange,
	Notice,
	RepliesMessage,
	Started,
	Verbs,
} from './messages.ts';
import {payloadBuffers} from './messages.ts';

type Result<Verb extends keyof Verbs> = ReturnType<Verbs[Verb]>;

/** Takes the dispatcher's events. */
interface EventSink {
	/** The events with listeners, if they have changed since the last call. */
	changedSubscriptions(): readonly EventName[] | undefined;
	publish(event: JobEvent): void;
	log(what: 'dispatcherFailed', detail: object): void;
	/** Warns of a failure that no call reports. */
	warn(sentence: string): void;
}

/** Called once: with a notice when the job has ended, or with the error that ended the client. */
export type Watcher = (end: Notice | FaenaError) => void;

/** Hears of the ends of jobs with consecutive ids. */
export interface RangeWatcher {
	/** Jobs from this one on have completed: those from index `start` up to `end`. */
	completed(first: JobId, jobs: UnpackedJobs, start: number, end: number): void;
	ended(end: Notice): void;
	/** Called once, if the client has ended before all of the jobs. */
	failed(error: FaenaError): void;
}

/** The executions of completed jobs. */
export interface Executions extends Pick<CompletedJobs, 'executions'> {
	readonly times: PackedTimes;
}

/** Completed jobs, unpacked. */
export interface UnpackedJobs extends Executions {
	readonly results: readonly Encoded[];
}

/** The execution of the job at this index. */
export function executionAt({executions, times}: Executions, index: number): ExecutionFacts {
	return {number: numberAt(executions, index), ...times.known(index)};
}

/** The caller's end of the transport. Calls of one turn of the event loop travel in one message. An open call, a watch or a hold keeps the process alive. */
export class DispatcherClient {
	readonly tasks: readonly TaskInfo[];
	readonly #transport: Transport;
	readonly #events: EventSink;
	readonly #pending = new Map<number, {resolve(value: unknown): void; reject(error: unknown): void}>();
	readonly #watchers = new Map<JobId, Watcher[]>();
	readonly #ranges = new IdRanges<RangeWatcher>();
	readonly #endListeners = new Set<(error: FaenaError) => void>();
	#outbox: (() => Call)[] = [];
	/** Takes more enqueues of this turn that are like it. */
	#merging: MergedEnqueue | undefined;
	#lastCall = 0;
	#holds = 0;
	/** Why the connection has ended. */
	#end: FaenaError | undefined;

	constructor(transport: Transport, events: EventSink) {
		this.tasks = transport.tasks;
		this.#transport = transport;
		this.#events = events;
		transport.listen(
			message => this.#receive(message),
			error => this.#fail(error),
		);
	}

	verb<Verb extends keyof Verbs>(verb: Verb, ...args: Parameters<Verbs[Verb]>): Promise<Result<Verb>> {
		return this.call({type: 'verb', verb, args}) as Promise<Result<Verb>>;
	}

	/** Sends the call, together with the other calls of this turn of the event loop. */
	call(body: CallBody): Promise<unknown> {
		return new Promise((resolve, reject) => this.send(body, resolve, reject));
	}

	/** Enqueues one job. The answer comes before the rest of the reply's message is handled. Jobs of one turn that are alike travel as one call. */
	enqueue(job: SingleJob, answer: Answer): void {
		if (this.#end) return void answer.reject(this.#end);
		if (this.#merging?.add(job, answer)) return;
		if (this.#outbox.length === 0) this.subscribe();
		const merged = new MergedEnqueue(job, answer);
		const body = () => merged.toCall();
		const again = (single: SingleJob, own: Answer) => {
			this.#merging = undefined;
			this.enqueue(single, own);
		};
		this.#push(
			body,
			reply => merged.resolve(reply as EnqueueReply),
			error => merged.reject(error, again),
		);
		this.#merging = merged;
	}

	/** Like {@link call}, but runs a callback before the rest of the reply's message is handled. */
	send(body: CallBody, resolve: (value: unknown) => void, reject: (error: unknown) => void): void {
		if (this.#end) return void reject(this.#end);
		if (this.#outbox.length === 0 && body.type !== 'subscribe') this.subscribe();
		this.#push(() => body, resolve, reject);
	}

	/** @param toBody called when the message is sent */
	#push(toBody: () => CallBody, resolve: (value: unknown) => void, reject: (error: unknown) => void): void {
		if (this.#outbox.length === 0) queueMicrotask(() => this.#flush());
		const call = ++this.#lastCall;
		this.#outbox.push(() => ({...toBody(), call}));
		// The order of the calls stays.
		this.#merging = undefined;
		this.hold();
		this.#pending.set(call, {resolve, reject});
	}

	#flush(): void {
		this.#merging = undefined;
		this.#transport.send(this.#outbox.splice(0).map(toCall => toCall()));
	}

	/** Tells the dispatcher which events have listeners, if that has changed. Also called before each message. */
	subscribe(): void {
		const events = this.#events.changedSubscriptions();
		// If this call fails, the engine is closed, and no more events come.
		if (events) this.call({type: 'subscribe', events}).catch(() => undefined);
	}

	get isWatching(): boolean {
		return this.#watchers.size + this.#ranges.size > 0;
	}

	/** Registers a watcher of the job's end. Some call must have told the dispatcher to watch the job. */
	watch(id: JobId, watcher: Watcher): void {
		if (this.#end) return void watcher(this.#end);
		const watchers = this.#watchers.get(id);
		if (watchers) watchers.push(watcher);
		else this.#watchers.set(id, [watcher]);
		this.hold();
	}

	unwatch(id: JobId, watcher: Watcher): void {
		const watchers = this.#watchers.get(id);
		if (!watchers?.includes(watcher)) return;
		watchers.splice(watchers.indexOf(watcher), 1);
		if (watchers.length === 0) this.#watchers.delete(id);
		this.release();
		this.call({type: 'unwatch', ids: [id]}).catch(() => undefined);
	}

	/** Registers a watcher of jobs with consecutive ids, as {@link watch} does. They are at most a group. */
	watchRange({first, last}: IdRange, watcher: RangeWatcher): void {
		if (this.#end) return void watcher.failed(this.#end);
		this.#ranges.add(first, last, watcher);
		this.hold(last - first + 1);
	}

	/** Ends the watches of these watchers, of all jobs or of one range. */
	unwatchRanges(watchers: ReadonlySet<RangeWatcher>, {first, last}: IdRange = {first: 0, last: Infinity}): void {
		const ranges = [...this.#ranges].filter(range => watchers.has(range.owner) && range.first <= last && range.last >= first);
		const parts = ranges.map(range => ({first: Math.max(first, range.first), last: Math.min(last, range.last), owner: range.owner}));
		for (const part of parts) {
			this.#ranges.take(part.first, part.last, part.owner);
			this.release(part.last - part.first + 1);
		}
		if (parts.length > 0) this.call({type: 'unwatch', ranges: parts.map(part => ({first: part.first, last: part.last}))}).catch(() => undefined);
	}

	/** Runs the listener once, when the connection ends. Returns a function that removes it. */
	onEnd(listener: (error: FaenaError) => void): () => void {
		if (this.#end) listener(this.#end);
		else this.#endListeners.add(listener);
		return () => void this.#endListeners.delete(listener);
	}

	/** Keeps the process alive until {@link release}, for each of so many reasons. */
	hold(reasons = 1): void {
		if (this.#holds === 0) this.#transport.ref();
		this.#holds += reasons;
	}

	release(reasons = 1): void {
		this.#holds -= reasons;
		if (this.#holds === 0) this.#transport.unref();
	}

	/** Ends the transport. Later calls are refused. */
	async terminate(): Promise<void> {
		this.#end = new FaenaError('Closed', 'This engine is closed; open() another one.');
		this.#rejectAll(new FaenaError('Closed', 'The engine was closed before the job ended; the job itself is safe in the queue.'));
		await this.#transport.end();
	}

	get isClosed(): boolean {
		return this.#end !== undefined;
	}

	#receive(message: DispatcherMessage): void {
		if (message.type === 'signalQuery') {
			// A signal that comes while the event loop waits for events may be handled only after the events it wakes for: in its next turn.
			setImmediate(() => setImmediate(() => this.#transport.send([{type: 'signalAnswered', call: 0}])));
			return;
		}
		if (message.type === 'failed') {
			this.#fail(fromEnvelope(message.error));
			// This drops the owner's lock, so that another engine can reclaim its jobs at once.
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
		for (const jobs of message.completed) this.#complete(jobs);
		for (const notice of message.notices) this.#notify(notice);
		for (const event of message.events) this.#events.publish(event);
	}

	#complete({ids, values, executions, times}: CompletedJobs): void {
		const results = unpack(values);
		const jobs: UnpackedJobs = {results, executions, times: new PackedTimes(times)};
		if (typeof ids === 'number') this.#completeRange(ids, jobs, 0, results.length);
		else for (let index = 0; index < results.length; index++) this.#completeRange(idAt(ids, index), jobs, index, index + 1);
		if (this.#watchers.size === 0) return;
		for (let index = 0; index < results.length; index++) {
			const id = idAt(ids, index);
			if (this.#watchers.has(id)) this.#notifyWatchers({id, status: 'completed', result: results[index] as Encoded, execution: executionAt(jobs, index)});
		}
	}

	#completeRange(first: JobId, jobs: UnpackedJobs, start: number, end: number): void {
		for (const part of this.#ranges.take(first, first + end - start - 1)) {
			const from = start + part.first - first;
			this.release(part.last - part.first + 1);
			part.owner.completed(part.first, jobs, from, from + part.last - part.first + 1);
		}
	}

	#notify(notice: Notice): void {
		for (const {owner} of this.#ranges.take(notice.id, notice.id)) {
			this.release();
			owner.ended(notice);
		}
		this.#notifyWatchers(notice);
	}

	#notifyWatchers(notice: Notice): void {
		const watchers = this.#watchers.get(notice.id) ?? [];
		this.#watchers.delete(notice.id);
		for (const watcher of watchers) {
			this.release();
			watcher(notice);
		}
	}

	#fail(error: FaenaError): void {
		if (!this.#end) {
			this.#events.log('dispatcherFailed', {error});
			// Otherwise a caller hears of it.
			if (this.#holds === 0) this.#events.warn(`${error.message} No job runs here until the next open().`);
		}
		this.#end ??= error;
		this.#rejectAll(error);
	}

	#rejectAll(error: FaenaError): void {
		const calls = [...this.#pending.values()].map(({reject}) => reject);
		const rangeWatchers = [...new Set([...this.#ranges].map(({owner}) => owner))].map(owner => (end: FaenaError) => owner.failed(end));
		const all = [...calls, ...[...this.#watchers.values()].flat(), ...rangeWatchers, ...this.#endListeners];
		this.#pending.clear();
		this.#watchers.clear();
		this.#ranges.clear();
		this.#endListeners.clear();
		for (const end of all) end(error);
		if (this.#holds > 0) this.#transport.unref();
		this.#holds = 0;
	}
}

/** The connection of an engine to its dispatcher: carries calls there, and messages back. */
export interface Transport {
	readonly tasks: readonly TaskInfo[];
	send(calls: readonly Call[]): void;
	/** Sets the listeners: of messages, and of the error that ends the connection. */
	listen(onMessage: (message: DispatcherMessage) => void, onEnd: (error: FaenaError) => void): void;
	ref(): void;
	unref(): void;
	/** Ends the dispatcher, if it has not ended by itself. */
	end(): Promise<void>;
}

/**
 * Starts a dispatcher in its own thread, and waits until its workers have loaded the tasks. The caller's event loop never waits for the disk
 * and never runs a task.
 * @param publish takes events that come meanwhile
 * @throws FaenaError if the queue or the tasks can't be opened
 */
export async function openThread(start: DispatcherStart, publish: (event: JobEvent) => void): Promise<Transport> {
	const worker = startThread(workerUrl('dispatcher'), {workerData: start, name: 'faena dispatcher'});
	const started = await untilStarted(worker, publish);
	if (started.type === 'refused') throw fromEnvelope(started.error);
	return {
		tasks: started.tasks,
		listen(onMessage, onEnd) {
			worker.on('message', onMessage);
			worker.on('error', error => onEnd(failed(`failed: ${messageOf(error)}`, error)));
			worker.on('exit', code => onEnd(failed(`ended with exit code ${code}.`)));
			// A listener attached to an unref'd thread refs it again, so this comes last.
			worker.unref();
		},
		send: calls => worker.postMessage(calls, payloadBuffers(calls)),
		ref: () => worker.ref(),
		unref: () => worker.unref(),
		end: async () => void (await worker.terminate()),
	};
}

function untilStarted(worker: Worker, publish: (event: JobEvent) => void): Promise<Started> {
	return new Promise((resolve, reject) => {
		worker.on('message', (message: Started | RepliesMessage) => {
			if (message.type === 'replies') return message.events.forEach(publish);
			// At once: the next messages wait for the listeners of `listen`.
			for (const event of ['message', 'error', 'exit']) worker.removeAllListeners(event);
			resolve(message);
		});
		worker.on('error', error => reject(failed(`can't be started. ${messageOf(error)}`, error)));
		worker.on('exit', code => reject(failed(`ended with exit code ${code} while it started.`)));
	});
}

function failed(how: string, cause?: unknown): FaenaError {
	return new FaenaError('DispatcherFailed', `Faena's dispatcher thread ${how}`, cause === undefined ? undefined : {cause});
}

/** A thread may throw anything. */
function messageOf(error: unknown): string {
	return error instanceof Error ? error.message : String(error);
}
