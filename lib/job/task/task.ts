import type {StandardSchemaV1} from '@standard-schema/spec';
import type {CompletedBatch} from '../batch.ts';
import type {Duration, Size} from '../checks.ts';
import type {EnqueuedChild} from '../enqueued-child.ts';
import type {JobRef, LogLine} from '../job.ts';
import type {ParentOutcome} from '../parents.ts';
import type {ExecOptions, ExecResult} from './exec-options.ts';

/** Options of jobs at every level: options passed to `enqueue` override the task's own, which override `open({defaults})`.
 * @example const defaults: ExecutionOptions = {maxAttempts: 5, timeout: '10m'}; */
export interface ExecutionOptions {
	/** Jobs of a higher priority run first; from -1,000,000 to 1,000,000, default 0. */
	readonly priority?: number;
	/** The job is dead after this many charged executions; default 3. A job that killed its worker 3 times is dead in any case. */
	readonly maxAttempts?: number;
	/** Its task may put it off by `RetryAfter` or `ctx.retryIn()` so often without a charge, in each round; default 100. Further ones are charged. */
	readonly maxDelays?: number;
	/**
	 * Longest run of one execution, from its start; default `'none'`. In a worker the task is stopped, even if it computes. `'300%'`
	 * is three times the median of the task's completed executions in this engine, from the tenth on, and at least 100 ms.
	 */
	readonly timeout?: Duration | `${number}%` | 'none';
	/**
	 * Wait before the next attempt: a fixed one; or `base` (1 s), multiplied by `factor` (2) each time, at most `max` (1 h), of which the share `jitter`
	 * (0.5) is random. Default: the latter.
	 */
	readonly backoff?: Duration | {readonly base?: Duration; readonly factor?: number; readonly max?: Duration; readonly jitter?: number};
	/** `manual` parks a failed job until `retry()`; default `auto`. */
	readonly retry?: 'auto' | 'manual';
	/** If the job is dead, a job of this task is enqueued, in the same transaction. Its payload is a `DeadJob`. */
	readonly onDead?: string;
}

/** Options of a task: defaults of its jobs, and how they run. @example const options: TaskOptions = {timeout: '30s', concurrency: 2}; */
// biome-ignore lint/suspicious/noExplicitAny: of a task that is not known
export interface TaskOptions<Resource = unknown, Payload = any> extends ExecutionOptions {
	/** Where its jobs run; default: the engine's isolation. A native crash in a child process ends no other job. */
	readonly isolation?: 'thread' | 'process';
	/** The most of its jobs that run at the same time, in all engines on the same queue together; default: the number of workers. */
	readonly concurrency?: number;
	/**
	 * The most of its jobs that may be pending, delayed ones included, in all programs on the same queue together; default: no limit. `enqueue`
	 * and `call` reject with `QueueFull` if another job would exceed it. What is never refused: see the same option of `open()`.
	 * @example task(render, {maxPending: 100})
	 */
	readonly maxPending?: number;
	/** What makes a `map()` of the task run an item again; see the option of `map()`. */
	readonly fresh?: 'payload' | 'content' | 'code' | 'all' | readonly ('payload' | 'content' | 'code' | 'all')[];
	/** Names the task's code: if it changes, results count as made by other code. Default: a hash of the tasks module and of what it imports. */
	readonly version?: string;
	/**
	 * Paths of the files from which a job's result is made, by its payload, for `map({fresh: 'content'})`. Called in a thread that runs no tasks.
	 * @example task(thumbnail, {files: ({file}) => [file]})
	 */
	files?(payload: Payload): readonly string[];
	/** Paths of the files that a job makes, by its payload: a map with the option `fresh` runs a completed job again if one of them is gone. */
	outputs?(payload: Payload): readonly string[];
	/** Memory that one of its jobs may need: bytes, or a text such as `'200mib'`. A job starts only while so much is free, or no other job runs. */
	readonly memory?: Size;
	/** Called in each worker before it takes jobs of the task. Its result is {@link Context.resource}. If it throws, `open()` rejects with `SetupFailed`. */
	readonly setup?: () => Resource | Promise<Resource>;
	/**
	 * Called in the worker when an execution throws, with what it threw and the number of this attempt, from 1: if it returns false, the job
	 * is dead at once. An error that decides by itself, `PermanentError` or `RetryAfter`, is not asked about. If the call throws or returns
	 * anything else than true or false, that is written to stderr, and the job is tried again as after any error.
	 * @example task(fetchPage, {retryIf: error => !(error instanceof SyntaxError)})
	 * @example task(compress, {retryIf: (error: {code?: number}) => error.code !== 2})
	 */
	retryIf?(error: unknown, attempt: number): boolean;
	/**
	 * How long its ended jobs are kept, by how they ended; then the engine deletes them. A time that it names overrides that of `open({retention})`.
	 * Default: for ever. A job of a batch is kept at least as long as the batch is open.
	 */
	readonly retention?: {readonly completed?: Duration; readonly dead?: Duration; readonly cancelled?: Duration};
	/**
	 * What a payload is, as a schema of Zod, Valibot, ArkType or another library of Standard Schema. What is stored is the payload as it was given; the task
	 * gets what the schema makes of it. A payload that it refuses is refused where it is enqueued, if the program has imported the tasks; otherwise the
	 * job is dead before the task starts, with `InvalidPayload`, and no attempt is charged.
	 * @example task(async ({file}) => resize(file), {input: z.object({file: z.string()})})
	 */
	readonly input?: StandardSchemaV1<Payload>;
	/** What a result is, as `input`. What is stored is what the schema makes of it. An execution with a result that it refuses fails with `InvalidResult`. */
	readonly output?: StandardSchemaV1;
	/** Called with the result of `setup` before a worker is shut down. It may take as long as `open({grace})`. */
	readonly teardown?: (resource: Resource) => unknown;
	/**
	 * The most jobs that the function gets in one call, at most 512: an array of payloads and an array of contexts. Default: one job, not in an array.
	 * How many it gets depends on how many wait. It returns an array of as many results, or of promises for them. Each job ends by its own
	 * result; an Error in its place, or a rejection, fails that job alone. The smallest timeout of the jobs is the timeout of all.
	 * Jobs that time out together, or lose their worker together, each run again alone, uncharged. A job that is cancelled ends
	 * when the function returns or its worker is ended; the others are then released. `work()` calls the function with one
	 * payload.
	 */
	readonly batchSize?: number;
}

/** What makes a map run an item again whose job has ended. */
export type Fresh = Extract<NonNullable<TaskOptions['fresh']>, string>;

/**
 * The second argument of a task, with its types by name, as far as they matter: `resource`, what the task's `setup` returns; `state`, that of its
 * checkpoints; `tasks`, the module whose tasks it enqueues; `results`, a tuple of the results of the jobs for which it has waited, each perhaps
 * `undefined` if it runs though one is dead.
 * @example (upTo: number, ctx: TaskContext<{state: {next: number}; tasks: typeof import('./tasks.ts')}>) => …
 */
// biome-ignore lint/complexity/noBannedTypes: without types of its own
export type TaskContext<Types extends ContextTypes = {}> = Context<
	Given<Types, 'resource', unknown>,
	Given<Types, 'state', unknown>,
	Given<Types, 'tasks', AnyTasks>,
	Types extends {results: infer Results extends readonly unknown[]} ? Results : readonly unknown[]
>;

interface ContextTypes {
	resource?: unknown;
	state?: unknown;
	tasks?: unknown;
	results?: readonly unknown[];
}

/** The type of this name; if it is not given, the other one. */
type Given<Types, Name extends string, Otherwise> = Name extends keyof Types ? Types[Name] : Otherwise;

/** What a {@link TaskContext} has. Its methods also work when they are taken out of it. {@link cancelled} and {@link stopReason} are never out of date.
 * @example const log = (ctx: Context, text: string) => ctx.log(text); */
export interface Context<Resource = unknown, State = unknown, Tasks = AnyTasks, Results extends readonly unknown[] = readonly unknown[]> {
	/** The job that is running. */
	readonly job: {
		readonly id: number;
		readonly task: string;
		/** The number of this execution, from 1. */
		readonly execution: number;
		/** Attempts charged before this one. */
		readonly attempts: number;
		readonly maxAttempts: number;
		readonly key?: string;
		/** The moment for which a schedule has enqueued it, in milliseconds since 1970; also if it starts later. */
		readonly scheduledAt?: number;
	};
	/** The result of the task's `setup` in this worker. */
	readonly resource: Resource;
	/** The number of this worker in its engine, from 1. Jobs of an engine that run at the same time have different ones, except those that a batch task gets in one call. */
	readonly slot: number;
	/** Aborted when the job is asked to stop; for tasks that wait. Its reason is an Error, whose property `reason` is the {@link stopReason}. */
	readonly signal: AbortSignal;
	/** True once the job is asked to stop; for tasks that compute. It reads shared memory, which is cheap enough for a tight loop. */
	readonly cancelled: boolean;
	/** Why the job is asked to stop. `interrupted`: Faena shuts down, and the job will run again. `undefined` while it may go on. As cheap as {@link cancelled}. */
	readonly stopReason: 'cancelled' | 'timedOut' | 'interrupted' | undefined;
	/**
	 * The results of the jobs for which this one has waited, in the order of `dependsOn`; `undefined` for one that did not complete: see {@link parents}.
	 * They are decoded when they are read.
	 */
	readonly results: Results;
	/** These jobs, in the same order, and what became of them. */
	readonly parents: readonly ParentOutcome[];
	/** Reports how far the job is. Returns at once; calls in quick succession are combined. After the job's end it does nothing, as {@link checkpoint} and {@link log}. */
	progress(done: number, total?: number): void;
	/**
	 * Stores a state from which the job's next execution can go on, if this one does not complete: after an error, a crash, a kill
	 * or a shutdown. The state may be any value that can be a payload, encoded at most 1 MiB (`open({maxCheckpoint})`). Returns
	 * at once. It works also in a loop that never yields. Of calls within 50 ms the last one counts. The state is deleted when the
	 * job completes or gets another payload; a retry goes on from it.
	 * @throws FaenaError `NotEncodable`, `TooLarge`
	 */
	checkpoint(state: State): void;
	/** The last {@link checkpoint} of an earlier execution; `undefined` if there is none. */
	readonly resumeFrom: State | undefined;
	/**
	 * Enqueues a job when this one completes. The transaction that completes this job enqueues all such jobs, or none. They are
	 * dropped if this job throws, times out, is cancelled or interrupted. Checks and defaults are those of `engine.enqueue`. If the
	 * `key` exists with the same payload, nothing is enqueued; with another payload, this job fails. At most 10,000 jobs and 64 MiB
	 * of payloads.
	 * @returns what stands for the job in `dependsOn` of a later one
	 * @example ctx.enqueue('merge', {}, {dependsOn: parts.map(part => ctx.enqueue('compress', part))});
	 * @throws FaenaError `UnknownTask`, `BadOption`, `NotEncodable`, `TooLarge`, `KeyConflict`, `Closed`
	 */
	enqueue<Name extends keyof TasksOf<Tasks> & string>(
		task: Name,
		...args: EnqueueArgs<
			Tasks,
			Name,
			Omit<JobOptions, 'dependsOn'> & {
				/** As that of {@link JobOptions}; also jobs that this execution has enqueued, as `ctx.enqueue` has returned them. */
				readonly dependsOn?: readonly (JobRef | EnqueuedChild)[];
			}
		>
	): EnqueuedChild;
	/**
	 * If this execution throws, the job is tried again after this time, uncharged, as after a `RetryAfter`; for errors of other code, where
	 * `throw new RetryAfter()` can't be written. The last call counts.
	 * @throws FaenaError `BadOption` if it is no duration
	 * @example ctx.retryIn('10m');
	 */
	retryIn(wait: Duration): void;
	/**
	 * Runs a command, and resolves when it and all that it has left in its process group have ended. It is not started by this thread, which it
	 * does not block, but by a small process of the engine, without a shell, in a session of its own. Its stdin is empty, or the `input`.
	 *
	 * Of stdout the first, and of stderr the last `maxOutput` bytes are kept; the rest is read and dropped. The lines of both go into the
	 * job's log: stdout as `info`, stderr as `warn`.
	 *
	 * If the job is asked to stop, the command's process group gets SIGTERM, and SIGKILL after nine tenths of the grace; then this rejects with the
	 * reason of {@link signal}. Commands that still run when the task ends, or its worker, are killed, and so are those of an engine that
	 * dies. A job that was asked to stop starts no command.
	 * @param file a path, or a name that is looked for in the folders of PATH
	 * @param args the arguments, which need no quotes
	 * @example await ctx.exec('cwebp', ['-q', '80', file, '-o', `${file}.webp`]);
	 * @example const {stdout} = await ctx.exec('gzip -dc "$1" | wc -l', [file], {shell: true});
	 * @throws FaenaError `CommandFailed` with `exitCode`, `signal` and `stderr`, unless `{reject: false}`; `CommandNotStarted`, `BadOption`, `Closed`
	 */
	exec<Encoding extends 'utf8' | 'buffer' = 'utf8'>(
		file: string,
		args?: readonly string[],
		options?: ExecOptions<Encoding>,
	): Promise<ExecResult<Encoding extends 'buffer' ? Buffer : string>>;
	/**
	 * Stores a line with the job, of the level `info` or of the level of its name, formatted as by `console.log`. The last 200 lines are kept, each up to
	 * 4,096 characters.
	 * @example ctx.log('read', bytes); ctx.log.warn('slow');
	 */
	readonly log: ((...values: readonly unknown[]) => void) & Readonly<Record<LogLine['level'], (...values: readonly unknown[]) => void>>;
}

/** A function that a tasks module exports, sync or async. It takes one payload and a context. */
// biome-ignore lint/suspicious/noExplicitAny: a parameter of type unknown would accept no function with a typed payload
export type TaskFunction = (payload: any, context: Context<any, any, any>) => unknown;

/** Where tasks run: in worker threads, in child processes, or in the caller's own thread. */
export type Isolation = 'thread' | 'process' | 'inline';

/** A task, as its dispatcher knows it: the dispatcher does not load the module. */
export interface TaskInfo {
	readonly name: string;
	/** Without functions, which only the workers have. */
	readonly options: Omit<TaskOptions, 'setup' | 'teardown' | 'retryIf' | 'files' | 'outputs' | 'input' | 'output'>;
}

/** Options of `enqueue`. An option that is not given comes from the task, then from `open({defaults})`, then from {@link DEFAULTS}.
 * @example const options: JobOptions = {key: 'a.png', delay: '5m'}; */
export interface JobOptions extends ExecutionOptions {
	/** Time until the earliest start. */
	readonly delay?: Duration;
	/** Earliest start: a Date, or milliseconds since 1970. Not together with `delay`. */
	readonly runAt?: Date | number;
	/**
	 * The job is cancelled if it has not started this long after it became due, which is at once unless it has a `delay` or a `runAt`. Its error has
	 * the reason `expired`. A job that has started, and failed or was interrupted, does not expire. Default: never.
	 * @example await faena.enqueue('render', page, {expires: '30s'});
	 */
	readonly expires?: Duration;
	/** Unique in its task. Enqueuing with an existing key returns the existing job, until that job is cleaned up; or see {@link unique}. */
	readonly key?: string;
	/**
	 * `'unended'`: a job that has ended gives its key to the new one. So there is at most one job with the key that has not ended, in all programs on
	 * the queue together. Default: a job keeps its key until it is cleaned up.
	 * @example await faena.enqueue('rebuildIndex', {}, {key: 'index', unique: 'unended'});
	 */
	readonly unique?: 'unended';
	/**
	 * Jobs that must end before this one may start, by handle or id: until then it is `blocked`. The task finds their results in
	 * {@link Context.results}.
	 * @example const merged = await faena.enqueue('merge', {}, {dependsOn: [first, second]});
	 */
	readonly dependsOn?: readonly JobRef[];
	/** What becomes of the job if one of these ends as dead or cancelled. Default `'cancel'`: it is cancelled, too. `'run'`: it runs all the same. */
	readonly onParentDead?: 'cancel' | 'run';
	/**
	 * Whose the job is: only engines of this scope run it. Default: the scope of the engine that enqueues it; by `ctx.enqueue`, that of the job which
	 * does. See `open({scope})`.
	 */
	readonly scope?: string;
}

// Types that are derived from the type of a tasks module, such as `typeof import('./tasks.ts')`.

/** The tasks of an engine that was opened without the type of its module: any names and payloads; what they return is `unknown`.
 * @example const faena: Engine<AnyTasks> = await open({queue: 'jobs.db'}); */
// biome-ignore lint/suspicious/noExplicitAny: without the type of a module any payload must do
export type AnyTasks = Record<string, (payload: any, ...rest: any[]) => unknown>;

/** The module's functions, without its other exports. Signatures name it, and not the type of a name, since TypeScript then lists the names in its errors.
 * @example type Names = keyof TasksOf<typeof import('./tasks.ts')>; */
export type TasksOf<Module> = {readonly [Name in keyof Module as Module[Name] extends (...args: never[]) => unknown ? Name : never]: Module[Name]};

/** The type of the task's payload. @example type Picture = PayloadOf<typeof import('./tasks.ts'), 'resize'>; */
export type PayloadOf<Tasks, Name extends keyof Tasks> = Tasks[Name] extends (...args: infer Args extends unknown[]) => unknown ? Args[0] : never;

/** The type of the task's result, awaited. What `ctx.enqueue` returns is `undefined` as a result.
 * @example type Size = ResultOf<typeof import('./tasks.ts'), 'size'>; */
export type ResultOf<Tasks, Name extends keyof Tasks> = Tasks[Name] extends (...args: never[]) => infer Result ? Stored<Awaited<Result>> : never;

type Stored<Result> = Result extends EnqueuedChild ? undefined : Result;

/** Payload and options of `enqueue` and `call`. The payload is optional if the task takes none. */
export type EnqueueArgs<Tasks, Name extends keyof Tasks, Options> =
	ProblemOf<Tasks[Name]> extends never
		? undefined extends PayloadOf<Tasks, Name>
			? [payload?: PayloadOf<Tasks, Name>, options?: Options]
			: [payload: PayloadOf<Tasks, Name>, options?: Options]
		: [problem: ProblemOf<Tasks[Name]>];

/** The tasks that can be enqueued when a batch completes: those that take a {@link CompletedBatch}, or no payload. */
export type CompletionTasksOf<Tasks> = {
	readonly [Name in keyof TasksOf<Tasks> as CompletedBatch extends PayloadOf<Tasks, Name>
		? Name
		: undefined extends PayloadOf<Tasks, Name>
			? Name
			: never]: Tasks[Name];
};

/** Why a function can't be a task, as a sentence that TypeScript shows; `never` if it can. */
export type ProblemOf<Run> =
	IsAny<Run> extends true ? never : Run extends (...args: infer Args extends unknown[]) => infer Result ? ProblemOfFunction<Args, Result> : never;

type ProblemOfFunction<Args extends unknown[], Result> =
	TakesMore<Args> extends true
		? 'A task takes one payload and a context; this function takes other parameters.'
		: IsFunction<Args[0]> extends true
			? 'The payload of a task can not be a function: it is stored.'
			: IsGenerator<Awaited<Result>> extends true
				? 'The result of a task can not be a generator: it is stored. Return an array.'
				: never;

/** True if a second parameter is not the context, or a third one is needed. */
type TakesMore<Args extends unknown[]> = Args extends [unknown, unknown, unknown, ...unknown[]]
	? true
	: Args['length'] extends 0 | 1
		? false
		: // biome-ignore lint/suspicious/noExplicitAny: the context of any task
			Context<any, any, any> extends NonNullable<Args[1]>
			? false
			: true;

type IsAny<Type> = 0 extends 1 & Type ? true : false;
type IsFunction<Type> = IsAny<Type> extends true ? false : [Type] extends [never] ? false : [Type] extends [(...args: never[]) => unknown] ? true : false;
type IsGenerator<Type> = IsAny<Type> extends true ? false : [Type] extends [never] ? false : [Type] extends [Generator | AsyncGenerator] ? true : false;
