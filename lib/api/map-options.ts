import type {BatchOptions} from '../job/batch.ts';
import {abortSignal, bad, boolean, type Checks, callable, choice, integer, text} from '../job/checks.ts';
import type {Encoded} from '../job/encoding.ts';
import type {Policy} from '../job/job.ts';
import type {Rerun} from '../job/new-job.ts';
import {checkJobOptions, DEFAULTS} from '../job/options.ts';
import type {JobOptions} from '../job/task.ts';
import {checkHalt, type HaltOption} from './halt.ts';

/** Options of `map()`, besides those of its jobs. */
export interface MapOptions<Item, Payload, Task extends string = string> extends Omit<JobOptions, 'key'> {
	/** The batch: a name that makes the map resumable. A map of the same name goes on where the last one stopped. Default: no batch. */
	readonly batch?: string;
	/** An item's key, unique in the batch, or without a batch in the task; default: the item's index in the input, from 0. */
	readonly key?: (item: Item, index: number) => string;
	/** The payload for an item; default: the item. */
	readonly payload?: (item: Item, index: number) => Payload;
	/** `finished` (default) yields as jobs end, `input` in the order of the items. */
	readonly order?: 'input' | 'finished';
	/** The most items under way, from read to yielded; default 4,096. The map reads the input no further. */
	readonly window?: number;
	/** When it aborts, jobs that have not ended are cancelled, and the loop throws the signal's reason. */
	readonly signal?: AbortSignal;
	/**
	 * What to do with an item whose key belongs to a job with another payload. `refuse` (default) ends the loop with `KeyConflict`.
	 * `rerun` runs that job again in a new round, with the new payload; its old result is lost. While that job runs, it is refused.
	 */
	readonly changed?: 'refuse' | 'rerun';
	/**
	 * What to do, at the end of the input, with unfinished jobs of an earlier map of the batch whose items are not in the input.
	 * `keep` (default) lets them run; `cancel` cancels them; `delete` deletes them, running ones included. The map yields none of
	 * them. `progress().missing` is their number.
	 */
	readonly missing?: 'keep' | 'cancel' | 'delete';
	/**
	 * Runs items again that died or were cancelled in an earlier map, and at once those that wait for their next attempt. Default
	 * false: jobs that have ended are yielded as they are.
	 */
	readonly retryFailed?: boolean;
	/**
	 * Ends the map early once enough items failed or succeeded. Jobs that have not ended by then are discarded, as if they had not
	 * been enqueued, so that a later map of the batch runs them. The loop yields the jobs that have ended. Then it throws `Halted`
	 * if failures are counted, or ends if successes are counted. More jobs may die until the map has halted: workers go on with the
	 * jobs they have, up to two chunks each (of at most 2,000 jobs, about 100 ms).
	 */
	readonly halt?: HaltOption;
	/**
	 * A task. A job of it is enqueued when the batch completes: its input and all its jobs have ended, here or in another process.
	 * The job's payload is `{batch, counts}`. If the batch completes again, after a retry, another one is enqueued.
	 */
	readonly onComplete?: Task;
}

/** The options of a map after checks and defaults. */
export interface MapSettings<Item> {
	readonly batch: string | undefined;
	readonly toKey: (item: Item, index: number) => string;
	readonly hasKeys: boolean;
	readonly toPayload: (item: Item, index: number) => unknown;
	readonly order: 'input' | 'finished';
	readonly window: number;
	readonly signal: AbortSignal | undefined;
	readonly onComplete: string | undefined;
	readonly rerun: Rerun | undefined;
	readonly missing: 'keep' | 'cancel' | 'delete';
	readonly halt: HaltOption | undefined;
	readonly jobOptions: JobOptions;
}

/** A map's settings, with its task and the resolved options of its jobs. */
export interface MapPlan<Item> extends Omit<MapSettings<Item>, 'onComplete'> {
	readonly task: string;
	readonly priority: number;
	readonly runAt: number | null;
	readonly delayMs: number | undefined;
	readonly policy: Policy;
	readonly onComplete: BatchOptions['onComplete'];
	readonly encode: (payload: unknown) => Encoded;
}

/** @throws FaenaError `BadOption` */
export function checkMapOptions<Item, Payload>(options: MapOptions<Item, Payload>): MapSettings<Item> {
	const given = checkJobOptions<Omit<MapOptions<Item, Payload>, keyof JobOptions>>('map()', options, MAP_CHECKS);
	const {batch, payload, order, window, signal, onComplete, changed, missing, retryFailed, halt, key: _, ...jobOptions} = {...DEFAULTS.map, ...given};
	if (given.missing !== undefined && batch === undefined) throw bad('map() with missing expects a name for the batch, whose earlier jobs it is about');
	if (onComplete !== undefined && batch === undefined) throw bad('map() with onComplete expects a name for the batch');
	const {key} = options;
	const rerun = {changed: changed === 'rerun', failed: retryFailed};
	const reruns = rerun.changed || rerun.failed;
	if (reruns && batch === undefined && key === undefined)
		throw bad('map() with changed or retryFailed expects a batch or a key, by which to find the earlier jobs');
	return {
		batch,
		toKey: key ?? ((_item, index) => String(index)),
		hasKeys: key !== undefined || batch !== undefined,
		toPayload: payload ?? (item => item),
		order,
		window,
		signal,
		onComplete,
		rerun: reruns ? rerun : undefined,
		missing,
		halt,
		jobOptions,
	};
}

export const MAP_CHECKS: Checks = {
	batch: text,
	key: callable,
	payload: callable,
	order: choice('input', 'finished'),
	window: integer(1, 10_000_000),
	signal: abortSignal,
	onComplete: text,
	changed: choice('refuse', 'rerun'),
	missing: choice('keep', 'cancel', 'delete'),
	retryFailed: boolean,
	halt: checkHalt,
};
