import type {Reason} from '../freshness/messages.ts';
import {openFreshness} from '../freshness/open-freshness.ts';
import {type Encoded, sameValue} from '../job/encoding.ts';
import {MAX_GROUP_JOBS} from '../job/group.ts';
import {isTerminal, type JobId, type JobStatus} from '../job/job.ts';
import {JobMaker} from '../job/new-job.ts';
import {DEFAULTS} from '../job/options.ts';
import {pack} from '../job/packed.ts';
import {pages} from '../job/pages.ts';
import type {Fresh} from '../job/task.ts';
import type {Store} from '../store/store.ts';
import type {Freshness} from './map-freshness.ts';
import {type MapOptions, type MapPlan, planMap} from './map-options.ts';

/** What a map would do with an item. */
export interface Preview<Item> {
	readonly key: string;
	readonly item: Item;
	/** Why its job would run; `null` if it would not. */
	readonly reason: Reason | null;
	/** True if it would not run, though other code has made its result. */
	readonly isByOtherCode: boolean;
	/** True if the job that it has is unfinished. */
	readonly isUnfinished: boolean;
	/** The job that it has. */
	readonly jobId: JobId | null;
}

/** A map that is not begun. */
export interface PlannedMap<Item> {
	/** Where earlier jobs are; `undefined` if there is no queue yet. */
	readonly store: Store | undefined;
	/** The URL of the tasks module. */
	readonly tasks: string;
	/** More variables of the environment in which the module is loaded. */
	readonly env: Readonly<Record<string, string>>;
	readonly task: string;
	/** @param ofTask what makes items run again by the task's own option `fresh` */
	readonly options: (ofTask: readonly Fresh[]) => MapOptions<Item, unknown>;
}

/**
 * Tells what a map would do with each item, and changes nothing.
 * @throws FaenaError `BadOption`, `UnknownTask`, `BadTasksModule`
 */
export async function* previewMap<Item>(
	{store, tasks, env, task, options}: PlannedMap<Item>,
	items: Iterable<Item> | AsyncIterable<Item>,
): AsyncGenerator<Preview<Item>> {
	const freshness = openFreshness(tasks, env);
	try {
		// Loads the module, and finds out whether it has the task.
		const {ofTask} = await freshness.check({task, fresh: [], retryFailed: false, payloads: []});
		const plan = planMap<Item>(new JobMaker([], {}, DEFAULTS.open.maxValueBytes), task, options(ofTask));
		let group: Item[] = [];
		let start = 0;
		for await (const item of items) {
			if (group.push(item) < MAX_GROUP_JOBS) continue;
			yield* previewGroup(store, freshness, plan, group, start);
			start += group.length;
			group = [];
		}
		yield* previewGroup(store, freshness, plan, group, start);
	} finally {
		await freshness.close();
	}
}

async function* previewGroup<Item>(
	store: Store | undefined,
	freshness: Freshness,
	{group: {task, rerun}, batch: name, fresh, isChecked, filesOf, keyOf, encode}: MapPlan<Item>,
	items: readonly Item[],
	start: number,
): AsyncGenerator<Preview<Item>> {
	if (items.length === 0) return;
	const keys = items.map((item, offset) => keyOf?.(item, start + offset) ?? `${start + offset}`);
	const payloads = items.map((item, offset) => encode(item, start + offset));
	const known = await findHolders(store, task, name, keys);
	const files = filesOf && items.map((item, offset) => filesOf(item, start + offset));
	const question = {task, fresh, retryFailed: rerun?.failed ?? false, payloads: pack(payloads), files, known};
	const checked = isChecked ? await freshness.check(question) : undefined;
	const stored = await payloadsOf(store, known?.ids ?? []);
	for (const [offset, item] of items.entries()) {
		const id = known?.ids[offset] ?? null;
		const isOther = id !== null && stored.has(id) && !sameValue(stored.get(id) as Encoded, payloads[offset] as Encoded);
		const status = known?.statuses[offset] ?? null;
		const reason = checked?.reasons[offset] ?? reasonOf(status, isOther, rerun);
		const isByOtherCode = reason === null && (checked?.byOtherCode.includes(offset) ?? false);
		yield {key: keys[offset] as string, item, reason, isByOtherCode, isUnfinished: status !== null && !isTerminal(status), jobId: id};
	}
}

/** The jobs that have these keys; `undefined` if there can be none. */
async function findHolders(store: Store | undefined, task: string, name: string | undefined, keys: readonly string[]) {
	if (!store) return undefined;
	if (name === undefined) return store.holders({task}, keys);
	const {batches} = await store.batches({name});
	return batches[0] && store.holders({task, batch: batches[0].id}, keys);
}

/** The payloads of jobs. */
async function payloadsOf(store: Store | undefined, all: readonly (JobId | null)[]): Promise<ReadonlyMap<JobId, Encoded>> {
	const ids = all.filter(id => id !== null);
	const payloads = new Map<JobId, Encoded>();
	if (!store || ids.length === 0) return payloads;
	for await (const {jobs} of pages(after => store.jobs({ids}, {after, limit: MAX_GROUP_JOBS}, {values: true})))
		for (const {id, values} of jobs) payloads.set(id, values?.payload ?? null);
	return payloads;
}

/** Why a job runs, as far as files and code don't matter. */
function reasonOf(status: JobStatus | null, isOther: boolean, rerun: MapPlan<unknown>['group']['rerun']): Reason | null {
	if (status === null) return 'new';
	if (isOther) return 'payload';
	if (!isTerminal(status)) return 'unfinished';
	return rerun?.failed && status !== 'completed' ? 'failed' : null;
}
