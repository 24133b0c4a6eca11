import {isDeepStrictEqual} from 'node:util';
import type {Encoded} from '../job/encoding.ts';
import {idAt, type NewGroup} from '../job/groups/group.ts';
import {pack} from '../job/groups/packed.ts';
import {Portion, SMALL_GROUP} from '../job/groups/portion.ts';
import {haveSameOptions} from '../job/groups/single-jobs.ts';
import {FaenaError} from '../support/errors.ts';
import type {EnqueueCall, EnqueueReply} from './messages.ts';

/** A job that a call of its own enqueues. */
export interface SingleJob {
	/** Its task and options, without payload and key. */
	readonly options: Omit<NewGroup, 'values' | 'keys'>;
	readonly payload: Encoded;
	readonly key: string | undefined;
	/** Whether to watch it, from the moment it exists. */
	readonly watch: boolean;
}

/** Takes the answer to the enqueue of a single job. */
export interface Answer {
	resolve(reply: EnqueueReply): void;
	reject(error: unknown): void;
}

/** Single jobs of one turn of the event loop that differ only in payloads and keys: they travel and are stored as one group. */
export class MergedEnqueue {
	readonly #first: SingleJob;
	readonly #jobs: SingleJob[] = [];
	readonly #answers: Answer[] = [];
	readonly #portion = new Portion(SMALL_GROUP);

	constructor(first: SingleJob, answer: Answer) {
		this.#first = first;
		this.#push(first, answer);
	}

	/** Adds the job, if it fits. */
	add(job: SingleJob, answer: Answer): boolean {
		if (this.#portion.isFull || !areAlike(this.#first, job)) return false;
		this.#push(job, answer);
		return true;
	}

	#push(job: SingleJob, answer: Answer): void {
		this.#jobs.push(job);
		this.#answers.push(answer);
		this.#portion.add(job.payload);
	}

	toCall(): EnqueueCall {
		const {options, key, watch} = this.#first;
		const values = pack(this.#jobs.map(({payload}) => payload));
		const keys = key === undefined ? undefined : pack(this.#jobs.map(each => each.key as string));
		// Of several, each may have to be sent again.
		return {type: 'enqueue', group: keys ? {...options, values, keys} : {...options, values}, watch, givesPayloads: this.#jobs.length === 1};
	}

	resolve(reply: EnqueueReply): void {
		const {ids, reused = [], conflicts = [], full} = reply;
		// It is the only one: jobs that wait for others are not merged.
		if (reply.missing !== undefined) {
			this.#answers[0]?.resolve(reply);
			return;
		}
		const [wasReused, isConflict] = [new Set(reused), new Set(conflicts)];
		for (const [index, answer] of this.#answers.entries()) {
			const own: EnqueueReply = {
				ids: full ? [] : idAt(ids, index),
				...(wasReused.has(index) && {reused: [0]}),
				...(isConflict.has(index) && {conflicts: [0]}),
			};
			answer.resolve(full ? {ids: [], full} : own);
		}
	}

	/** @param again enqueues a job by itself: the store may refuse only one of them */
	reject(error: unknown, again: (job: SingleJob, answer: Answer) => void): void {
		const isRefused = error instanceof FaenaError && (error.code === 'BadRow' || error.code === 'TooLarge');
		for (const [index, answer] of this.#answers.entries()) {
			if (isRefused && this.#answers.length > 1) again(this.#jobs[index] as SingleJob, answer);
			else answer.reject(error);
		}
	}
}

function areAlike(a: SingleJob, b: SingleJob): boolean {
	if (a.watch !== b.watch || (a.key === undefined) !== (b.key === undefined)) return false;
	const [one, other] = [a.options, b.options];
	if (one === other) return one.maxPending === undefined && one.parents === undefined;
	return (
		haveSameOptions(one, other) &&
		(one.policy === other.policy || isDeepStrictEqual(one.policy, other.policy)) &&
		one.parents === undefined &&
		other.parents === undefined &&
		// A group is refused as a whole if it would exceed a limit.
		one.maxPending === undefined &&
		other.maxPending === undefined
	);
}
