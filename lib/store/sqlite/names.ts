import type {Policy} from '../../job/job.ts';
import {readPolicy} from '../stored-json.ts';
import type {Statements} from './connection.ts';

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

	/** The policy's number. A new policy is inserted. */
	policyId(policy: Policy): number {
		if (this.#last?.policy !== policy) this.#last = {policy, id: this.#policyIdOf(policy)};
		return this.#last.id;
	}

	#policyIdOf(policy: Policy): number {
		const {maxAttempts, timeoutMs, timeoutPercent, retry, backoff} = policy;
		const spec = JSON.stringify({
			maxAttempts,
			timeoutMs,
			...(timeoutPercent !== undefined && {timeoutPercent}),
			retry,
			backoff: {baseMs: backoff.baseMs, factor: backoff.factor, maxMs: backoff.maxMs, jitter: backoff.jitter},
		});
		const cached = this.#policyIds.get(spec);
		if (cached !== undefined) return cached;
		const {policyBySpec, insertPolicy} = this.#statements;
		const id = (policyBySpec.get(spec) ?? insertPolicy.get(spec)) as number;
		if (this.#policyIds.size >= MAX_CACHED_POLICIES) this.#policyIds.clear();
		this.#policyIds.set(spec, id);
		return id;
	}

	policy(id: number): Policy {
		const cached = this.#policies.get(id);
		if (cached) return cached;
		const policy = readPolicy(this.#statements.policyById.get(id) as string | undefined);
		if (this.#policies.size >= MAX_CACHED_POLICIES) this.#policies.clear();
		this.#policies.set(id, policy);
		return policy;
	}

	/** Forgets all numbers after a rollback, since those of the transaction don't exist. */
	forget(): void {
		this.#tasks.clear();
		this.#policyIds.clear();
		this.#last = undefined;
		this.#policies.clear();
	}

	#remember(name: string, id: number): number {
		this.#tasks.set(name, id);
		return id;
	}
}

/** The value of `key.scope`: keys of a batch and keys of a task outside batches share the table. */
export function scopeOf(task: number, batch: number | null | undefined): number {
	return batch ?? -task;
}
