import type {Policy} from '../../job/job.ts';
import {readPolicy} from '../stored-json.ts';
import type {Statements} from './database.ts';

/** More are forgotten, so that a program whose every job has a timeout of its own doesn't fill the memory. */
const MAX_CACHED_POLICIES = 10_000;

/** Task names and policies, which rows name by number. Numbers are made on first use and remembered. */
export class Names {
	readonly #statements: Statements;
	readonly #tasks = new Map<string, number>();
	readonly #policyIds = new Map<string, number>();
	/** Of the policy that was asked for last: the jobs of a call have one between them. */
	#last: {readonly policy: Policy; readonly id: number} | undefined;
	readonly #policies = new Map<number, Policy>();

	constructor(statements: Statements) {
		this.#statements = statements;
	}

	/** The task's number; made if there is none. */
	task(name: string): number {
		return this.knownTask(name) ?? this.#remember(name, this.#statements.insertTask.get(name) as number);
	}

	/** The task's number, unless no job ever named it. */
	knownTask(name: string): number | undefined {
		const cached = this.#tasks.get(name);
		if (cached !== undefined) return cached;
		const row = this.#statements.taskByName.get(name) as [number, number] | undefined;
		return row && this.#remember(name, row[0]);
	}

	/** Asked anew each time: another process may have paused it. */
	isPaused(name: string): boolean {
		const row = this.#statements.taskByName.get(name) as [number, number] | undefined;
		return row?.[1] === 1;
	}

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

	/** After a rollback: numbers made in that transaction don't exist. */
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

/** Keys of a batch and keys of a task outside batches share a table. */
export function scopeOf(task: number, batch: number | null | undefined): number {
	return batch ?? -task;
}
