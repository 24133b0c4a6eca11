import {mkdtempSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import Database from 'better-sqlite3';
import {connect, type Statements} from '../../lib/queues/sqlite/database.ts';
import {Place} from '../../lib/queues/sqlite/places.ts';
import type {TaskName} from '../suite.ts';
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
			async sums() {
				const database = new Database(file, {readonly: true});
				const [completed, results] = database.prepare('select count(*), total(value) from outcome where status = 6').raw().get() as [number, number];
				database.close();
				return {completed, results};
			},
			counters: async () => ({transactions}),
			async close() {
				connection.close();
				rmSync(place, {recursive: true});
			},
		} satisfies Running;
	},
};

type Row = [rank: number, id: number, ...rest: unknown[]];

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
		for (const payload of payloads) s.insertJob.run(++this.#lastId, TASK, 1, 0, Date.now(), null, null, JSON.stringify(payload));
		s.insertReadyRange.run(first, this.#lastId);
		s.setCounter.run(this.#lastId, 'job');
		s.addToTally.run(TASK, Place.ready, payloads.length);
		return payloads.length;
	}

	claim(): Row[] {
		const s = this.#statements;
		const rows = s.readyJobs.all(TASK, BATCH) as Row[];
		const last = rows.at(-1);
		if (!last) return rows;
		s.claimUpTo.run(++this.#lease, 1, TASK, last[0], last[1]);
		s.deleteReadyUpTo.run(TASK, last[0], last[1]);
		s.setCounter.run(this.#lease, 'lease');
		s.addToTally.run(TASK, Place.ready, -rows.length);
		s.addToTally.run(TASK, Place.running, rows.length);
		return rows;
	}

	/** What each returns is its payload, as `identity` does. */
	complete(rows: readonly Row[]): void {
		const s = this.#statements;
		const [first, last] = [rows[0]?.[1], rows.at(-1)?.[1]];
		if (first === undefined) return;
		s.claimsOfLease.all(first, last, this.#lease);
		for (const row of rows) s.insertOutcome.run(row[1], Place.completed, 1, Date.now(), Date.now(), 0.01, 0.01, null, row[7], null);
		s.deleteClaimsOfLease.run(first, last, this.#lease);
		s.addToTally.run(TASK, Place.running, -rows.length);
		s.addToTally.run(TASK, Place.completed, rows.length);
	}
}
