import {abortSignal, bad, boolean, type Checks, callable, choice, integer, text} from '../job/checks.ts';
import type {Rerun} from '../job/new-job.ts';
import {checkJobOptions, DEFAULTS} from '../job/options.ts';
import type {JobOptions} from '../job/task.ts';
import {checkHalt, type HaltOption} from './halt.ts';

export interface MapOptions<Item, Payload, Task extends string = string> extends Omit<JobOptions, 'key'> {
	/** Names the map, and makes it resumable: the same name again goes on where it was. Without it nothing is resumed. */
	readonly batch?: string;
	/** An item's name, unique within the batch (without one: per task); default: its place in the input, from 0. */
	readonly key?: (item: Item, index: number) => string;
	/** What the task gets for an item; default: the item. */
	readonly payload?: (item: Item, index: number) => Payload;
	/** `finished` (default) yields as jobs end, `input` in the order of the items. */
	readonly order?: 'input' | 'finished';
	/** Items that may be under way, from enqueued to yielded; default 4,096. The input is read no further than that. */
	readonly window?: number;
	/** Cancels what has not ended, and ends the loop with the signal's reason. */
	readonly signal?: AbortSignal;
	/**
	 * What to do with an item whose key names a job with another payload: `refuse` (default) ends the loop with `KeyConflict`;
	 * `rerun` runs that job again, with the new payload and in a new round; its old result is gone. Not while it runs: that
	 * is refused.
	 */
	readonly changed?: 'refuse' | 'rerun';
	/**
	 * What becomes of unfinished jobs of an earlier map of the batch whose items are not in the input, once that has ended:
	 * `keep` (default) lets them run like others; `cancel` cancels them; `delete` deletes them, also those that run. The map
	 * yields none of them. `progress().missing` tells how many there are.
	 */
	readonly missing?: 'keep' | 'cancel' | 'delete';
	/**
	 * Run items again that died or were cancelled in an earlier run, and at once those that wait for their next attempt; default
	 * false: what has ended is yielded as it is.
	 */
	readonly retryFailed?: boolean;
	/**
	 * Ends the map early once enough items failed or succeeded. What has not ended by then is taken back, as if it had not
	 * been enqueued, so that the same map goes on with it. The loop yields what has ended, and then throws `Halted` where
	 * failures are counted; where successes are, it just ends.
	 */
	readonly halt?: HaltOption;
	/**
	 * The most items that may die before the map is halted: `maxFailures: n` is `halt: {when: 'soon', on: 'fail', at: n + 1}`. More may have
	 * died by the time it has halted: jobs that were handed out already go on, up to two chunks (of at most 2,000 jobs, about 100 ms) for each worker.
	 */
	readonly maxFailures?: number;
	/**
	 * A task of which a job is enqueued once the batch completes: its input has ended, and so have all its jobs, here or in
	 * another process. Its payload is `{batch, counts}`. A batch that completes again, after a retry, enqueues it again.
	 */
	readonly onComplete?: Task;
}

/** The options after all defaults and checks. */
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

/** @throws FaenaError `BadOption` */
export function checkMapOptions<Item, Payload>(options: MapOptions<Item, Payload>): MapSettings<Item> {
	const given = checkJobOptions<Omit<MapOptions<Item, Payload>, keyof JobOptions>>('map()', options, MAP_CHECKS);
	const {
		batch,
		payload,
		order,
		window,
		signal,
		onComplete,
		changed,
		missing,
		retryFailed,
		halt,
		maxFailures,
		key: _,
		...jobOptions
	} = {...DEFAULTS.map, ...given};
	if (given.missing !== undefined && batch === undefined) throw bad('map() with missing expects a name for the batch, whose earlier jobs it is about');
	if (onComplete !== undefined && batch === undefined) throw bad('map() with onComplete expects a name for the batch');
	const {key} = options;
	if (halt !== undefined && maxFailures !== undefined) throw bad('map() got both halt and maxFailures; give one of them');
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
		halt: maxFailures === undefined ? halt : {when: 'soon', on: 'fail', at: maxFailures + 1},
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
	maxFailures: integer(0, Number.MAX_SAFE_INTEGER - 1),
};
