import type {Lease, OwnerId} from '../job/claim.ts';
import {idAt} from '../job/group.ts';
import type {JobId} from '../job/job.ts';
import type {Changes, ClaimRequest, Committed, Store} from '../store/store.ts';
import type {Clock} from '../support/clock.ts';
import type {FaenaError} from '../support/errors.ts';
import {commitInParts, isRefusal} from './bisection.ts';
import {type CommitPart, changesOf, fromParts, replacementOf, toParts, type Writes} from './commit-parts.ts';
import {RefusedLanes} from './refused-lanes.ts';

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
