import {abortSignal, bad, boolean, type Checks, checked, choice, expected, integer, show, text} from '../../job/checks.ts';
import type {Encoded} from '../../job/encoding.ts';
import {MAX_GROUP_JOBS, type NewGroup} from '../../job/groups/group.ts';
import {MAX_WINDOW_BYTES} from '../../job/groups/portion.ts';
import {type JobBuilder, lowestOf} from '../../job/new-job.ts';
import {checkJobOptions, EXECUTION_CHECKS} from '../../job/options.ts';
import type {ExecutionOptions} from '../../job/task/task.ts';

/** Options of a stage of a pipe. Those of its jobs have the defaults of `enqueue`.
 * @example const stage: StageOptions = {task: 'store', group: 100, onError: 'drop'}; */
export interface StageOptions<Task extends string = string> extends ExecutionOptions {
	/** The task that runs for each item. */
	readonly task: Task;
	/** How many items, or results of the stage before, one job gets, as an array; the last job may get fewer. Default: each alone, not as an array. */
	readonly group?: number;
	/**
	 * What to do when a job of the stage is dead. `stop` (default) ends the pipe with its error. `drop` goes on without the item. The name of a task
	 * is as `'drop'`, with that task as `onDead` of the stage's jobs: it gets a {@link DeadJob}.
	 */
	readonly onError?: 'stop' | 'drop' | {readonly task: string};
}

/** Options of `pipe()`. @example const options: PipeOptions = {batch: 'import', order: 'input'}; */
export interface PipeOptions {
	/** The batch: a name that makes the pipe resumable, as that of `map()`. Default: none. */
	readonly batch?: string;
	/** The most items under way, from read to yielded; default as that of `map()`. The pipe reads its source no further. */
	readonly window?: number;
	/** `finished` (default) yields results as jobs end, `input` in the order of the items. */
	readonly order?: 'input' | 'finished';
	/** Runs items again that died in an earlier pipe of the batch; default: those that stopped it. */
	readonly retryFailed?: boolean;
	/** When it aborts, jobs that have not ended are cancelled, and the loop throws the signal's reason. */
	readonly signal?: AbortSignal;
}

/** A stage, after checks and defaults. */
export interface Stage extends Required<Pick<StageOptions, 'task' | 'group' | 'onError'>> {
	/** What its groups of jobs have in common. */
	readonly common: Omit<NewGroup, 'values' | 'keys' | 'batch' | 'parents'>;
	/** True if a job of it runs though one of its parents is dead: it gets the results of the others. */
	readonly runsOnDead: boolean;
	/** The most jobs of it that one unit has: see {@link PipePlan.unit}. */
	readonly jobs: number;
	/** The key of its first job. */
	readonly firstKey: number;
}

export interface PipePlan extends Required<Pick<PipeOptions, 'window' | 'order'>> {
	readonly windowBytes: number;
	readonly stages: readonly Stage[];
	/** The number of items for which the last stage has one job. A unit of so many items is enqueued and yielded as a whole. */
	readonly unit: number;
	readonly batch: string | undefined;
	readonly signal: AbortSignal | undefined;
	readonly encode: (item: unknown) => Encoded;
}

/** The keys of a stage's jobs are numbers from here on, times its place. Those of the last stage begin at 0. */
const KEYS_PER_STAGE = 1_000_000_000_000;

/** @throws FaenaError `BadOption`, `UnknownTask` */
export function planPipe(builder: JobBuilder, stages: readonly (string | StageOptions)[], options: PipeOptions): PipePlan {
	if (stages.length === 0) throw bad("pipe() expects at least one stage after its source: a task's name");
	const {batch, window = 4096, order = 'finished', retryFailed, signal} = checked('pipe()', options, PIPE_CHECKS);
	const given = stages.map(stage => checkStage(builder, stage));
	const unit = given.reduce((product, {group}) => product * group, 1);
	const later = unit / (given[0]?.group ?? 1);
	if (later > MAX_GROUP_JOBS)
		throw bad(`pipe() expects that the options group of the stages after the first multiply to at most ${MAX_GROUP_JOBS}; they multiply to ${later}`);
	let jobs = unit;
	// True after a stage that goes on without items.
	let drops = false;
	const planned = given.map(({group, onError, ...stage}, place): Stage => {
		jobs /= group;
		const failed = retryFailed ?? onError === 'stop';
		const common = {...builder.resolveChecked('pipe()', stage.task, stage.jobOptions), task: stage.task, ...(failed && {rerun: {changed: false, failed}})};
		const runsOnDead = drops && group > 1;
		drops = onError !== 'stop' || (drops && group === 1);
		return {task: stage.task, group, onError, runsOnDead, common, jobs, firstKey: place === given.length - 1 ? 0 : KEYS_PER_STAGE * (place + 1)};
	});
	const most = Math.min(...given.map(({task}) => lowestOf(builder.limitsOf(task))));
	const windowBytes = options.window === undefined ? MAX_WINDOW_BYTES : Infinity;
	return {stages: planned, unit, batch, window: Math.min(window, most), windowBytes, order, signal, encode: item => builder.encode(item)};
}

function checkStage(builder: JobBuilder, stage: string | StageOptions) {
	if (typeof stage !== 'string' && (typeof stage !== 'object' || stage === null))
		throw bad(`pipe() expects as a stage a task's name, or an object such as {task: 'parse', group: 100}; it got ${show(stage)}`);
	const {task, group = 1, onError = 'stop', ...others} = typeof stage === 'string' ? {task: stage} : stage;
	const where = `pipe({task: ${JSON.stringify(task)}})`;
	checked(where, {task, group, onError, ...others}, STAGE_CHECKS);
	if (typeof onError === 'object' && others.onDead !== undefined) throw bad('pipe() got both onError with a task and onDead for a stage; give one of them');
	builder.checkName('pipe()', task);
	const onDead = typeof onError === 'object' ? {onDead: onError.task} : {};
	return {task, group, onError, jobOptions: checkJobOptions(where, {...others, ...onDead})};
}

const STAGE_CHECKS: Checks = {
	...EXECUTION_CHECKS,
	task: text,
	group: integer(1, 1_000_000),
	onError(value) {
		if (value === 'stop' || value === 'drop' || (typeof value === 'object' && value !== null && 'task' in value)) return value;
		throw expected("'stop', 'drop' or a task such as {task: 'noteDead'}", value);
	},
};

const PIPE_CHECKS = {
	batch: text,
	window: integer(1, 10_000_000),
	order: choice('input', 'finished'),
	retryFailed: boolean,
	signal: abortSignal,
};
