import type {Lease, OwnerId} from '../job/claim.ts';
import type {JobId} from '../job/job.ts';
import type {Settlement} from '../job/outcome.ts';
import type {Demand, JobQueue, Turn, TurnResult} from '../store/store.ts';
import type {Clock} from '../support/clock.ts';
import type {FaenaError} from '../support/errors.ts';
import {commitInParts, isRefusal} from './bisection.ts';
import {RefusedLanes} from './refused-lanes.ts';
import {fromParts, insteadOf, type TurnPart, toParts, turnOf, type Written} from './turn-parts.ts';

/** What was refused: a write of this job, or the dequeues of this task. Neither is set if that is not known. */
export interface Refused {
	readonly id?: JobId;
	readonly task?: string;
}

/** Is told what the store refuses. */
export interface RefusalListener {
	/** Something was left out. Called once, however often the store refuses it. */
	leftOut(what: Refused, refusal: FaenaError): void;
	/** An enqueue call was refused: none of its jobs was enqueued. */
	refuse(call: number, refusal: FaenaError): void;
	/** Awaited before each transaction that looks for what is refused. There may be thousands, and the heartbeat can't wait that long. */
	meanwhile?(): Promise<void>;
}

/**
 * Runs an owner's transactions. It finds what the store refuses because of a value or a row and leaves that out, so that everything
 * else is written. If a dequeue reports an error but took effect, it gives the jobs of that dequeue back.
 */
export class Turns {
	readonly #queue: JobQueue;
	readonly #owner: OwnerId;
	readonly #refused: RefusedLanes;
	readonly #listener: RefusalListener;
	/** The highest lease that a dequeue has returned. */
	#lastLease: Lease = 0;
	/** A dequeue may have committed although it reported an error. Leases above the last one are given back before the next turn. */
	#isInDoubt = false;

	constructor(queue: JobQueue, owner: OwnerId, clock: Pick<Clock, 'steadyMs'>, listener: RefusalListener) {
		this.#queue = queue;
		this.#owner = owner;
		this.#refused = new RefusedLanes(clock);
		this.#listener = listener;
	}

	/** True while lanes rest or are asked alone. */
	get leavesLanesOut(): boolean {
		return !this.#refused.isEmpty;
	}

	/** How long until one of those may be asked; `Infinity` if there are none. */
	get restMs(): number {
		return this.#refused.restMs;
	}

	/** The demand, without the lanes that are not to be asked now. */
	askable(demand: Demand): Demand {
		return {...demand, tasks: this.#refused.askable(demand.tasks)};
	}

	/** Call this when a dequeue was refused: the next demands find out which lane is at fault, and it rests. */
	dequeueRefused({tasks}: Demand, refusal: FaenaError): void {
		const lane = this.#refused.add(tasks, refusal);
		if (lane) this.#listener.leftOut({task: lane.task}, refusal);
	}

	/** Runs one transaction. */
	async turn(written: Written, demand?: Demand): Promise<TurnResult> {
		if (this.#isInDoubt) await this.#giveBack();
		return this.#commit({...turnOf(written), ...(demand && {dequeue: demand})});
	}

	/**
	 * Writes everything, in as many transactions as it takes to find what is refused. A refused settlement becomes a failure of its job.
	 * @param committed gets the result of each transaction
	 * @returns the number of refusals; and, if another error ended it, that error and what was not written
	 */
	async inParts(
		all: Written,
		committed: (result: TurnResult, written: Written) => Promise<void>,
	): Promise<{readonly refusals: number; readonly stopped?: {readonly left: Written; readonly error: unknown}}> {
		let refusals = 0;
		const stopped = await commitInParts(toParts(all), {
			commit: async parts => {
				await this.#listener.meanwhile?.();
				return this.#commit(turnOf(fromParts(parts)));
			},
			committed: (parts, result) => committed(result, fromParts(parts)),
			instead: (part, refusal) => {
				refusals++;
				const instead = insteadOf(part, refusal);
				if (instead.length === 0) this.#leaveOut(part, refusal);
				return instead;
			},
		});
		return {refusals, ...(stopped && {stopped: {left: fromParts(stopped.left), error: stopped.error}})};
	}

	#leaveOut(part: TurnPart, refusal: FaenaError): void {
		if (part.type === 'enqueue') this.#listener.refuse(part.call.call, refusal);
		else this.#listener.leftOut({id: (part.type === 'note' ? part.note : (part.settling as Settlement)).id}, refusal);
	}

	/** A dequeue that reports an error may have committed, unless it was refused. */
	async #commit(turn: Turn): Promise<TurnResult> {
		const {dequeue} = turn;
		if (dequeue) this.#isInDoubt = true;
		try {
			const result = await this.#queue.turn(turn);
			if (!dequeue) return result;
			this.#isInDoubt = false;
			this.#lastLease = Math.max(this.#lastLease, result.dequeued.lease);
			this.#refused.clear(dequeue.tasks);
			return result;
		} catch (error) {
			if (dequeue && isRefusal(error)) this.#isInDoubt = false;
			throw error;
		}
	}

	/** Jobs that damaged rows keep from being given back stay claimed. */
	async #giveBack(): Promise<void> {
		try {
			await this.#queue.giveBack(this.#owner, this.#lastLease);
		} catch (error) {
			if (!isRefusal(error)) throw error;
			this.#listener.leftOut({}, error);
		}
		this.#isInDoubt = false;
	}
}
