import type {FreshnessQuestion, Verdict} from '../../freshness/messages.ts';
import type {Encoded} from '../../job/encoding.ts';
import {pack} from '../../job/groups/packed.ts';
import type {ItemGroup} from './map-items.ts';
import type {MapPlan} from './map-options.ts';

/** What is asked of a map's items before they are enqueued. */
export function questionOf<Item>(
	{group: {task, rerun}, fresh, filesOf}: MapPlan<Item>,
	group: ItemGroup<Item>,
	payloads: readonly Encoded[],
	{known, renewal}: Pick<FreshnessQuestion, 'known' | 'renewal'>,
): FreshnessQuestion {
	const files = filesOf && group.items.map((item, offset) => filesOf(item as Item, group.indexAt(offset)));
	return {task, fresh, retryFailed: rerun?.failed ?? false, renewal, payloads: pack(payloads), files, known};
}

/** How many items of a map are new, changed, made by other code, or kept for want of a file. */
export const NOTHING_FRESH = {added: 0, changed: 0, byOtherCode: 0, absent: 0};

/** As what an item counts: by the reason why its job runs, or why it is kept. Unfinished and failed items have not changed. */
const COUNTED: Partial<Record<NonNullable<Verdict['reason' | 'kept']>, keyof typeof NOTHING_FRESH>> = {
	...({new: 'added', payload: 'changed', content: 'changed', code: 'changed', outputs: 'changed', all: 'changed'} as const),
	...({byOtherCode: 'byOtherCode', absent: 'absent'} as const),
};

/** Counts items. A changed payload is not known yet. */
export function countFresh(counts: typeof NOTHING_FRESH, verdicts: readonly Pick<Verdict, 'reason' | 'kept'>[]): void {
	for (const {reason, kept} of verdicts) {
		const counted = COUNTED[reason ?? kept ?? 'unfinished'];
		if (counted) counts[counted]++;
	}
}
