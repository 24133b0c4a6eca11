import Database from 'better-sqlite3';
import type {FailureRecord} from '../../../lib/job/failure.ts';
import type {NewJob} from '../../../lib/job/new-job.ts';
import type {Policy} from '../../../lib/job/policy.ts';
import {openQueueAt} from '../../fixtures/queue.ts';

const T0 = Date.UTC(2026, 0);
const FAR = Date.UTC(2100, 0);
const NO_LUCK: FailureRecord = {reason: 'threw', name: 'Error', message: 'no luck'};
const POLICY: Policy = {maxAttempts: 3, timeoutMs: null, backoff: {baseMs: 3_600_000, factor: 2, maxMs: 7_200_000, jitter: 0}, retry: 'auto'};
const ONCE: Policy = {...POLICY, maxAttempts: 1};
const PARKED: Policy = {...POLICY, maxAttempts: 1, retry: 'manual'};

/** Owners in the sample that have not left. */
export const OWNERS = ['first', 'dead'];

/** Makes a closed database with jobs in every place, and rows in every table: always the same, so that a seed tells which of its bytes change. */
export async function makeSample(path: string): Promise<void> {
	const making = `${path}.making`;
	const queue = await openQueueAt(making, {durability: 'normal', now: () => T0});
	await queue.enqueue([
		...jobs(60, {task: 'gone'}),
		...jobs(20, {payload: text(6000)}),
		...jobs(10, {policy: PARKED}),
		...jobs(10, {policy: ONCE}),
		...jobs(10),
	]);
	const {lease, jobs: claimed} = await queue.dequeue({owner: 'first', tasks: ['gone', 'echo'], limit: 110});
	await queue.settle(
		lease,
		claimed.map(({id, execution, task, payload}, index) => ({
			...{id, execution},
			outcome: task === 'gone' || index < 80 ? {type: 'returned', value: payload} : {type: 'threw', error: NO_LUCK},
		})),
	);
	// Leaves free pages.
	await queue.store.delete({endedBefore: Infinity});
	const batch = await queue.openBatch('nightly', 'echo', 'first', {onComplete: {task: 'makeAnother', priority: 0, policy: POLICY}});
	await queue.enqueue([
		...jobs(40, {batch, key: 'ready'}),
		...jobs(30, {runAt: FAR, key: 'later'}),
		...jobs(5, {task: 'keepsPlace'}),
		...jobs(10, {task: 'unknown'}),
	]);
	await queue.endInput(batch, 40, 'first');
	await queue.cancel({task: 'unknown'});
	const held = await queue.dequeue({owner: 'dead', tasks: ['keepsPlace', 'echo'], limit: 10});
	const [first] = held.jobs;
	if (!first) throw new Error('Nothing to hold.');
	const claim = {id: first.id, execution: first.execution, lease: held.lease};
	await queue.store.commit({
		update: [
			{...claim, startedAt: T0, progress: {done: 1, total: 2, at: T0}, logs: [{at: T0, level: 'info', text: 'a line'}], checkpoint: {at: T0, state: text(500)}},
		],
	});
	const db = new Database(making);
	await db.backup(path);
	db.close();
	await queue.close();
}

function newJob(job: Partial<NewJob> = {}): NewJob {
	return {task: 'echo', payload: text(300), priority: 0, runAt: null, policy: POLICY, ...job};
}

/** Keys are numbered. */
function jobs(count: number, job: Partial<NewJob> = {}): NewJob[] {
	return Array.from({length: count}, (_, index) => newJob({...job, priority: index % 3, ...(job.key !== undefined && {key: `${job.key}-${index}`})}));
}

function text(length: number): string {
	return JSON.stringify('x'.repeat(length));
}
