import {decode, type Encoded} from './encoding.ts';
import {fromFailure} from './failure.ts';
import type {ClaimedGroup, ParentResults} from './group.ts';
import {unpack} from './packed.ts';
import type {ParentOutcome} from './task.ts';
import type {ResultsOfParents} from './value-tree.ts';

/** Parents of one job: `count` of `results`, from the index `from` on. */
interface ParentsPart {
	readonly results: Omit<ParentResults, 'values'> & {readonly values: readonly Encoded[]};
	readonly from: number;
	readonly count: number;
}

/** The parents of one job, in the order of its `dependsOn`. */
export type ParentsOfJob = readonly ParentsPart[];

/** By index, the parents of the group's jobs that have some. */
export function listParents({parents = []}: Pick<ClaimedGroup, 'parents'>): ReadonlyMap<number, ParentsOfJob> {
	const listed = new Map<number, ParentsPart[]>();
	for (const packed of parents) {
		const results = {...packed, values: unpack(packed.values)};
		const {start, end, isEach, values} = results;
		for (let index = start; index < end; index++) {
			const part = isEach ? {results, from: index - start, count: 1} : {results, from: 0, count: values.length};
			const others = listed.get(index);
			if (others) others.push(part);
			else listed.set(index, [part]);
		}
	}
	return listed;
}

/** What became of each parent. */
export function outcomesOf(parents: ParentsOfJob): ParentOutcome[] {
	return parents.flatMap(({results: {first, values, others}, from, count}) =>
		values.slice(from, from + count).map((value, offset): ParentOutcome => {
			const [id, other] = [first + from + offset, others?.get(from + offset)];
			if (!other) return {id, status: 'completed', result: decode(value)};
			return {id, status: other.status, ...(other.error && {error: fromFailure(other.error)})};
		}),
	);
}

/** Reads results for a payload that is made of them. That of a parent that did not complete is `undefined`. */
export function readerOf(parents: ParentsOfJob): ResultsOfParents {
	return (start, count) => {
		const found: unknown[] = [];
		let [skipped, wanted] = [start, count ?? 1];
		for (const {results, from, count: own} of parents) {
			for (let offset = Math.min(skipped, own); offset < own && wanted > 0; offset++, wanted--) {
				const index = from + offset;
				found.push(results.others?.has(index) ? undefined : decode(results.values[index] ?? null));
			}
			skipped = Math.max(0, skipped - own);
		}
		return count === null ? found[0] : found;
	};
}
