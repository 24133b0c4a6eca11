import {decode, type Encoded} from './encoding.ts';
import {fromFailure} from './failure.ts';
import type {ClaimedGroup, ParentResults} from './groups/group.ts';
import {unpack} from './groups/packed.ts';
import type {ParentOutcome} from './parents.ts';
import type {ResultsOfParents} from './value-tree.ts';

/** Parents of one job: `count` of `results`, from the index `from` on. */
interface ParentRange {
	readonly results: Omit<ParentResults, 'values'> & {readonly values: readonly Encoded[]};
	readonly from: number;
	readonly count: number;
}

/** The parents of one job, in the order of its `dependsOn`. */
export type ParentsOfJob = readonly ParentRange[];

/** By index, the parents of the group's jobs that have some. */
export function listParents({parents = []}: Pick<ClaimedGroup, 'parents'>): ReadonlyMap<number, ParentsOfJob> {
	const listed = new Map<number, ParentRange[]>();
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
	return (start, count, onlyCompleted = false) => {
		const found = partsIn(parents, start, count ?? 1).flatMap(({results: {values, others}, from, count: own}) => {
			const isCompleted = (_: Encoded, offset: number) => !others?.has(from + offset);
			const wanted = values.slice(from, from + own);
			if (onlyCompleted) return wanted.filter(isCompleted).map(value => decode(value));
			return wanted.map((value, offset) => (isCompleted(value, offset) ? decode(value) : undefined));
		});
		return count === null ? found[0] : found;
	};
}

/** Of the parents, so many from this one on. */
function partsIn(parents: ParentsOfJob, start: number, count: number): ParentRange[] {
	const parts: ParentRange[] = [];
	let before = 0;
	for (const {results, from, count: own} of parents) {
		const [first, end] = [Math.max(0, start - before), Math.min(own, start + count - before)];
		if (first < end) parts.push({results, from: from + first, count: end - first});
		before += own;
	}
	return parts;
}
