import {toFailure} from '../job/failure.ts';
import type {Note} from '../job/outcome.ts';
import {expandSettling, isReturnedRun, type Settling} from '../job/runs.ts';
import type {Turn} from '../store/store.ts';
import type {FaenaError} from '../support/errors.ts';
import type {EnqueueCall} from '../transport/messages.ts';
import {toNewJobs} from './clients.ts';

type NumberedCall = EnqueueCall & {readonly call: number};

/** What a turn writes down. */
export interface Written {
	readonly settle: readonly Settling[];
	readonly notes: readonly Note[];
	readonly enqueues: readonly NumberedCall[];
}

export const NOTHING_WRITTEN: Written = {settle: [], notes: [], enqueues: []};

/** A part of a turn. It can be written without the others, but only after those that come before it. */
export type TurnPart =
	| {readonly type: 'note'; readonly note: Note}
	/** `isInstead`: this failure replaces the true outcome, which the store refuses. */
	| {readonly type: 'settle'; readonly settling: Settling; readonly isInstead?: true}
	| {readonly type: 'enqueue'; readonly call: NumberedCall};

/** The parts, in the order in which a turn writes them. */
export function toParts({settle, notes, enqueues}: Written): TurnPart[] {
	const {makers = [], others = []} = Object.groupBy(settle, each => (makesJobs(each) ? 'makers' : 'others'));
	return [
		...notes.map(note => ({type: 'note', note}) as const),
		...[...others, ...makers].map(settling => ({type: 'settle', settling}) as const),
		...enqueues.map(call => ({type: 'enqueue', call}) as const),
	];
}

export function fromParts(parts: readonly TurnPart[]): Written {
	return {
		settle: parts.flatMap(part => (part.type === 'settle' ? [part.settling] : [])),
		notes: parts.flatMap(part => (part.type === 'note' ? [part.note] : [])),
		enqueues: parts.flatMap(part => (part.type === 'enqueue' ? [part.call] : [])),
	};
}

export function turnOf({settle, notes, enqueues}: Written): Turn {
	return {settle, notes, enqueue: toNewJobs(enqueues)};
}

/**
 * What to write instead of a part that the store refuses even alone. A run is replaced by its jobs, one by one. A job's outcome is
 * replaced by a failure with the refusal as its error; times are left out, since they may be what is refused. Anything else is left out.
 */
export function insteadOf(part: TurnPart, refusal: FaenaError): TurnPart[] {
	if (part.type !== 'settle' || part.isInstead) return [];
	const {settling} = part;
	if (isReturnedRun(settling)) return expandSettling([settling]).map(each => ({type: 'settle', settling: each}));
	const {id, lease, execution} = settling;
	return [{type: 'settle', settling: {id, lease, execution, outcome: {type: 'threw', error: toFailure(refusal)}}, isInstead: true}];
}

export function makesJobs(settling: Settling): boolean {
	return 'outcome' in settling && settling.outcome.type === 'returned' && settling.outcome.enqueue !== undefined;
}
