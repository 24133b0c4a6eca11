/** The station `api/`: what a program holds in its own thread. There an engine never waits for the disk and, unless it is inline, never runs a task. */

import {type OpenFreshness, openFreshness} from '../freshness/open-freshness.ts';
import {argument, bad, checked, type Duration, duration, text} from '../job/checks.ts';
import type {EngineEvents, EngineStats, JobEvent} from '../job/events.ts';
import {idAt} from '../job/groups/group.ts';
import type {Counts, JobId, JobRef, TaskCounts} from '../job/job.ts';
import {countJobs, JobList, type JobSource, toFilter} from '../job/job-list.ts';
import {JobBuilder} from '../job/new-job.ts';
import {checkId, isJob} from '../job/options.ts';
import type {JobFilter, JobSearch, MoveTarget} from '../job/search.ts';
import type {AnyTasks, EnqueueArgs, Fresh, JobOptions, PayloadOf, ResultOf, TasksOf} from '../job/task/task.ts';
import {refuseInWorker, tasksHere} from '../job/task/task-module.ts';
import {keyConflict, noParent, queueFull} from '../store/conflict-errors.ts';
import {type Cleanup, cleanUp} from '../store/deletions.ts';
import {shownLocation} from '../store/kinds.ts';
import {IN_MEMORY} from '../store/store-options.ts';
import {DispatcherClient, openThread, type Transport} from '../transport/client.ts';
import type {SingleJob} from '../transport/merged-enqueue.ts';
import type {DispatcherStart, EnqueueReply, Notice} from '../transport/messages.ts';
import {BatchHandle, type BatchInfo, toBatchInfo} from './batch-handle.ts';
import {type EnqueueManyOptions, enqueueMany} from './enqueue-many.ts';
import {Events} from './events.ts';
import {Flow} from './flows/flow.ts';
import {FlowHandle} from './flows/flow-handle.ts';
import {JobHandle, toResult} from './job-handle.ts';
import {JobMap} from './maps/map.ts';
import {type MapArgs, type MapOptions, planMap} from './maps/map-options.ts';
import {JobPipe} from './maps/pipe.ts';
import {type PipeOptions, planPipe, type StageOptions} from './maps/pipe-plan.ts';
import type {LastOutput, PipeArg, PipeArgs, PipeSource} from './maps/pipe-types.ts';
import {dismissUnread} from './maps/unread-maps.ts';
import type {InternalOptions, OpenOptions, Settings} from './open-options.ts';
import {resolveOpenOptions} from './open-options.ts';
import {warnOfOtherScopes} from './other-scopes.ts';
import {ScheduleHandle, type ScheduleInfo, type ScheduleOptions, toScheduleInfo} from './schedules.ts';
import {closeOnSignals, isSignalled} from './signals.ts';
import {checkCallWait, checkWait, type WaitOptions, waitForEnd, within} from './wait.ts';

/**
 * Opens the queue, starts the dispatcher's thread and its workers, and loads the tasks. Jobs that an earlier run left
 * unfinished go on at once.
 * @example await using faena = await open<typeof import('./tasks.ts')>({queue: 'jobs.db', tasks: new URL('./tasks.ts', import.meta.url)});
 * @throws FaenaError `BadOption`, `BadTasksModule`, `SetupFailed`, `BadDatabase`, `NewerDatabase`
 */
export function open<Tasks = AnyTasks>(options: OpenOptions<Tasks>): Promise<Engine<Tasks>> {
	return openEngine(options);
}

/** As {@link open}; for one map, with `waitsForBatch`: then the engine runs no job before the batch of the map is open. */
export async function openEngine<Tasks>(options: OpenOptions<Tasks>, more: InternalOptions = {}): Promise<Engine<Tasks>> {
	refuseInWorker();
	const settings = resolveOpenOptions(options, more);
	// Inline code is loaded only when it is needed: it would double the code that other programs load.
	const openTransport = settings.isolation === 'inline' ? (await import('./inline.ts')).openInline : openThread;
	return connect(settings, openTransport, (client, events) => new Engine<Tasks>(settings, client, events));
}

/** Connects to a dispatcher, and makes an engine with the connection. `publish` takes events that come before the transport is open. */
export async function connect<Made>(
	{tasks, logger, ...settings}: Settings,
	openTransport: (start: DispatcherStart, publish: (event: JobEvent) => void) => Promise<Transport>,
	make: (client: DispatcherClient, events: Events) => Made,
): Promise<Made> {
	const events = new Events(shownLocation(settings.queue), logger);
	const start = {...settings, events: events.changedSubscriptions(), pool: tasks === undefined ? undefined : {...settings, tasks}};
	const client = new DispatcherClient(await openTransport(start, event => events.publish(event)), events);
	try {
		const made = make(client, events);
		events.log('opened', {isolation: settings.isolation, workers: settings.workers, tasks: client.tasks.map(({name}) => name)});
		return made;
	} catch (error) {
		await client.terminate();
		throw error;
	}
}

/** The handle of a job of the task, if it is named. */
type HandleOf<Tasks, Name extends keyof Tasks> = [Name] extends [never] ? JobHandle : JobHandle<ResultOf<Tasks, Name>, PayloadOf<Tasks, Name>>;

/** An open queue with its dispatcher and workers: enqueues jobs, awaits them, lists them, and controls them. `open()` makes it.
 * @example const count = (faena: Engine<AnyTasks>) => faena.counts(); */
export class Engine<Tasks = AnyTasks> implements AsyncDisposable {
	readonly #settings: Settings;
	readonly #client: DispatcherClient;
	readonly #events: Events;
	readonly #builder: JobBuilder;
	readonly #stopListening: (() => void) | undefined;
	readonly #stopLooking: (() => void) | undefined;
	/** For maps that look for what has changed. */
	readonly #freshness: OpenFreshness;
	#closing: Promise<void> | undefined;

	/** @internal Use `open()`. */
	constructor(settings: Settings, client: DispatcherClient, events: Events) {
		this.#settings = settings;
		this.#client = client;
		this.#events = events;
		const {tasks = '', defaults, maxValueBytes, maxPending, queue, env, execArgv} = settings;
		this.#builder = new JobBuilder(client.tasks, defaults, maxValueBytes, maxPending, queue === IN_MEMORY ? {} : queue, tasksHere(tasks));
		this.#builder.checkOnDead();
		this.#freshness = openFreshness(tasks, env, execArgv);
		if (settings.closeOnSignals) this.#stopListening = closeOnSignals(this);
		const [own] = settings.scopes;
		const readOthers = async () => (await this.taskCounts()).others;
		if (own !== undefined) this.#stopLooking = warnOfOtherScopes(readOthers, own, sentence => events.warn(sentence));
	}

	/**
	 * Enqueues a job. Resolves once it is durable.
	 * @throws FaenaError `UnknownTask`, `BadOption`, `NotEncodable`, `TooLarge`, `KeyConflict`, `QueueFull`, `StorageFull`, `OutcomeUnknown`,
	 *   `Closed`
	 */
	async enqueue<Name extends keyof TasksOf<Tasks> & string>(
		task: Name,
		...[payload, options]: EnqueueArgs<Tasks, Name, JobOptions>
	): Promise<JobHandle<ResultOf<Tasks, Name>, PayloadOf<Tasks, Name>>> {
		const job = this.#toJob('enqueue()', task, payload, options, false);
		const reply = await new Promise<EnqueueReply>((resolve, reject) => this.#client.enqueue(job, {resolve, reject}));
		return new JobHandle(this.#client, this.#builder, idOfEnqueued(reply, task, options), {reused: reply.reused !== undefined, task});
	}

	/**
	 * Enqueues a job for each payload of a collection of any size: only a bounded number is under way at a time. It waits for room
	 * while as many jobs are pending as `maxPending` allows. Resolves when all are durable. `key` in the options is a function of the payload.
	 * @returns `ids` in the order of the payloads; `reused`, those whose key existed
	 * @throws as {@link enqueue}; jobs that were enqueued before stay
	 */
	async enqueueMany<Name extends keyof TasksOf<Tasks> & string>(
		task: Name,
		payloads: Iterable<PayloadOf<Tasks, Name>> | AsyncIterable<PayloadOf<Tasks, Name>>,
		options: EnqueueManyOptions<PayloadOf<Tasks, Name>> = {},
	): Promise<{readonly ids: JobId[]; readonly reused: JobId[]}> {
		return enqueueMany(this.#client, this.#builder, task, payloads, options);
	}

	/**
	 * Enqueues a job and waits for its result. `signal` and `waitTimeout` end the wait, not the job; `timeout` is that of the job.
	 * @throws as {@link enqueue} and {@link JobHandle.result}
	 */
	async call<Name extends keyof TasksOf<Tasks> & string>(
		task: Name,
		...[payload, options]: EnqueueArgs<Tasks, Name, JobOptions & Pick<EnqueueManyOptions<never>, 'signal' | 'waitTimeout'>>
	): Promise<ResultOf<Tasks, Name>> {
		const {signal, waitTimeout, ...jobOptions} = options ?? {};
		const wait = options ? checkCallWait('call()', {signal, waitTimeout}) : {};
		const job = this.#toJob('call()', task, payload, jobOptions, true);
		const notice = await new Promise<Notice>((resolve, reject) => {
			const resolveWithEnd = (reply: EnqueueReply) => {
				try {
					const id = idOfEnqueued(reply, task, jobOptions);
					// Most calls: a promise less.
					if (!options) this.#client.watch(id, end => ('status' in end ? resolve(end) : reject(end)));
					else waitForEnd(this.#client, id, wait).then(resolve, reject);
				} catch (error) {
					reject(error);
				}
			};
			this.#client.enqueue(job, {resolve: resolveWithEnd, reject});
		});
		return toResult(notice, task) as ResultOf<Tasks, Name>;
	}

	/**
	 * Runs the task for every item of a collection, and yields how each job ended, as jobs end or in the order of the input. With a
	 * name, the option `batch`, it can be resumed: the same map again yields the stored results of completed jobs and runs the rest.
	 * The map begins when it is iterated. If it never is, it runs no jobs, and `close()` warns of it.
	 * @throws FaenaError `BadOption`, `UnknownTask`; its loop `KeyConflict`, `BatchInUse`, `BatchConflict`, `NoSuchBatch`, `NoSuchJob`, `Halted`,
	 *   `NotEncodable`, `TooLarge`, `Closed`, and the errors of the items' iterator
	 */
	map<Name extends keyof TasksOf<Tasks> & string, Item>(
		task: Name,
		items: Iterable<Item> | AsyncIterable<Item>,
		...[options]: MapArgs<Tasks, Name, Item>
	): JobMap<Item, ResultOf<Tasks, Name>> {
		const plan = planMap<Item>(this.#builder, task, (options === undefined ? {} : options) as MapOptions<Item, unknown>);
		return new JobMap(this.#client, plan, items, this.#freshness);
	}

	/**
	 * A builder for a flow: jobs that wait for each other, and get each other's results as payloads. Its name is that of a batch.
	 * @example
	 * const flow = faena.newFlow('report');
	 * const merged = flow.job('merge', flow.map('fetch', urls));
	 * await flow.enqueue();
	 */
	newFlow(name: string): Flow<Tasks> {
		return new Flow(this.#client, this.#builder, argument('newFlow()', 'name', name, text));
	}

	/**
	 * A handle for the flow of this name, which this program or another has enqueued. It need not exist.
	 * @example const report = await faena.flow('report').result('merge');
	 */
	flow(name: string): FlowHandle {
		return new FlowHandle(this.#client, this.#builder, argument('flow()', 'name', name, text));
	}

	/**
	 * Makes a schedule, or changes the one of this name. It is kept in the queue: whichever engine runs enqueues its jobs, one for each moment. The same
	 * schedule again changes nothing, so that a program can call this at each start. A job of it knows its moment: `ctx.job.scheduledAt`.
	 * @throws FaenaError `BadOption`, `UnknownTask`, `NotEncodable`, `TooLarge`, `Closed`, `StorageFull`
	 * @example await faena.setSchedule('nightly', {cron: '0 2 * * *', timezone: 'Europe/Berlin', task: 'report', payload: {all: true}});
	 */
	async setSchedule<Name extends keyof TasksOf<Tasks> & string>(
		name: string,
		options: ScheduleOptions<Tasks, Name>,
	): Promise<ScheduleHandle<ResultOf<Tasks, Name>>> {
		return this.#schedule<ResultOf<Tasks, Name>>('setSchedule()', name).set(options);
	}

	/** A handle for the schedule of this name. It need not exist. */
	schedule(name: string, ...more: []): ScheduleHandle {
		if (more.length > 0) throw bad('schedule() takes only a name, and returns the handle of that schedule; setSchedule(name, options) makes or changes it');
		return this.#schedule('schedule()', name);
	}

	#schedule<Result>(where: string, name: string): ScheduleHandle<Result> {
		return new ScheduleHandle<Result>(this.#client, this.#builder, argument(where, 'name', name, text));
	}

	/** All schedules, by name. */
	async schedules(): Promise<readonly ScheduleInfo[]> {
		return (await this.#client.verb('schedules')).map(toScheduleInfo);
	}

	/**
	 * Runs items through stages, each a task that gets the result of the one before, and yields the results of the last one. All stages of an item are in
	 * the queue from the start, so that they go on without this program. With a name, the option `batch`, the pipe can be resumed. The pipe begins when it
	 * is iterated. Takes stages, then perhaps options.
	 * @throws FaenaError `BadOption`, `UnknownTask`; its loop as {@link JobPipe}
	 * @example for await (const row of faena.pipe(lines, 'parse', {task: 'enrich', onError: 'drop'}, {batch: 'import'})) console.log(row);
	 */
	pipe<Item, const Args extends readonly ((keyof TasksOf<Tasks> & string) | PipeArg<Tasks>)[]>(
		source: PipeSource<Item>,
		...args: PipeArgs<Tasks, Item, Args>
	): JobPipe<LastOutput<Tasks, Args>> {
		const given: readonly unknown[] = args;
		const last = given.at(-1);
		const options = typeof last === 'object' && last !== null && !('task' in last) ? last : undefined;
		const stages = (options ? given.slice(0, -1) : given.filter(each => each !== undefined)) as readonly (string | StageOptions)[];
		return new JobPipe(this.#client, planPipe(this.#builder, stages, (options ?? {}) as PipeOptions), source);
	}

	/**
	 * A handle for a job with a known id, for instance one that another program enqueued. It need not exist.
	 * @example const job = await faena.job<'thumbnail'>(17).info();
	 */
	job<Name extends keyof TasksOf<Tasks> & string = never>(id: JobRef): HandleOf<Tasks, Name> {
		return new JobHandle(this.#client, this.#builder, checkId(id), {reused: true}) as HandleOf<Tasks, Name>;
	}

	/**
	 * The jobs that match, in order of arrival or sorted: for `for await`, or by its verbs `page()` and `toArray()`.
	 * @example const slowest = await faena.jobs({task: 'thumbnail', sort: 'duration'}).page({limit: 10});
	 * @example for await (const job of faena.jobs({status: 'dead', since: yesterday, sort: 'endedAt'})) console.log(job.id, job.error?.message);
	 */
	jobs(search: JobSearch<JobRef> = {}, ...more: []): JobList {
		return new JobList(search, this.#source, ...more);
	}

	/** All batches, in the order in which they were made. */
	async batches(): Promise<readonly BatchInfo[]> {
		const batches = await this.#client.verb('batches');
		const now = await this.#client.verb('now');
		return batches.map(batch => toBatchInfo(batch, now));
	}

	/** A handle for the batch of this name. The batch need not exist. */
	batch(name: string): BatchHandle {
		return new BatchHandle(this.#client, argument('batch()', 'name', name, text));
	}

	/**
	 * Numbers of jobs by status, of all jobs or of those that `jobs()` would list. The queue counts along by task and by batch, so that these numbers
	 * are those of one moment, and fast with any number of jobs. Others are counted page by page.
	 * @example const {dead} = await faena.counts({task: 'thumbnail'});
	 */
	async counts(search: JobSearch<JobRef> = {}): Promise<Counts> {
		return countJobs(search, this.#source);
	}

	readonly #source: JobSource = {
		page: (search, page, want) => this.#client.verb('jobs', search, page, want),
		counts: () => this.#client.verb('counts'),
		batch: name => this.#client.verb('batch', name),
	};

	/**
	 * Cancels one job, or all that match. Running jobs are asked to stop, and are stopped if they don't. Many jobs are cancelled page by page:
	 * those that match when their page comes; jobs that arrive after the call are not affected. Returns the number of jobs, running ones included.
	 * @throws FaenaError `Closed`, `StorageFull`, …; jobs of earlier pages stay cancelled
	 */
	async cancel(jobs: JobRef | JobSearch<JobRef>): Promise<number> {
		const {cancelled, asked} = await this.#client.verb('cancel', await this.#filter('cancelled', 'cancel()', jobs));
		return cancelled.length + asked.length;
	}

	/**
	 * Opens a new round for one job, or for all that match. A completed job loses its result. A filter without ids and statuses selects
	 * failed, dead and cancelled jobs only. `{stale: true}` selects stale jobs, those through which they are stale, and what follows; each waits for
	 * those of its parents that run again. A job whose key another one has taken is left out, and so is one of whose parents one was deleted. Works page
	 * by page, as {@link cancel}. Returns the number of jobs.
	 * @example await faena.retry({stale: true, batch: 'report'});
	 * @example await faena.retry({task: 'resize', status: 'dead', since: Date.now() - 86_400_000, sort: 'endedAt'});
	 */
	async retry(jobs: JobRef | JobSearch<JobRef>): Promise<number> {
		return this.#client.verb('retry', await this.#filter('pending', 'retry()', jobs));
	}

	/** Pauses a task, or all tasks of this engine: no job of it starts, here or in another process, until {@link resume}. Durable. Running jobs go on. */
	async pause(task?: keyof TasksOf<Tasks> & string): Promise<void> {
		await this.#client.verb('pause', this.#names('pause()', task));
	}

	/** Ends a {@link pause} of a task, or of all tasks of this engine. */
	async resume(task?: keyof TasksOf<Tasks> & string): Promise<void> {
		await this.#client.verb('resume', this.#names('resume()', task));
	}

	/**
	 * Deletes completed, dead and cancelled jobs: one job, jobs by id, or those that ended at least `olderThan` ago. Jobs that have not ended and
	 * jobs of open batches are kept. `olderThan` also deletes the closed batches that then have no jobs: their names are free again. Returns the
	 * number of deleted jobs. A batch with all its jobs is deleted by {@link BatchHandle.delete}.
	 * @example await faena.cleanup({olderThan: '7d'});
	 */
	async cleanup(jobs: Cleanup): Promise<number> {
		return cleanUp(jobs, {now: () => this.#client.verb('now'), delete: (what, page) => this.#client.verb('delete', what, page)});
	}

	/** @internal What makes a map of the task run items again, by the task's own options. */
	freshOf(task: string): readonly Fresh[] {
		return this.#builder.freshOf(task) ?? [];
	}

	/** @internal The jobs of the tasks that it runs, by task and scope: those that it may run, and those of other scopes. */
	async taskCounts(): Promise<Record<'own' | 'others', readonly TaskCounts[]>> {
		const {only = this.#builder.names, scopes} = this.#settings;
		const all = (await this.#client.verb('counts')).filter(({task}) => only.includes(task));
		const isOwn = ({scope}: TaskCounts) => scope === undefined || scopes.includes(scope);
		return {own: all.filter(isOwn), others: all.filter(each => !isOwn(each))};
	}

	/**
	 * Resolves once no job of this engine's tasks can run by itself. Paused and parked jobs don't count; delayed ones do.
	 * @throws FaenaError `WaitTimeout`, `BadOption`, `Closed`
	 */
	async idle(options?: WaitOptions): Promise<void> {
		const wait = checkWait('idle()', options);
		if (this.#client.tasks.length === 0) throw bad("idle() waits for the jobs of this engine's tasks, but it has none; open it with the option tasks");
		const idle = this.#client.call({type: 'idle', waiting: true});
		await within(wait, idle, seconds => `Jobs of this engine's tasks had not ended after ${seconds} s.`);
	}

	/** Figures of this engine's dispatcher since it was opened: rates, waits, quantiles by task, chunk sizes, commits, lost leases. */
	async stats(): Promise<EngineStats> {
		return (await this.#client.call({type: 'stats'})) as EngineStats;
	}

	/** Calls the listener for each event from now on. A listener does not keep the process alive; awaiting a call, a result or a map does. */
	on<Name extends keyof EngineEvents>(event: Name, listener: (...args: EngineEvents[Name]) => void): this {
		return this.#listen('on', event, listener as never);
	}

	/** Calls the listener for the next event only. */
	once<Name extends keyof EngineEvents>(event: Name, listener: (...args: EngineEvents[Name]) => void): this {
		return this.#listen('once', event, listener as never);
	}

	/** Removes a listener. */
	off<Name extends keyof EngineEvents>(event: Name, listener: (...args: EngineEvents[Name]) => void): this {
		return this.#listen('off', event, listener as never);
	}

	/**
	 * Shuts down: starts no more jobs, lets running jobs finish for the time `drain` (default: the option of `open`), then stops
	 * them, uncharged. Jobs that have not ended go on with the next `open`. A second call can only shorten `drain`. `await using`
	 * calls it on Node 24 and later.
	 */
	async close(options: {readonly drain?: Duration} = {}): Promise<void> {
		const {drain: drainMs = this.#settings.drainMs} = checked('close()', options, {drain: duration});
		dismissUnread(this.#client);
		this.#stopLooking?.();
		if (this.#client.isClosed) return this.#closing;
		const closed = this.#client
			.call({type: 'close', drainMs, isSignalled: isSignalled()})
			.then(() => Promise.all([this.#client.terminate(), this.#freshness.close()]))
			.finally(this.#stopListening);
		// A second call only shortens the time to drain. The thread ends with the reply to the first.
		if (this.#closing) closed.catch(() => undefined);
		this.#closing ??= closed.then(() => this.#events.log('closed', {}));
		return this.#closing;
	}

	/** Closes the engine, as `close()` does: for `await using`. */
	async [Symbol.asyncDispose](): Promise<void> {
		await this.close();
	}

	#listen(how: 'on' | 'once' | 'off', event: keyof EngineEvents, listener: () => void): this {
		this.#events.listen(how, event, listener);
		this.#client.subscribe();
		return this;
	}

	#toJob(where: string, task: string, payload: unknown, options: JobOptions | undefined, watch: boolean): SingleJob {
		const {key, ...resolved} = this.#builder.resolve(where, task, options ?? {});
		const maxPending = this.#builder.limitsOf(task);
		return {options: {...resolved, task, ...(maxPending && {maxPending})}, payload: this.#builder.encode(payload, task), key, watch};
	}

	async #filter(to: MoveTarget, where: string, jobs: JobRef | JobSearch<JobRef>): Promise<JobFilter> {
		this.#builder.refuseForeign(where, isJob(jobs) ? [jobs] : jobs?.ids);
		return toFilter(to, where, jobs, this.#source);
	}

	#names(where: string, task: string | undefined): string[] {
		const {names} = this.#builder;
		if (task === undefined && names.length === 0) throw bad(`${where} expects a task's name, since this engine was opened without tasks`);
		return task === undefined ? names : [this.#builder.checkName(where, task)];
	}
}

/** The id of the one job of an enqueue. @throws FaenaError `QueueFull`, `KeyConflict`, `NoSuchJob` */
function idOfEnqueued({ids, full, missing, conflicts}: EnqueueReply, task: string, options?: JobOptions): JobId {
	if (missing !== undefined) throw noParent(task, missing);
	if (full) throw queueFull(task, full, full.retryAfterMs);
	const id = idAt(ids, 0);
	if (conflicts) throw keyConflict({task, key: options?.key ?? ''}, id);
	return id;
}
