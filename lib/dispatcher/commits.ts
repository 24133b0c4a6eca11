import type {Lease, Settlement} from '../job/claim.ts';
import {toFailure} from '../job/failure.ts';
import {withOnDead} from '../job/groups/dead-jobs.ts';
import {type EndedGroup, idAt, type RunningUpdate, sizeOf} from '../job/groups/group.ts';
import {settlementsOf, toEndedGroup} from '../job/groups/single-jobs.ts';
import type {ClaimRequest, Committed, LaneRequest} from '../store/store.ts';
import type {Clock} from '../support/clock.ts';
import type {FaenaError} from '../support/errors.ts';
import {trace} from '../support/trace.ts';
import type {Clients, NumberedCall} from './clients.ts';
import type {Context} from './context.ts';
import {isRefusal, RetryState} from './retries.ts';
import {traceCommit, traceFailure} from './trace.ts';
import type {Writes} from './waiting-writes.ts';

interface CommitsContext extends Pick<Context, 'store' | 'owner'> {
	readonly clock: Pick<Clock, 'steadyMs'>;
	readonly clients: Pick<Clients, 'refused' | 'refuse'>;
	/** Awaited before each transaction of {@link Commits.inParts}. There may be thousands, and the heartbeat can't wait that long. */
	maintain?(): Promise<void>;
}

/** Runs an owner's transactions. Leaves out what the store refuses, and releases the jobs of a claim that reported an error but took effect. */
export class Commits {
	readonly #context: CommitsContext;
	/** The lanes of refused claims: a row in one of them is damaged. From each is claimed alone until that succeeds. */
	readonly #refusedLanes = new Map<string, RetryState>();
	#lastLease: Lease = 0;
	/** A claim that reports an error may have committed, unless it was refused. Before the next commit, leases above {@link #lastLease} are released. */
	#isInDoubt = false;

	constructor(context: CommitsContext) {
		this.#context = context;
	}

	/** True while some lanes are left out, or are claimed from alone. */
	get leavesLanesOut(): boolean {
		return this.#refusedLanes.size > 0;
	}

	/** How long until one of these lanes may be tried; `Infinity` if there are none. */
	get waitMs(): number {
		return Math.min(...this.#refusedLanes.values().map(({waitMs}) => waitMs));
	}

	/** The request, without the lanes that are left out now. */
	claimable(request: ClaimRequest): ClaimRequest {
		if (!this.leavesLanesOut) return request;
		const lanes = request.lanes.filter(lane => lane.limit > 0 && !this.#refusedLanes.get(nameOf(lane))?.waitMs);
		const alone = lanes.find(lane => this.#refusedLanes.has(nameOf(lane)));
		return {...request, lanes: alone ? [alone] : lanes};
	}

	/** After a claim was refused. The next claims find out which lane is at fault, and leave it out for a while. */
	claimRefused({lanes}: ClaimRequest, refusal: FaenaError): void {
		const asked = lanes.filter(({limit}) => limit > 0);
		for (const lane of asked) {
			const state = this.#refusedLanes.get(nameOf(lane)) ?? new RetryState(this.#context.clock);
			this.#refusedLanes.set(nameOf(lane), state);
			if (asked.length > 1) continue;
			state.add(refusal);
			if (state.count === 1) this.#context.clients.refused({task: lane.task}, refusal);
		}
	}

	async commit(writes: Writes, claim?: ClaimRequest, why = 'a refusal'): Promise<Committed> {
		if (this.#isInDoubt) await this.#release();
		this.#isInDoubt = claim !== undefined;
		const {updates, settle, enqueues} = writes;
		const begunAt = this.#context.clock.steadyMs();
		try {
			const changes = {update: updates, settle, enqueue: enqueues.map(({group}) => group)};
			const result = await this.#context.store.commit(claim ? {...changes, claim} : changes);
			if (trace) traceCommit(result, writes, this.#context.clock.steadyMs() - begunAt, why);
			this.#isInDoubt = false;
			this.#lastLease = Math.max(this.#lastLease, result.claimed.lease);
			if (claim && this.leavesLanesOut) for (const lane of claim.lanes) this.#refusedLanes.delete(nameOf(lane));
			return result;
		} catch (error) {
			if (trace) traceFailure(error, this.#context.clock.steadyMs() - begunAt, why);
			if (isRefusal(error)) this.#isInDoubt = false;
			throw error;
		}
	}

	/** Releases leases above {@link #lastLease}. Jobs that can't be released because of a damaged row stay claimed. */
	async #release(): Promise<void> {
		const {store, owner, clients} = this.#context;
		try {
			while ((await store.release(owner, {after: this.#lastLease})).hasMore);
		} catch (error) {
			if (!isRefusal(error)) throw error;
			clients.refused({}, error);
		}
		this.#isInDoubt = false;
	}

	/**
	 * Writes everything, in as many transactions as it takes to find the refused parts: it splits parts that are refused together into halves,
	 * until each refused part is alone. Replacements of refused parts come last and together, so that thousands don't take a commit each.
	 * @param committed gets the result of each transaction. If it throws, nothing more is written
	 * @returns the number of refusals; and, if another error stopped it, that error and the writes that are left
	 */
	async inParts(
		all: Writes,
		committed: (result: Committed, writes: Writes) => Promise<void>,
	): Promise<{readonly refusals: number; readonly stopped?: {readonly left: Writes; readonly error: unknown}}> {
		/** A stack: the next parts are the last ones. */
		const stack = [toSingleWrites(all)];
		const replacements: SingleWrite[] = [];
		for (let refusals = 0; ; ) {
			const parts = stack.pop() ?? replacements.splice(0);
			const [part] = parts;
			if (!part) return {refusals};
			const writes = joinWrites(parts);
			let result: Committed;
			try {
				await this.#context.maintain?.();
				result = await this.commit(writes);
			} catch (error) {
				if (!isRefusal(error)) return {refusals, stopped: {left: joinWrites([parts, ...stack.toReversed(), replacements].flat()), error}};
				const half = Math.ceil(parts.length / 2);
				if (parts.length > 1) stack.push(parts.slice(half), parts.slice(0, half));
				else {
					refusals++;
					replacements.push(...this.#replace(part, error));
				}
				continue;
			}
			await committed(result, writes);
		}
	}

	/** In place of a refused group its jobs, one by one; of a single job a failure, without times, which may be the reason; of anything else nothing. */
	#replace({update, group, call, isReplacement}: SingleWrite, refusal: FaenaError): SingleWrite[] {
		if (group && sizeOf(group) > 1) return [...settlementsOf(group)].map(each => ({group: {...toEndedGroup([each]), claimed: group.claimed}}));
		if (group && !isReplacement) {
			const [job] = [...settlementsOf(group)] as [Settlement];
			const failed = toEndedGroup([{...job, outcome: {type: 'threw', error: toFailure(refusal)}}]);
			return [{group: withOnDead({...failed, claimed: group.claimed}), isReplacement: true}];
		}
		const {clients} = this.#context;
		if (group) clients.refused({id: idAt(group.ids, 0)}, refusal);
		if (update) clients.refused({id: update.id}, refusal);
		if (call) clients.refuse(call.call, refusal);
		return [];
	}
}

/** A single update, group or call. It can be written without the others, but not before those in front of it. */
interface SingleWrite {
	readonly update?: RunningUpdate;
	readonly group?: EndedGroup;
	readonly call?: NumberedCall;
	/** This failure replaces the true outcome, which the store refused. */
	readonly isReplacement?: true;
}

/** The parts, in the order in which a transaction writes them: groups that enqueue jobs after the others. */
function toSingleWrites({updates, settle, enqueues}: Writes): SingleWrite[] {
	const groups = settle.toSorted((a, b) => Number(enqueuesJobs(a)) - Number(enqueuesJobs(b)));
	return [...updates.map(update => ({update})), ...groups.map(group => ({group})), ...enqueues.map(call => ({call}))];
}

function joinWrites(parts: readonly SingleWrite[]): Writes {
	return {
		updates: parts.flatMap(({update}) => update ?? []),
		settle: parts.flatMap(({group}) => group ?? []),
		enqueues: parts.flatMap(({call}) => call ?? []),
	};
}

/** True if some of the group's executions enqueue jobs, or may. */
export function enqueuesJobs({endings}: EndedGroup): boolean {
	return endings?.values().some(ending => 'enqueue' in ending || 'onDead' in ending) ?? false;
}

function nameOf({task, isQuarantined = false}: LaneRequest): string {
	return JSON.stringify([task, isQuarantined]);
}
