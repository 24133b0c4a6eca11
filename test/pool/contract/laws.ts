import {existsSync, readFileSync, writeFileSync} from 'node:fs';
import {connect} from 'node:net';
import type {ExecutionContext} from 'ava';
import type {JobUpdate, Outcome, Settlement} from '../../../lib/job/claim.ts';
import {decode, encode} from '../../../lib/job/encoding.ts';
import type {SlowStart, WorkerLoss} from '../../../lib/job/events.ts';
import type {FailureRecord} from '../../../lib/job/failure.ts';
import {type EndedGroup, toColumn, toIds} from '../../../lib/job/groups/group.ts';
import {pack} from '../../../lib/job/groups/packed.ts';
import {settlementsOf} from '../../../lib/job/groups/single-jobs.ts';
import type {JobId} from '../../../lib/job/job.ts';
import type {PoolOptions} from '../../../lib/job/options.ts';
import type {Policy} from '../../../lib/job/policy.ts';
import type {Lane, Pool, PoolListener} from '../../../lib/pool/pool.ts';
import {WakeUp} from '../../../lib/support/clock.ts';

export type MakePool = (options: PoolOptions, listener: PoolListener) => Pool;

export type Check = (t: ExecutionContext, crew: Crew) => Promise<void>;

export const LAWS: {readonly title: string; readonly check: Check}[] = [];

export function law(title: string, check: Check): void {
	LAWS.push({title, check});
}

export const TASKS = new URL('../../fixtures/tasks.ts', import.meta.url).href;
export const LEASE = 5;
export const POLICY: Policy = {maxAttempts: 3, timeoutMs: null, backoff: {baseMs: 0, factor: 1, maxMs: 0, jitter: 0}, retry: 'auto'};

export const POOL_OPTIONS: PoolOptions = {
	tasks: TASKS,
	defaults: {},
	workers: 1,
	graceMs: 1000,
	maxValueBytes: 1 << 24,
	maxCheckpointBytes: 1 << 20,
	taskOutput: 'inherit',
	isolation: 'thread',
	resourceLimits: undefined,
	env: undefined,
	execArgv: [],
	nice: undefined,
	recycle: {jobs: Infinity, ageMs: Infinity, memoryBytes: Infinity},
	minFreeMemoryBytes: 0,
	postMortem: false,
};

/** A pool, who listens to it, and what was heard. */
export class Crew implements PoolListener {
	readonly #t: ExecutionContext;
	readonly #make: MakePool;
	readonly #wakeUps = new Set<WakeUp>();
	readonly #outcomes = new Map<JobId, Outcome>();
	readonly updates: JobUpdate[] = [];
	readonly losses: WorkerLoss[] = [];
	readonly slow: SlowStart[] = [];
	readonly sacrificed: JobId[] = [];
	readonly reports: (readonly Settlement[])[] = [];
	#pool: Pool | undefined;
	#lastId = 0;

	constructor(t: ExecutionContext, make: MakePool) {
		this.#t = t;
		this.#make = make;
	}

	get pool(): Pool {
		return this.#pool as Pool;
	}

	make(options: Partial<PoolOptions>): Pool {
		return this.#make({...POOL_OPTIONS, ...options}, this);
	}

	load(options: Partial<PoolOptions>): ReturnType<Pool['load']> {
		this.#pool = this.make(options);
		this.#t.teardown(() => this.pool.close());
		return this.pool.load();
	}

	/** Gives the jobs as one chunk, when there is a place. */
	async give(task: string, payloads: readonly unknown[], details?: Details): Promise<JobId[]> {
		await this.place({task, quarantined: details?.quarantined ?? false});
		return this.giveNow(task, payloads, details);
	}

	giveNow(
		task: string,
		payloads: readonly unknown[],
		{policy = {}, policies = [policy], attempts = [], keys = [], checkpoints = [], expiries = [], quarantined = false}: Details = {},
	): JobId[] {
		const ids = payloads.map(() => ++this.#lastId);
		this.pool.run({
			task,
			lease: LEASE,
			policies: toColumn(policies.map(each => ({...POLICY, ...each}))),
			quarantine: quarantined ? 'together' : undefined,
			ids: toIds(ids),
			executions: 1,
			createdAt: 0,
			priorities: 0,
			values: pack(payloads.map(payload => encode(payload, 'payload'))),
			attempts: sparse(attempts, count => count || undefined),
			keys: sparse(keys, key => key),
			checkpoints: sparse(checkpoints, checkpoint => (checkpoint === undefined ? undefined : encode(checkpoint, 'checkpoint'))),
			expiries: sparse(expiries, at => at),
		});
		return ids;
	}

	/** Resolves when a worker is idle. */
	idle(): Promise<void> {
		return this.#until(() => this.pool.capacity().idle > 0);
	}

	/** Resolves once there is a place for a chunk of this kind, or of the most usual. */
	place(lane?: Lane): Promise<void> {
		return this.#until(() => {
			const {idle, prefetch} = this.pool.capacity(lane);
			return idle + prefetch > 0;
		});
	}

	outcome(id: JobId | undefined): Outcome | undefined {
		return this.#outcomes.get(id as JobId);
	}

	/** The outcomes, when all are there. */
	async outcomes(ids: readonly (JobId | undefined)[]): Promise<(Outcome | undefined)[]> {
		await this.#until(() => ids.every(id => this.outcome(id) !== undefined));
		return ids.map(id => this.outcome(id));
	}

	/** What the jobs returned; anything else is a failure of the test. */
	async values(ids: readonly (JobId | undefined)[]): Promise<unknown[]> {
		return (await this.outcomes(ids)).map(outcome => {
			if (outcome?.type === 'returned') return decode(outcome.value);
			throw new Error(`The job did not return: ${JSON.stringify(outcome)}`);
		});
	}

	async failure(id: JobId | undefined): Promise<FailureRecord> {
		return errorOf((await this.outcomes([id]))[0]);
	}

	/** Each was returned or given back: nothing was charged to it. */
	async unharmed(ids: readonly (JobId | undefined)[]): Promise<void> {
		for (const outcome of await this.outcomes(ids)) this.#t.regex(outcome?.type ?? '', /^(returned|released)$/);
	}

	/** The first update, past or to come, for which the condition is true. */
	async update(condition: (update: JobUpdate) => boolean): Promise<JobUpdate> {
		await this.#until(() => this.updates.some(condition));
		return this.updates.find(condition) as JobUpdate;
	}

	async slowStart(): Promise<SlowStart> {
		await this.#until(() => this.slow.length > 0);
		return this.slow[0] as SlowStart;
	}

	// ——— what the pool tells ———

	ended(_task: string, groups: readonly EndedGroup[]): void {
		const settlements = groups.flatMap(group => [...settlementsOf(group)]);
		this.reports.push(settlements);
		for (const {id, outcome} of settlements) {
			if (this.#outcomes.has(id)) this.#t.fail(`Job ${id} was settled twice.`);
			this.#outcomes.set(id, outcome);
		}
		this.#ring();
	}

	updated(update: JobUpdate): void {
		this.updates.push(update);
		this.#ring();
	}

	lost(loss: WorkerLoss): void {
		this.losses.push(loss);
	}

	startsSlowly(slow: SlowStart): void {
		this.slow.push(slow);
		this.#ring();
	}

	memoryShort(id: JobId): void {
		this.sacrificed.push(id);
	}

	freed(): void {
		this.#ring();
	}

	#ring(): void {
		for (const wakeUp of this.#wakeUps) wakeUp.set();
	}

	async #until(isTrue: () => boolean): Promise<void> {
		const wakeUp = new WakeUp();
		this.#wakeUps.add(wakeUp);
		while (!isTrue()) await wakeUp.wait(Infinity);
		this.#wakeUps.delete(wakeUp);
	}
}

export interface Details {
	readonly quarantined?: boolean;
	/** Of all jobs of the chunk. */
	readonly policy?: Partial<Policy>;
	/** Instead of it, one for each job. */
	readonly policies?: readonly Partial<Policy>[];
	readonly attempts?: readonly number[];
	readonly keys?: readonly (string | undefined)[];
	readonly checkpoints?: readonly unknown[];
	readonly expiries?: readonly (number | undefined)[];
}

export function errorOf(outcome: Outcome | undefined): FailureRecord {
	if (outcome && 'error' in outcome && outcome.error) return outcome.error;
	throw new Error(`There is no error in ${JSON.stringify(outcome)}.`);
}

export function touch(file: string | undefined): void {
	writeFileSync(file as string, '');
}

export function linesOf(file: string): string[] {
	return existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : [];
}

export function canConnect(port: number): Promise<boolean> {
	return new Promise(resolve => {
		const socket = connect(port, '127.0.0.1');
		const settle = (isOpen: boolean) => {
			socket.destroy();
			resolve(isOpen);
		};
		socket.once('connect', () => settle(true));
		socket.once('error', () => settle(false));
	});
}

/** What there is of each job, by index. */
export function sparse<From, To>(column: readonly From[], to: (value: From) => To | undefined): ReadonlyMap<number, To> | undefined {
	const entries = column.flatMap((value, index) => {
		const own = to(value);
		return own === undefined ? [] : [[index, own] as const];
	});
	return entries.length > 0 ? new Map(entries) : undefined;
}
