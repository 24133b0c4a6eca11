/** What makes `faena map` run items again: its flag `--fresh`, what it tells about that, and `--dry-run`. */
import {InvalidArgumentError} from 'commander';
import {type PlannedMap, type Preview, previewMap} from '../api/map-preview.ts';
import {queueExists} from '../api/queue-location.ts';
import type {Fresh, JobId, MapProgress} from '../index.ts';
import {NO_JOBS} from '../job/job.ts';
import type {JobQueue} from '../queue.ts';
import {useQueue} from './input.ts';
import type {Item} from './inputs/items.ts';
import {count, print, printError, toJson} from './print.ts';

const CHOICES = ['payload', 'content', 'code', 'all', 'never'] as const;

export type FreshFlag = (typeof CHOICES)[number];

export const FRESH_HELP =
	'what makes an item run again: content (of its file, and of those that the task names), code (of the task), payload (other values of --key), all, or never; several with commas between (default: content of globs, payload of other inputs)';

export function toFresh(text: string): readonly FreshFlag[] {
	const all = text.split(',').map(each => each.trim()) as FreshFlag[];
	if (all.every(each => CHOICES.includes(each)) && (all.length === 1 || !all.includes('never'))) return all;
	throw new InvalidArgumentError(`It is one of ${CHOICES.join(', ')}, or several of the first four with commas between.`);
}

/**
 * The options of the map. Of files the content counts, too, unless the flag leaves it out.
 * @param filesOf the paths of an item's files, if globs have named them
 */
export function freshnessOf(
	given: readonly FreshFlag[] | undefined,
	filesOf: ((item: Item) => readonly string[]) | undefined,
): {readonly fresh: readonly Fresh[]; readonly files?: (item: Item) => readonly string[]} {
	const named = (given ?? (filesOf ? ['content'] : ['payload'])).filter(each => each !== 'never');
	if (!filesOf || named.every(each => each === 'payload')) return {fresh: [...new Set<Fresh>(['payload', ...named])]};
	return {fresh: [...new Set<Fresh>(['content', ...named])], files: filesOf};
}

/** For instance `5,210 unchanged (4,100 made by older code: --fresh code), 12 changed, 3 new, 1 gone`; empty if no earlier run is known. */
export function describeFresh({
	reused,
	changed,
	added,
	gone,
	byOtherCode,
}: Omit<MapProgress, 'read' | 'total' | 'completed' | 'dead' | 'cancelled' | 'missing'>): string {
	if (reused + changed + gone === 0) return '';
	const older = byOtherCode > 0 ? ` (${count(byOtherCode)} made by older code: --fresh code)` : '';
	const others = [changed > 0 && `${count(changed)} changed`, added > 0 && `${count(added)} new`, gone > 0 && `${count(gone)} gone`];
	return [`${count(reused)} unchanged${older}`, ...others].filter(Boolean).join(', ');
}

/** Prints a line of JSON for each item that would run, with the reason, and a summary. Changes nothing. */
export async function printPreview(file: string, planned: Omit<PlannedMap<Item>, 'store'>, items: Iterable<Item> | AsyncIterable<Item>): Promise<void> {
	const look = async (queue?: JobQueue) => {
		const told = new Told();
		for await (const preview of previewMap({...planned, store: queue?.store}, items)) {
			told.add(preview);
			const {key, reason} = preview;
			if (reason !== null) await print(`${toJson({key, reason})}\n`);
		}
		const batch = await queue?.batch(planned.options.batch as string);
		printError(told.describe(Object.values(batch?.counts ?? NO_JOBS).reduce((sum, jobs) => sum + jobs, 0)));
	};
	await ((await queueExists(file)) ? useQueue(file, look, {readOnly: true}) : look());
}

/** How an item that would run is counted. Unfinished and failed items have not changed. */
const KINDS: Readonly<Record<Exclude<Preview<Item>['reason'], null>, 'added' | 'changed' | 'others'>> = {
	...({new: 'added', unfinished: 'others', failed: 'others'} as const),
	...({payload: 'changed', content: 'changed', code: 'changed', outputs: 'changed', all: 'changed'} as const),
};

/** What a preview has told. */
class Told {
	readonly #counts = {reused: 0, changed: 0, added: 0, others: 0, byOtherCode: 0};
	/** The jobs that the items have. */
	readonly #jobs = new Set<JobId>();

	add({reason, isByOtherCode, jobId}: Preview<Item>): void {
		if (jobId !== null) this.#jobs.add(jobId);
		this.#counts[reason === null ? 'reused' : KINDS[reason]]++;
		if (isByOtherCode) this.#counts.byOtherCode++;
	}

	/** @param before the number of jobs of earlier runs */
	describe(before: number): string {
		const {reused, changed, added, others} = this.#counts;
		const runs = changed + added + others;
		const what = describeFresh({...this.#counts, gone: before - this.#jobs.size});
		return `Would run ${count(runs)} of ${count(runs + reused)}${what && `: ${what}`}.`;
	}
}
