import type {JobUpdate, Lease, OwnerId} from '../job/claim.ts';
import {toFailure} from '../job/failure.ts';
import {claimAt, type EndedGroup, idAt, settlementsOf, sizeOf, toEndedGroup} from '../job/group.ts';
import type {JobId} from '../job/job.ts';
import type {Changes, ClaimRequest, Committed, LaneRequest, Store} from '../store/store.ts';
import type {Clock} from '../support/clock.ts';
import type {FaenaError} from '../support/errors.ts';
import type {EnqueueCall} from '../transport/messages.ts';
import {commitInParts, isRefusal, RetryState} from './retries.ts';

/** What the store refused: a write of this job, or claims of this task. Both are absent if that is not known. */
export interface Refused {
	readonly id?: JobId;
	readonly task?: string;
}

/** Hears what the store refuses. */
interface RefusalListener {
	/** A write or a lane was left out. Called once, however often the store refuses it. */
	leftOut(what: Refused, refusal: FaenaError): void;
	/** An enqueue call was refused: none of its jobs was enqueued. */
	refuse(call: number, refusal: FaenaError): void;
	/** Awaited before each transaction of a bisection. There may be thousands, and the heartbeat can't wait that long. */
	meanwhile?(): Promise<void>;
}

/**
 * Runs an owner's transactions. If the store refuses one because of a value or a row, it finds that part and leaves it out, so that all
 * others are written. If a claim reported an error but took effect, it releases the jobs of that claim.
 */
export class Commits {
	readonly #store: Store;
	readonly #owner: OwnerId;
	readonly #refused: RefusedLanes;
	readonly #listener: RefusalListener;
	/** The highest lease that a claim has returned. */
	#lastLease: Lease = 0;
	/** A claim may have committed although it reported an error. Before the next commit, leases above {@link #lastLease} are released. */
	#isInDoubt = false;

	constructor(store: Store, owner: OwnerId, clock: Pick<Clock, 'steadyMs'>, listener: RefusalListener) {
		this.#store = store;
		this.#owner = owner;
		this.#refused = new RefusedLanes(clock);
		this.#listener = listener;
	}

	/** True while some lanes are left out, or are claimed from alone. */
	get leavesLanesOut(): boolean {
		return !this.#refused.isEmpty;
	}

	/** How long until one of these lanes may be tried; `Infinity` if there are none. */
	get waitMs(): number {
		return this.#refused.waitMs;
	}

	/** The request, without the lanes that are left out now. */
	claimable(request: ClaimRequest): ClaimRequest {
		return {...request, lanes: this.#refused.claimable(request.lanes)};
	}

	/** To be called when a claim was refused. The next claims find out which lane is at fault, and leave it out for a while. */
	claimRefused({lanes}: ClaimRequest, refusal: FaenaError): void {
		const lane = this.#refused.add(lanes, refusal);
		if (lane) this.#listener.leftOut({task: lane.task}, refusal);
	}

	/** Runs one transaction. */
	async commit(writes: Writes, claim?: ClaimRequest): Promise<Committed> {
		if (this.#isInDoubt) await this.#release();
		return this.#commit({...changesOf(writes), ...(claim && {claim})});
	}

	/**
	 * Writes everything, in as many transactions as it takes to find the refused parts. A refused settlement becomes a failure of its job.
	 * @param committed gets the result of each transaction
	 * @returns the number of refusals; and, if another error stopped it, that error and the writes that are left
	 */
	async inParts(
		all: Writes,
		committed: (result: Committed, writes: Writes) => Promise<void>,
	): Promise<{readonly refusals: number; readonly stopped?: {readonly left: Writes; readonly error: unknown}}> {
		let refusals = 0;
		const stopped = await commitInParts(toParts(all), {
			commit: async parts => {
				await this.#listener.meanwhile?.();
				return this.#commit(changesOf(fromParts(parts)));
			},
			committed: (parts, result) => committed(result, fromParts(parts)),
			replace: (part, refusal) => {
				refusals++;
				const replacement = replacementOf(part, refusal);
				if (replacement.length === 0) this.#leaveOut(part, refusal);
				return replacement;
			},
		});
		return {refusals, ...(stopped && {stopped: {left: fromParts(stopped.left), error: stopped.error}})};
	}

	#leaveOut(part: CommitPart, refusal: FaenaError): void {
		if (part.type === 'enqueue') this.#listener.refuse(part.call.call, refusal);
		else this.#listener.leftOut({id: part.type === 'update' ? part.update.id : idAt(part.group.ids, 0)}, refusal);
	}

	/** Runs a transaction. A claim that reports an error may have committed, unless it was refused. */
	async #commit(changes: Changes): Promise<Committed> {
		const {claim} = changes;
		if (claim) this.#isInDoubt = true;
		try {
			const result = await this.#store.commit(changes);
			if (!claim) return result;
			this.#isInDoubt = false;
			this.#lastLease = Math.max(this.#lastLease, result.claimed.lease);
			this.#refused.clear(claim.lanes);
			return result;
		} catch (error) {
			if (claim && isRefusal(error)) this.#isInDoubt = false;
			throw error;
		}
	}

	/** Releases leases above {@link #lastLease}. Jobs that can't be released because of a damaged row stay claimed. */
	async #release(): Promise<void> {
		try {
			while ((await this.#store.release(this.#owner, {after: this.#lastLease})).hasMore);
		} catch (error) {
			if (!isRefusal(error)) throw error;
			this.#listener.leftOut({}, error);
		}
		this.#isInDoubt = false;
	}
}

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

/**
 * The lanes of a claim that the store refused because of a damaged row in one of them. From each lane is claimed alone until that succeeds.
 * A lane that is refused alone is left out for a while, and the others go on.
 */
export class RefusedLanes {
	readonly #clock: Pick<Clock, 'steadyMs'>;
	readonly #lanes = new Map<string, RetryState>();

	constructor(clock: Pick<Clock, 'steadyMs'>) {
		this.#clock = clock;
	}

	get isEmpty(): boolean {
		return this.#lanes.size === 0;
	}

	/** How long until one of them may be tried; `Infinity` if there are none. */
	get waitMs(): number {
		return Math.min(...[...this.#lanes.values()].map(({waitMs}) => waitMs));
	}

	/** The lanes for the next claim: all of them, as long as none was refused. */
	claimable(lanes: readonly LaneRequest[]): readonly LaneRequest[] {
		if (this.isEmpty) return lanes;
		const waiting = lanes.filter(lane => lane.limit > 0 && (this.#lanes.get(nameOf(lane))?.waitMs ?? 0) === 0);
		const alone = waiting.find(lane => this.#lanes.has(nameOf(lane)));
		return alone ? [alone] : waiting;
	}

	/** To be called when a claim from these lanes was refused. Returns the lane that is left out from now on; `undefined` if it has been left out before. */
	add(lanes: readonly LaneRequest[], refusal: unknown): LaneRequest | undefined {
		const asked = lanes.filter(({limit}) => limit > 0);
		for (const lane of asked) if (!this.#lanes.has(nameOf(lane))) this.#lanes.set(nameOf(lane), new RetryState(this.#clock));
		const [lane, ...others] = asked;
		const state = lane && this.#lanes.get(nameOf(lane));
		if (!state || others.length > 0) return undefined;
		state.add(refusal, Infinity);
		return state.count === 1 ? lane : undefined;
	}

	/** To be called when a claim from these lanes succeeded. */
	clear(lanes: readonly LaneRequest[]): void {
		if (!this.isEmpty) for (const lane of lanes) this.#lanes.delete(nameOf(lane));
	}
}

function nameOf({task, isQuarantined = false}: LaneRequest): string {
	return JSON.stringify([task, isQuarantined]);
}
