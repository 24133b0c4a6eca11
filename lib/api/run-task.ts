import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {pathToFileURL} from 'node:url';
import {abortSignal, argument, boolean, callable, checked, integer, list, object, text, time} from '../job/checks.ts';
import {decode, encode} from '../job/encoding.ts';
import {fromFailure, type JobError} from '../job/failure.ts';
import type {ClaimedGroup} from '../job/groups/group.ts';
import {pack} from '../job/groups/packed.ts';
import {settlementsOf} from '../job/groups/single-jobs.ts';
import type {Job, JobId, LogLine} from '../job/job.ts';
import {type ChildJob, JobBuilder} from '../job/new-job.ts';
import {MAX_NUMBER} from '../job/options.ts';
import {functionsOf, registerTasks} from '../job/task/task-module.ts';
import {inlinePool} from '../pool/inline.ts';
import {defined} from '../support/defined.ts';
import {FaenaError} from '../support/errors.ts';
import {resolveOpenOptions} from './open-options.ts';

/** Options of {@link runTask}. @example const options: RunOptions = {resumeFrom: {page: 3}}; */
export interface RunOptions {
	/** What `ctx.resumeFrom` is: the last checkpoint of an earlier execution. Default: none. */
	readonly resumeFrom?: unknown;
	/** What `ctx.results` is: the results of the jobs for which the job has waited. Default: none. */
	readonly results?: readonly unknown[];
	/** What `ctx.job` says: its key, the attempts charged before, and the moment of its schedule. Default: no key, 0, and no moment. */
	readonly job?: {readonly key?: string; readonly attempts?: number; readonly scheduledAt?: number};
	/** When it aborts, the job is cancelled: `ctx.signal` aborts, and `ctx.cancelled` is true. It goes on until the task ends by itself. */
	readonly signal?: AbortSignal;
	/** The tasks that `ctx.enqueue` may name, as `openForTest()` takes them: an object of functions, or what `defineTasks()` made; default: the task itself. */
	readonly tasks?: object;
	/** Default true: it rejects with what the task threw. If false, the error is in what it resolves with. */
	readonly reject?: boolean;
}

/** What a task did. @example const {result, logs}: TaskRun = await runTask(crawl, 'https://example.org'); */
export interface TaskRun<Result = unknown> {
	/** What it returned, encoded and decoded; `undefined` if it did not. */
	readonly result: Result;
	/** With `reject: false`: why it did not return. */
	readonly error?: JobError;
	/** The lines of `ctx.log`, and of commands. */
	readonly logs: readonly Pick<LogLine, 'level' | 'text'>[];
	/** The jobs of `ctx.enqueue`; none if it threw. */
	readonly enqueued: readonly RunEnqueued[];
	/** The last state of `ctx.checkpoint`. */
	readonly checkpoint: unknown;
	/** The last `ctx.progress`. */
	readonly progress: Job['progress'];
}

/** A job that a task has enqueued. @example const [job]: readonly RunEnqueued[] = (await runTask(crawl, url)).enqueued; */
export interface RunEnqueued {
	/** The task. */
	readonly task: string;
	/** Its argument. */
	readonly payload: unknown;
	/** Its key, if it has one. */
	readonly key?: string;
	/** The time until its earliest start. */
	readonly delayMs?: number;
	/** Its priority, if it is not that of its task. */
	readonly priority?: number;
	/** How often it may run, if that is not what its task says. */
	readonly maxAttempts?: number;
	/** The jobs for which it waits, in order: ids, and indexes in {@link TaskRun.enqueued}. */
	readonly dependsOn?: readonly (JobId | {readonly index: number})[];
}

/**
 * Runs a task once, in the caller's thread and without a queue, as a worker would: with its `setup`, a real context, and values that are encoded and
 * decoded. Calls of `ctx` in quick succession are combined, as they are with a queue.
 * @throws what the task threw; FaenaError `JobCancelled` if the signal has cancelled it; `BadOption`, `NotEncodable`
 * @example
 * const {result, logs, enqueued} = await runTask(crawl, 'https://example.org', {tasks, resumeFrom: {page: 3}});
 * assert.deepEqual(enqueued, [{task: 'fetchPage', payload: 4}]);
 */
export async function runTask<Payload, Result>(
	// biome-ignore lint/suspicious/noExplicitAny: the context of any task
	task: (payload: Payload, context: any) => Result,
	payload?: Payload,
	options: RunOptions = {},
): Promise<TaskRun<Awaited<Result>>> {
	argument('runTask()', 'its first argument', task, callable);
	const given = checked('runTask()', options, CHECKS) as RunOptions;
	const module = pathToFileURL(join(tmpdir(), `faena-run-${++runs}`)).href;
	const tasks = given.tasks && functionsOf(given.tasks, module);
	const name = Object.entries(tasks ?? {}).find(([, run]) => run === task)?.[0] ?? (task.name || 'task');
	registerTasks(module, {...tasks, [name]: task});
	try {
		return (await runOn(module, name, payload, given)) as TaskRun<Awaited<Result>>;
	} finally {
		registerTasks(module, undefined);
	}
}

let runs = 0;
const JOB_CHECKS = {key: text, attempts: integer(0, MAX_NUMBER), scheduledAt: time};
const CHECKS = {
	...{resumeFrom: (value: unknown) => value, results: list, signal: abortSignal, tasks: object, reject: boolean},
	job: (value: unknown) => checked('job', value, JOB_CHECKS),
};
const ID: JobId = 1;

async function runOn(module: string, name: string, payload: unknown, {signal, reject = true, ...before}: RunOptions): Promise<TaskRun> {
	const settings = resolveOpenOptions({queue: join(tmpdir(), 'none.db'), tasks: module, isolation: 'inline', workers: 1, scope: []});
	const said = {logs: [] as Pick<LogLine, 'level' | 'text'>[], checkpoint: undefined as unknown, progress: undefined as Job['progress']};
	const ended = Promise.withResolvers<Parameters<typeof settlementsOf>[0]>();
	const pool = inlinePool(
		{...settings, tasks: module},
		{
			ended: (_, [group]) => group && ended.resolve(group),
			updated({logs = [], checkpoint, progress}) {
				said.logs.push(...logs.map(({level, text}) => ({level, text})));
				if (checkpoint) said.checkpoint = decode(checkpoint.state);
				if (progress) said.progress = progress;
			},
			...{freed: ignore, lost: ignore, startsSlowly: ignore, memoryShort: ignore},
		},
	);
	const cancel = () => void pool.stop(ID, 'cancelled');
	// The pool's own timers keep no process alive.
	const keepAlive = setInterval(() => undefined, 60_000);
	try {
		const builder = new JobBuilder(await pool.load(), {}, settings.maxValueBytes);
		pool.run(toGroup(builder, name, payload, before));
		signal?.addEventListener('abort', cancel);
		if (signal?.aborted) cancel();
		const [settlement] = settlementsOf(await ended.promise);
		const outcome = settlement?.outcome;
		if (outcome?.type === 'returned') return {result: decode(outcome.value), ...said, enqueued: (outcome.enqueue ?? []).map(job => toEnqueued(job, builder))};
		const error = outcome && 'error' in outcome && outcome.error ? fromFailure(outcome.error) : cancelledBefore();
		if (reject) throw outcome?.type === 'cancelled' ? new FaenaError('JobCancelled', error.message, {cause: error}) : error;
		return {result: undefined, error, ...said, enqueued: []};
	} finally {
		clearInterval(keepAlive);
		signal?.removeEventListener('abort', cancel);
		await pool.close();
	}
}

function ignore(): void {}

function cancelledBefore(): JobError {
	return fromFailure({reason: 'cancelled', name: 'Cancelled', message: 'The task was cancelled before it ran.'});
}

function toGroup(builder: JobBuilder, task: string, payload: unknown, {resumeFrom, results, job = {}}: RunOptions): ClaimedGroup {
	const {key, attempts, scheduledAt} = job;
	const {policy, priority} = builder.resolve('runTask()', task, {});
	return {
		...{task, lease: 1, ids: ID, executions: 1, createdAt: Date.now(), priorities: priority, policies: policy},
		values: pack([builder.encode(payload)]),
		...(key !== undefined && {keys: new Map([[0, key]])}),
		...(attempts !== undefined && {attempts: new Map([[0, attempts]])}),
		...(scheduledAt !== undefined && {scheduledAt: new Map([[0, scheduledAt]])}),
		...(resumeFrom !== undefined && {executions: 2, checkpoints: new Map([[0, encode(resumeFrom, 'resumeFrom')]])}),
		...(results && {parents: [{start: 0, end: 1, isEach: false, first: ID + 1, values: pack(results.map(result => encode(result, 'results')))}]}),
	};
}

function toEnqueued({task, payload, key, delayMs, priority, policy: {maxAttempts}, after}: ChildJob, builder: JobBuilder): RunEnqueued {
	const own = builder.resolve('runTask()', task, {});
	const given = {priority: priority === own.priority ? undefined : priority, maxAttempts: maxAttempts === own.policy.maxAttempts ? undefined : maxAttempts};
	return {task, payload: decode(payload), ...defined({key, delayMs, dependsOn: after, ...given})};
}
