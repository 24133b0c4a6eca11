import type {BatchId, CompletedBatch} from '../../../job/batch.ts';
import type {Lease, OwnerId} from '../../../job/claim.ts';
import type {JobId} from '../../../job/job.ts';
import type {Policy} from '../../../job/policy.ts';
import {Cache} from '../../../support/cache.ts';
import {FaenaError} from '../../../support/errors.ts';
import {readPolicy, specOf} from '../../stored-json.ts';
import type {StoredState} from '../../stored-state.ts';
import {inScope, nameOf} from '../../task-number.ts';
import type {Blobs} from '../connection/blobs.ts';
import type {Statements} from '../connection/statements.sql.ts';
import {type CachedFacts, STATE_STRIDE, sumOfCells} from './cached-facts.ts';

/** The current transaction, as all its steps share it. */
export interface Tx {
	readonly statements: Statements;
	readonly numbers: NumberTable;
	readonly tally: Tally;
	readonly facts: CachedFacts;
	readonly blobs: Blobs;
	/** Batches that complete in this transaction. */
	readonly completed: CompletedBatch[];
	/** Owners that this transaction has registered. */
	readonly registered: OwnerId[];
	/** Changes of jobs for which others wait, in order: `children.ts` passes them on. Empty if no job waits for another. */
	readonly changedParents: ParentChange[];
	/** Jobs that were cancelled because they waited for a parent that will not complete. */
	readonly lostChildren: JobId[];
	/** True once jobs that waited for others became ready. */
	isUnblocked: boolean;
	/** The number of jobs unpacked so far. */
	unpacked: number;
	/** The time of the transaction, in milliseconds since 1970. */
	readonly now: number;
	/** A number in [0, 1). */
	readonly random: () => number;
}

/** What has become of a range of jobs for which others may wait. `reopened`: they had ended, and have a new round. */
export interface ParentChange {
	readonly first: JobId;
	readonly last: JobId;
	readonly change: 'completed' | 'dead' | 'deleted' | 'reopened';
	/** It has passed the edges up to this place. Default: none. */
	readonly edge?: number;
	/** Of a job with a new round: what it had given to its children. */
	readonly digest?: string | undefined;
}

/** Jobs may wait for these, which have changed. */
export function parentsChanged({facts, changedParents}: Tx, first: JobId, last: JobId, change: ParentChange['change'], digest?: string): void {
	if (facts.get('hasEdges')) changedParents.push({first, last, change, digest});
}

/** A row of the statements `claimsOfLease` and `stoppedClaimsOfOwner`. */
export type ClaimRow = readonly [id: number, execution: number, task: number, batch: number | null, stop: number | null];

/** The numbers that are given out, with the state under which `tally` has the last one, as task 0: so they cost no page of their own. */
const NUMBERS = {job: 0, lease: 1} as const;

/**
 * The last number that was given out.
 * @throws FaenaError `BadRow` if the counter is damaged: a job without a number could not be found again
 */
export function lastNumber({facts, tally}: Tx, what: keyof typeof NUMBERS): number {
	const number = facts.counter(0, NUMBERS[what]);
	if (Number.isSafeInteger(number)) return (number as number) + tally.tasks.get(0, NUMBERS[what] as StoredState);
	throw new FaenaError('BadRow', `The database does not say which numbers of a ${what} were used: another program has written to its table tally.`);
}

export function giveNumbers({tally}: Tx, what: keyof typeof NUMBERS, count: number): void {
	tally.tasks.move(0, null, NUMBERS[what] as StoredState, count);
}

/** The number of a new lease. */
export function nextLease(tx: Tx): Lease {
	const last = lastNumber(tx, 'lease');
	giveNumbers(tx, 'lease', 1);
	return last + 1;
}

/** The numbers by which rows name tasks, scopes and policies. Each gets its number on first use. After a rollback, numbers may not exist. */
export class NumberTable {
	readonly #statements: Statements;
	readonly #facts: CachedFacts;
	readonly #tasks = new Cache<string, number>();
	readonly #policyIds = new Cache<string, number>();
	/** The last policy, since the jobs of a call share one object. */
	#last: {readonly policy: Policy; readonly id: number} | undefined;
	readonly #policies = new Cache<number, Policy>();

	constructor(statements: Statements, facts: CachedFacts) {
		this.#statements = statements;
		this.#facts = facts;
	}

	/** The number of the task in the scope. What is new is inserted. */
	task(name: string, scope?: string): number {
		const task = this.#tasks.get(name) ?? this.#tasks.set(name, this.knownTask(name) ?? this.#insert('unpaused', this.#statements.insertTask, name));
		if (scope === undefined) return task;
		const [first] = this.#facts.get('scopes').get(scope) ?? [];
		return inScope(task, first?.[0] ?? this.#insert('scopes', this.#statements.insertScope, scope));
	}

	#insert(fact: 'unpaused' | 'scopes', statement: Statements['insertTask'], name: string): number {
		this.#facts.forget(fact);
		return statement.get(name) as number;
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

	#policyIdOf(policy: Policy): number {
		const {policyBySpec, insertPolicy} = this.#statements;
		const spec = specOf(policy);
		return this.#policyIds.get(spec) ?? this.#policyIds.set(spec, (policyBySpec.get(spec) ?? insertPolicy.get(spec)) as number);
	}

	policy(id: number): Policy {
		return this.#policies.get(id) ?? this.#policies.set(id, readPolicy(this.#statements.policyById.get(id) as string | undefined));
	}
}

/** The value of `key.space`: keys of a batch and keys of a task outside batches share the table. */
export function keySpaceOf(task: number, batch: number | null | undefined): number {
	return batch ?? -nameOf(task);
}

/** How the current transaction changes the tallies: the number of jobs per task and state, and per batch and state. Keeps I2. */
export class Tally {
	readonly tasks = new TallyChanges();
	readonly #batches = new Map<BatchId, TallyChanges>();

	move(task: number, batch: number | null, from: StoredState | null, to: StoredState | null, jobs = 1): void {
		this.tasks.move(task, from, to, jobs);
		if (batch === null) return;
		let changes = this.#batches.get(batch);
		if (!changes) {
			changes = new TallyChanges();
			this.#batches.set(batch, changes);
		}
		changes.move(task, from, to, jobs);
	}

	/** Yields the changes of batches and forgets them. */
	*takeBatches(): Generator<[batch: BatchId, task: number, state: StoredState, jobs: number]> {
		for (const [batch, changes] of this.#batches) for (const change of changes.take()) yield [batch, ...change];
		this.#batches.clear();
	}
}

/** Changes by the number of a task, and by state. */
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

	/** Of a task in all scopes, or of all tasks. */
	sum(state: StoredState, name: number | null): number {
		return sumOfCells(this.#changes, name, [state]);
	}

	/** Yields the changes and forgets them. */
	*take(): Generator<[number: number, state: StoredState, jobs: number]> {
		for (const [cell, jobs] of this.#changes) {
			if (jobs !== 0) yield [Math.floor(cell / STATE_STRIDE), (cell % STATE_STRIDE) as StoredState, jobs];
		}
		this.#changes.clear();
	}
}
