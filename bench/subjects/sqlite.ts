import {mkdtempSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import {connect, type Statements} from '../../lib/queues/sqlite/database.ts';
import {Place} from '../../lib/queues/sqlite/places.ts';
import type {Trial} from '../trials.ts';
import type {Result, Setup} from './subject.ts';

/** Jobs in one transaction: about what the dispatcher's turns have under load. */
const BATCH = 1000;
const TASK = 1;

/**
 * The ceiling: better-sqlite3 alone, in one thread, with the queue's own statements — insert, claim and complete, a batch
 * of each in one transaction, `synchronous = full` — and neither a pool, nor a caller, nor anything to decide.
 */
export async function run({jobs}: Trial, {folder}: Setup): Promise<Result> {
	const place = mkdtempSync(join(folder, 'faena-bench-'));
	const {statements: s, transaction, close} = connect(join(place, 'jobs.db'), 'full');
	s.insertTask.get('noop');
	const cpu = process.cpuUsage();
	const start = performance.now();
	let lease = 0;
	let claimed: Row[] = [];
	for (let made = 0, ended = 0; ended < jobs; ) {
		transaction(() => {
			complete(s, claimed, lease);
			ended += claimed.length;
			made += insert(s, made + 1, Math.min(BATCH, jobs - made));
			claimed = claim(s, ++lease);
		});
	}
	const wallMs = performance.now() - start;
	const {user, system} = process.cpuUsage(cpu);
	close();
	rmSync(place, {recursive: true});
	return {wallMs, cpuMs: (user + system) / 1000};
}

type Row = [rank: number, id: number, ...rest: unknown[]];

function insert(s: Statements, first: number, count: number): number {
	if (count === 0) return 0;
	for (let id = first; id < first + count; id++) s.insertJob.run(id, TASK, 1, 0, Date.now(), null, null, String(id));
	s.insertReadyRange.run(first, first + count - 1);
	s.setCounter.run(first + count - 1, 'job');
	s.addToTally.run(TASK, Place.ready, count);
	return count;
}

function claim(s: Statements, lease: number): Row[] {
	const rows = s.readyJobs.all(TASK, BATCH) as Row[];
	const last = rows.at(-1);
	if (!last) return rows;
	s.claimUpTo.run(lease, 1, TASK, last[0], last[1]);
	s.deleteReadyUpTo.run(TASK, last[0], last[1]);
	s.setCounter.run(lease, 'lease');
	s.addToTally.run(TASK, Place.ready, -rows.length);
	s.addToTally.run(TASK, Place.running, rows.length);
	return rows;
}

function complete(s: Statements, rows: readonly Row[], lease: number): void {
	const [first, last] = [rows[0]?.[1], rows.at(-1)?.[1]];
	if (first === undefined) return;
	s.claimsOfLease.all(first, last, lease);
	for (const [, id] of rows) s.insertOutcome.run(id, Place.completed, 1, Date.now(), Date.now(), 0.01, 0.01, 1, null, null);
	s.deleteClaimsOfLease.run(first, last, lease);
	s.addToTally.run(TASK, Place.running, -rows.length);
	s.addToTally.run(TASK, Place.completed, rows.length);
}
