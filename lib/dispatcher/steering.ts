import type {CancelResult, JobFilter, JobId, WithdrawOptions, WithdrawResult} from '../job/job.ts';
import {type JobQueue, type MovedPage, type MoveTarget, pagesOfMove} from '../store/store.ts';
import {FaenaError} from '../support/errors.ts';
import type {Call, Verbs} from '../transport/messages.ts';

/** Calls of the verbs that move jobs, and where these take them. */
const TARGETS = {cancel: 'cancelled', retry: 'pending', withdraw: 'discarded'} as const satisfies Partial<Record<keyof Verbs, MoveTarget>>;

export type SteeringCall = Call & {readonly type: 'verb'; readonly verb: keyof typeof TARGETS};

export function isSteering(call: Call): call is SteeringCall {
	return call.type === 'verb' && Object.hasOwn(TARGETS, call.verb);
}

/** A call that moves jobs of a filter, however many, page by page: between two pages the dispatcher does whatever else there is to do. */
export class Steering {
	readonly call: number;
	readonly to: MoveTarget;
	/** It stops running jobs, too. */
	readonly stops: boolean;
	readonly #verb: SteeringCall['verb'];
	readonly #pages: AsyncGenerator<MovedPage, void, undefined>;
	readonly #ids: JobId[] = [];
	readonly #asked: JobId[] = [];

	constructor(queue: JobQueue, {call, verb, args}: SteeringCall) {
		const [jobs, {stop} = {stop: verb === 'cancel'}] = args as [JobFilter | readonly JobId[], WithdrawOptions?];
		this.call = call;
		this.to = TARGETS[verb];
		this.stops = stop;
		this.#verb = verb;
		this.#pages = pagesOfMove(queue, isList(jobs) ? {ids: jobs} : jobs, this.to, {stop});
	}

	/** Moves the next page; not to be called after the last one. */
	async move(): Promise<MovedPage> {
		const page = (await this.#pages.next()).value as MovedPage;
		this.#ids.push(...page.ids);
		this.#asked.push(...page.asked);
		return page;
	}

	/** Some of the jobs are running, by what the queue says. */
	get hasAsked(): boolean {
		return this.#asked.length > 0;
	}

	/** What the verb gives to its caller. */
	get result(): CancelResult | WithdrawResult | number {
		const [ids, asked] = [this.#ids, this.#asked];
		return this.#verb === 'retry' ? ids.length : this.#verb === 'cancel' ? {cancelled: ids, asked} : {withdrawn: ids, asked};
	}

	/** What its caller hears if the engine is closed before the last page. */
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
