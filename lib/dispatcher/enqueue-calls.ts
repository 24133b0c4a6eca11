import {MAX_GROUP_JOBS} from '../job/groups/group.ts';
import {MAX_COMMIT_BYTES, Portion} from '../job/groups/portion.ts';
import type {NumberedCall} from './clients.ts';

/** A transaction that enqueues this takes in no further call. One job more than a group, so that two full groups share it. */
const MAX_ENQUEUED = {jobs: MAX_GROUP_JOBS + 1, bytes: MAX_COMMIT_BYTES};

/**
 * Enqueue calls that wait for the next commit, in order. A call that waits for room and found none stays, and so do those of its task behind it,
 * until {@link mayHaveRoom}.
 */
export class EnqueueCalls {
	#calls: NumberedCall[] = [];
	/** False if none of them waits for room, as in an engine without limits. */
	#mayWait = false;
	/** Tasks whose calls found no room. */
	readonly #full = new Set<string>();

	push(call: NumberedCall): void {
		this.#calls.push(call);
		this.#mayWait ||= call.waits !== undefined;
	}

	/** True if there are calls, also if they wait for room. */
	get hasCalls(): boolean {
		return this.#calls.length > 0;
	}

	/** True if the next commit can take some. */
	get areDue(): boolean {
		return this.#full.size === 0 ? this.hasCalls : this.#calls.some(call => !call.waits || !this.#full.has(call.group.task));
	}

	/** Takes calls for one commit: of those of a task that wait for room only the first, since the second must not overtake it. */
	take(): NumberedCall[] {
		return this.#mayWait ? this.#takePast() : this.#takeFirst();
	}

	#takeFirst(): NumberedCall[] {
		const portion = new Portion(MAX_ENQUEUED);
		let count = 0;
		for (; count < this.#calls.length && !portion.isFull; count++) portion.addAll((this.#calls[count] as NumberedCall).group.values);
		return this.#calls.splice(0, count);
	}

	/** Passes by calls that wait. */
	#takePast(): NumberedCall[] {
		const [taken, left]: [NumberedCall[], NumberedCall[]] = [[], []];
		const busy = new Set(this.#full);
		const portion = new Portion(MAX_ENQUEUED);
		let seen = 0;
		for (; seen < this.#calls.length && !portion.isFull; seen++) {
			const call = this.#calls[seen] as NumberedCall;
			const {waits, group} = call;
			if (waits && busy.has(group.task)) left.push(call);
			else {
				taken.push(call);
				portion.addAll(group.values);
			}
			if (waits) busy.add(group.task);
		}
		this.#calls = [...left, ...this.#calls.slice(seen)];
		this.#mayWait = this.#calls.some(({waits}) => waits !== undefined);
		return taken;
	}

	/** This call found no room, and waits on in front of the others. */
	putBack(call: NumberedCall): void {
		this.#calls.unshift(call);
		this.#mayWait = true;
		this.#full.add(call.group.task);
	}

	/** The transaction of these calls has failed: they come first in the next one. */
	takeBack(calls: readonly NumberedCall[]): void {
		this.#calls.unshift(...calls);
		this.#mayWait ||= calls.some(({waits}) => waits !== undefined);
	}

	/** Fewer jobs may be pending than before. */
	mayHaveRoom(): void {
		this.#full.clear();
	}

	/** Removes the calls that wait for room, all or those with this number, and returns them. */
	takeWaiting(number?: number): NumberedCall[] {
		const isTaken = ({waits}: NumberedCall) => waits !== undefined && (number === undefined || waits === number);
		const waiting = this.#calls.filter(isTaken);
		this.#calls = this.#calls.filter(call => !isTaken(call));
		this.#mayWait = this.#calls.some(({waits}) => waits !== undefined);
		return waiting;
	}
}
