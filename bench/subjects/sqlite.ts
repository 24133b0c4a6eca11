import {mkdtempSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import {inUnits, type PackedStrings, PackedTimes, packTimes, toPackedStrings} from '../../lib/job/packed.ts';
import {connect} from '../../lib/store/sqlite/connection.ts';
import {insertOutcomeRun, type JobRun, jobRunOf, MAX_RUN_JOBS, payloadsOf, writeResults} from '../../lib/store/sqlite/packed-rows.ts';
import {StoredState} from '../../lib/store/sqlite/schema.sql.ts';
import type {Statements} from '../../lib/store/sqlite/statements.sql.ts';
import {recordedSums} from '../measure/sums.ts';
import type {TaskName} from '../plan/suite.ts';
import type {Running, Subject} from './subject.ts';

/** Runs in a transaction: two, as in the dispatcher's commits under load. */
const RUNS = 2;
const TASK = 1;

/**
 * The queue's ceiling: better-sqlite3 alone, in one thread, with the queue's own statements. A transaction inserts, claims and completes
 * as many jobs as one of the dispatcher. There is no pool and no caller, and nothing to decide.
 */
export const subject: Subject = {
	async open({durability}, {folder}) {
		if (durability === 'memory') throw new Error('better-sqlite3 is measured on a file.');
		const place = mkdtempSync(join(folder, 'faena-bench-'));
		const file = join(place, 'jobs.db');
		const connection = await connect(file, durability);
		connection.statements.insertTask.get('identity');
		const store = new Store(connection.statements);
		let transactions = 0;
		return {
			async drain(_task: TaskName, payloads: readonly unknown[]) {
				let claimed: readonly Claimed[] = [];
				for (let made = 0, ended = 0; ended < payloads.length; transactions++) {
					connection.transaction(() => {
						for (const run of claimed) ended += store.complete(run);
						for (let run = 0; run < RUNS; run++) made += store.insert(payloads.slice(made, made + MAX_RUN_JOBS) as number[]);
						claimed = store.claim();
					});
				}
			},
			sums: async () => recordedSums(file),
			counters: async () => ({transactions}),
			async close() {
				connection.close();
				rmSync(place, {recursive: true});
			},
		} satisfies Running;
	},
};

interface Claimed {
	readonly first: number;
	readonly payloads: PackedStrings;
}

type ReadyRun = [rank: number, first: number, executions: 0, batch: number | null, policy: null, createdAt: null, key: null, payload: null, last: number];

class Store {
	readonly #statements: Statements;
	#lastId = 0;
	#lease = 0;
	/** Made once, because in Faena the workers pack times. */
	#packed = {count: 0, times: new Uint8Array()};

	constructor(statements: Statements) {
		this.#statements = statements;
	}

	insert(payloads: readonly number[]): number {
		const s = this.#statements;
		if (payloads.length === 0) return 0;
		const first = this.#lastId + 1;
		this.#lastId += payloads.length;
		const {text} = toPackedStrings(payloads.map(payload => JSON.stringify(payload)));
		s.insertJobRun.run(first, this.#lastId, TASK, 1, 0, Date.now(), null, null, null, text);
		s.insertReadyRun.run(TASK, 0, first, this.#lastId, null);
		s.addToTally.run(0, 0, payloads.length);
		s.addToTally.run(TASK, StoredState.ready, payloads.length);
		return payloads.length;
	}

	claim(): Claimed[] {
		const {readyJobs, addToTally} = this.#statements;
		this.#lease++;
		addToTally.run(0, 1, 1);
		const runs = readyJobs.all({lane: TASK, limit: RUNS}) as ReadyRun[];
		const claimed = runs.map(run => this.#claimRun(run));
		const jobs = claimed.reduce((sum, {payloads}) => sum + payloads.count, 0);
		addToTally.run(TASK, StoredState.ready, -jobs);
		addToTally.run(TASK, StoredState.running, jobs);
		return claimed;
	}

	#claimRun([rank, first, , batch, , , , , last]: ReadyRun): Claimed {
		const s = this.#statements;
		const payloads = payloadsOf(jobRunOf(s, first) as JobRun, first, last);
		s.deleteReadyRun.run(TASK, rank, first);
		s.insertClaimedRun.run(first, last, this.#lease, 1, TASK, batch);
		return {first, payloads};
	}

	/** Stores each payload as the result, like the task `identity`. */
	complete({first, payloads: values}: Claimed): number {
		const s = this.#statements;
		const {count} = values;
		const last = first + count - 1;
		const [lease, createdAt] = [this.#lease, Date.now()];
		s.claimedRunsOfLease.all(lease, last, first);
		s.deleteClaimedRun.run(first);
		const times = this.#times(count);
		const part = {group: {lease, ids: first, executions: 1, createdAt, values, times}, times: new PackedTimes(times)};
		insertOutcomeRun(s, [first, last, null, createdAt, ...writeResults([part], count)], [part]);
		s.addToTally.run(TASK, StoredState.running, -count);
		s.addToTally.run(TASK, StoredState.completed, count);
		return count;
	}

	/** Times as from a worker whose jobs take some 0.3 µs each: 5 bytes a job. */
	#times(count: number): Uint8Array {
		if (this.#packed.count !== count) {
			const durations = Float64Array.from({length: count}, (_, index) => inUnits(0.0003 + (index % 97) / 1e5));
			const startedAt = Float64Array.from({length: count}, (_, index) => Date.now() + (index % 2));
			this.#packed = {count, times: packTimes(count, {startedAt, durationMs: durations, cpuMs: durations})};
		}
		return this.#packed.times;
	}
}
