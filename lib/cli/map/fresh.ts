/** What makes `faena map` run items again: its flag `--fresh`, and what it tells about that. */
import {InvalidArgumentError} from 'commander';
import type {MapProgress} from '../../index.ts';
import type {Fresh} from '../../internal/words.ts';
import {count} from '../terminal/print.ts';
import type {Item} from './inputs/items.ts';
import type {Input} from './inputs/open-input.ts';

const CHOICES = ['payload', 'content', 'code', 'all', 'never'] as const;

export type FreshFlag = (typeof CHOICES)[number];

export const FRESH_HELP =
	'what makes an item run again: content of its files, code of the task, payload (other values under the same --key), all, or never; several with commas between (default: content of globs, payload of other inputs, and what the task itself names)';

export function toFresh(text: string): readonly FreshFlag[] {
	const all = text.split(',').map(each => each.trim()) as FreshFlag[];
	if (all.every(each => CHOICES.includes(each)) && (all.length === 1 || !all.includes('never'))) return all;
	throw new InvalidArgumentError(`It is one of ${CHOICES.join(', ')}, or several of the first four with commas between.`);
}

/** The options of the map. Of files the content counts, too, unless the flag leaves it out. @param ofTask the task's own option, for want of the flag */
export function freshnessOf(
	given: readonly FreshFlag[] | undefined,
	ofTask: readonly Fresh[],
	{filesOf: ofGlobs, filesAmong}: Pick<Input, 'filesOf' | 'filesAmong'>,
	folder: string,
): {readonly fresh: readonly Fresh[]; readonly files?: (item: Item) => readonly string[]} {
	const filesOf = ofGlobs ?? (filesAmong && given?.includes('content') ? (item: Item) => filesAmong(item, folder) : undefined);
	const named = (given ?? [...ofTask, filesOf ? 'content' : 'payload']).filter(each => each !== 'never');
	// Also if the content does not count now, it is noted, so that it may count in a later run.
	const counts = filesOf && named.some(each => each !== 'payload') ? 'content' : 'payload';
	return {fresh: [...new Set<Fresh>([counts, ...named])], ...(filesOf && {files: filesOf})};
}

/** How many items of a run each sentence is about. */
interface Told extends Pick<MapProgress, 'reused' | 'changed' | 'added' | 'gone' | 'byOtherCode' | 'absent'> {
	/** Those that run, or that have run. */
	readonly runs: number;
}

/**
 * For instance `5,210 unchanged (4,100 made by older code: --fresh code), 12 changed, 3 new, 1 gone`; empty if no earlier run is known.
 * What runs and has neither changed nor is new, an earlier run had left unfinished, or failed.
 */
export function describeFresh({reused, changed, added, gone, byOtherCode, absent, runs}: Told): string {
	if (reused + changed + gone === 0) return '';
	const older = byOtherCode > 0 ? ` (${count(byOtherCode)} made by older code: --fresh code)` : '';
	const others = {
		changed,
		new: added,
		'left by an earlier run': runs - changed - added,
		gone,
		'kept without their files': absent,
	};
	const told = Object.entries(others).map(([what, items]) => items > 0 && `${count(items)} ${what}`);
	return [`${count(reused - absent)} unchanged${older}`, ...told].filter(Boolean).join(', ');
}
