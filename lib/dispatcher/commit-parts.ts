import {toFailure} from '../job/failure.ts';
import {claimAt, type EndedGroup, settlementsOf, sizeOf, toEndedGroup} from '../job/group.ts';
import type {JobUpdate} from '../job/outcome.ts';
import type {Changes} from '../store/store.ts';
import type {FaenaError} from '../support/errors.ts';
import type {EnqueueCall} from '../transport/messages.ts';

type NumberedCall = EnqueueCall & {readonly call: number};

/** What a transaction writes, besides its claims. */
export interface Writes {
	readonly updates: readonly JobUpdate[];
	readonly settle: readonly EndedGroup[];
	readonly enqueues: readonly NumberedCall[];
}

export const NO_WRITES: Writes = {updates: [], settle: [], enqueues: []};

/** A part of a transaction. It can be written without the other parts, but not before the parts in front of it. */
export type CommitPart =
	| {readonly type: 'update'; readonly update: JobUpdate}
	/** `isReplacement`: this failure replaces the true outcome, which the store refused. */
	| {readonly type: 'settle'; readonly group: EndedGroup; readonly isReplacement?: true}
	| {readonly type: 'enqueue'; readonly call: NumberedCall};

/** The parts, in the order in which a transaction writes them. */
export function toParts({updates, settle, enqueues}: Writes): CommitPart[] {
	const {parents = [], others = []} = Object.groupBy(settle, group => (enqueuesJobs(group) ? 'parents' : 'others'));
	return [
		...updates.map(update => ({type: 'update', update}) as const),
		...[...others, ...parents].map(group => ({type: 'settle', group}) as const),
		...enqueues.map(call => ({type: 'enqueue', call}) as const),
	];
}

export function fromParts(parts: readonly CommitPart[]): Writes {
	return {
		updates: parts.flatMap(part => (part.type === 'update' ? [part.update] : [])),
		settle: parts.flatMap(part => (part.type === 'settle' ? [part.group] : [])),
		enqueues: parts.flatMap(part => (part.type === 'enqueue' ? [part.call] : [])),
	};
}

export function changesOf({updates, settle, enqueues}: Writes): Changes {
	return {update: updates, settle, enqueue: enqueues.map(({group}) => group)};
}

/**
 * The replacement of a part that the store refuses by itself. A group is replaced by its jobs, one by one. The outcome of a single job is
 * replaced by a failure with the refusal as its error, without times, since these may be the reason. Any other part is left out.
 */
export function replacementOf(part: CommitPart, refusal: FaenaError): CommitPart[] {
	if (part.type !== 'settle' || part.isReplacement) return [];
	const {group} = part;
	if (sizeOf(group) > 1) return [...settlementsOf(group)].map(each => ({type: 'settle', group: toEndedGroup([each])}));
	const failed = toEndedGroup([{...claimAt(group, 0), outcome: {type: 'threw', error: toFailure(refusal)}}]);
	return [{type: 'settle', group: failed, isReplacement: true}];
}

/** True if some of the group's executions enqueue jobs. */
export function enqueuesJobs({endings}: EndedGroup): boolean {
	for (const ending of endings?.values() ?? []) if (ending.type === 'returned' && ending.enqueue) return true;
	return false;
}
