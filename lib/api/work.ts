import {setTimeout as sleep} from 'node:timers/promises';
import {nanoid} from 'nanoid';
import {isRefusal} from '../dispatcher/bisection.ts';
import {enqueuesJobs, NO_WRITES, type Writes} from '../dispatcher/commit-parts.ts';
import {Commits} from '../dispatcher/commits.ts';
import {RetryState} from '../dispatcher/retry-state.ts';
import {abortSignal, argument, bad, type Checks, checked, duration, expected, object} from '../job/checks.ts';
import type {OwnerId} from '../job/claim.ts';
import {type ClaimedGroup, claimAt, type EndedGroup, idAt, toReleased} from '../job/group.ts';
import type {Duration, JobId} from '../job/job.ts';
import type {JobUpdate} from '../job/outcome.ts';
import type {TaskInfo} from '../job/task.ts';
import {JobQueue, lanesOf} from '../store/job-queue.ts';
import {openJobsAt} from '../store/sqlite/owner-lock.ts';
import type {ClaimRequest, Committed, LaneRequest, News} from '../store/store.ts';
import {monotonicMs} from '../support/clock.ts';
import {defined} from '../support/defined.ts';
import {WakeUp} from '../support/wake-up.ts';
import {tableOf} from '../worker/tasks-module.ts';
import {DirectUpdateWriter} from './direct-update-writer.ts';
import {type HeartbeatThread, startHeartbeat} from './heartbeat-thread.ts';
import {JobByJob} from './job-by-job.ts';
import {warn} from './warnings.ts';

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
	const owner = nanoid();
	const jobs = new JobByJob(tasks, owner, queue.location === ':memory:' ? undefined : openJobsAt(queue.location, owner));
	const infos = await jobs.load();
	const heart = startHeartbeat(queue.store, owner);
	const end = async () => {
		await jobs.close();
		await heart?.end();
		await queue.leave(owner);
	};
	await heart?.ready;
	try {
		await new WorkLoop(queue, owner, infos, jobs, heart, drainMs, signal).run();
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

/** Claims one job after the other, runs it and settles it. */
class WorkLoop {
	readonly #queue: JobQueue;
	readonly #owner: OwnerId;
	readonly #jobs: JobByJob;
	readonly #heart: HeartbeatThread | undefined;
	readonly #drainMs: number;
	readonly #signal: AbortSignal | undefined;
	readonly #commits: Commits;
	readonly #wakeUp = new WakeUp();
	readonly #retry = new RetryState(CLOCK);
	#lanes: readonly LaneRequest[];
	/** Running jobs that another program wants stopped. */
	readonly #stops = new Set<JobId>();
	/** After the signal has aborted: until when the running job may go on, by the monotonic clock. */
	#drainUntil = Infinity;
	#nextReclaim = 0;
	/** The last refusal to reclaim jobs of which it has warned. */
	#refusal: string | undefined;
	#hasWarnedOfLibrary = false;

	constructor(
		queue: JobQueue,
		owner: OwnerId,
		infos: readonly TaskInfo[],
		jobs: JobByJob,
		heart: HeartbeatThread | undefined,
		drainMs: number,
		signal: AbortSignal | undefined,
	) {
		this.#queue = queue;
		this.#owner = owner;
		this.#jobs = jobs;
		this.#heart = heart;
		this.#drainMs = drainMs;
		this.#signal = signal;
		this.#commits = new Commits(queue.store, owner, CLOCK, {leftOut: (what, error) => warn('refused', {...what, error}), refuse: () => undefined});
		const options = new Map(infos.map(info => [info.name, info.options]));
		this.#lanes = lanesOf([...options.keys()], 1).map(lane => ({...lane, concurrency: options.get(lane.task)?.concurrency}));
	}

	async run(): Promise<void> {
		const onAbort = () => {
			this.#drainUntil = monotonicMs() + this.#drainMs;
			this.#wakeUp.set();
		};
		const wake = () => this.#wakeUp.set();
		const endings = [this.#queue.onEnqueue(wake), this.#queue.store.listen(this.#owner, news => this.#hear(news))];
		// The store's timers keep no process alive.
		const keepAlive = setInterval(() => undefined, 60_000);
		this.#signal?.addEventListener('abort', onAbort);
		this.#heart?.onFailure(wake);
		try {
			while (!this.#signal?.aborted) {
				if (this.#heart?.failure) throw this.#heart.failure;
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
			await sleep(this.#retry.add(error, Infinity), undefined, defined({signal: this.#signal})).catch(() => undefined);
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
		const request: ClaimRequest = this.#commits.claimable({owner: this.#owner, lanes: this.#lanes, limit: 1, maxBytes: Infinity});
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
		const ended = await this.#jobs.run(group, update => updates.add(update));
		clearInterval(timer);
		this.#stops.delete(claim.id);
		await this.#settle(ended, await updates.close());
	}

	/** Stops the job if it was cancelled, or if the time to drain is over. Works only while the task lets the event loop run. */
	#stopIfAsked(id: JobId): void {
		if (monotonicMs() >= this.#drainUntil) this.#jobs.stop(id, 'interrupted');
		else if (this.#stops.has(id)) this.#jobs.stop(id, 'cancelled');
	}

	/** Writes how an execution ended. After a failure it tries again, as long as there is time. */
	async #settle(ended: EndedGroup, updates: readonly JobUpdate[]): Promise<void> {
		const retry = new RetryState(CLOCK);
		const announce = async (_: Committed, {settle}: Writes) => {
			if (settle.some(enqueuesJobs)) this.#queue.announce();
		};
		for (let left: Writes = {settle: [ended], updates, enqueues: []}; ; ) {
			const {stopped} = await this.#commits.inParts(left, announce);
			if (!stopped) return;
			await sleep(retry.add(stopped.error, this.#drainUntil));
			left = stopped.left;
		}
	}
}
