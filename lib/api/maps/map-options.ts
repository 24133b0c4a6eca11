import type {BatchOptions} from '../../job/batch.ts';
import {abortSignal, argument, bad, boolean, type Checks, callable, checked, choice, expected, integer, show, text} from '../../job/checks.ts';
import {MAX_WINDOW_BYTES} from '../../job/groups/portion.ts';
import {type JobBuilder, lowestOf} from '../../job/new-job.ts';
import {checkJobOptions, checkKey, DEFAULTS, fresh, listOfTexts} from '../../job/options.ts';
import type {CompletionTasksOf, Fresh, JobOptions, PayloadOf, ProblemOf, TaskOptions, TasksOf} from '../../job/task/task.ts';
import {FaenaError} from '../../support/errors.ts';
import type {PipePlan} from './pipe-plan.ts';

/** Options of `map()`, besides those of its jobs. @example const options: MapOptions<string, string> = {batch: 'sizes', key: file => file}; */
export interface MapOptions<Item, Payload, Task extends string = string> extends Omit<JobOptions, 'key' | 'unique'> {
	/** The batch: a name that makes the map resumable. A map of the same name goes on where the last one stopped. Default: no batch. */
	readonly batch?: string;
	/** An item's key, unique in the batch, or without a batch in the task; default: the item's index in the input, from 0. */
	readonly key?: (item: Item, index: number) => string;
	/** The payload for an item; default: the item. */
	readonly payload?: (item: Item, index: number) => Payload;
	/** `finished` (default) yields as jobs end, `input` in the order of the items. */
	readonly order?: 'input' | 'finished';
	/**
	 * How long an item's job will take, in any unit: a file's size, for instance. Long jobs then run first, so that the last one does not run alone. All
	 * items of an array are ordered so. Of another input, or with `order: 'input'`, those that are read together: at first a window, later an eighth of
	 * one; of a stream, what has arrived. Default: the order of the input.
	 */
	readonly weight?: (item: Item, index: number) => number;
	/**
	 * The most items under way, from read to yielded, and at most `maxPending`. The map reads the input no further. Default: 4,096, or fewer once their
	 * payloads are 16 MiB, but two for each processor.
	 */
	readonly window?: number;
	/** When it aborts, jobs that have not ended are cancelled, and the loop throws the signal's reason. */
	readonly signal?: AbortSignal;
	/**
	 * What makes an item run again whose job an earlier map has enqueued, in a new round; its old result is lost. Each value includes `'payload'`,
	 * another payload. `'content'`: other contents of its {@link files}, looked at if their sizes or times differ. `'code'`: other code of the task,
	 * that is, another `version` of it, or other texts of the tasks module and of what it imports than those that the job's worker had loaded. `'all'`:
	 * always; but if a map with a batch was interrupted, the next one does not run again what that one has enqueued. With any of the last three, a
	 * completed job runs again if one of the task's `outputs` is gone. Default: that of the task; without one, another payload ends the loop with
	 * `KeyConflict`. While the job runs, another payload does so in any case.
	 * @example faena.map('thumbnail', paths, {batch: 'photos', key: path => path, fresh: 'content', files: path => [path]})
	 */
	readonly fresh?: TaskOptions['fresh'];
	/**
	 * Paths of the files from which an item's result is made, for `fresh: 'content'`; besides those that the task's option `files` names by the payload.
	 * Under another `fresh` their content is noted for later maps.
	 */
	readonly files?: (item: Item, index: number) => readonly string[];
	/**
	 * What to do, at the end of the input, with unfinished jobs of earlier maps of the batch whose items are not in the input. Until then they are held: they
	 * are not started. `hold` (default) leaves them so, for a later map that has the items; `run` lets them run; `cancel` cancels and `delete` deletes them,
	 * running ones included. The map yields none; `progress().missing` is their number.
	 * With {@link fresh}, `delete` also deletes the ended jobs of such items, once the map has ended.
	 */
	readonly missing?: 'hold' | 'run' | 'cancel' | 'delete';
	/**
	 * Runs items again that died or were cancelled in an earlier map, and at once those that wait for their next attempt, by the options of this
	 * map; default false.
	 */
	readonly retryFailed?: boolean;
	/**
	 * Ends the map early once enough items failed or succeeded. Jobs that have not ended by then are discarded, so that a later map of the batch
	 * runs them. The loop yields the jobs that have ended. Then it throws `Halted` if failures are counted, or ends if successes are. More jobs
	 * may die until the map has halted: workers go on with the jobs they have, up to two chunks each (of at most 2,000 jobs, about 100 ms).
	 */
	readonly halt?: {
		/** `soon` starts no more jobs and lets running ones finish; `now` also stops running jobs. */
		readonly when: 'now' | 'soon';
		/** `fail` counts jobs that died, `success` jobs that completed, `done` all that ended. */
		readonly on: 'fail' | 'success' | 'done';
		/** A number of these jobs, or a percentage of the jobs that have ended, from the third one on. Only jobs that end during this map count. */
		readonly at: number | `${number}%`;
	};
	/** A task. A job of it with the payload `{batch, counts}` is enqueued each time the batch completes, here or in another process. */
	readonly onComplete?: Task;
}

/** The options of a map. They are optional if its items are payloads. */
export type MapArgs<Tasks, Name extends keyof Tasks, Item> = Name extends keyof TasksOf<Tasks> & string
	? ProblemOf<Tasks[Name]> extends never
		? [Item] extends [PayloadOf<Tasks, Name>]
			? [options?: OptionsFor<Tasks, Name, Item>]
			: [optionsWithPayload: OptionsFor<Tasks, Name, Item> & {readonly payload: (item: Item, index: number) => PayloadOf<Tasks, Name>}]
		: [problem: ProblemOf<Tasks[Name]>]
	: // The wrong name is the error to report, not what follows from it.
		[options?: unknown];

type OptionsFor<Tasks, Name extends keyof Tasks, Item> = MapOptions<Item, PayloadOf<Tasks, Name>, keyof CompletionTasksOf<Tasks> & string>;

/** A map's task and options, after checks and defaults. */
export interface MapPlan<Item> extends ReturnType<typeof planMap<Item>> {
	/** Of a pipe: its stages. The group is that of the last one. */
	readonly pipe?: PipePlan;
}

/** @throws FaenaError `BadOption`, `UnknownTask` */
export function planMap<Item>(builder: JobBuilder, task: string, options: MapOptions<Item, unknown>) {
	if (Object(options).unique !== undefined) throw bad(NO_UNIQUE);
	const given = checkJobOptions<Omit<MapOptions<Item, unknown>, keyof JobOptions>>('map()', options, MAP_CHECKS);
	const {key: _, fresh: __, files: ___, ...others} = {...DEFAULTS.map, ...given};
	const {batch, payload, weight, order, window, signal, onComplete, missing, retryFailed, halt, ...jobOptions} = others;
	const {key} = options;
	assertFits(given);
	const freshness = freshnessOf(given, builder.freshOf(task));
	const rerun = freshness.fresh.length > 0 || retryFailed ? {changed: freshness.fresh.length > 0, failed: retryFailed} : undefined;
	const {key: ____, ...ofJobs} = builder.resolveChecked('map()', task, jobOptions);
	return {
		...{batch, order, signal, missing, ...freshness},
		window: Math.min(window, lowestOf(builder.limitsOf(task))),
		windowBytes: given.window === undefined ? MAX_WINDOW_BYTES : Infinity,
		halt: halt && new Halt(halt),
		batchOptions: batchOptionsOf(builder, onComplete),
		/** What its groups of jobs have in common. */
		group: {...ofJobs, task, rerun},
		weightOf: weight && ((item: Item, index: number) => checkWeight(weight(item, index))),
		/** Absent if the items have their indexes as keys. */
		keyOf: key && ((item: Item, index: number) => checkKey('map()', key(item, index))),
		encode: (item: Item, index: number) => builder.encode(payload ? payload(item, index) : item),
	};
}

type Given<Item> = Omit<MapOptions<Item, unknown>, keyof JobOptions> & Pick<JobOptions, 'key'>;

/** @throws FaenaError `BadOption` if an option needs another one */
function assertFits<Item>({batch, key, missing, onComplete, fresh, retryFailed}: Given<Item>): void {
	if (missing !== undefined && batch === undefined)
		throw bad('map() with the option missing expects the option batch, too: the name of the batch whose earlier jobs are meant');
	if (onComplete !== undefined && batch === undefined)
		throw bad('map() with the option onComplete expects the option batch, too: the job is enqueued when that batch completes');
	if ((fresh || retryFailed) && batch === undefined && key === undefined)
		throw bad('map() with the option fresh or retryFailed expects the option batch or key, too, by which it finds the earlier jobs');
}

/** What makes items run again. @param ofTask the task's own option, for a map that can find earlier jobs */
function freshnessOf<Item>({fresh, files, batch, key}: Given<Item>, ofTask: readonly Fresh[] | undefined) {
	const own = (fresh ?? (batch !== undefined || key !== undefined ? ofTask : undefined) ?? []) as readonly Fresh[];
	if (files && own.length === 0) throw bad("map() with the option files expects the option fresh, too: fresh: 'content' looks at these files");
	return {
		fresh: own,
		/** Whether to find out, before items are enqueued, which of their jobs are out of date. */
		isChecked: files !== undefined || own.some(each => each !== 'payload'),
		filesOf: files && ((item: Item, index: number) => argument('map()', 'the value of files()', files(item, index), listOfTexts)),
	};
}

/** @throws FaenaError `BadOption` */
function checkWeight(weight: unknown): number {
	if (typeof weight === 'number' && !Number.isNaN(weight)) return weight;
	throw bad(`map() expects from the function weight a number, such as a file's size; it got ${show(weight)}`);
}

const NO_UNIQUE =
	"map() has no option unique: an item's key names its one job, whose result a later map yields again. To run items anew, use fresh, retryFailed, or another batch";

function batchOptionsOf(builder: JobBuilder, task: string | undefined): BatchOptions | undefined {
	if (task === undefined) return undefined;
	const {priority, policy, scope} = builder.resolve('map() for onComplete', task, {});
	return {onComplete: {task, scope, priority, policy}};
}

export const MAP_CHECKS: Checks = {
	batch: text,
	key: callable,
	payload: callable,
	weight: callable,
	order: choice('input', 'finished'),
	window: integer(1, 10_000_000),
	signal: abortSignal,
	onComplete: text,
	fresh,
	files: callable,
	missing: choice('hold', 'run', 'cancel', 'delete'),
	retryFailed: boolean,
	halt: checkHalt,
};

export type HaltOption = NonNullable<MapOptions<unknown, unknown>['halt']>;

/** A percentage of fewer jobs means little. */
const MIN_COUNT_FOR_PERCENT = 3;

/** Counts how the jobs of a map end, and decides when to halt it. */
export class Halt {
	readonly option: HaltOption;
	#ended = 0;
	#count = 0;
	/** Of the job that died last. */
	#lastError: Error | undefined;

	constructor(option: HaltOption) {
		this.option = option;
	}

	/** Counts a job's end. Returns true once the map must be halted. */
	observe(status: 'completed' | 'dead' | 'cancelled', error?: Error): boolean {
		const {at, on} = this.option;
		this.#ended++;
		if (status === 'dead') this.#lastError = error;
		if (on === 'done' || status === (on === 'fail' ? 'dead' : 'completed')) this.#count++;
		if (typeof at === 'number') return this.#count >= at;
		return this.#count >= MIN_COUNT_FOR_PERCENT && 100 * this.#count >= Number.parseFloat(at) * this.#ended;
	}

	/** @throws FaenaError `Halted` if failures are counted */
	throwIfFailed(): void {
		if (this.option.on !== 'fail') return;
		const items = this.#count === 1 ? 'one of its items' : `${this.#count} of its items`;
		throw new FaenaError('Halted', `The map was halted, since ${items} failed; the jobs that had not ended were discarded.`, {cause: this.#lastError});
	}
}

/** @throws FaenaError `BadOption` */
function checkHalt(value: unknown): HaltOption {
	const given = checked('map({halt})', value, HALT_CHECKS);
	for (const name of Object.keys(HALT_CHECKS)) {
		if (given[name] === undefined) throw bad(`map({halt}) expects ${name}, as in {when: 'soon', on: 'fail', at: 3}`);
	}
	return given as unknown as HaltOption;
}

export const HALT_CHECKS: Checks = {
	when: choice('now', 'soon'),
	on: choice('fail', 'success', 'done'),
	at(value) {
		if (Number.isSafeInteger(value) && (value as number) > 0) return value;
		const percent = typeof value === 'string' && /^\d+(\.\d+)?%$/.test(value) ? Number.parseFloat(value) : 0;
		if (percent > 0 && percent <= 100) return value;
		throw expected("a whole number from 1, or a percentage such as '5%'", value);
	},
};
