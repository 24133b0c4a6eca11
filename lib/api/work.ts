import {setTimeout as sleep} from 'node:timers/promises';
import {nanoid} from 'nanoid';
import type {Refused} from '../dispatcher/clients.ts';
import {Commits, enqueuesJobs, isRefusal, NO_WRITES, RetryState, type Writes} from '../dispatcher/commits.ts';
import {abortSignal, argument, bad, type Checks, checked, duration, expected, object} from '../job/checks.ts';
import type {Claim, JobUpdate, OwnerId} from '../job/claim.ts';
import {MAX_VALUE_LIMIT_BYTES} from '../job/encoding.ts';
import {type ClaimedGroup, claimAt, type EndedGroup, idAt, toReleased} from '../job/group.ts';
import type {Duration, JobId} from '../job/job.ts';
import type {PoolOptions} from '../job/options.ts';
import {inlinePool} from '../pool/inline.ts';
import type {WorkerPool} from '../pool/worker-pool.ts';
import {JobQueue, lanesOf} from '../store/job-queue.ts';
import {openJobsAt} from '../store/sqlite/owner-lock.ts';
import type {ClaimRequest, Committed, LaneRequest, News, Store} from '../store/store.ts';
import {monotonicMs, WakeUp} from '../support/clock.ts';
import {defined} from '../support/defined.ts';
import {FaenaError} from '../support/errors.ts';
import {startThread, workerUrl} from '../support/node.ts';
import type {HeartbeatStart} from '../transport/messages.ts';
import {standIn, tableOf} from '../worker/tasks-module.ts';
import {warn} from './events.ts';

/** Options of {@link work}. */
export interface WorkOptions {
	/** When it aborts, the loop ends after the running job. */
	readonly signal?: AbortSignal;
	/** How long after the signal the running job may go on. Then it is told to stop, interrupted and uncharged. Default: no limit. */
	readonly drain?: Duration;
}

/** How often the loop checks whether to stop its job, while the task waits. */
const CHECK_STOP_EVERY_MS = 25;
/** How often the loop reclaims jobs of dead owners, and claims from a queue that was empty, in case a wake-up was missed. */
const CLAIM_EVERY_MS = 1000;

/**
 * Runs the queue's jobs of these tasks, one after the other in the caller's own thread, until the signal aborts. It is for programs
 * that need no pool. A task that computes blocks the caller; another thread renews the heartbeat, so that the loop keeps its jobs.
 * Timeouts and cancellations reach a task only through its context, and only while it waits: no job can be stopped by force. If its
 * program has ended ten times while a job ran, the loop leaves the job to an engine, which runs it in a child process, and warns.
 * A result has at most 1 GiB, the highest `maxValueBytes` of `open()`.
 * @param tasks functions by task name, for instance a module's namespace
 * @throws FaenaError `BadOption`, `SetupFailed`; `DispatcherFailed` if the heartbeat's thread ends; an error of the queue that is
 *   permanent, or lasts longer than a minute
 */
export async function work(queue: JobQueue, tasks: Readonly<Record<string, unknown>>, options: WorkOptions = {}): Promise<void> {
	argument('work()', 'its first argument', queue, jobQueue);
	argument('work()', 'its second argument', tasks, object);
	const {signal, drain: drainMs = Infinity} = checked('work()', options, WORK_CHECKS) as {signal?: AbortSignal; drain?: number};
	if (tableOf(tasks).size === 0) throw bad('work() expects an object with a function for each task');
	const loop = new WorkLoop(queue, drainMs, signal);
	await loop.load(tasks);
	const endHeartbeat = await startHeartbeat(queue.store, loop.owner, error => loop.fail(error));
	const end = async () => {
		await loop.close();
		await endHeartbeat();
		await queue.leave(loop.owner);
	};
	try {
		await loop.run();
	} catch (error) {
		// The first error says why the loop failed. What fails after it usually has the same reason.
		await end().catch(() => undefined);
		throw error;
	}
	await end();
}

export const WORK_CHECKS: Checks = {signal: abortSignal, drain: duration};

function jobQueue(value: unknown): unknown {
	if (value instanceof JobQueue) return value;
	throw expected('a queue, as openQueue() resolves with', value);
}

const CLOCK = {steadyMs: monotonicMs};

const POOL_OPTIONS: Omit<PoolOptions, 'tasks'> = {
	...{workers: 1, isolation: 'inline', defaults: {}, maxValueBytes: MAX_VALUE_LIMIT_BYTES, maxCheckpointBytes: MAX_VALUE_LIMIT_BYTES, taskOutput: 'inherit'},
	// A job in the caller's thread can't be ended by force.
	graceMs: Infinity,
	...{resourceLimits: undefined, env: undefined, execArgv: [], nice: undefined, minFreeMemoryBytes: 0, postMortem: false},
	recycle: {jobs: Infinity, ageMs: Infinity, memoryBytes: Infinity},
};

/** Claims one job after the other, runs it in an inline pool of one worker, and settles it. */
class WorkLoop {
	readonly owner: OwnerId = nanoid();
	readonly #queue: JobQueue;
	/** Under this URL the pool loads the tasks. */
	readonly #url = `faena:work/${this.owner}`;
	readonly #pool: WorkerPool;
	readonly #drainMs: number;
	readonly #signal: AbortSignal | undefined;
	readonly #commits: Commits;
	readonly #wakeUp = new WakeUp();
	readonly #retry = new RetryState(CLOCK);
	#lanes: readonly LaneRequest[] = [];
	/** Takes the updates and the end of the running job. */
	#running: {updated(update: JobUpdate): void; ended(group: EndedGroup): void} | undefined;
	/** Running jobs that another program wants stopped. */
	readonly #stops = new Set<JobId>();
	/** After the signal has aborted: until when the running job may go on, by the monotonic clock. */
	#drainUntil = Infinity;
	#nextReclaim = 0;
	/** Why the heartbeat has ended. */
	#failure: FaenaError | undefined;
	/** The last refusal to reclaim jobs of which it has warned. */
	#refusal: string | undefined;
	#hasWarnedOfLibrary = false;

	constructor(queue: JobQueue, drainMs: number, signal: AbortSignal | undefined) {
		this.#queue = queue;
		this.#drainMs = drainMs;
		this.#signal = signal;
		const clients = {refused: (what: Refused, error: unknown) => warn('refused', {...what, error}), refuse: () => undefined};
		this.#commits = new Commits({store: queue.store, owner: this.owner, clock: CLOCK, clients});
		const openJobs = queue.location === ':memory:' ? undefined : openJobsAt(queue.location, this.owner);
		this.#pool = inlinePool(
			{...POOL_OPTIONS, tasks: this.#url, ...defined({openJobs})},
			{
				ended: (_task, [group]) => group && this.#running?.ended(group),
				updated: update => this.#running?.updated(update),
				...{freed: () => undefined, lost: () => undefined, startsSlowly: () => undefined, memoryShort: () => undefined},
			},
		);
	}

	/** Sets the tasks up. */
	async load(tasks: object): Promise<void> {
		standIn(this.#url, tasks);
		try {
			const infos = await this.#pool.load();
			this.#lanes = infos.flatMap(({name, options}) => lanesOf([name], 1).map(lane => ({...lane, concurrency: options.concurrency})));
		} catch (error) {
			await this.#pool.close();
			throw error;
		} finally {
			standIn(this.#url, undefined);
		}
	}

	/** Ends the loop after the running job, with this error. */
	fail(error: FaenaError): void {
		this.#failure = error;
		this.#wakeUp.set();
	}

	close(): Promise<void> {
		return this.#pool.close();
	}

	async run(): Promise<void> {
		const onAbort = () => {
			this.#drainUntil = monotonicMs() + this.#drainMs;
			this.#wakeUp.set();
		};
		const wake = () => this.#wakeUp.set();
		const endings = [this.#queue.onEnqueue(wake), this.#queue.store.listen(this.owner, news => this.#hear(news))];
		// The store's timers keep no process alive.
		const keepAlive = setInterval(() => undefined, 60_000);
		this.#signal?.addEventListener('abort', onAbort);
		try {
			while (!this.#signal?.aborted) {
				if (this.#failure) throw this.#failure;
				await this.#step();
			}
		} finally {
			clearInterval(keepAlive);
			for (const end of endings) end();
			this.#signal?.removeEventListener('abort', onAbort);
		}
	}

	/** Runs one job, or waits for one. */
	async #step(): Promise<void> {
		let committed: Committed | undefined;
		try {
			await this.#reclaim();
			committed = await this.#claim();
			this.#retry.clear();
		} catch (error) {
			// Nothing is lost: the loop tries again.
			await sleep(this.#retry.add(error), undefined, defined({signal: this.#signal})).catch(() => undefined);
			return;
		}
		const [group] = committed?.claimed.groups ?? [];
		if (!group) await this.#wakeUp.wait(Math.min(committed?.dueInMs ?? Infinity, this.#commits.waitMs, CLAIM_EVERY_MS));
		else if (group.quarantine === 'alone') await this.#leave(group);
		else await this.#execute(group);
	}

	#hear(news: News): void {
		if (news.type === 'changed') {
			for (const {id} of news.stop) this.#stops.add(id);
			this.#wakeUp.set();
		} else if (news.type === 'health') {
			const {secondLibrary} = news;
			if (secondLibrary && !this.#hasWarnedOfLibrary) warn('secondLibrary', secondLibrary);
			this.#hasWarnedOfLibrary = secondLibrary !== undefined;
		}
		// If the store could not look for news, the next claim fails for the same reason.
	}

	/** Reclaims jobs of dead owners. If damaged rows prevent it, the loop warns once and goes on. */
	async #reclaim(): Promise<void> {
		if (performance.now() < this.#nextReclaim) return;
		try {
			await this.#queue.reclaim();
			this.#refusal = undefined;
		} catch (error) {
			if (!isRefusal(error)) throw error;
			if (error.message !== this.#refusal) warn('refused', {error});
			this.#refusal = error.message;
		}
		this.#nextReclaim = performance.now() + CLAIM_EVERY_MS;
	}

	async #claim(): Promise<Committed | undefined> {
		const request: ClaimRequest = this.#commits.claimable({owner: this.owner, lanes: this.#lanes, limit: 1, maxBytes: Infinity});
		if (request.lanes.length === 0) return undefined;
		try {
			return await this.#commits.commit(NO_WRITES, request);
		} catch (error) {
			if (!isRefusal(error)) throw error;
			this.#commits.claimRefused(request, error);
			return undefined;
		}
	}

	/**
	 * Leaves a suspect to an engine: a loop in the caller's thread can't find out whether the job ends its program. The job is released, and this
	 * loop claims no more suspects of its task, since they are claimed in order, and this job would come first each time.
	 */
	async #leave(group: ClaimedGroup): Promise<void> {
		const {task} = group;
		await this.#settle(toReleased(group), []);
		this.#lanes = this.#lanes.filter(lane => !(lane.task === task && lane.isQuarantined));
		const error = new Error(
			`It seems to end the program that runs it, so work() does not run it any more, nor other jobs of task ${task} that ran when a program ended. ` +
				'An engine runs them in child processes: open() one on this queue with these tasks. Or cancel the job.',
		);
		warn('refused', {id: idAt(group.ids, 0), error});
	}

	async #execute(group: ClaimedGroup): Promise<void> {
		const claim = claimAt(group, 0);
		const updates = new DirectUpdateWriter(this.#queue.store, claim);
		const timer = setInterval(() => this.#stopIfAsked(claim.id), CHECK_STOP_EVERY_MS);
		const ended = await new Promise<EndedGroup>(resolve => {
			this.#running = {updated: update => updates.add(update), ended: resolve};
			this.#pool.run({...group, quarantine: undefined});
		});
		clearInterval(timer);
		this.#stops.delete(claim.id);
		await this.#settle(ended, await updates.close());
	}

	/** Stops the job if it was cancelled, or if the time to drain is over. Works only while the task lets the event loop run. */
	#stopIfAsked(id: JobId): void {
		if (monotonicMs() >= this.#drainUntil) this.#pool.stop(id, 'interrupted');
		else if (this.#stops.has(id)) this.#pool.stop(id, 'cancelled');
	}

	/** Writes how an execution ended. After a failure it tries again, as long as there is time. */
	async #settle(ended: EndedGroup, updates: readonly JobUpdate[]): Promise<void> {
		const retry = new RetryState(CLOCK, () => this.#drainUntil);
		const announce = async (_: Committed, {settle}: Writes) => {
			if (settle.some(enqueuesJobs)) this.#queue.announce();
		};
		for (let left: Writes = {settle: [ended], updates, enqueues: []}; ; ) {
			const {stopped} = await this.#commits.inParts(left, announce);
			if (!stopped) return;
			await sleep(retry.add(stopped.error));
			left = stopped.left;
		}
	}
}

/**
 * Writes the updates of a job that `work()` runs. Log lines and progress are written with the job's outcome, a checkpoint at once: within
 * the task's own call, if the store can do that, since a task that computes lets no other code run until it ends.
 */
export class DirectUpdateWriter {
	readonly #store: Store;
	readonly #claim: Claim;
	#updates: JobUpdate[] = [];
	#writing: Promise<void> | undefined;

	constructor(store: Store, claim: Claim) {
		this.#store = store;
		this.#claim = claim;
	}

	add(update: Omit<JobUpdate, keyof Claim>): void {
		const last = this.#updates.at(-1);
		// Progress replaces earlier progress.
		const before = last && !last.logs && !last.checkpoint ? this.#updates.pop() : undefined;
		this.#updates.push({...this.#claim, ...before, ...update});
		this.#write();
	}

	/** Returns the updates that are not written yet. */
	async close(): Promise<readonly JobUpdate[]> {
		while (this.#writing) await this.#writing;
		return this.#updates;
	}

	#write(): void {
		if (this.#writing || !this.#updates.some(({checkpoint}) => checkpoint)) return;
		const update = this.#updates.splice(0);
		const {promise, resolve} = Promise.withResolvers<void>();
		this.#writing = promise;
		let isTried = false;
		const tried = (error: unknown) => {
			if (isTried) return;
			isTried = true;
			this.#writing = undefined;
			if (error === undefined) this.#write();
			else if (isRefusal(error)) warn('refused', {id: this.#claim.id, error});
			// To be written with the next checkpoint or with the outcome.
			else this.#updates.unshift(...update);
			resolve();
		};
		this.#store.commit({update, urgent: tried}).then(() => tried(undefined), tried);
	}
}

/**
 * Starts the thread that renews the heartbeat of a `work()` loop, whose own thread may be busy for hours. Resolves once it does, or has ended: a
 * job that blocks the loop's thread must not start before. A store in memory needs none: no other process can reclaim its jobs.
 * @param onFailure called if the thread ends by itself. Without it other engines would reclaim the loop's jobs
 * @returns a function that ends it
 */
async function startHeartbeat({location}: Store, owner: OwnerId, onFailure: (error: FaenaError) => void): Promise<() => Promise<void>> {
	if (location === ':memory:') return async () => undefined;
	const worker = startThread(workerUrl('heartbeat'), {workerData: {location, owner} satisfies HeartbeatStart, name: 'faena heartbeat'});
	let isEnding = false;
	const fail = (why: string, cause?: unknown) => {
		if (isEnding) return;
		isEnding = true;
		const message = `The thread that keeps the lease of work() ended: ${why}. The running job was finished first; call work() again to go on.`;
		onFailure(new FaenaError('DispatcherFailed', message, {cause}));
	};
	worker.once('error', error => fail(error instanceof Error ? error.message : String(error), error));
	const exited = new Promise<void>(resolve => {
		worker.once('exit', code => {
			fail(`its exit code is ${code}`);
			resolve();
		});
	});
	await Promise.race([exited, new Promise(resolve => worker.once('message', resolve))]);
	worker.unref();
	return () => {
		isEnding = true;
		worker.ref();
		worker.postMessage('end');
		return exited;
	};
}
