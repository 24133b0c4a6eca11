import type {Reason, Verdict} from '../../freshness/messages.ts';
import {type OpenFreshness, openFreshness} from '../../freshness/open-freshness.ts';
import {type Encoded, sameValue} from '../../job/encoding.ts';
import {MAX_GROUP_JOBS} from '../../job/groups/group.ts';
import {isTerminal, type JobId, type JobStatus} from '../../job/job.ts';
import {JobMaker} from '../../job/new-job.ts';
import {DEFAULTS} from '../../job/options.ts';
import {pages} from '../../job/search.ts';
import type {Fresh} from '../../job/task.ts';
import type {Store} from '../../store/store.ts';
import {questionOf} from './map-freshness.ts';
import {ItemGroup} from './map-items.ts';
import {type MapOptions, type MapPlan, planMap} from './map-options.ts';

/** What a map would do with an item. */
export interface Preview<Item> extends Pick<Verdict, 'reason' | 'kept'> {
	readonly key: string;
	readonly item: Item;
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
		const ofTask = await freshness.ask('ofTask', task);
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
	freshness: OpenFreshness,
	plan: MapPlan<Item>,
	items: readonly Item[],
	start: number,
): AsyncGenerator<Preview<Item>> {
	if (items.length === 0) return;
	const {group, batch: name, isChecked, keyOf, encode} = plan;
	const keys = items.map((item, offset) => keyOf?.(item, start + offset) ?? `${start + offset}`);
	const payloads = items.map((item, offset) => encode(item, start + offset));
	const {known, renewal} = await findHolders(store, group.task, name, keys);
	const verdicts = isChecked ? await freshness.ask('check', questionOf(plan, new ItemGroup(start, items, keys, undefined), payloads, {known, renewal})) : [];
	const stored = await payloadsOf(store, known?.ids ?? []);
	for (const [offset, item] of items.entries()) {
		const id = known?.ids[offset] ?? null;
		const isOther = id !== null && stored.has(id) && !sameValue(stored.get(id) as Encoded, payloads[offset] as Encoded);
		const status = known?.statuses[offset] ?? null;
		const verdict = verdicts[offset];
		const reason = verdict?.reason ?? reasonOf(status, isOther, group.rerun);
		const kept = reason === null ? verdict?.kept : undefined;
		yield {key: keys[offset] as string, item, reason, kept, isUnfinished: status !== null && !isTerminal(status), jobId: id};
	}
}

/** The jobs that have these keys, if there can be some; and whether a map of all items goes on. */
async function findHolders(store: Store | undefined, task: string, name: string | undefined, keys: readonly string[]) {
	const [batch] = store && name !== undefined ? (await store.batches({name})).batches : [];
	const known = store && (name === undefined || batch) ? await store.holders({task, batch: batch?.id}, keys) : undefined;
	return {known, renewal: batch?.renewal};
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
