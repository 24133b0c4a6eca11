import type {CancelResult, DiscardOptions, DiscardResult, JobFilter, JobId} from '../job/job.ts';
import {type MovedPage, movePages} from '../store/moving.ts';
import type {MoveTarget, Store} from '../store/store.ts';
import {FaenaError} from '../support/errors.ts';
import type {Call, Verbs} from '../transport/messages.ts';

/** The verbs that move jobs, and to which state. */
const TARGETS = {cancel: 'cancelled', retry: 'pending', discard: 'discarded'} as const satisfies Partial<Record<keyof Verbs, MoveTarget>>;

type MoveVerbCall = Call & {readonly type: 'verb'; readonly verb: keyof typeof TARGETS};

export function isMoveCall(call: Call): call is MoveVerbCall {
	return call.type === 'verb' && Object.hasOwn(TARGETS, call.verb);
}

/** A call that moves all jobs of a filter, page by page: between two pages the dispatcher does other things. */
export class MoveCall {
	readonly call: number;
	readonly to: MoveTarget;
	/** Whether it also stops running jobs. */
	readonly stops: boolean;
	readonly #verb: MoveVerbCall['verb'];
	readonly #pages: AsyncGenerator<MovedPage, void, undefined>;
	readonly #ids: JobId[] = [];
	readonly #asked: JobId[] = [];

	constructor(store: Store, {call, verb, args}: MoveVerbCall) {
		const [jobs, {stop} = {stop: verb === 'cancel'}] = args as [JobFilter | readonly JobId[], DiscardOptions?];
		this.call = call;
		this.to = TARGETS[verb];
		this.stops = stop;
		this.#verb = verb;
		this.#pages = movePages(store, isList(jobs) ? {ids: jobs} : jobs, this.to, {stop});
	}

	/** Moves the next page. Must not be called after the last one. */
	async movePage(): Promise<MovedPage> {
		const page = (await this.#pages.next()).value as MovedPage;
		this.#ids.push(...page.ids);
		this.#asked.push(...page.asked);
		return page;
	}

	/** True if some of the jobs were running: their owners were asked. */
	get hasAsked(): boolean {
		return this.#asked.length > 0;
	}

	/** The result of the verb. */
	get result(): CancelResult | DiscardResult | number {
		const [ids, asked] = [this.#ids, this.#asked];
		return this.#verb === 'retry' ? ids.length : this.#verb === 'cancel' ? {cancelled: ids, asked} : {discarded: ids, asked};
	}

	/** The error for its caller if the engine is closed before the last page. */
	get interruption(): FaenaError {
		const jobs = this.#ids.length + this.#asked.length;
		return new FaenaError(
			'Closed',
			`The engine was closed before ${this.#verb}() was done. It was done for ${jobs} jobs, and that stays so; call it again for the others.`,
		);
	}
}

function isList(jobs: JobFilter | readonly JobId[]): jobs is readonly JobId[] {
	return Array.isArray(jobs);
}
