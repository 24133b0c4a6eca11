import type {CompletedBatch, Policy} from '../../job/job.ts';
import {FaenaError} from '../../support/errors.ts';
import {readPolicy} from '../stored-json.ts';
import type {Blobs} from './blobs.ts';
import type {Statements} from './connection.ts';
import type {Tally} from './tally.ts';

/** The current transaction, as all its steps share it. */
export interface Tx {
	readonly statements: Statements;
	readonly names: Names;
	readonly tally: Tally;
	readonly blobs: Blobs;
	/** Batches that complete in this transaction. */
	readonly completed: CompletedBatch[];
	/** The number of jobs unpacked so far. */
	unpacked: number;
	/** The time of the transaction, in milliseconds since 1970. */
	readonly now: number;
	/** A number in [0, 1). */
	readonly random: () => number;
}

/** A row of the statements `claimsOfLease` and `stoppedClaimsOfOwner`. */
export type ClaimRow = readonly [id: number, execution: number, task: number, batch: number | null, stop: number | null];

/** The values of `claimed.stop` besides the time of a cancel: a job with one of these is deleted when its execution ends. */
export const Stop = {discard: -1, discardNow: -2} as const;

/**
 * The number as it was read from the table `counter`.
 * @throws FaenaError `BadRow` if the counter is damaged: a job without a number could not be found again
 */
export function checkCounter(what: 'job' | 'lease', number: unknown): number {
	if (Number.isSafeInteger(number)) return number as number;
	throw new FaenaError('BadRow', `The database does not say which numbers of a ${what} were used: another program has written to its table counter.`);
}

/** When the cache is full, it is emptied: in some programs each job has a policy of its own. */
const MAX_CACHED_POLICIES = 10_000;

/** The numbers by which rows name tasks and policies. A task or policy gets its number on first use. Numbers are cached. */
export class Names {
	readonly #statements: Statements;
	readonly #tasks = new Map<string, number>();
	readonly #policyIds = new Map<string, number>();
	/** The last policy, since the jobs of a call share one object. */
	#last: {readonly policy: Policy; readonly id: number} | undefined;
	readonly #policies = new Map<number, Policy>();

	constructor(statements: Statements) {
		this.#statements = statements;
	}

	/** The task's number. A new task is inserted. */
	task(name: string): number {
		return this.knownTask(name) ?? this.#remember(name, this.#statements.insertTask.get(name) as number);
	}

	/** The task's number; `undefined` if the store does not know the task. */
	knownTask(name: string): number | undefined {
		const cached = this.#tasks.get(name);
		if (cached !== undefined) return cached;
		const id = this.#statements.taskByName.get(name) as number | undefined;
		return id === undefined ? undefined : this.#remember(name, id);
	}

	#remember(name: string, id: number): number {
		this.#tasks.set(name, id);
		return id;
	}

	/** The policy's number. A new policy is inserted. */
	policyId(policy: Policy): number {
		if (this.#last?.policy !== policy) this.#last = {policy, id: this.#policyIdOf(policy)};
		return this.#last.id;
	}

	#policyIdOf({maxAttempts, timeoutMs, timeoutPercent, retry, backoff: {baseMs, factor, maxMs, jitter}}: Policy): number {
		const {policyBySpec, insertPolicy} = this.#statements;
		const spec = JSON.stringify({maxAttempts, timeoutMs, timeoutPercent, retry, backoff: {baseMs, factor, maxMs, jitter}});
		return cache(this.#policyIds, spec, () => (policyBySpec.get(spec) ?? insertPolicy.get(spec)) as number);
	}

	policy(id: number): Policy {
		return cache(this.#policies, id, () => readPolicy(this.#statements.policyById.get(id) as string | undefined));
	}

	/** Forgets all numbers after a rollback, since those of the transaction don't exist. */
	forget(): void {
		for (const each of [this.#tasks, this.#policyIds, this.#policies]) each.clear();
		this.#last = undefined;
	}
}

function cache<Key, Value>(cached: Map<Key, Value>, key: Key, read: () => Value): Value {
	let value = cached.get(key);
	if (value === undefined) {
		value = read();
		if (cached.size >= MAX_CACHED_POLICIES) cached.clear();
		cached.set(key, value);
	}
	return value;
}

/** The value of `key.scope`: keys of a batch and keys of a task outside batches share the table. */
export function scopeOf(task: number, batch: number | null | undefined): number {
	return batch ?? -task;
}
