import {setTimeout as sleep} from 'node:timers/promises';
import {nanoid} from 'nanoid';
import {isRefusal} from '../dispatcher/bisection.ts';
import {RetryState} from '../dispatcher/retry-state.ts';
import {makesJobs, NOTHING_WRITTEN, type Written} from '../dispatcher/turn-parts.ts';
import {Turns} from '../dispatcher/turns.ts';
import {abortSignal, argument, bad, type Checks, checked, duration, expected, object} from '../job/checks.ts';
import type {DequeuedJob, Lease, OwnerId} from '../job/claim.ts';
import {decode, encode, LARGEST_VALUE_BYTES} from '../job/encoding.ts';
import {toFailure} from '../job/failure.ts';
import type {Duration, StopReason} from '../job/job.ts';
import {JobMaker} from '../job/new-job.ts';
import {OpenJobsCell} from '../job/open-jobs.ts';
import type {Note, Outcome, Settlement} from '../job/outcome.ts';
import {expandDequeued} from '../job/runs.ts';
import {optionsOf, type TaskFunction} from '../job/task.ts';
import {openJobsAt} from '../store/sqlite/owner-lock.ts';
import {type Demand, demandOf, JobQueue, type TaskDemand, type TurnResult} from '../store/store.ts';
import {monotonicMs} from '../support/clock.ts';
import {WakeUp} from '../support/wake-up.ts';
import {JobContext} from '../worker/context.ts';
import {Resources} from '../worker/resources.ts';
import {infosOf, type TaskTable, tableOf} from '../worker/tasks-module.ts';
import {DirectUpdateWriter} from './direct-update-writer.ts';
import {type HeartbeatThread, startHeartbeat} from './heartbeat-thread.ts';
import {warn} from './warnings.ts';

export interface WorkOptions {
	/** Ends the loop after the running job. */
	readonly signal?: AbortSignal;
	/** How long after the signal the running job may go on before it is told to stop, interrupted and uncharged; default as long as it takes. */
	readonly drain?: Duration;
}

/** How often it looks for writes of other processes while there is nothing to do, and for stops while a task waits. */
const LISTEN_EVERY_MS = 25;
/** How often it looks for dead owners, and dequeues from a queue that was empty, in case a wake-up was missed. */
const ASK_EVERY_MS = 1000;

/**
 * Runs the queue's jobs of these tasks one after the other in the caller's own thread, until the signal aborts. For
 * programs that want no pool; a task that computes blocks the caller, but its lease is kept by a thread of its own.
 * Timeouts and cancellations reach a task through its context only, and while it waits: nothing can stop it hard here. A job during which
 * its program has ended ten times is left to an engine, which runs it in a child process; of that it warns.
 * @param tasks functions by task name, for instance a module's namespace
 * A result has at most 1 GiB, the highest `maxValueBytes` of `open()`.
 * @throws FaenaError `BadOption`, `SetupFailed`; `DispatcherFailed` if that thread ends; what the queue throws for ever, or for longer than a
 * minute: until then it is tried again
 */
export async function work(queue: JobQueue, tasks: Readonly<Record<string, unknown>>, options: WorkOptions = {}): Promise<void> {
	argument('work()', 'its first argument', queue, jobQueue);
	argument('work()', 'its second argument', tasks, object);
	const {signal, drain: drainMs = Infinity} = checked('work()', options, WORK_CHECKS) as {signal?: AbortSignal; drain?: number};
	const table = tableOf(tasks);
	if (table.size === 0) throw bad('work() expects an object with a function for each task');
	const maker = new JobMaker(infosOf(table), {}, LARGEST_VALUE_BYTES);
	const resources = new Resources(table);
	try {
		for (const task of table.keys()) await resources.setUp(task);
	} catch (error) {
		await resources.tearDown();
		throw error;
	}
	const owner = nanoid();
	const heart = startHeartbeat(queue, owner);
	const openJobs = queue.location === ':memory:' ? undefined : new OpenJobsCell(openJobsAt(queue.location, owner), 0);
	const end = async () => {
		openJobs?.close();
		await heart?.end();
		try {
			await queue.leave(owner);
		} finally {
			await resources.tearDown();
		}
	};
	try {
		await queue.heartbeat(owner);
		const turns = new Turns(queue, owner, CLOCK, {leftOut: (what, error) => warn('refused', {...what, error}), refuse: () => undefined});
		const demand: Demand = {owner, tasks: lanesOf(table), limit: 1, maxBytes: Infinity};
		await loop({queue, turns, demand, table, maker, resources, owner, openJobs, signal, drainMs, heart, drainUntil: Infinity});
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

function lanesOf(table: TaskTable): TaskDemand[] {
	return demandOf([...table.keys()], 1).map(each => {
		const {concurrency} = optionsOf(table.get(each.task) as TaskFunction);
		return concurrency === undefined ? each : {...each, concurrency};
	});
}

/** What a loop works with. */
interface Bench {
	readonly queue: JobQueue;
	readonly turns: Turns;
	demand: Demand;
	readonly table: TaskTable;
	readonly maker: JobMaker;
	readonly resources: Resources;
	readonly owner: OwnerId;
	readonly openJobs: OpenJobsCell | undefined;
	readonly signal: AbortSignal | undefined;
	readonly drainMs: number;
	readonly heart: HeartbeatThread | undefined;
	/** Since the signal aborted: until when the running job may go on, by the monotonic clock. */
	drainUntil: number;
}

const CLOCK = {steadyMs: monotonicMs};

async function loop(bench: Bench): Promise<void> {
	const {queue, signal, heart} = bench;
	const setbacks = new RetryState(CLOCK);
	const wakeUp = new WakeUp();
	const wake = () => wakeUp.set();
	const onAbort = () => {
		bench.drainUntil = monotonicMs() + bench.drainMs;
		wakeUp.set();
	};
	const stopListening = queue.onEnqueue(wake);
	signal?.addEventListener('abort', onAbort);
	heart?.onFailure(wake);
	let nextRecovery = 0;
	let hasWarned = false;
	let refusal: string | undefined;
	try {
		while (!signal?.aborted) {
			if (heart?.failure) throw heart.failure;
			let next: Next;
			try {
				if (performance.now() >= nextRecovery) {
					hasWarned = await examine(queue, hasWarned);
					refusal = await recover(queue, refusal);
					nextRecovery = performance.now() + ASK_EVERY_MS;
				}
				next = await nextOf(bench);
				setbacks.clear();
			} catch (error) {
				// Nothing is lost: the loop tries again.
				await sleep(setbacks.add(error, Infinity), undefined, {...(signal && {signal})}).catch(() => undefined);
				continue;
			}
			if (next.job?.isAlone) await leave(bench, next.lease, next.job);
			else if (next.job) await execute(bench, next.lease, next.job);
			else await arrival(queue, wakeUp, next.nextRunAt);
		}
	} finally {
		stopListening();
		signal?.removeEventListener('abort', onAbort);
	}
}

/** True if a second SQLite library has the database open, of which the program is warned once. */
async function examine(queue: JobQueue, hasWarned: boolean): Promise<boolean> {
	const {secondLibrary} = await queue.examine();
	if (secondLibrary && !hasWarned) warn('secondLibrary', secondLibrary);
	return secondLibrary !== undefined;
}

/** If damaged rows keep jobs from being taken back, the loop goes on. Warns of the refusal unless it was `told` before, and returns it. */
async function recover(queue: JobQueue, told: string | undefined): Promise<string | undefined> {
	try {
		await queue.recover();
		return undefined;
	} catch (error) {
		if (!isRefusal(error)) throw error;
		if (error.message !== told) warn('refused', {error});
		return error.message;
	}
}

interface Next {
	readonly lease: Lease;
	readonly job: DequeuedJob | undefined;
	/** When to dequeue again at the latest. */
	readonly nextRunAt: number;
}

async function nextOf({turns, demand}: Bench): Promise<Next> {
	const asked = turns.askable(demand);
	let result: TurnResult | undefined;
	try {
		if (asked.tasks.length > 0) result = await turns.turn(NOTHING_WRITTEN, asked);
	} catch (error) {
		if (!isRefusal(error)) throw error;
		turns.dequeueRefused(asked, error);
	}
	const {dequeued, nextRunAt} = result ?? {dequeued: {lease: 0, jobs: []}, nextRunAt: null};
	return {lease: dequeued.lease, job: expandDequeued(dequeued.jobs)[0], nextRunAt: Math.min(nextRunAt ?? Infinity, Date.now() + turns.restMs)};
}

/** Waits until there may be a job: one was enqueued here, another process wrote, or a waiting one is due. */
async function arrival(queue: JobQueue, wakeUp: WakeUp, nextRunAt: number): Promise<void> {
	const until = Math.min(nextRunAt, Date.now() + ASK_EVERY_MS);
	// If the look fails, the loop dequeues, and meets the reason.
	const mayHaveJobs = async () => Date.now() >= until || (await queue.changes());
	const listener = setInterval(() => {
		mayHaveJobs().then(
			isOver => isOver && wakeUp.set(),
			() => wakeUp.set(),
		);
	}, LISTEN_EVERY_MS);
	await wakeUp.wait(Math.max(0, until - Date.now()));
	clearInterval(listener);
}

/**
 * Nothing here can find out whether the job ends its program, and whoever runs it would end again and again. It is given back, and
 * this loop takes no more suspects of its task: they come in order, so that it would be the first of them each time.
 */
async function leave(bench: Bench, lease: Lease, {id, task, execution}: DequeuedJob): Promise<void> {
	await settle(bench, {id, lease, execution, outcome: {type: 'released'}}, []);
	bench.demand = {...bench.demand, tasks: bench.demand.tasks.filter(lane => !(lane.task === task && lane.suspects))};
	const error = new Error(
		`It seems to end whatever runs it, so work() no longer does, nor does it run other jobs of task ${task} that ran when a program ended. ` +
			'An engine runs them in child processes: open() one on this queue with these tasks. Or cancel the job.',
	);
	warn('refused', {id, error});
}

async function execute(bench: Bench, lease: Lease, job: DequeuedJob): Promise<void> {
	const {queue, table, maker, resources, openJobs} = bench;
	const chunk = {lease, ids: job.id, jobs: 1};
	const {id, task, execution, attempts, policy, key, checkpoint} = job;
	const updates = new DirectUpdateWriter(queue, {id, lease, execution});
	const stop = watchForStop(bench, job);
	const context = new JobContext(
		{
			job: {id, task, execution, attempts, maxAttempts: policy.maxAttempts, ...(key !== undefined && {key})},
			checkpoint,
			stopReason: stop.reason,
			stopped: () => stop.promise,
			progress: () => undefined,
			note: note => updates.add(note),
		},
		{maxCheckpointBytes: LARGEST_VALUE_BYTES, maker, resource: resources.of(task)},
	);
	const startedAt = Date.now();
	const start = performance.now();
	openJobs?.show(chunk, 0);
	const ended = await outcomeOf(table.get(task) as TaskFunction, job, context);
	stop.end();
	const enqueue = context.close();
	const timing = {startedAt, durationMs: performance.now() - start};
	const notes = await updates.close();
	const outcome = {...applyStop(ended, stop.reason(), timing.durationMs), ...timing};
	const makes = outcome.type === 'returned' && enqueue.length > 0;
	await settle(bench, {id, lease, execution, outcome: makes ? {...outcome, enqueue} : outcome}, notes);
	openJobs?.show(chunk, 1);
}

/** Writes how an execution ended. Tries again what fails, as long as there is time. */
async function settle(bench: Bench, settlement: Settlement, notes: readonly Note[]): Promise<void> {
	const {queue, turns} = bench;
	const setbacks = new RetryState(CLOCK);
	const announce = async (_: TurnResult, {settle}: Written) => {
		if (settle.some(makesJobs)) queue.announce();
	};
	for (let left: Written = {settle: [settlement], notes, enqueues: []}; ; ) {
		const {stopped} = await turns.inParts(left, announce);
		if (!stopped) return;
		await sleep(setbacks.add(stopped.error, bench.drainUntil));
		left = stopped.left;
	}
}

/** A task with a batchSize gets its jobs one by one here, as batches of one. */
async function callOne(run: TaskFunction, payload: unknown, context: JobContext): Promise<unknown> {
	if (optionsOf(run).batchSize === undefined) return run(payload, context);
	const [result] = (await run([payload], [context] as never)) as unknown[];
	if (result instanceof Error) throw result;
	return result;
}

async function outcomeOf(run: TaskFunction, {payload}: DequeuedJob, context: JobContext): Promise<Outcome> {
	try {
		const value = await callOne(run, decode(payload), context);
		try {
			return {type: 'returned', value: encode(value, 'result', LARGEST_VALUE_BYTES)};
		} catch (error) {
			return {type: 'threw', error: toFailure(error, 'badResult')};
		}
	} catch (error) {
		return {type: 'threw', error: toFailure(error)};
	}
}

function applyStop(outcome: Outcome, reason: StopReason | undefined, durationMs: number): Outcome {
	if (reason === undefined) return outcome;
	if (reason === 'interrupted') return {type: 'released'};
	const message = `${reason === 'timedOut' ? 'Went on past its timeout' : 'Cancelled while running'}, ended after ${(durationMs / 1000).toFixed(3)} s.`;
	if (reason === 'timedOut') return {type: 'timedOut', error: {reason: 'timedOut', name: 'TimedOut', message}};
	return {type: 'cancelled', error: {reason: 'cancelled', name: 'Cancelled', message}};
}

/** While the task lets the event loop run: checks whether its timeout is over, somebody cancelled it, or the loop is to end. */
function watchForStop(bench: Bench, {id, policy}: DequeuedJob): {reason(): StopReason | undefined; readonly promise: Promise<void>; end(): void} {
	const {queue, owner} = bench;
	const {promise, resolve} = Promise.withResolvers<void>();
	const deadline = performance.now() + (policy.timeoutMs ?? Infinity);
	let reason: StopReason | undefined;
	const look = async () => {
		const now = performance.now();
		if (now > deadline) reason ??= 'timedOut';
		else if (monotonicMs() >= bench.drainUntil) reason ??= 'interrupted';
		else if ((await queue.stops(owner)).some(claim => claim.id === id)) reason ??= 'cancelled';
		if (reason) resolve();
	};
	// If the look fails, the settlement will meet the reason.
	const timer = setInterval(() => void look().catch(() => undefined), LISTEN_EVERY_MS);
	const end = () => {
		clearInterval(timer);
		resolve();
	};
	return {reason: () => reason, promise, end};
}
