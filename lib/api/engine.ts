import type {BatchOptions} from '../job/batch.ts';
import {abortSignal, argument, bad, checked, checkIterable, choice, duration, integer, list, show, text} from '../job/checks.ts';
import {decode, type Encoded} from '../job/encoding.ts';
import type {JobEvent} from '../job/events.ts';
import {fromFailure} from '../job/failure.ts';
import type {CleanupResult, Page} from '../job/job.ts';
import {type Counts, type Duration, type Job, type JobFilter, type JobId, type LogLine, STATUSES} from '../job/job.ts';
import {JobMaker} from '../job/new-job.ts';
import {checkKey} from '../job/options.ts';
import {pack} from '../job/packed-strings.ts';
import {MAX_RUN_JOBS} from '../job/runs.ts';
import type {EngineStats} from '../job/stats.ts';
import type {JobOptions} from '../job/task.ts';
import {keyConflict} from '../store/store.ts';
import {DispatcherClient} from '../transport/client.ts';
import type {DispatcherStart, EnqueueCall, EnqueueReply, Notice} from '../transport/messages.ts';
import {ThreadTransport, type Transport} from '../transport/thread.ts';
import {BatchHandle, type BatchInfo, toBatchInfo} from './batch-handle.ts';
import {type EngineEvents, Events} from './events.ts';
import type {InlineTransport} from './inline.ts';
import {JobHandle, toOutcome, toResult, type WaitOptions, waitForEnd} from './job-handle.ts';
import {JobMap} from './map.ts';
import {checkMapOptions, type MapOptions} from './map-options.ts';
import {type OpenOptions, resolveOpenOptions, type Settings} from './open-options.ts';
import {closeOnSignals, isSignalled} from './signals.ts';
import {UnreadMaps} from './unread-maps.ts';

/** Names of a module's tasks. */
export type TaskName<Tasks> = {[Name in keyof Tasks]: Tasks[Name] extends (...args: never[]) => unknown ? Name : never}[keyof Tasks] & string;
/** What the task takes. */
export type PayloadOf<Tasks, Name extends keyof Tasks> = Tasks[Name] extends (...args: infer Args extends unknown[]) => unknown ? Args[0] : never;
/** What the task returns, awaited. */
export type ResultOf<Tasks, Name extends keyof Tasks> = Tasks[Name] extends (...args: never[]) => infer Result ? Awaited<Result> : never;
/** Payload and options of `enqueue` and `call`; a task that takes nothing needs neither. */
export type EnqueueArgs<Tasks, Name extends keyof Tasks, Options> =
	undefined extends PayloadOf<Tasks, Name> ? [payload?: PayloadOf<Tasks, Name>, options?: Options] : [payload: PayloadOf<Tasks, Name>, options?: Options];

/** Tasks of an engine whose module is not known to the compiler. */
// biome-ignore lint/suspicious/noExplicitAny: without a module's type any payload and result must do
export type AnyTasks = Record<string, (payload: any, ...rest: any[]) => any>;

/**
 * Opens the queue, starts the dispatcher's thread and its workers, and loads the tasks. What an earlier run left
 * unfinished goes on at once.
 * @example await using faena = await open<typeof import('./tasks.ts')>({queue: 'jobs.db', tasks: new URL('./tasks.ts', import.meta.url)});
 * @throws FaenaError `BadOption`, `BadTasksModule`, `SetupFailed`, `BadDatabase`, `NewerDatabase`
 */
export async function open<Tasks = AnyTasks>(options: OpenOptions): Promise<Engine<Tasks>> {
	const settings = resolveOpenOptions(options);
	const openTransport: OpenTransport = async (...start) => (settings.isolation === 'inline' ? await loadInlineTransport() : ThreadTransport).open(...start);
	return connect(settings, openTransport, (client, events) => new Engine<Tasks>(settings, client, events));
}

/** What it takes is loaded only then: for others it would double what this program loads. */
async function loadInlineTransport(): Promise<typeof InlineTransport> {
	return (await import('./inline.ts')).InlineTransport;
}

/** `tell` gets the events that come before the transport is open. */
export type OpenTransport = (start: DispatcherStart, tell: (event: JobEvent) => void) => Promise<Transport>;

/** Opens a line to a dispatcher and makes an engine of it. */
export async function connect<Made>(
	{queue, durability, blobThresholdBytes, leaseMs, tasks, closeOnSignals, logger, ...settings}: Settings,
	openTransport: OpenTransport,
	make: (client: DispatcherClient, events: Events) => Made,
): Promise<Made> {
	const events = new Events(queue, logger);
	const subscriptions = events.changedSubscriptions();
	const transport = await openTransport(
		{queue, durability, blobThresholdBytes, leaseMs, events: subscriptions, closeOnSignals, pool: tasks === undefined ? undefined : {...settings, tasks}},
		event => events.publish(event),
	);
	const client = new DispatcherClient(transport, events);
	try {
		const made = make(client, events);
		events.log('opened', {isolation: settings.isolation, workers: settings.workers, tasks: client.tasks.map(({name}) => name)});
		return made;
	} catch (error) {
		await client.terminate();
		throw error;
	}
}

/** Jobs of `enqueueMany` that travel in one message, at most: a whole run. */
const CHUNK = MAX_RUN_JOBS;
/** A message is full once its payloads are so large, about: of large ones few are to be under way. */
const CHUNK_BYTES = 8 * 1024 ** 2;
/** Messages of one `enqueueMany` that may be under way. With a fourth the p99 of the caller's loop delay rises from 3 to 5 ms. */
const CHUNKS_UNDER_WAY = 3;

/** What a program holds: enqueues jobs, awaits them, looks at them, and steers them. Made by {@link open}. */
export class Engine<Tasks = AnyTasks> implements AsyncDisposable {
	readonly #settings: Settings;
	readonly #client: DispatcherClient;
	readonly #events: Events;
	readonly #maker: JobMaker;
	readonly #now: () => number;
	readonly #unreadMaps = new UnreadMaps();
	readonly #stopListening: (() => void) | undefined;
	#closing: Promise<void> | undefined;

	/** @internal Use {@link open}. */
	constructor(settings: Settings, client: DispatcherClient, events: Events, now: () => number = Date.now) {
		this.#settings = settings;
		this.#client = client;
		this.#events = events;
		this.#maker = new JobMaker(client.tasks, settings.defaults, settings.maxValueBytes, now);
		this.#now = now;
		if (settings.closeOnSignals) this.#stopListening = closeOnSignals(this);
	}

	/**
	 * Enqueues a job. Resolves once it is durable.
	 * @throws FaenaError `UnknownTask`, `BadOption`, `NotEncodable`, `TooLarge`, `KeyConflict`, `StorageFull`, `OutcomeUnknown`, `Closed`
	 */
	async enqueue<Name extends TaskName<Tasks>>(
		task: Name,
		...[payload, options]: EnqueueArgs<Tasks, Name, JobOptions>
	): Promise<JobHandle<ResultOf<Tasks, Name>>> {
		const reply = (await this.#client.call(this.#enqueueCall('enqueue()', task, payload, options, false))) as EnqueueReply;
		if (isConflict(reply)) throw keyConflict({task, key: options?.key ?? ''}, reply.first);
		return new JobHandle(this.#client, reply.first, task, reply.existing !== undefined);
	}

	/**
	 * Enqueues a job for each payload of a collection, however large: a bounded number is under way at a time. Resolves when
	 * all are durable. `key` in the options is a function of the payload.
	 * @returns ids in the order of the payloads, and those of them that were there already
	 * @throws as {@link enqueue}; what was enqueued before stays
	 */
	async enqueueMany<Name extends TaskName<Tasks>>(
		task: Name,
		payloads: Iterable<PayloadOf<Tasks, Name>> | AsyncIterable<PayloadOf<Tasks, Name>>,
		options: Omit<JobOptions, 'key'> & {readonly key?: (payload: PayloadOf<Tasks, Name>) => string} = {},
	): Promise<{readonly ids: JobId[]; readonly existing: JobId[]}> {
		checkIterable('enqueueMany()', payloads);
		if (typeof options !== 'object' || options === null) throw bad(`enqueueMany() expects an object of options; it got ${show(options)}`);
		const {key: toKey, ...rest} = options;
		if (toKey !== undefined && typeof toKey !== 'function') throw bad('enqueueMany() expects as key a function of the payload');
		const resolved = this.#maker.resolve('enqueueMany()', task, rest);
		const ids: JobId[] = [];
		const existing: JobId[] = [];
		const underWay: Promise<void>[] = [];
		let jobs = 0;
		try {
			const encode = (payload: PayloadOf<Tasks, Name>) => this.#maker.encode(payload);
			const keyOf = toKey && ((payload: PayloadOf<Tasks, Name>) => checkKey('enqueueMany()', toKey(payload)));
			for await (const {encoded, keys} of chunksOf(payloads, encode, keyOf)) {
				const start = jobs;
				jobs += encoded.length;
				const sent = this.#client
					.call({type: 'enqueue', task, payloads: keys ? encoded : pack(encoded), keys, batch: undefined, watch: false, ...resolved})
					.then(reply => {
						const {first, ids: own, existing: found = []} = reply as EnqueueReply;
						const idAt = (index: number) => own?.[index] ?? first + index;
						refuseConflict(task, reply as EnqueueReply, idAt, keys);
						for (let index = 0; index < encoded.length; index++) ids[start + index] = idAt(index);
						for (const index of found) existing.push(idAt(index));
					});
				// Awaited below; but the one before it may fail first.
				sent.catch(() => undefined);
				underWay.push(sent);
				if (underWay.length >= CHUNKS_UNDER_WAY) await underWay.shift();
			}
			await Promise.all(underWay);
			return {ids, existing};
		} finally {
			// Also when it fails: by then nothing of it may be under way any more.
			await Promise.allSettled(underWay);
		}
	}

	/**
	 * Enqueues a job and waits for what the task returns. The signal ends the wait, not the job.
	 * @throws as {@link enqueue} and {@link JobHandle.result}
	 */
	async call<Name extends TaskName<Tasks>>(
		task: Name,
		...[payload, options]: EnqueueArgs<Tasks, Name, JobOptions & Pick<WaitOptions, 'signal'>>
	): Promise<ResultOf<Tasks, Name>> {
		const {signal: given, ...jobOptions} = options ?? {};
		const {signal} = checked('call()', {signal: given}, {signal: abortSignal}) as {signal?: AbortSignal};
		const call = this.#enqueueCall('call()', task, payload, jobOptions, true);
		const notice = await new Promise<Notice>((resolve, reject) => {
			const onReply = (reply: unknown) => {
				const {first} = reply as EnqueueReply;
				if (isConflict(reply as EnqueueReply)) reject(keyConflict({task, key: jobOptions.key ?? ''}, first));
				else waitForEnd(this.#client, first, signal ? {signal} : {}).then(resolve, reject);
			};
			this.#client.send(call, onReply, reject);
		});
		return toResult(notice.id, task, toOutcome(notice)) as ResultOf<Tasks, Name>;
	}

	/**
	 * Runs the task for every item of a collection and yields how each ended, as they finish or in the order of the input.
	 * With a `batch` name it is durable: the same map again goes on where it was, and yields what is done from the queue.
	 * Only its loop runs it: a map that is never iterated runs nothing, and is warned of when the engine is closed.
	 * @throws FaenaError `BadOption`, `UnknownTask`; its loop `KeyConflict`, `BatchInUse`, `BatchConflict`, `NoSuchBatch`, `NoSuchJob`, `Halted`, `NotEncodable`, `TooLarge`, `Closed`, and what the items throw
	 */
	map<Name extends TaskName<Tasks>>(
		task: Name,
		items: Iterable<PayloadOf<Tasks, Name>> | AsyncIterable<PayloadOf<Tasks, Name>>,
		options?: Omit<MapOptions<PayloadOf<Tasks, Name>, unknown, TaskName<Tasks>>, 'payload'>,
	): JobMap<PayloadOf<Tasks, Name>, ResultOf<Tasks, Name>>;
	map<Name extends TaskName<Tasks>, Item>(
		task: Name,
		items: Iterable<Item> | AsyncIterable<Item>,
		options: MapOptions<Item, PayloadOf<Tasks, Name>, TaskName<Tasks>> & {readonly payload: (item: Item, index: number) => PayloadOf<Tasks, Name>},
	): JobMap<Item, ResultOf<Tasks, Name>>;
	map<Name extends TaskName<Tasks>, Item>(
		task: Name,
		items: Iterable<Item> | AsyncIterable<Item>,
		options: MapOptions<Item, unknown> = {},
	): JobMap<Item, ResultOf<Tasks, Name>> {
		const settings = checkMapOptions(options);
		const {priority, runAt, policy} = this.#maker.resolve('map()', task, settings.jobOptions);
		const onComplete = settings.onComplete === undefined ? undefined : this.#toOnComplete(settings.onComplete);
		const encode = (payload: unknown) => this.#maker.encode(payload);
		return new JobMap(this.#client, {...settings, task, priority, runAt, policy, onComplete, encode}, items, this.#unreadMaps);
	}

	/** A handle for a job whose id was kept, for instance by another program. */
	handle<Name extends TaskName<Tasks>>(task: Name, id: JobId): JobHandle<ResultOf<Tasks, Name>> {
		return new JobHandle(this.#client, checkId(id), task, true);
	}

	/** What is known of a job, with its payload, result, checkpoint and log; `undefined` if there is none of this id. */
	async job(id: JobId): Promise<JobDetails | undefined> {
		const [job, values, logs] = await Promise.all([this.#client.verb('job', checkId(id)), this.#client.verb('values', id), this.#client.verb('logs', id)]);
		if (!job || !values) return undefined;
		const {error, ...rest} = job;
		return {
			...rest,
			payload: decode(values.payload),
			...(values.result !== undefined && {result: decode(values.result)}),
			...(values.checkpoint && {checkpoint: {...values.checkpoint, state: decode(values.checkpoint.state)}}),
			...(error && {error: fromFailure(error)}),
			logs,
		};
	}

	/**
	 * Jobs in order of arrival, at most `limit` (default 100) with ids after `after`: all as they are at one moment. For the next page give the
	 * id of the last job as `after`. The dispatcher does nothing else while it reads a page, so a page of many thousands keeps others waiting.
	 */
	async jobs(filter: JobFilter = {}, page: Page = {}): Promise<readonly Job[]> {
		return this.#client.verb('jobs', checkFilter('jobs()', filter), checkPage(page));
	}

	/** What is known of all batches, in the order in which they were made. */
	async batches(): Promise<readonly BatchInfo[]> {
		const now = this.#now();
		return (await this.#client.verb('batches')).map(batch => toBatchInfo(batch, now));
	}

	/** A handle for the batch of this name, whether or not it is there. */
	batch(name: string): BatchHandle {
		return new BatchHandle(this.#client, argument('batch()', 'name', name, text), this.#now);
	}

	/** Jobs by status, of one task or all, by the queue's tally. */
	async counts(filter: {readonly task?: string} = {}): Promise<Counts> {
		return this.#client.verb('counts', checked('counts()', filter, {task: text}));
	}

	/**
	 * Cancels one job, or all that match. Running ones are told to stop, and stopped if they don't. Works through many jobs page by page: it acts
	 * on those that match when their page is taken, and leaves those alone that arrive after the call. Returns how many are meant.
	 * @throws FaenaError `Closed`, `StorageFull`, …; jobs of the pages before stay cancelled
	 */
	async cancel(jobs: JobId | JobFilter): Promise<number> {
		const {cancelled, asked} = await this.#client.verb('cancel', toFilter('cancel()', jobs));
		return cancelled.length + asked.length;
	}

	/**
	 * Opens a new round for one job, even a completed one, whose result is gone then; or for all that match: unless the filter names
	 * ids or statuses, failed, dead and cancelled ones. Works page by page, as {@link cancel}. Returns how many.
	 */
	async retry(jobs: JobId | JobFilter): Promise<number> {
		return this.#client.verb('retry', toFilter('retry()', jobs));
	}

	/** Starts no more jobs of this task, or of any, here and in every other process, until {@link resume}. Durable. */
	async pause(task?: TaskName<Tasks>): Promise<void> {
		await this.#client.verb('pause', this.#names('pause()', task));
	}

	async resume(task?: TaskName<Tasks>): Promise<void> {
		await this.#client.verb('resume', this.#names('resume()', task));
	}

	/** Deletes completed, dead and cancelled jobs that ended longer ago than this; spares open batches. Returns how many. */
	async cleanup(options: {readonly olderThan: Duration}): Promise<number> {
		const {olderThan} = checked('cleanup()', options, {olderThan: duration}) as {olderThan?: number};
		if (olderThan === undefined) throw bad("cleanup() expects the option olderThan, for instance {olderThan: '7d'}");
		const endedBefore = this.#now() - olderThan;
		let deleted = 0;
		for (let after: JobId | null = 0; after !== null; ) {
			const result: CleanupResult = await this.#client.verb('cleanup', {endedBefore, after});
			deleted += result.deleted;
			after = result.next;
		}
		return deleted;
	}

	/** Resolves when no job of this engine's tasks is left that could run without help: paused and parked ones don't count. */
	async idle(): Promise<void> {
		if (this.#client.tasks.length === 0) throw bad("idle() waits for the jobs of this engine's tasks; this one was opened without tasks");
		await this.#client.call({type: 'idle', waiting: true});
	}

	/** What this engine's dispatcher did since it was opened: rates, waits, quantiles by task, chunk sizes, commits, lost leases. */
	async stats(): Promise<EngineStats> {
		return (await this.#client.call({type: 'stats'})) as EngineStats;
	}

	/** Calls the listener for each event from now on. To listen keeps no process alive; to await a call, a result or a map does. */
	on<Name extends keyof EngineEvents>(event: Name, listener: (...args: EngineEvents[Name]) => void): this {
		this.#events.listen('on', event, listener as never);
		this.#client.subscribe();
		return this;
	}

	once<Name extends keyof EngineEvents>(event: Name, listener: (...args: EngineEvents[Name]) => void): this {
		this.#events.listen('once', event, listener as never);
		this.#client.subscribe();
		return this;
	}

	off<Name extends keyof EngineEvents>(event: Name, listener: (...args: EngineEvents[Name]) => void): this {
		this.#events.listen('off', event, listener as never);
		this.#client.subscribe();
		return this;
	}

	/**
	 * Ends in good order: starts nothing more, lets running jobs finish for `drain` (default: the option of `open`), then
	 * stops them, uncharged. Jobs that have not ended go on with the next `open`. Closing again changes nothing, but a
	 * shorter `drain` counts.
	 */
	async close(options: {readonly drain?: Duration} = {}): Promise<void> {
		const {drain: drainMs = this.#settings.drainMs} = checked('close()', options, {drain: duration}) as {drain?: number};
		this.#unreadMaps.dismiss();
		if (this.#client.isClosed) return this.#closing;
		const closed = this.#client
			.call({type: 'close', drainMs, isSignalled: isSignalled()})
			.then(() => this.#client.terminate())
			.finally(this.#stopListening);
		// A second call only shortens the wait; the thread ends with the first one's reply.
		if (this.#closing) closed.catch(() => undefined);
		this.#closing ??= closed.then(() => this.#events.log('closed', {}));
		return this.#closing;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.close();
	}

	// ———

	#toOnComplete(task: string): Required<BatchOptions>['onComplete'] {
		const {priority, policy} = this.#maker.resolve('map() for onComplete', task, {});
		return {task, priority, policy};
	}

	#enqueueCall(where: string, task: string, payload: unknown, options: JobOptions | undefined, watch: boolean): EnqueueCall {
		const {key, priority, runAt, policy} = this.#maker.resolve(where, task, options ?? {});
		return {
			type: 'enqueue',
			task,
			payloads: [this.#maker.encode(payload)],
			keys: key === undefined ? undefined : [key],
			batch: undefined,
			priority,
			runAt,
			policy,
			watch,
		};
	}

	#names(where: string, task: string | undefined): string[] {
		const {names} = this.#maker;
		if (task === undefined && names.length === 0) throw bad(`${where} needs a task's name on an engine without tasks`);
		return task === undefined ? names : [this.#maker.checkName(where, task)];
	}
}

/** A job as {@link Engine.job} gives it. */
export interface JobDetails extends Omit<Job, 'error'> {
	readonly payload: unknown;
	readonly result?: unknown;
	/** Where its next execution goes on, by `ctx.checkpoint(state)`, and which one kept that when. */
	readonly checkpoint?: {readonly execution: number; readonly at: number; readonly state: unknown};
	readonly error?: Error;
	readonly logs: readonly LogLine[];
}

interface PayloadChunk {
	readonly encoded: Encoded[];
	readonly keys: string[] | undefined;
}

async function* chunksOf<Payload>(
	payloads: Iterable<Payload> | AsyncIterable<Payload>,
	encode: (payload: Payload) => Encoded,
	keyOf: ((payload: Payload) => string) | undefined,
): AsyncGenerator<PayloadChunk> {
	const emptyChunk = (): PayloadChunk => ({encoded: [], keys: keyOf && []});
	let chunk = emptyChunk();
	let size = 0;
	/** Says whether the chunk is full with it. */
	const add = (payload: Payload) => {
		const encoded = encode(payload);
		size += encoded?.length ?? 0;
		if (keyOf) chunk.keys?.push(keyOf(payload));
		return chunk.encoded.push(encoded) >= CHUNK || size >= CHUNK_BYTES;
	};
	const takeChunk = () => {
		const full = chunk;
		[chunk, size] = [emptyChunk(), 0];
		return full;
	};
	// A synchronous source is read without a promise for each payload: that alone would cost more than storing it.
	if (Symbol.iterator in payloads) {
		for (const payload of payloads) if (add(payload)) yield takeChunk();
	} else {
		for await (const payload of payloads) if (add(payload)) yield takeChunk();
	}
	if (chunk.encoded.length > 0) yield chunk;
}

function isConflict({conflict}: EnqueueReply): boolean {
	return conflict !== undefined;
}

function refuseConflict(task: string, {conflict}: EnqueueReply, idAt: (index: number) => JobId, keys: readonly string[] | undefined): void {
	if (conflict !== undefined) throw keyConflict({task, key: keys?.[conflict] ?? ''}, idAt(conflict));
}

/** @internal */
export function checkId(id: unknown): JobId {
	if (Number.isSafeInteger(id) && (id as number) > 0) return id as JobId;
	throw bad(`A job's id is a positive whole number; it got ${show(id)}`);
}

/** For verbs that change jobs: a condition that is there and undefined is a mistake, which must not widen the filter. */
function toFilter(where: string, jobs: JobId | JobFilter): JobFilter {
	if (typeof jobs !== 'object') return {ids: [checkId(jobs)]};
	const filter = checkFilter(where, jobs);
	const missing = Object.entries(jobs).find(([, value]) => value === undefined);
	if (missing) throw bad(`${where} got ${missing[0]}: undefined, which would mean every job; leave ${missing[0]} out if that is meant`);
	return filter;
}

function checkFilter(where: string, filter: JobFilter): JobFilter {
	return checked(where, filter, {
		task: text,
		batch: text,
		ids: value => list(value).map(checkId),
		status: value => (Array.isArray(value) ? value.map(choice(...STATUSES)) : choice(...STATUSES)(value)),
	});
}

function checkPage(page: Page): Page {
	return checked('jobs()', page, {after: integer(0, Number.MAX_SAFE_INTEGER), limit: integer(1, 100_000)});
}
