import {bad} from '../../../internal/words.ts';

/** Where values come from: words of the command line, the lines of a file, or of stdin, whose name is `-`. */
export type Source = {readonly values: readonly string[]} | {readonly file: string};

/** Inputs of which each combination is an item, the last one changing the fastest. Those within a group are linked: first with first, and so on. */
export type SourceGroups = readonly (readonly Source[])[];

/** Words that end the options of a command. The words after them are values or files. */
const MARKS = new Set([':::', ':::+', '::::', '::::+']);

/**
 * Takes the inputs from the end of a command line, as GNU parallel does: `::: a b` are values, `:::: c d` files, and a `+` links an input to the one
 * before.
 * @throws FaenaError `BadOption`
 */
export function splitArguments(words: readonly string[]): {readonly words: readonly string[]; readonly groups: SourceGroups} {
	const first = words.findIndex(word => MARKS.has(word));
	if (first < 0) return {words, groups: []};
	const groups: Source[][] = [];
	for (let at = first; at < words.length; ) {
		const mark = words[at] as string;
		const next = words.findIndex((word, index) => index > at && MARKS.has(word));
		const values = words.slice(at + 1, next < 0 ? undefined : next);
		addSources(groups, mark, values);
		at += 1 + values.length;
	}
	return {words: words.slice(0, first), groups};
}

function addSources(groups: Source[][], mark: string, values: readonly string[]): void {
	const sources: readonly Source[] = mark.startsWith('::::') ? values.map(file => ({file})) : [{values}];
	if (sources.length === 0) throw bad(`${mark} expects names of files, or - for stdin; none follows.`);
	if (!mark.endsWith('+')) groups.push(...sources.map(source => [source]));
	else if (groups.length === 0) throw bad(`${mark} links an input to the one before, but there is none. Begin with ::: or ::::.`);
	else groups.at(-1)?.push(...sources);
}
