import type {Reason, Verdict} from '../../freshness/messages.ts';
import {type OpenFreshness, openFreshness} from '../../freshness/open-freshness.ts';
import type {Batch} from '../../job/batch.ts';
import {type Encoded, sameValue} from '../../job/encoding.ts';
import {MAX_GROUP_JOBS} from '../../job/groups/group.ts';
import {isTerminal, type JobId, type JobStatus} from '../../job/job.ts';
import {JobBuilder} from '../../job/new-job.ts';
import {DEFAULTS} from '../../job/options.ts';
import {pages} from '../../job/search.ts';
import type {Fresh} from '../../job/task/task.ts';
import type {Store} from '../../store/store.ts';
import {HeldResults} from './held-results.ts';
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
	/** Where the jobs of earlier maps are; `undefined` if there were none. */
	readonly earlier: {readonly store: Store; readonly batch: Batch} | undefined;
	/** The URL of the tasks module. */
	readonly tasks: string;
	/** More variables of the environment in which the module is loaded. */
	readonly env: Readonly<Record<string, string>>;
	readonly task: string;
	/** @param ofTask what makes items run again by the task's own option `fresh` */
	readonly options: (ofTask: readonly Fresh[]) => MapOptions<Item, unknown>;
}

/**
 * Tells what a map would do with each item, and changes nothing. It groups and checks the items by the map's own code. Only what the map leaves to the
 * store's transaction is decided here.
 * @throws FaenaError `BadOption`, `UnknownTask`, `BadTasksModule`
 */
export async function* previewMap<Item>(
	{earlier, tasks, env, task, options}: PlannedMap<Item>,
	items: Iterable<Item> | AsyncIterable<Item>,
): AsyncGenerator<Preview<Item>> {
	const freshness = openFreshness(tasks, env);
	const held = new HeldResults();
	try {
		// Loads the module, and finds out whether it has the task.
		const ofTask = await freshness.ask('ofTask', task);
		const plan = planMap<Item>(new JobBuilder([], {}, DEFAULTS.open.maxValue), task, options(ofTask));
		let some: Item[] = [];
		let start = 0;
		for await (const item of items) {
			if (some.push(item) < MAX_GROUP_JOBS) continue;
			yield* previewGroup(plan, freshness, earlier, new ItemGroup(plan, start, some, held));
			start += some.length;
			some = [];
		}
		if (some.length > 0) yield* previewGroup(plan, freshness, earlier, new ItemGroup(plan, start, some, held));
	} finally {
		await freshness.close();
	}
}

async function* previewGroup<Item>(
	plan: MapPlan<Item>,
	freshness: OpenFreshness,
	earlier: PlannedMap<Item>['earlier'],
	group: ItemGroup<Item>,
): AsyncGenerator<Preview<Item>> {
	const payloads = group.items.map((item, offset) => plan.encode(item as Item, group.indexAt(offset)));
	const {known, stored} = earlier ? await findJobs(earlier, group, plan.group.task) : {};
	const verdicts = plan.isChecked ? await freshness.ask('check', questionOf(plan, group, payloads, {known, renewal: earlier?.batch.renewal})) : [];
	for (const [offset, item] of group.items.entries()) {
		const jobId = known?.ids[offset] ?? null;
		const status = known?.statuses[offset] ?? null;
		const before = stored?.get(jobId);
		const isOther = before !== undefined && !sameValue(before, payloads[offset] as Encoded);
		const verdict = verdicts[offset];
		const reason = verdict?.reason ?? reasonOf(status, isOther, plan.group.rerun);
		const isUnfinished = status !== null && !isTerminal(status);
		yield {key: group.keyAt(offset), item: item as Item, reason, kept: reason === null ? verdict?.kept : undefined, isUnfinished, jobId};
	}
}

/** The jobs that the items have, and by id their payloads. */
async function findJobs({store, batch}: NonNullable<PlannedMap<never>['earlier']>, group: ItemGroup<unknown>, task: string) {
	const keys = group.items.map((_, offset) => group.keyAt(offset));
	const known = await store.holders({task, batch: batch.id}, keys);
	const ids = known.ids.filter(id => id !== null);
	const stored = new Map<JobId | null, Encoded>();
	for await (const {jobs} of pages(after => store.jobs({ids}, {after, limit: MAX_GROUP_JOBS}, {values: true})))
		for (const {id, values} of jobs) stored.set(id, values?.payload ?? null);
	return {known, stored};
}

/** Why a job runs, as far as files and code don't matter. */
function reasonOf(status: JobStatus | null, isOther: boolean, rerun: MapPlan<unknown>['group']['rerun']): Reason | null {
	if (status === null) return 'new';
	if (isOther) return 'payload';
	if (!isTerminal(status)) return 'unfinished';
	return rerun?.failed && status !== 'completed' ? 'failed' : null;
}
