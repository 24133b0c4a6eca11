import type {OwnerId} from '../../job/claim.ts';
import type {CompletedBatch, Policy} from '../../job/job.ts';
import {FaenaError} from '../../support/errors.ts';
import {readPolicy} from '../stored-json.ts';
import type {Blobs} from './blobs.ts';
import type {StoredState} from './schema.sql.ts';
import type {Statements} from './statements.sql.ts';

/** The current transaction, as all its steps share it. */
export interface Tx {
	readonly statements: Statements;
	readonly names: Names;
	readonly tally: Tally;
	readonly blobs: Blobs;
	/** Batches that complete in this transaction. */
	readonly completed: CompletedBatch[];
	/** Owners that this transaction has registered. */
	readonly registered: OwnerId[];
	/** The number of jobs unpacked so far. */
	unpacked: number;
	/** Whether some job may expire, once that is known: see `mayExpire`. */
	hasExpiries?: boolean;
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

/** When a cache is full, it is emptied: in some programs each job has a policy of its own. */
const MAX_CACHED = 10_000;

/** The numbers by which rows name tasks and policies. A task or policy gets its number on first use. After a rollback, numbers may not exist. */
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
		return cache(this.#tasks, name, () => this.knownTask(name) ?? (this.#statements.insertTask.get(name) as number));
	}

	/** The task's number; `undefined` if the store does not know the task. */
	knownTask(name: string): number | undefined {
		return this.#statements.taskByName.get(name) as number | undefined;
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
}

function cache<Key, Value>(cached: Map<Key, Value>, key: Key, read: () => Value): Value {
	let value = cached.get(key);
	if (value === undefined) {
		value = read();
		if (cached.size >= MAX_CACHED) cached.clear();
		cached.set(key, value);
	}
	return value;
}

/** The value of `key.scope`: keys of a batch and keys of a task outside batches share the table. */
export function scopeOf(task: number, batch: number | null | undefined): number {
	return batch ?? -task;
}

/** How the current transaction changes the tallies: the number of jobs per task and state, and per batch and state. */
export class Tally {
	readonly tasks = new TallyChanges();
	readonly batches = new TallyChanges();

	move(task: number, batch: number | null, from: StoredState | null, to: StoredState | null, jobs = 1): void {
		this.tasks.move(task, from, to, jobs);
		if (batch !== null) this.batches.move(batch, from, to, jobs);
	}
}

/** Stride of the key of a cell; must exceed the largest state. */
const STATE_STRIDE = 16;

/** Changes by the number of a task or batch, and by state. */
class TallyChanges {
	/** By `number * STATE_STRIDE + state`. */
	readonly #changes = new Map<number, number>();

	move(number: number, from: StoredState | null, to: StoredState | null, jobs: number): void {
		if (from !== null) this.#changes.set(number * STATE_STRIDE + from, this.get(number, from) - jobs);
		if (to !== null) this.#changes.set(number * STATE_STRIDE + to, this.get(number, to) + jobs);
	}

	get(number: number, state: StoredState): number {
		return this.#changes.get(number * STATE_STRIDE + state) ?? 0;
	}

	/** Of all numbers together. */
	sum(state: StoredState): number {
		return this.#changes.entries().reduce((sum, [cell, jobs]) => (cell % STATE_STRIDE === state ? sum + jobs : sum), 0);
	}

	/** Yields the changes and forgets them. */
	*take(): Generator<[number: number, state: StoredState, jobs: number]> {
		for (const [cell, jobs] of this.#changes) {
			if (jobs !== 0) yield [Math.floor(cell / STATE_STRIDE), (cell % STATE_STRIDE) as StoredState, jobs];
		}
		this.#changes.clear();
	}
}
