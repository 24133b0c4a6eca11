import {mkdtempSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import type {Encoded} from '../../lib/encoding.ts';
import {connect, type Statements} from '../../lib/queues/sqlite/database.ts';
import {type JobRun, jobRunOf} from '../../lib/queues/sqlite/job-run.ts';
import {toLines} from '../../lib/queues/sqlite/lines.ts';
import {writeResults} from '../../lib/queues/sqlite/outcome-run.ts';
import {Place} from '../../lib/queues/sqlite/places.ts';
import type {TaskName} from '../suite.ts';
import {recordedSums} from '../sums.ts';
import type {Running, Subject} from './subject.ts';

/** Jobs in one transaction: about what the dispatcher's turns have under load. */
const BATCH = 1000;
const TASK = 1;

/**
 * The queue's ceiling: better-sqlite3 alone, in one thread, with the queue's own statements (insert, claim and complete, a
 * batch of each in one transaction), and neither a pool, nor a caller, nor anything to decide.
 */
export const subject: Subject = {
	async open({durability}, {folder}) {
		if (durability === 'memory') throw new Error('better-sqlite3 is measured on a file.');
		const place = mkdtempSync(join(folder, 'faena-bench-'));
		const file = join(place, 'jobs.db');
		const connection = connect(file, durability);
		connection.statements.insertTask.get('identity');
		const store = new Store(connection.statements);
		let transactions = 0;
		return {
			async drain(_task: TaskName, payloads: readonly unknown[]) {
				let claimed: Row[] = [];
				for (let made = 0, ended = 0; ended < payloads.length; transactions++) {
					connection.transaction(() => {
						store.complete(claimed);
						ended += claimed.length;
						made += store.insert(payloads.slice(made, made + BATCH) as number[]);
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

interface Row {
	readonly id: number;
	readonly payload: Encoded;
}

class Store {
	readonly #statements: Statements;
	#lastId = 0;
	#lease = 0;

	constructor(statements: Statements) {
		this.#statements = statements;
	}

	insert(payloads: readonly number[]): number {
		const s = this.#statements;
		if (payloads.length === 0) return 0;
		const first = this.#lastId + 1;
		this.#lastId += payloads.length;
		s.insertJobRun.run(first, this.#lastId, TASK, 1, 0, Date.now(), toLines(payloads.map(payload => JSON.stringify(payload))));
		s.insertReadyRun.run(TASK, 0, first, this.#lastId, null);
		s.setCounter.run(this.#lastId, 'job');
		s.addToTally.run(TASK, Place.ready, payloads.length);
		return payloads.length;
	}

	claim(): Row[] {
		const s = this.#statements;
		const ready = s.readyRuns.all(TASK, BATCH)[0] as [rank: number, first: number, last: number, batch: number | null] | undefined;
		if (!ready) return [];
		const [rank, first, last, batch] = ready;
		const run = jobRunOf(s, first) as JobRun;
		const rows = Array.from({length: last - first + 1}, (_, index): Row => ({id: first + index, payload: run.payloadOf(first + index)}));
		s.deleteReadyRun.run(TASK, rank, first);
		s.insertClaimedRun.run(first, last, ++this.#lease, 1, TASK, batch);
		s.setCounter.run(this.#lease, 'lease');
		s.addToTally.run(TASK, Place.ready, -rows.length);
		s.addToTally.run(TASK, Place.running, rows.length);
		return rows;
	}

	/** What each returns is its payload, as `identity` does. */
	complete(rows: readonly Row[]): void {
		const s = this.#statements;
		const [first, last] = [rows[0]?.id, rows.at(-1)?.id];
		if (first === undefined || last === undefined) return;
		s.claimedRunsOfLease.all(this.#lease, last, first);
		s.deleteClaimedRun.run(first);
		const outcome = {startedAt: Date.now(), durationMs: 0.01, cpuMs: 0.01};
		const ended = rows.map(({id, payload}) => ({id, lease: this.#lease, execution: 1, outcome: {...outcome, type: 'returned' as const, value: payload}}));
		s.insertOutcomeRun.run(first, last, null, Date.now(), ...writeResults(ended));
		s.addToTally.run(TASK, Place.running, -rows.length);
		s.addToTally.run(TASK, Place.completed, rows.length);
	}
}
