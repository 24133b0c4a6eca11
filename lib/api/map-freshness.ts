import type {FreshnessAnswer, FreshnessQuestion, Reason} from '../freshness/messages.ts';
import type {OpenFreshness} from '../freshness/open-freshness.ts';
import type {Encoded} from '../job/encoding.ts';
import type {BatchId, JobStatus} from '../job/job.ts';
import {pack} from '../job/packed.ts';
import type {MapPlan} from './map-options.ts';

/** Answers which items are out of date. */
export type Freshness = Pick<OpenFreshness, 'check' | 'changed'>;

/** Items that are looked at together. */
export interface CheckedItems<Item> {
	readonly items: readonly Item[];
	readonly keys: readonly string[];
	readonly payloads: readonly Encoded[];
	/** Of an item in the input. */
	readonly indexAt: (offset: number) => number;
}

/** What is known of items before they are enqueued. */
export interface Checked extends FreshnessAnswer {
	/** Of the jobs that the items have; `null` for none. */
	readonly statuses: readonly (JobStatus | null)[];
	readonly payloads: readonly Encoded[];
}

/** A key's job as it is before the map: `Store.holders`. */
type Holders = (of: {readonly task: string; readonly batch?: BatchId | undefined}, keys: readonly string[]) => Promise<FreshnessQuestionKnown>;
type FreshnessQuestionKnown = NonNullable<FreshnessQuestion['known']>;

/** Finds out which of a map's items are out of date. @param batch `undefined` for a map without a batch; `null` for a batch that has no jobs */
export async function checkItems<Item>(
	{freshness, holders}: {readonly freshness: Freshness; readonly holders: Holders},
	{group: {task, rerun}, fresh, filesOf}: MapPlan<Item>,
	batch: BatchId | null | undefined,
	{items, keys, payloads, indexAt}: CheckedItems<Item>,
): Promise<Checked> {
	const known = batch === null ? undefined : await holders({task, batch}, keys);
	const answer = await freshness.check({
		...{task, fresh, known, retryFailed: rerun?.failed ?? false},
		payloads: pack(payloads),
		files: filesOf && items.map((item, offset) => filesOf(item, indexAt(offset))),
	});
	return {...answer, statuses: known?.statuses ?? items.map(() => null), payloads};
}

/** How many items of a map are new, changed, made by other code, or kept for want of a file. */
export interface FreshCounts {
	added: number;
	changed: number;
	byOtherCode: number;
	absent: number;
}

export const NOTHING_FRESH: Readonly<FreshCounts> = {added: 0, changed: 0, byOtherCode: 0, absent: 0};

const CHANGES: ReadonlySet<Reason | null> = new Set(['payload', 'content', 'code', 'outputs', 'all']);

/** The counts of a checked group. A changed payload is not known yet. */
export function countFresh({reasons, byOtherCode, absent}: FreshnessAnswer): FreshCounts {
	const countOf = (is: (reason: Reason | null) => boolean) => reasons.filter(is).length;
	return {added: countOf(reason => reason === 'new'), changed: countOf(reason => CHANGES.has(reason)), byOtherCode: byOtherCode.length, absent: absent.length};
}
